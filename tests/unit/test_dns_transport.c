/*
 * What comes with a query and around it: EDNS options, cookies, the limits on client networks, the
 * bound on wakes, extended errors, connections.
 */
#include "dns/tcp.h"
#include "dns/wire_cookie.h"

#include "tests/unit/test_dns.h"

#define UP	"0 aa; 10.0.0.1 60"
#define UP_EDNS UP "; OPT 1232"

static struct dns_settings settings;

static struct world *start(struct dns_texts texts)
{
	static const struct service services[] = {
		{ .id = 1, .ready = true, .names = "up.example.org", .addresses = "10.0.0.1" },
		{ .id = 2, .names = "down.example.org", .addresses = "10.0.0.2" },
	};
	struct error err = { 0 };
	struct world *w;

	if (dns_settings_read(&settings, &texts, &err) < 0)
		fail_msg("%s", err.text);
	w = world_new_with(NULL, 0, &settings);
	tell_table(w, services, ARRAY_SIZE(services));
	return w;
}

static void finish(struct world *w)
{
	world_free(w);
	dns_settings_free(&settings);
}

/* A client of 127.0.n.1: each n is a network. */
static int client_of(const struct world *w, int type, unsigned n)
{
	const struct sockaddr_in *server = type == SOCK_DGRAM ? &w->udp : &w->tcp;
	struct sockaddr_in from = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(0x7f000001 | n << 8) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)server, sizeof *server), 0);
	return fd;
}

/* With these options in its OPT record. */
static struct packet query_with(uint16_t id, const char *name, const uint8_t *options, size_t size)
{
	struct packet p = make_query(id, name, WIRE_A, EDNS);

	p.data[p.size - 2] = (uint8_t)(size >> 8);
	p.data[p.size - 1] = (uint8_t)size;
	memcpy(p.data + p.size, options, size);
	p.size += size;
	return p;
}

static void ask_with(int fd, uint16_t id, const char *name, const uint8_t *options, size_t size)
{
	struct packet p = query_with(id, name, options, size);

	send_packet(fd, &p);
}

/* A COOKIE option: that of the client 1..8, and `server` bytes after it. */
static size_t cookie_option(uint8_t *out, const uint8_t *server, size_t size)
{
	static const uint8_t client[] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	out[0] = 0;
	out[1] = 10;
	out[2] = 0;
	out[3] = (uint8_t)(sizeof client + size);
	memcpy(out + 4, client, sizeof client);
	if (size)
		memcpy(out + 4 + sizeof client, server, size);
	return 4 + sizeof client + size;
}

/* The cookie that an answer ends with. */
static const uint8_t *cookie_in(const struct packet *p)
{
	return p->data + p->size - WIRE_COOKIE_SIZE;
}

/* Asks for a cookie and makes the option that shows it. */
static size_t get_cookie(struct world *w, int fd, uint8_t *option)
{
	static struct packet p;
	size_t size = cookie_option(option, NULL, 0);

	ask_with(fd, 99, "up.example.org", option, size);
	assert_true(get_packet(w, fd, &p, PATIENCE));
	assert_string_equal(describe(&p), UP_EDNS " cookie 24");
	assert_memory_equal(cookie_in(&p), option + 4, 8);
	return cookie_option(option, cookie_in(&p) + 8, 16);
}

static void test_options(void **state)
{
	static const uint8_t unknown[] = { 0xfd, 0xe8, 0, 3, 1, 2, 3 };
	static const uint8_t subnet[] = { 0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2 };
	static const uint8_t nsid[] = { 0, 3, 0, 0 };
	static const uint8_t keepalive[] = { 0, 11, 0, 0 };
	static const uint8_t padding[] = { 0, 12, 0, 4, 0, 0, 0, 0 };
	static const uint8_t cut[] = { 0, 3, 0, 9, 1 };
	struct world *w = start((struct dns_texts){ .identity = "ns-a" });
	int fd = caller(SOCK_DGRAM, &w->udp);

	(void)state;
	ask_with(fd, 1, "up.example.org", unknown, sizeof unknown);
	expect_answer(w, fd, 1, UP_EDNS);
	ask_with(fd, 2, "up.example.org", subnet, sizeof subnet);
	expect_answer(w, fd, 2, UP_EDNS);
	ask_with(fd, 3, "up.example.org", nsid, sizeof nsid);
	expect_answer(w, fd, 3, UP_EDNS " nsid ns-a");
	ask_with(fd, 4, "up.example.org", keepalive, sizeof keepalive);
	expect_answer(w, fd, 4, UP_EDNS); /* RFC 7828, 3.2.1: not over UDP */
	ask_with(fd, 5, "up.example.org", padding, sizeof padding);
	expect_answer(w, fd, 5, UP_EDNS);
	ask_with(fd, 6, "up.example.org", cut, sizeof cut);
	expect_answer(w, fd, 6, "1");
	close(fd);
	finish(w);
}

