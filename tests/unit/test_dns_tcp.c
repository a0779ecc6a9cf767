/* DNS over TCP: RFC 7766's framing, pipelining, order, bounds and idle limit. */
#include "dns/tcp.h"

#include "tests/unit/test_dns.h"

#define ANSWER "0 aa; 10.0.0.1 60"

static struct world *start(void)
{
	static char many[2048];
	static const struct service services[] = {
		{ .id = 1, .ready = true, .names = "up.example.org", .addresses = "10.0.0.1" },
		{ .id = 2, .names = "down.example.org", .addresses = "10.0.0.2" },
		{ .id = 3, .ready = true, .names = "many.example.org", .addresses = many },
	};
	struct world *w = world_new(NULL, 0);

	many[0] = '\0';
	for (int i = 0; i < 100; i++)
		snprintf(many + strlen(many), sizeof many - strlen(many), "10.1.0.%d ", i);
	tell_table(w, services, ARRAY_SIZE(services));
	return w;
}

static struct packet frame(const struct packet *p)
{
	struct packet f = { .size = p->size + 2 };

	f.data[0] = (uint8_t)(p->size >> 8);
	f.data[1] = (uint8_t)p->size;
	memcpy(f.data + 2, p->data, p->size);
	return f;
}

static void ask_stream(int fd, uint16_t id, const char *name, uint16_t type)
{
	struct packet p = make_query(id, name, type, 0);

	p = frame(&p);
	send_packet(fd, &p);
}

/* Reads `size` bytes; false at the end of the stream or when nothing comes. */
static bool read_bytes(struct world *w, int fd, uint8_t *to, size_t size, int patience)
{
	for (int i = 0; size; i++) {
		ssize_t r;

		settle(w);
		r = recv(fd, to, size, MSG_DONTWAIT);
		if (r == 0 || (r < 0 && errno != EAGAIN) || (r < 0 && i > patience))
			return false;
		if (r > 0) {
			to += r;
			size -= (size_t)r;
			i = 0;
		} else {
			poll(NULL, 0, 1);
		}
	}
	return true;
}

static bool get_frame(struct world *w, int fd, struct packet *p, int patience)
{
	uint8_t prefix[2];

	if (!read_bytes(w, fd, prefix, 2, patience))
		return false;
	p->size = (size_t)(prefix[0] << 8 | prefix[1]);
	return read_bytes(w, fd, p->data, p->size, PATIENCE);
}

static void expect_frame(struct world *w, int fd, uint16_t id, const char *text)
{
	static struct packet p;

	assert_true(get_frame(w, fd, &p, PATIENCE));
	assert_string_equal(describe(&p), text);
	assert_int_equal(p.data[0] << 8 | p.data[1], id);
}

static bool closed(struct world *w, int fd)
{
	char c;

	for (int i = 0; i < PATIENCE; i++) {
		ssize_t r;

		settle(w);
		r = recv(fd, &c, 1, MSG_DONTWAIT);
		if (r == 0 || (r < 0 && errno != EAGAIN))
			return true;
		assert_true(r < 0);
		poll(NULL, 0, 1);
	}
	return false;
}

static bool still_open(struct world *w, int fd)
{
	char c;

	settle(w);
	return recv(fd, &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void test_several_on_one_connection(void **state)
{
	struct world *w = start();
	int fd = caller(SOCK_STREAM, &w->tcp);

	(void)state;
	ask_stream(fd, 1, "up.example.org", WIRE_A);
	expect_frame(w, fd, 1, ANSWER);
	ask_stream(fd, 2, "up.example.org", 16);
	ask_stream(fd, 3, "down.example.org", WIRE_A);
	ask_stream(fd, 4, "up.example.org", WIRE_A);
	expect_frame(w, fd, 2, "0 aa; SOA 60");
	expect_frame(w, fd, 4, ANSWER); /* it does not wait for the third */
	expect_heard(w, "want 2;");
	tell(w, ready, 2);
	expect_frame(w, fd, 3, "0 aa; 10.0.0.2 60");
	expect_heard(w, "answered 2 1;");
	close(fd);
	world_free(w);
}

static void test_no_truncation(void **state)
{
	struct world *w = start();
	int fd = caller(SOCK_STREAM, &w->tcp);
	static struct packet p;

	(void)state;
	ask_stream(fd, 1, "many.example.org", WIRE_A);
	assert_true(get_frame(w, fd, &p, PATIENCE));
	assert_int_equal(p.data[7], 100);
	assert_int_equal(p.data[2] & 2, 0);
	describe(&p);
	close(fd);
	world_free(w);
}

static void test_byte_by_byte(void **state)
{
	struct world *w = start();
	int fd = caller(SOCK_STREAM, &w->tcp);
	struct packet p = make_query(9, "up.example.org", WIRE_A, 0);

	(void)state;
	p = frame(&p);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < p.size; i++) {
			assert_int_equal(send(fd, p.data + i, 1, 0), 1);
			settle(w);
		}
		expect_frame(w, fd, 9, ANSWER);
	}
	close(fd);
	world_free(w);
}

