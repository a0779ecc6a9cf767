#!/usr/bin/env python3
"""An original Synjitsu, one in a driver domain, and what goes wrong: it dies, stalls, is flooded, is lied to."""
# timeout: 1500
# takes: 150
# put: tests/lab/peer

import gzip
import os
import re
import shutil
import signal
import struct
import subprocess
import threading
import time

import jitsu
from jitsu import GUESTS, JITSUD_LOG, call, domains, get, note, now, run, same, tiny, wait_for
from net import Capture, Client, Synjitsu, mac_of, make_clients, neighbour, off, raw, service

PEER = "/root/peer"


since = 0


def says(text, limit=60):
    wait_for(limit, lambda: text in jitsu.log_since(since), f"jitsud to say {text!r}")


def mark():
    """What it said before does not count."""
    global since
    since = os.path.getsize(JITSUD_LOG) if os.path.exists(JITSUD_LOG) else 0


def kilobytes(pid, what="VmRSS"):
    return int(jitsu.status_of(pid)[what].split()[0])


def fresh(*arguments):
    mark()
    return jitsu.start(*arguments, clean=True)


def done(daemon, *names):
    for name in names:
        call("service.remove", {"name": name})
    wait_for(jitsu.PATIENCE, lambda: not set(names) & set(domains().values()), "domains to go")
    jitsu.stop_jitsud(daemon)


make_clients()
capture = Capture(first_frames=True)

# --- one that knows records of 10 bytes only -----------------------------------------------------
peer = subprocess.Popen([PEER], stdout=subprocess.PIPE, text=True)
same("the peer", "serves\n", peer.stdout.readline())
daemon = fresh("--synjitsu", "0")
says("connected to an original")
expected = []
for name, number in (("one", 40), ("two", 41)):
    call("service.add", service(name, number, use_synjitsu=True))
    expected.append(f"00163e0000{number:02x}0a0000{number:02x}")
call("service.add", service("without", 42))
call("service.add", service("asleep", 43, wake=["dns", "packet"]))
for name in ("without", "one", "two"):
    jitsu.ask(f"{name}.test")
    jitsu.expect_page(get(name)["ip"][0], name)
peer.kill()
records = [line.split() for line in peer.stdout.read().splitlines()]
same("records", expected, [record for _, record in records])
for (when, record), number in zip(records, (40, 41)):
    before = capture.first[mac_of(number)] - float(when)
    same(f"{record} before its first frame", True, before > 0)
    note(f"an original's record: {record}, {1000 * before:.0f} ms before the guest's first frame")
says("Synjitsu is gone")

mark()

# --- one that stalls: 1 KiB of ring, and 2.4 KiB of records -----------------------------------------
peer = subprocess.Popen([PEER, "stall"], stdout=subprocess.PIPE, text=True)
same("the stalled peer", "serves\n", peer.stdout.readline())
says("connected to an original")
many = [f"10.0.3.{i}" for i in range(1, 61)]
call("service.add", {**tiny("many", "10.0.3.1"), "ip": many, "nic": ["xenbr0"], "frame_limit": 0.1, "use_synjitsu": True})
toolstack = jitsu.room(daemon, "toolstack")
size = kilobytes(toolstack)
for _ in range(4):
    same("an answer while the peer stalls", 0, jitsu.ask("many.test").rcode)
    off("many")
same("toolstack goes on", toolstack, jitsu.room(daemon, "toolstack"))
note(f"stalled peer: boots went on; toolstack {size} kB before, {kilobytes(toolstack)} kB after")
peer.kill()
peer.wait()
done(daemon, "one", "two", "without", "asleep", "many")

# --- in a Linux driver domain ---------------------------------------------------------------------
def cpio(path, mode, data=b""):
    """An entry of an initrd: Linux, Documentation/driver-api/early-userspace/buffer-format.rst."""
    name = path.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % f for f in fields) + name
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def driver_initrd():
    """The lab's, with Synjitsu and its libraries."""
    program = shutil.which("synjitsu")
    files = {path: path for path in re.findall(r"(/\S+) \(0x", run("ldd", program))}
    files["/synjitsu"] = program
    folders = sorted({folder for path in files for folder in parents(path)})
    archive = b"".join(cpio(folder, 0o40755) for folder in folders)
    for path, source in files.items():
        with open(source, "rb") as file:
            archive += cpio(path.lstrip("/"), 0o100755, file.read())
    # One gzip member: libxenguest unpacks it for a PV guest, and drops what follows the first.
    with gzip.open(f"{GUESTS}/driver.initrd") as base, gzip.open("driver.initrd", "wb", 1) as file:
        file.write(base.read() + archive + cpio("TRAILER!!!", 0))


def parents(path):
    parts = path.strip("/").split("/")[:-1]
    return ["/".join(parts[:i + 1]) for i in range(len(parts))]


def driver_domain():
    with open("driver.cfg", "w") as file:
        file.write(f"""name = "driver"
kernel = "{GUESTS}/linux.vmlinuz"
ramdisk = "{os.getcwd()}/driver.initrd"
memory = 128
cmdline = "console=hvc0 quiet"
vif = [ "bridge=xenbr0,mac=00:16:3e:00:00:fe" ]
""")
    run("xl", "create", "driver.cfg", timeout=jitsu.PATIENCE)


def console():
    with open("/var/log/xen/console/guest-driver.log", errors="replace") as file:
        return file.read()


driver_initrd()
driver_domain()
daemon = fresh("--synjitsu", "driver")
try:
    says("Synjitsu speaks version", jitsu.PATIENCE)
