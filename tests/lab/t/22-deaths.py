#!/usr/bin/env python3
"""Guests that die, or never get ready: what DNS answers, what jitsuctl says, and what is left of them."""
# timeout: 900
# takes: 240

import re
import shutil
import textwrap
import threading

import jitsu
from jitsu import GUESTS, NOERROR, SERVFAIL, call, domains, fail, get, linux, note, now, run, same, tiny, wait_for

GONE, KEPT = "nothing", "its domain, dead"
FAILED = "the service behind this name failed to start"
INSPECT = "the service behind this name ended and is kept for inspection"
CRASHED = "its domain * crashed while it was starting"
STARTING = "starting"
HEALTHY = "sysrq_always_enabled"  # so that `xl sysrq` may end it
rows = []


def row(case, dns, says, left):
    rows.append((case, dns, says, left))
    print(f"{now():.1f}", case, dns, says, left, sep=" | ", flush=True)


# --- what there is to see

def asks(name, rcode, text=None, limit=jitsu.PATIENCE):
    """One query; expects that answer, and returns it in words, with how long it took."""
    began = now()
    answer = jitsu.ask(f"{name}.test", timeout=limit, retry=limit, edns=True)
    took = now() - began
    if answer is None:
        fail(f"{name}: no answer in {limit} s")
    extended = answer.extended and answer.extended[1]
    if rcode == SERVFAIL and extended == STARTING and took > 50:
        rcode = NOERROR  # a machine so slow that the limit was there first
    if extended != STARTING or rcode != NOERROR:  # which an answer at the limit bears
        same(f"{name}: rcode and extended error", (rcode, text), (answer.rcode, extended))
    if rcode == NOERROR:
        same(f"{name}: addresses", get(name)["ip"], answer.addresses)
    words = "SERVFAIL" if rcode == SERVFAIL else f"its address ({STARTING})" if extended else "its address"
    return f"{words} in {took:.1f} s", took


def says(name, **expected):
    """What service.get says, which is to hold that; a value with a * begins with what stands before it."""
    service = get(name)
    for key, value in expected.items():
        actual = service.get(key)
        if isinstance(value, str) and "*" in value:
            value = re.compile(re.escape(value).replace(r"\*", ".*"), re.S)
            if not actual or not value.fullmatch(actual):
                fail(f"{name}: {key}: expected {value.pattern!r}, got {actual!r}")
        else:
            same(f"{name}: {key}", value, actual)
    listed = [s for s in jitsu.services() if s["name"] == name][0]
    same(f"{name}: error in list and show", service.get("error"), listed.get("error"))
    same(f"{name}: failures in list and show", service.get("failures_in_row"), listed.get("failures_in_row"))
    return service


def short(service):
    text = service["state"]
    if service.get("error"):
        text += ": " + service["error"]
    if service.get("failures_in_row"):
        text += f" (failure {service['failures_in_row']} in a row)"
    if service.get("console"):
        words = [line for line in service["console"].splitlines() if re.search("Kernel panic|dies now|sysrq: ", line)]
        text += f"; console: {(words or service['console'].splitlines())[-1].strip()!r}"
    return text


def comes_to(name, *states, limit=jitsu.PATIENCE):
    return wait_for(limit, lambda: get(name)["state"] in states and get(name), f"{name} to be {states}: {get(name)}")


def left_of(domid, uuid):
    """What Xen, xenstore and dom0's network still have of that domain."""
    store, found = jitsu.Xenstore(), []
    if domid in domains():
        found.append("its domain")
    for path in (f"/local/domain/{domid}", f"/libxl/{domid}", f"/local/domain/0/backend/vif/{domid}"):
        if store.directory(path):
            found.append(path)
    if store.read(f"/vm/{uuid}/uuid") and not any(s.get("domid", domid) != domid for s in [get_by_uuid(uuid)]):
        found.append(f"/vm/{uuid}")
    return found + [vif for vif in jitsu.vifs() if vif.startswith(f"vif{domid}.")]


def get_by_uuid(uuid):
    return [s for s in jitsu.services() if s["uuid"] == uuid][0]


def nothing_of(name, domid, uuid):
    wait_for(jitsu.PATIENCE, lambda: not left_of(domid, uuid), f"{name}'s domain {domid} to leave nothing behind")
    return GONE


def kept(name, domid):
    same(f"{name}: the domain that is kept", name, domains().get(domid))
    state = [line.split()[4] for line in run("xl", "list").splitlines() if line.split()[1] == str(domid)]
    same(f"{name}: it is dead", True, "s" in state[0] or "c" in state[0])
    return KEPT


