#!/usr/bin/env python3
"""The examples of proto/PROTOCOL.md, sent to a jitsud with the simulated backend: what it answers has
the keys, and the kinds of values, of what is written there."""
import json, os, random, re, signal, socket, subprocess, sys, tempfile, time

O = os.path.abspath(os.environ.get("O", "build"))
PATIENCE = 30
ADDRESS = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.{random.randint(1, 254)}"
PORT = 5355


def blocks():
    with open("proto/PROTOCOL.md") as file:
        text = file.read()
    text = text[text.index("### Examples"):text.index("### Results")]
    for block in re.findall(r"```\n(.*?)```", text, re.S):
        lines = block.splitlines()
        yield ([line[4:] for line in lines if line.startswith("--> ")],
               [json.loads(line[4:]) for line in lines if line.startswith("<-- ")])


def shape(value):
    if isinstance(value, dict):
        return {key: shape(v) for key, v in value.items()}
    if isinstance(value, list):
        return [shape(v) for v in value]
    return "number" if type(value) in (int, float) else type(value).__name__


def query(name):
    """Asks for it, and has the answer."""
    packet = b"\0\1\1\0\0\1\0\0\0\0\0\0" + b"".join(
        bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(PATIENCE)
        asker.sendto(packet, (ADDRESS, PORT))
        asker.recv(4096)


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/c.sock"
        daemon = subprocess.Popen(
            [f"{O}/jitsud", "-x", "sim", "-b", ADDRESS, "-l", str(PORT), "-f", "0.0.0.0", "--config", "/dev/null",
             "--services-dir", "/nonexistent", "--persistdb", ":memory:", "--user", "nobody", "--control", path,
             "--foreground"], stderr=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(PATIENCE)
        while True:
            try:
                link.connect(path)
                break
            except OSError:
                if time.monotonic() > until:
                    sys.exit("jitsud does not start")
                time.sleep(0.05)
        lines = link.makefile("rwb")
        for sent, expected in blocks():
            for text in sent:
                events = []
                lines.write(text.encode() + b"\n")
                lines.flush()
                answer = json.loads(lines.readline())
                while isinstance(answer, dict) and "id" not in answer:
                    events.append(answer)
                    answer = json.loads(lines.readline())
                # Not what has no answer there, and not the events: only that what comes is of one kind.
                good = shape(answer) == shape(expected[0]) if expected else "result" in answer
                print(f"{'ok' if good else 'not ok'} - {text[:70]}")
                if not good:
                    print(f"  written  {json.dumps(expected[0] if expected else 'a result')}\n"
                          f"  answered {json.dumps(answer)}")
                    failed += 1
                if '"service.add"' in text and "result" in answer:
                    query(answer["result"]["dns"][0])
                    # As it is written there: its traffic was measured before.
                    while time.monotonic() < until:
                        lines.write(b'{"jsonrpc":"2.0","id":0,"method":"service.list","params":{"measure":true}}\n')
                        lines.flush()
                        if "measured" in json.loads(lines.readline())["result"]["services"][0]:
                            break
                        time.sleep(0.05)
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(PATIENCE)
    return bool(failed)


sys.exit(main())
