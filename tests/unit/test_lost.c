/* engine: a neighbour is lost and comes back, or the engine itself begins anew. */
#include "tests/unit/test_engine.h"

/* What the toolstack had under way is unknown when it is lost; the survey decides. */
static void test_toolstack_lost(void **state)
{
	static const struct {
		const char *state;
		const char *running, *running_dns, *running_orders;
		const char *broken, *broken_dns, *broken_orders;
		const char *absent, *absent_dns, *absent_orders;
	} cases[] = {
		{ "off", "booting", "", "adopt 0 9; ", "stopping", "", "stop 0 9; ", "off", "",
		  "" },
		{ "building", "booting", "", "adopt 0 9; ", "restarting", "", "stop 0 9; ",
		  "building", "", "start 0; " },
		{ "booting", "booting", "", "adopt 0 9; ", "restarting", "", "stop 0 9; ",
		  "building", "", "start 0; " },
		{ "settling", "settling", "", "", "restarting", "", "stop 0 9; ", "building", "",
		  "start 0; " },
		{ "ready", "ready", "", "", "stopping", "asleep 0; ", "stop 0 9; ", "off",
		  "asleep 0; ", "" },
		{ "retiring", "retiring", "", "", "stopping", "asleep 0; ", "stop 0 9; ", "off",
		  "asleep 0; ", "" },
		{ "stopping", "stopping", "", "stop 0 9; ", "stopping", "", "stop 0 9; ", "off", "",
		  "" },
		{ "restarting", "booting", "", "adopt 0 9; ", "restarting", "", "stop 0 9; ",
		  "building", "", "start 0; " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (int what = 0; what < 3; what++) {
			struct world *w = world(4);

			add_nic(w, "a");
			learn_uuid(w, "a", 0);
			lead(w, cases[i].state);
			lose_toolstack(w);
			is(w, "a", "phase", cases[i].state);
			connect_toolstack(w);
			TOOLSTACK("survey; ");
			w->found_created = loop_now(w->loop);
			if (what != 2)
				found(w, w->uuids[0], 9, true, what == 0, "a");
			survey_end(w);
			is(w, "a", "phase",
			   what == 0   ? cases[i].running
			   : what == 1 ? cases[i].broken
				       : cases[i].absent);
			DNS(what == 0	? cases[i].running_dns
			    : what == 1 ? cases[i].broken_dns
					: cases[i].absent_dns);
			TOOLSTACK(what == 0   ? cases[i].running_orders
				  : what == 1 ? cases[i].broken_orders
					      : cases[i].absent_orders);
			end(w);
		}
	}
}

/* Until the survey nothing is ordered, whatever is asked. */
static void test_orders_wait_for_the_survey(void **state)
{
	struct world *w = world(1);
	struct answer answer;

	(void)state;
	add_nic(w, "a");
	add_nic(w, "b");
	add_nic(w, "c");
	learn_uuid(w, "a", 0);
	learn_uuid(w, "b", 1);
	lead(w, "ready");
	lose_toolstack(w);
	connect_toolstack(w);
	want(w, 1);
	want(w, 2);
	call(w, verb_service_remove, "{\"name\":\"a\"}", &answer);
	TOOLSTACK("survey; ");
	DNS("forget 0; ");
	/* b runs, whoever started it: it is not started a second time. */
	found(w, w->uuids[0], 7, true, true, "a");
	found(w, w->uuids[1], 8, true, true, "b");
	survey_end(w);
	TOOLSTACK("stop 0 7; start 2; ");
	DNS("ready 1; ");
	stopped(w, 0, 7);
	assert_int_equal(answer.count, 1);
	clear(&answer);
	end(w);
}

/* A specification that brings the toolstack down is not tried for ever. */
static void test_poison(void **state)
{
	struct world *w = world(4);

	(void)state;
	for (int broken = 0; broken < 2; broken++) {
		add_nic(w, "a");
		learn_uuid(w, "a", 0);
		lead(w, "building");
		for (int i = 0; i < 2; i++) {
			lose_toolstack(w);
			connect_toolstack(w);
			if (broken)
				found(w, w->uuids[0], 9, false, false, "a");
			survey_end(w);
			if (i == 0 && broken)
				stopped(w, 0, 9);
			if (i == 0)
				is(w, "a", "phase", "building");
		}
		DNS("failed 0; ");
		is(w, "a", "state", broken ? "stopping" : "failed");
		w->toolstack_log[0] = '\0';
		struct answer answer;

		call(w, verb_service_remove, "{\"name\":\"a\"}", &answer);
		if (broken)
			stopped(w, 0, 9);
		assert_int_equal(answer.count, 1);
		clear(&answer);
		DNS("forget 0; ");
	}
	end(w);
}

static void test_dns_lost(void **state)
{
	struct world *w = world(4);

	(void)state;
	add_nic(w, "a");
	add_nic(w, "b");
	add_nic(w, "c");
	lead(w, "ready");
	want(w, 1);
	TOOLSTACK("start 1; ");
	link_free(TAKE(w->dns));
	loop_settle(w->loop);
	created(w, 1, 8);
	frame(w, 1);
	loop_advance(w->loop, 100 * MS);
	connect_dns(w);
	DNS("table 3; service 0 ready; service 1 ready; service 2 asleep; end; ");
	/* Lost again while a retires: the table says what `retired` would. */
	loop_advance(w->loop, 119 * SECOND + 900 * MS);
	DNS("retire 0; ");
	connect_dns(w);
	DNS("table 3; service 0 asleep; service 1 ready; service 2 asleep; end; ");
	TOOLSTACK("stop 0 7; ");
	stopped(w, 0, 7);
	end(w);
}

static void test_restart(void **state)
{
	static const uint8_t foreign[16] = { 1 }, mine[16] = { 2 }, half[16] = { 3 };
	struct world *w = calloc(1, sizeof *w);
	struct answer answer;

	(void)state;
	unlink(store_path);
	w->loop = loop_new(LOOP_CLOCK_FAKE);
	w->approve = true;
	engine_start(w, store_path, 4, NULL, 0);
	connect_toolstack(w);
	survey_end(w);
	connect_dns(w);
	add_nic(w, "a");
	add_nic(w, "b");
	add_nic(w, "c");
	learn_uuid(w, "a", 0);
	learn_uuid(w, "b", 1);
	call(w, verb_service_remove, "{\"name\":\"c\"}", &answer);
	clear(&answer);
	engine_free(w->engine);
	loop_settle(w->loop);
	w->dns_log[0] = w->toolstack_log[0] = '\0';
	/* A new engine, the same store, all else as it was. */
	engine_start(w, store_path, 4, NULL, 0);
	connect_dns(w);
	DNS("table 2; service 0 asleep; service 1 asleep; end; ");
	connect_toolstack(w);
	want(w, 0);
	want(w, 1);
	TOOLSTACK("survey; ");
	found(w, foreign, 3, true, true, "");
	found(w, w->uuids[0], 4, true, true, "a");
	found(w, mine, 5, true, true, "gone");
	found(w, half, 6, false, false, "torn");
	found(w, w->uuids[0], 7, false, false, "a");
	survey_end(w);
	DNS("ready 0; ");
	TOOLSTACK("stop -1 6; start 1; ");
	call(w, verb_daemon_status, "{}", &answer);
	assert_string_equal(at(answer.result, "orphans"),
			    "[ \"domain 5 of gone\", \"domain 6 of torn\", \"domain 7 of a\" ]");
	assert_string_equal(at(answer.result, "states"),
			    "{ \"off\": 0, \"starting\": 1, \"ready\": 1, \"stopping\": 0, "
			    "\"paused\": 0, \"suspended\": 0, \"kept\": 0, \"failed\": 0 }");
	assert_string_equal(at(answer.result, "toolstack"), "true");
	clear(&answer);
	SAY(toolstack, stopped, .id = UINT32_MAX, .domid = 6);
	died(w, 7, 3);
	/* The orphan's owner comes back. */
	add(w, "gone", "\"nic\":\"br0\",\"uuid\":\"02000000-0000-0000-0000-000000000000\"");
	DNS("service 2 asleep; ready 2; ");
	call(w, verb_daemon_status, "{}", &answer);
	assert_string_equal(at(answer.result, "orphans"), "[ ]");
	clear(&answer);
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_toolstack_lost),
		cmocka_unit_test(test_orders_wait_for_the_survey),
		cmocka_unit_test(test_poison),
		cmocka_unit_test(test_dns_lost),
		cmocka_unit_test(test_restart),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