static void test_half_close(void **state)
{
	struct world *w = start();
	int fd = caller(SOCK_STREAM, &w->tcp);

	(void)state;
	ask_stream(fd, 1, "down.example.org", WIRE_A);
	shutdown(fd, SHUT_WR);
	expect_heard(w, "want 2;");
	assert_true(still_open(w, fd));
	tell(w, ready, 2);
	expect_frame(w, fd, 1, "0 aa; 10.0.0.2 60");
	assert_true(closed(w, fd));
	close(fd);
	world_free(w);
}

/* The next client must not get what the last one asked for. */
static void test_gone_before_the_answer(void **state)
{
	const struct linger reset = { .l_onoff = 1 };
	struct world *w = start();
	int fd = caller(SOCK_STREAM, &w->tcp), other;

	(void)state;
	ask_stream(fd, 1, "down.example.org", WIRE_A);
	expect_heard(w, "want 2;");
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	close(fd);
	settle(w);
	other = caller(SOCK_STREAM, &w->tcp);
	ask_stream(other, 2, "up.example.org", WIRE_A);
	expect_frame(w, other, 2, ANSWER);
	tell(w, ready, 2);
	expect_heard(w, "answered 2 1;");
	ask_stream(other, 3, "up.example.org", WIRE_A);
	expect_frame(w, other, 3, ANSWER);
	close(other);
	world_free(w);
}

static void test_idle(void **state)
{
	struct world *w = start();
	int silent = caller(SOCK_STREAM, &w->tcp), half = caller(SOCK_STREAM, &w->tcp),
	    busy = caller(SOCK_STREAM, &w->tcp);

	(void)state;
	ask_stream(busy, 1, "up.example.org", WIRE_A);
	expect_frame(w, busy, 1, ANSWER);
	assert_int_equal(send(half, "\0\40xyz", 5, 0), 5);
	settle(w);
	for (int i = 0; i < 9; i++) {
		advance(w, USEC_PER_SEC);
		assert_int_equal(send(half, "x", 1, 0), 1); /* a drip is not activity */
		settle(w);
	}
	ask_stream(busy, 2, "up.example.org", WIRE_A);
	expect_frame(w, busy, 2, ANSWER);
	assert_true(still_open(w, silent));
	advance(w, USEC_PER_SEC);
	assert_true(closed(w, silent));
	assert_true(closed(w, half));
	assert_true(still_open(w, busy));
	advance(w, 10 * USEC_PER_SEC);
	assert_true(closed(w, busy));
	close(silent);
	close(half);
	close(busy);
	world_free(w);
}

static void test_who_waits_is_not_idle(void **state)
{
	struct world *w = start();
	int fd = caller(SOCK_STREAM, &w->tcp);

	(void)state;
	tell_service(w, (struct service){ 2, false, "down.example.org", "10.0.0.2", 0, 30000, 0 });
	ask_stream(fd, 1, "down.example.org", WIRE_A);
	expect_heard(w, "want 2;");
	advance(w, 25 * USEC_PER_SEC);
	assert_true(still_open(w, fd));
	tell(w, ready, 2);
	expect_frame(w, fd, 1, "0 aa; 10.0.0.2 60");
	advance(w, 10 * USEC_PER_SEC);
	assert_true(closed(w, fd));
	close(fd);
	world_free(w);
}

