#!/usr/bin/env python3
"""A domain that did not exist is there after one query, serves, and is put away when nobody asks."""
# timeout: 1200
# takes: 245

import time

import jitsu
from jitsu import GUESTS, call, domains, fail, get, jitsuctl, note, same, tiny, linux, wait_for

TTL = 5


def summon(service):
    """One query by the stock client; then the domain is there. Returns its domid."""
    name, address = service["name"], service["ip"]
    same(f"{name} before", (False, "off"), (name in domains().values(), get(name)["state"]))
    answer = jitsu.dig("+noall", "+answer", f"{name}.test").split()
    same(f"{name}: the answer", [f"{name}.test.", str(TTL), "IN", "A", address], answer)
    found = [domid for domid, other in domains().items() if other == name]
    same(f"{name}: domains of that name", 1, len(found))
    state = get(name)
    same(f"{name} after", ("ready", found[0], 1), (state["state"], state.get("domid"), len(domains())))
    boot = state["boot"]
    steps = ("began", "created", "frame", "ready", "answered")
    times = [boot[step] for step in steps if step in boot]
    same(f"{name}: its boot's steps in order", sorted(times), times)
    same(f"{name}: answered late", boot["answered"] >= service["wait_limit"], boot["late"])
    return found[0]


def life(service, bridges=()):
    name = service["name"]
    call("service.add", service)
    domid = summon(service)
    asking = jitsu.Asking(f"{name}.test")
    same(f"{name}: uuid of the domain", "/vm/" + get(name)["uuid"], jitsu.Xenstore().read(f"/local/domain/{domid}/vm"))
    same(f"{name}: interfaces and their bridges", [(f"vif{domid}.{i}", bridge) for i, bridge in enumerate(bridges)],
         [(vif, jitsu.bridge_of(vif)) for vif in jitsu.vifs()])
    if bridges:
        jitsu.expect_page(service["ip"], name)
    for i in range(1, len(bridges)):
        jitsu.expect_page(f"10.{i}.0.{service['ip'].split('.')[-1]}", name)

    # Asked for again and again, it stays, longer than it would unasked.
    time.sleep(3 * TTL)
    same(f"{name}: answers while it runs", {(service["ip"],)}, asking.end())
    same(f"{name}: its domain while it is asked for", {domid: name}, domains())

    jitsu.gone(name)
    jitsu.nothing_left(name)
    same(f"{name} is listed", 1, [s["name"] for s in jitsu.services()].count(name))
    status, out, _ = jitsuctl("list")
    same(f"{name} is shown", (0, True), (status, any(row.split()[:1] == [name] for row in out.splitlines())))

    again = summon(service)
    asking = jitsu.Asking(f"{name}.test")
    if again == domid:
        fail(f"{name}: the same domid twice: was it ever gone?")
    if bridges:
        jitsu.expect_page(service["ip"], name)
    boot = get(name)["boot"]
    note(f"{name:9} began {boot['began']:.0f}, created {boot['created']:.0f},",
         f"frame {boot['frame']:.0f}," if "frame" in boot else "no nic,", f"answered {boot['answered']:.0f} ms")
    asking.end()
    same(f"{name}: removed", 0, jitsuctl("remove", name)[0])
    wait_for(jitsu.PATIENCE, lambda: not domains(), f"{name}'s domain to go with its service")
    jitsu.nothing_left(f"{name}, removed")


daemon = jitsu.start(clean=True)
same("services at the start", [], jitsu.services())
life(linux("pv", "10.0.0.21", "pv", TTL), ["xenbr0"])
life(linux("pvh", "10.0.0.22", "pvh", TTL), ["xenbr0"])
life(linux("plain", "10.0.0.23", "pv", TTL, kernel=f"{GUESTS}/vmlinux"), ["xenbr0"])
life(linux("two-nics", ["10.0.0.24", "10.1.0.24"], "pvh", TTL, bridges=["xenbr0", "xenbr1"]), ["xenbr0", "xenbr1"])
life(tiny("tiny-pv", "10.0.0.25", "pv", TTL))
life(tiny("tiny-pvh", "10.0.0.26", "pvh", TTL))
jitsu.stop_jitsud(daemon)
