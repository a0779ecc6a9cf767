#!/usr/bin/env python3
"""jitsud under attack: floods of random names, forged sources, slow and idle TCP clients, a crawler that
asks for all that sleeps, names that no upstream answers, packets that are none. Meanwhile one client asks for
a hot name at a steady beat, and another wakes a service. Memory stays bounded, no more than 1 % of the hot
answers are lost, and afterwards all is as before.

    tests/net/attacks.py [--full]

--full: each for 10 s at a higher rate, for the table in daemon/dns/RFC.md. At a fixed rate: what is lost is
then lost by jitsud, and not for want of a processor.
"""
import collections
import ctypes
import os
import select
import socket
import statistics
import subprocess
import sys
import threading
import time

from net import *

FULL = "--full" in sys.argv
SECONDS, RATE = (10, 30000) if FULL else (1, 5000)
SLEEPERS = 4000
# What jitsud may hold for attackers, MB: 32 for queries that wait, 32 for TCP's buffers, the forwarder's
# table, and what malloc keeps.
BOUND = 96
# … and what it may keep when they have gone.
KEPT = 16
US, SLOW, DEAD = "198.18.0.1", "198.18.0.2", "198.18.0.3"

enter()
subprocess.run(["make", "-s", "-f", "tests/bench/bench.mk", f"O={O}"], cwd=ROOT, check=True)
sanitized = b"libasan" in open(f"{O}/jitsud", "rb").read()
if sanitized:
    BOUND, KEPT = 4 * BOUND, 4 * BOUND  # freed memory is kept apart, to be watched
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=64"

# --- three hosts: we, attackers, and clients ---------------------------------------------------------
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
for command in f"""netns add attackers
netns add clients
link add attack type veth peer name wire netns attackers
link add client type veth peer name wire netns clients
addr add {US}/32 dev lo
addr add {SLOW}/32 dev lo
addr add {DEAD}/32 dev lo
addr add 198.18.1.1/24 dev attack
addr add 198.18.2.1/24 dev client
link set attack up
link set client up
-n attackers link set lo up
-n attackers link set wire up
-n attackers addr add 198.18.1.2/24 dev wire
-n attackers route add default via 198.18.1.1
-n attackers route add local 10.0.0.0/8 dev lo
-n clients link set lo up
-n clients link set wire up
-n clients addr add 198.18.2.2/24 dev wire
-n clients route add default via 198.18.2.1
route add 10.0.0.0/8 via 198.18.1.2""".splitlines():
    subprocess.run(["ip"] + command.split(), check=True)


def serve_upstreams():
    """One that says NXDOMAIN after a second, and one that never says anything."""
    slow, dead = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    slow.bind((SLOW, 53))
    dead.bind((DEAD, 53))
    late = collections.deque()

    def run():
        while dead:
            readable, _, _ = select.select([slow], [], [], max(0, late[0][0] - time.monotonic()) if late else 1)
            if readable:
                wire, peer = slow.recvfrom(4096)
                late.append((time.monotonic() + 1, wire[:2] + b"\x81\x83" + wire[4:], peer))
            while late and late[0][0] <= time.monotonic():
                _, wire, peer = late.popleft()
                slow.sendto(wire, peer)

    threading.Thread(target=run, daemon=True).start()


# --- jitsud --------------------------------------------------------------------------------------------
services = []


def service(name, dns, ip, **keys):
    services.append({"name": name, "dns": dns, "ip": ip, "nic": "br0", "ttl": 3600, "response_delay": 0,
                     "sim_boot": 20, "sim_frame": 0, **keys})


HOT = [f"hot{i}" for i in range(100)]
BIG = [f"big{i}" for i in range(60)]
wakes = 0  # of services named fresh
for i, name in enumerate(HOT):
    service(name, f"{name}.example.org", f"192.0.2.{i + 1}", sim_boot=0)
for i, name in enumerate(BIG):
    service(name, "big.example.org", [f"203.0.113.{i + 1}"] + [f"198.51.{i}.{j}" for j in range(1, 15)], sim_boot=0)
for i in range(SLEEPERS):
    service(f"asleep{i}", f"asleep{i}.example.org", f"192.168.{i // 250}.{i % 250 + 1}")
