/* What is said at once: answers, NODATA, refusals, EDNS, garbage. */
#include "tests/unit/test_dns.h"

static int fd;

static struct world *start_way(bool long_way)
{
	static const struct service services[] = {
		{ .id = 1,
		  .ready = true,
		  .names = "www.example.org web.example.org",
		  .addresses = "10.0.0.1 2001:db8::1" },
		{ .id = 2,
		  .ready = true,
		  .names = "pool.example.org",
		  .addresses = "10.0.0.2",
		  .ttl = 30 },
		{ .id = 3, .ready = true, .names = "pool.example.org", .addresses = "10.0.0.3" },
		{ .id = 4, .ready = true, .names = "*.wild.example.org", .addresses = "10.0.0.4" },
		{ .id = 5, .ready = true, .names = "b.c.wild.example.org", .addresses = "10.0.0.5" },
		{ .id = 6,
		  .ready = true,
		  .names = "both.example.org",
		  .addresses = "10.0.0.6 2001:db8::6" },
		{ .id = 7,
		  .ready = true,
		  .names = "both.example.org",
		  .addresses = "10.0.0.7 2001:db8::7" },
	};
	struct world *w = world_new_way(NULL, 0, long_way);

	tell_table(w, services, ARRAY_SIZE(services));
	fd = caller(SOCK_DGRAM, &w->udp);
	return w;
}

static struct world *start(void)
{
	return start_way(false);
}

static void finish(struct world *w)
{
	close(fd);
	world_free(w);
}

static void expect(struct world *w, const char *name, uint16_t type, int flags, const char *text)
{
	static uint16_t id = 1000;

	ask(fd, ++id, name, type, flags);
	expect_answer(w, fd, id, text);
}

static void test_nothing_is_read_before_the_table(void **state)
{
	struct world *w = world_new(NULL, 0);

	(void)state;
	fd = caller(SOCK_DGRAM, &w->udp);
	ask(fd, 1, "www.example.org", WIRE_A, 0);
	expect_nothing(w, fd);
	tell_table(w, NULL, 0);
	expect_answer(w, fd, 1, "5");
	finish(w);
}

static void test_answers(void **state)
{
	struct world *w = start();

	(void)state;
	expect(w, "www.example.org", WIRE_A, 0, "0 aa; 10.0.0.1 60");
	expect(w, "web.example.org", WIRE_AAAA, 0, "0 aa; 2001:db8::1 60");
	expect(w, "WwW.eXaMpLe.ORG", WIRE_A, NO_RD, "0 aa; 10.0.0.1 60");
	expect(w, "pool.example.org", WIRE_A, 0, "0 aa; 10.0.0.2 30; 10.0.0.3 30");
	expect(w, "pool.example.org", WIRE_A, 0, "0 aa; 10.0.0.3 30; 10.0.0.2 30");
	expect(w, "pool.example.org", WIRE_AAAA, 0, "0 aa; SOA 30");
	expect(w, "www.example.org", 65, 0, "0 aa; SOA 60");
	expect(w, "www.example.org", WIRE_ANY, 0, "0 aa; TYPE13");
	expect(w, "www.example.org", WIRE_AXFR, 0, "5");
	expect(w, "example.org", WIRE_A, 0, "5");
	expect(w, "org", WIRE_A, EDNS, "5; OPT 1232 ede 20 ");
	expect(w, "", 2, 0, "5");
	expect_heard(w, "");
	finish(w);
}

