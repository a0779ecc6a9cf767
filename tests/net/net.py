"""For tests with real programs over real sockets: a network and a file system of their own.

A test calls enter() first: the script runs again in new network, mount and process namespaces, where
it has loopback alone (all of 127.0.0.0/8), may bind port 53, and where whatever it has started ends
with it. That takes root; without it the test is skipped.
"""
import atexit
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "../.."))
O = os.path.abspath(os.environ.get("O", os.path.join(ROOT, "build")))
SKIPPED = 77
PATIENCE = 30  # seconds for what takes far less on a quiet machine

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, OPT, DS, DNSKEY, ANY = 1, 2, 5, 6, 12, 15, 16, 28, 41, 43, 48, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)


def skip(why):
    print("skipped:", why)
    sys.exit(SKIPPED)


def enter():
    if os.environ.get("JITSU_NET") == "inside":
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    if os.geteuid() != 0:
        skip("needs root, for namespaces with more than one user")
    if subprocess.run(["unshare", "-nmpf", "true"], capture_output=True).returncode:
        skip("this machine makes no namespaces")
    os.execvpe("unshare", ["unshare", "-nmpf", "--mount-proc", "--kill-child", sys.executable] + sys.argv,
               {**os.environ, "JITSU_NET": "inside"})


def unpack(*packages):
    """The folder with them; before enter(), while there is a network."""
    r = subprocess.run([f"{HERE}/unpack", *packages], capture_output=True, text=True)
    if r.returncode:
        skip(r.stderr.strip())
    return r.stdout.strip()


class Tools:
    def __init__(self, folder):
        self.folder = folder
        lib = f"{folder}/usr/lib/x86_64-linux-gnu"
        self.env = {**os.environ, "LD_LIBRARY_PATH": f"{lib}:{lib}/systemd:{folder}/lib/systemd",
                    "PATH": f"{os.environ['PATH']}:{folder}/usr/bin:{folder}/usr/sbin:{folder}/lib/systemd"}

    def path(self, name):
        return shutil.which(name, path=self.env["PATH"])


scratch = tempfile.mkdtemp(prefix="jitsu-net-")
os.chmod(scratch, 0o755)
atexit.register(shutil.rmtree, scratch, ignore_errors=True)
started = []


def write(name, text):
    path = os.path.join(scratch, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def start(command, log, **kwargs):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT,
                               stdout=open(os.path.join(scratch, log), "w"), **kwargs)
    started.append((process, log))
    return process


def stop(process, signal=15):
    process.send_signal(signal)
    process.wait(PATIENCE)


def read(name):
    with open(os.path.join(scratch, name), errors="replace") as file:
        return file.read()


def fail(*words):
    print("FAILED:", *words)
    for log in dict.fromkeys(log for _, log in started):
        print(f"--- {log}", read(log)[-3000:], sep="\n")
    sys.exit(1)


def same(what, expected, got):
    if expected != got:
        fail(f"{what}: expected {expected!r}, got {got!r}")


