#!/usr/bin/env python3
"""The quick guest: one query starts it, it answers ping and HTTP, many at once, and is blocked when idle."""
# timeout: 600
# takes: 45

import http.client
import re
import socket
import time

import jitsu
from jitsu import GUESTS, call, fail, get, note, now, page, run, same, wait_for, web
from lab import succeeds

ADDRESS = "10.0.0.31"
CONSOLE = "/var/log/xen/console/guest-{}.log"


def request(method="GET", port=80):
    """Status of one request, made once; None if the connection was refused."""
    client = http.client.HTTPConnection(ADDRESS, port, timeout=jitsu.PATIENCE)
    try:
        client.request(method, "/")
        return client.getresponse().status
    except ConnectionRefusedError:
        return None
    finally:
        client.close()


def at_once(count):
    """So many connections, all open before the first of them asks; how long each took."""
    clients = [http.client.HTTPConnection(ADDRESS, timeout=jitsu.PATIENCE) for _ in range(count)]
    for client in clients:
        client.connect()
    for client in clients:
        client.request("GET", "/")
    same("connections served at once", [200] * count, [client.getresponse().status for client in clients])
    threads = [jitsu.Background(request) for _ in range(count)]
    same("clients served at once", [200] * count, [thread.result(jitsu.PATIENCE) for thread in threads])


def cpu_ms(name):
    """What its processor has used, as Xen counts it."""
    return float(run("xl", "list", name).splitlines()[1].split()[5]) * 1000


def listen(interface):
    """A socket that keeps all the frames there."""
    capture = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    capture.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
    capture.bind((interface, 3))  # ETH_P_ALL
    capture.setblocking(False)
    return capture


def syns(capture):
    """The clients' ports in the SYNs to the guest, in order."""
    ports = []
    while True:
        try:
            frame = capture.recv(2048)
        except BlockingIOError:
            return ports
        if frame[12:14] == b"\x08\x00" and frame[23] == 6 and frame[30:34] == socket.inet_aton(ADDRESS) \
                and frame[47] & 0x12 == 2:
            ports.append(frame[34:36])


def said(name, words):
    with open(CONSOLE.format(name), errors="replace") as file:
        return words in file.read()


def from_unpause(name, *switches):
    """Started by xl, paused before it runs: ms from unpause to the first page, and its own from its entry."""
    with open(f"{name}.cfg", "w") as config:
        config.write(f'name = "{name}"\ntype = "pv"\nmemory = 8\nkernel = "{GUESTS}/web.elf"\n'
                     f'cmdline = "{" ".join((f"ip={ADDRESS}/24", f"hostname={name}", *switches))}"\n'
                     'vif = [ "bridge=xenbr0" ]\n')
    run("xl", "create", "-q", "-p", f"{name}.cfg")
    began = now()
    run("xl", "unpause", name)
    text = wait_for(jitsu.PATIENCE, lambda: page(ADDRESS, timeout=0.2), f"the page of {name}")
    return (now() - began) * 1000, float(re.search(r"^uptime ([0-9.]+)$", text, re.MULTILINE)[1]) * 1000


daemon = jitsu.start(clean=True)
call("service.add", web("web", ADDRESS))
capture = listen("xenbr0")
began = now()
answer = jitsu.ask("web.test", retry=jitsu.PATIENCE)
answered = now()
same("the answer", [ADDRESS], answer and answer.addresses)
same("the first request", 200, request())
first = now()
jitsu.expect_page(ADDRESS, "web")
boot = get("web")["boot"]
note(f"query to answer {(answered - began) * 1000:.0f} ms, to the first page {(first - began) * 1000:.0f} ms;",
     f"created {boot['created'] - boot['began']:.0f} ms after its begin, first frame {boot['frame'] - boot['began']:.0f}")
if not succeeds("ping", "-c", "3", "-i", "0.2", "-W", "5", ADDRESS):
    fail("it does not answer ping")
same("a closed port", None, request(port=81))
same("a POST", 501, request("POST"))
at_once(20)
sent = syns(capture)
note(f"{len(sent)} SYNs to it, {len(sent) - len(set(sent))} of them sent again")

wait_for(jitsu.PATIENCE, lambda: "b" in run("xl", "list", "web").splitlines()[1].split()[4], "it to block when idle")
before = cpu_ms("web")
time.sleep(3)
note(f"CPU in all {before:.0f} ms, {cpu_ms('web') - before:.0f} more after 3 s idle")

call("service.stop", {"name": "web", "mode": "shutdown"})
jitsu.gone("web")
same("it powers off when asked to", True, said("web", "poweroff"))
jitsu.stop_jitsud(daemon)

for i in range(3):
    total, own = from_unpause(f"web{i}")
    note(f"unpause to page {total:.0f} ms, entry to listening {own:.0f} ms")
    run("xl", "destroy", f"web{i}")
