/* What is not ours: upstream and back, with upstreams played by hand. */
#include "dns/forward.h"

#include <ctype.h>

#include "dns/failures.h"
#include "dns/special.h"
#include "dns/upstreams.h"

#include "tests/unit/test_dns.h"

static struct sockaddr_in addresses[2];
static int up[2], up_tcp[2], fd;

static struct world *start(size_t count)
{
	static const struct service services[] = {
		{ .id = 1, .ready = true, .names = "www.example.org", .addresses = "10.0.0.1" },
	};
	struct world *w;

	for (size_t i = 0; i < 2; i++) {
		/* TCP first: its port is free for UDP nearly always. */
		do {
			up_tcp[i] = bound(SOCK_STREAM, &addresses[i]);
			up[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		} while (bind(up[i], (struct sockaddr *)&addresses[i], sizeof addresses[i]) < 0);
	}
	w = world_new(addresses, count);
	tell_table(w, services, ARRAY_SIZE(services));
	fd = caller(SOCK_DGRAM, &w->udp);
	return w;
}

static void finish(struct world *w)
{
	for (size_t i = 0; i < 2; i++) {
		close(up[i]);
		close(up_tcp[i]);
	}
	close(fd);
	world_free(w);
}

/* The next query that an upstream gets; from is whom to answer. */
static bool get_query(struct world *w, int from_fd, struct packet *p, struct sockaddr_in *from,
		      int patience)
{
	for (int i = 0; i <= patience; i++) {
		socklen_t size = sizeof *from;
		ssize_t r;

		settle(w);
		r = recvfrom(from_fd, p->data, sizeof p->data, MSG_DONTWAIT,
			     (struct sockaddr *)from, &size);
		if (r >= 0) {
			p->size = (size_t)r;
			return true;
		}
		poll(NULL, 0, 1);
	}
	return false;
}

/* Turns a query into a response with one A record 192.0.2.1. */
static void make_response(struct packet *p)
{
	static const uint8_t record[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 192, 0, 2, 1 };

	p->data[2] |= 0x80;
	p->data[3] |= 0x80;
	p->data[7] = 1;
	p->data[11] = 0;
	p->size = skip_name(p, 12) + 4;
	memcpy(p->data + p->size, record, sizeof record);
	p->size += sizeof record;
}

static void respond(int from_fd, const struct packet *p, const struct sockaddr_in *to)
{
	assert_int_equal(
		sendto(from_fd, p->data, p->size, 0, (const struct sockaddr *)to, sizeof *to),
		(ssize_t)p->size);
}

/* The name's case is ours; this is the client's again. */
static void fold_question(struct packet *p)
{
	size_t end = skip_name(p, 12);

	for (size_t i = 12; i < end; i++)
		p->data[i] = (uint8_t)tolower(p->data[i]);
}

static void set_rcode(struct packet *p, unsigned rcode)
{
	p->data[2] |= 0x80;
	p->data[3] = (uint8_t)((p->data[3] & 0xf0) | rcode);
}

/* One that says so, keeping the OPT. */
static void respond_rcode(int from_fd, struct packet *p, const struct sockaddr_in *to,
			  unsigned rcode)
{
	set_rcode(p, rcode);
	respond(from_fd, p, to);
}

static void answer_query_of(struct world *w, size_t i, struct packet *p)
{
	struct sockaddr_in from;

	assert_true(get_query(w, up[i], p, &from, PATIENCE));
	make_response(p);
	respond(up[i], p, &from);
}

static void test_there_and_back(void **state)
{
	struct world *w = start(1);
	static struct packet p, q;
	struct sockaddr_in from;
	unsigned upper = 0;

	(void)state;
	q = make_query(4242, "www.example.net", 64000, EDNS | WITH_DO);
	q.data[3] |= 0x30; /* AD, CD */
	q.data[13] = 'W';
	send_packet(fd, &q);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	/* As received, but for the ID, the case and the payload size. */
	assert_int_equal(p.size, q.size);
	for (size_t i = 12; i < 29; i++)
		upper += isupper(p.data[i]) != 0;
	assert_true(upper > 0);
	fold_question(&p);
	assert_memory_equal(p.data + 2, q.data + 2, 10);
	assert_memory_equal(p.data + 14, q.data + 14, 33 - 14);
	assert_memory_equal(p.data + 33, "\0\0\x29\x04\xd0\0\0\x80\0\0\0", 11);
	ask(fd, 1, "www.example.org", WIRE_A, 0);
	expect_answer(w, fd, 1, "0 aa ra; 10.0.0.1 60");
	finish(w);
}

/* The client gets its own ID and case. */
static void test_case_is_kept(void **state)
{
	struct world *w = start(1);
	static struct packet p, q;

	(void)state;
	q = make_query(4242, "WwW.eXample.NET", WIRE_A, 0);
	send_packet(fd, &q);
	answer_query_of(w, 0, &p);
	assert_true(get_packet(w, fd, &p, PATIENCE));
	assert_string_equal(describe(&p), "0 ra; 192.0.2.1 5");
	assert_memory_equal(p.data, q.data, 2);
	assert_memory_equal(p.data + 12, q.data + 12, 17 + 4);
	finish(w);
}

static void test_ids_and_ports_differ(void **state)
{
	struct world *w = start(1);
	static struct packet p;
	struct sockaddr_in from;
	unsigned ids = 0, ports = 0, last_id = 0, last_port = 0;

	(void)state;
	for (int i = 0; i < 20; i++) {
		char name[32];

		snprintf(name, sizeof name, "a%d.example.net", i);
		ask(fd, 7, name, WIRE_A, 0);
		assert_true(get_query(w, up[0], &p, &from, PATIENCE));
		ids += (unsigned)(p.data[0] << 8 | p.data[1]) != last_id;
		ports += from.sin_port != last_port;
		last_id = (unsigned)(p.data[0] << 8 | p.data[1]);
		last_port = from.sin_port;
	}
	assert_true(ids > 15);
	assert_true(ports > 15);
	finish(w);
}

static void test_forged(void **state)
{
	struct world *w = start(1);
	static struct packet p, forged;
	struct sockaddr_in from;

	(void)state;
	ask(fd, 5, "a.example.net", WIRE_A, 0);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	make_response(&p);
	forged = p;
	forged.data[1] ^= 1;
	respond(up[0], &forged, &from);
	forged = p;
	forged.data[13] ^= 1;
	respond(up[0], &forged, &from);
	forged = p;
	forged.data[2] &= 0x7f;
	respond(up[0], &forged, &from);
	forged = p;
	forged.data[5] = 0;
	respond(up[0], &forged, &from);
	for (size_t size = 20; size < 31; size++) {
		forged = p;
		forged.size = size;
		respond(up[0], &forged, &from);
	}
	respond(up[1], &p, &from); /* from another port */
	expect_nothing(w, fd);
	respond(up[0], &p, &from);
	expect_answer(w, fd, 5, "0 ra; 192.0.2.1 5");
	finish(w);
}

static void test_timeout_then_next(void **state)
{
	struct world *w = start(2);
	static struct packet p, late;
	struct sockaddr_in from, late_to;

	(void)state;
	ask(fd, 5, "a.example.net", WIRE_A, 0);
	assert_true(get_query(w, up[0], &late, &late_to, PATIENCE));
	advance(w, FORWARD_RETRY_USEC - 1);
	assert_false(get_query(w, up[1], &p, &from, 2));
	advance(w, 1);
	assert_true(get_query(w, up[1], &p, &from, PATIENCE));
	/* The first that answers, however late. */
	make_response(&late);
	respond(up[0], &late, &late_to);
	expect_answer(w, fd, 5, "0 ra; 192.0.2.1 5");
	make_response(&p);
	respond(up[1], &p, &from);
	expect_nothing(w, fd);

	ask(fd, 6, "b.example.net", WIRE_A, EDNS);
	for (int i = 0; i < FORWARD_TRIES; i++) {
		assert_true(get_query(w, up[i % 2], &p, &from, PATIENCE));
		expect_nothing(w, fd);
		advance(w, FORWARD_RETRY_USEC);
	}
	expect_answer(w, fd, 6, "2 ra; OPT 1232 ede 22 no upstream answered");
	finish(w);
}

/* What cannot be used of one upstream is asked of the next; the last failure is relayed. */
static void test_next_on_failure(void **state)
{
	static const unsigned rcodes[] = { 2, 4, 5 };
	struct world *w = start(2);
	static struct packet p;
	struct sockaddr_in from;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rcodes); i++) {
		char name[32];

		snprintf(name, sizeof name, "a%zu.example.net", i);
		ask(fd, 5, name, WIRE_A, 0);
		assert_true(get_query(w, up[0], &p, &from, PATIENCE));
		respond_rcode(up[0], &p, &from, rcodes[i]);
		answer_query_of(w, 1, &p);
		expect_answer(w, fd, 5, "0 ra; 192.0.2.1 5");
		assert_false(get_query(w, up[0], &p, &from, 1));
	}
	/* FORMERR of one that does not know EDNS, here without even a question. */
	ask(fd, 5, "b.example.net", WIRE_A, EDNS);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	p.size = 12;
	p.data[5] = p.data[11] = 0;
	respond_rcode(up[0], &p, &from, 1);
	assert_true(get_query(w, up[1], &p, &from, PATIENCE));
	respond_rcode(up[1], &p, &from, 5);
	expect_answer(w, fd, 5, "5; OPT 1232");
	/* FORMERR of one that does is about the query: an answer. NXDOMAIN is one as well. */
	ask(fd, 6, "c.example.net", WIRE_A, EDNS);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	respond_rcode(up[0], &p, &from, 1);
	expect_answer(w, fd, 6, "1; OPT 1232");
	ask(fd, 7, "d.example.net", WIRE_A, 0);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	respond_rcode(up[0], &p, &from, 3);
	expect_answer(w, fd, 7, "3");
	assert_false(get_query(w, up[1], &p, &from, 1));
	finish(w);
}

