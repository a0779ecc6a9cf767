/* What is not ours: upstream and back, with upstreams played by hand. */
#include "dns/forward.h"

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
	assert_int_equal(sendto(from_fd, p->data, p->size, 0, (const struct sockaddr *)to,
				sizeof *to),
			 (ssize_t)p->size);
}

static void test_there_and_back(void **state)
{
	struct world *w = start(1);
	static struct packet p, q;
	struct sockaddr_in from;

	(void)state;
	q = make_query(4242, "WwW.Example.NET", 64000, EDNS | WITH_DO);
	send_packet(fd, &q);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	/* As received, but for the ID. */
	assert_int_equal(p.size, q.size);
	assert_memory_equal(p.data + 2, q.data + 2, q.size - 2);
	make_response(&p);
	p.data[13] = 'w'; /* an upstream that does not keep the case: we do */
	respond(up[0], &p, &from);
	assert_true(get_packet(w, fd, &p, PATIENCE));
	assert_string_equal(describe(&p), "0 ra; 192.0.2.1 5");
	assert_memory_equal(p.data, q.data, 2);
	assert_memory_equal(p.data + 12, q.data + 12, 17 + 4);
	ask(fd, 1, "www.example.org", WIRE_A, 0);
	expect_answer(w, fd, 1, "0 aa ra; 10.0.0.1 60");
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
		ask(fd, 7, "a.example.net", WIRE_A, 0);
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
	for (size_t size = 0; size < 31; size++) {
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
	advance(w, FORWARD_TIMEOUT_USEC - 1);
	assert_false(get_query(w, up[1], &p, &from, 2));
	advance(w, 1);
	assert_true(get_query(w, up[1], &p, &from, PATIENCE));
	make_response(&late);
	respond(up[0], &late, &late_to);
	expect_nothing(w, fd);
	make_response(&p);
	respond(up[1], &p, &from);
	expect_answer(w, fd, 5, "0 ra; 192.0.2.1 5");
	expect_nothing(w, fd);

	ask(fd, 6, "a.example.net", WIRE_A, EDNS);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	advance(w, FORWARD_TIMEOUT_USEC);
	assert_true(get_query(w, up[1], &p, &from, PATIENCE));
	advance(w, FORWARD_TIMEOUT_USEC);
	expect_answer(w, fd, 6, "2 ra; OPT 1232 ede 22 no upstream answered");
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

static void test_too_long_for_udp(void **state)
{
	struct world *w = start(1);
	static struct packet p;
	struct sockaddr_in from;

	(void)state;
	for (int edns = 0; edns < 2; edns++) {
		ask(fd, 5, "a.example.net", WIRE_A, edns ? EDNS : 0);
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
	static struct packet p, q;
	struct sockaddr_in from;

	(void)state;
	tell_service(w, (struct service){ 2, false, "down.example.org", "10.0.0.2", 0, 0, 0 });
	q = make_query(9, "down.example.org", WIRE_A, EDNS);
	send_packet(fd, &q);
	expect_heard(w, "want 2;");
	tell(w, forget, 2);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	assert_int_equal(p.size, q.size);
	assert_memory_equal(p.data + 2, q.data + 2, q.size - 2);
	make_response(&p);
	respond(up[0], &p, &from);
	expect_answer(w, fd, 9, "0 ra; 192.0.2.1 5");
	finish(w);
}

/* More than may be under way: SERVFAIL at once, and room again when they have ended. */
static void test_bound(void **state)
{
	enum { MORE = 100 };
	struct world *w = start(1);
	static struct packet p;
	struct sockaddr_in from;
	unsigned failed = 0;

	(void)state;
	for (unsigned i = 0; i < FORWARD_QUERIES_MAX + MORE; i++) {
		ask(fd, (uint16_t)i, "a.example.net", WIRE_A, 0);
		settle(w);
	}
	while (get_packet(w, fd, &p, 2))
		failed += (p.data[3] & 15) == 2;
	assert_true(failed >= MORE); /* fewer descriptors than queries fail too */
	advance(w, FORWARD_TIMEOUT_USEC);
	while (get_packet(w, fd, &p, 2))
		failed += (p.data[3] & 15) == 2;
	assert_int_equal(failed, FORWARD_QUERIES_MAX + MORE);
	while (get_query(w, up[0], &p, &from, 0))
		;
	ask(fd, 5, "b.example.net", WIRE_A, 0);
	assert_true(get_query(w, up[0], &p, &from, PATIENCE));
	make_response(&p);
	respond(up[0], &p, &from);
	expect_answer(w, fd, 5, "0 ra; 192.0.2.1 5");
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
