/* Queries that wait, and what the engine is told: dns.c's rules and races, line by line. */
#include "tests/unit/test_dns.h"

#define NAME   "www.example.org"
#define ANSWER "0 aa; 10.0.0.1 60"

static const struct service asleep[] = {
	{ .id = 1, .names = NAME " web.example.org", .addresses = "10.0.0.1" },
	{ .id = 2, .names = "pool.example.org", .addresses = "10.0.0.2", .wait_limit = 300 },
	{ .id = 3, .names = "pool.example.org", .addresses = "10.0.0.3 2001:db8::3" },
};
static int fd;

static struct world *start(void)
{
	struct world *w = world_new(NULL, 0);

	tell_table(w, asleep, ARRAY_SIZE(asleep));
	fd = caller(SOCK_DGRAM, &w->udp);
	return w;
}

static void finish(struct world *w)
{
	expect_heard(w, "");
	close(fd);
	world_free(w);
}

static void test_released(void **state)
{
	struct world *w = start();

	(void)state;
	ask(fd, 1, NAME, WIRE_A, 0);
	expect_heard(w, "want 1;");
	ask(fd, 2, "WEB.example.org", WIRE_A, EDNS);
	ask(fd, 3, NAME, WIRE_AAAA, 0);
	expect_answer(w, fd, 3, "0 aa; SOA 60");
	expect_nothing(w, fd);
	tell(w, ready, 1);
	expect_answer(w, fd, 1, ANSWER);
	expect_answer(w, fd, 2, ANSWER "; OPT 1232");
	expect_heard(w, "answered 1 2;");
	ask(fd, 4, NAME, WIRE_A, 0);
	expect_answer(w, fd, 4, ANSWER);
	tell(w, ready, 1);
	finish(w);
}

static void test_no_want_for_other_types(void **state)
{
	struct world *w = start();

	(void)state;
	ask(fd, 1, NAME, 65, 0);
	expect_answer(w, fd, 1, "0 aa; SOA 60");
	finish(w);
}

static void test_two_hundred(void **state)
{
	struct world *w = start();
	int fds[200];

	(void)state;
	for (int i = 0; i < 200; i++) {
		fds[i] = caller(SOCK_DGRAM, &w->udp);
		ask(fds[i], (uint16_t)i, NAME, WIRE_A, 0);
		settle(w);
	}
	expect_heard(w, "want 1;");
	tell(w, ready, 1);
	for (int i = 0; i < 200; i++) {
		expect_answer(w, fds[i], (uint16_t)i, ANSWER);
		close(fds[i]);
	}
	expect_heard(w, "answered 1 200;");
	finish(w);
}

static void test_retransmission_is_folded(void **state)
{
	struct world *w = start();

	(void)state;
	for (int i = 0; i < 3; i++)
		ask(fd, 1, NAME, WIRE_A, 0);
	ask(fd, 2, NAME, WIRE_A, 0);
	expect_heard(w, "want 1;");
	tell(w, ready, 1);
	expect_answer(w, fd, 1, ANSWER);
	expect_answer(w, fd, 2, ANSWER);
	expect_nothing(w, fd);
	expect_heard(w, "answered 1 2;");
	assert_int_equal(w->usage[1].queries, 4);
	finish(w);
}

static void test_limit(void **state)
{
	struct world *w = start();
	int other = other_caller(&w->udp);

	(void)state;
	ask(fd, 1, NAME, WIRE_A, 0);
	expect_heard(w, "want 1;");
	advance(w, 400 * MSEC);
	ask(other, 2, NAME, WIRE_A, 0);
	settle(w);
	advance(w, 299 * MSEC);
	expect_nothing(w, fd);
	advance(w, 1 * MSEC);
	expect_answer(w, fd, 1, ANSWER);
	expect_heard(w, "answered 1 1 late;");
	expect_nothing(w, other);
	advance(w, 400 * MSEC);
	expect_answer(w, other, 2, ANSWER);
	close(other);
	expect_heard(w, "answered 1 1 late;");
	/* The boot is still on: the next one waits for it, and no second want is sent. */
	ask(fd, 3, NAME, WIRE_A, 0);
	expect_nothing(w, fd);
	tell(w, ready, 1);
	expect_answer(w, fd, 3, ANSWER);
	expect_heard(w, "answered 1 1;");
	finish(w);
}

