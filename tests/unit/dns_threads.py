#!/usr/bin/env python3
"""jitsud --dns-threads N, confined as it is by default: its threads are there, and whatever port a client
asks from, it is answered, also by those that are started anew."""
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

O = os.environ.get("O", "build")
THREADS, CLIENTS, PATIENCE = 4, 200, 60
NAME = b"\x02up\x07example\x03org\x00"


def free_port():
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        udp.bind(tcp.getsockname())
        return tcp.getsockname()[1]


def wait_for(what, done):
    end = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > end:
            raise AssertionError(f"never: {what}")
        time.sleep(0.1)


def ask(port):
    """Whether the address came back, from a port that is another one each time."""
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(("127.0.0.1", port))
        client.send(struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + NAME + struct.pack(">2H", 1, 1))
        try:
            return client.recv(512).endswith(bytes((10, 0, 0, 1)))
        except (socket.timeout, ConnectionError):
            return False


def threads(parent):
    """Of each of its children that has more than one: its pid and how many."""
    counts = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
                if int(f.read().rpartition(")")[2].split()[1]) == parent:
                    counts[int(pid)] = len(os.listdir(f"/proc/{pid}/task"))
        except OSError:
            pass  # it has ended
    return {pid: count for pid, count in counts.items() if count == THREADS}


def main():
    folder, port = tempfile.mkdtemp(prefix="jitsu-threads-"), free_port()
    os.mkdir(f"{folder}/none")
    with open(f"{folder}/services.json", "w", encoding="ascii") as f:
        json.dump([{"name": "up", "dns": "up.example.org", "ip": "10.0.0.1", "pinned": True}], f)
    log = open(f"{folder}/log", "w+", encoding="utf-8")
    daemon = subprocess.Popen(
        [f"{O}/jitsud", "--foreground", "-x", "sim", "-l", str(port), "-f", "0.0.0.0", "-d", "0", "--dns-threads",
         str(THREADS), "--persistdb", ":memory:", "--control", f"{folder}/control.sock", "--services",
         f"{folder}/services.json", "--services-dir", f"{folder}/none", "--user", "nobody"], stderr=log)
    failed = False
    try:
        print("1..2")
        for number, what in ((1, "started"), (2, "dns started anew")):
            wait_for("an answer", lambda: ask(port))
            answered = sum(ask(port) for _ in range(CLIENTS))
            there = threads(daemon.pid)
            good = answered == CLIENTS and len(there) == 1
            failed |= not good
            print(f"{'ok' if good else 'not ok'} {number} - {what}: {answered} of {CLIENTS} answered")
            if not good:
                break
            os.kill(next(iter(there)), signal.SIGKILL)
            wait_for("its end", lambda: not set(there) & set(threads(daemon.pid)))
    except AssertionError as error:
        failed = True
        print(f"not ok 1 - {error}")
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(PATIENCE)
        if failed:
            log.seek(0)
            print("".join(f"# {line}" for line in log.readlines()[-20:]), end="")
        log.close()
        shutil.rmtree(folder)
    return 1 if failed or daemon.returncode else 0


sys.exit(main())
