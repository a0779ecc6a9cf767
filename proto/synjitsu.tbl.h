/*
 * The messages between jitsud and our own Synjitsu, over a vchan. One line each makes the
 * structure, the writer, the reader, the dispatcher and the line in PROTOCOL.md.
 *
 *   SYNJITSU(name, number, direction, fields, "meaning")
 *
 * DOWN is from jitsud to Synjitsu. On the wire a message is its length (u16, of what follows it),
 * its number (u8) and its fields in order, integers big-endian: U8 U16 U32 U64, MAC (6 bytes),
 * and BYTES and TEXT as a u16 length with so many bytes, a text without NUL. A reader skips
 * numbers that it does not know and takes bytes after the last field for a later version's.
 *
 * `id` names a claim: jitsud chooses it, one for each nic that carries addresses of a service.
 */
SYNJITSU(hello, 1, BOTH, U32(magic) U16(version),
	 "the first message of either side: SYNJITSU_MAGIC, SYNJITSU_VERSION; after it all earlier "
	 "claims of jitsud that it does not make again within 10 s are forgotten")
SYNJITSU(claim, 2, DOWN,
	 U32(id) U8(awake) MAC(mac) TEXT(bridge) BYTES(addresses) BYTES(ports) TEXT(service),
	 "hold these addresses (a byte of family, 4 or 6, then 4 or 16 bytes, each) for this MAC: answer "
	 "ARP and ND, keep what comes; awake 0: it sleeps, and a packet for it is to be told with "
	 "knock; 1: it is being started; ports: u16 each, none: any; replaces an earlier claim of that "
	 "id and keeps what it has held")
SYNJITSU(guest, 3, DOWN, U32(id) TEXT(vif),
	 "its domain is built and runs; vif: its interface, if it is one of this domain's")
SYNJITSU(ready, 4, DOWN, U32(id) U16(port),
	 "the guest is up; port: one that is known to take connections, 0 if none is")
SYNJITSU(forget, 5, DOWN, U32(id), "let go of the claim, and drop what is held")
SYNJITSU(knock, 6, UP, U32(id) U8(protocol) U16(port) BYTES(source),
	 "a packet came for a sleeping service: IP protocol (0: ARP or ND), its destination port or 0, "
	 "and its source address (4 or 16 bytes)")
SYNJITSU(counters, 7, UP,
	 U32(claims) U32(held) U64(held_all) U64(folded) U64(handed) U64(passed) U64(dropped)
	 U64(knocks) U64(refused_knocks) U64(defended),
	 "sent every 10 s if something changed: claims and frames held now; and since the start: frames "
	 "held, folded into one that was held, handed over, passed on at once, dropped; knocks told and "
	 "not told; addresses defended against others")
SYNJITSU(relay, 8, UP, U32(id) U8(how),
	 "of a guest whose interface is not in Synjitsu's domain, enum synjitsu_relay_how: 1: frames "
	 "between them go by inject and heard, and the bridge leads its MAC to Synjitsu's domain "
	 "whatever the guest says; 2: the bridge leads to the guest; 0: as 2, and no frames any more")
SYNJITSU(inject, 9, UP, U32(id) BYTES(frame),
	 "this frame, whose sums are whole, goes to the guest of a relay")
SYNJITSU(heard, 10, DOWN, U32(id) BYTES(frame),
	 "a frame that the guest of a relay sent: ARP, ICMP, ICMPv6, and of TCP those with SYN or RST")