/* A resolver that repeats itself from other ports, with other IDs, has waited since its first. */
static void test_limit_of_a_repeated_query(void **state)
{
	struct world *w = start();
	static struct packet p;
	int again = caller(SOCK_DGRAM, &w->udp), once_more = caller(SOCK_DGRAM, &w->udp);

	(void)state;
	ask(fd, 1, NAME, WIRE_A, 0);
	expect_heard(w, "want 1;");
	advance(w, 311 * MSEC);
	ask(again, 2, NAME, WIRE_A, EDNS);
	settle(w);
	advance(w, 311 * MSEC);
	ask(once_more, 3, NAME, WIRE_A, 0);
	settle(w);
	advance(w, 77 * MSEC);
	expect_nothing(w, once_more);
	advance(w, 1 * MSEC);
	expect_answer(w, fd, 1, ANSWER);
	assert_true(get_packet(w, again, &p, PATIENCE));
	expect_answer(w, once_more, 3, ANSWER);
	expect_heard(w, "answered 1 3 late;");
	close(again);
	close(once_more);
	finish(w);
}

static void test_late_ones_are_told_at_once(void **state)
{
	struct world *w = start();
	static struct packet p;
	unsigned ids = 0;

	(void)state;
	for (uint16_t i = 0; i < 5; i++)
		ask(fd, i, NAME, WIRE_A, 0);
	expect_heard(w, "want 1;");
	advance(w, 700 * MSEC);
	for (int i = 0; i < 5; i++) {
		assert_true(get_packet(w, fd, &p, PATIENCE));
		assert_string_equal(describe(&p), ANSWER);
		ids |= 1u << p.data[1];
	}
	assert_int_equal(ids, 31);
	expect_heard(w, "answered 1 5 late;");
	finish(w);
}

static void test_failed(void **state)
{
	struct world *w = start();

	(void)state;
	ask(fd, 1, NAME, WIRE_A, 0);
	ask(fd, 2, NAME, WIRE_A, EDNS);
	expect_heard(w, "want 1;");
	tell(w, failed, 1, 14, "no memory");
	expect_answer(w, fd, 1, "2");
	expect_answer(w, fd, 2, "2; OPT 1232 ede 14 no memory");
	ask(fd, 3, NAME, WIRE_A, 0);
	expect_heard(w, "want 1;");
	advance(w, 700 * MSEC);
	expect_answer(w, fd, 3, ANSWER);
	expect_heard(w, "answered 1 1 late;");
	finish(w);
}

static void test_retire(void **state)
{
	struct world *w = start();

	(void)state;
	tell(w, ready, 1);
	ask(fd, 1, NAME, WIRE_A, 0);
	expect_answer(w, fd, 1, ANSWER);
	tell(w, retire, 1);
	ask(fd, 2, NAME, WIRE_A, 0);
	expect_heard(w, "retired 1;want 1;");
	expect_nothing(w, fd);
	/* It was on its way down: the engine says so, and the asker is still there. */
	tell(w, asleep, 1);
	expect_heard(w, "want 1;");
	tell(w, ready, 1);
	expect_answer(w, fd, 2, ANSWER);
	expect_heard(w, "answered 1 1;");
	finish(w);
}

/* Whom packets start: its address is held while it sleeps, so nobody needs to wait for an answer. */
static void test_always(void **state)
{
	static const struct service held[] = {
		{ .id = 1, .names = NAME, .addresses = "10.0.0.1", .flags = MESSAGE_SERVICE_ALWAYS },
	};
	struct world *w = world_new(NULL, 0);

	(void)state;
	tell_table(w, held, 1);
	fd = caller(SOCK_DGRAM, &w->udp);
	ask(fd, 1, NAME, WIRE_A, 0);
	expect_answer(w, fd, 1, ANSWER);
	tell(w, ready, 1);
	tell(w, retire, 1);
	expect_heard(w, "retired 1;");
	ask(fd, 2, NAME, WIRE_A, 0);
	expect_answer(w, fd, 2, ANSWER);
	tell(w, asleep, 1);
	ask(fd, 3, NAME, WIRE_A, 0);
	expect_answer(w, fd, 3, ANSWER);
	tell_table(w, held, 1);
	ask(fd, 4, NAME, WIRE_A, 0);
	expect_answer(w, fd, 4, ANSWER);
	finish(w);
}

