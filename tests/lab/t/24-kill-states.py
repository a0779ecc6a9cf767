#!/usr/bin/env python3
"""kill -9 of each process in each state of LIFECYCLE.md, then stops and an upgrade: services, guests, memory
and xenstore are as before; nothing doubled, nothing orphaned."""
# timeout: 2400
# takes: 300
# put: another/jitsud

import collections
import difflib
import gzip
import json
import os
import re
import shutil
import signal
import struct
import sys
import threading
import time

import jitsu
from jitsu import GUESTS, call, domains, fail, get, linux, note, page, run, same, tiny, wait_for

LIMIT = 90  # s, for what must happen
IMAGES = "/run/suspend"
VICTIMS = ("engine", "toolstack", "dns", "all")
STATES = ("off", "queued", "building", "booting", "settling", "ready", "retiring", "pausing", "paused", "waking",
          "suspending", "suspended", "stopping", "restarting", "cancelled", "kept", "doomed", "removing", "gone")
ARGUMENTS = ("--log-level", "debug", "--boots", "1", "--suspend-dir", IMAGES)
KEY = "data/up"
SHUTDOWN = 3  # s that a guest which does not hear gets

FIRED = []

# Those at rest are so at each kill: ready, paused, suspended, kept; the others are off until a case wants them.
AT_REST = {"web": "ready", "nap": "paused", "deep": "suspended", "dead": "kept"}


def crashing(path):
    """The tiny guest with an undefined instruction where it begins."""
    with open(f"{GUESTS}/tiny.elf", "rb") as file:
        image = bytearray(file.read())
    entry, headers = struct.unpack_from("<QQ", image, 24)
    _, _, offset, address = struct.unpack_from("<IIQQ", image, headers)
    at = entry - address + offset
    image[at:at + 2] = b"\x0f\x0b"
    with open(path, "wb") as file:
        file.write(image)


def prepare_files():
    crashing("/root/crash.elf")
    with gzip.open("/root/slow.gz", "wb", 1) as file:  # libxl unpacks it, which takes its time
        for _ in range(64):
            file.write(bytes(1 << 20))


SPECS = {spec["name"]: spec for spec in (
    linux("web", "10.0.0.81", "pvh", 600),
    linux("deep", "10.0.0.82", "pv", 600),
    tiny("nap", "10.0.0.83", ttl=600),
    tiny("dead", "10.0.0.84", ttl=600, kernel="/root/crash.elf", on_crash="preserve", response_delay=0),
    tiny("bad", "10.0.0.85", ttl=600, kernel="/root/bad.elf"),
    tiny("quick", "10.0.0.86", ttl=600, shutdown_limit=SHUTDOWN, stop_mode="shutdown"),
    tiny("slow", "10.0.0.87", ttl=600, memory="128M", ramdisk="/root/slow.gz"),
    tiny("key", "10.0.0.88", ttl=600, wait_for_key=KEY, wait_for_key_limit=300),
    tiny("settle", "10.0.0.89", ttl=600, response_delay=2),
    tiny("idler", "10.0.0.90", ttl=600, idle="pause:1s,destroy:1h"),
)}


class Journal:
    """The engine's own word of who is in which state: its log."""

    LINE = re.compile(r"engine debug: service (\S+): (\w+) -> (\w+) \(")

    def __init__(self):
        self.at, self.rest = os.path.getsize(jitsu.JITSUD_LOG), ""
        self.phases, self.steps = {}, set()

    def read(self):
        with open(jitsu.JITSUD_LOG, errors="replace") as file:
            file.seek(self.at)
            text = file.read()
            self.at = file.tell()
        lines = (self.rest + text).split("\n")
        self.rest = lines.pop()
        for line in lines:
            step = self.LINE.search(line)
            if step:
                self.phases[step[1]] = step[3]
                self.steps.add((step[1], step[3]))

    def phase(self, name):
        self.read()
        return self.phases.get(name, "off")

    def await_phase(self, name, phase):
        """It is in it, or was since the case began."""
        end = jitsu.now() + LIMIT
        while (name, phase) not in self.steps:
            if jitsu.now() > end:
                fail(f"{name} did not come to be {phase}, it is {self.phases.get(name)}")
            time.sleep(0.0005)
            self.read()

    def next_case(self):
        self.read()
        self.steps = set()

    def forget(self, name):
        """It was removed, and is a new one."""
        self.read()
        self.phases.pop(name, None)

    def began_anew(self):
        """The engine: it knows nothing yet."""
        self.next_case()
        self.phases = {}