/* RFC 9520: 5 s, then 10, then 20; a success forgets it. */
static void test_failures_are_remembered(void **state)
{
	struct world *w = start(1);
	static struct packet p;
	struct sockaddr_in from;

	(void)state;
	for (unsigned pause = 5; pause <= 20; pause *= 2) {
		ask(fd, 1, "a.example.net", WIRE_A, EDNS);
		assert_true(get_query(w, up[0], &p, &from, PATIENCE));
		respond_rcode(up[0], &p, &from, 2);
		expect_answer(w, fd, 1, "2; OPT 1232");
		advance(w, pause * USEC_PER_SEC - 1);
		ask(fd, 2, "A.example.net", WIRE_A, EDNS);
		expect_answer(w, fd, 2, "2 ra; OPT 1232 ede 13 it failed not long ago");
		assert_false(get_query(w, up[0], &p, &from, 1));
		/* Another type is another question. */
		ask(fd, 3, "a.example.net", WIRE_AAAA, EDNS);
		assert_true(get_query(w, up[0], &p, &from, PATIENCE));
		respond_rcode(up[0], &p, &from, 3);
		expect_answer(w, fd, 3, "3; OPT 1232");
		advance(w, 1);
	}
	ask(fd, 1, "a.example.net", WIRE_A, EDNS);
	answer_query_of(w, 0, &p);
	expect_answer(w, fd, 1, "0 ra; 192.0.2.1 5; OPT 1232");
	ask(fd, 1, "a.example.net", WIRE_A, EDNS);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	respond_rcode(up[0], &p, &from, 2);
	expect_answer(w, fd, 1, "2; OPT 1232");
	advance(w, 5 * USEC_PER_SEC);
	ask(fd, 1, "a.example.net", WIRE_A, EDNS);
	answer_query_of(w, 0, &p);
	expect_answer(w, fd, 1, "0 ra; 192.0.2.1 5; OPT 1232");
	finish(w);
}

