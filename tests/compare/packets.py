"""DNS packets for the comparison: made at random from a seed, good and bad, and answers taken apart."""
import struct

A, NS, CNAME, SOA, PTR, HINFO, MX, TXT, AAAA, OPT, TSIG, ANY = \
    1, 2, 5, 6, 12, 13, 15, 16, 28, 41, 250, 255
# Types with names in their data that may be compressed (RFC 3597, 4), and what is before the name.
NAMES_IN = {NS: (0, 1), CNAME: (0, 1), PTR: (0, 1), SOA: (0, 2), MX: (2, 1)}

TYPES = [A] * 12 + [AAAA] * 8 + [NS, SOA, PTR, MX, TXT, 65, 64, 33, 257, 43, 48, 46, 47, 51, 50, ANY, 252,
                                 251, HINFO, CNAME, 39, 0, OPT, 249, TSIG, 253, 254, 128, 65280, 65535, 3, 10,
                                 29, 35, 44, 52, 59, 60, 99]
CLASSES = [1] * 40 + [3, 4, 254, 255, 0, 2, 65280]
SIZES = [0, 1, 511, 512, 513, 600, 1231, 1232, 1233, 1400, 4096, 65535]
OPTIONS = [(3, b""), (8, b"\0\1\x18\0\xc0\0\2"), (8, b"\0\2\x20\0\x20\1\x0d\xb8"), (9, b""), (11, b""), (12, b""),
           (12, bytes(20)), (10, bytes(range(8))), (10, bytes(24)), (10, bytes(40)), (10, bytes(5)),
           (10, bytes(41)), (10, b""), (65001, b"\1\2\3"), (5, b"\1\2"), (13, b""), (15, b"\0\1"), (3, b"abc"),
           (14, b"\0\1"), (20292, b"")]


def name_to_wire(text):
    out = b""
    for label in text.rstrip(".").split(".") if text.rstrip(".") else []:
        out += bytes([len(label)]) + label.encode("latin-1")
    return out + b"\0"


def mixed_case(rng, wire):
    """The case of the letters changed; length bytes are under 'A'."""
    return bytes(c ^ 0x20 if chr(c).isascii() and chr(c).isalpha() and rng.random() < 0.5 else c for c in wire)


class Names:
    """The names of both servers, and what lies around them."""

    def __init__(self, there, zones):
        self.there, self.zones = there, zones

    def pick(self, rng):
        kind = rng.random()
        base = rng.choice(self.there)
        if kind < 0.45:
            return base.replace("*", "star")
        if kind < 0.50:
            return base
        if kind < 0.60:
            return rng.choice(["x", "a.b", "*", "www", "_sip._tcp", "a" * 63]) + "." + base.replace("*", "y")
        if kind < 0.68 and "." in base:
            return base.split(".", 1)[1]
        if kind < 0.74 and base.count(".") > 1:
            return base.split(".", 2)[2]
        if kind < 0.84:
            return "".join(rng.choice("abcdefghijklmnop0123456789-_") for _ in range(rng.randint(1, 20))) + \
                "." + rng.choice(self.zones)
        if kind < 0.88:
            return rng.choice(self.zones)
        if kind < 0.91:
            return ".".join(["a" * rng.randint(1, 40) for _ in range(5)] + [rng.choice(self.zones)])
        return rng.choice(["", "org", "com", "example.com", "arpa", "in-addr.arpa", "10.in-addr.arpa",
                           "www.example.net", "xexample.org", "id.server", "version.bind", "localhost",
                           "1.1.0.10.in-addr.arpa", "example.org.example.com"])


def opt_record(rng):
    payload = rng.choice(SIZES + [1232, 4096] * 6)
    version = rng.choice([0] * 20 + [1, 2, 255])
    flags = rng.choice([0] * 4 + [0x8000] * 3 + [0x4000, 0xffff])
    rcode = rng.choice([0] * 20 + [1, 255])
    data = b""
    for _ in range(rng.choice([0] * 6 + [1] * 4 + [2, 3])):
        code, body = rng.choice(OPTIONS)
        data += struct.pack(">HH", code, len(body)) + body
    if rng.random() < 0.03:
        data += rng.choice([b"\0", b"\0\3", b"\0\3\0", b"\0\3\0\5ab", b"\0\x0a\xff\xff"])
    owner = rng.choice([b"\0"] * 40 + [b"\1a\0"])
    return owner + struct.pack(">HHBBHH", OPT, payload, rcode, version, flags, len(data)) + data


def extra_record(rng):
    owner = rng.choice([b"\0", b"\1x\0", b"\xc0\x0c"])
    kind = rng.choice([A, TXT, TSIG, NS, 24])
    data = {A: b"\1\2\3\4", TXT: b"\3abc", NS: b"\1n\0", 24: bytes(20) + b"\0",
            TSIG: b"\x09hmac-sha2\0" + bytes(8) + b"\0\4abcd" + bytes(6)}[kind]
    if rng.random() < 0.1:
        data = data[:-1]
    return owner + struct.pack(">HHIH", kind, rng.choice([1, 255]), 0, len(data)) + data


