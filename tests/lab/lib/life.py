"""What the tests of sleep and traffic share: the events, the guest's own account of its life, a table."""

import glob
import json
import os
import threading
import time
import traceback
import urllib.request

import jitsu
from jitsu import PATIENCE, fail, get, run, same, wait_for

FAILED = []  # functions that did, of those called by tried()


def fetch(address, path="cgi-bin/now", timeout=20):
    """What the guest's page says, or None."""
    try:
        with urllib.request.urlopen(f"http://{address}/{path}", timeout=timeout) as answer:
            return answer.read().decode()
    except OSError:
        return None


class Events(threading.Thread):
    """All events from now on, in their order."""

    def __init__(self):
        super().__init__(daemon=True)
        self.all, self.client = [], jitsu.connect(timeout=None)
        self.client.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "events.subscribe"}\n')
        self.stream = self.client.makefile()
        json.loads(self.stream.readline())
        self.start()

    def run(self):
        for line in self.stream:
            self.all.append(json.loads(line)["params"])

    def states(self, name, since=0):
        """The states that it went through."""
        return [e["to"] for e in self.all[since:] if e["kind"] == "state" and e["service"] == name]

    def since_ready(self, name):
        """The states that it went through since it was ready last."""
        states = self.states(name)
        return states[len(states) - states[::-1].index("ready"):] if "ready" in states else states

    def reaches(self, name, state, since, limit=PATIENCE):
        """Waits until it came into the state, since that many events."""
        end = jitsu.now() + limit
        while state not in self.states(name, since):
            if jitsu.now() > end:
                fail(f"waited in vain for {name} to be {state}; it went through {self.states(name, since)}")
            time.sleep(0.02)


def xl_flags(name):
    """Its state as `xl list` shows it, such as -b---- or --p---; None without a domain."""
    for row in run("xl", "list").splitlines()[1:]:
        if row.split()[0] == name:
            return row.split()[-2]
    return None


def free_memory():
    """MiB that Xen has free."""
    return next(int(row.split(":")[1]) for row in run("xl", "info").splitlines() if row.startswith("free_memory"))


def traces(domid):
    """What Xen, xenstore and the network have of a domain."""
    store = jitsu.Xenstore()
    paths = [f"/local/domain/{domid}", f"/libxl/{domid}", f"/local/domain/0/backend/vif/{domid}",
             f"/local/domain/0/backend/vbd/{domid}", f"/local/domain/0/backend/console/{domid}"]
    left = [path for path in paths if store.read(path) is not None]
    left += [vif for vif in jitsu.vifs() if vif.startswith(f"vif{domid}.")]
    return left + (["xl list"] if domid in jitsu.domains() else [])


def resent():
    """TCP segments that this host sent again, since it was booted."""
    with open("/proc/net/snmp") as file:
        names, values = [row.split() for row in file if row.startswith("Tcp:")]
    return int(values[names.index("RetransSegs")])


def is_connected(name, boot):
    """It was taken as ready when its nic was connected again, and not before, nor at the limit."""
    same(f"{name}: signs that it lacks, restored", None, boot.get("missed"))
    same(f"{name}: restored, connected, ready: {boot}", sorted((boot["created"], boot["frame"], boot["ready"])),
         [boot["created"], boot["frame"], boot["ready"]])


class Guest:
    """The Linux guest of a service, and what its memory should hold."""

    def __init__(self, name, address, images):
        self.name, self.address, self.images = name, address, images
        self.boot = self.domid = None
        self.count = 0

    def is_image(self):
        return glob.glob(f"{self.images}/{get(self.name)['uuid']}.save")

    def serves(self, what, how, same_boot):
        """It is ready and has served; its memory is that of before, or new. Returns ms from the query to the page."""
        began = jitsu.now()
        answer = jitsu.ask(f"{self.name}.test", retry=5)
        same(f"{what}: {self.name}: the answer", [self.address], answer.addresses if answer else None)
        answered, before = (jitsu.now() - began) * 1000, resent()
        text = wait_for(PATIENCE, lambda: fetch(self.address), f"{what}: a page from {self.address}")
        took = (jitsu.now() - began) * 1000
        print(f"{jitsu.now():.1f} {what}: {self.name}: answer in {answered:.0f}, page in {took:.0f} ms,",
              f"{resent() - before} segments sent again", flush=True)
        page = dict(line.split(" ", 1) for line in text.splitlines())
        state = get(self.name)
        same(f"{what}: {self.name}: woken", how, state["boot"]["how"])
        if how == "restored":
            is_connected(self.name, state["boot"])
        if same_boot != (page["boot"] == self.boot):
            fail(f"{what}: {self.name}: boot {page['boot']}, before {self.boot}")
        if same_boot and int(page["count"]) <= self.count:
            fail(f"{what}: {self.name}: its memory counts {page['count']} requests, before {self.count}")
        self.boot, self.count, self.domid = page["boot"], int(page["count"]), state.get("domid")
        return took

    def is_paused(self, what):
        state = get(self.name)
        same(f"{what}: {self.name}: state", ("paused", self.domid), (state["state"], state.get("domid")))
        same(f"{what}: {self.name}: xl list", "p", xl_flags(self.name)[2])

    def is_suspended(self, what):
        state = get(self.name)
        same(f"{what}: {self.name}: state", ("suspended", None), (state["state"], state.get("domid")))
        same(f"{what}: {self.name}: image", (True, 1), (state.get("image"), len(self.is_image())))
        same(f"{what}: {self.name}: left of domain {self.domid}", [], traces(self.domid))

    def is_off(self, what):
        state = get(self.name)
        same(f"{what}: {self.name}: state", ("off", None), (state["state"], state.get("domid")))
        same(f"{what}: {self.name}: image", [], self.is_image())
        same(f"{what}: {self.name}: left of domain {self.domid}", [], traces(self.domid))

    def console(self):
        with open(f"/var/log/xen/console/guest-{self.name}.log", errors="replace") as file:
            return file.read()


class Table:
    """What was seen, a line for each kind of guest."""

    def __init__(self, *columns):
        self.columns, self.rows = columns, {}

    def add(self, row, column, *words):
        self.rows.setdefault(row, {})[column] = " ".join(words)
        print(f"{jitsu.now():.1f} {row}: {column}:", *words, flush=True)

    def show(self):
        left, middle = max(map(len, self.rows)), max(map(len, self.columns))
        for row, cells in self.rows.items():
            for column in self.columns:
                jitsu.note(f"{row:{left}}  {column:{middle}}  {cells.get(column, '-')}")
                row = ""


def tried(function, *arguments):
    """Calls it; what fails is said and counts, and the test goes on. Lab time is dear."""
    try:
        return function(*arguments)
    except SystemExit:
        FAILED.append(function.__name__)
    except Exception:
        traceback.print_exc()
        FAILED.append(function.__name__)
    return None


def end():
    if FAILED:
        fail(f"in {', '.join(FAILED)}")


def suspend_dir(path, tmpfs=False):
    """A folder for suspend images, of root's alone; emptied if it was there."""
    if os.path.ismount(path):
        run("umount", path)
    os.makedirs(path, mode=0o700, exist_ok=True)
    if tmpfs:
        run("mount", "-t", "tmpfs", "-o", "mode=700,size=400m", "tmpfs", path)
    return path
