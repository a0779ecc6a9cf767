"""What the tests of jitsud share beside lab.py: its processes, its socket, queries, what Xen has."""

import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import threading
import time

from lab import GUESTS, JITSUD_LOG, fail, page, run, start_jitsud, stop_jitsud, wait_for  # noqa: F401

SERVER = "10.0.0.254"
CONTROL = "/run/jitsu/control.sock"
STORE = "/var/lib/jitsu/jitsu.db"
ROOMS = ("dns", "engine", "toolstack")

PATIENCE = 180  # s: how long to wait for what must happen; emulation on a busy machine is slow

NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
A, AAAA, TXT, OPT = 1, 28, 16, 41


def now():
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def same(what, expected, actual):
    if expected != actual:
        fail(f"{what}: expected {expected!r}, got {actual!r}")


def note(*words):
    """A line that is shown also when the test passes."""
    print("#", *words, flush=True)


# --- jitsud ------------------------------------------------------------------------------------

def start(*arguments, clean=False):
    """jitsud on the lab's bridge, with libxl, forwarding nothing; clean: without what it kept."""
    if clean:
        for suffix in ("", "-wal", "-shm", "-journal"):
            if os.path.exists(STORE + suffix):
                os.unlink(STORE + suffix)
    if "-f" not in arguments:
        arguments = ("-f", "0.0.0.0", *arguments)
    return start_jitsud("-x", "libxl", "-b", SERVER, "-b", "127.0.0.1", *arguments)


def status_of(pid):
    """/proc/PID/status as a dictionary, {} if there is no such process."""
    try:
        with open(f"/proc/{pid}/status") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    except (FileNotFoundError, ProcessLookupError):
        return {}


def room(parent, name):
    """Pid of one of jitsud's processes, None while it does not run."""
    try:
        with open(f"/proc/{parent.pid}/task/{parent.pid}/children") as file:
            children = file.read().split()
    except FileNotFoundError:
        return None
    comm = f"jitsud-{name}"[:15]
    for pid in children:
        status = status_of(pid)
        if status.get("Name") == comm and not status.get("State", "Z").startswith("Z"):
            return int(pid)
    return None


def rooms(parent):
    """Pids of all three, in the order of ROOMS."""
    return tuple(room(parent, name) for name in ROOMS)


def processes():
    """Pids of all processes of any jitsud."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        status = status_of(pid)
        if status.get("Name", "").startswith("jitsud") and not status["State"].startswith("Z"):
            found.append(int(pid))
    return found


def kill_room(parent, name):
    """kill -9; returns the pid that is no more."""
    pid = wait_for(PATIENCE, lambda: room(parent, name), f"a process {name} to kill")
    os.kill(pid, signal.SIGKILL)
    return pid


def kill_all(parent):
    """kill -9 of the parent and its rooms, the parent first."""
    for pid in (parent.pid, *filter(None, rooms(parent))):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    parent.wait()


def log_since(offset):
    with open(JITSUD_LOG, errors="replace") as file:
        file.seek(offset)
        return file.read()


# --- the control socket and jitsuctl -----------------------------------------------------------

class Refused(Exception):
    """An answer of the daemon that is an error; `error` is its object."""

    def __init__(self, error):
        super().__init__(error.get("message"))
        self.error = error


def connect(timeout=PATIENCE):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(timeout)
    client.connect(CONTROL)
    return client


def line(client):
    """The next line that it says, as JSON; None at the end of the connection."""
    text = b""
    while not text.endswith(b"\n"):
        more = client.recv(65536)
        if not more:
            return None
        text += more
    return json.loads(text)


def call(method, params=None, timeout=PATIENCE):
    """Calls a method; while the engine is being started again it has patience."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method}
    if params is not None:
        request["params"] = params
    end = now() + timeout
    while True:
        try:
            with connect(timeout) as client:
                client.sendall(json.dumps(request).encode() + b"\n")
                answer = line(client)
            if answer is not None:
                break
        except (ConnectionError, FileNotFoundError):
            pass
        if now() > end:
            fail(f"{method}: no answer in {timeout} s")
        time.sleep(0.02)
    if "error" in answer:
        raise Refused(answer["error"])
    return answer["result"]