static void test_failures_table(void **state)
{
	struct failures *failures = failures_new();
	uint64_t now = 1000, pause = FAILURES_FIRST_USEC;
	uint16_t rcode = 0;
	unsigned kept = 0;

	(void)state;
	assert_non_null(failures);
	for (int i = 0; i < 12; i++) {
		failures_add(failures, 7, 2, false, 0, now);
		assert_true(failures_find(failures, 7, 99, now + pause - 1, &rcode));
		assert_false(failures_find(failures, 7, 99, now + pause, &rcode));
		now += pause;
		pause = pause * 2 > FAILURES_LAST_USEC ? FAILURES_LAST_USEC : pause * 2;
	}
	assert_int_equal(pause, 5 * 60 * USEC_PER_SEC);
	/* Nobody answered: until an upstream is back. */
	failures_add(failures, 8, 2, true, 3, now);
	assert_true(failures_find(failures, 8, 3, now, &rcode));
	assert_false(failures_find(failures, 8, 4, now, &rcode));
	for (uint64_t key = 0; key < 100000; key++)
		failures_add(failures, key, 2, false, 0, now + key);
	for (uint64_t key = 0; key < 100000; key++)
		kept += failures_find(failures, key, 0, now + 100000, &rcode);
	assert_int_equal(kept, FAILURES_MAX);
	assert_true(failures_find(failures, 99999, 0, now + 100000, &rcode));
	failures_free(failures);
}

/* One that is silent for a while is not asked but now and then, and is first again when it is back.
 */
static void test_down_and_up(void **state)
{
	struct world *w = start(2);
	static struct packet p, probe;
	struct sockaddr_in from, probe_from;
	unsigned probes = 0;

	(void)state;
	for (int i = 0; i < UPSTREAMS_SILENCES; i++) {
		char name[32];

		snprintf(name, sizeof name, "a%d.example.net", i);
		ask(fd, 1, name, WIRE_A, 0);
		assert_true(get_query(w, up[0], &p, &from, PATIENCE));
		advance(w, FORWARD_RETRY_USEC);
		answer_query_of(w, 1, &p);
		expect_answer(w, fd, 1, "0 ra; 192.0.2.1 5");
	}
	/* A query each 100 ms for 60 s: nobody waits, and few are sent to who is down. */
	for (int i = 0; i < 600; i++) {
		char name[32];

		snprintf(name, sizeof name, "b%d.example.net", i);
		ask(fd, 2, name, WIRE_A, 0);
		answer_query_of(w, 1, &p);
		expect_answer(w, fd, 2, "0 ra; 192.0.2.1 5");
		while (get_query(w, up[0], &probe, &probe_from, 0))
			probes++;
		advance(w, 100 * MSEC);
	}
	assert_in_range(probes, 10, 20);
	/* The next probe is answered: from then on it is asked, and the other is not. */
	for (int i = 0;; i++) {
		char name[32];

		assert_true(i < 100);
		snprintf(name, sizeof name, "c%d.example.net", i);
		ask(fd, 2, name, WIRE_A, 0);
		answer_query_of(w, 1, &p);
		expect_answer(w, fd, 2, "0 ra; 192.0.2.1 5");
		if (get_query(w, up[0], &probe, &probe_from, 1))
			break;
		advance(w, 100 * MSEC);
	}
	make_response(&probe);
	respond(up[0], &probe, &probe_from);
	expect_nothing(w, fd);
	ask(fd, 3, "d.example.net", WIRE_A, 0);
	answer_query_of(w, 0, &p);
	expect_answer(w, fd, 3, "0 ra; 192.0.2.1 5");
	assert_false(get_query(w, up[1], &p, &from, 1));
	finish(w);
}

