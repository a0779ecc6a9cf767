#!/usr/bin/env python3
"""The first packet is not lost: clients that connect while the guest boots, or sleeps, are served.

JITSU_TEST_SYNJITSU_BOOTS (2) boots with two patient clients each, JITSU_TEST_SYNJITSU_GUESTS (4) guests that one
client asks for at once.
"""
# timeout: 1500
# takes: 200

import ctypes
import os
import signal
import socket
import statistics
import struct
import subprocess
import threading
import time

import jitsu
from jitsu import call, domains, fail, get, linux, note, now, same, wait_for

BOOTS = int(os.environ.get("JITSU_TEST_SYNJITSU_BOOTS", "2"))
GUESTS = int(os.environ.get("JITSU_TEST_SYNJITSU_GUESTS", "4"))
CLIENTS = 10
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def sh(line):
    subprocess.run(line.split(), check=True)


def make_clients():
    for i in range(CLIENTS):
        sh(f"ip netns add c{i}")
        sh(f"ip link add cv{i} type veth peer name eth0 netns c{i}")
        sh(f"ip link set cv{i} master xenbr0 up")
        sh(f"ip -n c{i} link set lo up")
        sh(f"ip -n c{i} link set eth0 up")
        sh(f"ip -n c{i} addr add 10.0.0.{150 + i}/24 dev eth0")


def mac_of(number):
    return f"00:16:3e:00:00:{number:02x}"


def neighbour(i, address, mac):
    if mac:
        sh(f"ip -n c{i} neigh replace {address} lladdr {mac} dev eth0")
    else:
        sh(f"ip -n c{i} neigh flush dev eth0")


class Client(threading.Thread):
    """In a network of its own: one query if there is a name, one connect, one page."""

    def __init__(self, i, address, name=None, port=80):
        super().__init__(daemon=True)
        self.i, self.address, self.name, self.port = i, address, name, port
        self.error, self.body, self.retransmissions = None, b"", None
        self.start_time = self.connected = self.first_byte = 0.0
        self.start()

    def run(self):
        with open(f"/run/netns/c{self.i}") as space:
            if LIBC.setns(space.fileno(), CLONE_NEWNET) != 0:
                self.error = "setns"
                return
        try:
            if self.name:
                jitsu.ask(self.name)
            self.start_time = now()
            with socket.create_connection((self.address, self.port), 60) as s:
                self.connected = now()
                s.sendall(b"GET / HTTP/1.0\r\n\r\n")
                self.body = s.recv(1)
                self.first_byte = now()
                while more := s.recv(4096):
                    self.body += more
                info = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
                self.retransmissions = struct.unpack_from("I", info, 100)[0]
        except OSError as e:
            self.error = f"{e} after {now() - self.start_time:.2f} s"

    def result(self):
        self.join(jitsu.PATIENCE)
        return self.error or ("served" if b"jitsu-lab-guest" in self.body else f"got {self.body!r}")