def jitsuctl(*arguments, data=None, timeout=PATIENCE):
    """Exit status, standard output, standard error."""
    done = subprocess.run(["jitsuctl", *arguments], input=data, capture_output=True, text=True, timeout=timeout,
                          **({} if data is not None else {"stdin": subprocess.DEVNULL}))
    return done.returncode, done.stdout, done.stderr


def get(name):
    return call("service.get", {"name": name})


def services():
    return call("service.list")["services"]


def listing():
    """What `jitsuctl --json list` says, without what changes by itself."""
    status, out, err = jitsuctl("--json", "list")
    if status != 0:
        fail(f"jitsuctl --json list ended with {status}: {err}")
    answer = json.loads(out)
    for service in answer["services"]:
        for key in ("asked", "queries"):
            service.pop(key, None)
    return answer


def linux(name, address, kind="pv", ttl=60, bridges=("xenbr0",), switches="", **more):
    """The lab's Linux guest as a service: NAME.test, with a web server at the address."""
    addresses = [address] if isinstance(address, str) else list(address)
    own = ",".join(f"{a}/24" for a in addresses)
    return {"name": name, "dns": f"{name}.test", "ip": addresses[0], "type": kind, "memory": "96M",
            "kernel": f"{GUESTS}/linux.vmlinuz", "ramdisk": f"{GUESTS}/linux.initrd",
            "cmdline": f"console=hvc0 quiet hostname={name} ip={own} gw={SERVER} {switches}".strip(),
            "nic": list(bridges), "ttl": ttl, "wait_limit": 60000, "response_delay": 0.05, **more}


def web(name, address, ttl=60, bridges=("xenbr0",), switches="", **more):
    """The quick guest as a service: it serves the same page as the Linux guest's, and nothing else."""
    return {"name": name, "dns": f"{name}.test", "ip": address, "type": "pv", "memory": "8M",
            "kernel": f"{GUESTS}/web.elf",
            "cmdline": f"hostname={name} ip={address}/24 gw={SERVER} {switches}".strip(),
            "nic": list(bridges), "ttl": ttl, "wait_limit": 60000, "response_delay": 0.05, **more}


def tiny(name, address, kind="pv", ttl=60, **more):
    """The guest that blocks at once, without a nic."""
    return {"name": name, "dns": f"{name}.test", "ip": address, "type": kind, "memory": "8M",
            "kernel": f"{GUESTS}/tiny.elf", "ttl": ttl, "wait_limit": 60000, "response_delay": 0.05, **more}


# --- DNS ---------------------------------------------------------------------------------------

def question(name, kind=A, query_id=None, edns=False):
    query_id = random.randrange(65536) if query_id is None else query_id
    wire = struct.pack("!HHHHHH", query_id, 0x0100, 1, 0, 0, int(edns))
    for label in name.rstrip(".").split("."):
        wire += bytes([len(label)]) + label.encode()
    wire += struct.pack("!BHH", 0, kind, 1)
    return wire + struct.pack("!BHHIH", 0, OPT, 1232, 0, 0) if edns else wire