class Doubles(threading.Thread):
    """Looks for two domains of one service at the same time."""

    def __init__(self):
        super().__init__(daemon=True)
        self.store, self.owners, self.seen = jitsu.Xenstore(), {}, []
        self.start()

    def run(self):
        while True:
            time.sleep(0.03)
            domids = self.store.domids()
            for domid in domids:
                if not self.owners.get(domid):
                    self.owners[domid] = self.store.read(f"/local/domain/{domid}/vm")
            count = collections.Counter(self.owners[domid] for domid in domids if self.owners.get(domid))
            self.seen += [f"{n} domains of {owner}: {domids}" for owner, n in count.items() if n > 1]


def fire(method, **params):
    """An order, once: its answer may be lost with the engine."""
    client = jitsu.connect()
    client.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n")
    FIRED.append(client)  # who hangs up does not want it


def ask(name):
    """A resolver that does not give up."""
    return jitsu.Background(jitsu.resolves, f"{name}.test", SPECS[name]["ip"], LIMIT)


def answered(client, name):
    if client.result(LIMIT + 5) is None:
        fail(f"{name}: no answer in {LIMIT} s")


def serves(name):
    """Asked for, it is ready; returns its domain."""
    jitsu.resolves(f"{name}.test", SPECS[name]["ip"], LIMIT)
    return wait_for(LIMIT, lambda: (s := get(name))["state"] == "ready" and s["domid"], f"{name} to be ready")


def stop(name, mode="destroy"):
    """Also when it is in between."""
    def tried():
        try:
            return call("service.stop", {"name": name, "mode": mode})
        except jitsu.Refused as refused:
            return refused.error["data"]["kind"] not in ("busy", "system") and refused
    return wait_for(LIMIT, tried, f"{name} to be stopped")


def first_guest():
    """libxl leaves the folders of xenstore that it made for the first guest of a host, such as /libxl and /vm."""
    daemon = jitsu.start(clean=True)
    call("service.add", {**tiny("first", "10.0.0.90"), "nic": ["xenbr0"], "frame_limit": 0.1})
    jitsu.jitsuctl("start", "first")
    wait_for(LIMIT, lambda: get("first")["state"] == "ready", "the first guest")
    call("service.remove", {"name": "first"})
    wait_for(LIMIT, lambda: "first" not in domains().values(), "the first guest to go")
    jitsu.stop_jitsud(daemon)


