/* engine: memory for starts: who makes room for whom, and who is refused. */
#include "tests/unit/test_engine.h"

#define MIB	 1024u
#define EACH(id) (1000 + (id))
#define TAKES	 (64 * MIB + 84) /* as a PV guest of 64 MiB does; it is asked for a little more */

/* The host has so many MiB free. */
static struct world *host(unsigned free_mib, unsigned reserve_mib)
{
	struct world *w = calloc(1, sizeof *w);

	w->loop = loop_new(LOOP_CLOCK_FAKE);
	w->approve = true;
	w->reserve = reserve_mib * MIB;
	w->free = free_mib * MIB;
	engine_start(w, ":memory:", 4, NULL, 0);
	connect_dns(w);
	connect_toolstack(w);
	SAY(toolstack, survey_end, .memory_free = w->free, .memory_total = 4096 * MIB,
	    .backend = "sim", .version = "1");
	w->dns_log[0] = w->toolstack_log[0] = '\0';
	return w;
}

static void memory(struct world *w, unsigned free_mib)
{
	w->free = free_mib * MIB;
	say_memory(w);
	loop_settle(w->loop);
}

/* Its domain is there, or gone, and the host's memory less, or more. */
static void built(struct world *w, uint32_t id)
{
	w->free -= TAKES;
	created(w, id, EACH(id));
	say_memory(w);
	loop_settle(w->loop);
}

static void gone(struct world *w, uint32_t id)
{
	w->free += TAKES;
	stopped(w, id, EACH(id));
	say_memory(w);
	loop_settle(w->loop);
}

static void add_guest(struct world *w, const char *name, const char *more)
{
	char keys[256];

	snprintf(keys, sizeof keys, "\"memory\":\"64M\"%s%s", *more ? "," : "", more);
	add(w, name, keys);
}

static void bring_up(struct world *w, uint32_t id)
{
	want(w, id);
	built(w, id);
	asked(w, id);
	loop_advance(w->loop, 10 * MS);
}

static void forget_log(struct world *w)
{
	w->dns_log[0] = w->toolstack_log[0] = '\0';
}

static void test_fits(void **state)
{
	struct world *w = host(140, 0);

	(void)state;
	add_guest(w, "a", "");
	add_guest(w, "b", "");
	add_guest(w, "c", "");
	forget_log(w);
	want(w, 0);
	want(w, 1);
	want(w, 2);
	/* Two are promised what there is. */
	TOOLSTACK("start 0; start 1; ");
	is(w, "c", "phase", "queued");
	built(w, 0);
	built(w, 1);
	DNS("ready 0; ready 1; ");
	TOOLSTACK("");
	/* They were just asked for: who waits for them gets tired. */
	asked(w, 0);
	asked(w, 1);
	for (int i = 0; i < 40; i++) {
		asked(w, 0);
		asked(w, 1);
		loop_advance(w->loop, 250 * MS);
	}
	DNS("failed 2; ");
	TOOLSTACK("");
	is(w, "c", "state", "failed");
	is(w, "c", "error",
	   "not enough memory: it needs 65 MiB, 11 MiB are free of which 0 MiB are reserved, and "
	   "no "
	   "other guest can make room");
	end(w);
}

static void test_least_recently_used(void **state)
{
	struct world *w = host(200, 0);

	(void)state;
	add_guest(w, "a", "");
	add_guest(w, "b", "");
	add_guest(w, "c", "");
	add_guest(w, "d", "");
	for (uint32_t id = 0; id < 3; id++)
		bring_up(w, id);
	asked(w, 0);
	loop_advance(w->loop, 2 * SECOND);
	forget_log(w);
	want(w, 3);
	DNS("retire 1; ");
	is(w, "d", "phase", "queued");
	retired(w, 1);
	TOOLSTACK("stop 1 1001; ");
	gone(w, 1);
	TOOLSTACK("start 3; ");
	memory(w, 66);
	built(w, 3);
	DNS("ready 3; ");
	end(w);
}