def starts(name, old=None):
    """jitsuctl start; afterwards nothing speaks of a failure any more."""
    status, _, err = jitsu.jitsuctl("start", name)
    same(f"jitsuctl start {name}", (0, ""), (status, err))
    comes_to(name, "ready")  # where that takes longer than a client waits
    service = says(name, state="ready", error=None, failures_in_row=None, retry=None, death=None, console=None)
    if old is not None:
        same(f"{name}: a new domain", True, service["domid"] != old)
    return service


# --- deaths of a guest that serves

ENDS = {"panics": ("xl", "sysrq", "{}", "c"), "powers off": ("xl", "sysrq", "{}", "o"),
        "reboots": ("xl", "sysrq", "{}", "b"), "is destroyed by xl": ("xl", "destroy", "{}")}
PAST = {"panics": "crashed", "powers off": "powered off", "reboots": "rebooted",
        "is destroyed by xl": "was destroyed by somebody"}
KEYS = {"panics": "on_crash", "powers off": "on_poweroff", "reboots": "on_reboot"}


def dies(name, kind, end, fate):
    """It serves, and ends; with that fate set, or with the default of None."""
    before = get(name)
    domid, uuid, boots = before["domid"], before["uuid"], before["boots"]
    if fate:
        call("service.set", {"name": name, "values": {KEYS[end]: fate}})
    # PVH's Linux halts only if its user space tells it to; without ACPI "sysrq: Power Off" leaves it running.
    command = ("xl", "shutdown", "{}") if (kind, end) == ("pvh", "powers off") else ENDS[end]
    run(*[word.format(name) for word in command])
    death = f"its domain {domid} {PAST[end]}"
    case = f"{kind}: {end} ({KEYS[end]}={fate})" if fate else f"{kind}: {end}"
    if fate == "restart" or (fate is None and end == "reboots"):
        wait_for(jitsu.PATIENCE, lambda: get(name).get("domid", domid) != domid, f"{name} to be started again unasked")
        seen = says(name, death=death)
        dns, _ = asks(name, NOERROR)
        comes_to(name, "ready")
        service = says(name, state="ready", error=None, boots=boots + 1)
        row(case, f"asked meanwhile: {dns}", f"{short(seen)}, then {service['state']}", nothing_of(name, domid, uuid))
    elif fate == "preserve":
        comes_to(name, "kept")
        service = says(name, state="kept", error=death, death=death, boots=boots)
        dns, took = asks(name, SERVFAIL, INSPECT)
        left = kept(name, domid)
        same(f"{name}: not started by the query", ("kept", boots), (get(name)["state"], get(name)["boots"]))
        starts(name, domid)
        row(case, dns, short(service), left + "; after start " + nothing_of(name, domid, uuid))
    else:
        comes_to(name, "off")
        service = says(name, state="off", error=death, death=death, domid=None, boots=boots)
        left = nothing_of(name, domid, uuid)
        dns, _ = asks(name, NOERROR)
        comes_to(name, "ready")
        says(name, state="ready", error=None, boots=boots + 1)
        row(case, f"booted anew: {dns}", short(service), left)
    if fate:
        call("service.set", {"name": name, "values": {KEYS[end]: None}})
    if end == "panics":
        same(f"{name}: its last words", True, "sysrq" in (seen if fate == "restart" else service)["console"])


def web(name, address, kind, **more):
    """Ready when it serves, however slow the machine is."""
    return linux(name, address, kind, **{"ready_port": 80, "ready_port_limit": 600, **more})


def serving(name, kind, address, ends):
    call("service.add", web(name, address, kind, switches=HEALTHY))
    asks(name, NOERROR)
    comes_to(name, "ready")
    for end, fate in ends:
        dies(name, kind, end, fate)
    call("service.remove", {"name": name})


# --- failures on the way

def fails(case, service, death, dns_text=FAILED, state="failed", kill=None):
    """It dies before it is ready; returns what jitsuctl says of it."""
    name = service["name"]
    call("service.add", service)
    client = jitsu.Background(asks, name, SERVFAIL, dns_text)
    if kill:
        kill(name)
    dns, _ = client.result(jitsu.PATIENCE) or fail(f"{name}: no answer")
    comes_to(name, state)
    seen = says(name, state=state, death=death, error=death)
    domid = int(re.search(r"domain (\d+)", seen["death"])[1])
    left = kept(name, domid) if state == "kept" else nothing_of(name, domid, seen["uuid"])
    row(case, dns, short(seen), left)
    return seen


def heal(name, **values):
    cmdline = linux(name, get(name)["ip"][0], switches=HEALTHY)["cmdline"]
    call("service.set", {"name": name, "values": {"cmdline": cmdline, **values}})


def mends(name, domid, **values):
    """Its cause is gone, and one start clears all."""
    heal(name, **values)
    starts(name, domid)
    call("service.remove", {"name": name})