class Capture(threading.Thread):
    """When each guest's port first answered, and the SYNs that each client sent."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.listens, self.syns = {}, {}
        self.start()

    def run(self):
        while True:
            frame, where = self.socket.recvfrom(2048)
            if len(frame) < 54 or frame[12:14] != b"\x08\x00" or frame[23] != 6 or where[2] == 4:
                continue
            flags, source = frame[47] & 0x17, socket.inet_ntoa(frame[26:30])
            ports = struct.unpack(">HH", frame[34:38])
            if where[0].startswith("vif") and flags & 0x12 == 0x12:
                self.listens.setdefault(source, now())
            elif where[0].startswith("cv") and flags == 2:
                key = (source, ports[0], socket.inet_ntoa(frame[30:34]))
                self.syns[key] = self.syns.get(key, 0) + 1

    def forget(self):
        self.listens.clear()
        self.syns.clear()


class Synjitsu:
    def __init__(self):
        self.log = open("/root/synjitsu.log", "a")
        self.process = subprocess.Popen(["synjitsu", "--interface=xenbr0", "--log-level=debug"],
                                        stderr=self.log)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def text(self):
        with open("/root/synjitsu.log") as f:
            return f.read()


def service(name, number, **more):
    return linux(name, f"10.0.0.{number}", mac=mac_of(number), **more)


def off(name):
    jitsu.jitsuctl("stop", "--mode", "destroy", name)
    wait_for(jitsu.PATIENCE, lambda: get(name)["state"] == "off", f"{name} to be off")


def patient(name, number, clients=CLIENTS):
    """One boot: clients resolve, then connect once; every other one knows the MAC already."""
    address = f"10.0.0.{number}"
    for i in range(clients):
        neighbour(i, address, mac_of(number) if i % 2 else None)
    capture.forget()
    asked = [Client(i, address, f"{name}.test") for i in range(clients)]
    results = [c.result() for c in asked]
    listens = capture.listens.get(address)
    gaps = [1000 * (c.first_byte - listens) for c in asked if c.first_byte and listens]
    return asked, results, gaps


jitsu_log = []
daemon = jitsu.start("--synjitsu", "0", "--boots", "4", clean=True)
make_clients()
capture = Capture()

# --- without: the grid of SYN retransmissions, or nobody at home --------------------------------
call("service.add", service("plain", 40, wait_limit=700, switches="listen_delay=3"))
asked, results, gaps = patient("plain", 40, 4)
note("without Synjitsu:", "; ".join(f"{'warm' if c.i % 2 else 'empty'} {r}" for c, r in zip(asked, results)),
     "; ms after the port listens:", [round(g) for g in gaps])
off("plain")
call("service.remove", {"name": "plain"})

# --- with ---------------------------------------------------------------------------------------
synjitsu = Synjitsu()
wait_for(30, lambda: "speaks version" in jitsu.log_since(0), "jitsud to meet Synjitsu")
call("service.add", service("late", 41, wait_limit=700, use_synjitsu=True, switches="listen_delay=3"))
call("service.add", service("soon", 42, wait_limit=700, use_synjitsu=True))
for name, number in (("late", 41), ("soon", 42)):
    all_gaps, all_results, syns = [], [], []
    for boot in range(BOOTS):
        asked, results, gaps = patient(name, number, 2)
        all_gaps += gaps
        all_results += results
        syns += [count for (_, _, to), count in capture.syns.items() if to == f"10.0.0.{number}"]
        off(name)
    served = all_results.count("served")
    note(f"with Synjitsu, {name}: {served} of {len(all_results)} served;",
         f"ms from the port's first answer to the first byte: median {statistics.median(all_gaps or [0]):.0f},",
         f"most {max(all_gaps or [0]):.0f}; SYNs of a connection: {sorted(set(syns))}")
    if served != len(all_results):
        note(synjitsu.text()[-3000:])
    same(f"{name}: all served", ["served"] * len(all_results), all_results)

# --- many clients, one guest ---------------------------------------------------------------------
asked = [Client(i % CLIENTS, "10.0.0.41", "late.test") for i in range(20)]
same("20 clients and one guest", ["served"] * 20, [c.result() for c in asked])
note("20 clients to one booting guest: all served")
off("late")

# --- one client, many guests ---------------------------------------------------------------------
for i in range(GUESTS):
    call("service.add", service(f"m{i}", 60 + i, wait_limit=700, use_synjitsu=True))
asked = [Client(0, f"10.0.0.{60 + i}", f"m{i}.test") for i in range(GUESTS)]
same("one client and many guests", ["served"] * GUESTS, [c.result() for c in asked])
for i in range(GUESTS):
    off(f"m{i}")
    call("service.remove", {"name": f"m{i}"})
note(f"one client to {GUESTS} booting guests: all served")

# --- wake by packet --------------------------------------------------------------------------------
call("service.add", service("packet", 43, wake=["dns", "packet"]))
del_dns = service("nodns", 44, wake=["packet"])
del del_dns["dns"]
call("service.add", del_dns)
rows = []
for mode in ("destroy", "pause", "suspend"):
    for what in ("http", "ping"):
        for warm in (False, True):
            state = {"destroy": "off", "pause": "paused", "suspend": "suspended"}[mode]
            if get("packet")["state"] != state:
                jitsu.jitsuctl("start", "packet")
                jitsu.jitsuctl("stop", "--mode", mode, "packet")
                wait_for(jitsu.PATIENCE, lambda: get("packet")["state"] == state, f"packet to be {state}")
            neighbour(1, "10.0.0.43", mac_of(43) if warm else None)
            began = now()
            if what == "http":
                result = Client(1, "10.0.0.43").result()
            else:
                ping = subprocess.run(["ip", "netns", "exec", "c1", "ping", "-c", "1", "-W", "30", "10.0.0.43"],
                                      capture_output=True, text=True)
                result = "served" if ping.returncode == 0 else ping.stdout
            rows.append(f"{mode}, {what}, {'warm' if warm else 'empty'}: {result}, {1000 * (now() - began):.0f} ms")
            note(rows[-1])
            if result != "served":
                note(synjitsu.text()[-3000:])
            same(f"woken from {state} by {what}, {'warm' if warm else 'empty'} entry", "served", result)
neighbour(1, "10.0.0.44", None)
same("a service without a name", "served", Client(1, "10.0.0.44").result())

# --- Synjitsu dies in the middle --------------------------------------------------------------------
off("late")
asked = Client(2, "10.0.0.41", "late.test")
time.sleep(1.5)
synjitsu.kill()
synjitsu = Synjitsu()
note("Synjitsu killed and started again while a guest boots:", asked.result())
wait_for(jitsu.PATIENCE, lambda: get("late")["state"] == "ready", "the boot to go on")
zombies = [d for d, name in domains().items() if not name]
same("zombies", [], zombies)
for name in ("late", "soon", "packet", "nodns"):
    call("service.remove", {"name": name})
wait_for(jitsu.PATIENCE, lambda: not domains(), "all domains to go")
jitsu.stop_jitsud(daemon)
synjitsu.process.terminate()
same("Synjitsu's status", 0, synjitsu.process.wait())