/* Resolvers ask for both families, one after the other: each takes turns by itself. */
static void test_turns_of_both_families(void **state)
{
	static const struct {
		uint16_t type;
		const char *answers[2];
	} families[] = {
		{ WIRE_A, { "0 aa; 10.0.0.6 60; 10.0.0.7 60", "0 aa; 10.0.0.7 60; 10.0.0.6 60" } },
		{ WIRE_AAAA,
		  { "0 aa; 2001:db8::6 60; 2001:db8::7 60",
		    "0 aa; 2001:db8::7 60; 2001:db8::6 60" } },
	};

	(void)state;
	for (int way = 0; way < 2; way++) {
		struct world *w = start_way(way);

		for (int round = 0; round < 100; round++)
			for (size_t i = 0; i < ARRAY_SIZE(families); i++)
				expect(w, "both.example.org", families[i].type, 0,
				       families[i].answers[round % 2]);
		finish(w);
	}
}

/* Asked at one of many addresses, it answers from that one: others would not be taken. */
static void test_source_address(void **state)
{
	struct world *w = start();
	int two, three;

	(void)state;
	tell_service(w, (struct service){ 9, false, "down.example.org", "10.0.0.9", 0, 0, 0 });
	w->any.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	two = caller(SOCK_DGRAM, &w->any);
	w->any.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 2);
	three = caller(SOCK_DGRAM, &w->any);
	ask(two, 1, "www.example.org", WIRE_A, 0);
	expect_answer(w, two, 1, "0 aa; 10.0.0.1 60");
	ask(three, 2, "down.example.org", WIRE_A, 0);
	ask(fd, 3, "down.example.org", WIRE_A, 0);
	expect_heard(w, "want 9;");
	ask(two, 4, "down.example.org", WIRE_A, 0);
	settle(w);
	tell(w, ready, 9);
	expect_answer(w, three, 2, "0 aa; 10.0.0.9 60");
	expect_answer(w, fd, 3, "0 aa; 10.0.0.9 60");
	expect_answer(w, two, 4, "0 aa; 10.0.0.9 60");
	close(two);
	close(three);
	finish(w);
}

static void test_wildcards(void **state)
{
	struct world *w = start();

	(void)state;
	expect(w, "a.wild.example.org", WIRE_A, 0, "0 aa; 10.0.0.4 60");
	expect(w, "x.y.wild.example.org", WIRE_A, 0, "0 aa; 10.0.0.4 60");
	expect(w, "x.wild.example.org", WIRE_AAAA, 0, "0 aa; SOA 60");
	expect(w, "b.c.wild.example.org", WIRE_A, 0, "0 aa; 10.0.0.5 60");
	/* RFC 4592: below or at a name that exists, empty or not, the wildcard is not asked. */
	expect(w, "c.wild.example.org", WIRE_A, 0, "5");
	expect(w, "a.c.wild.example.org", WIRE_A, 0, "5");
	expect(w, "a.b.c.wild.example.org", WIRE_A, 0, "5");
	expect(w, "wild.example.org", WIRE_A, 0, "5");
	tell(w, forget, 5);
	expect(w, "a.b.c.wild.example.org", WIRE_A, 0, "0 aa; 10.0.0.4 60");
	tell(w, forget, 4);
	expect(w, "a.wild.example.org", WIRE_A, 0, "5");
	finish(w);
}

static void test_case_and_soa(void **state)
{
	struct packet q = make_query(7, "WwW.eXaMpLe.oRg", 16, 0), p;
	static const uint8_t zone[] = "\007example\003org";
	struct world *w = start();
	size_t at;

	(void)state;
	send_packet(fd, &q);
	assert_true(get_packet(w, fd, &p, PATIENCE));
	assert_memory_equal(p.data + 12, q.data + 12, q.size - 12);
	/* The SOA's owner: a pointer to the question's second label. */
	assert_int_equal(p.data[q.size], 0xc0);
	at = p.data[q.size + 1];
	assert_int_equal(at, 12 + 4);
	assert_int_equal(strncasecmp((const char *)p.data + at, (const char *)zone, sizeof zone),
			 0);
	finish(w);
}