class World:
    """One daemon with the services, those at rest where they belong; knows how that looks."""

    def __init__(self):
        run("rm", "-rf", IMAGES)
        first_guest()
        self.free = self.memory()
        self.empty = self.tree()
        self.begin(jitsu.start(*ARGUMENTS, clean=True))
        self.journal = Journal()
        shutil.copyfile(f"{GUESTS}/tiny.elf", "/root/bad.elf")
        for spec in SPECS.values():
            call("service.add", spec)
        with open("/root/bad.elf", "wb") as file:
            file.write(b"no kernel")
        clients = [ask("web"), ask("deep"), ask("nap")]
        jitsu.ask("dead.test")
        jitsu.ask("bad.test")
        for client, name in zip(clients, ("web", "deep", "nap")):
            answered(client, name)
        self.pages = {name: jitsu.expect_page(SPECS[name]["ip"], name) for name in ("web", "deep")}
        stop("deep", "suspend")
        stop("nap", "pause")
        wait_for(LIMIT, lambda: get("dead")["state"] == "kept", "dead to be kept")
        wait_for(LIMIT, lambda: get("bad")["state"] == "failed", "bad to fail")
        self.settled()
        self.before = self.look()
        self.specs = {s["name"]: get(s["name"])["spec"] for s in jitsu.services()}

    def begin(self, parent):
        self.parent = parent
        wait_for(LIMIT, lambda: None not in jitsu.rooms(parent), "all rooms")
        self.pids = dict(zip(jitsu.ROOMS, jitsu.rooms(parent)), parent=parent.pid)

    @staticmethod
    def memory():
        return int(re.search(r"free_memory *: (\d+)", run("xl", "info"))[1])

    @staticmethod
    def tree():
        return run("xenstore-ls", "-f")

    def look(self):
        services = {s["name"]: (s["state"].replace("failed", "off"), s.get("domid"), s["uuid"], s["dns"], s["ip"],
                                s["memory"]) for s in jitsu.services()}
        return {"services": services, "orphans": call("daemon.status")["orphans"], "domains": domains(),
                "xenstore": self.tree(), "free memory": self.memory(), "images": sorted(os.listdir(IMAGES)),
                "vifs": jitsu.vifs(), "processes": len(jitsu.processes())}

    @staticmethod
    def settled():
        def connected():
            status = call("daemon.status")
            return status["dns"] and status["toolstack"]
        wait_for(LIMIT, connected, "the rooms to be connected")
        wait_for(LIMIT, jitsu.settled, "services and domains to agree")

    def as_before(self):
        """Everything, as soon as what is under way has ended."""
        end = jitsu.now() + 30
        while (now := self.look()) != self.before and jitsu.now() < end:
            time.sleep(0.1)
        for what, value in self.before.items():
            if now[what] == value:
                continue
            if isinstance(value, str):
                old, new = set(value.splitlines()), set(now[what].splitlines())
                fail(f"{what} before but not after: {sorted(old - new)}; after but not before: {sorted(new - old)}")
            same(what, value, now[what])
        answer = jitsu.ask("web.test")
        same("web's answer", [SPECS["web"]["ip"]], answer and answer.addresses)
        same("web's page, with the time of its boot", self.pages["web"], page(SPECS["web"]["ip"], timeout=30))

    def strike(self, victim, name, phase):
        """kill -9 in that state. The engine is held still meanwhile, so that what it wrote last is where it is.
        Returns all states hit, None if the service was no longer where it should be."""
        dead = [pid for room, pid in self.pids.items() if victim in ("all", room)]
        if phase:
            self.journal.await_phase(name, phase)
        os.kill(self.pids["engine"], signal.SIGSTOP)
        wait_for(LIMIT, lambda: jitsu.status_of(self.pids["engine"])["State"][0] == "T", "the engine to hold still")
        hit = self.journal.phase(name) == phase or not phase
        states = {self.journal.phases.get(service, "off") for service in SPECS} if hit else None
        os.kill(self.pids["parent"], signal.SIGSTOP)  # it would start rooms again, and they would see its end
        for pid in dead:
            os.kill(pid, signal.SIGKILL)
        for pid in self.pids.values():
            if pid not in dead:
                os.kill(pid, signal.SIGCONT)
        if victim == "all":
            self.parent.wait(LIMIT)
            wait_for(LIMIT, lambda: not jitsu.processes(), "all processes to be dead")
            self.journal.began_anew()
            self.begin(jitsu.start(*ARGUMENTS))
            return states
        wait_for(LIMIT, lambda: jitsu.room(self.parent, victim) not in (None, self.pids[victim]),
                 f"{victim} to be started again")
        if victim == "engine":
            self.journal.began_anew()
        old = self.pids
        self.begin(self.parent)
        same("the other processes", {room: pid for room, pid in old.items() if room != victim},
             {room: pid for room, pid in self.pids.items() if room != victim})
        return states

    def hold(self, room):
        """It does not run until after the kill, as on a host that is slow."""
        os.kill(self.pids[room], signal.SIGSTOP)

    def end(self):
        for spec in list(jitsu.services()):
            call("service.remove", {"name": spec["name"]})
        jitsu.stop_jitsud(self.parent)
        end = time.monotonic() + LIMIT
        while self.tree() != self.empty and time.monotonic() < end:
            time.sleep(0.05)
        same("xenstore, as it was without services", [],
             [line for line in difflib.unified_diff(self.empty.splitlines(), self.tree().splitlines(), n=0, lineterm="")])
        wait_for(LIMIT, lambda: self.memory() == self.free, f"{self.free} MiB to be free, not {self.memory()}")
        same("images", [], os.listdir(IMAGES))
        jitsu.nothing_left("at the end")


# The cases: up to the yield a service is brought into a state; from there on it is after the kill.
CASES = []


def case(function):
    CASES.append(function)
    return function


@case
def off(world):
    yield "quick", None
    serves("quick")
    stop("quick")


@case
def queued(world):
    first = ask("slow")
    world.journal.await_phase("slow", "building")
    second = ask("quick")
    yield "quick", "queued"
    answered(first, "slow")
    answered(second, "quick")
    stop("slow")
    stop("quick")