for i in range(1000):
    service(f"fresh{i}", f"fresh{i}.example.org", f"192.168.{100 + i // 250}.{i % 250 + 1}", sim_boot=100)
service("wild", "*.wild.example.org", "192.0.2.200", sim_boot=100)
service("long", "*.long.example.org", "192.0.2.201", sim_boot=60000, wait_limit=2000)

serve_upstreams()
jitsud = Jitsud("--zones", "example.org", "-f", DEAD, "-f", SLOW, "--limits-exempt", "none", "--allow-recursion",
                "10.200.0.0/16", "--allow-recursion", "198.18.2.0/24", "--tcp-connections", "12000",
                services=services, address=US)


def rooms():
    """Their process ids by name."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as file:
                name = file.read().strip()
        except OSError:
            continue
        if name.startswith("jitsud"):
            found[name] = int(pid)
    return found


def field(pid, file, key):
    with open(f"/proc/{pid}/{file}") as lines:
        return next(int(x.split()[1]) for x in lines if x.startswith(key + ":")) / 1024


def dns_memory(key="VmRSS"):
    return field(pids["jitsud-dns"], "status", key)


def all_memory():
    return sum(field(pid, "smaps_rollup", "Pss") for pid in pids.values())


def schedule():
    """Seconds that the dns room ran, and that it waited for a processor."""
    with open(f"/proc/{pids['jitsud-dns']}/schedstat") as file:
        ran, waited, _ = file.read().split()
    return int(ran) / 1e9, int(waited) / 1e9


def overflows():
    """Packets that found no room in jitsud's socket."""
    with open(f"/proc/{jitsud.process.pid}/net/udp") as file:
        sockets = [x.split() for x in file]
    ours = socket.inet_aton(US)[::-1].hex().upper() + ":0035"
    return sum(int(x[-1]) for x in sockets if x[1] == ours)


def status(key):
    return jitsud.call("daemon.status")[key]


wait_for("all services are there", lambda: status("services") == len(services))
for name in HOT + BIG:
    jitsud.call("service.start", {"name": name})
pids = rooms()
same("jitsud's processes", ["jitsud", "jitsud-dns", "jitsud-engine", "jitsud-toolstac"], sorted(pids))

# From here on we are a client.
with open("/run/netns/clients") as clients:
    if ctypes.CDLL(None, use_errno=True).setns(clients.fileno(), 0x40000000):
        fail("setns", os.strerror(ctypes.get_errno()))


# --- clients that are none of the attackers ----------------------------------------------------------------
def resolve(name, tries=3):
    """As a stub resolver does: again after a while, over TCP if told so."""
    wire = query(name, A, ident=int.from_bytes(os.urandom(2), "big"), edns=1232)
    for _ in range(tries):
        answer = ask(US, wire, timeout=2)
        if answer is not None and answer.truncated:
            answer = ask(US, wire, tcp=True, timeout=2)
        if answer is not None:
            return answer
    return None


def wake():
    """The answer to the first query for a service that sleeps, and how long it took, in seconds."""
    global wakes
    name = f"fresh{wakes}.example.org"
    wakes += 1
    began = time.monotonic()
    answer = resolve(name)
    return answer, time.monotonic() - began


def hot():
    began = time.monotonic()
    answer = ask(US, query("hot0.example.org", A), timeout=2)
    took = time.monotonic() - began
    return took if answer is not None and answer.addresses == ["192.0.2.1"] else None


wait_for("what is hot is up", lambda: status("boots") == len(HOT + BIG))
wait_for("a hot answer", hot)
same("the big answer's addresses", 60 * 15, len(ask(US, query("big.example.org", A), tcp=True).addresses))
usual = sorted(hot() or fail("no answer to a hot query") for _ in range(50))
answer, usual_wake = wake()
same("the answer after a wake", ["192.168.100.1"], answer.addresses)
# The scheduler of a busy machine may take so much.
AS_BEFORE = max(10 * usual[-1], 0.05)


def recover():
    """Seconds until a hot answer takes what it took, and until a service wakes as one did."""
    began = time.monotonic()
    while (took := hot()) is None or took > AS_BEFORE:
        if time.monotonic() - began > PATIENCE:
            fail(f"hot answers still take {took} s {PATIENCE} s after the attack")
    hot_again = time.monotonic() - began
    while True:
        answer, took = wake()
        if answer is not None and answer.addresses and answer.ede is None:
            return hot_again, time.monotonic() - began - took
        if time.monotonic() - began > PATIENCE:
            fail(f"services do not wake {PATIENCE} s after the attack:", answer and (answer.rcode, answer.ede))
        time.sleep(0.1)


