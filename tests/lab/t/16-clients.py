#!/usr/bin/env python3
"""Stock clients wake services; other names are forwarded, or refused."""
# timeout: 600

import os
import re
import socket
import struct
import threading

import jitsu
from jitsu import A, AAAA, NOERROR, NXDOMAIN, REFUSED, TXT, ask, call, get, linux, note, run, same, tiny

UPSTREAM = "127.0.0.2"


class Upstream(threading.Thread):
    """A name server for all other names, UDP and TCP: 192.0.2.1 to each question for an address."""

    def __init__(self):
        super().__init__(daemon=True)
        self.asked = []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((UPSTREAM, 5300))
        self.tcp = socket.create_server((UPSTREAM, 5300))
        threading.Thread(target=self.serve_tcp, daemon=True).start()
        self.start()

    def reply(self, wire):
        end = wire.index(b"\0", 12) + 5
        self.asked.append(wire[12:end])
        record = b"\xc0\x0c" + struct.pack("!HHIH4B", 1, 1, 30, 4, 192, 0, 2, 1)
        return wire[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + wire[12:end] + record

    def run(self):
        while True:
            wire, client = self.udp.recvfrom(4096)
            self.udp.sendto(self.reply(wire), client)

    def serve_tcp(self):
        while True:
            client, _ = self.tcp.accept()
            with client:
                wire = client.recv(4096)
                answer = self.reply(wire[2:])
                client.sendall(struct.pack("!H", len(answer)) + answer)


def asleep(name):
    same(f"{name} before", (False, 0), (name in jitsu.domains().values(), get(name)["boots"]))


def woken(client, name):
    same(f"{client}: boots of {name}", 1, get(name)["boots"])
    same(f"{client}: the domain", True, name in jitsu.domains().values())


upstream = Upstream()
daemon = jitsu.start("-f", UPSTREAM, "-p", "5300", clean=True)
with open("/etc/resolv.conf", "w") as file:
    file.write(f"nameserver {jitsu.SERVER}\n")
with open("queries", "w") as file:
    file.write("by-dnsperf.test A\n" * 50)

clients = {
    "dig": ["dig", "@" + jitsu.SERVER, "+short", "+time=80", "by-dig.test"],
    "dig-tcp": ["dig", "@" + jitsu.SERVER, "+tcp", "+short", "+time=80", "by-dig-tcp.test"],
    "kdig": ["kdig", "@" + jitsu.SERVER, "+time=80", "+short", "by-kdig.test"],
    "drill": ["drill", "-Q", "by-drill.test", "@" + jitsu.SERVER],
    "glibc": ["getent", "ahostsv4", "by-glibc.test"],
    "dnsperf": ["dnsperf", "-s", jitsu.SERVER, "-d", "queries", "-n", "1", "-c", "5", "-t", "80"],
    "curl": ["curl", "-s", "-m", "60", "--retry", "9", "--retry-connrefused", "--retry-delay", "1",
             "http://by-curl.test/"],
}
for i, (client, command) in enumerate(clients.items()):
    name, address = f"by-{client}", f"10.0.0.{71 + i}"
    call("service.add", linux(name, address, "pvh", wait_limit=60000, response_delay=1) if client == "curl"
         else tiny(name, address))
    asleep(name)
    out = run(*command, timeout=jitsu.PATIENCE)
    woken(client, name)
    if client == "dnsperf":
        counts = dict(re.findall(r"Queries (sent|completed|lost): +(\d+)", out))
        same("dnsperf: queries", {"sent": "50", "completed": "50", "lost": "0"}, counts)
        same("dnsperf: answers", True, "NOERROR 50 (100.00%)" in out)
    elif client == "curl":
        same("curl: the page", ["jitsu-lab-guest", f"hostname {name}"], out.splitlines()[:2])
    else:
        same(f"{client}: the address", True, address in out.split())
note("resolved a sleeping service:", ", ".join(clients))

# A boot that takes longer than an answer is held: the answer comes at the limit all the same.
slow = linux("slow", "10.0.0.69", switches="arp_delay=3")
del slow["wait_limit"]
call("service.add", slow)
out = run("getent", "ahostsv4", "slow.test", timeout=jitsu.PATIENCE)
same("glibc: the address of a slow one", True, "10.0.0.69" in out.split())
boot = get("slow")["boot"]
same("answered at the limit", True, boot["late"])
jitsu.expect_page("10.0.0.69", "slow")

# What our names do not have.
for kind in (AAAA, TXT):
    answer = ask("slow.test", kind)
    same(f"NODATA for type {kind}", (NOERROR, 0, 1), (answer.rcode, answer.count, answer.authority))
same("upper case", ["10.0.0.69"], ask("SLOW.Test").addresses)
same("nothing of ours was forwarded", [], [q for q in upstream.asked if b"test" in q.lower()])

# Other names, forwarded.
same("a forwarded name", ["192.0.2.1"], ask("www.example.org").addresses)
same("a forwarded name by TCP", "192.0.2.1", run("dig", "@" + jitsu.SERVER, "+tcp", "+short", "tcp.example.org").strip())
same("a forwarded name by glibc", True, "192.0.2.1" in run("getent", "ahostsv4", "glibc.example.org").split())
same("questions upstream", {b"www", b"tcp", b"glibc"},
     {q[1:1 + q[0]].lower() for q in upstream.asked if b"example" in q.lower()})
same("a name below a service's is not the service's, and one of test stays home", NXDOMAIN,
     ask("x.slow.test").rcode)
same("nor was that forwarded", [], [q for q in upstream.asked if b"slow" in q.lower()])
jitsu.stop_jitsud(daemon)

daemon = jitsu.start("-f", "0.0.0.0")
count = len(upstream.asked)
same("with -f 0.0.0.0", REFUSED, ask("www.example.org", A).rcode)
same("dig says", True, "status: REFUSED" in jitsu.dig("www.example.org"))
same("a service, still", ["10.0.0.69"], ask("slow.test").addresses)
same("questions upstream with -f 0.0.0.0", count, len(upstream.asked))
note("other names: forwarded by UDP and TCP with -f, REFUSED with -f 0.0.0.0")
for service in jitsu.services():
    call("service.remove", {"name": service["name"]})
jitsu.stop_jitsud(daemon)
os.truncate("/etc/resolv.conf", 0)
