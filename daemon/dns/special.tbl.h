/*
 * Names that are never sent upstream, since no server of the Internet knows them, or may know that
 * somebody here has asked: special-use names (RFC 6761) and zones of private and reserved addresses
 * (RFC 6303). A service of ours with such a name goes first; `forward_special` sends them upstream
 * all the same, for a network whose own servers have them.
 *
 *   SPECIAL("zone", first, last, kind, "source")
 *
 * first to last: numbers, each of which makes a zone by going before that one; -1: that zone itself.
 * Kinds: NAME: no such name, at the zone itself too; ZONE: the zone exists and is empty; LOCALHOST:
 * the loopback addresses, below it too.
 */
SPECIAL("localhost", -1, -1, LOCALHOST, "RFC 6761, 6.3")
SPECIAL("invalid", -1, -1, NAME, "RFC 6761, 6.4")
SPECIAL("test", -1, -1, NAME, "RFC 6761, 6.2")
SPECIAL("local", -1, -1, NAME, "RFC 6762, 22.1")
SPECIAL("onion", -1, -1, NAME, "RFC 7686, 2")
SPECIAL("alt", -1, -1, NAME, "RFC 9476, 3")
SPECIAL("home.arpa", -1, -1, ZONE, "RFC 8375, 4")
SPECIAL("resolver.arpa", -1, -1, ZONE, "RFC 9462, 8.2")
SPECIAL("service.arpa", -1, -1, ZONE, "RFC 9665")
SPECIAL("10.in-addr.arpa", -1, -1, ZONE, "RFC 6303, 4.1")
SPECIAL("172.in-addr.arpa", 16, 31, ZONE, "RFC 6303, 4.1")
SPECIAL("168.192.in-addr.arpa", -1, -1, ZONE, "RFC 6303, 4.1")
SPECIAL("0.in-addr.arpa", -1, -1, ZONE, "RFC 6303, 4.2")
SPECIAL("127.in-addr.arpa", -1, -1, ZONE, "RFC 6303, 4.2")
SPECIAL("254.169.in-addr.arpa", -1, -1, ZONE, "RFC 6303, 4.2")
SPECIAL("2.0.192.in-addr.arpa", -1, -1, ZONE, "RFC 6303, 4.2")
SPECIAL("100.51.198.in-addr.arpa", -1, -1, ZONE, "RFC 6303, 4.2")
SPECIAL("113.0.203.in-addr.arpa", -1, -1, ZONE, "RFC 6303, 4.2")
SPECIAL("255.255.255.255.in-addr.arpa", -1, -1, ZONE, "RFC 6303, 4.2")
SPECIAL("100.in-addr.arpa", 64, 127, ZONE, "RFC 7793")
SPECIAL("0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa", -1, -1, ZONE, "RFC 6303, 4.3")
SPECIAL("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa", -1, -1, ZONE, "RFC 6303, 4.3")
SPECIAL("d.f.ip6.arpa", -1, -1, ZONE, "RFC 6303, 4.4")
SPECIAL("8.e.f.ip6.arpa", -1, -1, ZONE, "RFC 6303, 4.5")
SPECIAL("9.e.f.ip6.arpa", -1, -1, ZONE, "RFC 6303, 4.5")
SPECIAL("a.e.f.ip6.arpa", -1, -1, ZONE, "RFC 6303, 4.5")
SPECIAL("b.e.f.ip6.arpa", -1, -1, ZONE, "RFC 6303, 4.5")
SPECIAL("8.b.d.0.1.0.0.2.ip6.arpa", -1, -1, ZONE, "RFC 6303, 4.6")