@case
def building(world):
    client = ask("slow")
    world.journal.await_phase("slow", "building")
    time.sleep(0.4)
    yield "slow", "building"
    answered(client, "slow")
    stop("slow")


@case
def restoring(world):
    client = ask("deep")
    world.journal.await_phase("deep", "building")
    time.sleep(0.2)
    yield "deep", "building"
    answered(client, "deep")
    serves("deep")
    same("deep's page", world.pages["deep"], jitsu.expect_page(SPECS["deep"]["ip"], "deep"))
    stop("deep", "suspend")


@case
def booting(world):
    client = ask("key")
    world.journal.await_phase("key", "booting")
    domid = get("key")["domid"]
    yield "key", "booting"
    world.settled()
    same("key's domain", domid, get("key").get("domid"))
    run("xenstore-write", f"/local/domain/{domid}/{KEY}", "1")
    answered(client, "key")
    same("key's domain", domid, serves("key"))
    stop("key")


@case
def settling(world):
    client = ask("settle")
    world.journal.await_phase("settle", "settling")
    domid = get("settle")["domid"]
    yield "settle", "settling"
    answered(client, "settle")
    same("settle's domain", domid, serves("settle"))
    stop("settle")


@case
def retiring(world):
    domid = serves("idler")
    world.hold("dns")
    yield "idler", "retiring"
    wait_for(LIMIT, lambda: get("idler")["state"] == "paused", "idler to be paused")
    same("idler's domain", domid, serves("idler"))
    stop("idler")


@case
def pausing(world):
    domid = serves("nap")
    world.hold("toolstack")
    fire("service.pause", name="nap")
    yield "nap", "pausing"
    same("nap's domain", domid, serves("nap"))
    stop("nap", "pause")


@case
def waking(world):
    domid = get("nap")["domid"]
    world.hold("toolstack")
    client = ask("nap")
    yield "nap", "waking"
    answered(client, "nap")
    same("nap's domain", domid, serves("nap"))
    stop("nap", "pause")


def suspending_after(world, seconds):
    serves("deep")
    jitsu.expect_page(SPECS["deep"]["ip"], "deep")
    fire("service.stop", name="deep", mode="suspend")
    world.journal.await_phase("deep", "suspending")
    time.sleep(seconds)
    yield "deep", "suspending"
    serves("deep")
    same("deep's page", world.pages["deep"], jitsu.expect_page(SPECS["deep"]["ip"], "deep"))
    stop("deep", "suspend")


@case
def suspending(world):
    yield from suspending_after(world, 0.1)


@case
def suspending_late(world):
    yield from suspending_after(world, 0.5)


@case
def stopping(world):
    serves("quick")
    fire("service.stop", name="quick")
    yield "quick", "stopping"
    serves("quick")
    stop("quick")


@case
def restarting(world):
    serves("quick")
    fire("service.restart", name="quick")
    yield "quick", "restarting"
    serves("quick")
    stop("quick")


@case
def cancelled(world):
    fire("service.start", name="slow")
    world.journal.await_phase("slow", "building")
    fire("service.stop", name="slow")
    yield "slow", "cancelled"
    serves("slow")
    stop("slow")


def removed(world, name):
    """It is, and what it had is gone with it; then it is added again."""
    wait_for(LIMIT, lambda: name not in [s["name"] for s in jitsu.services()], f"{name} to be removed")
    world.settled()
    wait_for(LIMIT, lambda: name not in domains().values(), f"{name}'s domain to go with it")
    uuid = world.before["services"][name][2]
    call("service.add", dict(SPECS[name], uuid=uuid))
    world.journal.forget(name)


@case
def doomed(world):
    fire("service.start", name="slow")
    world.journal.await_phase("slow", "building")
    fire("service.remove", name="slow")
    yield "slow", "doomed"
    removed(world, "slow")


@case
def removing(world):
    serves("quick")
    fire("service.stop", name="quick")
    world.journal.await_phase("quick", "stopping")
    fire("service.remove", name="quick")
    yield "quick", "removing"
    removed(world, "quick")


@case
def gone(world):
    fire("service.remove", name="settle")
    yield "settle", "gone"
    removed(world, "settle")


