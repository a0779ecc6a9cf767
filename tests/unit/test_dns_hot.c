/*
 * hot.c against answer.c and wire.c: two rooms that know the same get the same packets, one of them
 * without hot.c, and have to say the same, byte for byte.
 */
#include "tests/unit/test_dns.h"

#include "dns/answer.h"
#include "dns/hash.h"

#define ROUNDS 30000

enum { SHORT, LONG, WAYS };

static const struct service services[] = {
	{ .id = 1,
	  .ready = true,
	  .names = "www.example.org web.example.org",
	  .addresses = "10.0.0.1 2001:db8::1" },
	{ .id = 2,
	  .ready = true,
	  .names = "pool.example.org",
	  .addresses = "10.0.0.2 10.1.0.2",
	  .ttl = 30 },
	{ .id = 3,
	  .ready = true,
	  .names = "pool.example.org six.example.org",
	  .addresses = "10.0.0.3 2001:db8::3 2001:db8::33 2001:db8::333" },
	{ .id = 4, .ready = true, .names = "*.wild.example.org", .addresses = "10.0.0.4" },
	{ .id = 5, .ready = true, .names = "a.b", .addresses = "10.0.0.5", .ttl = 604800 },
	{ .id = 6, .ready = true, .names = "example.org", .addresses = "10.0.0.6" },
	{ .id = 7, .ready = true, .names = "half.example.org", .addresses = "10.0.0.7" },
	{ .id = 8, .ready = false, .names = "half.example.org", .addresses = "2001:db8::8" },
	{ .id = 9,
	  .ready = true,
	  .names = "",
	  .addresses = "10.0.0.9" }, /* the longest name: see start */
	{ .id = 10, .ready = true, .names = "none.example.org", .addresses = "" },
};
static const char *const names[] = {
	"www.example.org",
	"web.example.org",
	"pool.example.org",
	"six.example.org",
	"a.wild.example.org",
	"a.b",
	"example.org",
	"half.example.org",
	"none.example.org",
	"gone.example.org",
	"org",
	"",
	"ww.example.org",
	"many.example.org",
};
static struct world *worlds[WAYS];
static int fds[WAYS];

/* 40 addresses of one, which a small answer does not hold. */
static void tell_many(struct world *w)
{
	char addresses[1024] = "", one[32];

	for (int i = 0; i < 40; i++) {
		snprintf(one, sizeof one, "%s10.2.0.%d", i ? " " : "", i);
		strcat(addresses, one);
	}
	tell_service(w, (struct service){ 20, true, "many.example.org", addresses, 0, 0, 0 });
}

static void start_with(const struct dns_settings *settings)
{
	struct service fixed[ARRAY_SIZE(services)];
	static char longest[300];

	memcpy(fixed, services, sizeof services);
	/* 63, 63, 63 and 61 bytes. */
	for (int i = 0; i < 4; i++)
		snprintf(longest + i * 64, sizeof longest - (size_t)i * 64, "%0*d.",
			 i < 3 ? 63 : 61, 0);
	longest[strlen(longest) - 1] = '\0';
	fixed[8].names = longest;
	for (int way = 0; way < WAYS; way++) {
		worlds[way] = world_new_full(NULL, 0, settings, way == LONG);
		tell_table(worlds[way], fixed, ARRAY_SIZE(fixed));
		tell_many(worlds[way]);
		fds[way] = caller(SOCK_DGRAM, &worlds[way]->udp);
	}
}

static void start(void)
{
	start_with(NULL);
}

static void finish(void)
{
	for (int way = 0; way < WAYS; way++) {
		close(fds[way]);
		world_free(worlds[way]);
	}
}

static uint32_t below(uint32_t bound)
{
	return (uint32_t)random() % bound;
}

static void add(struct packet *p, const void *data, size_t size)
{
	memcpy(p->data + p->size, data, size);
	p->size += size;
}

static void add16(struct packet *p, unsigned value)
{
	add(p, (uint8_t[]){ (uint8_t)(value >> 8), (uint8_t)value }, 2);
}

