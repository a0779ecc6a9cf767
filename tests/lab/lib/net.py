"""Clients in networks of their own on the lab's bridge, what passes there, and Synjitsu in dom0."""

import ctypes
import signal
import socket
import struct
import subprocess
import threading

import jitsu
from jitsu import get, linux, now, wait_for, web

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
        sh(f"ip -n c{i} neigh flush dev eth0 nud all")


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


# TCP over IPv4 without options, with SYN: hundreds of probes a second and what refuses them stay in the kernel,
# and leave dom0's one processor to those who are measured. (code, if true, if false, value), linux/filter.h.
ONLY_SYNS = ((0x28, 0, 0, 12), (0x15, 0, 5, 0x800), (0x30, 0, 0, 23), (0x15, 0, 3, 6), (0x30, 0, 0, 47),
             (0x45, 0, 1, 2), (0x06, 0, 0, 0xffff), (0x06, 0, 0, 0))
SO_ATTACH_FILTER, SOL_PACKET, PACKET_IGNORE_OUTGOING = 26, 263, 23


class Capture(threading.Thread):
    """When each guest's port first answered, and the SYNs that each client sent; with first_frames, each guest's
    first frame by its MAC too."""

    def __init__(self, first_frames=False):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        if not first_frames:
            program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *op) for op in ONLY_SYNS))
            self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                                   struct.pack("HL", len(ONLY_SYNS), ctypes.addressof(program)))
        self.listens, self.syns, self.first = {}, {}, {}
        self.start()

    def run(self):
        while True:
            frame, where = self.socket.recvfrom(2048)
            if where[0].startswith("vif"):
                self.first.setdefault(frame[6:12].hex(":"), now())
            if len(frame) < 54 or frame[12:14] != b"\x08\x00" or frame[23] != 6:
                continue
            flags, source = frame[47] & 0x17, socket.inet_ntoa(frame[26:30])
            ports = struct.unpack(">HH", frame[34:38])
            if where[0].startswith("vif") and flags & 0x12 == 0x12:
                self.listens.setdefault(source, now())
            elif where[0].startswith("cv") and flags == 2:
                key = (source, ports[0], socket.inet_ntoa(frame[30:34]))
                self.syns[key] = self.syns.get(key, 0) + 1

    def syns_of(self, i):
        return sum(count for (source, _, _), count in self.syns.items() if source == f"10.0.0.{150 + i}")

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


def quick(name, number, **more):
    """A guest that boots in well under a second; it is resolved before it is up."""
    return web(name, f"10.0.0.{number}", mac=mac_of(number), wait_limit=1, **more)


def off(name):
    jitsu.jitsuctl("stop", "--mode", "destroy", name)
    wait_for(jitsu.PATIENCE, lambda: get(name)["state"] == "off", f"{name} to be off")


def raw(i):
    """A packet socket on the interface of that client."""
    with open("/proc/self/ns/net") as here, open(f"/run/netns/c{i}") as there:
        LIBC.setns(there.fileno(), CLONE_NEWNET)
        try:
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            s.bind(("eth0", 0))
        finally:
            LIBC.setns(here.fileno(), CLONE_NEWNET)
    return s
