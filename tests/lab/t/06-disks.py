#!/usr/bin/env python3
"""Disks in each form that Xen's syntax has for them: raw files, block devices, qcow2; read-only and not."""
# timeout: 600
# takes: 60

import http.client
import os
import struct
import subprocess

import jitsu
from jitsu import call, linux, note, same, wait_for

DISKS, ADDRESS, CLUSTER = "/var/disks", "10.0.0.26", 65536


def raw(name):
    with open(f"{DISKS}/{name}", "wb") as file:
        file.write(name.ljust(16).encode())
        file.truncate(1 << 20)
    return f"{DISKS}/{name}"


def qcow2(name):
    """A disk of 1 MiB whose first cluster is there: header, counts of references, two levels of tables, data."""
    clusters = [struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 16, 1 << 20, 0, 1, 3 * CLUSTER, CLUSTER, 1, 0, 0),
                struct.pack(">Q", 2 * CLUSTER), struct.pack(">6H", *[1] * 6), struct.pack(">Q", 1 << 63 | 4 * CLUSTER),
                struct.pack(">Q", 1 << 63 | 5 * CLUSTER), name.ljust(16).encode()]
    with open(f"{DISKS}/{name}", "wb") as file:
        file.write(b"".join(cluster.ljust(CLUSTER, b"\0") for cluster in clusters))
    return f"{DISKS}/{name}"


def refused(text):
    """What qemu cannot serve is an error at once; the guest would wait for it for ever."""
    spec = linux("wrong", ADDRESS, disk=[text])
    try:
        call("service.add", spec)
        jitsu.fail(f"{text}: it was taken")
    except jitsu.Refused as e:
        same(f"{text}: {e}", True, "only read" in str(e) and text[:40] in str(e))


def fetch(query=""):
    """The guest's disks, as it has them: device, whether it is read-only, and how it begins."""
    link = http.client.HTTPConnection(ADDRESS, timeout=jitsu.PATIENCE)
    link.request("GET", f"/cgi-bin/disk{query and '?' + query}")
    return [line.split() for line in link.getresponse().read().decode().splitlines() if line.startswith("xvd")]


os.makedirs(DISKS, exist_ok=True)
for module in ("loop", "xen-blkback"):
    subprocess.run(["modprobe", module], stderr=subprocess.DEVNULL)
device = subprocess.run(["losetup", "--find", "--show", raw("block")], stdout=subprocess.PIPE, text=True,
                        check=True).stdout.strip()
daemon = jitsu.start(clean=True)
refused(f"{qcow2('again')},qcow2,xvda,r")
refused(f"backendtype=qdisk,format=raw,vdev=xvda,access=ro,target={raw('fourth')}")
for kind in ("pv", "pvh"):
    call("service.add", linux(kind, ADDRESS, kind, 600, disk=[
        f"{raw('first')}@xvda", f"phy:{device},xvdb,r", f"{qcow2('copied')},qcow2,xvdc,w",
        f"format=raw, vdev=xvdd, access=ro, target={raw('fourth')}"]))
    jitsu.resolves(f"{kind}.test", ADDRESS)
    wait_for(jitsu.PATIENCE, lambda: jitsu.get(kind)["state"] == "ready", f"{kind} to be ready")
    jitsu.expect_page(ADDRESS, kind)
    same(f"{kind}: its disks", [["xvda", "0", "first"], ["xvdb", "1", "block"], ["xvdc", "0", "copied"],
                               ["xvdd", "1", "fourth"]], fetch())
    same(f"{kind}: what it wrote", ["xvda", "0", "written"], fetch("written")[0])
    call("service.remove", {"name": kind})
    jitsu.nothing_left(f"after {kind}")
    with open(f"{DISKS}/first", "rb") as file:
        same(f"{kind}: the file", b"written", file.read(16).split()[0])
same("qemu", "", subprocess.run(["pgrep", "-l", "qemu"], stdout=subprocess.PIPE, text=True).stdout)
subprocess.run(["losetup", "--detach", device], check=True)
jitsu.stop_jitsud(daemon)
note("raw, block and qcow2 disks, read-only and not, of a PV and of a PVH guest")