/* The only one is gone: who asks waits for it to come back, unless it has been gone for long. */
static void test_only_one_is_gone(void **state)
{
	struct world *w = start(1);
	static struct packet p;
	int i;

	(void)state;
	close(up[0]);
	ask(fd, 1, "a.example.net", WIRE_A, EDNS);
	expect_answer(w, fd, 1, "2 ra; OPT 1232 ede 22 no upstream answered");
	ask(fd, 1, "a.example.net", WIRE_A, EDNS);
	expect_answer(w, fd, 1, "2 ra; OPT 1232 ede 13 it failed not long ago");
	ask(fd, 2, "b.example.net", WIRE_A, EDNS);
	expect_nothing(w, fd);
	up[0] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(up[0], (struct sockaddr *)&addresses[0], sizeof addresses[0]), 0);
	advance(w, FORWARD_RETRY_USEC);
	answer_query_of(w, 0, &p);
	expect_answer(w, fd, 2, "0 ra; 192.0.2.1 5; OPT 1232");
	/* It is back: what failed for want of it is asked again. */
	ask(fd, 3, "a.example.net", WIRE_A, EDNS);
	answer_query_of(w, 0, &p);
	expect_answer(w, fd, 3, "0 ra; 192.0.2.1 5; OPT 1232");
	close(up[0]);
	for (i = 0; i < 40; i++) {
		char name[32];

		snprintf(name, sizeof name, "c%d.example.net", i);
		ask(fd, 4, name, WIRE_A, EDNS);
		settle(w);
		advance(w, 1000 * MSEC);
	}
	while (get_packet(w, fd, &p, 20))
		;
	ask(fd, 5, "d.example.net", WIRE_A, EDNS);
	expect_answer(w, fd, 5, "2 ra; OPT 1232 ede 22 no upstream answered");
	up[0] = -1;
	finish(w);
}

static void test_nobody_there(void **state)
{
	struct world *w = start(2);
	static struct packet p;
	struct sockaddr_in from;

	(void)state;
	close(up[0]);
	up[0] = -1;
	ask(fd, 5, "a.example.net", WIRE_A, 0);
	/* ICMP says it; no time passes. */
	assert_true(get_query(w, up[1], &p, &from, PATIENCE));
	make_response(&p);
	respond(up[1], &p, &from);
	expect_answer(w, fd, 5, "0 ra; 192.0.2.1 5");
	finish(w);
}

/* Many clients, one question upstream; what differs in more than ID and case goes by itself. */
static void test_folded(void **state)
{
	struct world *w = start(1);
	static struct packet p, q;
	struct sockaddr_in from, from_do;
	int callers[20];

	(void)state;
	for (int i = 0; i < 20; i++) {
		callers[i] = caller(SOCK_DGRAM, &w->udp);
		ask(callers[i], (uint16_t)(100 + i), i % 2 ? "a.example.net" : "A.EXAMPLE.net",
		    WIRE_A, EDNS);
		ask(callers[i], (uint16_t)(100 + i), "a.example.net", WIRE_A,
		    EDNS); /* impatience */
		settle(w);
	}
	ask(fd, 7, "a.example.net", WIRE_A, EDNS | WITH_DO);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	assert_true(get_query(w, up[0], &q, &from_do, PATIENCE));
	assert_false(get_query(w, up[0], &q, &from_do, 5));
	make_response(&p);
	respond(up[0], &p, &from);
	for (int i = 0; i < 20; i++) {
		expect_answer(w, callers[i], (uint16_t)(100 + i), "0 ra; 192.0.2.1 5; OPT 1232");
		expect_nothing(w, callers[i]);
		close(callers[i]);
	}
	expect_nothing(w, fd);
	finish(w);
}

/* A query that comes back with the case that we gave it ends there, and so does what it is about. */
static void test_loop(void **state)
{
	struct world *w = start(1);
	static struct packet p;
	struct sockaddr_in from;
	int other = caller(SOCK_DGRAM, &w->udp);

	(void)state;
	ask(fd, 1, "a.example.net", WIRE_A, 0);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	send_packet(other, &p); /* the upstream asks us */
	expect_answer(w, other, (uint16_t)(p.data[0] << 8 | p.data[1]), "2 ra");
	assert_false(get_query(w, up[0], &p, &from, 5));
	close(other);
	finish(w);
}

