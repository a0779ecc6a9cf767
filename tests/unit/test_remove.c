/* engine: a service is removed, in whatever state it is. */
#include "tests/unit/test_engine.h"

static void test_remove(void **state)
{
	static const struct {
		const char *state, *orders;
	} cases[] = {
		{ "off", "" },
		{ "building", "" },
		{ "booting", "stop 0 7; " },
		{ "settling", "stop 0 7; " },
		{ "ready", "stop 0 7; " },
		{ "retiring", "stop 0 7; " },
		{ "stopping", "" },
		{ "restarting", "" },
	};
	struct answer answer, other;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world *w = world(4);

		add_nic(w, "a");
		lead(w, cases[i].state);
		call(w, verb_service_remove, "{\"name\":\"a\"}", &answer);
		DNS("forget 0; ");
		TOOLSTACK(cases[i].orders);
		call(w, verb_service_list, "{}", &other);
		assert_string_equal(at(other.result, "services"), "[ ]");
		clear(&other);
		if (strcmp(cases[i].state, "off") != 0) {
			assert_int_equal(answer.count, 0);
			/* Its name and address are free when it is gone, and it is not twice. */
			call(w, verb_service_add,
			     "{\"name\":\"a\",\"dns\":\"a\",\"ip\":\"10.99.0.1\"}", &other);
			assert_int_equal(other.err.kind, ERROR_BUSY);
			call(w, verb_service_remove, "{\"name\":\"a\"}", &other);
			assert_int_equal(other.err.kind, ERROR_ABSENT);
			want(w, 0);
			retired(w, 0);
			if (strcmp(cases[i].state, "building") == 0) {
				created(w, 0, 7);
				TOOLSTACK("stop 0 7; ");
			}
			stopped(w, 0, 7);
		}
		assert_int_equal(answer.count, 1);
		assert_string_equal(at(answer.result, "destroyed"), "true");
		clear(&answer);
		add_nic(w, "a");
		DNS("service 0 asleep; ");
		end(w);
	}
}

static void test_remove_while_start_fails(void **state)
{
	struct world *w = world(4);
	struct answer answer;

	(void)state;
	add_nic(w, "a");
	lead(w, "building");
	call(w, verb_service_remove, "{\"name\":\"a\"}", &answer);
	start_failed(w, 0);
	assert_int_equal(answer.count, 1);
	clear(&answer);
	DNS("forget 0; ");
	end(w);
}

static void test_remove_is_bounded(void **state)
{
	struct world *w = world(4);
	struct answer answer;

	(void)state;
	add_nic(w, "a");
	lead(w, "ready");
	call(w, verb_service_remove, "{\"name\":\"a\"}", &answer);
	DNS("forget 0; ");
	TOOLSTACK("stop 0 7; ");
	stop_failed(w, 0, 7);
	loop_advance(w->loop, SECOND);
	TOOLSTACK("stop 0 7; ");
	loop_advance(w->loop, 29 * SECOND);
	assert_int_equal(answer.count, 1);
	assert_string_equal(at(answer.result, "destroyed"), "false");
	clear(&answer);
	stopped(w, 0, 7);
	end(w);
}

static void test_remove_at_the_end(void **state)
{
	struct world *w = world(4);
	struct answer removal, addition;

	(void)state;
	add_nic(w, "a");
	lead(w, "ready");
	call(w, verb_service_remove, "{\"name\":\"a\"}", &removal);
	w->approve = false;
	call(w, verb_service_add, "{\"name\":\"b\",\"dns\":\"b\",\"ip\":\"10.99.0.1\"}", &addition);
	DNS("forget 0; ");
	TOOLSTACK("stop 0 7; check; ");
	end(w);
	assert_int_equal(removal.count, 1);
	assert_int_equal(addition.count, 1);
	assert_int_equal(addition.err.kind, ERROR_BUSY);
	clear(&removal);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_remove_while_start_fails),
		cmocka_unit_test(test_remove_is_bounded),
		cmocka_unit_test(test_remove_at_the_end),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
