#!/usr/bin/env python3
"""A host with room for three guests, and ten services asked in turn: all are answered, and the reserve stays free."""
# timeout: 900
# takes: 110

import collections
import json
import os
import threading
import time

import jitsu
import memory
from jitsu import GUESTS, NOERROR, SERVFAIL, call, domains, fail, get, linux, note, now, run, same, tiny, wait_for

SECONDS = int(os.environ.get("JITSU_TEST_ROOM_SECONDS", "60"))
LIMIT = 60  # s: wait_limit of those who wait for their guest
SHORT = 0.7  # s: jitsud's own
MOST = 100032  # KiB: what a guest of 96 MiB takes at most, see daemon/engine/room.c
LEAST = 98304
NO_ROOM = "no memory for the service behind this name"

began = now()
free = memory.settled()
reserve = (free - 3 * MOST) // 1024
same("no room for a fourth", True, free - reserve * 1024 < 4 * LEAST)


class Events(threading.Thread):
    """Counts what becomes of services: (state before, state after)."""

    def __init__(self):
        super().__init__(daemon=True)
        self.counts, self.client = collections.Counter(), jitsu.connect(None)
        self.client.sendall(b'{"jsonrpc":"2.0","id":1,"method":"events.subscribe"}\n')
        self.file = self.client.makefile()
        self.file.readline()
        self.start()

    def run(self):
        for text in self.file:
            event = json.loads(text)["params"]
            self.counts[event["kind"], event.get("from"), event.get("to")] += 1
            print(f"{now() - began:7.2f}", *(event.get(key, "") for key in ("service", "kind", "from", "to", "why")),
                  flush=True)

    def reached(self, state):
        return sum(n for (kind, _, to), n in self.counts.items() if kind == "state" and to == state)


def big(name, address, kind, **more):
    """The guest that blocks at once, as big as the others."""
    return tiny(name, address, kind, **{"memory": "96M", "wait_limit": LIMIT * 1000, **more})


def web(name, address, kind, **more):
    return linux(name, address, kind, **{"wait_limit": LIMIT * 1000, **more})


daemon = jitsu.start("--reserve", str(reserve), clean=True)
same("reserve", reserve * 1024, call("daemon.status")["reserve"])
everyone = [
    big("s0", "10.0.0.20", "pv"),
    big("s1", "10.0.0.21", "pvh", idle="pause:1s,destroy:5s"),
    big("s2", "10.0.0.22", "pvh", idle="pause:2s"),
    web("s3", "10.0.0.23", "pv", idle="pause:2s,suspend:8s,destroy:1h"),
    big("s4", "10.0.0.24", "pv", idle="pause:2s,destroy:1h"),
    big("s5", "10.0.0.25", "pvh"),
    web("s6", "10.0.0.26", "pv", idle="suspend:3s"),
    big("s7", "10.0.0.27", "pv", ttl=1),
    big("s8", "10.0.0.28", "pv", idle="pause:3s,destroy:1h"),
    big("s9", "10.0.0.29", "pvh", stop_mode="pause", ttl=2),
]
for service in everyone:
    call("service.add", service)
names = [service["name"] for service in everyone]
addresses = {service["name"]: service["ip"] for service in everyone}
events, sampler, watch = Events(), memory.Sampler(), jitsu.Watch()


def check_reserve(what):
    if sampler.least < reserve * 1024:
        fail(f"{what}: {sampler.least} KiB were free, less than the reserve of {reserve * 1024} KiB")


# --- each in turn, the next when the one before is answered
times, how = {name: [] for name in names}, collections.Counter()
end, turn, late = now() + SECONDS, 0, 0
while now() < end or turn % len(names):
    name = names[turn % len(names)]
    asked = now()
    answer = jitsu.ask(f"{name}.test", timeout=LIMIT + 5, retry=LIMIT + 5, edns=True)
    took = now() - asked
    if answer is None or answer.rcode != NOERROR or answer.addresses != [addresses[name]] or took > LIMIT + 5:
        fail(f"{name}, turn {turn}: {answer and (answer.rcode, answer.extended, answer.addresses)} after {took:.1f} s:"
             f" {get(name)}")
    boot = get(name)["boot"]
    late += boot["late"]
    times[name].append(took)
    how[boot.get("how", "late")] += 1
    print(f"{now() - began:7.2f} turn {turn}: {name} {boot.get('how', 'late')} in {took:.2f} s,"
          f" {(memory.free() - reserve * 1024) / 1024:.1f} MiB above the reserve", flush=True)
    check_reserve(f"turn {turn}")
    turn += 1