static void add_opt(struct packet *p)
{
	static const uint16_t payloads[] = { 0, 100, 511, 512, 513, 600, 1232, 1233, 4096, 65535 };
	static const uint16_t options[] = { 8, 12, 10, 3, 11, 65001 };
	size_t length_at;

	p->data[11] = 1;
	add(p, "\0\0\51", 3);
	add16(p, payloads[below(ARRAY_SIZE(payloads))]);
	add16(p, below(20) ? 0 : below(65536));
	add16(p, below(4) ? 0 : below(2) ? 0x8000 : below(65536));
	length_at = p->size;
	add16(p, 0);
	for (uint32_t i = below(4); i == 3; i = below(4)) {
		unsigned option = options[below(below(2) ? 3 : ARRAY_SIZE(options))];
		unsigned length = option == 10 && below(4) ? 8 + 16 * below(2) : below(45);

		add16(p, option);
		add16(p, length + (below(30) == 0));
		memset(p->data + p->size, (int)below(256), length);
		p->size += length;
	}
	p->data[length_at] = (uint8_t)((p->size - length_at - 2) >> 8);
	p->data[length_at + 1] = (uint8_t)(p->size - length_at - 2);
}

static struct packet random_packet(uint16_t id)
{
	static const uint16_t types[] = { 1, 1, 1, 1, 28, 28, 65, 16, 255, 6 };
	uint16_t type = types[below(ARRAY_SIZE(types))];
	struct packet p =
		make_query(id, names[below(ARRAY_SIZE(names))], type, below(3) ? 0 : NO_RD);

	if (below(60) == 0) { /* the longest name */
		p = make_query(id, "", type, 0);
		p.size = 12;
		for (int i = 0; i < 4; i++) {
			p.data[p.size++] = i < 3 ? 63 : 61;
			memset(p.data + p.size, '0', 63);
			p.size += i < 3 ? 63 : 61;
		}
		add(&p, "\0\0\1\0\1", 5);
	}
	for (size_t i = 12; i + 5 < p.size; i++)
		if (p.data[i] >= 'a' && p.data[i] <= 'z' && below(3) == 0)
			p.data[i] ^= 0x20;
	p.data[3] = (uint8_t)(below(3) ? 0u : below(2) ? 0x10u << below(2) : below(256));
	if (below(20) == 0)
		p.data[2] = (uint8_t)below(256);
	if (below(3))
		add_opt(&p);
	if (below(40) == 0)
		add(&p, "garbage", 1 + below(7));
	if (below(40) == 0)
		p.size -= below((uint32_t)p.size);
	if (below(10) == 0)
		p.data[2 + below((uint32_t)p.size > 2 ? (uint32_t)p.size - 2 : 1)] =
			(uint8_t)below(256);
	if (below(40) == 0)
		p.data[2 + below((uint32_t)p.size > 2 ? (uint32_t)p.size - 2 : 1)] ^=
			(uint8_t)(1u << below(8));
	return p;
}

static void show(const char *what, const struct packet *p)
{
	printf("%s:", what);
	for (size_t i = 0; i < p->size; i++)
		printf(" %02x", p->data[i]);
	printf("\n");
}

static void compare(const struct dns_settings *settings)
{
	static struct packet query, answers[WAYS];
	unsigned said = 0;

	start_with(settings);
	for (unsigned i = 0; i < ROUNDS; i++) {
		bool got[WAYS];

		time_t second = time(NULL);

		query = random_packet((uint16_t)i);
		for (int way = 0; way < WAYS; way++) {
			send_packet(fds[way], &query);
			got[way] = get_packet(worlds[way], fds[way], &answers[way], 0);
		}
		/* Loopback is quick, not instant. */
		if (got[SHORT] != got[LONG]) {
			int late = got[SHORT] ? LONG : SHORT;

			got[late] = get_packet(worlds[late], fds[late], &answers[late], PATIENCE);
		}
		said += got[LONG];
		if (got[SHORT] == got[LONG] &&
		    (!got[LONG] ||
		     (answers[SHORT].size == answers[LONG].size &&
		      memcmp(answers[SHORT].data, answers[LONG].data, answers[LONG].size) == 0)))
			continue;
		if (settings && time(NULL) != second) /* in which a cookie is made shows in it */
			continue;
		show("query", &query);
		for (int way = 0; way < WAYS; way++)
			if (got[way])
				show(way == SHORT ? "short" : "long", &answers[way]);
		fail_msg("round %u: not the same", i);
	}
	settle(worlds[SHORT]);
	settle(worlds[LONG]);
	assert_string_equal(worlds[SHORT]->log, worlds[LONG]->log);
	for (uint32_t id = 0; id < 32; id++)
		assert_int_equal(worlds[SHORT]->usage[id].queries, worlds[LONG]->usage[id].queries);
	print_message("%u packets, %u answers, %llu of them the short way\n", ROUNDS, said,
		      (unsigned long long)worlds[SHORT]->dns->hot.answered);
	assert_true(worlds[SHORT]->dns->hot.answered > ROUNDS / 8);
	assert_int_equal(worlds[LONG]->dns->hot.answered, 0);
	finish();
}

