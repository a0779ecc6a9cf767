#!/usr/bin/env python3
"""The forwarder between real servers: Knot DNS with a signed zone, unbound and dnsmasq as upstreams, a
validating unbound behind us; truncation, fail-over, resolv.conf replaced, loops."""
import base64
import os
import random
import struct
import subprocess
import sys
import time

from net import *

PACKAGES = ("knot", "unbound", "dnsmasq-base")
if os.environ.get("JITSU_NET") != "inside":
    os.environ["SERVERS"] = unpack(*PACKAGES)
enter()
tools = Tools(os.environ["SERVERS"])
US, KNOT, UNBOUND, DNSMASQ, BEHIND = "127.0.0.1", "127.0.0.11", "127.0.0.12", "127.0.0.13", "127.0.0.14"
CD, AD = 0x10, 0x20

# --- the servers -----------------------------------------------------------------------------
big = "\n".join(f'big TXT "{i:03d} {"x" * 200}"' for i in range(14))
write("signed.zone", f"""$ORIGIN signed.example.
$TTL 3600
@ SOA ns hostmaster 1 3600 900 604800 300
@ NS ns
ns A {KNOT}
www A 192.0.2.10
www AAAA 2001:db8::10
mail MX 10 www
alias CNAME www
odd TYPE65280 \\# 4 01020304
srv SRV 0 0 443 www
svc HTTPS 1 . alpn=h2
{big}
""")
write("bogus.zone", f"$ORIGIN bogus.example.\n$TTL 3600\n@ SOA ns h 1 3600 900 604800 300\n@ NS ns\n"
      f"ns A {KNOT}\nwww A 192.0.2.66\n")
os.makedirs(f"{scratch}/knot/keys")
write("knot.conf", f"""server:
  rundir: {scratch}/knot
  listen: {KNOT}@53
  edns-client-subnet: on
database:
  storage: {scratch}/knot
log:
  - target: stdout
    any: info
zone:
  - domain: signed.example
    file: {scratch}/signed.zone
    storage: {scratch}/knot
    dnssec-signing: on
    zonefile-load: difference-no-serial
    journal-content: all
    zonefile-sync: -1
  - domain: bogus.example
    file: {scratch}/bogus.zone
    storage: {scratch}/knot
""")
start([tools.path("knotd"), "-c", f"{scratch}/knot.conf"], "knot.log", env=tools.env)
answers(KNOT)
wait_for("the zone is signed", lambda: ask(KNOT, query("signed.example", DNSKEY, edns=4096)).sections[0])
keys = ask(KNOT, query("signed.example", DNSKEY, edns=4096, dnssec=True), tcp=True)
anchors = [f"signed.example. DNSKEY {struct.unpack('!H', d[:2])[0]} {d[2]} {d[3]} {base64.b64encode(d[4:]).decode()}"
           for _, kind, _, d in keys.sections[0] if kind == DNSKEY and struct.unpack("!H", d[:2])[0] == 257]
same("keys to trust", 1, len(anchors))


def validator(address, log, zones):
    return unbound(tools, address, log, f"""  outgoing-interface: {address}
  logfile: ""
  module-config: "validator iterator"
  trust-anchor: "{anchors[0]}"
  trust-anchor: "bogus.example. DS 1 13 2 {'0' * 64}"
  ede: yes
  val-log-level: 2""", zones)


STUBS = "".join(f"stub-zone:\n  name: {zone}\n  stub-addr: {KNOT}\n"
                for zone in ("signed.example", "bogus.example"))
upstream = validator(UNBOUND, "unbound", STUBS)


def dnsmasq(server, log="dnsmasq"):
    process = start([tools.path("dnsmasq"), "-k", "-C", "/dev/null", "-R", "-h", "-z", "-a", DNSMASQ, "-S", server,
                     "--proxy-dnssec", "-u", "root", "--pid-file=", "--edns-packet-max=1232"], f"{log}.log", env=tools.env)
    answers(DNSMASQ, "www.signed.example")
    return process


masq = dnsmasq(UNBOUND)