/* The wrong case over UDP is not believed; over TCP it is, and is expected from then on. */
static void test_case_not_kept(void **state)
{
	struct world *w = start(1);
	static struct packet p;
	struct sockaddr_in from;
	uint8_t data[600];
	int conn = -1;
	ssize_t r = -1;

	(void)state;
	ask(fd, 5, "a.example.net", WIRE_A, 0);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	fold_question(&p);
	make_response(&p);
	respond(up[0], &p, &from);
	expect_nothing(w, fd);
	for (int i = 0; i < PATIENCE && r < 0; i++) {
		settle(w);
		if (conn < 0)
			conn = accept4(up_tcp[0], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (conn >= 0)
			r = recv(conn, data, sizeof data, 0);
		poll(NULL, 0, 1);
	}
	assert_true(r > 2);
	p.size = (size_t)r - 2;
	memcpy(p.data, data + 2, p.size);
	fold_question(&p);
	make_response(&p);
	data[1] = (uint8_t)p.size;
	memcpy(data + 2, p.data, p.size);
	assert_int_equal(send(conn, data, p.size + 2, 0), (ssize_t)p.size + 2);
	expect_answer(w, fd, 5, "0 ra; 192.0.2.1 5");
	ask(fd, 6, "bbbbbbbb.example.net", WIRE_A, 0);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	for (size_t i = 12; i < p.size; i++)
		assert_false(isupper(p.data[i]));
	close(conn);
	finish(w);
}

/* Options of the hop stay here, in both directions; others pass. */
static void test_options(void **state)
{
	static const uint8_t all[] = "\0\3\0\0"			     /* NSID */
				     "\0\10\0\7\0\1\x18\0\xc0\0\2"   /* Client Subnet */
				     "\0\12\0\10abcdefgh"	     /* COOKIE */
				     "\xfd\xe9\0\3xyz"		     /* local use */
				     "\0\13\0\0\0\14\0\5\0\0\0\0\0"; /* keepalive, padding */
	static const uint8_t left[] = "\0\10\0\7\0\1\x18\0\xc0\0\2"
				      "\xfd\xe9\0\3xyz";
	struct world *w = start(1);
	static struct packet p;
	struct sockaddr_in from;
	size_t opt;

	(void)state;
	p = make_query(1, "a.example.net", WIRE_A, EDNS);
	opt = p.size - 11;
	p.data[opt + 10] = sizeof all - 1;
	memcpy(p.data + p.size, all, sizeof all - 1);
	p.size += sizeof all - 1;
	send_packet(fd, &p);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	assert_int_equal(p.size, opt + 11 + sizeof left - 1);
	assert_int_equal(p.data[opt + 10], sizeof left - 1);
	assert_memory_equal(p.data + opt + 11, left, sizeof left - 1);
	/* And back. */
	memcpy(p.data + opt + 11, all, sizeof all - 1);
	p.data[opt + 10] = sizeof all - 1;
	p.size = opt + 11 + sizeof all - 1;
	respond_rcode(up[0], &p, &from, 0);
	assert_true(get_packet(w, fd, &p, PATIENCE));
	assert_int_equal(p.size, opt + 11 + sizeof left - 1);
	assert_memory_equal(p.data + opt + 11, left, sizeof left - 1);
	finish(w);
}

static void test_special_names(void **state)
{
	static const struct {
		const char *name;
		uint16_t type;
		const char *answer;
	} kept[] = {
		{ "localhost", WIRE_A, "0 aa ra; 127.0.0.1 10800" },
		{ "www.LocalHost", WIRE_AAAA, "0 aa ra; ::1 10800" },
		{ "localhost", 15, "0 aa ra; SOA 10800" },
		{ "invalid", WIRE_A, "3 aa ra; SOA 10800" },
		{ "a.b.invalid", WIRE_A, "3 aa ra; SOA 10800" },
		{ "x.test", WIRE_A, "3 aa ra; SOA 10800" },
		{ "printer.local", WIRE_A, "3 aa ra; SOA 10800" },
		{ "abc.onion", WIRE_A, "3 aa ra; SOA 10800" },
		{ "home.arpa", 6, "0 aa ra; SOA 10800" },
		{ "x.home.arpa", WIRE_A, "3 aa ra; SOA 10800" },
		{ "4.3.2.10.in-addr.arpa", 12, "3 aa ra; SOA 10800" },
		{ "1.0.16.172.in-addr.arpa", 12, "3 aa ra; SOA 10800" },
		{ "1.0.31.172.in-addr.arpa", 12, "3 aa ra; SOA 10800" },
		{ "1.0.168.192.in-addr.arpa", 12, "3 aa ra; SOA 10800" },
		{ "1.0.64.100.in-addr.arpa", 12, "3 aa ra; SOA 10800" },
		{ "1.0.d.f.ip6.arpa", 12, "3 aa ra; SOA 10800" },
	};
	static const struct {
		const char *name;
		uint16_t type;
	} sent[] = {
		{ "local.example.net", WIRE_A },
		{ "notlocal", WIRE_A },
		{ "arpa", WIRE_A },
		{ "1.0.15.172.in-addr.arpa", 12 },
		{ "1.0.32.172.in-addr.arpa", 12 },
		{ "1.0.169.192.in-addr.arpa", 12 },
		{ "1.0.63.100.in-addr.arpa", 12 },
		{ "home.arpa", 43 }, /* its parent has that */
	};
	struct world *w = start(1);
	static struct packet p;
	struct sockaddr_in from;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		ask(fd, (uint16_t)i, kept[i].name, kept[i].type, 0);
		expect_answer(w, fd, (uint16_t)i, kept[i].answer);
	}
	assert_false(get_query(w, up[0], &p, &from, 5));
	for (size_t i = 0; i < ARRAY_SIZE(sent); i++) {
		ask(fd, 1, sent[i].name, sent[i].type, 0);
		answer_query_of(w, 0, &p);
		expect_answer(w, fd, 1, "0 ra; 192.0.2.1 5");
	}
	tell_service(
		w, (struct service){
			   .id = 2, .ready = true, .names = "www.test", .addresses = "10.0.0.2" });
	ask(fd, 2, "www.test", WIRE_A, 0);
	expect_answer(w, fd, 2, "0 aa ra; 10.0.0.2 60");
	finish(w);
}

