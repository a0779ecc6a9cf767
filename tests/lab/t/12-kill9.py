#!/usr/bin/env python3
"""kill -9 of each process while a Linux guest runs and while one boots: nothing doubled, orphaned or lost.

24-kill-states does it in every state; here are guests whose boot takes seconds, and their network."""
# timeout: 1800
# takes: 150

import os
import signal
import time

import jitsu
from jitsu import ROOMS, call, domains, fail, get, note, page, same, wait_for

LIMIT = jitsu.PATIENCE  # s, to have answers again; a boot in emulation included
WEB, BOOT = "10.0.0.41", "10.0.0.42"
TTL = 600


def others(parent, name):
    return {other: jitsu.room(parent, other) for other in ROOMS if other != name}


def restarted(parent, name, old):
    """The process is there again, and the others are those of before."""
    return wait_for(LIMIT, lambda: jitsu.room(parent, name) not in (None, old), f"{name} to be started again")


def agree(what, expected):
    """In the end the services' domains and Xen's are the same, and there are just those expected."""
    wait_for(LIMIT, jitsu.settled, f"{what}: services and domains to agree: {domains()}")
    same(f"{what}: domains", sorted(expected), sorted(domains().values()))
    same(f"{what}: services", ["boot", "web"], [s["name"] for s in jitsu.services()])
    orphans = call("daemon.status").get("orphans", [])
    same(f"{what}: orphans", [], orphans)


class Running:
    """A guest that runs: it is the same before and after."""

    def __init__(self):
        self.domid, self.page, self.spec = get("web")["domid"], page(WEB), get("web")["spec"]

    def adopted(self, what):
        state = wait_for(LIMIT, lambda: (s := get("web"))["state"] == "ready" and s, f"{what}: web to be ready")
        same(f"{what}: web's domain", self.domid, state["domid"])
        same(f"{what}: web's page, with its boot's uptime", self.page, page(WEB, timeout=30))
        same(f"{what}: web's specification", self.spec, state["spec"])


# Moments of a boot, each as a condition that holds from there on.
def at_once(store, known):
    return True


def being_built(store, known):
    return set(store.domids()) - known


def created(store, known):
    return "created" in get("boot").get("boot", {}) and "domid" in get("boot")


def first_frame(store, known):
    return any(int(open(f"/sys/class/net/vif{d}.0/statistics/rx_packets").read()) > 0
               for d in set(store.domids()) - known if os.path.exists(f"/sys/class/net/vif{d}.0"))


BUILD, FRAME = ("during the build", being_built), ("after the first frame", first_frame)
MOMENTS = {"dns": (BUILD, FRAME), "toolstack": (BUILD, FRAME),
           "engine": (("right after the query", at_once), BUILD, ("after creation", created), FRAME)}


def boot_and(kill, what, moment, running):
    """Summons "boot", kills at that moment, and sees it come up all the same. Returns seconds to the answer."""
    store = jitsu.Xenstore()
    known = set(store.domids())
    watch = jitsu.Watch()
    began = jitsu.now()
    client = jitsu.Background(jitsu.resolves, "boot.test", BOOT, LIMIT)
    if moment is at_once:
        time.sleep(0.01)
    end = jitsu.now() + LIMIT
    while not moment(store, known):
        if jitsu.now() > end:
            fail(f"{what}: the moment never came")
        time.sleep(0.002)
    kill()
    if client.result(LIMIT + 5) is None:
        fail(f"{what}: no answer in {LIMIT} s")
    took = jitsu.now() - began
    jitsu.expect_page(BOOT, "boot")
    running.adopted(what)
    agree(what, ["boot", "web"])
    watch.end()
    if watch.most > 2:
        fail(f"{what}: {watch.most - 1} domains of one service at the same time")
    adopted = watch.seen - known == {get("boot")["domid"]}
    call("service.remove", {"name": "boot"})
    wait_for(LIMIT, lambda: domains() == {running.domid: "web"}, f"{what}: boot's domain to go with its service")
    call("service.add", jitsu.linux("boot", BOOT, "pv", TTL, response_delay=1))
    return took, adopted


def remove(name):
    """Removes it, also if the first call's answer was lost."""
    try:
        call("service.remove", {"name": name})
    except jitsu.Refused as refused:
        same("a second removal", "absent", refused.error["data"]["kind"])


