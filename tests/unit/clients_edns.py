#!/usr/bin/env python3
"""What dig, kdig and drill make of our EDNS: cookies that they send back and that we take, NSID, keep-alive,
extended errors, BADVERS, truncation and the way to TCP; each client by name, those that are not there skipped."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

O = os.environ.get("O", "build")

SERVICES = [{"name": "up", "dns": ["up.example.org", "*.wild.example.org"], "ip": ["10.0.0.1", "2001:db8::1"],
             "pinned": True, "sim_boot": 0, "sim_frame": 0},
            {"name": "many", "dns": "many.example.org", "ip": [f"10.1.0.{i}" for i in range(60)], "pinned": True,
             "sim_boot": 0, "sim_frame": 0},
            {"name": "broken", "dns": "broken.example.org", "ip": "10.0.0.2", "sim_fail": "no such kernel"},
            {"name": "huge", "dns": "huge.example.org", "ip": "10.0.0.3", "memory": "900G"},
            {"name": "slow", "dns": "slow.example.org", "ip": "10.0.0.4", "sim_boot": 60000}]

# Client and arguments, then what the output must have.
CASES = [
    ("dig +cookie up.example.org A", r"COOKIE: [0-9a-f]{48} \(good\)[\s\S]*up\.example\.org\.\s+60\s+IN\s+A\s+10\.0\.0\.1"),
    ("dig +nsid up.example.org AAAA", r'NSID: .*"edns-test"\)[\s\S]*2001:db8::1'),
    ("dig +tcp +keepalive up.example.org", r"TCP[ -]KEEPALIVE: 10\.0 secs"),
    ("dig broken.example.org", r"status: SERVFAIL[\s\S]*EDE: 0 .*failed to start"),
    ("dig huge.example.org", r"status: SERVFAIL[\s\S]*EDE: 0 .*no memory for the service"),
    ("dig slow.example.org", r"status: NOERROR[\s\S]*EDE: 14 .*starting[\s\S]*10\.0\.0\.4"),
    ("dig elsewhere.example.com", r"status: REFUSED[\s\S]*EDE: 20"),
    ("dig absent.example.org", r"status: NXDOMAIN[\s\S]*flags: qr aa rd[\s\S]*example\.org\.\s+60\s+IN\s+SOA"),
    ("dig +edns=1 +noednsneg up.example.org", r"status: BADVERS[\s\S]*EDNS: version: 0"),
    ("dig +noedns +ignore many.example.org", r"flags: qr aa tc"),
    ("dig +noedns many.example.org", r"Truncated, retrying in TCP mode[\s\S]*ANSWER: 60"),
    ("dig +opcode=notify up.example.org SOA", r"status: REFUSED"),
    ("dig +opcode=status up.example.org", r"status: NOTIMP"),
    ("dig +ednsopt=65001:00ff +bufsize=512 x.wild.example.org", r"x\.wild\.example\.org\.\s+60\s+IN\s+A\s+10\.0\.0\.1"),
    ("dig example.org AXFR", r"Transfer failed"),
    ("dig CH TXT id.server", r'"edns-test"'),
    ("dig -x 10.0.0.1", r"PTR\s+up\.example\.org\."),
    ("dig +qr +cookie ANY up.example.org +notcp", r'HINFO\s+"RFC8482" ""'),
    ("kdig +cookie up.example.org", r"COOKIE: [0-9A-F]{48}[\s\S]*10\.0\.0\.1"),
    ("kdig +nsid up.example.org", r"edns-test"),
    ("kdig +tcp +keepopen up.example.org up.example.org AAAA", r"10\.0\.0\.1[\s\S]*2001:db8::1"),
    ("kdig +edns broken.example.org", r"SERVFAIL[\s\S]*failed to start"),
    ("kdig +edns=7 up.example.org", r"BADVERS"),
    ("drill up.example.org A", r"rcode: NOERROR[\s\S]*10\.0\.0\.1"),
    ("drill example.org NS", r"ns\.example\.org\.[\s\S]*ADDITIONAL SECTION[\s\S]*127\.0\.0\.1"),
    ("drill absent.example.org", r"rcode: NXDOMAIN"),
    ("drill -t many.example.org", r"ANSWER: 60"),
]


def free_port():
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        udp.bind(tcp.getsockname())
        return tcp.getsockname()[1]


def command(client, arguments, port):
    return [client, "@127.0.0.1", "-p", str(port), *arguments.split()]


def main():
    folder, port = tempfile.mkdtemp(prefix="jitsu-clients-"), free_port()
    with open(f"{folder}/services.json", "w", encoding="ascii") as f:
        json.dump(SERVICES, f)
    os.mkdir(f"{folder}/none")
    daemon = subprocess.Popen(
        [f"{O}/jitsud", "--foreground", "--log-level", "error", "-x", "sim", "-l", str(port), "-f", "0.0.0.0",
         "-d", "0", "--persistdb", ":memory:", "--control", f"{folder}/control.sock", "--services",
         f"{folder}/services.json", "--services-dir", f"{folder}/none", "--zones", "example.org", "--identity",
         "edns-test", "--user", "nobody"])
    failed = 0
    try:
        for _ in range(300):
            if os.path.exists(f"{folder}/control.sock"):
                break
            time.sleep(0.1)
        time.sleep(1)
        print(f"1..{len(CASES)}")
        for number, (line, expected) in enumerate(CASES, 1):
            client, arguments = line.split(" ", 1)
            if not shutil.which(client):
                print(f"ok {number} # SKIP {client} is not installed")
                continue
            said = subprocess.run(command(client, arguments, port), stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=60, check=False).stdout
            good = re.search(expected, said)
            failed += not good
            print(f"{'ok' if good else 'not ok'} {number} - {line}")
            if not good:
                print("\n".join(f"# {text}" for text in said.splitlines()))
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)
        shutil.rmtree(folder)
    return 1 if failed or daemon.returncode else 0


sys.exit(main())
