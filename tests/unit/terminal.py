#!/usr/bin/env python3
"""jitsuctl on a terminal of 80 columns and in a pipe: list, show, trace, top, events, console.

A played daemon answers with fixed services; pyte-like, the few sequences that top uses are undone
by hand. Each line is to fit; top leaves the terminal as it was, by q, by Ctrl-C and when the daemon
goes away."""
import fcntl, json, os, pty, re, select, signal, socket, struct, subprocess, sys, tempfile, termios
import threading, time

O = os.path.abspath(os.environ.get("O", "build"))
LONG = "a-service-with-a-very-long-name-that-goes-on-and-on-to-sixty-3ch"
FAILED = []


def boot(how):
    return {"want": 1, "how": how, "began": 0.1, "created": 20.4, "frame": 50.5, "missed": ["key"],
            "ready": 150.6, "answered": 150.7, "waiters": 2, "late": False}


SIMULATED = "simulated: no virtual machine is behind these services\n"


def services(calls, simulated=False):
    base = {"simulated": simulated, "queries": 5 * calls, "boots": 1, "failures": 0, "memory": 65536}
    return [
        {**base, "name": "www", "state": "ready", "dns": ["www.example.org", "example.org"],
         "ip": ["10.0.0.1"], "domid": 7, "asked": 0.4, "wake": 151.2, "rx": 1000 * calls,
         "tx": 2000000 * calls, "measured": 0.0},
        {**base, "name": LONG, "state": "failed", "memory": 4194304,
         "dns": [f"{LONG}.example.org"], "ip": ["2001:db8:1234:5678:9abc:def0:1234:5678"],
         "queries": 123456789, "asked": 100000, "error": "no kernel", "retry": 7.2},
        {**base, "name": "sleeper", "state": "suspended", "dns": ["sleeper.example.org"],
         "ip": ["10.0.0.3"]},
        {**base, "name": "wörk", "state": "kept", "dns": ["w.example.org"], "ip": ["10.0.0.4"],
         "domid": 9, "error": "it crashed", "console": "line one\nline \x1b[31mtwo\r\nthree\n"},
        {**base, "name": "ended", "state": "starting", "dns": ["e.org"], "ip": ["10.0.0.5"],
         "error": "its domain 7 powered off"},
        {**base, "name": "twice", "state": "starting", "dns": ["t.org"], "ip": ["10.0.0.6"],
         "error": "no kernel", "failures_in_row": 1},
        {**base, "name": "loops", "state": "off", "dns": ["l.org"], "ip": ["10.0.0.7"],
         "error": "its domain 8 crashed", "failures_in_row": 2, "retry": 1.5},
        {**base, "name": "torn", "state": "ready", "dns": ["o.org"], "ip": ["10.0.0.8"],
         "notice": "its image is torn"},
    ] + [{**base, "name": f"n{i}", "state": "off", "dns": [f"n{i}.org"], "ip": [f"10.0.1.{i}"]}
         for i in range(36)]


def play(path, events=(), simulated=False):
    """A daemon on `path`; the function that is returned ends it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    links, calls = [], [0]

    def serve(link):
        lines = link.makefile("rwb")
        for line in lines:
            request = json.loads(line)
            calls[0] += 1
            every = services(calls[0], simulated)
            named = [s for s in every if s["name"] == request.get("params", {}).get("name")]
            answer = {"jsonrpc": "2.0", "id": request["id"]}
            if request["method"] == "service.list":
                answer["result"] = {"simulated": simulated, "services": every}
            elif request["method"] == "events.subscribe":
                answer["result"] = {"events": list(events)}
            elif named:
                how = {"www": "restored", "sleeper": "woken"}.get(named[0]["name"], "booted")
                answer["result"] = {**named[0], "phase": "x", "boot": boot(how)}
                if named[0]["name"].startswith("n"):
                    del answer["result"]["boot"]
            else:
                answer["error"] = {"code": -32003, "message": "there is no such service"}
            lines.write(json.dumps(answer).encode() + b"\n")
            lines.flush()

    def accept():
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            links.append(link)
            threading.Thread(target=serve, args=[link], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()

    def end():
        listener.shutdown(socket.SHUT_RDWR)
        os.unlink(path)
        for link in links:
            link.shutdown(socket.SHUT_RDWR)
    return end


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *arguments, columns=80, lines=24, env=None):
        self.text = b""
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.slave, self.before = slave, termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            [f"{O}/jitsuctl", *arguments], stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True, env={**os.environ, "TZ": "UTC", **(env or {})},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def read(self, until=None, seconds=30):
        """All that comes until that text is there, or the command has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self.master], [], [], 0.05)[0]:
                self.text += os.read(self.master, 65536)
            elif self.process.poll() is not None:
                break
            if until and until in self.text.decode(errors="replace"):
                return self.text.decode()
        if until:
            raise AssertionError(f"never came: {until!r} in {self.text!r}")
        return self.text.decode(errors="replace")

    def press(self, keys):
        os.write(self.master, keys)

    def end(self):
        """Its exit status, and whether the terminal is as it was."""
        text = self.read()
        status = self.process.wait(10)
        same = termios.tcgetattr(self.slave) == self.before
        os.close(self.master)
        os.close(self.slave)
        return status, same, text