static void test_retire_while_somebody_waits(void **state)
{
	struct world *w = start();

	(void)state;
	ask(fd, 1, NAME, WIRE_A, 0);
	expect_heard(w, "want 1;");
	tell(w, retire, 1);
	expect_heard(w, "retired 1;want 1;");
	tell(w, ready, 1);
	expect_answer(w, fd, 1, ANSWER);
	expect_heard(w, "answered 1 1;");
	/* Unknown ones are retired all the same: nobody is answered for them. */
	tell(w, retire, 99);
	expect_heard(w, "retired 99;");
	finish(w);
}

static void test_asleep_without_waiters(void **state)
{
	struct world *w = start();

	(void)state;
	tell(w, ready, 1);
	tell(w, asleep, 1);
	expect_heard(w, "");
	ask(fd, 1, NAME, WIRE_A, 0);
	expect_heard(w, "want 1;");
	tell(w, ready, 1);
	expect_answer(w, fd, 1, ANSWER);
	expect_heard(w, "answered 1 1;");
	finish(w);
}

static void test_forget(void **state)
{
	struct world *w = start();

	(void)state;
	ask(fd, 1, NAME, WIRE_A, 0);
	expect_heard(w, "want 1;");
	tell(w, forget, 1);
	expect_answer(w, fd, 1, "5");
	/* The id is used anew, by another. */
	tell_service(w, (struct service){ 1, false, "new.example.org", "10.0.0.9", 0, 0, 0 });
	ask(fd, 2, NAME, WIRE_A, 0);
	expect_answer(w, fd, 2, "5");
	ask(fd, 3, "new.example.org", WIRE_A, 0);
	expect_heard(w, "want 1;");
	tell(w, ready, 1);
	expect_answer(w, fd, 3, "0 aa; 10.0.0.9 60");
	expect_heard(w, "answered 1 1;");
	finish(w);
}

static void test_replaced_while_somebody_waits(void **state)
{
	struct world *w = start();

	(void)state;
	ask(fd, 1, NAME, WIRE_A, 0);
	ask(fd, 2, "web.example.org", WIRE_A, 0);
	expect_heard(w, "want 1;");
	advance(w, 500 * MSEC);
	tell_service(w, (struct service){ 1, false, NAME, "10.0.0.8", 0, 0, 0 });
	expect_heard(w, "want 1;");
	expect_answer(w, fd, 2, "5");
	/* Its time runs from when it was asked. */
	advance(w, 199 * MSEC);
	expect_nothing(w, fd);
	advance(w, 1 * MSEC);
	expect_answer(w, fd, 1, "0 aa; 10.0.0.8 60");
	expect_heard(w, "answered 1 1 late;");
	ask(fd, 3, NAME, WIRE_A, 0);
	settle(w);
	tell_service(w, (struct service){ 1, true, NAME, "10.0.0.7", 0, 0, 0 });
	expect_answer(w, fd, 3, "0 aa; 10.0.0.7 60");
	finish(w);
}