def row_of_failures():
    """Each failure in a row doubles the time within which it is not tried again; one start ends that."""
    name = "panic"
    call("service.add", panics(name, "10.0.0.101", "pv", wait_limit=700))
    dns, took = asks(name, NOERROR)  # nobody knows yet that it will fail
    same(f"{name}: answered at its limit", True, took < 3)
    waits, again = [], ""
    while len(waits) < 3 or (waits[-1] < 2 and len(waits) < 6):  # a slow machine sees it late
        i = len(waits) + 1
        wait_for(jitsu.PATIENCE, lambda n=i: get(name).get("failures_in_row") == n, f"failure {i}")
        waits.append(get(name).get("retry", 0))
        same(f"{name}: held back for at most 1, 2, 4, … s: {waits}", True, waits[-1] <= 2 ** (i - 1))
        comes_to(name, "failed")
        seen = says(name, state="failed", failures_in_row=i, boots=i, error=CRASHED)
        if seen.get("retry", 0) > 1:
            again, _ = asks(name, SERVFAIL, FAILED)
            same(f"{name}: held back", i, get(name)["boots"])
        wait_for(jitsu.PATIENCE, lambda: "retry" not in get(name), "its back-off to end")
        if len(waits) < 3 or waits[-1] < 2:
            jitsu.ask(f"{name}.test", timeout=5)
            wait_for(jitsu.PATIENCE, lambda n=i: get(name)["boots"] > n, "it to be tried again")
    same(f"{name}: each failure doubles what it is held back for: {waits}", True, waits[-1] > 2)
    same(f"{name}: SERVFAIL while it is held back", True, again != "")
    same(f"{name}: its last words", True, "Kernel panic" in seen["console"])
    row("pv: panics while it starts, wait_limit 0.7 s", f"at the limit: {dns}; within the back-off: {again}",
        short(seen) + "; not tried again for " + ", ".join(f"{wait:.1f}" for wait in waits) + " s",
        nothing_of(name, int(re.search(r"domain (\d+)", seen["death"])[1]), seen["uuid"]))
    mends(name, None, ramdisk=f"{GUESTS}/linux.initrd")


def spins():
    """Its CPU is all used and nobody is served: the answer at the limit, and away with it when it is not used."""
    name = "spin"
    call("service.add", linux(name, "10.0.0.103", "pvh", ttl=2, ready_port=80, ready_port_limit=8,
                              switches="die=spin:0 listen_delay=9999"))
    dns, _ = asks(name, NOERROR)
    service = says(name, state="ready", error=None)
    same(f"{name}: what did not come", ["port"], service["boot"]["missed"])
    domid, ready = service["domid"], now()
    cpu = float([line.split()[5] for line in run("xl", "list").splitlines() if line.split()[1] == str(domid)][0])
    wait_for(jitsu.PATIENCE, lambda: get(name)["state"] == "off", f"{name} to be put away")
    took = now() - ready
    row("pvh: spins for ever, ready_port_limit 8 s, ttl 2 s", dns,
        f"ready, port missed, {cpu:.0f} s of CPU used; idle: off after {took:.1f} s",
        nothing_of(name, domid, service["uuid"]))
    call("service.remove", {"name": name})


def never_ready():
    for case, sign, service in (
            ("pv: never opens its ready_port (limit 2 s)", "port",
             tiny("port", "10.0.0.111", ready_port=80, ready_port_limit=2)),
            ("pv: never writes its wait_for_key (limit 2 s)", "key",
             tiny("key", "10.0.0.112", wait_for_key="data/ready", wait_for_key_limit=2)),
            ("pvh: never sends a frame (limit 2 s)", "frame",
             tiny("frame", "10.0.0.113", "pvh", memory="24M", nic=["xenbr0"], frame_limit=2)),
            ("pv: the same, wait_limit 0.7 s", "frame",
             tiny("late", "10.0.0.114", nic=["xenbr0"], frame_limit=2, wait_limit=700))):
        name = service["name"]
        call("service.add", service)
        dns, took = asks(name, NOERROR)
        same(f"{name}: not before its limit", True, took >= (0.69 if name == "late" else 2))
        comes_to(name, "ready")
        seen = says(name, state="ready", error=None)
        same(f"{name}: what did not come", [sign], seen["boot"]["missed"])
        same(f"{name}: answered at the wait_limit", name == "late", seen["boot"]["late"])
        row(case, dns, f"ready, {sign} missed; ready at {seen['boot']['ready'] / 1000:.1f} s", "its domain, running")
        call("service.remove", {"name": name})