static void test_opt_twice(void **state)
{
	static const uint8_t opt[] = { 0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0 };
	struct packet p = make_query(1, "up.example.org", WIRE_A, EDNS);
	struct world *w = start((struct dns_texts){ 0 });
	int fd = caller(SOCK_DGRAM, &w->udp);

	(void)state;
	memcpy(p.data + p.size, opt, sizeof opt);
	p.size += sizeof opt;
	p.data[11] = 2;
	send_packet(fd, &p);
	expect_answer(w, fd, 1, "1");
	close(fd);
	finish(w);
}

static void test_operations(void **state)
{
	static const struct {
		uint8_t opcode;
		const char *answer;
	} operations[] = {
		{ 1, "4; OPT 1232" },  { 2, "4; OPT 1232" }, { 3, "4; OPT 1232" },
		{ 4, "5; OPT 1232" },  { 5, "5; OPT 1232" }, { 6, "4; OPT 1232" },
		{ 15, "4; OPT 1232" },
	};
	struct world *w = start((struct dns_texts){ 0 });
	int fd = caller(SOCK_DGRAM, &w->udp);
	static struct packet answer;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
		struct packet p = make_query((uint16_t)i, "up.example.org", 6, EDNS);

		p.data[2] = (uint8_t)(operations[i].opcode << 3);
		send_packet(fd, &p);
		assert_true(get_packet(w, fd, &answer, PATIENCE));
		assert_string_equal(describe(&answer), operations[i].answer);
		assert_int_equal(answer.data[2] & 0x78, operations[i].opcode << 3);
	}
	close(fd);
	finish(w);
}

static void test_cookies(void **state)
{
	static const struct {
		size_t size;
		bool sound;
	} sizes[] = { { 0, true },  { 1, false }, { 7, false }, { 8, true },
		      { 16, true }, { 32, true }, { 33, false } };
	struct world *w = start((struct dns_texts){ .cookies = 1 });
	int fd = caller(SOCK_DGRAM, &w->udp);
	uint8_t option[64], junk[64] = { 0 };
	struct packet p;
	size_t size;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size = cookie_option(option, junk, sizes[i].size);
		ask_with(fd, (uint16_t)i, "up.example.org", option, size);
		expect_answer(w, fd, (uint16_t)i,
			      sizes[i].sound ? UP_EDNS " cookie 24" : "1; OPT 1232");
	}
	memcpy(option, (uint8_t[]){ 0, 10, 0, 7, 1, 2, 3, 4, 5, 6, 7 }, 11);
	ask_with(fd, 50, "up.example.org", option, 11);
	expect_answer(w, fd, 50, "1; OPT 1232");
	size = get_cookie(w, fd, option);
	ask_with(fd, 51, "up.example.org", option, size);
	expect_answer(w, fd, 51, UP_EDNS " cookie 24");
	/* RFC 7873, 5.4: no question, a cookie */
	p = query_with(52, "", option, size);
	memmove(p.data + 12, p.data + 12 + 5, p.size - 12 - 5);
	p.size -= 5;
	p.data[5] = 0;
	send_packet(fd, &p);
	expect_answer(w, fd, 52, "0; OPT 1232 cookie 24");
	p.data[23] = 77; /* another option than COOKIE */
	p.data[24] = 77;
	send_packet(fd, &p);
	expect_answer(w, fd, 52, "1; OPT 1232");
	close(fd);
	finish(w);

	w = start((struct dns_texts){ .cookies = 0 });
	fd = caller(SOCK_DGRAM, &w->udp);
	ask_with(fd, 1, "up.example.org", option, size);
	expect_answer(w, fd, 1, UP_EDNS);
	close(fd);
	finish(w);
}

