/* engine: what counts as use. */
#include "tests/unit/test_engine.h"

/* So many seconds with so many bytes in each. */
static void flow(struct world *w, unsigned seconds, uint64_t bytes)
{
	for (unsigned i = 0; i < 10 * seconds; i++) {
		w->traffic += bytes / 10;
		loop_advance(w->loop, 100 * MS);
	}
}

static void test_download_is_not_cut(void **state)
{
	struct world *w = ready_world("\"nic\":\"br0\",\"ttl\":2");

	(void)state;
	asked(w, 0);
	flow(w, 60, 100000);
	DNS("");
	is(w, "a", "state", "ready");
	/* It ends: idle for 4 s from a look on, which are 1 s apart. */
	flow(w, 3, 0);
	DNS("");
	flow(w, 2, 0);
	DNS("retire 0; ");
	retired(w, 0);
	TOOLSTACK("stop 0 7; ");
	end(w);
}

static void test_chatter_keeps_nobody_awake(void **state)
{
	struct world *w = ready_world("\"nic\":\"br0\",\"ttl\":2");

	(void)state;
	flow(w, 4, 150);
	DNS("retire 0; ");
	end(w);
	w = ready_world("\"nic\":\"br0\",\"ttl\":2,\"idle_traffic\":100");
	flow(w, 10, 150);
	DNS("");
	end(w);
	w = ready_world("\"nic\":\"br0\",\"ttl\":2,\"idle_by\":\"dns\"");
	flow(w, 4, 1000000);
	DNS("retire 0; ");
	end(w);
}

static void test_idle_by_traffic_alone(void **state)
{
	struct world *w = ready_world("\"nic\":\"br0\",\"ttl\":2,\"idle_by\":\"traffic\"");

	(void)state;
	flow(w, 3, 0);
	asked(w, 0);
	flow(w, 1, 0);
	DNS("retire 0; ");
	/* But whom dns has answered meanwhile is no matter of policy. */
	asked(w, 0);
	retired(w, 0);
	DNS("ready 0; ");
	end(w);
}

static void test_traffic_while_it_retires(void **state)
{
	struct world *w = ready_world("\"nic\":\"br0\",\"ttl\":2");

	(void)state;
	loop_advance(w->loop, 4 * SECOND);
	DNS("retire 0; ");
	w->traffic += 5000;
	retired(w, 0);
	DNS("ready 0; ");
	TOOLSTACK("");
	is(w, "a", "state", "ready");
	/* And a want while the last look is under way. */
	loop_advance(w->loop, 4 * SECOND);
	DNS("retire 0; ");
	w->traffic += 60; /* no more than an ARP request */
	w->deaf = true;
	retired(w, 0);
	TOOLSTACK("measure 0 7; ");
	want(w, 0);
	DNS("ready 0; ");
	SAY(toolstack, measured, .id = 0, .domid = 7, .tx = w->traffic);
	TOOLSTACK("");
	is(w, "a", "state", "ready");
	w->deaf = false;
	loop_advance(w->loop, 4 * SECOND);
	DNS("retire 0; ");
	w->traffic += 60;
	retired(w, 0);
	TOOLSTACK("stop 0 7; ");
	end(w);
}

static void test_looks_are_lost_with_the_toolstack(void **state)
{
	struct world *w = ready_world("\"nic\":\"br0\",\"ttl\":2");

	(void)state;
	loop_advance(w->loop, 3 * SECOND);
	w->deaf = true;
	loop_advance(w->loop, 1 * SECOND);
	TOOLSTACK("measure 0 7; ");
	lose_toolstack(w);
	loop_advance(w->loop, 60 * SECOND);
	connect_toolstack(w);
	found(w, w->uuids[0], 7, true, true, "a");
	survey_end(w);
	TOOLSTACK("survey; measure 0 7; ");
	SAY(toolstack, measured, .id = 0, .domid = 7);
	DNS("retire 0; ");
	retired(w, 0);
	TOOLSTACK("measure 0 7; ");
	SAY(toolstack, measured, .id = 0, .domid = 7);
	TOOLSTACK("stop 0 7; ");
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_download_is_not_cut),
		cmocka_unit_test(test_chatter_keeps_nobody_awake),
		cmocka_unit_test(test_idle_by_traffic_alone),
		cmocka_unit_test(test_traffic_while_it_retires),
		cmocka_unit_test(test_looks_are_lost_with_the_toolstack),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
