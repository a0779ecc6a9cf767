#!/usr/bin/env python3
"""How jitsud starts and what it installs: what it tells the service manager, paths relative to the
folder it is started in, and settings that are wrong: one error, status 2, nothing touched."""
import json, os, random, re, signal, socket, struct, subprocess, sys, tempfile, time

O = os.path.abspath(os.environ.get("O", "build"))
D = f"{O}/jitsud"
PATIENCE = 30
FAILED = []
ADDRESS = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.{random.randint(1, 254)}"


def check(name, good, seen=""):
    print(f"{'ok' if good else 'not ok'} - {name}" + ("" if good else f": {seen}"), flush=True)
    if not good:
        FAILED.append(name)


def arguments(*more):
    return [D, "-x", "sim", "-b", ADDRESS, "-l", "5354", "--config", "/dev/null",
            "--services-dir", "/nonexistent", "--user", "nobody", *more]


def ended(process):
    process.send_signal(signal.SIGTERM)
    process.wait(PATIENCE)


def test_notify(folder):
    for kind, address in (("a path", f"{folder}/notify"), ("an abstract name", f"\0jitsu{os.getpid()}")):
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        manager.bind(address)
        manager.settimeout(PATIENCE)
        process = subprocess.Popen(
            arguments("--foreground", "--persistdb", ":memory:", "--control", f"{folder}/c.sock"),
            env={**os.environ, "NOTIFY_SOCKET": address.replace("\0", "@")}, stderr=subprocess.DEVNULL)
        try:
            said = manager.recv(4096)
        except TimeoutError:
            said = b"nothing"
        there = os.path.exists(f"{folder}/c.sock")
        ended(process)
        check(f"the service manager is told at {kind}", said == b"READY=1" and there, said)


def test_units():
    with open("xen-config/jitsud.service") as file:
        unit = file.read()
    check("the unit waits for what jitsud tells", "Type=notify" in unit and "NotifyAccess=main" in unit)
    # man jitsud: a service that is wrong does not keep the others from being served.
    check("the unit starts although a service is wrong", re.search(r"^ExecStartPre=-", unit, re.M))


def test_install():
    """What is read by default is where `make install` puts it, whatever PREFIX is."""
    usage = subprocess.run([D, "--help"], capture_output=True, text=True).stdout
    conf = re.search(r"--config FILE .*\[(.*)\]", usage)[1]
    services = re.search(r"--services-dir DIR .*\[(.*)\]", usage)[1]
    for prefix in ("/usr", "/usr/local"):
        does = subprocess.run(["make", "-n", "-o", "all", "install", "DESTDIR=/dest", f"PREFIX={prefix}"],
                              capture_output=True, text=True, env={**os.environ, "MAKEFLAGS": ""}).stdout
        check(f"make install PREFIX={prefix} puts jitsud.conf where it is read",
              f" /dest{conf}\n" in does and f" /dest{services}\n" in does.replace(" \\\n", "\n"), does[-600:])
    check("make uninstall names each file that make install puts somewhere", uninstalls())


def uninstalls():
    with tempfile.TemporaryDirectory() as dest:
        for target in ("install", "uninstall"):
            subprocess.run(["make", "-s", "-o", "all", target, f"DESTDIR={dest}", "PREFIX=/usr", f"O={O}"], check=True,
                           env={**os.environ, "MAKEFLAGS": ""}, stdout=subprocess.DEVNULL)
        left = [os.path.join(where, name) for where, _, names in os.walk(dest) for name in names]
        return left == [f"{dest}/etc/jitsu/jitsud.conf"]