/* How many of `count` queries are answered in full, by TC, by BADCOOKIE. */
static void flood(struct world *w, int fd, unsigned count, const uint8_t *option, size_t size,
		  unsigned seen[3])
{
	static struct packet p;

	memset(seen, 0, 3 * sizeof *seen);
	for (unsigned i = 0; i < count; i++) {
		if (option)
			ask_with(fd, (uint16_t)i, "up.example.org", option, size);
		else
			ask(fd, (uint16_t)i, "up.example.org", WIRE_A, 0);
		if (!get_packet(w, fd, &p, 0))
			continue;
		if ((p.data[3] & 15) == 7)
			assert_string_equal(describe(&p), "7; OPT 1232 rcode+16 cookie 24");
		else if (p.data[2] & 2)
			assert_string_equal(describe(&p), "0 tc");
		else
			assert_int_equal(p.data[7], 1);
		seen[(p.data[3] & 15) == 7 ? 2 : p.data[2] & 2 ? 1 : 0]++;
	}
}

static void test_rate(void **state)
{
	struct world *w = start((struct dns_texts){ .rate = 20, .rate_slip = 2, .cookies = 1 });
	int fd = client_of(w, SOCK_DGRAM, 1), same, other, stream;
	unsigned seen[3];
	uint8_t option[64];
	size_t size;

	(void)state;
	same = client_of(w, SOCK_DGRAM, 1);
	other = client_of(w, SOCK_DGRAM, 2);
	stream = client_of(w, SOCK_STREAM, 1);
	size = get_cookie(w, fd, option);
	flood(w, fd, 499, NULL, 0, seen);
	assert_int_equal(seen[0], 99); /* five seconds' worth: the cookie's was the first */
	assert_int_equal(seen[1], 200);
	flood(w, same, 100, NULL, 0, seen);
	assert_int_equal(seen[0], 0);
	assert_int_equal(seen[1], 50);
	flood(w, other, 50, NULL, 0, seen);
	assert_int_equal(seen[0], 50);
	assert_int_equal(usage_counters(w->usage)->rate_slipped, 250);
	assert_int_equal(usage_counters(w->usage)->rate_dropped, 250);
	/* A valid cookie is not limited; a client that knows of cookies is told so. */
	flood(w, fd, 200, option, size, seen);
	assert_int_equal(seen[0], 200);
	flood(w, fd, 100, option, cookie_option(option, NULL, 0), seen);
	assert_int_equal(seen[0], 0);
	assert_int_equal(seen[2], 50);
	size = get_cookie(w, other, option);
	flood(w, fd, 100, option, size, seen); /* another's */
	assert_int_equal(seen[0], 0);
	advance(w, USEC_PER_SEC);
	flood(w, same, 100, NULL, 0, seen);
	assert_in_range(seen[0], 19, 21);
	close(fd);
	close(same);
	close(other);
	close(stream);
	finish(w);
}

static void test_rate_exempt(void **state)
{
	static const char *const exempt[] = { "127.0.3.0/24" };
	struct world *w = start((struct dns_texts){
		.rate = 10, .rate_slip = 0, .limits_exempt = exempt, .exempt_count = 1 });
	int fd = client_of(w, SOCK_DGRAM, 3), other = client_of(w, SOCK_DGRAM, 4);
	unsigned seen[3];

	(void)state;
	flood(w, fd, 500, NULL, 0, seen);
	assert_int_equal(seen[0], 500);
	flood(w, other, 500, NULL, 0, seen);
	assert_int_equal(seen[0], 50);
	assert_int_equal(seen[1], 0);
	close(fd);
	close(other);
	finish(w);
}

/* Frame, send, and expect over TCP. */
static void expect_stream(struct world *w, int fd, const struct packet *query, const char *text)
{
	static struct packet p;
	uint8_t prefix[2] = { (uint8_t)(query->size >> 8), (uint8_t)query->size };

	assert_int_equal(send(fd, prefix, 2, MSG_NOSIGNAL), 2);
	send_packet(fd, query);
	assert_true(get_packet(w, fd, &p, PATIENCE));
	assert_int_equal(p.data[0] << 8 | p.data[1], p.size - 2);
	memmove(p.data, p.data + 2, p.size -= 2);
	assert_string_equal(describe(&p), text);
}

static void test_tcp_options_and_no_rate(void **state)
{
	static const uint8_t keepalive[] = { 0, 11, 0, 0 };
	struct world *w =
		start((struct dns_texts){ .rate = 1, .cookies = 1, .tcp_connections = 64 });
	int fd = client_of(w, SOCK_STREAM, 1);
	struct packet p = make_query(1, "up.example.org", WIRE_A, 0);
	uint8_t option[64];

	(void)state;
	for (int i = 0; i < 50; i++)
		expect_stream(w, fd, &p, UP);
	p = query_with(2, "up.example.org", keepalive, sizeof keepalive);
	expect_stream(w, fd, &p, UP_EDNS " keepalive 100");
	p = query_with(3, "up.example.org", option, cookie_option(option, NULL, 0));
	expect_stream(w, fd, &p, UP_EDNS " cookie 24");
	close(fd);
	finish(w);
}