def not_built():
    """Its kernel was spoilt since it was added."""
    shutil.copy(f"{GUESTS}/tiny.elf", "/root/spoilt.elf")
    name = "spoilt"
    call("service.add", tiny(name, "10.0.0.121", kernel="/root/spoilt.elf"))
    with open("/root/spoilt.elf", "r+b") as file:
        file.truncate(100)
    dns, _ = asks(name, SERVFAIL, FAILED)
    seen = says(name, state="failed", domid=None, failures_in_row=1, boots=1)
    same(f"{name}: the error names the file", True, "spoilt.elf" in seen["error"])
    shutil.copy(f"{GUESTS}/tiny.elf", "/root/spoilt.elf")
    starts(name)
    row("pv: cannot be built", dns, short(seen), GONE)
    call("service.remove", {"name": name})


def destroyed_asleep():
    """xl destroy of a paused guest."""
    name = "asleep"
    call("service.add", tiny(name, "10.0.0.122"))
    asks(name, NOERROR)
    call("service.pause", {"name": name})
    before = says(name, state="paused")
    run("xl", "destroy", name)
    comes_to(name, "off")
    seen = says(name, state="off", error=f"its domain {before['domid']} was destroyed by somebody")
    left = nothing_of(name, before["domid"], before["uuid"])
    dns, _ = asks(name, NOERROR)
    row("pv: is destroyed by xl while it is paused", f"booted anew: {dns}", short(seen), left)
    call("service.remove", {"name": name})


def destroy_booting(name):
    wait_for(jitsu.PATIENCE, lambda: get(name).get("phase") == "booting", f"{name} to boot")
    run("xl", "destroy", name)


def panics(name, address, kind, **more):
    """Its kernel has nothing to run."""
    service = web(name, address, kind, **more)
    del service["ramdisk"]
    return service


def on_the_way():
    seen = fails("pvh: panics while it starts", panics("p1", "10.0.0.131", "pvh"), CRASHED)
    same("p1: its last words", True, "Kernel panic" in seen["console"])
    call("service.remove", {"name": "p1"})
    seen = fails("pv: the same, on_crash=preserve", panics("p2", "10.0.0.132", "pv", on_crash="preserve"), CRASHED,
                 INSPECT, "kept")
    mends("p2", int(re.search(r"domain (\d+)", seen["death"])[1]), ramdisk=f"{GUESTS}/linux.initrd")
    fails("pv: powers off while it starts", web("p3", "10.0.0.133", "pv", switches="die=poweroff:0 listen_delay=60"),
          "its domain * powered off while it was starting")
    call("service.remove", {"name": "p3"})
    fails("pvh: is destroyed by xl while it starts", web("p4", "10.0.0.134", "pvh"),
          "its domain * was destroyed by somebody while it was starting", kill=destroy_booting)
    call("service.remove", {"name": "p4"})


def restarts():
    """One that reboots before it is ready is started again unasked, later each time."""
    name = "loop"
    call("service.add", web(name, "10.0.0.141", "pv", switches="die=reboot:0 listen_delay=60"))
    dns, _ = asks(name, SERVFAIL, FAILED)
    wait_for(jitsu.PATIENCE, lambda: get(name)["boots"] >= 2, f"{name} to be started again and again")
    failed = comes_to(name, "failed")
    seen = says(name, death="its domain * rebooted while it was starting")
    row("pv: reboots while it starts, started again unasked", dns, f"{short(failed)}, {seen['boots']} boots",
        nothing_of(name, int(re.search(r"domain (\d+)", failed["death"])[1]), seen["uuid"]))
    heal(name)
    comes_to(name, "failed", "ready")  # should it have been on its way
    mends(name, None)


def together(*works):
    """At the same time: most of it is waiting."""
    failed = []

    def guarded(work):
        try:
            work()
        except BaseException as error:  # pylint: disable=broad-except
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        for error in failed:
            print("failed:", repr(error), flush=True)
        raise failed[0]


began = now()
daemon = jitsu.start(clean=True)
together(
    lambda: serving("pv", "pv", "10.0.0.31", (("panics", "preserve"), ("powers off", "restart"), ("reboots", None),
                                              ("powers off", "preserve"), ("panics", None))),
    lambda: serving("pvh", "pvh", "10.0.0.32", (("panics", "restart"), ("powers off", None),
                                                ("is destroyed by xl", None))))
together(on_the_way, lambda: (row_of_failures(), restarts()))
together(never_ready, not_built, destroyed_asleep)
spins()
wait_for(jitsu.PATIENCE, lambda: not domains(), f"all to be gone: {domains()}")
jitsu.nothing_left("at the end")
status = call("daemon.status")
same("states at the end", {}, {k: v for k, v in status["states"].items() if v})
jitsu.stop_jitsud(daemon)

for case, dns, text, left in rows:
    note(case)
    for title, words in (("DNS", dns), ("list", text), ("left", left)):
        for i, part in enumerate(textwrap.wrap(words, 88)):
            note(f"   {title if i == 0 else '':5}{part}")
note(f"{len(rows)} ends in {now() - began:.0f} s")