static enum special_kind kind_of(const struct special *special, const char *text)
{
	uint8_t name[WIRE_NAME_MAX];
	size_t size = wire_name(name, text);

	return special_find(special, name, size, WIRE_A).kind;
}

static void test_special_forwarded(void **state)
{
	static const char *const some[] = { "10.in-addr.arpa.", "Test", "20.172.in-addr.arpa" };
	static const char *const wrong[] = { "example.org", "172.in-addr.arpa", "", "ALL" };
	struct special *special;
	struct error err;

	(void)state;
	special = special_new(some, ARRAY_SIZE(some), &err);
	assert_non_null(special);
	assert_int_equal(kind_of(special, "1.10.in-addr.arpa"), SPECIAL_NOT);
	assert_int_equal(kind_of(special, "x.test"), SPECIAL_NOT);
	assert_int_equal(kind_of(special, "1.20.172.in-addr.arpa"), SPECIAL_NOT);
	assert_int_equal(kind_of(special, "1.21.172.in-addr.arpa"), SPECIAL_NXDOMAIN);
	assert_int_equal(kind_of(special, "localhost"), SPECIAL_LOCALHOST);
	special_free(special);
	special = special_new((const char *const[]){ "all" }, 1, &err);
	assert_int_equal(kind_of(special, "localhost"), SPECIAL_NOT);
	special_free(special);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct dns_config config = { .forward_special = &wrong[i],
					     .forward_special_count = 1 };

		assert_int_equal(dns_check(&config, &err), -1);
		assert_non_null(strstr(err.text, "forward_special"));
		assert_non_null(strstr(err.text, wrong[i]));
	}
}

static void take_host(struct world *w, const struct sockaddr_in *upstreams, size_t count,
		      const char *allowed)
{
	struct sockaddr_storage list[2] = { 0 };
	struct acl acl = { 0 };
	struct error err;

	for (size_t i = 0; i < count; i++)
		memcpy(&list[i], &upstreams[i], sizeof upstreams[i]);
	assert_int_equal(acl_read(&acl, &allowed, 1, "test", &err), 0);
	assert_int_equal(
		dns_take_host(w->dns,
			      &(struct msg_host){
				      .upstreams = { (uint8_t *)list,
						     (uint32_t)(count * sizeof list[0]) },
				      .allowed_v4 = { (uint8_t *)acl.v4,
						      (uint32_t)(acl.v4_count * sizeof *acl.v4) },
				      .allowed_v6 = { (uint8_t *)acl.v6,
						      (uint32_t)(acl.v6_count * sizeof *acl.v6) } },
			      &err),
		0);
	acl_free(&acl);
}