same("answers for each", {turn // len(names)}, {len(t) for t in times.values()})
same("guests at the same time", True, watch.most <= 4)  # one of them on its way out
free_least, looks = sampler.least - reserve * 1024, sampler.looks
every = sorted(t for taken in times.values() for t in taken)
note(f"room for 3 guests of 96 MiB, 10 services asked in turn for {SECONDS} s: {turn} queries, {turn} answered with",
     f"the address ({late} of them at its limit), {every[len(every) // 2]:.1f} s median, {every[-1]:.1f} s at most",
     f"(limit {LIMIT} s)")
note(f"each service {turn // len(names)} times; slowest of each:", ", ".join(f"{max(times[n]):.1f}" for n in names), "s")
note(f"{how['booted']} boots, {how['restored']} restores, {how['woken']} wakes; put to sleep:",
     f"{events.reached('paused')} paused, {events.reached('suspended')} suspended, {events.reached('off')} destroyed;",
     f"at most {watch.most} domains at the same time")
note(f"least free memory of {looks} looks: {free_least} KiB above the reserve of {reserve} MiB")

# --- the same with jitsud's own limit, one a second, whether or not guests are ready
for name in names:
    call("service.set", {"name": name, "values": {"wait_limit": None}})
codes, slowest, count = collections.Counter(), 0.0, max(20, SECONDS // 5)
for turn in range(count):
    asked = now()
    answer = jitsu.ask(f"{names[turn % len(names)]}.test", timeout=30, retry=30, edns=True)
    took = now() - asked
    if answer is None or answer.rcode not in (NOERROR, SERVFAIL):
        fail(f"{names[turn % len(names)]}: {answer and answer.rcode} after {took:.1f} s")
    codes[answer.rcode] += 1
    slowest = max(slowest, took)
    time.sleep(max(0, 1 - took))
if slowest > 10 * SHORT:
    fail(f"an answer took {slowest:.1f} s, the limit is {SHORT} s")
check_reserve("one a second")
wait_for(jitsu.PATIENCE, lambda: not call("daemon.status")["states"]["starting"], "all to come to rest")
note(f"one query a second with wait_limit {SHORT} s: {count} queries, {codes[NOERROR]} answered with the address,",
     f"{codes[SERVFAIL]} refused, {slowest:.2f} s at most; least free memory",
     f"{sampler.least - reserve * 1024} KiB above the reserve")

# --- what others take is not ours
for name in names:
    call("service.remove", {"name": name})
wait_for(jitsu.PATIENCE, lambda: not domains(), f"all to be gone: {domains()}")
for i, name in enumerate(("a", "b", "c", "d")):
    call("service.add", big(name, f"10.0.0.{31 + i}", "pv"))
memory.settled()
with open("other.cfg", "w") as config:
    config.write(f'name = "other"\ntype = "pv"\nmemory = 96\nkernel = "{GUESTS}/tiny.elf"\n')
run("xl", "create", "-q", "other.cfg")
for name in ("a", "b", "c"):
    same(f"{name}, beside another's guest", NOERROR, jitsu.ask(f"{name}.test", timeout=LIMIT, retry=LIMIT).rcode)
check_reserve("beside another's guest")
same("two of ours beside another's", {"other", "b", "c"}, set(domains().values()))
run("xl", "destroy", "other")
note("beside a guest of xl's there is room for two: the third made the first go")

# --- refused: nobody may make room
for name in ("a", "b", "c"):
    call("service.pin", {"name": name})
    wait_for(LIMIT, lambda: get(name)["state"] == "ready", f"{name} to be ready")
before = domains()
same("three pinned", {"a", "b", "c"}, set(before.values()))
asked = now()
answer = jitsu.ask("d.test", timeout=LIMIT, retry=LIMIT, edns=True)
same("refused", (SERVFAIL, (0, NO_ROOM)), (answer.rcode, answer.extended))
took, refused = now() - asked, get("d")
same("refused: state, boots", ("failed", 0), (refused["state"], refused["boots"]))
if not refused["error"].startswith("not enough memory: it needs 97 MiB, "):
    fail(refused["error"])
same("nobody went for it", before, domains())
status, _, err = jitsu.jitsuctl("start", "d")
same("jitsuctl start", (1, True), (status, "not enough memory" in err))
note(f"refused beside three pinned ones: SERVFAIL ({NO_ROOM}) in {took:.1f} s;", refused["error"])
call("service.unpin", {"name": "a"})
time.sleep(1)
same("jitsuctl start, when one may go", (0, ""), jitsu.jitsuctl("start", "d")[::2])
same("it went for it", {"b", "c", "d"}, set(domains().values()))
same("d: nothing speaks of a failure", (None, None), (get("d").get("error"), get("d").get("failures_in_row")))
check_reserve("at the end")
for service in jitsu.services():
    call("service.remove", {"name": service["name"]})
wait_for(jitsu.PATIENCE, lambda: not domains(), "all to be gone")
jitsu.nothing_left("at the end")
sampler.end()
watch.end()
back = memory.settled()
if back < free - 1024:
    fail(f"{free - back} KiB of memory did not come back")
jitsu.stop_jitsud(daemon)