static void test_several_services(void **state)
{
	struct world *w = start();

	(void)state;
	ask(fd, 1, "pool.example.org", WIRE_A, 0);
	expect_heard(w, "want 2;want 3;");
	tell(w, ready, 2);
	expect_nothing(w, fd);
	tell(w, ready, 3);
	expect_answer(w, fd, 1, "0 aa; 10.0.0.2 60; 10.0.0.3 60");
	expect_heard(w, "answered 3 1;");
	tell(w, asleep, 2);
	tell(w, asleep, 3);
	/* Only the one with an IPv6 address is needed. */
	ask(fd, 2, "pool.example.org", WIRE_AAAA, 0);
	expect_heard(w, "want 3;");
	tell(w, ready, 3);
	expect_answer(w, fd, 2, "0 aa; 2001:db8::3 60");
	expect_heard(w, "answered 3 1;");
	/* One failed: the other one's address is the answer. */
	ask(fd, 3, "pool.example.org", WIRE_A, 0);
	expect_heard(w, "want 2;");
	tell(w, failed, 2, 0, "");
	expect_answer(w, fd, 3, "0 aa; 10.0.0.3 60");
	/* Both failed. */
	tell(w, asleep, 3);
	ask(fd, 4, "pool.example.org", WIRE_A, 0);
	expect_heard(w, "want 2;want 3;");
	tell(w, failed, 3, 0, "");
	tell(w, failed, 2, 0, "");
	expect_answer(w, fd, 4, "2");
	/* The shorter limit holds. */
	ask(fd, 5, "pool.example.org", WIRE_A, 0);
	expect_heard(w, "want 2;want 3;");
	advance(w, 300 * MSEC);
	expect_answer(w, fd, 5, "0 aa; 10.0.0.2 60; 10.0.0.3 60");
	settle(w);
	assert_non_null(strstr(w->log, "answered 2 1 late;"));
	assert_non_null(strstr(w->log, "answered 3 1 late;"));
	w->log[0] = '\0';
	/* At the limit all addresses are given, ready or not. */
	ask(fd, 7, "pool.example.org", WIRE_A, 0);
	settle(w);
	tell(w, ready, 2);
	advance(w, 300 * MSEC);
	expect_answer(w, fd, 7, "0 aa; 10.0.0.3 60; 10.0.0.2 60");
	expect_heard(w, "answered 3 1 late;");
	tell(w, asleep, 2);
	/* One of them is forgotten while a query waits for both. */
	ask(fd, 6, "pool.example.org", WIRE_A, 0);
	expect_heard(w, "want 2;");
	tell(w, ready, 3);
	tell(w, forget, 2);
	expect_answer(w, fd, 6, "0 aa; 10.0.0.3 60");
	finish(w);
}

static void test_engine_gone_and_back(void **state)
{
	static const struct service after[] = {
		/* Other ids; one is gone; one is ready by now. */
		{ .id = 7, .names = NAME, .addresses = "10.0.0.1", .wait_limit = 5000 },
		{ .id = 1, .ready = true, .names = "pool.example.org", .addresses = "10.0.0.2" },
	};
	struct world *w = start();
	static struct packet p;
	unsigned ids = 0;

	(void)state;
	tell_service(w, (struct service){ 4, true, "up.example.org", "10.0.0.4", 0, 0, 0 });
	ask(fd, 1, NAME, WIRE_A, 0);
	expect_heard(w, "want 1;");
	link_free(w->engine);
	w->engine = NULL;
	settle(w);
	ask(fd, 2, "up.example.org", WIRE_A, 0);
	expect_answer(w, fd, 2, "0 aa; 10.0.0.4 60");
	ask(fd, 3, "pool.example.org", WIRE_A, 0);
	ask(fd, 4, "web.example.org", WIRE_A, 0);
	expect_nothing(w, fd);
	connect_engine(w);
	settle(w);
	expect_heard(w, "");
	tell(w, table_begin, 2);
	tell_service(w, after[0]);
	/* The old table serves on. */
	ask(fd, 5, "up.example.org", WIRE_A, 0);
	expect_answer(w, fd, 5, "0 aa; 10.0.0.4 60");
	ask(fd, 7, "pool.example.org", WIRE_A, 0);
	expect_nothing(w, fd);
	expect_heard(w, ""); /* the old table's ids mean nothing to the new engine */
	tell_service(w, after[1]);
	tell(w, table_end, 0);
	expect_heard(w, "want 7;");
	for (int i = 0; i < 3; i++) {
		assert_true(get_packet(w, fd, &p, PATIENCE));
		ids |= 1u << p.data[1];
		assert_string_equal(describe(&p), p.data[1] == 4 ? "5" : "0 aa; 10.0.0.2 60");
	}
	assert_int_equal(ids, 1 << 3 | 1 << 4 | 1 << 7);
	ask(fd, 6, "up.example.org", WIRE_A, 0);
	expect_answer(w, fd, 6, "5");
	expect_nothing(w, fd);
	tell(w, ready, 7);
	expect_answer(w, fd, 1, ANSWER);
	expect_heard(w, "answered 7 1;");
	finish(w);
}

