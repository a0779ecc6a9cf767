"""For tests written in Python, which run in dom0 as root: import lab.

A test passes unless it raises; fail() and skip() end it with their reason."""

import os
import subprocess
import sys
import time
import urllib.request

GUESTS = os.environ.get("GUESTS", "/usr/share/jitsu-lab/guests")
JITSUD_LOG = os.environ.get("JITSUD_LOG", "/var/log/jitsu/jitsud.log")


def fail(reason):
    print("failed:", reason, flush=True)
    sys.exit(1)


def skip(reason):
    print(reason, flush=True)
    sys.exit(77)


def run(*command, **options):
    """What the command prints; it must succeed, or check=False."""
    options.setdefault("check", True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, **options)
    return done.stdout


def wait_for(seconds, condition, what="the condition"):
    """Tries the condition every 50 ms; returns what it gave as soon as that is true."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            fail(f"waited in vain for {what}")
        time.sleep(0.05)


def succeeds(*command):
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def start_jitsud(*arguments):
    """Starts it and returns the process when it answers jitsuctl."""
    os.makedirs(os.path.dirname(JITSUD_LOG), exist_ok=True)
    with open(JITSUD_LOG, "ab") as log:
        process = subprocess.Popen(["jitsud", "--foreground", *arguments], stdout=log, stderr=log)
    wait_for(30, lambda: succeeds("jitsuctl", "status"), "jitsud to answer jitsuctl")
    return process


def stop_jitsud(process):
    """As an administrator would; expects it to end well."""
    process.terminate()
    status = process.wait(30)
    if status != 0:
        fail(f"jitsud ended with status {status}")


def guest(name, kind, address, *switches):
    """Starts the Linux guest with xl on xenbr0; kind is pv or pvh."""
    cmdline = " ".join(["console=hvc0 quiet", f"hostname={name}", f"ip={address}/24", "gw=10.0.0.254", *switches])
    with open(f"{name}.cfg", "w") as config:
        config.write(f'name = "{name}"\ntype = "{kind}"\nmemory = 96\n'
                     f'kernel = "{GUESTS}/linux.vmlinuz"\nramdisk = "{GUESTS}/linux.initrd"\n'
                     f'cmdline = "{cmdline}"\nvif = [ "bridge=xenbr0" ]\n')
    run("xl", "create", "-q", f"{name}.cfg")


def page(address, timeout=1):
    """The page of the guest at the address, or None."""
    try:
        with urllib.request.urlopen(f"http://{address}/", timeout=timeout) as answer:
            return answer.read().decode()
    except OSError:
        return None


def domains():
    """The names of the domains there are, dom0 apart."""
    return [line.split()[0] for line in run("xl", "list").splitlines()[2:]]
