#!/usr/bin/env python3
"""Keys of a service as Xen has them: several nics with scripts in turn, their MACs, where its virtual CPU runs."""
# timeout: 600
# takes: 60

import os
import re
import subprocess

import jitsu
from jitsu import call, linux, note, same, wait_for

ADDRESS, GIVEN, LOG = "10.0.0.27", "00:16:3e:77:77:77", "/root/scripts.log"


def script(name):
    """One that notes what it plugs, and has Xen's own do it."""
    path = f"/root/{name}"
    with open(path, "w") as file:
        file.write(f'#!/bin/sh\necho "{name} $1 ${{XENBUS_PATH##*/}}" >>{LOG}\nexec /etc/xen/scripts/vif-bridge "$@"\n')
    os.chmod(path, 0o755)
    return path


def xl(*arguments):
    return subprocess.run(["xl", *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


def booted():
    """Its domain; what the scripts have said since the last time."""
    jitsu.resolves("keys.test", ADDRESS)
    wait_for(jitsu.PATIENCE, lambda: jitsu.get("keys")["state"] == "ready", "it to be ready")
    jitsu.expect_page(ADDRESS, "keys")
    with open(LOG) as file:
        said = file.read().split("\n")[:-1]
    os.unlink(LOG)
    return jitsu.get("keys")["domid"], said


def macs(domid):
    store = jitsu.Xenstore()
    return [store.read(f"/local/domain/{domid}/device/vif/{i}/mac") for i in range(3)]


daemon = jitsu.start(clean=True)
call("service.add", linux("keys", ADDRESS, "pvh", 600, bridges=("xenbr0", "xenbr1", "xenbr0"), mac=[GIVEN],
                          script=[script("first"), script("second")], vcpus=1, cpus="0", cpupool="Pool-0"))
domid, said = booted()
same("the scripts", ["first online 0", "second online 1", "first online 2"],
     sorted((line for line in said if " online " in line), key=lambda line: line[-1]))
first = macs(domid)
same("the MAC that was given", GIVEN, first[0])
same("the MACs are Xen's, and differ", 3, len({mac for mac in first if mac.startswith("00:16:3e:")}))
for nic, bridge in enumerate(("xenbr0", "xenbr1", "xenbr0")):
    same(f"the bridge of nic {nic}", bridge, os.path.basename(os.readlink(f"/sys/class/net/vif{domid}.{nic}/master")))
vcpus = [line for line in xl("vcpu-list", str(domid)).splitlines() if line.startswith("keys ")]
same("its virtual CPUs", 1, len(vcpus))
# To xl the only processor of a host is all of them.
where = "all" if re.search(r"^nr_cpus +: 1$", xl("info"), re.M) else "0"
same(f"where it may run, by {vcpus}", 1, len(re.findall(rf"\s{where} / ", vcpus[0])))
call("service.stop", {"name": "keys", "mode": "destroy"})
jitsu.nothing_left("destroyed")
with open(LOG) as file:
    same("the scripts at the end", 3, file.read().count(" offline "))
os.unlink(LOG)
same("the MACs of its next boot", first, macs(booted()[0]))
call("service.remove", {"name": "keys"})
jitsu.nothing_left("removed")
jitsu.stop_jitsud(daemon)
note("three nics with two scripts in turn, given and derived MACs, a pool and a processor")