def start_again(running, what):
    parent = jitsu.start()
    running.adopted(what)
    jitsu.resolves("web.test", WEB, LIMIT)
    return parent


def kill_parent(parent, sig):
    """Ends the parent; the rooms end by themselves."""
    parent.send_signal(sig)
    status = parent.wait(LIMIT)
    wait_for(LIMIT, lambda: not jitsu.processes(), f"the rooms to end without their parent: {jitsu.processes()}")
    return status


parent = jitsu.start(clean=True)
call("service.add", jitsu.linux("web", WEB, "pvh", TTL))
call("service.add", jitsu.linux("boot", BOOT, "pv", TTL, response_delay=1))
jitsu.resolves("web.test", WEB, LIMIT)
jitsu.expect_page(WEB, "web")
web = Running()

kills, slowest = 0, 0.0
for name in ROOMS:
    what = f"{name} killed while a guest runs"
    rest = others(parent, name)
    old = jitsu.kill_room(parent, name)
    took = jitsu.resolves("web.test", WEB, LIMIT)
    restarted(parent, name, old)
    web.adopted(what)
    same(f"{what}: the other processes", rest, others(parent, name))
    agree(what, ["web"])
    kills, slowest = kills + 1, max(slowest, took)
note(f"{kills} kills of a room while a guest runs: guest adopted {kills} times; answered within {slowest * 1000:.0f} ms")

kills, kept, slowest = 0, 0, 0.0
for name in ROOMS:
    for when, moment in MOMENTS[name]:
        what = f"{name} killed {when}"
        rest, old = others(parent, name), []
        took, adopted = boot_and(lambda: old.append(jitsu.kill_room(parent, name)), what, moment, web)
        restarted(parent, name, old[0])
        same(f"{what}: the other processes", rest, others(parent, name))
        print(f"{what}: answer after {took:.2f} s, {'the same domain' if adopted else 'built anew'}", flush=True)
        kills, kept, slowest = kills + 1, kept + adopted, max(slowest, took)
note(f"{kills} kills of a room while a guest boots: answered {kills} times, at most {slowest:.1f} s after the query;",
     f"{kept} times by the same domain, {kills - kept} times built anew; never two at the same time, none orphaned")

for name in ROOMS:
    what = f"{name} killed while a service is removed"
    call("service.add", jitsu.tiny("small", "10.0.0.43"))
    jitsu.resolves("small.test", "10.0.0.43", LIMIT)
    client = jitsu.Background(remove, "small")
    time.sleep(0.02)
    old = jitsu.kill_room(parent, name)
    client.join(LIMIT)
    restarted(parent, name, old)
    wait_for(LIMIT, lambda: domains() == {web.domid: "web"}, f"{what}: the domain to go with its service: {domains()}")
    agree(what, ["web"])
note(f"{len(ROOMS)} kills of a room while a service is removed: its domain gone with it each time")

kills = 0
for what, sig, (when, moment) in (("the parent killed", signal.SIGKILL, BUILD), ("SIGTERM", signal.SIGTERM, FRAME)):
    status = kill_parent(parent, sig)
    same(f"{what}: exit status", 0 if sig == signal.SIGTERM else -sig, status)
    same(f"{what}: domains without a daemon", {web.domid: "web"}, domains())
    same(f"{what}: the guest serves without a daemon", web.page, page(WEB, timeout=30))
    parent = start_again(web, what)
    agree(what, ["web"])
    state = {}

    def kill_and_start():
        kill_parent(parent, sig)
        state["parent"] = jitsu.start()

    boot_and(kill_and_start, f"{what} {when}", moment, web)
    parent = state["parent"]
    kills += 2
note(f"{kills} ends of the whole daemon (kill -9 of the parent, SIGTERM), half of them while another guest boots:",
     "rooms ended, guests went on, adopted by the next jitsud")

# What was adopted is put away like any other.
call("service.remove", {"name": "web"})
call("service.remove", {"name": "boot"})
wait_for(LIMIT, lambda: not domains(), "the adopted guest to go with its service")
jitsu.nothing_left("at the end")
jitsu.stop_jitsud(parent)
