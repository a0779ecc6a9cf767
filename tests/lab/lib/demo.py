"""The demo's part in dom0: does the main job as a person would, checks each step, draws the timeline."""

import os
import re
import shlex
import socket
import struct
import subprocess
import sys
import threading
import time

import jitsu
from jitsu import GUESTS, domains, get, linux

NAME, DNS_NAME, ADDRESS, TTL = "www", "www.example.org", "10.0.0.80", 6
COLOUR = bool(os.environ.get("DEMO_COLOUR"))


def bold(text):
    return f"\033[1m{text}\033[0m" if COLOUR else text


def say(text=""):
    print(text, flush=True)


def fail(reason):
    say(f"\nThis did not happen: {reason}")
    if os.path.exists(jitsu.JITSUD_LOG):
        say("jitsud's log:\n" + jitsu.log_since(0)[-4000:])
    sys.exit(1)


def expect(what, condition):
    if not condition:
        fail(what)


def typed(command, wrapped=None):
    """Shows the command as it would be typed, runs it, shows what it prints."""
    say("\n" + bold("dom0# " + (wrapped or command)))
    done = subprocess.run(shlex.split(command), capture_output=True, text=True)
    say((done.stdout + done.stderr).rstrip() or "(no output)")
    expect(f"`{command}` succeeds", done.returncode == 0)
    return done.stdout


class Sniffer(threading.Thread):
    """Reads the wire: when the query, its answer and the page's first byte passed (CLOCK_REALTIME)."""

    TIMESTAMPNS = 35  # SO_TIMESTAMPNS, asm-generic/socket.h

    def __init__(self):
        super().__init__(daemon=True)
        self.seen = {}
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self.socket.setsockopt(socket.SOL_SOCKET, self.TIMESTAMPNS, 1)
        self.start()

    def run(self):
        question = jitsu.question(DNS_NAME)[12:-4]
        while True:
            packet, ancillary, _, _ = self.socket.recvmsg(2048, 64)
            seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2][:16])
            header = (packet[0] & 15) * 4
            source, target = struct.unpack("!HH", packet[header:header + 4])
            what = None
            if packet[9] == 17 and packet[header + 20:].startswith(question):
                what = "query" if target == 53 else "answer" if source == 53 else None
            elif packet[9] == 6 and source == 80 and packet[12:16] == socket.inet_aton(ADDRESS):
                length = struct.unpack("!H", packet[2:4])[0]
                what = "byte" if length > header + (packet[header + 12] >> 4) * 4 else None
            if what and what not in self.seen:
                self.seen[what] = seconds + nanoseconds / 1e9


class Departure(threading.Thread):
    """Watches for the domain to vanish from xenstore (CLOCK_REALTIME)."""

    def __init__(self, domid):
        super().__init__(daemon=True)
        self.domid, self.at, self.store = domid, None, jitsu.Xenstore()
        self.start()

    def run(self):
        while self.domid in self.store.domids():
            time.sleep(0.002)
        self.at = time.time()


def timeline(steps):
    """A row for each step: ms since the query, what it is, and a bar from the step before."""
    width, end, last = 26, steps[-1][0], 0.0
    say(bold("\nmilliseconds since the query"))
    for at, name, meaning in steps:
        begin, finish = round(last / end * width), round(at / end * width)
        bar = " " * begin + ("=" * (finish - begin) or "|")
        say(f"{at:9.1f}  {name:<11} {meaning:<29} {bar}".rstrip())
        last = at


say(f"dom0 runs, on Xen {jitsu.run('xl', 'info', 'xen_version').strip()}; from here on, its root shell.")
sniffer = Sniffer()
say("\n" + bold(f"dom0# jitsud -x libxl -b {jitsu.SERVER} -f 0.0.0.0 --foreground &"))
daemon = jitsu.start_jitsud("-x", "libxl", "-b", jitsu.SERVER, "-f", "0.0.0.0")

guest = linux(NAME, ADDRESS)["cmdline"]
lines = [f"name={NAME},dns={DNS_NAME},ip={ADDRESS},type=pvh",
         f"kernel={GUESTS}/linux.vmlinuz", f"ramdisk={GUESTS}/linux.initrd",
         f"cmdline={guest}", f"memory=96M,nic=xenbr0,ttl={TTL},wait_limit=60000"]
typed("jitsuctl add " + " ".join(shlex.quote(line) for line in lines),
      "jitsuctl add \\\n" + " \\\n".join("    " + (f'"{line}"' if " " in line else line) for line in lines))
out = typed("xl list")
expect("there is no domain but dom0 yet", domains() == {} and get(NAME)["state"] == "off")

out = typed(f"dig +short +time=70 @{jitsu.SERVER} {DNS_NAME}")
expect(f"dig is told {ADDRESS}", out.split() == [ADDRESS])
out = typed(f"curl -s -S -f --retry 20 --retry-all-errors --retry-delay 1 http://{ADDRESS}/",
            f"curl http://{ADDRESS}/")
expect("the page comes from our guest", out.split()[:3] == ["jitsu-lab-guest", "hostname", NAME])
service = get(NAME)
departure = Departure(service.get("domid", -1))
out = typed(f"dig +short @{jitsu.SERVER} {DNS_NAME}")
expect("whoever asks now is answered, too", out.split() == [ADDRESS])
typed("xl list")
expect("the domain is there", domains() == {service["domid"]: NAME} and service["boots"] == 1)
out = typed("jitsuctl list")
expect("the service is listed as ready", re.search(rf"^{NAME} .*\bready\b", out, re.M))

say(f"\nNobody asks any more. The TTL is {TTL} s; after twice that it is put away:")
end = jitsu.now() + 2 * TTL + 60
while domains():
    expect("the domain is put away", jitsu.now() < end)
    time.sleep(0.2)
departure.join(10)
typed("xl list")
out = typed("jitsuctl list")
expect("the service is still listed, and off", re.search(rf"^{NAME} .*\boff\b", out, re.M))
expect("nothing is left of it", not jitsu.vifs() and departure.at is not None)

seen, boot = sniffer.seen, get(NAME)["boot"]
expect("query, answer and page were seen on the wire", {"query", "answer", "byte"} <= set(seen))
expect("the boot's record is whole", {"want", "began", "created", "frame", "idle"} <= set(boot))
zero = seen["query"]
# The record counts from the want, which it tells on the monotonic clock.
want = (boot["want"] / 1e6 + time.time() - time.monotonic() - zero) * 1000
steps = [(0.0, "query", f"dig asks for {DNS_NAME}"),
         (want, "want", "dns tells engine: wanted"),
         (want + boot["created"], "created", "libxl has built the domain"),
         (want + boot["frame"], "first frame", "the guest's network is up"),
         ((seen["answer"] - zero) * 1000, "answer", f"dig is told {ADDRESS}"),
         ((seen["byte"] - zero) * 1000, "first byte", "of the page, HTTP 200"),
         (want + boot["idle"], "idle", f"unasked for 2 x TTL = {2 * TTL} s"),
         ((departure.at - zero) * 1000, "destroyed", "the domain is gone")]
expect("the steps come in this order", steps == sorted(steps, key=lambda step: step[0]))
timeline(steps)
say("\nThese are times of an emulated computer (QEMU, without KVM), many times slower\n"
    "than hardware: they show the order of the steps, not how fast Jitsu is.")
jitsu.stop_jitsud(daemon)