static void test_limit_without_engine(void **state)
{
	struct world *w = start();

	(void)state;
	link_free(w->engine);
	w->engine = NULL;
	settle(w);
	ask(fd, 1, NAME, WIRE_A, 0);
	expect_nothing(w, fd);
	advance(w, 700 * MSEC);
	expect_answer(w, fd, 1, ANSWER);
	finish(w);
}

static void test_table_is_cut_short(void **state)
{
	struct world *w = start();

	(void)state;
	tell(w, table_begin, 5);
	ask(fd, 1, NAME, WIRE_A, 0);
	expect_nothing(w, fd);
	connect_engine(w);
	settle(w);
	w->log[0] = '\0';
	tell_table(w, asleep, ARRAY_SIZE(asleep));
	expect_heard(w, "want 1;");
	tell(w, ready, 1);
	expect_answer(w, fd, 1, ANSWER);
	expect_heard(w, "answered 1 1;");
	finish(w);
}

static void test_retire_amid_a_table(void **state)
{
	struct world *w = start();

	(void)state;
	tell(w, ready, 1);
	tell(w, table_begin, 1);
	tell_service(w, (struct service){ 1, true, NAME, "10.0.0.1", 0, 0, 0 });
	tell(w, retire, 1);
	ask(fd, 1, NAME, WIRE_A, 0);
	expect_answer(w, fd, 1, ANSWER);
	expect_heard(w, "");
	tell(w, table_end, 0);
	expect_heard(w, "retired 1;");
	ask(fd, 2, NAME, WIRE_A, 0);
	expect_heard(w, "want 1;");
	tell(w, ready, 1);
	expect_answer(w, fd, 2, ANSWER);
	expect_heard(w, "answered 1 1;");
	finish(w);
}

/* What the new table repeats stays in place, with the state that the new engine gives it at the
 * end; what it leaves out, or gives another's id, answers until then. */
static void test_same_table_again(void **state)
{
	struct world *w = start();

	(void)state;
	tell(w, ready, 1);
	tell(w, ready, 2);
	tell(w, ready, 3);
	ask(fd, 1, "pool.example.org", WIRE_A, 0);
	expect_answer(w, fd, 1, "0 aa; 10.0.0.2 60; 10.0.0.3 60");
	tell(w, asleep, 3);
	ask(fd, 2, "pool.example.org", WIRE_AAAA, 0);
	expect_heard(w, "want 3;");
	tell(w, table_begin, 3);
	tell_service(w, asleep[0]);
	tell_service(w, asleep[1]);
	tell(w, ready, 2);
	tell_service(w, asleep[2]);
	tell(w, ready, 3);
	tell(w, retire, 3);
	tell(w, ready, 1);
	tell(w, forget, 1);
	tell_service(w, (struct service){ 4, true, "other.example.org", "10.0.0.9", 0, 0, 0 });
	/* Nothing of that counts yet. */
	ask(fd, 3, NAME, WIRE_A, 0);
	expect_answer(w, fd, 3, ANSWER);
	ask(fd, 4, "other.example.org", WIRE_A, 0);
	expect_answer(w, fd, 4, "5");
	expect_nothing(w, fd);
	expect_heard(w, "");
	tell(w, table_end, 0);
	expect_heard(w, "retired 3;want 3;");
	ask(fd, 5, NAME, WIRE_A, 0);
	expect_answer(w, fd, 5, "5");
	ask(fd, 6, "other.example.org", WIRE_A, 0);
	expect_answer(w, fd, 6, "0 aa; 10.0.0.9 60");
	tell(w, ready, 3);
	expect_answer(w, fd, 2, "0 aa; 2001:db8::3 60");
	expect_heard(w, "answered 3 1;");
	ask(fd, 7, "pool.example.org", WIRE_A, 0);
	expect_answer(w, fd, 7, "0 aa; 10.0.0.3 60; 10.0.0.2 60");
	/* Kept, then sent anew with the same id and other names. */
	tell(w, table_begin, 1);
	tell_service(w, asleep[1]);
	tell_service(w, (struct service){ 2, true, "new.example.org", "10.0.0.2", 0, 0, 0 });
	tell_service(w, asleep[1]);
	tell_service(w, (struct service){ 2, true, "newer.example.org", "10.0.0.2", 0, 0, 0 });
	ask(fd, 8, "pool.example.org", WIRE_A, 0);
	expect_answer(w, fd, 8, "0 aa; 10.0.0.2 60; 10.0.0.3 60");
	tell(w, table_end, 0);
	ask(fd, 9, "pool.example.org", WIRE_A, 0);
	expect_answer(w, fd, 9, "5");
	ask(fd, 10, "new.example.org", WIRE_A, 0);
	expect_answer(w, fd, 10, "5");
	ask(fd, 11, "newer.example.org", WIRE_A, 0);
	expect_answer(w, fd, 11, "0 aa; 10.0.0.2 60");
	finish(w);
}