def test_relative(folder):
    """In the background jitsud leaves the folder that it was started in."""
    here = f"{folder}/here"
    os.mkdir(here)
    os.chmod(folder, 0o755)
    r = subprocess.run(arguments("--control", "c.sock", "--persistdb", "db/jitsu.db"), cwd=here,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    check("it starts in the background", r.returncode == 0, r.returncode)
    check("a relative --control is of the folder it was started in", os.path.exists(f"{here}/c.sock"))
    check("a relative --persistdb too", os.path.exists(f"{here}/db/jitsu.db"))
    link = socket.socket(socket.AF_UNIX)
    try:
        link.connect(f"{here}/c.sock")
    except FileNotFoundError:
        return
    # Who listened: the parent.
    pid = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    link.sendall(b'{"jsonrpc":"2.0","id":1,"method":"daemon.status"}\n')
    said = json.loads(link.makefile().readline())
    check("and is served", said["result"]["store"] == f"{here}/db/jitsu.db", said)
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + PATIENCE
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < until:
        time.sleep(0.05)


# What --check-config finds, before anything is opened.
WRONG = [
    (["-b", "10.0.0.256"], '--bind: "10.0.0.256": expected an IPv4 or IPv6 address'),
    (["-f", "1.2.3"], '--forwarder: "1.2.3": expected an IPv4 or IPv6 address'),
    (["-f", "0.0.0.0", "-f", "192.0.2.1"], '--forwarder: "0.0.0.0": expected alone'),
    (["--identity", "a" * 256], "expected at most 255 bytes, not 256"),
    (["--control", "/tmp/" + "a" * 120], "expected a path of at most 107 bytes"),
    (["--foreground=1"], "--foreground=1: the option takes no value"),
    (["--nosuch=1"], "--nosuch=1: unknown option"),
    (["-Q"], "-Q: unknown option"),
    (["-l"], "-l: the option needs a value"),
    (["name=a,dns=a.example,ip=10.0.0.1,ttl=x"], 'argument: service "a": ttl: "x": expected a whole number'),
    (["name=a,dns=a.example,ip=10.0.0.1", "name=a,dns=b.example,ip=10.0.0.2"], 'service "a": expected once'),
] + ([(["--user", "nosuch"], 'user: "nosuch": no such user')] if os.geteuid() == 0 else [])


def test_wrong_settings(folder):
    for more, text in WRONG:
        command = [D, "-x", "sim", "--config", "/dev/null", "--services-dir", "/nonexistent",
                   "--user", "nobody", "--check-config", *more]
        r = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        check(f"{more[0]} is refused", r.returncode == 2 and text in r.stderr and r.stderr.count("\n") == 1,
              (r.returncode, r.stderr))
    r = subprocess.run(arguments("--foreground", "--persistdb", ":memory:", "--control", f"{folder}/c.sock",
                                 "name=a,dns=a.example,ip=10.0.0.1,bogus=1"),
                       capture_output=True, text=True, timeout=PATIENCE)
    check("a service of the command line that is wrong keeps it from starting",
          r.returncode == 2 and 'service "a": bogus: unknown key' in r.stderr and r.stderr.count("\n") == 1, r.stderr)
    kept = f"{folder}/kept"
    with open(kept, "w") as file:
        file.write("precious")
    r = subprocess.run(arguments("--foreground", "--persistdb", ":memory:", "--control", kept),
                       capture_output=True, text=True, timeout=PATIENCE)
    with open(kept) as file:
        check("a file in the control socket's place is left alone",
              file.read() == "precious" and r.returncode == 1 and r.stderr.count("\n") == 1, r.stderr)


# In /tmp, since the user of the engine has to get there.
def test_failed_start(folder):
    """One line that says why; the rooms that hear of it have nothing to add."""
    other, absent = f"{folder}/other", f"{folder}/shut/jitsu.db"
    with open(other, "w") as file:
        file.write("not a data base" * 100)
    os.mkdir(os.path.dirname(absent), 0o700)
    if os.geteuid() != 0:
        os.chmod(os.path.dirname(absent), 0)
    for store, text in (other, "not a store of jitsud's"), \
                       (absent, "Permission denied"):
        r = subprocess.run(arguments("--foreground", "--persistdb", store, "--control", f"{folder}/c.sock"),
                           capture_output=True, text=True, timeout=PATIENCE)
        check(f"a store that cannot be opened: {text}",
              r.returncode == 1 and store in r.stderr and text in r.stderr and r.stderr.count("\n") == 1, r.stderr)


def test_full():
    """Help that could not be written was not shown."""
    for program in (D, f"{O}/synjitsu"):
        for option in ("--help", "--version"):
            with open("/dev/full", "w") as full:
                r = subprocess.run([program, option], stdout=full, stderr=subprocess.PIPE, text=True)
            check(f"{os.path.basename(program)} {option} on a full disk",
                  r.returncode == 1 and "No space left" in r.stderr, (r.returncode, r.stderr))


def test_synjitsu():
    for more, text in ([], "interface: missing"), (["-i", "lo", "-i", "lo"], 'interface: "lo": expected each only once'):
        r = subprocess.run([f"{O}/synjitsu", *more], capture_output=True, text=True, timeout=PATIENCE)
        check(f"synjitsu {' '.join(more)} is refused", r.returncode == 2 and text in r.stderr, r.stderr)


with tempfile.TemporaryDirectory(prefix="jitsu-start-", dir="/tmp") as made:
    test_notify(made)
    test_units()
    test_install()
    test_relative(made)
    test_wrong_settings(made)
    test_failed_start(made)
test_full()
test_synjitsu()
sys.exit(bool(FAILED))
