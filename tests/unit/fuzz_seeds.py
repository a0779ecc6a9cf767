#!/usr/bin/env python3
"""Every fuzz harness takes its seeds, and what fuzzing once found."""
import glob
import os
import subprocess
import sys

BUILD = os.path.abspath(os.environ.get("O", "build"))
failed = 0
names = sorted(os.listdir("tests/fuzz/seeds"))
for number, name in enumerate(names, 1):
    run = subprocess.run([os.path.join(BUILD, "tests/fuzz", name), f"tests/fuzz/seeds/{name}",
                          *glob.glob(f"tests/fuzz/found/{name}-*")],
                         capture_output=True, text=True, errors="replace", check=False)
    failed += run.returncode != 0
    print(f"{'ok' if run.returncode == 0 else 'not ok'} {number} - {name}: {run.stdout.strip()}")
    if run.returncode:
        print(run.stderr[-3000:])
print(f"1..{len(names)}")
sys.exit(1 if failed else 0)
