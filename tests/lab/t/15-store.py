#!/usr/bin/env python3
"""What was acknowledged is there after kill -9."""
# timeout: 600

import json
import os
import signal

import jitsu
from jitsu import GUESTS, call, note, same, tiny, wait_for

COUNT = 50


def specs():
    return {s["name"]: call("service.get", {"name": s["name"]})["spec"] for s in jitsu.services()}


def kill_all(parent):
    jitsu.kill_all(parent)
    wait_for(jitsu.PATIENCE, lambda: not jitsu.processes(), "all to be dead")


def whole(i):
    """A service that uses most of the keys."""
    return {"name": f"s{i}", "dns": [f"s{i}.test", f"www.s{i}.test"], "ip": [f"10.2.{i}.1", f"fd00::{i + 1:x}"],
            "kernel": f"{GUESTS}/linux.vmlinuz", "ramdisk": f"{GUESTS}/linux.initrd",
            "cmdline": 'a="b c",d=\u00e9 \\ \'', "memory": 65536 + i, "vcpus": 1, "type": "pvh",
            "nic": ["xenbr0", "xenbr1"], "mac": ["00:16:3e:00:00:01", "00:16:3e:00:00:02"], "ttl": i,
            "response_delay": 0.25, "wait_limit": 100 + i, "stop_mode": "destroy"}


parent = jitsu.start(clean=True)
for i in range(COUNT):
    if i % 10 == 0:
        with open("service.json", "w") as file:
            json.dump(whole(i), file)
        same(f"jitsuctl add s{i}", (0, ""), jitsu.jitsuctl("add", "service.json")[::2])
    else:
        call("service.add", whole(i))
before = specs()
same("services before", COUNT, len(before))
kill_all(parent)
parent = jitsu.start()
same("services after kill -9 of everything", before, specs())
for i in (0, 7, 49):
    same(f"what s{i} was given", {}, {k: v for k, v in whole(i).items()
                                     if k not in ("memory", "dns", "ip") and before[f"s{i}"].get(k) != v})

# The instant that one is acknowledged, or its removal.
for i in range(10):
    call("service.add", tiny(f"last{i}", f"10.3.0.{i + 1}"))
    kill_all(parent) if i % 2 else os.kill(jitsu.room(parent, "engine"), signal.SIGKILL)
    parent = jitsu.start() if i % 2 else parent
    same(f"services after adding last{i}", COUNT + i + 1, len(jitsu.services()))
for i in range(4):
    call("service.remove", {"name": f"last{i}"})
    os.kill(jitsu.room(parent, "engine"), signal.SIGKILL)
    same(f"services after removing last{i}", COUNT + 9 - i, len(jitsu.services()))
same("the first ones, in the end", before, {k: v for k, v in specs().items() if k in before})
note(f"{COUNT} services equal after kill -9 of everything; 10 adds and 4 removals, each killed at its acknowledgement")
jitsu.stop_jitsud(parent)