static void test_who_may(void **state)
{
	struct world *w = start(1);
	static struct packet p;
	struct sockaddr_in from;
	int stream = caller(SOCK_STREAM, &w->tcp);
	uint8_t framed[100];
	ssize_t r = -1;

	(void)state;
	take_host(w, addresses, 1, "192.0.2.0/24");
	ask(fd, 1, "a.example.net", WIRE_A, EDNS);
	expect_answer(w, fd, 1, "5; OPT 1232 ede 18 only names of this server for you");
	ask(fd, 2, "localhost", WIRE_A, 0);
	expect_answer(w, fd, 2, "5");
	ask(fd, 3, "www.example.org", WIRE_A, 0);
	expect_answer(w, fd, 3, "0 aa; 10.0.0.1 60");
	ask(fd, 3, "www.example.org", WIRE_AAAA, 0);
	expect_answer(w, fd, 3, "0 aa; SOA 60");
	p = make_query(4, "a.example.net", WIRE_A, 0);
	framed[0] = 0;
	framed[1] = (uint8_t)p.size;
	memcpy(framed + 2, p.data, p.size);
	assert_int_equal(send(stream, framed, p.size + 2, 0), (ssize_t)p.size + 2);
	for (int i = 0; i < PATIENCE && r < 0; i++) {
		settle(w);
		r = recv(stream, framed, sizeof framed, MSG_DONTWAIT);
		poll(NULL, 0, 1);
	}
	assert_int_equal(framed[5] & 15, 5);
	assert_false(get_query(w, up[0], &p, &from, 5));
	take_host(w, addresses, 1, "127.0.0.0/8");
	ask(fd, 5, "www.example.org", WIRE_A, 0);
	expect_answer(w, fd, 5, "0 aa ra; 10.0.0.1 60");
	assert_int_equal(send(stream, framed, 0, 0), 0);
	ask(fd, 6, "a.example.net", WIRE_A, 0);
	answer_query_of(w, 0, &p);
	expect_answer(w, fd, 6, "0 ra; 192.0.2.1 5");
	/* Nobody to ask: no recursion for anybody. */
	take_host(w, addresses, 0, "any");
	ask(fd, 7, "a.example.net", WIRE_A, EDNS);
	expect_answer(w, fd, 7, "5; OPT 1232 ede 20 ");
	close(stream);
	finish(w);
}

/* A new list takes the old one's place; who is under way goes on with it. */
static void test_new_list(void **state)
{
	struct world *w = start(1);
	static struct packet p;
	struct sockaddr_in from;
	struct error err;

	(void)state;
	ask(fd, 1, "a.example.net", WIRE_A, 0);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	take_host(w, &addresses[1], 1, "any");
	ask(fd, 2, "b.example.net", WIRE_A, 0);
	answer_query_of(w, 1, &p);
	expect_answer(w, fd, 2, "0 ra; 192.0.2.1 5");
	advance(w, FORWARD_RETRY_USEC);
	answer_query_of(w, 1, &p);
	expect_answer(w, fd, 1, "0 ra; 192.0.2.1 5");
	assert_int_equal(
		dns_take_host(w->dns, &(struct msg_host){ .upstreams = { p.data, 5 } }, &err), -1);
	finish(w);
}

static void test_too_long_for_udp(void **state)
{
	struct world *w = start(1);
	static struct packet p;
	struct sockaddr_in from;

	(void)state;
	for (int edns = 0; edns < 2; edns++) {
		ask(fd, 5, edns ? "a.example.net" : "b.example.net", WIRE_A, edns ? EDNS : 0);
		assert_true(get_query(w, up[0], &p, &from, PATIENCE));
		make_response(&p);
		while (p.size < 1300) {
			memcpy(p.data + p.size, p.data + p.size - 16, 16);
			p.size += 16;
			p.data[7]++;
		}
		respond(up[0], &p, &from);
		expect_answer(w, fd, 5, edns ? "0 tc ra; OPT 1232" : "0 tc ra");
	}
	finish(w);
}

static void test_truncated_upstream(void **state)
{
	struct world *w = start(1);
	static struct packet p, f;
	struct sockaddr_in from;
	uint8_t answer[2 + 512];
	int client = caller(SOCK_STREAM, &w->tcp), conn = -1;
	size_t got = 0;

	(void)state;
	/* A client on UDP is told. */
	ask(fd, 5, "a.example.net", WIRE_A, 0);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	make_response(&p);
	p.data[2] |= 2;
	respond(up[0], &p, &from);
	expect_answer(w, fd, 5, "0 tc ra; 192.0.2.1 5");

	/* For one on TCP we ask again. */
	p = make_query(6, "a.example.net", WIRE_A, 0);
	f.data[0] = 0;
	f.data[1] = (uint8_t)p.size;
	memcpy(f.data + 2, p.data, p.size);
	f.size = p.size + 2;
	send_packet(client, &f);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	make_response(&p);
	p.data[2] |= 2;
	respond(up[0], &p, &from);
	for (int i = 0; i < PATIENCE && conn < 0; i++) {
		settle(w);
		conn = accept4(up_tcp[0], NULL, NULL, SOCK_CLOEXEC);
		poll(NULL, 0, 1);
	}
	assert_true(conn >= 0);
	settle(w);
	while (got < f.size) {
		ssize_t r;

		settle(w);
		r = recv(conn, f.data + got, f.size - got, MSG_DONTWAIT);
		if (r > 0)
			got += (size_t)r;
		else
			assert_true(r < 0 && errno == EAGAIN);
	}
	memcpy(p.data, f.data + 2, f.size - 2);
	p.size = f.size - 2;
	make_response(&p);
	f.data[1] = (uint8_t)p.size;
	memcpy(f.data + 2, p.data, p.size);
	f.size = p.size + 2;
	for (size_t i = 0; i < f.size; i++) {
		assert_int_equal(send(conn, f.data + i, 1, MSG_NOSIGNAL), 1);
		settle(w);
	}
	for (got = 0; got < f.size;) {
		ssize_t r;

		settle(w);
		r = recv(client, answer + got, sizeof answer - got, MSG_DONTWAIT);
		if (r > 0)
			got += (size_t)r;
		else
			assert_true(r < 0 && errno == EAGAIN);
	}
	p.size = got - 2;
	memcpy(p.data, answer + 2, p.size);
	assert_string_equal(describe(&p), "0 ra; 192.0.2.1 5");
	assert_int_equal(p.data[1], 6);
	close(conn);
	close(client);
	finish(w);
}