static void test_too_many_connections(void **state)
{
	enum { ALL = TCP_CONNECTIONS_MAX + 20 };
	struct world *w = start();
	static int fds[ALL];
	int gone = 0;

	(void)state;
	for (int i = 0; i < ALL; i++) {
		fds[i] = caller(SOCK_STREAM, &w->tcp);
		settle(w);
	}
	ask_stream(fds[ALL - 1], 1, "up.example.org", WIRE_A);
	expect_frame(w, fds[ALL - 1], 1, ANSWER);
	for (int i = 0; i < ALL; i++) {
		gone += !still_open(w, fds[i]);
		close(fds[i]);
	}
	assert_int_equal(gone, 20);
	settle(w);
	world_free(w);
}

/* Far more than may be outstanding, or than fits a buffer: all are answered in the end. */
static void test_deep_pipeline(void **state)
{
	enum { COUNT = 2000 };
	struct world *w = start();
	int fd = caller(SOCK_STREAM, &w->tcp);
	static bool seen[COUNT];
	static struct packet p;
	unsigned got = 0;

	(void)state;
	for (unsigned i = 0; i < COUNT; i++) {
		ask_stream(fd, (uint16_t)i, i % 2 ? "up.example.org" : "down.example.org", WIRE_A);
		if (i % 50 == 0)
			settle(w);
	}
	settle(w);
	expect_heard(w, "want 2;");
	while (get_frame(w, fd, &p, 20)) {
		seen[p.data[0] << 8 | p.data[1]] = true;
		got++;
	}
	assert_true(got < COUNT / 2);
	tell(w, ready, 2);
	while (got < COUNT && get_frame(w, fd, &p, PATIENCE)) {
		seen[p.data[0] << 8 | p.data[1]] = true;
		got++;
	}
	assert_int_equal(got, COUNT);
	for (unsigned i = 0; i < COUNT; i++)
		assert_true(seen[i]);
	close(fd);
	world_free(w);
}

/* What was read but not yet taken, because too much was outstanding, is taken when it is not. */
static void test_rest_of_a_pipeline(void **state)
{
	enum { COUNT = TCP_OUTSTANDING_MAX + 24 };
	struct world *w = start();
	int fd = caller(SOCK_STREAM, &w->tcp);
	static struct packet p;

	(void)state;
	for (unsigned i = 0; i < COUNT; i++)
		ask_stream(fd, (uint16_t)i, "down.example.org", WIRE_A);
	expect_heard(w, "want 2;");
	tell(w, ready, 2);
	for (unsigned i = 0; i < COUNT; i++)
		assert_true(get_frame(w, fd, &p, PATIENCE));
	close(fd);
	world_free(w);
}

/* One who asks and does not read is not read from any more, and closed when its time is up. */
static void test_slow_reader(void **state)
{
	struct world *w = start();
	int fd = caller(SOCK_STREAM, &w->tcp), other;
	struct packet p = make_query(1, "many.example.org", WIRE_A, 0);
	bool stuck = false;
	char sink[4096];

	(void)state;
	/* That it waits for something too does not save it. */
	tell_service(w, (struct service){ 2, false, "down.example.org", "10.0.0.2", 0, 60000, 0 });
	ask_stream(fd, 1, "down.example.org", WIRE_A);
	p = frame(&p);
	for (int quiet = 0; quiet < 20;) {
		ssize_t r = send(fd, p.data, p.size, MSG_DONTWAIT | MSG_NOSIGNAL);

		settle(w);
		if (r > 0 && (size_t)r < p.size)
			stuck = true; /* part of a query: it is not spoken from here on */
		if (stuck || r < 0) {
			poll(NULL, 0, 1);
			quiet++;
			stuck = true;
		}
	}
	other = caller(SOCK_STREAM, &w->tcp);
	ask_stream(other, 2, "up.example.org", WIRE_A);
	expect_frame(w, other, 2, ANSWER);
	advance(w, 10 * USEC_PER_SEC);
	settle(w);
	while (recv(fd, sink, sizeof sink, MSG_DONTWAIT) > 0)
		;
	assert_true(closed(w, fd));
	close(fd);
	close(other);
	world_free(w);
}

