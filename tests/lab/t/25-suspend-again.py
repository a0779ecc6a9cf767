#!/usr/bin/env python3
"""A guest that is told to suspend while its drivers still resume from the last time comes back all the same."""
# timeout: 600
# takes: 45

import itertools
import time

import jitsu
from jitsu import call, linux, note, now, page, same, wait_for

ADDRESS, SECONDS, LEAST = "10.0.0.82", 25, 12
DELAYS = itertools.cycle((0, 0.01, 0, 0.03, 0.06, 0.1, 0, 0.2))  # s from the start's answer to the next suspend
IN_A_ROW = 3
CONNECTED = "4"  # xen/include/public/io/xenbus.h

daemon = jitsu.start("--suspend-dir", "/run/suspend", clean=True)
call("service.add", linux("deep", ADDRESS, ttl=600, frame_limit=0))  # ready at once
jitsu.resolves("deep.test", ADDRESS)
before = jitsu.expect_page(ADDRESS, "deep")  # bears the time of its boot
store, suspends, early, slowest, began = jitsu.Xenstore(), 0, 0, 0.0, now()
while suspends < LEAST or now() - began < SECONDS:
    call("service.stop", {"name": "deep", "mode": "suspend"})
    for delay in itertools.islice(DELAYS, IN_A_ROW):
        call("service.start", {"name": "deep"})
        time.sleep(delay)
        early += store.read(f"/local/domain/{store.domids()[-1]}/device/vif/0/state") != CONNECTED
        asked = now()
        call("service.stop", {"name": "deep", "mode": "suspend"})
        slowest = max(slowest, now() - asked)
        suspends += 1
    call("service.start", {"name": "deep"})
    after = wait_for(60, lambda: page(ADDRESS, timeout=5), f"its page after {suspends} suspends: {jitsu.get('deep')}")
    same(f"its page after {suspends} suspends", before, after)
call("service.remove", {"name": "deep"})
wait_for(60, lambda: not jitsu.domains(), "its domain to be gone")
jitsu.stop_jitsud(daemon)
note(f"{suspends} suspends right after a restore, {early} of them before its network was connected; {slowest:.1f} s at",
     "most, and none was lost")
