#!/usr/bin/env python3
"""The scenario harness must be able to fail: scripts that are wrong, and what it says of each."""
import os
import subprocess
import sys
import tempfile

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
SCENARIO = os.path.join(os.environ.get("O", os.path.join(ROOT, "build")),
                        "tests/scenario/scenario")
WWW = ('add {"name":"www", "dns":"www.example.org", "ip":"10.0.0.1", "nic":"br0", '
       '"sim_boot":50, "sim_frame":50}\n')
ASKED = WWW + "query 1 www.example.org A\n"

# name, script, the line it fails in, a part of what is said
CASES = (
    ("no-answer", ASKED + "expect 1 NOERROR 10.0.0.1\n", 3,
     "query 1: expected NOERROR 10.0.0.1, there is no answer"),
    ("early", ASKED + "advance 100ms\nexpect-none 1\n", 4,
     "query 1: expected no answer, there is NOERROR 10.0.0.1"),
    ("other-address", ASKED + "advance 100ms\nexpect 1 NOERROR 10.0.0.2\n", 4,
     "expected NOERROR 10.0.0.2, there is NOERROR 10.0.0.1"),
    ("more-addresses", ASKED + "advance 100ms\nexpect 1 NOERROR\n", 4, "there is NOERROR 10.0.0.1"),
    ("other-rcode", ASKED + "advance 100ms\nexpect 1 SERVFAIL 10.0.0.1\n", 4, "there is NOERROR"),
    ("other-ttl", ASKED + "advance 100ms\nexpect 1 NOERROR 10.0.0.1 ttl=59\n", 4, "ttl=60"),
    ("other-state", WWW + "state www ready\n", 2, "state: expected ready, there is off"),
    ("other-boots", ASKED + "boots www 2\n", 3, "boots: expected 2, there is 1"),
    ("other-domains", ASKED + "domains 1\n", 3, "domains: expected 1, there is 0"),
    ("other-list", WWW + "list www two\n", 2, "services: expected www two, there are www"),
    ("refused-not", "refused ip service.add " + WWW[4:], 1, "expected its error"),
    ("other-field", 'refused dns service.add {"name":"x", "dns":"a.b"}\n', 1,
     "expected field dns, there is ip"),
    ("pending-not", WWW + 'rpc r service.get {"name":"www"}\npending r\n', 3,
     "expected no answer yet"),
    ("absent", "remove www\n", 1, "expected its result"),
    ("no-such-step", WWW + "\n# a comment\nfrobnicate\n", 4, "'frobnicate': no such step"),
    ("no-such-room", "kill xen\n", 1, "'xen' is none of"),
    ("no-time", "advance 5\n", 1, "expected a time"),
    ("no-json", "add {\n", 1, "is no JSON"),
    ("label-twice", ASKED + "query 1 www.example.org A\n", 3, "label '1' is taken"),
    ("nothing-held", "release engine->dns 1\n", 1, "holds fewer messages"),
    ("no-message", "messages engine->dns nonsense 0\n", 1, "no such message"),
    ("down-twice", "down dns\ndown dns\n", 2, "dns is down already"),
    ("not-in-the-log", "log nobody writes this\n", 1, "the log has nothing of"),
    ("error-in-the-log", "config service {}\nlist\n", 2, "a room logged an error"),
    ("repeat", WWW + "repeat 3 boots s%i 1\n", 2, "boots: expected 1, there is 0"),
)


def run(folder, name, script):
    path = os.path.join(folder, f"{name}.scn")
    with open(path, "w", encoding="utf-8") as f:
        f.write(script)
    done = subprocess.run([SCENARIO, path], stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout, path


def main():
    cases = [(*c, 1, "0 passed, 1 failed, 0 skipped") for c in CASES]
    cases.append(("skipped", "skip no reason\n", 0, "no reason", 0, "0 passed, 0 failed, 1 skipped"))
    cases.append(("passed", ASKED + "advance 100ms\nexpect 1 NOERROR 10.0.0.1\n", 0, "ok passed", 0,
                  "1 passed, 0 failed, 0 skipped"))
    print(f"1..{len(cases)}")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for i, (name, script, line, part, status, last) in enumerate(cases, 1):
            code, output, path = run(folder, name, script)
            first = output.splitlines()[0] if output else ""
            right = (code == status and part in first and output.splitlines()[-1] == last
                     and (line == 0 or first.startswith(f"not ok {name}: {path}:{line}: ")))
            if not right:
                failed += 1
                print(f"# expected line {line}, '{part}'; there is status {code}:\n# {first}")
            print(f"{'ok' if right else 'not ok'} {i} - {name}")
    return 1 if failed else 0


sys.exit(main())