static void test_edns(void **state)
{
	struct world *w = start();

	(void)state;
	expect(w, "www.example.org", WIRE_A, EDNS, "0 aa; 10.0.0.1 60; OPT 1232");
	expect(w, "www.example.org", WIRE_A, EDNS | WITH_DO, "0 aa; 10.0.0.1 60; OPT 1232 do");
	expect(w, "www.example.org", WIRE_A, EDNS_V1, "0; OPT 1232 rcode+16");
	finish(w);
}

static void test_truncation(void **state)
{
	static char many[2048];
	struct world *w = start();

	(void)state;
	for (int i = 0; i < 60; i++)
		snprintf(many + strlen(many), sizeof many - strlen(many), "10.1.0.%d ", i);
	tell_service(w, (struct service){ 9, true, "many.example.org", many, 0, 0, 0 });
	expect(w, "many.example.org", WIRE_A, 0, "0 aa tc");
	ask(fd, 5, "many.example.org", WIRE_A, EDNS);
	{
		struct packet p;

		assert_true(get_packet(w, fd, &p, PATIENCE));
		assert_int_equal(p.data[7], 60);
		assert_int_equal(p.data[2] & 2, 0);
		assert_true(p.size <= 1232);
	}
	finish(w);
}

/* 1232 bytes at most, whatever the client says that it takes (4096 here), on both ways. */
static void test_largest(void **state)
{
	static char many[2048];
	static struct packet p;

	(void)state;
	for (int way = 0; way < 2; way++) {
		struct world *w = start_way(way);

		many[0] = '\0';
		for (int i = 0; i < 75; i++) {
			if (i == 74) {
				tell_service(w, (struct service){ 9, true, "fits.example.org", many,
								  0, 0, 0 });
				ask(fd, 5, "fits.example.org", WIRE_A, EDNS);
				assert_true(get_packet(w, fd, &p, PATIENCE));
				assert_int_equal(p.data[7], 74);
				assert_int_equal(p.data[2] & 2, 0);
				assert_true(p.size > 1232 - 16 && p.size <= 1232);
			}
			snprintf(many + strlen(many), sizeof many - strlen(many), "%s10.1.0.%d",
				 i ? " " : "", i);
		}
		tell_service(w, (struct service){ 10, true, "over.example.org", many, 0, 0, 0 });
		expect(w, "over.example.org", WIRE_A, EDNS, "0 aa tc; OPT 1232");
		finish(w);
	}
}

static void test_usage(void **state)
{
	struct world *w = start();
	uint64_t now = loop_now(w->loop);

	(void)state;
	expect(w, "www.example.org", WIRE_A, 0, "0 aa; 10.0.0.1 60");
	advance(w, USEC_PER_SEC);
	expect(w, "www.example.org", 65, 0, "0 aa; SOA 60");
	expect(w, "pool.example.org", WIRE_A, 0, "0 aa; 10.0.0.2 30; 10.0.0.3 30");
	assert_int_equal(w->usage[1].queries, 2);
	assert_int_equal(w->usage[1].last_query, now + USEC_PER_SEC);
	assert_int_equal(w->usage[2].queries, 1);
	assert_int_equal(w->usage[3].queries, 1);
	assert_int_equal(w->usage[4].queries, 0);
	finish(w);
}

static void test_odd_packets(void **state)
{
	static const struct {
		const char *what;
		size_t at;
		uint8_t value;
		const char *answer; /* NULL: none */
	} odd[] = {
		{ "a response", 2, 0x81, NULL },
		{ "opcode IQUERY", 2, 0x08, "4" },
		{ "opcode STATUS", 2, 0x10, "4" },
		{ "opcode NOTIFY", 2, 0x20, "5" },
		{ "opcode UPDATE", 2, 0x28, "5" },
		{ "opcode DSO", 2, 0x30, "4" },
		{ "opcode 15", 2, 0x78, "4" },
		{ "no question", 5, 0, "1" },
		{ "two questions", 5, 2, "1" },
		{ "an answer that is not there", 7, 1, "1" },
		{ "class CH", 32, 3, "5" },
		{ "TC, AD, CD and Z set", 3, 0x70, "0 aa; 10.0.0.1 60" },
	};
	struct world *w = start();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		struct packet p = make_query((uint16_t)i, "www.example.org", WIRE_A, 0);

		assert_int_equal(p.size, 33);
		p.data[odd[i].at] = odd[i].value;
		send_packet(fd, &p);
		if (odd[i].answer)
			expect_answer(w, fd, (uint16_t)i, odd[i].answer);
		else
			expect_nothing(w, fd);
	}
	finish(w);
}

