#!/usr/bin/env python3
"""Bad input: one clear error each, the services as they were, the daemon alive."""
# timeout: 600
# takes: 80

import json
import os
import random
import resource
import shutil
import socket
import textwrap
import time

import jitsu
from jitsu import GUESTS, fail, jitsuctl, note, same, tiny

table, wrong = [], []


def complain(case, problem):
    wrong.append(f"{case}: {problem}")


def check_text(case, text, parts):
    for part in parts:
        if part.lower() not in text.lower():
            complain(case, f"{part!r} is not in {text!r}")


def refused(case, parts, *arguments, data=None, status=1):
    """jitsuctl is refused: one line, with these parts, and nothing changes."""
    got, out, err = jitsuctl(*arguments, data=data)
    lines = err.strip().splitlines()
    table.append((case, err.strip(), got))
    if got != status:
        complain(case, f"exit status {got}, expected {status}; it says {out + err!r}")
    if out:
        complain(case, f"something on standard output: {out!r}")
    if len(lines) != 1:
        complain(case, f"expected one line, got {err!r}")
    check_text(case, err, parts)
    unchanged(case)


def unchanged(case):
    if jitsu.listing() != before:
        complain(case, "the list of services has changed")
    if jitsu.rooms(daemon) != pids or daemon.poll() is not None:
        complain(case, f"other processes than before: {jitsu.rooms(daemon)}, before {pids}")
        fail("\n".join(wrong))
    if jitsu.domains():
        complain(case, f"there is a domain: {jitsu.domains()}")


def pairs(**changes):
    """A good service in the original's form, but for the changes; None leaves a key out."""
    keys = {"name": "new", "dns": "new.test", "ip": "10.0.0.59", "kernel": f"{GUESTS}/linux.vmlinuz",
            "ramdisk": f"{GUESTS}/linux.initrd", "memory": "96M", "nic": "xenbr0", **changes}
    return ",".join(f"{key}={value}" for key, value in keys.items() if value is not None)


def add(case, parts, **changes):
    refused(case, parts, "add", pairs(**changes))


def made(name, content=b"", mode=0o644, uid=0, folder="/root/kernels"):
    os.makedirs(folder, exist_ok=True)
    path = f"{folder}/{name}"
    with open(path, "wb") as file:
        file.write(content)
    os.chown(path, uid, 0)
    os.chmod(path, mode)
    return path


def says(case, sent, parts, code=None, half=False):
    """What the control socket answers to these bytes: one error; then jitsuctl works as before."""
    with jitsu.connect() as client:
        try:
            client.sendall(sent)
            if half:
                client.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            answer = jitsu.line(client)
        except (ConnectionResetError, TimeoutError, json.JSONDecodeError) as problem:
            answer = problem
    error = answer.get("error", {}) if isinstance(answer, dict) else {}
    table.append((case, f"{error.get('code')} {error.get('message')}" if error else repr(answer), "-"))
    if not error:
        complain(case, f"expected an error, got {answer!r}")
    elif code is not None and error.get("code") != code:
        complain(case, f"expected code {code}, got {error}")
    check_text(case, str(error.get("message")), parts)
    unchanged(case)


def peak(pid):
    return int(jitsu.status_of(pid)["VmHWM"].split()[0])


daemon = jitsu.start(clean=True)
jitsu.call("service.add", tiny("old", "10.0.0.58", dns=["old.test", "older.test"]))
before, pids = jitsu.listing(), jitsu.rooms(daemon)

