#!/usr/bin/env python3
"""No process of jitsud leaks: 10,000 services added and removed, each by a request of its own, under
valgrind. COUNT changes the number."""
import ipaddress, json, os, signal, socket, subprocess, sys, tempfile, time

COUNT = int(os.environ.get("COUNT", "10000"))
O = os.environ.get("O", "build")
WINDOW = 64  # requests under way at once


def free_port():
    """One that nobody listens on now, neither by UDP nor by TCP; the daemon takes no 0."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        udp.bind(tcp.getsockname())
        return tcp.getsockname()[1]


def wait_for_socket(path, daemon, seconds=60):
    end = time.monotonic() + seconds
    while not os.path.exists(path):
        if daemon.poll() is not None:
            sys.exit(f"leaks: jitsud ended: {daemon.stderr.read()}")
        if time.monotonic() > end:
            sys.exit(f"leaks: no control socket within {seconds} s")
        time.sleep(0.1)


def main():
    # An address sanitizer and valgrind do not go together; the sanitizer looks for leaks itself.
    with open(f"{O}/jitsud", "rb") as program:
        if b"__asan_init" in program.read():
            print("a build with sanitizers finds its leaks itself")
            return 77
    folder = tempfile.mkdtemp(prefix="jitsu-leaks-")
    control = f"{folder}/control.sock"
    daemon = subprocess.Popen(
        ["valgrind", "-q", "--leak-check=full", "--errors-for-leak-kinds=definite,possible",
         "--show-leak-kinds=definite,possible", "--error-exitcode=99", f"--log-file={folder}/%p.log",
         f"{O}/jitsud", "-x", "sim", "-l", str(free_port()), "-f", "0.0.0.0", "--control", control, "--user",
         "nobody", "--sandbox", "0", "--persistdb", ":memory:", "--services-dir", folder, "--log-level", "warning",
         "--foreground"],
        stderr=subprocess.PIPE, text=True)
    wait_for_socket(control, daemon)
    link = socket.socket(socket.AF_UNIX)
    link.connect(control)
    lines = link.makefile("rwb")
    requests = []
    for i in range(COUNT):
        name = f"s{i}"
        requests.append(("service.add", {"name": name, "dns": f"{name}.example.org", "nic": "br0",
                                         "ip": str(ipaddress.ip_address("10.0.0.1") + i)}))
        requests.append(("service.remove", {"name": name}))
    answered = 0
    for begin in range(0, len(requests), WINDOW):
        part = requests[begin:begin + WINDOW]
        # Adds first, then removes: a remove may overtake the add whose check is under way.
        for kind in ("service.add", "service.remove"):
            sent = [r for r in part if r[0] == kind]
            for n, (method, params) in enumerate(sent):
                lines.write(json.dumps({"jsonrpc": "2.0", "id": n, "method": method,
                                        "params": params}).encode() + b"\n")
            lines.flush()
            for _ in sent:
                answer = json.loads(lines.readline())
                if "error" in answer:
                    sys.exit(f"leaks: {answer}")
                answered += 1
    link.close()
    daemon.send_signal(signal.SIGTERM)
    _, said = daemon.communicate(timeout=60)
    reports = ""
    for entry in os.listdir(folder):
        if entry.endswith(".log"):
            with open(f"{folder}/{entry}") as log:
                reports += log.read()
    subprocess.run(["rm", "-rf", folder], check=True)
    if reports or daemon.returncode:
        print(said, reports, f"status {daemon.returncode}", sep="\n")
        return 1
    print(f"{answered} requests answered, nothing leaked in 4 processes")
    return 0


sys.exit(main())