/* Every truncation and every change of one byte to every value: a response or silence, and the
 * room answers as before. */
static void test_garbage(void **state)
{
	const struct packet good = make_query(7, "www.example.org", WIRE_A, EDNS);
	struct world *w = start();
	static struct packet p, answer;
	unsigned answered = 0;

	(void)state;
	for (size_t size = 0; size < good.size; size++) {
		p = good;
		p.size = size;
		send_packet(fd, &p);
		settle(w);
	}
	p = good;
	p.data[p.size++] = 0;
	send_packet(fd, &p);
	for (size_t at = 0; at < good.size; at++) {
		for (unsigned value = 0; value < 256; value++) {
			p = good;
			p.data[at] = (uint8_t)value;
			send_packet(fd, &p);
			settle(w);
			while (get_packet(w, fd, &answer, 0)) {
				describe(&answer);
				answered++;
			}
		}
	}
	assert_true(answered > good.size * 256 / 2);
	while (get_packet(w, fd, &answer, 2))
		;
	expect(w, "www.example.org", WIRE_A, 0, "0 aa; 10.0.0.1 60");
	finish(w);
}

static void test_many_names(void **state)
{
	enum { COUNT = 20000 };
	struct world *w = start();
	char name[64], address[32];
	struct packet p;

	(void)state;
	for (uint32_t i = 0; i < COUNT; i++) {
		snprintf(name, sizeof name, "n%u.zone%u.example", i, i % 7);
		snprintf(address, sizeof address, "10.1.%u.%u", i / 256, i % 256);
		tell_service(w, (struct service){ 100 + i, true, name, address, 0, 0, 0 });
	}
	for (uint32_t i = 0; i < COUNT; i += 2)
		tell(w, forget, 100 + i);
	for (uint32_t i = 0; i < COUNT; i += 17) {
		snprintf(name, sizeof name, "n%u.zone%u.example", i, i % 7);
		ask(fd, (uint16_t)i, name, WIRE_A, 0);
		assert_true(get_packet(w, fd, &p, PATIENCE));
		assert_int_equal(p.data[3] & 15, i % 2 ? 0 : 5);
		if (i % 2)
			assert_int_equal(p.data[p.size - 1], i % 256);
	}
	finish(w);
}

static void test_bad_messages(void **state)
{
	static uint8_t bad_name[] = { 64, 'x', 0 }, bad_address[] = { 5, 1, 2, 3, 4 };
	struct world *w = start();

	(void)state;
	tell(w, service, .id = 1, .names = { bad_name, sizeof bad_name });
	tell(w, service, .id = 1, .addresses = { bad_address, sizeof bad_address });
	tell(w, service, .id = USAGE_SLOTS);
	tell(w, ready, 77);
	tell(w, table_end, 0);
	tell(w, forget, 77);
	expect(w, "www.example.org", WIRE_A, 0, "0 aa; 10.0.0.1 60");
	link_send(w->engine, "\377", 1);
	expect_heard(w, "closed;");
	expect(w, "www.example.org", WIRE_A, 0, "0 aa; 10.0.0.1 60");
	finish(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_read_before_the_table),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_turns_of_both_families),
		cmocka_unit_test(test_source_address),
		cmocka_unit_test(test_wildcards),
		cmocka_unit_test(test_case_and_soa),
		cmocka_unit_test(test_edns),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_odd_packets),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_many_names),
		cmocka_unit_test(test_bad_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