def wait_for(what, condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            fail(f"not within {PATIENCE} s: {what}")
        time.sleep(0.05)


# --- DNS packets, by hand --------------------------------------------------------------------
def wire_name(text):
    return b"".join(bytes([len(x)]) + x.encode() for x in text.strip(".").split(".") if x) + b"\0"


def query(name, kind, ident=1, flags=0x0100, edns=None, dnssec=False, options=b"", klass=1):
    wire = struct.pack("!HHHHHH", ident, flags, 1, 0, 0, 0 if edns is None else 1)
    wire += wire_name(name) + struct.pack("!HH", kind, klass)
    if edns is not None:
        wire += b"\0" + struct.pack("!HHIH", OPT, edns, 0x8000 if dnssec else 0, len(options)) + options
    return wire


class Answer:
    """rcode, flags; records of each section as (name, type, class, data) without their TTLs, names and
    data decompressed as far as pointers go; options of the OPT as a dictionary."""

    def __init__(self, wire):
        self.wire = wire
        self.ident, self.flags, *counts = struct.unpack("!HHHHHH", wire[:12])
        self.rcode = self.flags & 15
        self.truncated = bool(self.flags & 0x200)
        self.authentic = bool(self.flags & 0x20)
        self.aa, self.ra = bool(self.flags & 0x400), bool(self.flags & 0x80)
        at = 12
        for _ in range(counts[0]):
            self.question, at = self.name(at)
            at += 4
        self.sections, self.options, self.edns = [], {}, None
        for count in counts[1:]:
            records = []
            for _ in range(count):
                name, at = self.name(at)
                kind, klass, ttl, size = struct.unpack("!HHIH", wire[at:at + 10])
                at += 10
                if kind == OPT:
                    self.edns = (klass, ttl)
                    o, end = at, at + size
                    while o < end:
                        code, length = struct.unpack("!HH", wire[o:o + 4])
                        self.options[code] = wire[o + 4:o + 4 + length]
                        o += 4 + length
                else:
                    data = wire[at:at + size]
                    if kind in (NS, CNAME, PTR):
                        data = self.name(at)[0]
                    records.append((name.lower(), kind, klass, data))
                at += size
            self.sections.append(records)
        same("the answer's end", len(wire), at)

    def name(self, at):
        labels, end = [], None
        while True:
            size = self.wire[at]
            if size >= 0xc0:
                end = end or at + 2
                at = (size & 0x3f) << 8 | self.wire[at + 1]
            elif size == 0:
                return b".".join(labels) + b".", end or at + 1
            else:
                labels.append(self.wire[at + 1:at + 1 + size])
                at += 1 + size

    @property
    def addresses(self):
        return sorted(socket.inet_ntoa(r[3]) for r in self.sections[0] if r[1] == A)

    @property
    def ede(self):
        return struct.unpack("!H", self.options[15][:2])[0] if 15 in self.options else None


def ask(server, wire, tcp=False, timeout=PATIENCE):
    """None if nothing comes."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        try:
            s.connect((server, 53))
            s.send(struct.pack("!H", len(wire)) + wire if tcp else wire)
            if not tcp:
                return Answer(s.recv(65535))
            data = b""
            while len(data) < 2 or len(data) < 2 + struct.unpack("!H", data[:2])[0]:
                more = s.recv(65535)
                if not more:
                    return None
                data += more
            return Answer(data[2:])
        except OSError:
            return None


def answers(server, name="probe.invalid"):
    """Once it answers at all."""
    wait_for(f"{server} answers", lambda: ask(server, query(name, A), timeout=1) is not None)


def unbound(tools, address, log, server, zones):
    """An unbound there, once it answers: what else its server: section holds, and the clauses behind it."""
    conf = write(f"{log}.conf", f"""server:
  interface: {address}
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{scratch}"
  pidfile: ""
  use-syslog: no
  do-not-query-localhost: no
{server}
remote-control:
  control-enable: no
{zones}
""")
    process = start([tools.path("unbound"), "-c", conf, "-d"], f"{log}.log", env=tools.env)
    answers(address, "localhost")
    return process


# --- jitsud ----------------------------------------------------------------------------------
class Jitsud:
    """On 127.0.0.1, simulated guests."""

    def __init__(self, *args, services=(), log="jitsud.log", address="127.0.0.1"):
        self.log = log
        self.control = os.path.join(scratch, f"{log}.sock")
        folder = os.path.join(scratch, f"{log}.d")
        os.makedirs(folder, exist_ok=True)
        command = [f"{O}/jitsud", "-x", "sim", "-b", address, "--control", self.control, "--persistdb",
                   ":memory:", "--services-dir", folder, "--user", "nobody", "--config",
                   write(f"{log}.conf", ""), "--foreground", *args]
        if services:
            command += ["--services", write(f"{log}.services", json.dumps(list(services)))]
        self.process = start(command, log)
        wait_for("jitsud serves", lambda: self.process.poll() is not None or "serves on" in read(log))
        if self.process.poll() is not None:
            fail("jitsud ended")

    def call(self, method, params=None):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(self.control)
            s.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method,
                                  **({"params": params} if params else {})}).encode() + b"\n")
            answer = json.loads(s.makefile().readline())
        if "error" in answer:
            fail(method, answer["error"])
        return answer["result"]

    def stop(self):
        stop(self.process)
        same("jitsud's end", 0, self.process.returncode)