static void test_refused(void **state)
{
	struct world *w = start(1);

	(void)state;
	ask(fd, 1, "a.example.net", WIRE_A, NO_RD);
	expect_answer(w, fd, 1, "5 ra");
	ask(fd, 2, "a.example.net", WIRE_A, NO_RD | EDNS);
	expect_answer(w, fd, 2, "5 ra; OPT 1232 ede 20 ");
	ask(fd, 3, "example.net", WIRE_AXFR, 0);
	expect_answer(w, fd, 3, "5 ra");
	finish(w);
}

static void test_waiting_for_what_is_removed(void **state)
{
	struct world *w = start(1);
	static struct packet p, q, folded;
	struct sockaddr_in from;

	(void)state;
	tell_service(w, (struct service){ 2, false, "down.example.org", "10.0.0.2", 0, 0, 0 });
	q = make_query(9, "down.example.org", WIRE_A, EDNS);
	send_packet(fd, &q);
	expect_heard(w, "want 2;");
	tell(w, forget, 2);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	assert_int_equal(p.size, q.size);
	folded = p;
	fold_question(&folded);
	assert_memory_equal(folded.data + 2, q.data + 2, q.size - 13);
	make_response(&p);
	respond(up[0], &p, &from);
	expect_answer(w, fd, 9, "0 ra; 192.0.2.1 5; OPT 1232");
	finish(w);
}

/* More than may be under way: SERVFAIL at once, but not for another client; and room again when
 * they have ended. One client alone gets half of it. */
static void test_bound(void **state)
{
	enum { MORE = 100 };
	struct world *w = start(1);
	static struct packet p;
	struct sockaddr_in from;
	unsigned failed = 0, sent = 0;
	int other = other_caller(&w->udp);

	(void)state;
	for (unsigned i = 0; i < FORWARD_QUERIES_MAX + MORE; i++) {
		char name[32];

		snprintf(name, sizeof name, "a%u.example.net", i);
		ask(fd, (uint16_t)i, name, WIRE_A, 0);
		settle(w);
		while (get_packet(w, fd, &p, 0))
			failed += (p.data[3] & 15) == 2;
		while (get_query(w, up[0], &p, &from, 0))
			sent++;
	}
	while (get_packet(w, fd, &p, 2))
		failed += (p.data[3] & 15) == 2;
	assert_int_equal(sent, FORWARD_QUERIES_MAX / 2);
	assert_int_equal(failed, FORWARD_QUERIES_MAX / 2 + MORE);
	ask(other, 1, "b.example.net", WIRE_A, 0);
	answer_query_of(w, 0, &p);
	expect_answer(w, other, 1, "0 ra; 192.0.2.1 5");
	for (int i = 0; i < FORWARD_TRIES; i++) {
		advance(w, FORWARD_RETRY_USEC);
		while (get_query(w, up[0], &p, &from, 0))
			;
		while (get_packet(w, fd, &p, 2))
			failed += (p.data[3] & 15) == 2;
	}
	assert_int_equal(failed, FORWARD_QUERIES_MAX + MORE);
	close(other);
	finish(w);
}

static void test_end_with_queries_under_way(void **state)
{
	struct world *w = start(1);
	static struct packet p;
	struct sockaddr_in from;

	(void)state;
	ask(fd, 1, "a.example.net", WIRE_A, 0);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	finish(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_case_is_kept),
		cmocka_unit_test(test_next_on_failure),
		cmocka_unit_test(test_failures_are_remembered),
		cmocka_unit_test(test_failures_table),
		cmocka_unit_test(test_down_and_up),
		cmocka_unit_test(test_only_one_is_gone),
		cmocka_unit_test(test_folded),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_case_not_kept),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_special_names),
		cmocka_unit_test(test_special_forwarded),
		cmocka_unit_test(test_who_may),
		cmocka_unit_test(test_new_list),
		cmocka_unit_test(test_ids_and_ports_differ),
		cmocka_unit_test(test_forged),
		cmocka_unit_test(test_timeout_then_next),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_too_long_for_udp),
		cmocka_unit_test(test_truncated_upstream),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_waiting_for_what_is_removed),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_end_with_queries_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
