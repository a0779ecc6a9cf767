#!/usr/bin/env python3
"""What each process of jitsud may do, and who may open its files and its socket."""
# timeout: 300

import os
import pwd
import stat
import subprocess

import jitsu
from jitsu import call, fail, note, same, tiny


def descriptors(pid):
    folder = f"/proc/{pid}/fd"
    found = {}
    for fd in os.listdir(folder):
        try:
            found[int(fd)] = os.readlink(f"{folder}/{fd}")
        except FileNotFoundError:
            pass
    return found


def unix_peers():
    """Inode of each Unix socket: the path that it or the socket at its other end is bound to."""
    own, peer = {}, {}
    for row in jitsu.run("ss", "-xaH").splitlines():
        fields = row.split()
        path, inode, other = fields[4], fields[5], fields[7]
        own[inode], peer[inode] = path, other
    return {inode: {path, own.get(peer[inode], "*")} - {"*"} for inode, path in own.items()}


def opens(pid):
    """All that its descriptors lead to, the names of sockets' other ends included."""
    peers, found = unix_peers(), set()
    for target in descriptors(pid).values():
        found.add(target)
        if target.startswith("socket:["):
            found |= peers.get(target[8:-1], set())
    return found


def mode(path):
    info = os.stat(path)
    return f"{pwd.getpwuid(info.st_uid).pw_name}:{info.st_gid} {stat.S_IMODE(info.st_mode):o}"


def as_user(user, *command):
    identity = pwd.getpwnam(user)
    return subprocess.run(command, user=identity.pw_uid, group=identity.pw_gid, extra_groups=[], capture_output=True,
                          text=True)


daemon = jitsu.start(clean=True)
call("service.add", tiny("held", "10.0.0.61"))
jitsu.resolves("held.test", "10.0.0.61")
user = pwd.getpwnam("jitsu")
dns, engine, toolstack = jitsu.rooms(daemon)

for name, pid in (("dns", dns), ("engine", engine)):
    status = jitsu.status_of(pid)
    for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        same(f"{name}: {key}", 0, int(status[key], 16))
    same(f"{name}: NoNewPrivs", "1", status["NoNewPrivs"])
    same(f"{name}: Seccomp, which is 2 for a filter", "2", status["Seccomp"])
    same(f"{name}: uids", [str(user.pw_uid)] * 4, status["Uid"].split())
    same(f"{name}: gids", [str(user.pw_gid)] * 4, status["Gid"].split())
    same(f"{name}: groups", [], [g for g in status["Groups"].split() if g != str(user.pw_gid)])
    xen = [target for target in opens(pid) if any(word in target for word in ("/xen", "evtchn", "gntdev", "privcmd"))]
    same(f"{name}: descriptors of Xen's", [], xen)
same("toolstack: uid", "0", jitsu.status_of(toolstack)["Uid"].split()[0])

seen = opens(dns)
same("dns: descriptors of the store", [], [target for target in seen if "/var/lib/jitsu" in target])
same("dns: descriptors of the control socket", [], [target for target in seen if jitsu.CONTROL in target])
same("dns: other files", [], [target for target in seen if target.startswith("/") and not
                              target.startswith(("/dev/null", "/var/log/jitsu/", "/memfd:"))])
seen = opens(engine)
if not any(jitsu.STORE in target for target in seen) or jitsu.CONTROL not in seen:
    fail(f"the test sees nothing: the engine has neither store nor control socket among {sorted(seen)}")
if not any("xen" in target for target in opens(toolstack)):
    fail(f"the test sees nothing: the toolstack has nothing of Xen's among {sorted(opens(toolstack))}")

same("the control socket", f"root:{user.pw_gid} 660", mode(jitsu.CONTROL))
same("its folder can be written by root alone", 0, os.stat(os.path.dirname(jitsu.CONTROL)).st_mode & 0o022)
for suffix in ("", "-wal", "-shm"):
    if os.path.exists(jitsu.STORE + suffix):
        same(f"others' rights on the store{suffix}", 0, os.stat(jitsu.STORE + suffix).st_mode & 0o007)
        same(f"the store{suffix}'s owner", user.pw_uid, os.stat(jitsu.STORE + suffix).st_uid)

stranger = as_user("nobody", "jitsuctl", "list")
same("jitsuctl by a stranger", (1, ""), (stranger.returncode, stranger.stdout))
if "ermission" not in stranger.stderr:
    fail(f"jitsuctl by a stranger says {stranger.stderr!r}")
same("jitsuctl by a member of the group", 0, as_user("jitsu", "jitsuctl", "list").returncode)
note("dns and engine: user jitsu, no capability, no new privileges, nothing of Xen's open;",
     "dns: neither store nor control socket; control socket", mode(jitsu.CONTROL), "store", mode(jitsu.STORE))
call("service.remove", {"name": "held"})
jitsu.stop_jitsud(daemon)
