#!/usr/bin/env python3
"""An hvm guest, with a device model: started by a query, put to sleep in each way, adopted, put away without a trace."""
# timeout: 900
# takes: 80

import os
import struct
import subprocess

import jitsu
import memory
from jitsu import GUESTS, call, domains, fail, get, jitsuctl, linux, note, now, same, wait_for

TTL = 600
QEMU = "/usr/libexec/xen-qemu-system-i386"


def read(name):
    with open(f"{GUESTS}/{name}", "rb") as file:
        return file.read()


def make_disk(path, cmdline):
    """A disk that boots the lab's Linux with that command line (see guest/boot/boot.S)."""
    kernel, ramdisk = read("linux.vmlinuz"), read("linux.initrd")
    size = (kernel[0x1f1] + 1) * 512
    setup = bytearray(kernel[:size])
    setup[0x210] = 0xff  # a boot loader without a number of its own
    setup[0x211] |= 0x80  # its heap ends ...
    struct.pack_into("<H", setup, 0x224, 0xe000 - 0x200)
    struct.pack_into("<II", setup, 0x218, 0x8000000, len(ramdisk))
    struct.pack_into("<I", setup, 0x228, 0x90000)
    sector, image = bytearray(read("boot.bin")), b""
    for i, (address, part) in enumerate(((0x80000, bytes(setup)), (0x90000, cmdline.encode() + b"\0"),
                                         (0x100000, kernel[size:]), (0x8000000, ramdisk))):
        part += bytes(-len(part) % 512)
        struct.pack_into("<III", sector, 0x1b0 + 12 * i, 1 + len(image) // 512, len(part) // 512, address)
        image += part
    with open(path, "wb") as file:
        file.write(sector + image + bytes(-len(image) % (1 << 20)))


def device_models():
    """Pids of those that run; one that has just been told to end is given its time."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if file.read().startswith(QEMU.encode()):
                    found.append(int(pid))
        except OSError:
            pass
    return found


def fetch(path):
    return subprocess.run(["curl", "-s", "-m", "20", f"http://10.0.0.22/cgi-bin/{path}"], stdout=subprocess.PIPE,
                          check=False).stdout


def boot_of():
    """Which boot of its kernel this is: what only memory holds."""
    return wait_for(jitsu.PATIENCE, lambda: [line for line in fetch("now").splitlines() if line.startswith(b"boot ")],
                    "the guest to say which boot it is")


def summon(what):
    began = now()
    same(f"{what}: the answer", "10.0.0.22", jitsu.dig("+short", "hvm.test").strip())
    wait_for(jitsu.PATIENCE, lambda: get("hvm")["state"] == "ready", "the guest to be ready")
    jitsu.expect_page("10.0.0.22", "hvm")
    note(f"{what}: {now() - began:.1f} s to its page, {get('hvm')['boot']['how']}")


def put_away(what):
    wait_for(jitsu.PATIENCE, lambda: not device_models(), f"{what}: the device model to end")
    jitsu.nothing_left(what)


daemon = jitsu.start(clean=True)

# Without a device model it is refused by name, before anything is made.
os.rename(QEMU, QEMU + ".away")
try:
    call("service.add", linux("hvm", "10.0.0.22", "hvm", TTL))
    fail("a service was added that this host cannot run")
except jitsu.Refused as refusal:
    same("what is wrong", True, "qemu-system-xen" in str(refusal) and "type" in str(refusal))
os.rename(QEMU + ".away", QEMU)
same("services after the refusal", [], jitsu.services())

service = linux("hvm", "10.0.0.22", "hvm", TTL, memory="192M", disk=["/root/linux.img@hda", "/root/data.img@xvdb"])
make_disk("/root/linux.img", service["cmdline"])
for key in ("kernel", "ramdisk", "cmdline"):
    del service[key]
with open("/root/data.img", "wb") as image:
    image.write(b"disk of the host\n".ljust(1 << 20, b"\0"))
call("service.add", service)
free = memory.settled()
summon("a query")
note(f"takes {free - memory.free() - 192 * 1024} KiB beside its memory")
same("device models", 1, len(device_models()))
same("its second disk", True, b"xvdb 0 disk of the host" in fetch("disk"))
booted = boot_of()

same("paused", 0, jitsuctl("stop", "--mode", "pause", "hvm")[0])
same("its state", "paused", get("hvm")["state"])
summon("unpaused")
same("the boot after a pause", booted, boot_of())

# The device model belongs to nobody of jitsud's, and hears the signal that ends it.
model = device_models()
before = domains()
jitsu.kill_all(daemon)
daemon = jitsu.start()
same("domains after kill -9 of jitsud", before, domains())
same("device models after it", model, device_models())
wait_for(jitsu.PATIENCE, lambda: get("hvm")["state"] == "ready", "the guest to be adopted")
same("the boot after kill -9 of jitsud", booted, boot_of())

same("suspended", 0, jitsuctl("stop", "--mode", "suspend", "hvm")[0])
same("its state", "suspended", get("hvm")["state"])
put_away("suspended")
summon("restored")
same("the boot after a suspend", booted, boot_of())

same("shut down", 0, jitsuctl("stop", "--mode", "shutdown", "hvm")[0])
put_away("shut down")

same("its TTL", 0, jitsuctl("set", "hvm", "ttl=3")[0])
summon("another query")
jitsu.gone("hvm")
put_away("idle")

# Killed while the device model starts: who comes after neither waits for it nor leaves it behind. This one is
# booted by its kernel, which qemu takes minutes to hand over in emulation, so its page is not waited for.
call("service.add", linux("kernel", "10.0.0.23", "hvm", TTL, wait_limit=1))
jitsu.ask("kernel.test")
wait_for(jitsu.PATIENCE, device_models, "a device model")
jitsu.kill_all(daemon)
daemon = jitsu.start()
wait_for(jitsu.PATIENCE, jitsu.settled, "services and domains to agree")
if get("kernel")["state"] != "off":
    same("destroyed", 0, jitsuctl("stop", "--mode", "destroy", "kernel")[0])
put_away("killed while it was built")
jitsu.stop_jitsud(daemon)