static void test_same_bytes(void **state)
{
	(void)state;
	compare(NULL);
}

static void test_same_bytes_with_cookies(void **state)
{
	struct dns_settings settings = { .cookies = { .enabled = true, .given = 1 } };

	(void)state;
	compare(&settings);
}

/* A cookie that came back opens the door that the rate limit has shut. */
static void test_proven(void **state)
{
	struct dns_settings settings = { .cookies = { .enabled = true, .given = 1 }, .rate = 1 };
	static struct packet q, p;
	uint64_t answered;
	struct world *w;

	(void)state;
	start_with(&settings);
	w = worlds[SHORT];
	q = make_query(1, "www.example.org", WIRE_A, EDNS);
	q.data[q.size - 1] = 12;
	add(&q, "\0\12\0\10client!!", 12);
	send_packet(fds[SHORT], &q);
	assert_true(get_packet(w, fds[SHORT], &p, PATIENCE));
	assert_int_equal(w->dns->hot.answered, 1);
	assert_int_equal(p.data[7], 1);
	/* Its last 28 bytes are the option to be shown from now on. */
	q.data[q.size - 13] = 28;
	q.size -= 12;
	add(&q, p.data + p.size - 28, 28);
	for (int i = 0; i < 20; i++) {
		send_packet(fds[SHORT], &q);
		assert_true(get_packet(w, fds[SHORT], &p, PATIENCE));
		assert_int_equal(p.data[7], 1);
	}
	assert_int_equal(w->dns->hot.answered, 21);
	/* Without it the rate ends after a few. */
	for (int i = 0; i < 20; i++)
		ask(fds[SHORT], 2, "www.example.org", WIRE_A, 0);
	while (get_packet(w, fds[SHORT], &p, 20))
		assert_true(p.data[7] == 1 || p.data[2] & 2);
	answered = w->dns->hot.answered;
	assert_true(answered > 21 && answered < 30);
	finish();
}

/* Many at once, hot or not, from two clients, at one of many addresses: each gets its own. */
static void test_batches(void **state)
{
	static struct packet p;
	struct world *w;
	int two;

	(void)state;
	start();
	w = worlds[SHORT];
	w->any.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	two = caller(SOCK_DGRAM, &w->any);
	for (int round = 0; round < 20; round++) {
		unsigned count = 1 + below(200), seen = 0;

		for (unsigned i = 0; i < count; i++) {
			ask(fds[SHORT], (uint16_t)i, i % 3 ? "WWW.example.org" : "org", WIRE_A,
			    i % 5 ? EDNS : 0);
			ask(two, (uint16_t)i, i % 7 ? "a.b" : "b", WIRE_A, 0);
		}
		for (unsigned i = 0; i < count; i++) {
			assert_true(get_packet(w, fds[SHORT], &p, PATIENCE));
			seen = (unsigned)(p.data[0] << 8 | p.data[1]);
			assert_string_equal(describe(&p),
					    seen % 3   ? (seen % 5 ? "0 aa; 10.0.0.1 60; OPT 1232"
								   : "0 aa; 10.0.0.1 60")
					    : seen % 5 ? "5; OPT 1232 ede 20 "
						       : "5");
			assert_true(get_packet(w, two, &p, PATIENCE));
			seen = (unsigned)(p.data[0] << 8 | p.data[1]);
			assert_string_equal(describe(&p), seen % 7 ? "0 aa; 10.0.0.5 604800" : "5");
		}
		expect_nothing(w, fds[SHORT]);
		expect_nothing(w, two);
	}
	close(two);
	finish();
}

static void test_asleep(void **state)
{
	struct world *w;

	(void)state;
	start();
	w = worlds[SHORT];
	ask(fds[SHORT], 1, "half.example.org", WIRE_A, 0);
	expect_answer(w, fds[SHORT], 1, "0 aa; 10.0.0.7 60");
	assert_int_equal(w->dns->hot.answered, 1);
	tell(w, retire, 7);
	expect_heard(w, "retired 7;");
	ask(fds[SHORT], 2, "half.example.org", WIRE_A, 0);
	expect_heard(w, "want 7;");
	expect_nothing(w, fds[SHORT]);
	tell(w, ready, 7);
	expect_answer(w, fds[SHORT], 2, "0 aa; 10.0.0.7 60");
	expect_heard(w, "answered 7 1;");
	assert_int_equal(w->dns->hot.answered, 1);
	finish();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_bytes), cmocka_unit_test(test_same_bytes_with_cookies),
		cmocka_unit_test(test_proven),	   cmocka_unit_test(test_batches),
		cmocka_unit_test(test_asleep),
	};

	srandom(17);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