class Answer:
    """A reply: id, rcode, number of answers, the addresses in it, its TTLs, its extended error (code, text)."""

    def __init__(self, wire):
        self.id, flags, questions, self.count, self.authority, additional = struct.unpack("!HHHHHH", wire[:12])
        self.rcode, self.truncated, self.extended = flags & 15, bool(flags & 0x200), None
        self.addresses, self.ttls = [], []
        at = 12
        for _ in range(questions):
            at = self._skip(wire, at) + 4
        for i in range(self.count + self.authority + additional):
            at = self._skip(wire, at)
            kind, _, ttl, size = struct.unpack("!HHIH", wire[at:at + 10])
            at += 10
            if i < self.count:
                self.ttls.append(ttl)
                if kind == A:
                    self.addresses.append(socket.inet_ntoa(wire[at:at + size]))
            elif kind == OPT:
                self._options(wire[at:at + size])
            at += size

    def _options(self, data):
        while data:
            code, size = struct.unpack("!HH", data[:4])
            if code == 15:  # RFC 8914
                self.extended = struct.unpack("!H", data[4:6])[0], data[6:4 + size].decode()
            data = data[4 + size:]

    @staticmethod
    def _skip(wire, at):
        while wire[at] != 0:
            if wire[at] >= 0xC0:
                return at + 2
            at += 1 + wire[at]
        return at + 1


def ask(name, kind=A, server=SERVER, timeout=PATIENCE, retry=1.0, edns=False):
    """Asks by UDP, again every `retry` seconds as a resolver would; None if nothing came."""
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect((server, 53))
    wire, end = question(name, kind, edns=edns), now() + timeout
    with client:
        while now() < end:
            try:
                client.send(wire)
                client.settimeout(max(0.01, min(retry, end - now())))
                while True:
                    reply = client.recv(4096)
                    if reply[:2] == wire[:2]:
                        return Answer(reply)
            except (TimeoutError, ConnectionRefusedError):
                time.sleep(0.02)
    return None


def dig(*arguments):
    """What the stock client prints; one query, if its answer comes within a minute and more."""
    return run("dig", f"@{SERVER}", "+time=80", "+tries=2", *arguments)


def resolves(name, address, limit=PATIENCE):
    """A retrying client gets the address; a SERVFAIL on the way is retried, too. Returns seconds."""
    began = now()
    while now() - began < limit:
        answer = ask(name, timeout=limit - (now() - began))
        if answer and answer.rcode == NOERROR and answer.addresses == [address]:
            return now() - began
        if answer and answer.rcode == NOERROR:
            fail(f"{name}: expected {address}, got {answer.addresses}")
        time.sleep(0.2)
    return fail(f"{name}: no answer with its address in {limit} s")


# --- what Xen has ------------------------------------------------------------------------------