# --- the specification
add("unknown key", ["colour", "expected"], colour="red")
add("a key that only sim has", ["sim_boot"], sim_boot="10")
add("name missing", ["name", "missing"], name=None)
add("dns missing", ["dns", "missing"], dns=None)
add("ip missing", ["ip", "missing"], ip=None)
add("kernel missing", ["kernel", "missing"], kernel=None)
add("memory missing", ["memory", "missing"], memory=None)
add("name with a space", ["name", "a b", "expected"], name="a b")
add("name with a slash", ["name", "../x", "expected"], name="../x")
add("name too long", ["name", "expected"], name="n" * 64)
add("dns no name", ["dns", "a..b", "expected"], dns="a..b")
add("ip no address", ["ip", "10.0.0.300", "expected"], ip="10.0.0.300")
add("address another service has", ["ip", "10.0.0.58", "old"], ip="10.0.0.58")
add("service name that is taken", ["name", "old"], name="old")
add("uuid no uuid", ["uuid", "12-34", "expected"], uuid="12-34")
add("type unknown", ["type", "qemu", "pv", "pvh"], type="qemu")
add("ttl no number", ["ttl", "soon", "expected"], ttl="soon")
add("ttl negative", ["ttl", "-1", "expected"], ttl="-1")
add("two values for one key", ["memory"], memory="96M,memory=64M")
add("no key=value", ["nonsense"], nic="xenbr0,nonsense")

# --- files
add("kernel that is missing", ["kernel", "/no/such/kernel", "no such file"], kernel="/no/such/kernel")
add("kernel with a relative path", ["kernel", "/tmp/test/vmlinuz", "no such file"], kernel="vmlinuz")
add("kernel that is a folder", ["kernel", GUESTS], kernel=GUESTS)
add("kernel of another user", ["kernel", "/root/kernels/theirs", "root"],
    kernel=made("theirs", open(f"{GUESTS}/tiny.elf", "rb").read(), uid=990))
add("kernel others can write", ["kernel", "/root/kernels/open", "writ"],
    kernel=made("open", open(f"{GUESTS}/tiny.elf", "rb").read(), mode=0o666))
add("kernel its group can write", ["kernel", "/root/kernels/group", "writ"],
    kernel=made("group", open(f"{GUESTS}/tiny.elf", "rb").read(), mode=0o664))
os.makedirs("/srv/open", exist_ok=True)
shutil.copy(f"{GUESTS}/tiny.elf", "/srv/open/tiny.elf")
os.chmod("/srv/open", 0o777)
add("kernel in a folder others can write", ["kernel", "/srv/open", "writ"], kernel="/srv/open/tiny.elf")
add("kernel that is a text", ["kernel", "/root/kernels/text", "kernel"],
    kernel=made("text", b"This is no kernel.\n" * 100))
add("kernel that is empty", ["kernel", "/root/kernels/empty"], kernel=made("empty"))
add("kernel cut short", ["kernel", "/root/kernels/short"],
    kernel=made("short", open(f"{GUESTS}/linux.vmlinuz", "rb").read(100)))
add("kernel that is noise", ["kernel", "/root/kernels/noise"], kernel=made("noise", random.randbytes(100000)))
add("ramdisk that is missing", ["ramdisk", "/no/such/ramdisk", "no such file"], ramdisk="/no/such/ramdisk")
add("bridge that is missing", ["nic", "xenbr7"], nic="xenbr7")
add("bridge that is no bridge", ["nic", "lo", "bridge"], nic="lo")
add("bridge with a long name", ["nic", "expected"], nic="b" * 40)
add("memory more than there is", ["memory", "67108864", "expected at most"], memory="64G")
add("memory no size", ["memory", "much", "expected"], memory="much")
add("memory of nothing", ["memory", "0", "expected"], memory="0")

# --- what jitsuctl is given
open("cut.json", "w").write('{"name": "new", "dns": "new.test"')
open("array.json", "w").write('["new"]')
refused("malformed JSON in a file", ["cut.json"], "add", "cut.json")
refused("malformed JSON on standard input", [], "add", "-", data='{"name": }')
refused("JSON that is no service", [], "add", "array.json")
refused("file that is missing", ["no-such.json", "no such file"], "add", "./no-such.json")
refused("removing what is not there", ["new"], "remove", "new")
refused("showing what is not there", ["new"], "show", "new")
refused("unknown command", ["summon"], "summon", "new", status=2)
refused("no argument", ["add"], "add", status=2)
status, out, err = jitsuctl("--socket", "/run/none.sock", "list")
table.append(("no daemon", err.strip(), status))
if status != 3 or "/run/none.sock" not in err:
    complain("no daemon", f"status {status}, {err!r}")