# --- the same through us as without us ---------------------------------------------------------
QUESTIONS = [("www", A), ("www", AAAA), ("WWW", A), ("www", TXT), ("mail", MX), ("alias", A), ("alias", CNAME),
             ("odd", 65280), ("srv", 33), ("svc", 65), ("nothing", A), ("", SOA), ("", NS), ("", DNSKEY),
             ("big", TXT), ("www", 46), ("x.y.nothing", 65281)]
WAYS = [dict(), dict(edns=1232), dict(edns=1232, dnssec=True), dict(edns=512), dict(flags=0x0100 | CD),
        dict(flags=0x0100 | AD, edns=4096), dict(flags=0x0100 | CD | AD, edns=1232, dnssec=True)]


def essence(answer):
    """What has to be the same: all but the ID, TTLs, the order of records, the size in the OPT, and
    options of the hop."""
    options = {code: data for code, data in answer.options.items() if code not in (3, 10, 11, 12)}
    edns = answer.edns and answer.edns[1]
    return (answer.flags, [sorted(s, key=repr) for s in answer.sections], edns, options, answer.question)


compared = 0
for server in (KNOT, UNBOUND, DNSMASQ):
    jitsud = Jitsud("-f", server)
    for label, kind in QUESTIONS:
        for way in WAYS:
            for tcp in (False, True):
                name = f"{label}.signed.example".strip(".")
                wire = query(name, kind, ident=random.randrange(65536), **way)
                for _ in range(2):  # a cache may answer the second time otherwise than the first
                    direct = ask(server, wire, tcp)
                through = ask(US, wire, tcp)
                what = f"{name} {kind} {way} tcp={tcp} through us from {server}"
                if not direct or not through:
                    fail(what, "no answer:", direct, through)
                same(what + ": ID", direct.ident, through.ident)
                if through.truncated and not direct.truncated:
                    # Only what is longer than we send: never more than 1232 bytes.
                    if len(direct.wire) <= 1232 and len(direct.wire) <= way.get("edns", 512):
                        fail(what, "truncated for nothing", len(direct.wire))
                elif direct.truncated:
                    same(what + ": TC", True, through.truncated)
                else:
                    same(what, essence(direct), essence(through))
                compared += 1
    if server == KNOT:  # it repeats the option that it knows
        ecs = struct.pack("!HHHBB", 8, 7, 1, 24, 0) + bytes([192, 0, 2])
        cookie = struct.pack("!HH", 10, 8) + b"jitsu-ab"
        through = ask(US, query("www.signed.example", A, edns=1232, options=ecs + cookie))
        same("client subnet, there and back", ask(KNOT, query("www.signed.example", A, edns=1232, options=ecs)).options.get(8),
             through.options.get(8))
        same("there is one", True, 8 in through.options)
    jitsud.stop()
print(f"{compared} queries: answered through us as by Knot DNS, unbound and dnsmasq themselves")

# --- a validator behind us, what is bogus, what is long ----------------------------------------
jitsud = Jitsud("-f", UNBOUND)
behind = validator(BEHIND, "behind", f'forward-zone:\n  name: "."\n  forward-addr: {US}\n')
for name, kind, rcode in (("www", A, NOERROR), ("odd", 65280, NOERROR), ("nothing", A, NXDOMAIN), ("mail", A, NOERROR),
                          ("big", TXT, NOERROR)):
    answer = ask(BEHIND, query(f"{name}.signed.example", kind, edns=1232, dnssec=True), tcp=True)
    same(f"validated behind us: {name}", (rcode, True), (answer.rcode, answer.authentic))
answer = ask(US, query("www.bogus.example", A, edns=1232))
same("bogus at the upstream", SERVFAIL, answer.rcode)
if answer.ede is None:
    fail("the upstream's extended error is not passed on", answer.options)
same("bogus, with CD", ["192.0.2.66"], ask(US, query("www.bogus.example", A, flags=0x0110)).addresses)
same("big by UDP", True, ask(US, query("big.signed.example", TXT)).truncated)
same("big by TCP", 14, len(ask(US, query("big.signed.example", TXT), tcp=True).sections[0]))
print("a validating unbound behind us authenticates; bogus is SERVFAIL, and there with CD; TC, then TCP")
stop(behind)
jitsud.stop()

