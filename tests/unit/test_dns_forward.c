/* What is not ours: upstream and back. */
#include "tests/unit/test_forward.h"

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
		cmocka_unit_test(test_folded),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_case_not_kept),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_who_may),
		cmocka_unit_test(test_ids_and_ports_differ),
		cmocka_unit_test(test_forged),
		cmocka_unit_test(test_too_long_for_udp),
		cmocka_unit_test(test_truncated_upstream),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_waiting_for_what_is_removed),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_end_with_queries_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