class Xenstore:
    """A client of xenstored: fast enough to watch a domain come and go (docs/misc/xenstore.txt)."""

    DIRECTORY, READ, ERROR = 1, 2, 16

    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect("/run/xenstored/socket")

    def _request(self, kind, path):
        payload = path.encode() + b"\0"
        self.socket.sendall(struct.pack("=IIII", kind, 0, 0, len(payload)) + payload)
        answer, _, _, size = struct.unpack("=IIII", self._receive(16))
        data = self._receive(size)
        return None if answer == self.ERROR else data

    def _receive(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise ConnectionError("xenstored is gone")
            data += more
        return data

    def read(self, path):
        data = self._request(self.READ, path)
        return None if data is None else data.decode()

    def directory(self, path):
        data = self._request(self.DIRECTORY, path)
        return [] if not data else [name for name in data.decode().split("\0") if name]

    def domids(self):
        return sorted(int(name) for name in self.directory("/local/domain") if name != "0")


def domains():
    """Domains but dom0, as Xen lists them: {domid: name}; a zombie counts."""
    rows = [row.split() for row in run("xl", "list").splitlines()[1:]]
    return {int(row[-5]): row[0] for row in rows if row[-5] != "0"}


def vifs():
    return sorted(link["ifname"] for link in json.loads(run("ip", "-j", "link")) if link["ifname"].startswith("vif"))


def bridge_of(interface):
    path = f"/sys/class/net/{interface}/master"
    return os.path.basename(os.readlink(path)) if os.path.islink(path) else None


def expect_page(address, name, limit=PATIENCE):
    """HTTP 200 from the guest at the address, with the mark of the lab's guest and its name."""
    text = wait_for(limit, lambda: page(address, timeout=5), f"a page from {address}")
    lines = text.splitlines()
    if lines[0] != "jitsu-lab-guest" or f"hostname {name}" not in lines:
        fail(f"{address} gave another page: {text!r}")
    return text


def settled():
    """Services and Xen agree: each domain is that of one service, and there is no other."""
    return {s["domid"]: s["name"] for s in services() if "domid" in s} == domains()


def nothing_left(what):
    """No domain, no xenstore nodes, no vif: whatever was there is put away."""
    if domains():
        fail(f"{what}: domains are left: {domains()}")
    store = Xenstore()
    if store.domids():
        fail(f"{what}: xenstore still has {store.domids()}")
    for path in ("/vm", "/libxl", "/local/domain/0/backend/vif"):
        left = [name for name in store.directory(path) if name not in ("0", "00000000-0000-0000-0000-000000000000")]
        if left:
            fail(f"{what}: xenstore still has {path}/{left[0]}")
    if vifs():
        fail(f"{what}: interfaces are left: {vifs()}")


def gone(name):
    """Waits until the service is off and nothing of its domain is left, by what Xen says."""
    wait_for(PATIENCE, lambda: not domains(), f"{name} to be put away")
    wait_for(PATIENCE, lambda: get(name)["state"] == "off", f"{name} to be listed as off")


# --- many at once ------------------------------------------------------------------------------

def ask_at_once(name, udp, tcp, timeout):
    """So many queries at once; the answers, and how many connections or replies were of no use."""
    clients, answers, spoilt = {}, [], 0
    for i in range(udp + tcp):
        kind = socket.SOCK_DGRAM if i < udp else socket.SOCK_STREAM
        client = socket.socket(socket.AF_INET, kind)
        client.connect((SERVER, 53))
        wire = question(name, query_id=i)
        clients[client] = [i, kind, wire if kind == socket.SOCK_DGRAM else struct.pack("!H", len(wire)) + wire, b""]
    for client, (_, _, wire, _) in clients.items():
        client.send(wire)
    end = now() + timeout
    while clients and now() < end:
        for client in select.select(list(clients), [], [], 0.5)[0]:
            state = clients[client]
            data = client.recv(4096)
            state[3] += data
            wire = state[3] if state[1] == socket.SOCK_DGRAM else state[3][2:]
            if state[1] == socket.SOCK_STREAM and data:
                if len(state[3]) < 2 or len(wire) < struct.unpack("!H", state[3][:2])[0]:
                    continue
            client.close()
            del clients[client]
            answer = Answer(wire) if len(wire) >= 12 else None
            if answer is None or answer.id != state[0]:
                spoilt += 1
            else:
                answers.append(answer)
    spoilt += len(clients)
    for client in clients:
        client.close()
    return answers, spoilt


class Background(threading.Thread):
    """Does something beside the test; result() waits for it."""

    def __init__(self, function, *arguments):
        super().__init__(daemon=True)
        self.work, self.value = (function, arguments), None
        self.start()

    def run(self):
        function, arguments = self.work
        self.value = function(*arguments)

    def result(self, timeout):
        self.join(timeout)
        return self.value


class Watch(threading.Thread):
    """Watches domains come and go: all that were ever there, and how many at the same time."""

    def __init__(self):
        super().__init__(daemon=True)
        self.store, self.seen, self.most, self.ended = Xenstore(), set(), 0, threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(0.02):
            domids = self.store.domids()
            self.seen.update(domids)
            self.most = max(self.most, len(domids))

    def end(self):
        self.ended.set()
        self.join()
        return self.seen


class Asking(threading.Thread):
    """Asks for a name over and over, so that its service stays up; end() gives all the answers there were."""

    def __init__(self, name):
        super().__init__(daemon=True)
        self.name, self.answers, self.ended = name, set(), threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(0.5):
            answer = ask(self.name)
            self.answers.add(tuple(answer.addresses) if answer else None)

    def end(self):
        self.ended.set()
        self.join()
        return self.answers