# --- fail-over ---------------------------------------------------------------------------------
jitsud = Jitsud("-f", UNBOUND, "-f", KNOT)
same("from the first", True, ask(US, query("www.signed.example", A)).ra)
stop(upstream, 9)
answer = ask(US, query("mail.signed.example", MX))
same("the first is killed: from the second, an authority", (NOERROR, True), (answer.rcode, answer.aa))
upstream = validator(UNBOUND, "unbound-again", STUBS)
n = 0


def back():
    global n
    n += 1
    answer = ask(US, query(f"n{n}.signed.example", A))
    same("while it comes back", NXDOMAIN, answer.rcode)
    return not answer.aa


wait_for("the first is asked again", back)
jitsud.stop()
print("the first killed: the second answers; started again, it is asked again")

# --- resolv.conf ---------------------------------------------------------------------------------
resolv = write("resolv.conf", f"# none yet\nnameserver {US}\n")
jitsud = Jitsud("--resolv-conf", resolv)
same("no server but ourselves", REFUSED, ask(US, query("www.signed.example", A)).rcode)


def from_knot():
    global n
    n += 1
    answer = ask(US, query(f"n{n}.signed.example", A))
    return answer.rcode == NXDOMAIN and answer.aa


def from_unbound():
    global n
    n += 1
    answer = ask(US, query(f"n{n}.signed.example", A))
    return answer.rcode == NXDOMAIN and not answer.aa


write("resolv.conf", f"nameserver {KNOT}\n")
wait_for("written in place", from_knot)
os.rename(write("new", f"nameserver {UNBOUND}\noptions edns0\n"), resolv)
wait_for("replaced by rename", from_unbound)
os.makedirs(f"{scratch}/elsewhere")
target = write("elsewhere/stub.conf", f"nameserver {KNOT}\n")
os.unlink(resolv)
os.symlink(target, resolv)
wait_for("a link to elsewhere", from_knot)
os.rename(write("elsewhere/new", f"nameserver {UNBOUND}\n"), target)
wait_for("replaced where the link leads", from_unbound)
write("elsewhere/stub.conf", "")
time.sleep(0.5)
same("emptied: the last one stays", True, from_unbound())
for pid in filter(str.isdigit, os.listdir("/proc")):
    with open(f"/proc/{pid}/comm") as file:
        if file.read() == "jitsud-dns\n":
            os.kill(int(pid), 9)
wait_for("a new dns room has it too", lambda: ask(US, query(f"r{time.monotonic_ns()}.signed.example", A), timeout=1) is not None)
same("the new room", True, from_unbound())
jitsud.stop()
print("resolv.conf: written, renamed over, linked elsewhere, replaced there, emptied")

# --- who may, addresses that come ----------------------------------------------------------------
jitsud = Jitsud("-f", KNOT)
wire = query("www.signed.example", A, edns=1232)


def ask_from(source):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(PATIENCE)
        s.bind((source, 0))
        s.connect((US, 53))
        s.send(wire)
        return Answer(s.recv(65535))


subprocess.run(["ip", "addr", "add", "198.51.100.1/32", "dev", "lo"], check=True)
wait_for("a new address of the host may", lambda: ask_from("198.51.100.1").rcode == NOERROR)
jitsud.stop()
jitsud = Jitsud("-f", KNOT, "--allow-recursion", "198.51.100.0/24")
same("who is not listed", (REFUSED, 18, False), (lambda a: (a.rcode, a.ede, a.ra))(ask_from("127.0.0.1")))
same("who is listed", (NOERROR, ["192.0.2.10"]), (lambda a: (a.rcode, a.addresses))(ask_from("198.51.100.1")))
jitsud.stop()

