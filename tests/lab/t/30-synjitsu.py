#!/usr/bin/env python3
"""The first packet is not lost: clients that connect while the guest boots, or sleeps, are served.

JITSU_TEST_SYNJITSU_BOOTS (2) boots of each kind with one patient client, with an empty and with a warm entry in
turn; JITSU_TEST_SYNJITSU_GUESTS (20) guests that one client asks for at once.
"""
# timeout: 1500
# takes: 200

import os
import statistics
import subprocess
import time

import jitsu
from jitsu import call, domains, get, linux, note, now, same, wait_for
from net import CLIENTS, Capture, Client, Synjitsu, mac_of, make_clients, neighbour, off, quick, service

BOOTS = int(os.environ.get("JITSU_TEST_SYNJITSU_BOOTS", "2"))
GUESTS = int(os.environ.get("JITSU_TEST_SYNJITSU_GUESTS", "20"))
connects = []


def patient(name, number, clients=range(CLIENTS)):
    """One boot: clients resolve, then connect once; every other one knows the MAC already."""
    address = f"10.0.0.{number}"
    for i in clients:
        neighbour(i, address, mac_of(number) if i % 2 else None)
    capture.forget()
    asked = [Client(i, address, f"{name}.test") for i in clients]
    results = [c.result() for c in asked]
    listens = capture.listens.get(address)
    gaps = [1000 * (c.first_byte - listens) for c in asked if c.first_byte and listens]
    connects.extend(1000 * (c.connected - listens) for c in asked if c.first_byte and listens)
    return asked, results, gaps


daemon = jitsu.start("--synjitsu", "0", "--boots", "4", clean=True)
make_clients()
capture = Capture()

# --- without: the grid of SYN retransmissions, or nobody at home --------------------------------
call("service.add", service("plain", 40, wait_limit=700, switches="listen_delay=3"))
asked, results, gaps = patient("plain", 40, range(4))
note("without Synjitsu:", "; ".join(f"{'warm' if c.i % 2 else 'empty'} {r}" for c, r in zip(asked, results)),
     "; ms after the port listens:", [round(g) for g in gaps])
off("plain")
call("service.remove", {"name": "plain"})

# What the first page of a guest that has just come up takes, with nothing in between. The guests below have
# served themselves one, so that Synjitsu's part is seen.
call("service.add", linux("cold", "10.0.0.39", mac=mac_of(39), ready_port=80,
                          ready_port_limit=jitsu.PATIENCE, response_delay=0))
cold = []
for _ in range(min(BOOTS, 10)):
    client = Client(1, "10.0.0.39", "cold.test")
    same("a client of a guest that has just come up", "served", client.result())
    cold.append(1000 * (client.first_byte - client.start_time))
    off("cold")
call("service.remove", {"name": "cold"})
note(f"the first page of a guest that has just come up: median {statistics.median(cold):.0f} ms")

# --- with ---------------------------------------------------------------------------------------
synjitsu = Synjitsu()
wait_for(30, lambda: "speaks version" in jitsu.log_since(0), "jitsud to meet Synjitsu")
call("service.add", service("late", 41, wait_limit=700, use_synjitsu=True, switches="listen_delay=3 rehearse=1"))
call("service.add", service("soon", 42, wait_limit=700, use_synjitsu=True, switches="rehearse=1"))
call("service.add", quick("quick", 46, use_synjitsu=True))
for name, number in (("late", 41), ("soon", 42), ("quick", 46)):
    all_gaps, all_results, syns, fast = [], [], [], []
    connects.clear()
    for boot in range(BOOTS):
        asked, results, gaps = patient(name, number, [boot % 2])
        all_gaps += gaps
        all_results += results
        for client in asked:
            syns.append(capture.syns_of(client.i))
            if client.connected and client.connected - client.start_time < 0.95:
                fast.append(syns[-1])
        off(name)
    served = all_results.count("served")
    jitsu.jitsuctl("start", name)
    floor = []
    for _ in range(6):
        client = Client(2, f"10.0.0.{number}")
        same("a client of a guest that is up", "served", client.result())
        floor.append(1000 * (client.first_byte - client.start_time))
    off(name)
    note(f"with Synjitsu, {name}: {served} of {len(all_results)} served;",
         f"ms from the port's first answer to the first byte: median {statistics.median(all_gaps or [0]):.0f},",
         f"to the connection {statistics.median(connects or [0]):.0f};",
         f"{sum(gap < 300 for gap in all_gaps)} of {len(all_gaps)} under 300, most {max(all_gaps or [0]):.0f};",
         f"a page of a guest that is up takes {statistics.median(floor[1:]):.0f};",
         f"SYNs of a connection: {min(syns)} to {max(syns)}")
    note(f"{name}: {len(fast)} connected within a second, {fast.count(1)} of these by one SYN")
    same(f"{name}: SYNs of connections made within a second", [1] * len(fast), fast)
    if served != len(all_results):
        note(synjitsu.text()[-3000:])
    same(f"{name}: all served", ["served"] * len(all_results), all_results)