static void test_tiers_and_order(void **state)
{
	struct world *w = host(200, 0);

	(void)state;
	add_guest(w, "a", "\"idle\":\"pause:1m,suspend:1h\"");
	add_guest(w, "b", "\"idle\":\"pause:1s\"");
	add_guest(w, "c", "\"pinned\":true");
	add_guest(w, "d", "\"memory\":\"100M\"");
	built(w, 2);
	for (uint32_t id = 0; id < 2; id++)
		bring_up(w, id);
	loop_advance(w->loop, 1 * SECOND);
	retired(w, 1);
	SAY(toolstack, paused, .id = 1, .domid = EACH(1));
	is(w, "b", "state", "paused");
	loop_advance(w->loop, 2 * SECOND);
	forget_log(w);
	/* 101 MiB are needed, 7 are free: both, the paused one first, never the pinned one. */
	want(w, 3);
	TOOLSTACK("stop 1 1001; ");
	DNS("retire 0; ");
	retired(w, 0);
	TOOLSTACK("suspend 0 1000; ");
	gone(w, 1);
	TOOLSTACK("");
	w->free += TAKES;
	SAY(toolstack, suspended, .id = 0, .domid = EACH(0));
	TOOLSTACK("start 3; ");
	is(w, "a", "state", "suspended");
	is(w, "c", "state", "ready");
	built(w, 3);
	DNS("ready 3; ");
	end(w);
}

static void test_in_use_is_left_alone(void **state)
{
	struct world *w = host(70, 0);

	(void)state;
	add_guest(w, "a", "\"nic\":\"br0\"");
	add_guest(w, "b", "");
	want(w, 0);
	built(w, 0);
	frame(w, 0);
	loop_advance(w->loop, 2 * SECOND);
	forget_log(w);
	want(w, 1);
	for (int i = 0; i < 70; i++) {
		w->traffic += 100000;
		loop_advance(w->loop, 100 * MS);
	}
	/* Nobody asks for it, but somebody downloads. */
	TOOLSTACK("");
	DNS("failed 1; ");
	is(w, "a", "state", "ready");
	loop_advance(w->loop, 2 * SECOND);
	want(w, 1);
	loop_advance(w->loop, SECOND);
	DNS("retire 0; ");
	retired(w, 0);
	TOOLSTACK("stop 0 1000; ");
	gone(w, 0);
	TOOLSTACK("start 1; ");
	end(w);
}

static void test_paused_go_first(void **state)
{
	struct world *w = host(140, 0);

	(void)state;
	add_guest(w, "a", "");
	add_guest(w, "b", "\"idle\":\"pause:10s\"");
	add_guest(w, "c", "");
	bring_up(w, 0);
	bring_up(w, 1);
	loop_advance(w->loop, 10 * SECOND);
	retired(w, 1);
	SAY(toolstack, paused, .id = 1, .domid = EACH(1));
	loop_advance(w->loop, 2 * SECOND);
	forget_log(w);
	want(w, 2);
	TOOLSTACK("stop 1 1001; ");
	DNS("");
	end(w);
}

/* It is asked for while its traffic is looked at: dns answers at once, and says nothing. */
static void test_asked_while_looked_at(void **state)
{
	struct world *w = host(70, 0);

	(void)state;
	add_guest(w, "a", "\"nic\":\"br0\"");
	add_guest(w, "b", "");
	want(w, 0);
	built(w, 0);
	frame(w, 0);
	loop_advance(w->loop, 2 * SECOND);
	forget_log(w);
	want(w, 1);
	loop_advance(w->loop, 500 * MS);
	asked(w, 0);
	loop_advance(w->loop, 500 * MS);
	DNS("");
	loop_advance(w->loop, 2 * SECOND);
	DNS("retire 0; ");
	end(w);
}

/* A victim that is asked for meanwhile stays. */
static void test_victim_is_wanted(void **state)
{
	struct world *w = host(70, 0);

	(void)state;
	add_guest(w, "a", "");
	add_guest(w, "b", "");
	bring_up(w, 0);
	loop_advance(w->loop, 2 * SECOND);
	forget_log(w);
	want(w, 1);
	DNS("retire 0; ");
	want(w, 0);
	DNS("ready 0; ");
	asked(w, 0);
	retired(w, 0);
	TOOLSTACK("");
	is(w, "b", "phase", "queued");
	loop_advance(w->loop, 2 * SECOND);
	DNS("retire 0; ");
	retired(w, 0);
	TOOLSTACK("stop 0 1000; ");
	gone(w, 0);
	TOOLSTACK("start 1; ");
	end(w);
}