# Another host, on a network of ours and from one that is not.
LAN, NEAR, FAR = "203.0.113.1", "203.0.113.2", "192.0.2.77"
far_host = start(["unshare", "-n", "sleep", "600"], "far_host.log")
wait_for("another host", lambda: os.readlink(f"/proc/{far_host.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
for command in ("link add lan type veth peer name wire", f"link set wire netns {far_host.pid}", "link set lan up",
                f"addr add {LAN}/24 dev lan", f"route add {FAR}/32 dev lan"):
    wait_for(f"ip {command}", lambda: subprocess.run(["ip"] + command.split(), capture_output=True).returncode == 0)
for command in ("link set wire up", f"addr add {NEAR}/24 dev wire", f"addr add {FAR}/32 dev wire"):
    subprocess.run(["nsenter", "-t", str(far_host.pid), "-n", "ip"] + command.split(), check=True)


def ask_from_far(source):
    code = (f"import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); "
            f"s.bind(('{source}', 0)); s.connect(('{LAN}', 53)); s.send({wire!r}); sys.stdout.buffer.write(s.recv(65535))")
    r = subprocess.run(["nsenter", "-t", str(far_host.pid), "-n", sys.executable, "-c", code], capture_output=True)
    return Answer(r.stdout) if r.returncode == 0 else None


jitsud = Jitsud("-f", KNOT, address=LAN, services=[
    {"name": "ours", "dns": "ours.example.org", "ip": "10.0.0.1", "nic": "br0", "sim_boot": 0, "sim_frame": 0}])
wait_for("the wire is up", lambda: ask_from_far(NEAR))
same("a host of our network", (NOERROR, ["192.0.2.10"]),
     (lambda a: (a.rcode, a.addresses))(ask_from_far(NEAR)))
same("a host of no network of ours", (REFUSED, 18, False), (lambda a: (a.rcode, a.ede, a.ra))(ask_from_far(FAR)))
wire = query("ours.example.org", A, edns=1232)
for source, may in ((FAR, False), (NEAR, True)):
    answer = ask_from_far(source)
    same(f"our own name, asked for from {source}", (NOERROR, ["10.0.0.1"], may), (answer.rcode, answer.addresses, answer.ra))
jitsud.stop()
print("allow_recursion: hosts of our networks by default, no others; new addresses of the host count; others are REFUSED, extended error 18")

# --- loops -----------------------------------------------------------------------------------------
r = subprocess.run([f"{O}/jitsud", "-x", "sim", "-b", "0.0.0.0", "-l", "5300", "-p", "5300", "-f", "198.51.100.1", "--control", f"{scratch}/x.sock",
                    "--persistdb", ":memory:", "--user", "nobody", "--foreground"], capture_output=True, text=True,
                   timeout=PATIENCE)
same("our own address as upstream: status", 2, r.returncode)
same("and why", True, "198.51.100.1" in r.stderr and "itself listens there" in r.stderr)
for name in ("dnsmasq", "unbound"):
    if name == "dnsmasq":
        stop(masq)
        jitsud = Jitsud("-f", DNSMASQ, log="loop-dnsmasq.log")
        looped = start([tools.path("dnsmasq"), "-k", "-C", "/dev/null", "-R", "-h", "-z", "-a", DNSMASQ, "-S", US,
                        "-u", "root", "--pid-file="], "looped.log", env=tools.env)
    else:
        stop(upstream)
        jitsud = Jitsud("-f", UNBOUND, log="loop-unbound.log")
        looped = validator(UNBOUND, "looped-unbound", f'forward-zone:\n  name: "."\n  forward-addr: {US}\n')
    time.sleep(0.5)
    began = time.monotonic()
    answer = ask(US, query("www.roundabout.example", A, edns=1232))
    took = time.monotonic() - began
    same(f"a loop through {name}", SERVFAIL, answer.rcode)
    noticed = "forwarding loop" in read(jitsud.log)
    if name == "dnsmasq":
        same(f"noticed through {name}", True, noticed)
    print(f"a loop through {name}: SERVFAIL after {took:.2f} s, {'noticed' if noticed else 'not noticed, but ended'}")
    stop(looped)
    jitsud.stop()
