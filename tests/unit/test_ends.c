/* engine: what becomes of a guest that ends by itself, and of a pinned one. */
#include "tests/unit/test_engine.h"

static void died_with(struct world *w, uint32_t domid, uint8_t reason, const char *console)
{
	SAY(toolstack, died, .domid = domid, .reason = reason, .console = console);
}

static void boot_again(struct world *w, uint32_t last, uint32_t domid)
{
	stopped(w, 0, last);
	TOOLSTACK("start 0; ");
	created(w, 0, domid);
	frame(w, 0);
	DNS("ready 0; ");
}

static void test_restarted(void **state)
{
	struct world *w = ready_world("\"nic\":\"br0\",\"on_crash\":\"restart\"");

	(void)state;
	died_with(w, 7, 3, "panic\033[0m\nat 0\n");
	DNS("asleep 0; ");
	TOOLSTACK("stop 0 7; ");
	is(w, "a", "state", "starting");
	boot_again(w, 7, 8);
	is(w, "a", "death", "its domain 7 crashed");
	is(w, "a", "console", "panic?[0m\nat 0\n");
	is(w, "a", "failures_in_row", "1");
	is(w, "a", "error", "none");
	end(w);
}

static void test_back_off_of_deaths(void **state)
{
	struct world *w = ready_world("\"nic\":\"br0\",\"on_crash\":\"restart\"");
	uint64_t waits[] = { 0, 1, 2, 4 };
	char order[32];

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(waits); i++) {
		uint32_t domid = 7 + i;

		died(w, domid, 3);
		DNS("asleep 0; ");
		snprintf(order, sizeof order, "stop 0 %u; ", domid);
		TOOLSTACK(order);
		if (waits[i]) {
			stopped(w, 0, domid);
			is(w, "a", "state", "off");
			loop_advance(w->loop, waits[i] * SECOND - 1);
			TOOLSTACK("");
			want(w, 0);
			DNS("failed 0; ");
			loop_advance(w->loop, 1);
		}
		boot_again(w, domid, domid + 1);
	}
	is(w, "a", "failures_in_row", "4");
	/* Ready for a minute: the row is over. */
	asked(w, 0);
	loop_advance(w->loop, 60 * SECOND);
	is(w, "a", "failures_in_row", "none");
	died(w, 11, 3);
	DNS("asleep 0; ");
	TOOLSTACK("stop 0 11; ");
	boot_again(w, 11, 12);
	end(w);
}

static void test_reboots_and_powers_off(void **state)
{
	struct world *w = ready_world("\"nic\":\"br0\"");

	(void)state;
	died(w, 7, 1);
	DNS("asleep 0; ");
	TOOLSTACK("stop 0 7; ");
	boot_again(w, 7, 8);
	died(w, 8, 0);
	DNS("asleep 0; ");
	TOOLSTACK("stop 0 8; ");
	stopped(w, 0, 8);
	loop_advance(w->loop, 1000 * SECOND);
	TOOLSTACK("");
	is(w, "a", "state", "off");
	is(w, "a", "error", "its domain 8 powered off");
	want(w, 0);
	TOOLSTACK("start 0; ");
	end(w);
}

static void test_kept(void **state)
{
	struct world *w = ready_world("\"nic\":\"br0\",\"on_crash\":\"preserve\"");
	struct answer answer;

	(void)state;
	died_with(w, 7, 3, "panic");
	DNS("failed 0; ");
	TOOLSTACK("");
	is(w, "a", "state", "kept");
	is(w, "a", "console", "panic");
	want(w, 0);
	DNS("failed 0; ");
	loop_advance(w->loop, 100000 * SECOND);
	TOOLSTACK("");
	/* A new toolstack finds it shut down. */
	lose_toolstack(w);
	connect_toolstack(w);
	found(w, w->uuids[0], 7, true, false, "a");
	survey_end(w);
	TOOLSTACK("survey; ");
	is(w, "a", "state", "kept");
	call(w, verb_service_start, "{\"name\":\"a\"}", &answer);
	TOOLSTACK("stop 0 7; ");
	assert_int_equal(answer.count, 0);
	boot_again(w, 7, 8);
	assert_string_equal(at(answer.result, "state"), "ready");
	clear(&answer);
	is(w, "a", "console", "none");
	died(w, 8, 3);
	DNS("failed 0; ");
	call(w, verb_service_stop, "{\"name\":\"a\"}", &answer);
	TOOLSTACK("stop 0 8; ");
	stopped(w, 0, 8);
	assert_string_equal(at(answer.result, "state"), "off");
	clear(&answer);
	/* Destroyed by somebody, it is not there to be kept. */
	want(w, 0);
	TOOLSTACK("start 0; ");
	created(w, 0, 9);
	frame(w, 0);
	DNS("ready 0; ");
	died(w, 9, 255);
	DNS("asleep 0; ");
	TOOLSTACK("stop 0 9; ");
	end(w);
}

static void test_pinned(void **state)
{
	struct world *w = world(4);
	struct answer answer;

	(void)state;
	add(w, "a", "\"nic\":\"br0\",\"pinned\":true");
	learn_uuid(w, "a", 0);
	DNS("service 0 asleep; ");
	TOOLSTACK("start 0; ");
	start_failed(w, 0);
	DNS("failed 0; ");
	is(w, "a", "state", "failed");
	loop_advance(w->loop, SECOND);
	TOOLSTACK("start 0; ");
	created(w, 0, 7);
	frame(w, 0);
	DNS("ready 0; ");
	loop_advance(w->loop, 100000 * SECOND);
	DNS("");
	/* Stopped by the administrator it stays so, also for a new toolstack. */
	call(w, verb_service_stop, "{\"name\":\"a\"}", &answer);
	DNS("asleep 0; ");
	TOOLSTACK("stop 0 7; ");
	stopped(w, 0, 7);
	clear(&answer);
	connect_toolstack(w);
	survey_end(w);
	loop_advance(w->loop, 1000 * SECOND);
	TOOLSTACK("survey; ");
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restarted),
		cmocka_unit_test(test_back_off_of_deaths),
		cmocka_unit_test(test_reboots_and_powers_off),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_pinned),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
