/* Which upstream is asked, how often, and what is remembered of those that fail. */
#include "dns/upstreams.h"
#include "dns/failures.h"

#include "tests/unit/test_forward.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_next_on_failure),
		cmocka_unit_test(test_failures_are_remembered),
		cmocka_unit_test(test_failures_table),
		cmocka_unit_test(test_down_and_up),
		cmocka_unit_test(test_only_one_is_gone),
		cmocka_unit_test(test_new_list),
		cmocka_unit_test(test_timeout_then_next),
		cmocka_unit_test(test_nobody_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