# --- many clients, one guest ---------------------------------------------------------------------
asked = [Client(i % CLIENTS, "10.0.0.41", "late.test") for i in range(20)]
same("20 clients and one guest", ["served"] * 20, [c.result() for c in asked])
note("20 clients to one booting guest: all served")
off("late")

# --- one client, many guests ---------------------------------------------------------------------
for i in range(GUESTS):
    call("service.add", quick(f"m{i}", 60 + i, use_synjitsu=True))
asked = [Client(0, f"10.0.0.{60 + i}", f"m{i}.test") for i in range(GUESTS)]
same("one client and many guests", ["served"] * GUESTS, [c.result() for c in asked])
for i in range(GUESTS):
    off(f"m{i}")
    call("service.remove", {"name": f"m{i}"})
note(f"one client to {GUESTS} booting guests: all served")

# --- wake by packet --------------------------------------------------------------------------------
call("service.add", service("packet", 43, wake=["dns", "packet"]))
del_dns = service("nodns", 44, wake=["packet"])
del del_dns["dns"]
call("service.add", del_dns)
rows, lost = [], []
for mode in ("destroy", "pause", "suspend"):
    for what in ("http", "ping"):
        for warm in (False, True):
            state = {"destroy": "off", "pause": "paused", "suspend": "suspended"}[mode]
            if get("packet")["state"] != state:
                jitsu.jitsuctl("start", "packet")
                jitsu.jitsuctl("stop", "--mode", mode, "packet")
                wait_for(jitsu.PATIENCE, lambda: get("packet")["state"] == state, f"packet to be {state}")
            neighbour(1, "10.0.0.43", mac_of(43) if warm else None)
            began = now()
            if what == "http":
                result = Client(1, "10.0.0.43").result()
            else:
                ping = subprocess.run(["ip", "netns", "exec", "c1", "ping", "-c", "1", "-W", "30", "10.0.0.43"],
                                      capture_output=True, text=True)
                result = "served" if ping.returncode == 0 else ping.stdout
            rows.append(f"{mode}, {what}, {'warm' if warm else 'empty'}: {result}, {1000 * (now() - began):.0f} ms")
            note(rows[-1])
            if result != "served":
                lost.append(rows[-1])
                note(synjitsu.text()[-3000:])
same("first tries that were lost", [], lost)
neighbour(1, "10.0.0.44", None)
same("a service without a name", "served", Client(1, "10.0.0.44").result())
call("service.add", service("held", 45, wake=["packet"]))
same("the address of one that only packets start", ["10.0.0.45"], jitsu.ask("held.test").addresses)
same("and its state", "off", get("held")["state"])
same("its client", "served", Client(1, "10.0.0.45").result())
off("held")

# --- Synjitsu dies in the middle --------------------------------------------------------------------
off("late")
asked = Client(2, "10.0.0.41", "late.test")
time.sleep(1.5)
synjitsu.kill()
synjitsu = Synjitsu()
note("Synjitsu killed and started again while a guest boots:", asked.result())
wait_for(jitsu.PATIENCE, lambda: get("late")["state"] == "ready", "the boot to go on")
zombies = [d for d, name in domains().items() if not name]
same("zombies", [], zombies)
for name in ("late", "soon", "quick", "packet", "nodns", "held"):
    call("service.remove", {"name": name})
wait_for(jitsu.PATIENCE, lambda: not domains(), "all domains to go")
jitsu.stop_jitsud(daemon)
synjitsu.process.terminate()
same("Synjitsu's status", 0, synjitsu.process.wait())