/* More than may wait: the rest is refused at once, and nobody is lost. */
static void test_bound(void **state)
{
	enum { ALL = 66000, MOST = 65536 };
	struct world *w = start();
	static struct packet p;
	unsigned refused = 0, answered = 0;
	int more = caller(SOCK_DGRAM, &w->udp);

	(void)state;
	for (unsigned i = 0; i < ALL; i++) {
		ask(i < MOST ? fd : more, (uint16_t)i, NAME, WIRE_A, 0);
		if (i % 32 == 0)
			settle(w);
		while (i >= MOST && get_packet(w, more, &p, 0))
			refused += (p.data[3] & 15) == 2;
	}
	while (get_packet(w, more, &p, 5))
		refused += (p.data[3] & 15) == 2;
	assert_int_equal(refused, ALL - MOST);
	expect_heard(w, "want 1;");
	for (int i = 0; i < 70; i++) {
		advance(w, 10 * MSEC);
		while (get_packet(w, fd, &p, 0))
			answered++;
	}
	assert_true(answered > 0); /* our own socket's buffer does not hold them all */
	settle(w);
	assert_int_equal(strncmp(w->log, "answered 1 ", 11), 0);
	w->log[0] = '\0';
	ask(fd, 1, NAME, WIRE_A, 0);
	tell(w, ready, 1);
	expect_answer(w, fd, 1, ANSWER);
	settle(w);
	w->log[0] = '\0';
	close(more);
	finish(w);
}

static void test_end_with_waiters(void **state)
{
	struct world *w = start();

	(void)state;
	for (uint16_t i = 0; i < 10; i++)
		ask(fd, i, i % 2 ? NAME : "pool.example.org", WIRE_A, 0);
	expect_heard(w, "want 2;want 3;want 1;");
	finish(w);
}

/* A link that nobody mends is mended by a new dns; until then it answers what it knows. */
static void test_alone(void **state)
{
	struct world *w = start();

	(void)state;
	tell(w, ready, 1);
	link_free(TAKE(w->engine));
	settle(w);
	advance(w, LINK_ALONE_LIMIT - 1);
	ask(fd, 1, NAME, WIRE_A, 0);
	expect_answer(w, fd, 1, ANSWER);
	assert_false(loop_quitting(w->loop));
	connect_engine(w);
	advance(w, 2 * LINK_ALONE_LIMIT);
	assert_false(loop_quitting(w->loop));
	link_free(TAKE(w->engine));
	settle(w);
	advance(w, LINK_ALONE_LIMIT);
	assert_true(loop_quitting(w->loop));
	finish(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_released),
		cmocka_unit_test(test_no_want_for_other_types),
		cmocka_unit_test(test_two_hundred),
		cmocka_unit_test(test_retransmission_is_folded),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_limit_of_a_repeated_query),
		cmocka_unit_test(test_late_ones_are_told_at_once),
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_retire),
		cmocka_unit_test(test_always),
		cmocka_unit_test(test_retire_while_somebody_waits),
		cmocka_unit_test(test_asleep_without_waiters),
		cmocka_unit_test(test_forget),
		cmocka_unit_test(test_replaced_while_somebody_waits),
		cmocka_unit_test(test_several_services),
		cmocka_unit_test(test_engine_gone_and_back),
		cmocka_unit_test(test_limit_without_engine),
		cmocka_unit_test(test_table_is_cut_short),
		cmocka_unit_test(test_retire_amid_a_table),
		cmocka_unit_test(test_same_table_again),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_end_with_waiters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