# --- the control socket
says("malformed JSON", b'{"jsonrpc": "2.0", "id": 1, "method": \n', [], -32700)
says("JSON that is no request", b'42\n', [], -32600)
says("unknown method", b'{"jsonrpc":"2.0","id":1,"method":"service.summon"}\n', ["service.summon"], -32601)
says("unknown parameter", b'{"jsonrpc":"2.0","id":1,"method":"service.get","params":{"nom":"old"}}\n', ["nom"], -32602)
says("parameter missing", b'{"jsonrpc":"2.0","id":1,"method":"service.get"}\n', ["name"], -32602)
says("parameter of another type", b'{"jsonrpc":"2.0","id":1,"method":"service.get","params":{"name":7}}\n', ["name"],
     -32602)
says("deep nesting", b"[" * 100000 + b"\n", [])
says("text that is not UTF-8", b'{"jsonrpc":"2.0","id":1,"method":"\xff\xfe"}\n', [], -32700)
says("a relative path", json.dumps({"jsonrpc": "2.0", "id": 1, "method": "service.add", "params":
                                    tiny("new", "10.0.0.59", kernel="vmlinuz")}).encode() + b"\n",
     ["kernel", "vmlinuz", "absolute"])
memory = peak(pids[1])
says("a line of 10 MB", b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * 10_000_000 + b'"}\n', [])
grown = peak(pids[1]) - memory
if grown > 8192:
    complain("a line of 10 MB", f"the engine's memory grew by {grown} KiB")
noise = random.Random(2)
says("binary noise", noise.randbytes(4096).replace(b"\n", b" ") + b"\n", [])
with jitsu.connect() as client:
    try:
        client.sendall(noise.randbytes(300_000))
    except (BrokenPipeError, ConnectionResetError):
        pass
unchanged("300 KB of noise, with lines in it")
says("a line without its end", b'{"jsonrpc":"2.0"', [], half=True)

client = jitsu.connect()
time.sleep(3)
unchanged("a client that says nothing")
table.append(("a client that says nothing", "others are served", jitsuctl("list")[0]))
client.close()

resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
clients = []
for _ in range(1000):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    try:
        client.connect(jitsu.CONTROL)
    except OSError:
        client.close()
        continue
    clients.append(client)
began = jitsu.now()
status, out, err = jitsuctl("list", timeout=jitsu.PATIENCE)
took = jitsu.now() - began
table.append(("1,000 such clients", f"{len(clients)} connected; jitsuctl list works", status))
if status != 0 or "old" not in out:
    complain("1,000 such clients", f"jitsuctl list: status {status}, {out!r}, {err!r}")
unchanged("1,000 clients that say nothing")
for client in clients:
    client.close()
unchanged("1,000 clients that are gone")

# --- files that jitsud itself reads: it says what is wrong, and ends
spoilt = {"cut.json": '[{"name": "new"', "entry.json": '[{"name": "new", "colour": "red"}]'}
for file, text in spoilt.items():
    open(file, "w").write(text)
    done = jitsu.subprocess.run(["jitsud", "--check-config", "--services", file], capture_output=True, text=True)
    table.append((f"jitsud --services {file}", done.stderr.strip(), done.returncode))
    if done.returncode != 2 or file not in done.stderr:
        complain(f"jitsud --services {file}", f"status {done.returncode}, {done.stderr!r}")

# And it still does its work.
same("answer", ["10.0.0.58"], jitsu.ask("old.test").addresses)
same("domains", ["old"], list(jitsu.domains().values()))
jitsu.call("service.remove", {"name": "old"})
jitsu.stop_jitsud(daemon)

for case, text, status in table:
    note(f"{case}  [{status}]")
    for row in textwrap.wrap(text[:400], 96) or [""]:
        note("   ", row)
if wrong:
    fail(f"{len(wrong)} of {len(table)}\n" + "\n".join(wrong))
