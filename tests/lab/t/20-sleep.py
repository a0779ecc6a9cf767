#!/usr/bin/env python3
"""Each way to put a guest away, each tier and each wake, on a PV and on a PVH guest."""
# timeout: 900
# takes: 200

import glob
import json
import os
import pty
import re
import subprocess
import time

import jitsu
import life
from jitsu import PATIENCE, call, fail, get, jitsuctl, linux, note, run, same, tiny, wait_for
from life import Guest, Table, tried

KINDS = ("pv", "pvh")
MEMORY = 96  # MiB
MEMORY_SLACK = 8
DISKS = "/srv/disks"
TMPFS = "/run/suspended"
DISK_IMAGES = "/var/lib/jitsu/suspend"

table = Table(*KINDS)


def order(*words):
    """A verb of jitsuctl that succeeds; what it prints."""
    status, out, err = jitsuctl("--timeout", str(PATIENCE), *words, timeout=PATIENCE + 10)
    if status != 0:
        fail(f"jitsuctl {' '.join(words)} ended with {status}: {out}{err}")
    return out


def later(*words):
    return jitsu.Background(jitsuctl, "--timeout", str(PATIENCE), *words)


def wanted_again(stop):
    """What stop says to whom a query has overtaken."""
    status, out, err = stop.result(PATIENCE)
    same(f"stop says: {out}{err}", (1, True), (status, "wanted again" in err))


def disks_of(guest, text=""):
    """{device: (read-only, first bytes)}, after it wrote the text."""
    def read():
        page = life.fetch(guest.address, f"cgi-bin/disk{'?' + text if text else ''}") or ""
        rows = [row.split() for row in page.splitlines() if row.startswith("xvd")]
        # They may come a moment after the network.
        return [len(row) for row in rows] == [3, 3] and {row[0]: (row[1], row[2]) for row in rows}
    return wait_for(PATIENCE, read, f"the disks of {guest.name}")


def first_boot(guest):
    began = jitsu.now()
    guest.serves("first boot", "booted", False)
    same(f"{guest.name}: its disks", {"xvda": ("0", f"{guest.name}-disk"), "xvdb": ("1", "of-both")}, disks_of(guest))
    table.add("boot by query, two disks", guest.name, f"{jitsu.now() - began:.1f} s")
    watch_console(guest)
    watch_trace(guest)


def watch_trace(guest):
    """trace: each phase where the last one ended, the last one at the answer."""
    boot = get(guest.name)["boot"]
    phases = {row.split("\t")[0]: [float(n) for n in row.split("\t")[1:3]]
              for row in order("trace", guest.name).splitlines()}
    same(f"{guest.name}: phases of a boot", ["queue", "build", "frame", "settle", "answer"], list(phases))
    for name in ("build", "frame", "settle"):
        if phases[name][1] <= phases[name][0]:
            fail(f"trace: {name} took no time: {phases}")
    ends = [phases["queue"][0], *(phases[name][1] for name in phases)]
    begins = [phases[name][0] for name in phases]
    if boot["late"]:
        return
    same(f"{guest.name}: phases join: {phases}", [round(n, 3) for n in ends[:-1]], [round(n, 3) for n in begins])
    same(f"{guest.name}: the phases' sum is the time to the answer: {phases}", True,
         abs(phases["answer"][1] - boot["answered"]) < 1)
    table.add("trace of that boot", guest.name, *(f"{name} {end - begin:.0f}" for name, (begin, end) in phases.items()),
              "ms")