def fits(text, columns=80):
    """Each line as wide as the terminal at most, with what is no text taken out."""
    for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "").split("\n"):
        assert len(line) <= columns, f"{len(line)} columns: {line}"
    return text


def on_terminal(*arguments, columns=80):
    status, same, text = Terminal(*arguments, columns=columns).end()
    assert status == 0 and same, (arguments, status, text)
    return fits(text, columns)


def in_pipe(*arguments, status=0, env=None):
    done = subprocess.run([f"{O}/jitsuctl", *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                          env={**os.environ, "TZ": "UTC", **(env or {})})
    assert done.returncode == status, (arguments, done)
    assert "\x1b" not in done.stdout, done.stdout
    return done


def test_list():
    text = on_terminal("list")
    assert "failed" in text and "suspended" in text and "kept" in text and "…" in text
    text = in_pipe("list").stdout
    assert f"{LONG}.example.org\n" in text and "failed, retry in 8s" in text
    assert "www.example.org,example.org" in text and "…" not in text
    for state in (r"ended +starting +-", r"twice +starting \(failed\) ", r"loops +off, retry in 2s ",
                  r"torn +ready \(afresh\) "):
        assert re.search("^" + state, text, re.M), text


def test_show():
    text = on_terminal("show", "wörk")
    assert "\nconsole\r\n  line one\r\n  line ?[31mtwo\r\n  three\r\n" in text, text
    assert " ago\r\n" in text and "missed          key" in text


def test_trace():
    text = on_terminal("trace", "www")
    assert text.startswith("www was restored in 150.6 ms; 2 queries waited\r\n"), text
    assert re.search(r"restore █+ +20.3 ms\r\n", text) and re.search(r"key +░+ +missed\r\n", text)
    assert re.search(r"\n +0 +150.7 ms\r\n", text)
    assert "wake    " in on_terminal("trace", "sleeper", columns=50)
    text = in_pipe("trace", "www").stdout
    assert text == ("queue\t0.000\t0.100\nrestore\t0.100\t20.400\nkey\t20.400\t150.600\tmissed\n"
                    "frame\t20.400\t50.500\nsettle\t50.500\t150.600\nanswer\t150.600\t150.700\n")
    assert "n1: nobody has woken it" in in_pipe("trace", "n1", status=1).stderr


def test_top():
    for keys, expected in ((b"q", 0), (b"\x03", -signal.SIGINT)):
        top = Terminal("top", "--interval", "0.2")
        top.read("n0 ")  # a whole screen, with a row below the first
        top.press(b"x")
        top.press(keys)
        status, same, text = top.end()
        assert status == expected and same, (status, same)
        assert text.count("\x1b[?1049h") == 1 and text.endswith("\x1b[?25h\x1b[?1049l"), text[-80:]
        fits(text)
        for screen in text.split("\x1b[H")[1:]:
            assert screen.count("\n") < 24, screen
        # Not the last one: a key amid it cuts it off, and the terminal drops the rest on Ctrl-C.
        shown = next(screen for screen in text.split("\x1b[H") if "n0 " in screen)
        assert shown.index("www") < shown.index("n0 "), shown
    # A line a service in a pipe, at once a table; no title, nothing that a terminal would obey.
    for arguments in (["top", "--interval", "0.1"], ["top", "--once", "--interval", "0.1"]):
        text = in_pipe(*arguments).stdout
        assert text.startswith("NAME ") and len(text.splitlines()) == 45, text
        assert re.search(r"^www +ready +7 +64M +151.2 +\d+ +\S+K +\S+M +0s$", text, re.M), text
    assert "\x1b" not in on_terminal("top", "--once", "--interval", "0.1")
    rows = json.loads(in_pipe("--json", "top", "--interval", "0.1").stdout)
    assert rows[0]["name"] == "www" and rows[0]["tx_per_second"] > 1000


def test_top_without_daemon(folder):
    path = f"{folder}/ending.sock"
    end = play(path)
    top = Terminal("--socket", path, "top", "--interval", "0.2")
    top.read("www")
    end()
    status, same, text = top.end()
    assert status == 3 and same, (status, same)
    assert "no daemon there" in text.split("\x1b[?1049l")[-1], text[-300:]


def test_simulated(folder):
    """Whatever shows services or their times says that no machine is behind them."""
    path = f"{folder}/simulated.sock"
    end = play(path, simulated=True)
    for arguments in (["list"], ["show", "www"], ["trace", "www"], ["top", "--interval", "0.1"]):
        assert in_pipe("--socket", path, *arguments).stderr == SIMULATED, arguments
        assert in_pipe(*arguments).stderr == "", arguments
    end()


def test_events(folder):
    path = f"{folder}/events.sock"
    end = play(path, [{"time": 1700000000.25, "kind": "state", "service": "www", "from": "off",
                       "to": "starting", "why": "query"},
                      {"time": 1700000001.5, "kind": "failure", "service": "www",
                       "why": "no \x1bkernel"}])
    text = in_pipe("--socket", path, "events").stdout
    assert text == ("2023-11-14T22:13:20.250+0000  www           off -> starting       query\n"
                    "2023-11-14T22:13:21.500+0000  www           failure               no ?kernel\n")
    text = Terminal("--socket", path, "events").end()[2]
    assert text == ("Tuesday, 2023-11-14\r\n"
                    "22:13:20.250  www           off → starting        query\r\n"
                    "22:13:21.500  www           failure               no ?kernel\r\n"), text
    follow = Terminal("--socket", path, "events", "--follow")
    follow.read("kernel")
    end()
    status, _, text = follow.end()
    assert status == 3 and "events: the daemon went away" in text, (status, text)


def test_console(folder):
    os.mkdir(f"{folder}/bin")
    with open(f"{folder}/bin/xl", "w", encoding="utf-8") as xl:
        xl.write("#!/bin/sh\necho \"xl $@\"\nexit 5\n")
    os.chmod(f"{folder}/bin/xl", 0o755)
    path = f"{folder}/bin:{os.environ['PATH']}"
    assert in_pipe("console", "www", status=5, env={"PATH": path}).stdout == "xl console 7\n"
    said = in_pipe("console", "sleeper", status=1, env={"PATH": path}).stderr
    assert "sleeper: it has no domain, it is suspended; 'jitsuctl start sleeper'" in said, said
    os.chmod(f"{folder}/bin/xl", 0o644)
    said = in_pipe("console", "www", status=1, env={"PATH": f"{folder}/bin"}).stderr
    assert "xl: Permission denied" in said or "xl: No such file" in said, said
    in_pipe("console", "nobody", status=1)


def main():
    try:
        for fd in pty.openpty():
            os.close(fd)
    except OSError as error:
        print(f"no terminal can be made here ({error}): is devpts mounted?")
        return 77
    folder = tempfile.mkdtemp(prefix="jitsu-terminal-")
    os.environ["JITSU_SOCKET"] = f"{folder}/control.sock"
    os.environ.pop("COLUMNS", None)
    play(os.environ["JITSU_SOCKET"])
    tests = [(n, f) for n, f in globals().items() if n.startswith("test_")]
    print(f"1..{len(tests)}")
    for number, (name, test) in enumerate(tests, 1):
        try:
            test(*([folder] if test.__code__.co_argcount else []))
            print(f"ok {number} - {name}", flush=True)
        except AssertionError as error:
            FAILED.append(name)
            print(f"not ok {number} - {name}\n# {error}", flush=True)
    subprocess.run(["rm", "-rf", folder], check=True)
    return 1 if FAILED else 0


sys.exit(main())
