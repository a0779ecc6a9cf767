/*
 * The messages between jitsud's processes. One line each makes the structure, the writer, the
 * reader, the dispatcher and the line in PROTOCOL.md.
 *
 *   MESSAGE(name, from, to, fields, "meaning")
 *
 * Fields: U8 U16 U32 U64 (native order: both ends are one program), TEXT (NUL-terminated) and
 * BYTES (struct bytes). `at` is CLOCK_MONOTONIC in µs, read where the thing happened; `id` is the
 * service's slot, a small number that the engine gives and that is reused after removal; `boot`
 * counts the engine's start orders, so that a late message about an earlier boot is known as such.
 */

/* The parent and its children. */
MESSAGE(peer, PARENT, ANY, U8(room), "your new connection to that room comes with this message")
MESSAGE(quit, PARENT, ANY, U8(unused), "end in good order; guests go on")
MESSAGE(host, PARENT, DNS, BYTES(upstreams) BYTES(allowed_v4) BYTES(allowed_v6),
	"as of now: whom to forward to, in order, as struct sockaddr_storage; who may have that, as "
	"struct acl_v4 and acl_v6")
MESSAGE(up, ANY, PARENT, U8(unused), "I serve")

/* dns and engine. After a connect the engine sends table_begin, every service, table_end. */
MESSAGE(want, DNS, ENGINE, U32(id) U64(at) BYTES(client) BYTES(name),
	"somebody asks for a sleeping service: client's address, 4 or 16 bytes, and the name in wire "
	"format, both only to be shown; empty if not known")
MESSAGE(retired, DNS, ENGINE, U32(id), "from here on queries for it wait and are wanted")
MESSAGE(answered, DNS, ENGINE, U32(id) U64(at) U32(waiters) U8(late),
	"those who waited have their answer; late: at the limit, not because it was ready")
MESSAGE(table_begin, ENGINE, DNS, U32(count), "what follows replaces the table")
MESSAGE(service, ENGINE, DNS,
	U32(id) U32(ttl) U32(wait_limit) U8(ready) U8(flags) BYTES(names) BYTES(addresses),
	"add or replace a service: wire-format owner names one after the other; addresses as one "
	"byte of family (4 or 6) and 4 or 16 bytes each; ttl in s, wait_limit in ms; flags of "
	"enum message_service_flags")
MESSAGE(services, ENGINE, DNS, BYTES(list),
	"many of `service`, one after the other, each with its size in front, in 4 bytes")
MESSAGE(table_end, ENGINE, DNS, U8(unused), "what was not sent again is gone; serve")
MESSAGE(forget, ENGINE, DNS, U32(id), "the service is removed; who waits gets NXDOMAIN or a forward")
MESSAGE(ready, ENGINE, DNS, U32(id), "answer who waits, and everybody at once from here on")
MESSAGE(retire, ENGINE, DNS, U32(id), "about to stop it: let queries wait from here on, say retired")
MESSAGE(asleep, ENGINE, DNS, U32(id), "it is not running: let queries wait, want it")
MESSAGE(failed, ENGINE, DNS, U32(id) U16(info_code) TEXT(text),
	"SERVFAIL with this extended error (RFC 8914) to who waits; it is asleep")

/* engine and toolstack. After a connect the engine sends survey first. */
MESSAGE(survey, ENGINE, TOOLSTACK, U8(unused), "name every domain that is or may be ours")
MESSAGE(check, ENGINE, TOOLSTACK, U32(request) TEXT(spec), "could this service be started?")
MESSAGE(start, ENGINE, TOOLSTACK, U32(id) U32(boot) U8(restore) TEXT(spec),
	"build and start its domain; spec as JSON, with uuid; restore: from its suspend image if "
	"there is one")
MESSAGE(wake, ENGINE, TOOLSTACK, U32(id) U32(boot) U32(domid), "let a paused domain run")
MESSAGE(stop, ENGINE, TOOLSTACK, U32(id) U32(domid) U8(mode) U32(limit),
	"put that domain, which runs or is paused, away; mode is enum spec_stop_mode; limit in ms "
	"is shutdown's: then it is destroyed")
MESSAGE(hold, ENGINE, TOOLSTACK, U32(id) U8(how) U32(domid) U16(port) TEXT(spec),
	"what Synjitsu is to do with its addresses, enum message_hold; comes before start; domid: 0 if "
	"there is no domain; port: one that takes connections, 0 if none is known")