def watch_console(guest):
    """console: what the guest has said, on a terminal; Ctrl-] leaves it."""
    master, slave = pty.openpty()
    client = subprocess.Popen(["jitsuctl", "console", guest.name], stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    text = b""
    os.set_blocking(master, False)
    end = jitsu.now() + PATIENCE
    while b"serves HTTP" not in text and jitsu.now() < end and client.poll() is None:
        try:
            text += os.read(master, 65536)
        except (BlockingIOError, OSError):
            time.sleep(0.05)
    os.write(master, b"\x1d")
    try:
        status = client.wait(60)
    except subprocess.TimeoutExpired:
        client.kill()
        status = "none"
    os.close(master)
    if b"serves HTTP" not in text:
        fail(f"console {guest.name}: no line of the guest's in {text!r}")
    table.add("console", guest.name, f"{len(text)} bytes, status {status}")


def pause(guest):
    order("pause", guest.name)
    guest.is_paused("pause")
    same("a paused guest serves", None, life.fetch(guest.address, timeout=0.3))
    took = guest.serves("unpaused", "woken", True)
    same(f"{guest.name}: phases of a wake", ["queue", "wake"],
         [row.split("\t")[0] for row in order("trace", guest.name).splitlines()][:2])
    table.add("pause, woken by query", guest.name, f"same boot, page in {took:.0f} ms")


def suspend(guest):
    domid = guest.domid
    same(f"{guest.name}: written", ("0", "kept"), disks_of(guest, "kept")["xvda"])
    before = life.free_memory()
    order("stop", "--mode", "suspend", guest.name)
    guest.is_suspended("suspend")
    freed = life.free_memory() - before
    if freed < MEMORY - MEMORY_SLACK:
        fail(f"suspend of {guest.name} freed {freed} MiB")
    size = os.path.getsize(guest.is_image()[0]) >> 20
    took = guest.serves("restored", "restored", True)
    same(f"{guest.name}: another domain", True, guest.domid != domid)
    same(f"{guest.name}: image when restored", [], guest.is_image())
    wait_for(PATIENCE, lambda: not images_held(), f"the image of {guest.name} to be closed")
    same(f"{guest.name}: its disks, restored", {"xvda": ("0", "kept"), "xvdb": ("1", "of-both")}, disks_of(guest))
    same(f"{guest.name}: written when restored", ("0", "again"), disks_of(guest, "again")["xvda"])
    table.add("suspend, restored by query", guest.name, f"same boot, page in {took:.0f} ms; freed {freed} MiB,",
              f"image {size} MiB")


def images_held():
    """Images without a name that jitsud has open: their space is not free yet."""
    held = []
    for pid in jitsu.processes():
        for fd in glob.glob(f"/proc/{pid}/fd/*"):
            try:
                held.append(os.readlink(fd))
            except FileNotFoundError:
                pass
    return [path for path in held if path.endswith(".save (deleted)")]


def wake_while_suspending(guest):
    since = len(events.all)
    client = later("stop", "--mode", "suspend", guest.name)
    wait_for(PATIENCE, lambda: get(guest.name)["phase"] == "suspending", f"{guest.name} to be suspending")
    took = guest.serves("asked while it is suspended", "restored", True)
    wanted_again(client)
    same(f"{guest.name}: image", [], guest.is_image())
    table.add("asked during the suspend", guest.name, f"same boot, page in {took:.0f} ms:",
              *events.states(guest.name, since))


def silent():
    """One that sends nothing when it is restored is not waited for either: its nic is connected."""
    call("service.add", linux("silent", "10.0.0.103", switches="mute=1", frame_limit=1))
    jitsu.resolves("silent.test", "10.0.0.103")
    same("silent: signs that it lacks, booted", ["frame"], get("silent")["boot"].get("missed"))
    guest = Guest("silent", "10.0.0.103", TMPFS)
    wait_for(PATIENCE, lambda: "serves HTTP" in guest.console(), "silent to be up")
    order("set", "silent", "frame_limit=60")
    order("stop", "--mode", "suspend", "silent")
    jitsu.resolves("silent.test", "10.0.0.103")
    boot = get("silent")["boot"]
    life.is_connected("silent", boot)
    table.add("restored, sends nothing", "pv", f"ready {boot['ready'] - boot['created']:.0f} ms after it runs")
    order("remove", "silent")


def policy(guest, *pairs):
    """Sets what counts at once."""
    out = order("set", guest.name, *pairs)
    same(f"set {' '.join(pairs)} says that it counts at once: {out}", False, "boot" in out)


def chain(guests):
    """idle: pause, suspend, destroy; each tier seen, and woken from; then all of them in a row."""
    since = len(events.all)
    for guest in guests:
        policy(guest, "idle=pause:1s")
    for guest in guests:
        events.reaches(guest.name, "paused", since)
        guest.is_paused("tier pause")
        policy(guest, "idle=pause:1h")
        took = guest.serves("woken from its tier", "woken", True)
        table.add("idle: pause", guest.name, f"same boot, page in {took:.0f} ms")
    for guest in guests:
        policy(guest, "idle=pause:1s,suspend:3s")
    for guest in guests:
        events.reaches(guest.name, "suspended", since)
        guest.is_suspended("tier suspend")
        same(f"{guest.name}: states", ["stopping", "paused", "stopping", "suspended"], events.since_ready(guest.name))
        policy(guest, "idle=pause:1h")
        took = guest.serves("restored from its tier", "restored", True)
        table.add("idle: pause, suspend", guest.name, f"same boot, page in {took:.0f} ms")
    for guest in guests:
        policy(guest, "idle=pause:1s,suspend:3s,destroy:5s")
    for guest in guests:
        events.reaches(guest.name, "off", since)
        guest.is_off("tier destroy")
        same(f"{guest.name}: states", ["stopping", "paused", "stopping", "suspended", "off"],
             events.since_ready(guest.name))
        table.add("idle: pause, suspend, destroy", guest.name, "off, nothing left")
    jitsu.nothing_left("after the chain")
    same("images after the chain", [], os.listdir(TMPFS))


def pinned(guests):
    """Started by its pin, it stays up beyond its tiers."""
    for guest in guests:
        order("pin", guest.name)
        guest.serves("pinned", "booted", False)
    time.sleep(4)
    for guest in guests:
        same(f"{guest.name}, pinned, after its first tier", ("ready", True),
             tuple(get(guest.name)[key] for key in ("state", "pinned")))
    since = len(events.all)
    for guest in guests:
        policy(guest, "idle=pause:1s")
        order("unpin", guest.name)
    for guest in guests:
        events.reaches(guest.name, "paused", since)
        table.add("pin, unpin", guest.name, "another boot; up while pinned, then paused")


def by_default(guests):
    """The daemon's -m suspend, with its own suspend_dir, on a disk."""
    for guest in guests:
        guest.images = DISK_IMAGES
        # Until the survey tells, it knows of no domain.
        wait_for(PATIENCE, lambda: get(guest.name)["state"] != "off", f"{guest.name} to be found")
        guest.is_paused("adopted")
        policy(guest, "idle=")
        order("start", guest.name)
        guest.serves("adopted, started", "woken", True)
    since = len(events.all)
    for guest in guests:
        policy(guest, "ttl=1")
    for guest in guests:
        events.reaches(guest.name, "suspended", since)
        guest.is_suspended("by default")
        policy(guest, "ttl=600")
        took = guest.serves("restored from a disk", "restored", True)
        table.add("jitsud -m suspend, on a disk", guest.name, f"adopted paused; restored, page in {took:.0f} ms")


def restart_by_shutdown(guest):
    order("set", guest.name, "stop_mode=shutdown", "shutdown_limit=60")
    out = order("set", guest.name, "cmdline=" + get(guest.name)["spec"]["cmdline"] + " deaf=1")
    same("set says when", True, "next boot" in out)
    old = guest.domid
    order("restart", guest.name)
    same(f"{guest.name}: left of domain {old}", [], life.traces(old))
    same(f"{guest.name}: it was shut down", 1, guest.console().count("System halted"))
    guest.serves("restarted", "booted", False)
    table.add("restart, stop_mode shutdown", guest.name, "shut down by itself, another boot")


def damaged(guest, where):
    order("stop", "--mode", "suspend", guest.name)
    guest.is_suspended("suspend, to be damaged")
    image = guest.is_image()[0]
    if where == "head":
        with open(image, "r+b") as file:
            file.write(b"\0" * 64)
    else:  # a piece of it is missing
        half = os.path.getsize(image) // 2
        with open(image, "r+b") as file:
            file.seek(half + 5000)
            rest = file.read()
            file.seek(half)
            file.write(rest)
            file.truncate()
    since = len(events.all)
    guest.serves("image damaged", "booted", False)
    notice = get(guest.name).get("notice")
    if not notice:
        fail(f"{guest.name}: booted afresh and does not say why")
    same(f"{guest.name}: the event", [f"booted afresh: {notice}"],
         [e["why"] for e in events.all[since:] if e["kind"] == "failure" and e["service"] == guest.name])
    same("list shows it", True, f"{guest.name}\tready (afresh)" in re.sub("  +", "\t", order("list")))
    same("an image", [], guest.is_image())
    table.add("image damaged", guest.name, f"{where}: another boot, said:", notice)


def deaf(guest):
    """Idle, with stop_mode shutdown, and it does not hear."""
    since = len(events.all)
    policy(guest, "ttl=1", "shutdown_limit=2")
    return since


def deaf_ends(guest, since):
    events.reaches(guest.name, "off", since)
    guest.is_off("deaf to shutdown")
    stopping, off = (next(e["time"] for e in events.all[since:] if e["service"] == guest.name and e.get("to") == state)
                     for state in ("stopping", "off"))
    table.add("idle, deaf to shutdown", guest.name, f"destroyed after {off - stopping:.1f} s, limit 2 s")


def query_during_shutdown(kind):
    """A guest that is told to shut down and asked for meanwhile: ended, and booted anew."""
    name, address = f"tiny-{kind}", f"10.0.0.{105 + KINDS.index(kind)}"
    call("service.add", tiny(name, address, kind, memory="32M", stop_mode="shutdown", shutdown_limit=1))
    jitsu.resolves(f"{name}.test", address)
    old = get(name)["domid"]
    since = len(events.all)
    client = later("stop", name)
    wait_for(PATIENCE, lambda: get(name)["phase"] == "stopping", f"{name} to be stopping")
    jitsu.resolves(f"{name}.test", address)
    wanted_again(client)
    new = get(name)["domid"]
    same(f"{name}: left of domain {old}", [], life.traces(old))
    same("another domain", True, new != old)
    table.add("asked during a shutdown", kind, "booted anew:", *events.states(name, since))
    old = get(name)["domid"]
    order("stop", "--mode", "destroy", name)
    same(f"{name}: left of domain {old}", [], life.traces(old))
    table.add("stop --mode destroy", kind, "nothing left")


def watch_top():
    out = order("top", "--once", "--interval", "1")
    rows = {row.split()[0]: row.split() for row in out.splitlines()[1:]}
    same(f"top's rows: {out}", ("ready", "ready"), tuple(rows[kind][1] for kind in KINDS))
    print(out, flush=True)


def follow():
    with open("events", "wb") as file:
        return life.Events(), subprocess.Popen(["jitsuctl", "--json", "events", "--follow"], stdout=file)


def followed(events, follower):
    """events --follow has told what there was to tell."""
    def told():
        with open("events") as file:
            return [json.loads(row) for row in file]
    wait_for(60, lambda: told()[-len(events.all):] == events.all, f"events --follow to tell all: {told()}, {events.all}")
    note(f"events --follow: all {len(events.all)} events")
    follower.terminate()
    follower.wait()


os.makedirs(DISKS, exist_ok=True)
for name in ("pv", "pvh", "both"):
    with open(f"{DISKS}/{name}.img", "wb") as file:
        file.write((f"{name}-disk" if name != "both" else "of-both").ljust(16).encode())
        file.truncate(1 << 20)
life.suspend_dir(TMPFS, tmpfs=True)
began = jitsu.now()
daemon = jitsu.start("--suspend-dir", TMPFS, clean=True)
events, follower = follow()
at_start = life.free_memory()

# One that takes no part in its suspend: Xen waits for it for a minute.
call("service.add", tiny("stiff", "10.0.0.109"))
jitsu.resolves("stiff.test", "10.0.0.109")
stiff = later("stop", "--mode", "suspend", "stiff")

guests = []
for kind, address in zip(KINDS, ("10.0.0.101", "10.0.0.102")):
    call("service.add", linux(kind, address, kind, 600, memory=f"{MEMORY}M",
                              disk=[f"{DISKS}/{kind}.img@xvda", f"{DISKS}/both.img,raw,xvdb,r"]))
    guests.append(Guest(kind, address, TMPFS))
for guest in guests:
    tried(first_boot, guest)
    tried(pause, guest)
    tried(suspend, guest)
    tried(wake_while_suspending, guest)
tried(silent)
tried(watch_top)
order("remove", "stiff") if stiff.result(PATIENCE) else fail("stiff is still to be suspended")
print("stiff", stiff.value, [e for e in events.all if e["service"] == "stiff"], flush=True)
tried(chain, guests)
tried(pinned, guests)
tried(followed, events, follower)
jitsu.stop_jitsud(daemon)

daemon = jitsu.start("-m", "suspend")
events, follower = follow()
tried(by_default, guests)
for guest in guests:
    tried(restart_by_shutdown, guest)
for guest, where in zip(guests, ("head", "middle")):
    tried(damaged, guest, where)
marks = [tried(deaf, guest) for guest in guests]
for kind in KINDS:
    tried(query_during_shutdown, kind)
for guest, since in zip(guests, marks):
    tried(deaf_ends, guest, since)
tried(followed, events, follower)
same("memory, MiB, as at the start", True, abs(life.free_memory() - at_start) <= MEMORY_SLACK)
jitsu.nothing_left("at the end")
jitsu.stop_jitsud(daemon)
table.show()
note(f"all in {jitsu.now() - began:.0f} s")
life.end()
