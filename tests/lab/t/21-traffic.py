#!/usr/bin/env python3
"""Idle means idle: a long download is not cut, chatter keeps nobody awake, and idle_by is heeded."""
# timeout: 600
# takes: 110

import socket
import threading
import time

import jitsu
import life
from jitsu import PATIENCE, call, fail, get, linux, note, same, wait_for

TTL = 2  # s; the default policy destroys after twice that
MARGIN = 15  # s: a busy machine's
SECONDS, RATE, SIZE = 60, 110_000, 7 << 20  # the download: bytes a second, bytes
PAUSE = 3  # s


class Download(threading.Thread):
    """Reads the guest's big file as slowly as a thin line would."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address, self.size, self.error = address, 0, None
        self.began = self.ended = jitsu.now()
        self.start()

    def run(self):
        try:
            with socket.create_connection((self.address, 80), timeout=30) as client:
                client.sendall(b"GET /big HTTP/1.0\r\n\r\n")
                stream = client.makefile("rb")
                while stream.readline() not in (b"\r\n", b""):
                    pass
                while data := stream.read(RATE // 10):
                    self.size += len(data)
                    time.sleep(0.1)
        except OSError as error:
            self.error = error
        self.ended = jitsu.now()


class Using(threading.Thread):
    """Fetches a page over and over, without asking for the name; end() says how often it came."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address, self.pages, self.ended = address, 0, threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(0.3):
            self.pages += life.fetch(self.address, timeout=1) is not None

    def end(self):
        self.ended.set()
        self.join()
        return self.pages


def wake(name, address):
    answer = jitsu.ask(f"{name}.test")
    same(f"{name}: the answer", [address], answer.addresses if answer else None)
    wait_for(PATIENCE, lambda: life.fetch(address), f"a page of {name}")


def sleeps(what, name, state, limit, by=()):
    """It goes to sleep within the limit, whatever goes on."""
    since, began = len(events.all), jitsu.now()
    events.reaches(name, state, since, limit + MARGIN)
    note(f"{what}: {state} after {jitsu.now() - began:.1f} s")
    for thread in by:
        thread.end()


def stays(what, name, by, seconds=3 * PAUSE):
    """It is up as long as that goes on, which is longer than its policy."""
    since = len(events.all)
    time.sleep(seconds)
    same(f"{what}: states of {name} meanwhile", [], events.states(name, since))
    seen = by.end()
    if not seen or seen == {None}:
        fail(f"{what}: nothing was there to keep it up")
    note(f"{what}: up for {seconds} s")


def rate(name):
    """Bytes a second through its interfaces, as the daemon measures them."""
    def sample():
        call("service.list", {"measure": True})
        time.sleep(0.3)
        state = get(name)
        return state["rx"] + state["tx"], jitsu.now()
    (a, then), _, (b, now) = sample(), time.sleep(2), sample()
    return (b - a) / (now - then)


daemon = jitsu.start(clean=True)
events = life.Events()
call("service.add", linux("file", "10.0.0.111", "pv", TTL, switches=f"bigfile={SIZE >> 20}"))
call("service.add", linux("chatter", "10.0.0.112", "pvh", TTL, switches="chatter=4"))
wake("file", "10.0.0.111")
file_since, asked = len(events.all), get("file")["queries"]
download = Download("10.0.0.111")

# Chatter.
wake("chatter", "10.0.0.112")
sleeps(f"ARP chatter, TTL {TTL} s", "chatter", "off", 2 * TTL)
call("service.set", {"name": "chatter", "values": {"idle": f"pause:{PAUSE}s", "idle_by": "both"}})
wake("chatter", "10.0.0.112")
note(f"its chatter: {rate('chatter'):.0f} bytes a second")

# What counts, and what does not.
name, address = "chatter", "10.0.0.112"
wake(name, address)
stays("idle_by both, asked for", name, jitsu.Asking("chatter.test"))
stays("idle_by both, used", name, Using(address))
sleeps("idle_by both, neither", name, "paused", PAUSE)

call("service.set", {"name": name, "values": {"idle_by": "dns"}})
wake(name, address)
stays("idle_by dns, asked for", name, jitsu.Asking("chatter.test"))
sleeps("idle_by dns, used", name, "paused", PAUSE, [Using(address)])

call("service.set", {"name": name, "values": {"idle_by": "traffic"}})
wake(name, address)
stays("idle_by traffic, used", name, Using(address))
sleeps("idle_by traffic, asked for", name, "paused", PAUSE, [jitsu.Asking("chatter.test")])

# The download.
download.join(PATIENCE)
took = download.ended - download.began
same("the download", (None, SIZE), (download.error, download.size))
if took < SECONDS:
    fail(f"the download took only {took:.1f} s")
same("queries for it meanwhile", asked, get("file")["queries"])
events.reaches("file", "off", file_since, 2 * TTL + MARGIN)
off = next(e["time"] for e in events.all[file_since:] if e["service"] == "file" and e.get("to") == "off")
off -= time.time() - (jitsu.now() - download.ended)
note(f"download of {took:.1f} s with a TTL of {TTL} s: whole; off {off:.1f} s after its end")
call("service.remove", {"name": "chatter"})
call("service.remove", {"name": "file"})
wait_for(PATIENCE, lambda: not jitsu.domains(), "the domains to go")
jitsu.nothing_left("at the end")
jitsu.stop_jitsud(daemon)