MESSAGE(knock, TOOLSTACK, ENGINE, U32(id) U64(at) BYTES(source),
	"a packet from that address came for it while it slept")
MESSAGE(discard, ENGINE, TOOLSTACK, U32(id) BYTES(uuid),
	"delete its suspend image, if there is one")
MESSAGE(adopt, ENGINE, TOOLSTACK, U32(id) U32(boot) U32(domid) TEXT(key),
	"of a running domain that a survey found: tell its first frame and this key (none if empty) "
	"as after a start, also if they were there before")
MESSAGE(measure, ENGINE, TOOLSTACK, U32(id) U32(domid), "how much traffic?")
MESSAGE(weigh, ENGINE, TOOLSTACK, U8(unused), "how much memory is free? the answer is memory")
MESSAGE(found, TOOLSTACK, ENGINE,
	U32(domid) BYTES(uuid) U8(whole) U8(running) U8(paused) U8(restored) U64(created) TEXT(service),
	"an answer to survey; whole: built to the end; paused: put to sleep by a stop; restored: made "
	"from its suspend image; created: 0 if that is not known; service: the name it was started "
	"for, empty if the domain bears no mark of ours")
MESSAGE(image, TOOLSTACK, ENGINE, BYTES(uuid), "a suspend image that a survey found")
MESSAGE(memory, TOOLSTACK, ENGINE, U64(free) U64(total),
	"of the host, in KiB, zeros if nobody knows; right after each created, start_failed, stopped and "
	"suspended, before survey_end, and when asked by weigh")
MESSAGE(survey_end, TOOLSTACK, ENGINE, U64(memory_free) U64(memory_total) TEXT(backend) TEXT(version),
	"that was all; memory of the host in KiB")
MESSAGE(checked, TOOLSTACK, ENGINE, U32(request) U8(kind) TEXT(field) TEXT(text) TEXT(addition),
	"answer to check: enum error_kind, ERROR_NONE if it could; addition: a JSON object of keys "
	"that were found out, empty if none")
MESSAGE(created, TOOLSTACK, ENGINE,
	U32(id) U32(boot) U32(domid) U8(restored) U64(began) U64(at) TEXT(note),
	"the domain is built and runs; building began at `began`; note: why it was booted although "
	"it was to be restored, empty if not")
MESSAGE(frame, TOOLSTACK, ENGINE, U32(id) U32(boot) U64(at),
	"its first frame came out of a vif; of a restored one: its first nic is connected again; "
	"never sent for a service without nic")
MESSAGE(key, TOOLSTACK, ENGINE, U32(id) U32(boot) U64(at), "its wait_for_key is there")
MESSAGE(start_failed, TOOLSTACK, ENGINE, U32(id) U32(boot) U8(kind) TEXT(field) TEXT(text),
	"nothing of it is left, but its suspend image if that was not used")
MESSAGE(woken, TOOLSTACK, ENGINE, U32(id) U32(boot) U64(at), "answer to wake: it runs")
MESSAGE(wake_failed, TOOLSTACK, ENGINE, U32(id) U32(boot) TEXT(text),
	"answer to wake: it is still paused, or dead, which is the engine's to stop")
MESSAGE(died, TOOLSTACK, ENGINE, U32(domid) U8(reason) TEXT(console),
	"shut down by itself: libxl_shutdown_reason, 255 when it was destroyed by somebody; console: "
	"its last lines; a domain that is left is the engine's to stop")
MESSAGE(stopped, TOOLSTACK, ENGINE, U32(id) U32(domid) U64(at), "answer to stop: it is gone")
MESSAGE(paused, TOOLSTACK, ENGINE, U32(id) U32(domid) U64(at), "answer to stop with mode pause")
MESSAGE(suspended, TOOLSTACK, ENGINE, U32(id) U32(domid) U64(at),
	"answer to stop with mode suspend: the domain is gone, its image is kept")
MESSAGE(stop_failed, TOOLSTACK, ENGINE, U32(id) U32(domid) TEXT(text),
	"answer to stop: it is still there, as it was before")
MESSAGE(measured, TOOLSTACK, ENGINE, U32(id) U32(domid) U64(rx) U64(tx),
	"bytes since its creation: to the guest, from the guest")