static void tell_many(struct world *w, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char name[64];

		snprintf(name, sizeof name, "s%u.example.org", i);
		tell_service(w, (struct service){ 100 + i, false, name, "10.1.1.1", 0, 0, 0 });
	}
}

static unsigned count_wants(struct world *w)
{
	unsigned count = 0;

	for (int i = 0; i < 20; i++) {
		settle(w);
		poll(NULL, 0, 1);
	}
	for (const char *at = w->log; (at = strstr(at, "want ")); at++)
		count++;
	w->log[0] = '\0';
	return count;
}

#define OVER "2; OPT 1232 ede 14 too many services are being started"

/* A crawler asks for every sleeping name: so many are started, the rest is told so at once; what is
 * ready or on its way is not touched. */
static void test_wakes(void **state)
{
	struct world *w = start((struct dns_texts){ .wakes_per_network = 2 });
	int fd = client_of(w, SOCK_DGRAM, 1), other = client_of(w, SOCK_DGRAM, 2);
	unsigned refused = 0;
	char name[64];
	struct packet p;

	(void)state;
	tell_many(w, 100);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "s%u.example.org", i);
		ask(fd, (uint16_t)i, name, WIRE_A, EDNS);
		settle(w);
		while (get_packet(w, fd, &p, 0)) {
			assert_string_equal(describe(&p), OVER);
			refused++;
		}
	}
	assert_int_equal(count_wants(w), 20);
	assert_int_equal(refused, 80);
	assert_int_equal(usage_counters(w->usage)->wakes_refused, 80);
	/* It may wait for what others have asked for. */
	ask(other, 1, "s99.example.org", WIRE_A, EDNS);
	assert_int_equal(count_wants(w), 1);
	ask(fd, 2, "s99.example.org", WIRE_A, EDNS);
	expect_nothing(w, fd);
	tell(w, ready, 199);
	expect_answer(w, fd, 2, "0 aa; 10.1.1.1 60; OPT 1232");
	expect_answer(w, other, 1, "0 aa; 10.1.1.1 60; OPT 1232");
	ask(fd, 3, "up.example.org", WIRE_A, 0);
	expect_answer(w, fd, 3, UP);
	ask(fd, 4, "s50.example.org", WIRE_AAAA, 0);
	expect_answer(w, fd, 4, "0 aa; SOA 60");
	advance(w, USEC_PER_SEC); /* the limit: those who waited are answered */
	while (get_packet(w, fd, &p, 2))
		assert_string_equal(describe(&p), "0 aa; 10.1.1.1 60; OPT 1232 ede 14 starting");
	count_wants(w);
	for (unsigned i = 50; i < 60; i++) {
		snprintf(name, sizeof name, "s%u.example.org", i);
		ask(fd, (uint16_t)i, name, WIRE_A, EDNS);
	}
	assert_int_equal(count_wants(w), 2);
	close(fd);
	close(other);
	finish(w);
}

/* In all: forged sources use up half, the rest is for who proves his address. */
static void test_wakes_in_all(void **state)
{
	struct world *w = start((struct dns_texts){ .wakes = 1, .cookies = 1 });
	uint8_t option[64];
	struct packet p;
	char name[64];
	size_t size;
	int fd, stream;

	(void)state;
	tell_many(w, 40);
	for (unsigned i = 0; i < 30; i++) {
		fd = client_of(w, SOCK_DGRAM, 1 + i);
		snprintf(name, sizeof name, "s%u.example.org", i);
		ask(fd, (uint16_t)i, name, WIRE_A, 0);
		if (i < 5)
			expect_nothing(w, fd);
		else
			expect_answer(w, fd, (uint16_t)i, "0 tc");
		close(fd);
	}
	assert_int_equal(count_wants(w), 5);
	fd = client_of(w, SOCK_DGRAM, 50);
	size = cookie_option(option, NULL, 0);
	ask_with(fd, 1, "s20.example.org", option, size);
	expect_answer(w, fd, 1, "7; OPT 1232 rcode+16 cookie 24");
	size = get_cookie(w, fd, option);
	ask_with(fd, 2, "s20.example.org", option, size);
	expect_nothing(w, fd);
	assert_int_equal(count_wants(w), 1);
	stream = client_of(w, SOCK_STREAM, 51);
	for (unsigned i = 21; i < 30; i++) {
		uint8_t prefix[2];

		snprintf(name, sizeof name, "s%u.example.org", i);
		p = make_query((uint16_t)i, name, WIRE_A, 0);
		prefix[0] = 0;
		prefix[1] = (uint8_t)p.size;
		assert_int_equal(send(stream, prefix, 2, 0), 2);
		send_packet(stream, &p);
	}
	assert_int_equal(count_wants(w), 4);
	close(fd);
	close(stream);
	finish(w);
}

