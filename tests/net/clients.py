#!/usr/bin/env python3
"""Stock clients resolve sleeping services, and what each sees of a boot of 400 ms, of one that is
longer than an answer is held (3 s), of one whose answer is held for 4 s, and of one that fails."""
import os
import re
import subprocess
import sys
import threading
import time

from net import *

PACKAGES = ("unbound", "systemd-resolved", "bind9-dnsutils", "knot-dnsutils", "ldnsutils", "dnsperf")
if os.environ.get("JITSU_NET") != "inside":
    os.environ["SERVERS"] = unpack(*PACKAGES)
enter()
# With loopback alone getaddrinfo asks nobody (AI_ADDRCONFIG), and systemd-resolved says network-down.
for command in ("link add lan type veth peer name wire", "link set lan up", "link set wire up",
                "addr add 198.51.100.1/24 dev lan"):
    subprocess.run(["ip"] + command.split(), check=True)
tools = Tools(os.environ["SERVERS"])
US, UNBOUND, RESOLVED = "127.0.0.1", "127.0.0.14", "127.0.0.53"

# --- a file system of our own: resolv.conf, and systemd-resolved's user --------------------------
subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def put(path, text):
    """In place of the machine's own file, for us alone."""
    if not os.path.exists(path):
        skip(f"{path} is not there, to be put another in its place")
    subprocess.run(["mount", "--bind", write(path.replace("/", "_"), text), path], check=True)


put("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: dns\n")
resolv = write("_etc_resolv.conf", "")
subprocess.run(["mount", "--bind", resolv, os.path.realpath("/etc/resolv.conf")], check=True)


def use(server):
    with open("/etc/resolv.conf", "w") as file:
        file.write(f"nameserver {server}\n")


# --- services: one for each client and kind, each asked for once -----------------------------------
KINDS = {  # boot in ms, wait_limit in ms; what is seen
    "short": dict(sim_boot=400),
    "long": dict(sim_boot=3000),
    "held": dict(sim_boot=3000, wait_limit=4000),
    "failing": dict(sim_fail="the image is broken"),
}
CLIENTS = ("dig", "dig-tcp", "kdig", "drill", "getent-glibc", "getent-unbound", "getent-resolved", "dnsperf")
services, addresses = [], {}
for k, (kind, keys) in enumerate(KINDS.items()):
    for c, client in enumerate(CLIENTS):
        name = f"{kind}-{client}"
        addresses[name] = f"10.0.{k}.{c + 1}"
        services.append({"name": name, "dns": f"{name}.example.org", "ip": addresses[name], "nic": "br0",
                         "response_delay": 0, "sim_frame": 0, **keys})
jitsud = Jitsud("-f", "0.0.0.0", "--wakes", "0", "--wakes-per-network", "0", "--boots", "64", services=services)

# --- the resolvers in front of us ----------------------------------------------------------------
unbound(tools, UNBOUND, "unbound", '  module-config: "iterator"', f"""forward-zone:
  name: "."
  forward-addr: {US}""")

with open("/etc/passwd") as file:
    put("/etc/passwd", "".join(x for x in file if not x.startswith("systemd-resolve:"))
        + "systemd-resolve:x:64999:64999::/:/usr/sbin/nologin\n")
with open("/etc/group") as file:
    put("/etc/group", "".join(x for x in file if not x.startswith("systemd-resolve:")) + "systemd-resolve:x:64999:\n")
subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
os.makedirs("/run/systemd/resolve")
os.chown("/run/systemd/resolve", 64999, 64999)
os.makedirs("/run/systemd/resolved.conf.d")
with open("/run/systemd/resolved.conf.d/test.conf", "w") as file:
    file.write(f"[Resolve]\nDNS={US}\nDomains=~.\nLLMNR=no\nMulticastDNS=no\nDNSSEC=no\nDNSOverTLS=no\n")
resolved = start([tools.path("systemd-resolved")], "resolved.log", env=tools.env)
answers(RESOLVED, "localhost")

# --- the clients -------------------------------------------------------------------------------------
COMMANDS = {
    "dig": (US, ["dig", f"@{US}"]),
    "dig-tcp": (US, ["dig", f"@{US}", "+tcp"]),
    "kdig": (US, ["kdig", f"@{US}"]),
    "drill": (US, ["drill", f"@{US}"]),
    "getent-glibc": (US, ["getent", "ahostsv4"]),
    "getent-unbound": (UNBOUND, ["getent", "ahostsv4"]),
    "getent-resolved": (RESOLVED, ["getent", "ahostsv4"]),
    "dnsperf": (US, ["dnsperf", "-s", US, "-n", "1", "-c", "5", "-t", "10", "-d"]),
}


def run(client, kind):
    """Its output, and how long it took, in seconds."""
    name = f"{kind}-{client}.example.org"
    server, command = COMMANDS[client]
    if client == "dnsperf":
        name = write("queries", f"{name} A\n" * 50)
    use(server)
    env = tools.env if tools.path(command[0]).startswith(tools.folder) else os.environ
    began = time.monotonic()
    r = subprocess.run([tools.path(command[0])] + command[1:] + [name], capture_output=True, text=True, env=env,
                       timeout=PATIENCE * 2)
    return r.stdout + r.stderr, time.monotonic() - began


def shown(name):
    return next(s for s in jitsud.call("service.list")["services"] if s["name"] == name)


def is_right(client, kind, out):
    if client == "dnsperf":
        return re.search(r"Queries completed: +50 ", out) and "NOERROR 50 (100.00%)" in out
    return addresses[f"{kind}-{client}"] in out.split()


table = {}
for kind in KINDS:
    for client in CLIENTS:
        before = shown(f"{kind}-{client}")
        same(f"{kind}-{client} sleeps before", 0, before["boots"])
        out, took = run(client, kind)
        if kind == "failing":
            if is_right(client, kind, out):
                fail(client, "got an address for a service that does not boot:", out)
            seen = {"dig": "status: SERVFAIL", "dig-tcp": "status: SERVFAIL", "kdig": "status: SERVFAIL",
                    "drill": "rcode: SERVFAIL", "dnsperf": "SERVFAIL 50 (100.00%)"}.get(client, "")
            if seen not in out:
                fail(client, "expected", seen, "got:", out)
            table[kind, client] = f"{'no address' if not seen else 'SERVFAIL'} {took:.1f}"
            continue
        if not is_right(client, kind, out):
            fail(f"{client}, {kind}: expected {addresses[f'{kind}-{client}']} after {took:.1f} s, got:", out)
        after = shown(f"{kind}-{client}")
        same(f"{kind}-{client}: boots", 1, after["boots"])
        if kind == "short" and took < 0.4 or kind == "held" and took < 3:
            fail(f"{client}, {kind}: answered after {took:.2f} s, before the service was there")
        if kind == "long" and took >= 3 and COMMANDS[client][0] == US:
            fail(f"{client}, {kind}: answered after {took:.2f} s only: not at the limit")
        table[kind, client] = f"{took:.1f}"

print(f"{'seconds to the answer':18}" + "".join(f"{kind:>17}" for kind in KINDS))
for client in CLIENTS:
    print(f"{client:18}" + "".join(f"{table[kind, client]:>17}" for kind in KINDS))
jitsud.stop()