# --- attacks ----------------------------------------------------------------------------------------------------
def storm(sources, kind, *names, rate=RATE):
    return ["storm", "-a", sources, "-q", str(rate), "-s", "120", US, "53", kind, *names]


def crowd(sources, connections, kind, again=True):
    return ["crowd", "-a", sources, "-c", str(connections), "-s", "120", *(["-r"] if again else []), US, "53", kind,
            "big.example.org"]


RCODES = ("sent", "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "others", "truncated")
CONNECTIONS = ("opened", "refused", "closed", "open")
rows = []


def attack(label, command, during=None):
    """Runs it; what it sent and got, how many services were started meanwhile that no client of ours woke, and
    the seconds it took."""
    with open(f"/proc/{pids['jitsud-dns']}/clear_refs", "w") as file:
        file.write("5")  # the peak counts from here
    before, peak = all_memory(), 0
    boots, woken, dropped, (ran, waited) = status("boots"), wakes, overflows(), schedule()
    prober = subprocess.Popen([f"{O}/bench/pinger", "-i", "6667", "-w", "3000", "-o", f"{scratch}/pings", US, "53",
                               "hot0.example.org"], stdout=subprocess.PIPE, text=True)
    began = time.monotonic()
    attacker = subprocess.Popen(["ip", "netns", "exec", "attackers", f"{O}/bench/{command[0]}"] + command[1:],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    time.sleep(0.4)
    answer, took = wake()
    if answer is None or answer.rcode != NOERROR or not answer.addresses:
        fail(f"{label}: a client's wake meanwhile:", answer and (answer.rcode, answer.ede, answer.flags))
    if during:
        during()
    while attacker.poll() is None and time.monotonic() - began < SECONDS:
        peak = max(peak, all_memory())
        time.sleep(0.1)
    peak = max(peak, all_memory())
    attacker.terminate()
    attacker.wait(PATIENCE)
    seconds = time.monotonic() - began
    ran, waited = (now - then for now, then in zip(schedule(), (ran, waited)))
    hot_again, wakes_again = recover()
    prober.terminate()
    out = attacker.stdout.read()
    if attacker.returncode:
        fail(label, "the attack failed:", out)
    got = collections.Counter(dict(zip(RCODES if command[0] == "storm" else CONNECTIONS, map(int, out.split()))))
    asked, lost, bad = map(int, prober.communicate()[0].split())
    with open(f"{scratch}/pings") as file:
        waits = [int(x) / 1000 for x in (line.split()[2] for line in file) if x != "-"]
    same(f"{label}: processes", pids, rooms())
    same(f"{label}: hot answers that are none", 0, bad)
    wait_for(f"{label}: memory is given back", lambda: all_memory() - first_all <= KEPT)
    after, dropped = all_memory(), overflows() - dropped
    rows.append([label, *(f"{x:.0f}" for x in (before, peak, after)), asked, lost, f"{statistics.median(waits):.1f}",
                 f"{max(waits):.0f}", f"{took * 1000:.0f}", f"{hot_again * 1000:.0f}", f"{wakes_again:.1f}",
                 f"{100 * ran / seconds:.0f}", f"{100 * waited / seconds:.0f}"])
    print(f"{label}: {' '.join(f'{k} {v}' for k, v in got.items() if v)}; the room waited {waited:.1f} s for a "
          f"processor, {dropped} packets found no room", flush=True)
    most = dns_memory("VmHWM")
    if most - first > BOUND or peak - first_all > BOUND:
        fail(f"{label}: {most:.0f} MB in the dns room ({first:.0f} at first), {peak:.0f} in all "
             f"({first_all:.0f}): more than {BOUND} for an attack")
    # Unless the kernel threw them away while others had the processor.
    if lost > asked / 100 and not (dropped and waited > seconds / 10):
        fail(f"{label}: {lost} of {asked} hot answers lost")
    if not got.get("sent", got.get("opened")):
        fail(f"{label}: there was none:", out)
    return got, status("boots") - boots - (wakes - woken), seconds


def asleep():
    """Fresh names that sleep, as a file."""
    return write("asleep", "".join(f"asleep{i}.example.org\n" for i in range(SLEEPERS)))


first, first_all = dns_memory(), all_memory()
HERE_RANDOM, ADDRESSES, NETWORKS = "10.200.0.1/60000/1", "10.100.0.1/60000/1", "10.1.0.1/60000/256"



def foreign():
    if ask(US, query("someone.example.net", A), timeout=10) is None:
        fail("a foreign name meanwhile: no answer")


def tcp_client():
    if ask(US, query("hot2.example.org", A), tcp=True) is None:
        fail("TCP meanwhile: no answer")


def all_open():
    wait_for("they are all open", lambda: len(os.listdir(f"/proc/{pids['jitsud-dns']}/fd")) > 10000)
    tcp_client()


# 1. Random subdomains: none of them can be known beforehand.
got, boots, _ = attack("random names in a zone", storm(NETWORKS, "random", "example.org"))
same("answers to random names", {"sent", "NXDOMAIN"}, set(+got))
same("services started by them", 0, boots)
_, boots, _ = attack("... below a wildcard", storm(NETWORKS, "random", "wild.example.org"))
same("services started: the wildcard's", 1, boots)
attack("... whose service takes a minute", storm(NETWORKS, "random", "long.example.org"))

# 2. Sources that are not the sender's: they make answers, and start services, for others.
FORGED = "hot1.example.org", "asleep0.example.org", "absent.example.org"
attack("60,000 forged addresses", storm(ADDRESSES, "names", *FORGED))
attack("60,000 forged networks", storm(NETWORKS, "names", *FORGED))

# 3. and 4. Connections: 2,000 that ask for 3 MB each and read nothing, or send a byte now and then; idle ones.
attack("slow readers", crowd("10.1.0.1/64/256", 2000, "reader"), tcp_client)
attack("slow writers", crowd("10.1.0.1/64/256", 2000, "writer"), tcp_client)
attack("10,000 idle connections", crowd("10.1.0.1/250/256", 10000, "idle"), all_open)
attack("... of one network", crowd("10.9.9.1/250/1", 10000, "idle"), tcp_client)

# 5. A crawler asks for all that sleeps.
_, boots, seconds = attack("a crawler: all that sleeps", storm("10.7.7.1/250/1", "file", asleep()))
if not 20 < boots <= 5 * (10 + seconds):
    fail(f"{boots} services started by one network in {seconds:.1f} s: at most 50, and 5 a second")
_, boots, seconds = attack("... of 60,000 networks", storm(NETWORKS, "file", asleep()))
if not 20 < boots <= 50 * (10 + seconds):
    fail(f"{boots} services started in {seconds:.1f} s: at most 500, and 50 a second")

# 6. Names that are not ours, for those who may ask for them, while no upstream is of any use.
attack("names elsewhere, upstreams dead", storm(HERE_RANDOM, "random", "com", "net"), foreign)
# And packets that are none.
attack("packets that are none", storm(NETWORKS, "malformed", *FORGED, "x.wild.example.org"))

print(f"\nUDP: {RATE} packets a second; each attack {SECONDS} s or a little more. Before: a hot answer in "
      f"{1000 * statistics.median(usual):.1f} ms,\na service woken in {1000 * usual_wake:.0f} ms (its boot takes "
      "100). PSS of all processes; the answer to one who wakes a service\nduring the attack; after it, the time "
      "until an answer takes no longer than before, and until a service wakes. CPU: of the dns\n"
      "process; \"none\": it would have run, and others had the processor.\n")
WIDTHS = 32, 7, 6, 6, 8, 5, 8, 8, 8, 9, 9, 6, 6
print(f"{'':32}{'PSS, MB':^19}{'hot answers, ms':^31}{'wake':>6}{'again after':^20}{'dns: CPU, %':>13}")
for row in [("", "before", "peak", "after", "asked", "lost", "median", "longest", "ms", "hot, ms", "wake, s", "used", "none")] + rows:
    print(f"{row[0]:{WIDTHS[0]}}" + "".join(f"{x:>{w}}" for x, w in zip(row[1:], WIDTHS[1:])))
jitsud.stop()