static void test_reserve_and_hopeless(void **state)
{
	struct world *w = host(200, 100);

	(void)state;
	add_guest(w, "a", "");
	add_guest(w, "b", "");
	add_guest(w, "big", "\"memory\":\"3G\"");
	bring_up(w, 0);
	loop_advance(w->loop, 10 * SECOND);
	forget_log(w);
	/* Nobody is put down for what does not fit even so. */
	want(w, 2);
	DNS("failed 2; ");
	TOOLSTACK("");
	is(w, "a", "state", "ready");
	/* 134 free, 100 of them reserved. */
	want(w, 1);
	DNS("retire 0; ");
	/* The host has more by itself. */
	memory(w, 300);
	TOOLSTACK("start 1; ");
	end(w);
}

static void test_first_come_first_served(void **state)
{
	struct world *w = host(70, 0);

	(void)state;
	add_guest(w, "a", "");
	add_guest(w, "b", "");
	add_guest(w, "small", "\"memory\":\"1M\"");
	bring_up(w, 0);
	loop_advance(w->loop, 2 * SECOND);
	forget_log(w);
	want(w, 1);
	want(w, 2);
	DNS("retire 0; ");
	TOOLSTACK("");
	retired(w, 0);
	gone(w, 0);
	TOOLSTACK("stop 0 1000; start 1; start 2; ");
	end(w);
}

/* xl takes memory, too, and nobody is told: what is free is asked before each start. */
static void test_taken_by_others(void **state)
{
	struct world *w = host(200, 100);

	(void)state;
	add_guest(w, "a", "");
	loop_advance(w->loop, SECOND);
	forget_log(w);
	w->free = 160 * MIB;
	want(w, 0);
	DNS("failed 0; ");
	is(w, "a", "error",
	   "not enough memory: it needs 65 MiB, 160 MiB are free of which 100 MiB are reserved, "
	   "and "
	   "no other guest can make room");
	TOOLSTACK("");
	loop_advance(w->loop, SECOND);
	w->free = 165 * MIB;
	want(w, 0);
	TOOLSTACK("start 0; ");
	end(w);
}

/* The figure is asked for while a guest goes, and tells of its memory before its end is told. */
static void test_no_memory_twice(void **state)
{
	struct world *w = host(70, 0);

	(void)state;
	add_guest(w, "a", "");
	add_guest(w, "b", "\"memory\":\"128M\"");
	bring_up(w, 0);
	loop_advance(w->loop, 2 * SECOND);
	memory(w, 100);
	forget_log(w);
	want(w, 1);
	DNS("retire 0; ");
	retired(w, 0);
	TOOLSTACK("stop 0 1000; ");
	memory(w, 120);
	stopped(w, 0, EACH(0));
	TOOLSTACK("");
	DNS("failed 1; ");
	end(w);
}

/* What Xen takes beside, measured: for PVH 1 MiB a processor and a page for each MiB. */
static void test_need(void **state)
{
	static const struct {
		const char *keys;
		unsigned taken, asked; /* KiB */
	} cases[] = {
		{ "\"memory\":\"1G\"", 1048660, 1048832 },
		{ "\"memory\":\"96M\",\"nic\":[\"br0\",\"br1\"]", 98436, 98688 },
		{ "\"memory\":\"24M\",\"type\":\"pvh\"", 25888, 25952 },
		{ "\"memory\":\"96M\",\"type\":\"pvh\",\"nic\":\"br0\"", 99924, 100032 },
		{ "\"memory\":\"1G\",\"type\":\"pvh\"", 1053888, 1053952 },
		{ "\"memory\":\"64M\",\"type\":\"pvh\",\"vcpus\":4", 70180, 70336 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world *w = host(0, 0);

		assert_true(cases[i].asked >= cases[i].taken);
		add(w, "a", cases[i].keys);
		w->free = cases[i].asked - 1;
		loop_advance(w->loop, SECOND);
		want(w, 0);
		TOOLSTACK("");
		DNS("service 0 asleep; failed 0; ");
		w->free = cases[i].asked;
		loop_advance(w->loop, SECOND);
		want(w, 0);
		TOOLSTACK("start 0; ");
		end(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fits),
		cmocka_unit_test(test_least_recently_used),
		cmocka_unit_test(test_tiers_and_order),
		cmocka_unit_test(test_in_use_is_left_alone),
		cmocka_unit_test(test_paused_go_first),
		cmocka_unit_test(test_asked_while_looked_at),
		cmocka_unit_test(test_victim_is_wanted),
		cmocka_unit_test(test_reserve_and_hopeless),
		cmocka_unit_test(test_first_come_first_served),
		cmocka_unit_test(test_taken_by_others),
		cmocka_unit_test(test_no_memory_twice),
		cmocka_unit_test(test_need),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