static void test_garbage(void **state)
{
	struct world *w = start();
	int fd = caller(SOCK_STREAM, &w->tcp);
	uint8_t noise[8192];

	(void)state;
	/* Frames of nothing, of too little, of a response; then a sound one. */
	assert_int_equal(send(fd, "\0\0\0\1x\0\14\0\1\200\0\0\0\0\0\0\0\0\0", 19, 0), 19);
	ask_stream(fd, 1, "up.example.org", WIRE_A);
	expect_frame(w, fd, 1, ANSWER);
	close(fd);
	srandom(1);
	for (int round = 0; round < 200; round++) {
		fd = caller(SOCK_STREAM, &w->tcp);
		for (size_t i = 0; i < sizeof noise; i++)
			noise[i] = (uint8_t)(random() % (round % 2 ? 256 : 14));
		send(fd, noise, sizeof noise, MSG_DONTWAIT | MSG_NOSIGNAL);
		settle(w);
		close(fd);
	}
	fd = caller(SOCK_STREAM, &w->tcp);
	ask_stream(fd, 1, "up.example.org", WIRE_A);
	expect_frame(w, fd, 1, ANSWER);
	close(fd);
	world_free(w);
}

#define CROWD 40

/* Who came over UDP when so many queries over TCP had been answered. */
struct turns {
	struct loop *loop;
	struct listener *listener;
	unsigned over_tcp, before_udp, between; /* between: how often that was called meanwhile */
	bool over_udp;
};

static void on_turn(void *arg, const struct client *client, uint8_t *packet, size_t size,
		    uint64_t now)
{
	struct turns *turns = arg;

	(void)packet;
	(void)size;
	(void)now;
	if (client->stream) {
		turns->over_tcp++;
		/* A long answer. */
		for (uint64_t began = loop_now(turns->loop);
		     loop_now(turns->loop) - began < 2 * USEC_PER_MSEC;)
			;
	} else {
		turns->over_udp = true;
		turns->before_udp = turns->over_tcp;
	}
	listen_skip(turns->listener, client);
	if (turns->over_udp && turns->over_tcp == CROWD)
		loop_quit(turns->loop);
}

static void on_between(void *arg)
{
	struct turns *turns = arg;

	turns->between += turns->over_tcp && turns->over_tcp < CROWD;
}

/* All of them have something to be read when the loop first looks. */
static void test_udp_between_connections(void **state)
{
	struct turns turns = { .loop = loop_new(LOOP_CLOCK_REAL) };
	struct dns_config config = { .udp_count = 1, .tcp_count = 1 };
	struct sockaddr_in udp, tcp;
	struct packet p = make_query(1, "up.example.org", WIRE_A, 0);
	int fds[CROWD], fd;

	(void)state;
	config.udp_fds[0] = bound(SOCK_DGRAM, &udp);
	config.tcp_fds[0] = bound(SOCK_STREAM, &tcp);
	turns.listener = listen_new(turns.loop, &config, NULL, on_turn, &turns);
	assert_non_null(turns.listener);
	for (int i = 0; i < CROWD; i++)
		fds[i] = caller(SOCK_STREAM, &tcp);
	listen_between(turns.listener, on_between, &turns);
	listen_start(turns.listener);
	for (int i = 0; i < 10; i++)
		loop_settle(turns.loop);
	assert_int_equal(turns.over_tcp, 0);
	for (int i = 0; i < CROWD; i++)
		ask_stream(fds[i], 1, "up.example.org", WIRE_A);
	fd = caller(SOCK_DGRAM, &udp);
	send_packet(fd, &p);
	loop_run(turns.loop);
	assert_true(turns.before_udp < CROWD / 2);
	assert_true(turns.between > CROWD / 2);
	listen_free(turns.listener);
	for (int i = 0; i < CROWD; i++)
		close(fds[i]);
	close(fd);
	loop_free(turns.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_several_on_one_connection),
		cmocka_unit_test(test_no_truncation),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_gone_before_the_answer),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_who_waits_is_not_idle),
		cmocka_unit_test(test_too_many_connections),
		cmocka_unit_test(test_deep_pipeline),
		cmocka_unit_test(test_rest_of_a_pipeline),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_udp_between_connections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