def make(rng, names, number):
    """One packet; its ID is the number."""
    wire = mixed_case(rng, name_to_wire(names.pick(rng))) if rng.random() < 0.3 else \
        name_to_wire(names.pick(rng))
    kind, cls = rng.choice(TYPES), rng.choice(CLASSES)
    if rng.random() < 0.02:
        kind = rng.randrange(65536)
    opcode = rng.choice([0] * 60 + list(range(16)))
    flags = opcode << 11 | (0x0100 if rng.random() < 0.7 else 0)
    for bit, chance in ((0x8000, .005), (0x0400, .02), (0x0200, .02), (0x0080, .02), (0x0040, .02), (0x0020, .1),
                        (0x0010, .1)):
        flags |= bit if rng.random() < chance else 0
    if rng.random() < 0.01:
        flags |= rng.randrange(16)
    question = wire + struct.pack(">HH", kind, cls)
    counts, body = [1, 0, 0, 0], question
    odd = rng.random()
    if odd < 0.01:
        counts[0], body = 0, b""
    elif odd < 0.02:
        counts[0], body = 2, question * 2
    elif odd < 0.03:
        counts[0] = rng.choice([0, 2, 3, 65535])
    elif odd < 0.04:
        body = rng.choice([b"\xc0\x0c", b"\xc0\x00", b"\x40a\0", b"\x80\0", b"\1a\xc0\x0c",
                           b"\x3f" + b"a" * 63 + b"\0", (b"\x3f" + b"a" * 63) * 4 + b"\0",
                           b"\3a.b\0", b"\4\0\1\2\xff\0"]) + struct.pack(">HH", kind, cls)
    if rng.random() < 0.02:
        body += extra_record(rng)
        counts[rng.choice([1, 2])] = 1
    if rng.random() < 0.02:
        body += extra_record(rng)
        counts[3] += 1
    if rng.random() < 0.6:
        body += opt_record(rng)
        counts[rng.choice([3] * 60 + [1, 2])] += 1
        if rng.random() < 0.02:
            body += opt_record(rng)
            counts[3] += 1
    if rng.random() < 0.01:
        counts[rng.choice([1, 2, 3])] += rng.choice([1, 2, 65000])
        counts = [min(c, 65535) for c in counts]
    packet = struct.pack(">HHHHHH", number, flags, *counts) + body
    odd = rng.random()
    if odd < 0.02:
        packet = packet[:rng.randrange(2, len(packet))]
    elif odd < 0.04:
        packet += bytes(rng.randrange(256) for _ in range(rng.randint(1, 40)))
    elif odd < 0.06:
        at = rng.randrange(4, len(packet))
        packet = packet[:at] + bytes([rng.randrange(256)]) + packet[at + 1:]
    return packet


class Bad(Exception):
    """An answer that cannot be read."""


def read_name(data, at, hops=0):
    out, end = [], None
    while True:
        if at >= len(data) or hops > 100:
            raise Bad("name")
        n = data[at]
        if n >= 0xc0:
            end = end or at + 2
            at = (n & 0x3f) << 8 | data[at + 1]
            hops += 1
        elif n == 0:
            return b"".join(out) + b"\0", end or at + 1
        else:
            out.append(data[at:at + n + 1])
            at += n + 1


def read_record(data, at):
    owner, at = read_name(data, at)
    if at + 10 > len(data):
        raise Bad("record")
    kind, cls, ttl, size = struct.unpack_from(">HHIH", data, at)
    at += 10
    if at + size > len(data):
        raise Bad("data")
    body, before = data[at:at + size], NAMES_IN.get(kind)
    if before:
        skip, count = before
        p, body = at + skip, data[at:at + skip]
        for _ in range(count):
            name, p = read_name(data, p)
            body += name.lower()
        body += data[p:at + size]
    if kind == SOA:
        body = body[:-20] + bytes(4) + body[-16:]  # the serial is each server's own
    return (owner.lower(), kind, cls, ttl, body), at + size


FLAGS = {"qr": 0x8000, "opcode": 0x7800, "aa": 0x0400, "tc": 0x0200, "rd": 0x0100, "ra": 0x0080, "z": 0x0040,
         "ad": 0x0020, "cd": 0x0010}


def take_apart(data):
    """What an answer says, a field each; None stays None: no answer."""
    if data is None:
        return {"answered": False}
    if len(data) < 12:
        raise Bad("header")
    flags, *counts = struct.unpack_from(">HHHHH", data, 2)
    said = {"answered": True, "rcode": flags & 15}
    said.update({name: flags & mask for name, mask in FLAGS.items()})
    at = 12
    for _ in range(counts[0]):
        _, at = read_name(data, at)
        at += 4
    said["question"] = data[12:at]
    said["opt"] = None
    said["options"] = ()
    for section, count in zip(("answer", "authority", "additional"), counts[1:]):
        records = []
        for _ in range(count):
            record, at = read_record(data, at)
            if record[1] == OPT:
                _, _, payload, ttl, body = record
                said["rcode"] |= ttl >> 24 << 4
                said["opt"] = (payload, ttl >> 16 & 255, ttl & 0xffff)
                said["options"] = tuple(sorted(codes(body)))
            else:
                records.append(record)
        said[section] = tuple(sorted(records))
    if at != len(data):
        raise Bad(f"{len(data) - at} bytes after the end")
    return said


def codes(body):
    while body:
        code, size = struct.unpack_from(">HH", body)
        yield code, size if code == 10 else 0
        body = body[4 + size:]
