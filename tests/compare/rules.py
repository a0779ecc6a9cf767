"""Why jitsud and Knot DNS may differ: each rule names the fields of the answer that it explains."""
import struct

import packets


class Context:
    """A query as far as it can be read, and both answers taken apart."""

    def __init__(self, query, stream, ours, theirs):
        self.query, self.stream, self.ours, self.theirs = query, stream, ours, theirs
        self.opcode = self.flags = self.kind = self.cls = self.name = None
        self.counts = (0, 0, 0, 0)
        if len(query) < 12:
            return
        _, self.flags, *self.counts = struct.unpack_from(">HHHHHH", query)
        self.opcode = self.flags >> 11 & 15
        try:
            self.name, at = packets.read_name(query, 12)
            self.kind, self.cls = struct.unpack_from(">HH", query, at)
        except (packets.Bad, struct.error, IndexError):
            pass

    def has_bad_cookie(self):
        """Some COOKIE option of a length that RFC 7873 does not have; found by looking for one."""
        at = self.query.find(b"\0\x0a", 12)
        while at >= 0:
            size = struct.unpack_from(">H", self.query + bytes(4), at + 2)[0]
            if not (size == 8 or 16 <= size <= 40):
                return True
            at = self.query.find(b"\0\x0a", at + 1)
        return False

    def describe(self):
        return f"opcode {self.opcode} flags {self.flags and hex(self.flags)} counts {self.counts} name " \
               f"{self.name} type {self.kind} class {self.cls}"


class Rule:
    def __init__(self, name, fields, reason, applies):
        self.name, self.fields, self.reason, self.applies = name, set(fields.split()), reason, applies


def codes(said):
    return {code for code, _ in said.get("options") or ()}


def options_differ_by(*known):
    return lambda c: codes(c.ours) ^ codes(c.theirs) <= set(known)


def is_meta(kind):
    return kind in (0, 41) or kind is not None and 128 <= kind <= 255


def is_reverse_above(name):
    labels = (name or b"").lower()
    return labels.endswith(b"\x07in-addr\4arpa\0") or labels.endswith(b"\3ip6\4arpa\0")


FORMERR, NXDOMAIN, NOTIMP, REFUSED, NOTAUTH = 1, 3, 4, 5, 9
HINFO, TSIG, IXFR, AXFR, ANY = 13, 250, 251, 252, 255
NOTIFY, UPDATE = 4, 5

CONTENT = "rcode aa tc answer authority additional"

RULES = [
    Rule("silence", "answered", "what cannot be read gets FORMERR, or what its operation gets, if its header is "
         "whole and it is no response (RFC 8906, 3.2.3); Knot drops some of it",
         lambda c: c.ours["answered"] and (c.ours["rcode"] == FORMERR or c.opcode)),
    Rule("other operations", "rcode aa opt options", "NOTIFY and UPDATE are REFUSED, all others NOTIMP (RFC 8906, "
         "3.1.4), whatever the rest of the packet is; Knot reads and judges some of it first",
         lambda c: c.opcode and c.ours["rcode"] == (REFUSED if c.opcode in (NOTIFY, UPDATE) else NOTIMP)),
    Rule("malformed cookies", CONTENT, "FORMERR, as RFC 7873, 5.2.2 has it; cookies are an optional module of "
         "Knot's", lambda c: c.ours["rcode"] == FORMERR and c.has_bad_cookie()),
    Rule("a cookie and no question", "rcode", "NOERROR with a cookie (RFC 7873, 5.4)",
         lambda c: c.counts[0] == 0 and c.ours["rcode"] == 0 and 10 in codes(c.ours)),
    Rule("options", "options", "extended errors (RFC 8914) are given in other cases; cookies (RFC 7873) and "
         "keep-alive (RFC 7828) are answered; there are no secondaries to tell EXPIRE (RFC 7314)",
         options_differ_by(15, 11, 10, 9)),
    Rule("TSIG", CONTENT, "nobody shares a key with jitsud: the record is passed over; Knot says NOTAUTH",
         lambda c: c.theirs["rcode"] == NOTAUTH and any(r[1] == TSIG for r in c.theirs["additional"])),
    Rule("ANY", "answer tc", "HINFO as RFC 8482, 4.2 has it, so that no guest is started for it",
         lambda c: c.kind == ANY and [r[1] for r in c.ours["answer"]] == [HINFO]),
    Rule("transfers", "rcode", "AXFR and IXFR are REFUSED, over UDP as over TCP and for any name",
         lambda c: c.kind in (AXFR, IXFR) and c.ours["rcode"] == REFUSED),
    Rule("class ANY", CONTENT, "REFUSED as all classes but IN: an answer for all of them cannot be authoritative "
         "(RFC 1034, 6.2.2); Knot takes it for IN", lambda c: c.cls == 255 and c.ours["rcode"] == REFUSED),
    Rule("types of no data", CONTENT, "a type that cannot be data (0, OPT, meta-types) is one that the name has "
         "not; Knot says NOTIMP", lambda c: c.theirs["rcode"] == NOTIMP and is_meta(c.kind)),
    Rule("part of an address", "rcode", "a name that is the beginning of addresses' names in a reverse zone is "
         "NODATA, whether some service has such an address or not: never an NXDOMAIN that RFC 8020 would extend "
         "to names that exist",
         lambda c: is_reverse_above(c.name) and c.ours["rcode"] == 0 and c.theirs["rcode"] == NXDOMAIN),
]


def table():
    out = "| difference from Knot DNS | fields | why |\n|---|---|---|\n"
    for rule in RULES:
        out += f"| {rule.name} | {', '.join(sorted(rule.fields))} | {rule.reason} |\n"
    return out