def end_and_start(world, what, build=None):
    """SIGTERM as systemd would while services are in many states, another build perhaps, and a start."""
    world.journal.next_case()
    serves("quick")
    clients = {"key": ask("key")}
    world.journal.await_phase("key", "booting")
    key = get("key")["domid"]
    fire("service.stop", name="quick")
    world.journal.await_phase("quick", "stopping")
    clients["settle"] = ask("settle")
    world.journal.await_phase("settle", "settling")
    settle = get("settle")["domid"]
    clients["slow"] = ask("slow")
    world.journal.await_phase("slow", "building")
    clients["idler"] = ask("idler")
    world.journal.await_phase("idler", "queued")
    states = {world.journal.phase(service) for service in SPECS}
    began = jitsu.now()
    jitsu.stop_jitsud(world.parent)
    same(f"{what}: processes", [], jitsu.processes())
    same(f"{what}: web's page without a daemon", world.pages["web"], page(SPECS["web"]["ip"], timeout=30))
    if build:
        binary = shutil.which("jitsud")
        shutil.copy(build, f"{binary}.new")
        os.rename(f"{binary}.new", binary)
    world.journal.began_anew()
    world.begin(jitsu.start(*ARGUMENTS))
    away = jitsu.now() - began
    run("xenstore-write", f"/local/domain/{key}/{KEY}", "1")
    for name, client in clients.items():
        answered(client, name)
    same(f"{what}: domains of those that were starting", [key, settle], [serves("key"), serves("settle")])
    for name in ("quick", *clients):
        stop(name)
    world.as_before()
    note(f"{what}: jitsud {call('daemon.status')['version']} is back after {away:.1f} s;",
         "found", ", ".join(state for state in STATES if state in states))


def stops_and_upgrade(world):
    binary = shutil.which("jitsud")
    if not os.path.exists("/root/jitsud"):
        fail("there is no other build in /root/jitsud: tests/lab/check puts it there")
    shutil.copy(binary, "/root/jitsud.before")
    version = call("daemon.status")["version"]
    end_and_start(world, "stopped and started")
    end_and_start(world, "upgraded to another build", "/root/jitsud")
    if call("daemon.status")["version"] == version:
        fail(f"the other build has the version {version}, too")
    end_and_start(world, "and back", "/root/jitsud.before")
    same("version", version, call("daemon.status")["version"])


def kill_in_each_state(only):
    hits, kills, missed, troubles = collections.Counter(), collections.Counter(), 0, []
    doubles, world = Doubles(), World()
    for victim in VICTIMS:
        for function in CASES:
            if only and function.__name__ not in only:
                continue
            for _ in range(5):
                began = jitsu.now()
                what = f"{victim} killed, {function.__name__}"
                try:
                    world.journal.next_case()
                    story = function(world)
                    states = world.strike(victim, *next(story))
                    struck = jitsu.now()
                    next(story, None)
                    world.as_before()
                    if doubles.seen:
                        fail(doubles.seen.pop())
                except SystemExit:
                    troubles.append(what)
                    jitsu.kill_all(world.parent)
                    run("sh", "-c", "for d in $(xl list | awk 'NR > 2 { print $2 }'); do xl destroy $d; done")
                    print(f"{what}: TROUBLE", flush=True)
                    print("".join("    " + line for line in jitsu.log_since(0).splitlines(True)[-2000:]
                                  if " says: " not in line))
                    world, states = World(), None
                    break
                kills[victim] += 1
                print(f"{what}: {'hit' if states else 'missed'}; {struck - began:.1f} s before, "
                      f"{jitsu.now() - struck:.1f} s after", flush=True)
                if states:
                    hits.update((state, victim) for state in states)
                    break
                missed += 1
    if not only or "upgrade" in only:
        stops_and_upgrade(world)
    same("specifications", world.specs, {s["name"]: get(s["name"])["spec"] for s in jitsu.services()})
    world.end()
    note(f"{sum(kills.values())} kills, {missed} of them when the state was over; at each one guest was ready, one "
         "paused, one suspended, one kept")
    note(f"{'state':11}" + "".join(f"{victim:>10}" for victim in VICTIMS))
    for state in STATES:
        note(f"{state:11}" + "".join(f"{hits[state, victim]:>10}" for victim in VICTIMS))
    same("troubles", [], troubles)
    if not only:
        without = [(state, victim) for state in STATES for victim in VICTIMS if not hits[state, victim]]
        same("states in which it was not killed", [], without)
        same("at least 50 kills", True, sum(kills.values()) >= 50)


prepare_files()
kill_in_each_state(sys.argv[1:])