except SystemExit:
    note(console()[-2000:])
    raise
call("service.add", service("late", 45, wait_limit=700, use_synjitsu=True, switches="listen_delay=3"))
call("service.add", service("packet", 46, wake=["dns", "packet"]))
for entry in ("empty", "warm"):
    for i, mac in enumerate((None, mac_of(45)) if entry == "warm" else (None, None)):
        neighbour(i, "10.0.0.45", mac)
    clients = [Client(i, "10.0.0.45", "late.test") for i in (0, 1)]
    results = [c.result() for c in clients]
    if results != ["served"] * 2:
        note(console()[-3000:])
    same(f"by a driver domain, {entry}", ["served"] * 2, results)
    off("late")
neighbour(1, "10.0.0.46", None)
client = Client(1, "10.0.0.46")
same("woken by packet through a driver domain", "served", client.result())
note("Synjitsu in a Linux driver domain: 2 of 2 with an empty, 2 of 2 with a warm entry; woken by packet, served")

mark()

# ... that is destroyed while a guest boots.
client = Client(0, "10.0.0.45", "late.test")
time.sleep(1)
run("xl", "destroy", "driver")
says("Synjitsu is gone")
wait_for(60, lambda: not any(name in ("driver", "(null)", "") for name in domains().values()), "no zombie")
wait_for(jitsu.PATIENCE, lambda: get("late")["state"] == "ready", "the boot to go on")
note("its domain destroyed while a guest boots: the boot went on, no zombie, its client was", client.result())
off("late")
done(daemon, "late", "packet")

# --- in domain 0 ---------------------------------------------------------------------------------
synjitsu = Synjitsu()
daemon = fresh("--synjitsu", "0")
says("Synjitsu speaks version")
call("service.add", service("late", 45, wait_limit=700, use_synjitsu=True, switches="listen_delay=8"))


class Flood(threading.Thread):
    """1,000 SYNs a second from 2,500 spoofed clients, from client 5's network."""

    def __init__(self, number):
        super().__init__(daemon=True)
        self.number, self.go, self.sent = number, True, 0
        self.start()

    def run(self):
        s, frames = raw(5), [self.frame(i) for i in range(2500)]
        began = now()
        while self.go:
            s.send(frames[self.sent % len(frames)])
            self.sent += 1
            while self.sent > 1000 * (now() - began):
                time.sleep(0.002)
        self.rate = self.sent / (now() - began)

    def frame(self, i):
        to = bytes.fromhex(mac_of(self.number).replace(":", ""))
        source, target = bytes((10, 0, 4 + i // 250, 1 + i % 250)), bytes((10, 0, 0, self.number))
        tcp = struct.pack(">HHIIBBHHH", 1024 + i, 80, i, 0, 0x50, 2, 8192, 0, 0)
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0, source, target)
        return (to + b"\x02\x00\x00\x00\x00\x05\x08\x00" + ip[:10] + checksum(ip) + ip[12:]
                + tcp[:16] + checksum(source + target + b"\0\6\0\x14" + tcp) + tcp[18:])


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return struct.pack(">H", ~(total + (total >> 16)) & 0xffff)


before = kilobytes(synjitsu.process.pid)
neighbour(1, "10.0.0.45", None)
flood = Flood(45)
client = Client(1, "10.0.0.45", "late.test")
same("an honest client of a flooded guest", "served", client.result())
flood.go = False
flood.join()
time.sleep(1)
note(f"{flood.sent} SYNs, {flood.rate:.0f} a second, at a booting guest: Synjitsu {before} kB before,",
     f"{kilobytes(synjitsu.process.pid, 'VmHWM')} kB at most, {kilobytes(synjitsu.process.pid)} kB after; an honest client: served")
same("bounded", True, kilobytes(synjitsu.process.pid, "VmHWM") < before + 8192)
off("late")

# --- lies: that its address is another machine's, and that its MAC is behind another port -----------
forger = raw(6)
own, guest = bytes.fromhex("020000000006"), bytes.fromhex(mac_of(45).replace(":", ""))
address = bytes((10, 0, 0, 45))


def claim(source, sender, operation):
    forger.send(b"\xff" * 6 + source + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x800, 6, 4, operation)
                + sender + address + (b"\0" * 6 if operation == 1 else b"\xff" * 6) + address + b"\0" * 18)


for what, source, sender in (("its address is another's", own, own), ("its MAC is elsewhere", guest, guest)):
    neighbour(1, "10.0.0.45", None)
    client = Client(1, "10.0.0.45", "late.test")
    for _ in range(10):
        time.sleep(0.2)
        claim(source, sender, 1)
        claim(source, sender, 2)
    same(f"forged ARP, {what}", "served", client.result())
    note(f"forged ARP while it boots, {what}: served")
    off("late")

# --- stopped: jitsud goes on, and so does Synjitsu after it -------------------------------------------
synjitsu.process.send_signal(signal.SIGSTOP)
for _ in range(2):
    jitsu.ask("late.test")
    wait_for(jitsu.PATIENCE, lambda: get("late")["state"] == "ready", "a boot while Synjitsu is stopped")
    off("late")
synjitsu.process.send_signal(signal.SIGCONT)
neighbour(1, "10.0.0.45", None)
same("after it was stopped", "served", Client(1, "10.0.0.45", "late.test").result())
note("Synjitsu stopped (SIGSTOP): boots went on; it went on when it was continued")
done(daemon, "late")
synjitsu.process.terminate()
same("Synjitsu's status", 0, synjitsu.process.wait())