/* What of a name's services is up serves when the rest may not be started. */
static void test_wakes_some_are_ready(void **state)
{
	struct world *w = start((struct dns_texts){ .wakes_per_network = 1 });
	int fd = client_of(w, SOCK_DGRAM, 1);
	char name[64];

	(void)state;
	tell_many(w, 10);
	tell_service(w, (struct service){ 50, true, "both.example.org", "10.5.0.1", 0, 0, 0 });
	tell_service(w, (struct service){ 51, false, "both.example.org", "10.5.0.2", 0, 0, 0 });
	for (unsigned i = 0; i < 10; i++) {
		snprintf(name, sizeof name, "s%u.example.org", i);
		ask(fd, (uint16_t)i, name, WIRE_A, 0);
	}
	assert_int_equal(count_wants(w), 10);
	ask(fd, 77, "both.example.org", WIRE_A, 0);
	expect_answer(w, fd, 77, "0 aa; 10.5.0.1 60");
	close(fd);
	finish(w);
}

static bool is_open(struct world *w, int fd)
{
	char c;

	settle(w);
	return recv(fd, &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void test_tcp_per_network(void **state)
{
	static const char *const exempt[] = { "127.0.9.0/24" };
	struct world *w = start((struct dns_texts){ .tcp_connections = 40,
						    .tcp_per_network = 10,
						    .limits_exempt = exempt,
						    .exempt_count = 1 });
	int many[100], other = client_of(w, SOCK_STREAM, 2), exempted[20];
	unsigned open = 0;
	struct packet p = make_query(1, "up.example.org", WIRE_A, 0);

	(void)state;
	for (int i = 0; i < 100; i++) {
		many[i] = client_of(w, SOCK_STREAM, 1);
		settle(w);
	}
	/* The longest idle of that network went; `other`, idle for longer, is none of it. */
	for (int i = 0; i < 100; i++)
		assert_int_equal(is_open(w, many[i]), i >= 90);
	assert_true(is_open(w, other));
	expect_stream(w, other, &p, UP);
	open = 0;
	for (int i = 0; i < 20; i++) {
		exempted[i] = client_of(w, SOCK_STREAM, 9);
		settle(w);
	}
	for (int i = 0; i < 20; i++)
		open += is_open(w, exempted[i]);
	assert_int_equal(open, 20);
	for (int i = 0; i < 100; i++)
		close(many[i]);
	for (int i = 0; i < 20; i++)
		close(exempted[i]);
	close(other);
	finish(w);
}

/* Those who announce 64 KiB and send them slowly, all but the end, hold no more than the bound. */
static void test_tcp_held(void **state)
{
	enum { COUNT = 700 };
	struct world *w = start((struct dns_texts){ .tcp_connections = 2000 });
	static uint8_t part[32 * 1024] = { 0xff, 0xff };
	static int fds[COUNT];
	unsigned open = 0;
	int fd;
	struct packet p = make_query(1, "up.example.org", WIRE_A, 0);

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		fds[i] = client_of(w, SOCK_STREAM, 1);
		send(fds[i], part, sizeof part, MSG_NOSIGNAL | MSG_DONTWAIT);
		settle(w);
	}
	fd = client_of(w, SOCK_STREAM, 2);
	expect_stream(w, fd, &p, UP);
	for (int i = 0; i < COUNT; i++) {
		open += is_open(w, fds[i]);
		close(fds[i]);
	}
	assert_in_range(open, TCP_HELD_MAX / 65537 / 2, TCP_HELD_MAX / 65537);
	close(fd);
	finish(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_opt_twice),
		cmocka_unit_test(test_operations),
		cmocka_unit_test(test_cookies),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_rate_exempt),
		cmocka_unit_test(test_tcp_options_and_no_rate),
		cmocka_unit_test(test_wakes),
		cmocka_unit_test(test_wakes_in_all),
		cmocka_unit_test(test_wakes_some_are_ready),
		cmocka_unit_test(test_tcp_per_network),
		cmocka_unit_test(test_tcp_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
