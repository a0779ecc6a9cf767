/* engine: the tiers of sleep. */
#include "tests/unit/test_engine.h"

static const char *const chain = "\"nic\":\"br0\",\"idle\":\"pause:2m,suspend:10m,destroy:1h\","
				 "\"idle_by\":\"dns\"";

static void paused(struct world *w)
{
	SAY(toolstack, paused, .id = 0, .domid = 7, .at = loop_now(w->loop));
}

static void suspended(struct world *w)
{
	SAY(toolstack, suspended, .id = 0, .domid = 7, .at = loop_now(w->loop));
}

static void woken(struct world *w)
{
	SAY(toolstack, woken, .id = 0, .boot = w->boots[0], .at = loop_now(w->loop));
}

static void restored(struct world *w, uint32_t domid, const char *note_text)
{
	SAY(toolstack, created, .id = 0, .boot = w->boots[0], .domid = domid,
	    .restored = !*note_text, .began = loop_now(w->loop), .at = loop_now(w->loop),
	    .note = note_text);
}

static void image(struct world *w, const uint8_t uuid[16])
{
	SAY(toolstack, image, .uuid = { uuid, 16 });
}

static void lead_to(struct world *w, const char *phase)
{
	static const char *const way[] = { "retiring",	 "pausing",   "paused",
					   "suspending", "suspended", "end" };

	for (size_t i = 0; i < ARRAY_SIZE(way) - 1; i++) {
		if (i == 0)
			loop_advance(w->loop, 120 * SECOND);
		else if (i == 1)
			retired(w, 0);
		else if (i == 2)
			paused(w);
		else if (i == 3)
			loop_advance(w->loop, 480 * SECOND);
		else
			suspended(w);
		is(w, "a", "phase", way[i]);
		if (strcmp(way[i], phase) == 0)
			break;
	}
	w->dns_log[0] = w->toolstack_log[0] = '\0';
}

static void test_chain(void **state)
{
	struct world *w = ready_world(chain);

	(void)state;
	loop_advance(w->loop, 120 * SECOND);
	DNS("retire 0; ");
	retired(w, 0);
	TOOLSTACK("pause 0 7; ");
	is(w, "a", "state", "stopping");
	paused(w);
	is(w, "a", "state", "paused");
	is(w, "a", "domid", "7");
	loop_advance(w->loop, 480 * SECOND - 1);
	TOOLSTACK("");
	loop_advance(w->loop, 1);
	TOOLSTACK("suspend 0 7; ");
	suspended(w);
	is(w, "a", "state", "suspended");
	is(w, "a", "domid", "none");
	is(w, "a", "image", "true");
	loop_advance(w->loop, 3000 * SECOND - 1);
	TOOLSTACK("");
	loop_advance(w->loop, 1);
	TOOLSTACK("discard 0; ");
	is(w, "a", "state", "off");
	is(w, "a", "image", "none");
	DNS("");
	want(w, 0);
	TOOLSTACK("start 0; ");
	end(w);
}

/* The answer does not wait for response_delay: what was ready is so when it runs. */
static void test_wake(void **state)
{
	struct world *w =
		ready_world("\"nic\":\"br0\",\"stop_mode\":\"pause\",\"response_delay\":0");

	(void)state;
	loop_advance(w->loop, 120 * SECOND);
	retired(w, 0);
	TOOLSTACK("pause 0 7; ");
	paused(w);
	DNS("retire 0; ");
	/* There is no deeper tier. */
	loop_advance(w->loop, 100000 * SECOND);
	TOOLSTACK("");
	want(w, 0);
	TOOLSTACK("wake 0 7; ");
	is(w, "a", "state", "starting");
	loop_advance(w->loop, 2 * MS);
	SAY(toolstack, woken, .id = 0, .boot = w->boots[0] - 1);
	DNS("");
	woken(w);
	DNS("ready 0; ");
	is(w, "a", "boot/how", "woken");
	is(w, "a", "boot/ready", "2.000");
	is(w, "a", "wake", "2.000");
	is(w, "a", "boots", "1");
	loop_advance(w->loop, 120 * SECOND);
	DNS("retire 0; ");
	end(w);
}

static void test_wanted_on_the_way_down(void **state)
{
	struct world *w = ready_world(chain);
	struct answer answer;

	(void)state;
	lead_to(w, "pausing");
	want(w, 0);
	is(w, "a", "state", "starting");
	TOOLSTACK("");
	paused(w);
	TOOLSTACK("wake 0 7; ");
	woken(w);
	DNS("ready 0; ");
	lead_to(w, "suspending");
	want(w, 0);
	TOOLSTACK("");
	suspended(w);
	TOOLSTACK("restore 0; ");
	/* No delay is waited for, but its nic, which is connected anew. */
	call(w, verb_service_set, "{\"name\":\"a\",\"values\":{\"response_delay\":5}}", &answer);
	clear(&answer);
	DNS("service 0 asleep; ");
	restored(w, 7, "");
	is(w, "a", "phase", "booting");
	is(w, "a", "awaits", "frame");
	DNS("");
	loop_advance(w->loop, 20 * MS);
	frame(w, 0);
	DNS("ready 0; ");
	is(w, "a", "boot/how", "restored");
	is(w, "a", "boot/missed", "none");
	is(w, "a", "why", "it is restored from its suspend image");
	is(w, "a", "image", "none");
	/* But no longer than its frame_limit. */
	call(w, verb_service_set, "{\"name\":\"a\",\"values\":{\"frame_limit\":3}}", &answer);
	clear(&answer);
	lead_to(w, "suspended");
	want(w, 0);
	TOOLSTACK("restore 0; ");
	restored(w, 7, "");
	loop_advance(w->loop, 3 * SECOND - 1);
	DNS("");
	loop_advance(w->loop, 1);
	DNS("ready 0; ");
	is(w, "a", "why", "its nic was not connected again in 3000 ms");
	end(w);
}

static void test_restore_fails(void **state)
{
	struct world *w = ready_world(chain);

	(void)state;
	lead_to(w, "suspended");
	want(w, 0);
	TOOLSTACK("restore 0; ");
	restored(w, 8, "the image is torn");
	is(w, "a", "phase", "booting");
	is(w, "a", "notice", "the image is torn");
	frame(w, 0);
	DNS("ready 0; ");
	is(w, "a", "boot/how", "booted");
	/* Not even that: the image is kept, for another time. */
	lead_to(w, "retiring");
	died(w, 8, 0);
	stopped(w, 0, 8);
	w->dns_log[0] = w->toolstack_log[0] = '\0';
	end(w);
}

static void test_start_fails_and_the_image_stays(void **state)
{
	struct world *w = ready_world(chain);

	(void)state;
	lead_to(w, "suspended");
	want(w, 0);
	TOOLSTACK("restore 0; ");
	start_failed(w, 0);
	DNS("failed 0; ");
	is(w, "a", "state", "suspended");
	is(w, "a", "error", "no memory");
	want(w, 0);
	DNS("failed 0; ");
	loop_advance(w->loop, SECOND);
	want(w, 0);
	TOOLSTACK("restore 0; ");
	end(w);
}

static void test_wake_fails(void **state)
{
	struct world *w = ready_world(chain);

	(void)state;
	lead_to(w, "paused");
	want(w, 0);
	TOOLSTACK("wake 0 7; ");
	SAY(toolstack, wake_failed, .id = 0, .boot = w->boots[0], .text = "no such domain");
	TOOLSTACK("stop 0 7; ");
	stopped(w, 0, 7);
	TOOLSTACK("start 0; ");
	created(w, 0, 8);
	frame(w, 0);
	DNS("ready 0; ");
	is(w, "a", "boot/how", "booted");
	is(w, "a", "notice", "its domain 7 cannot be woken: no such domain");
	end(w);
}

/* It dies while it is being put to sleep: whoever wants it then gets another one. */
static void test_dies_on_the_way_down(void **state)
{
	static const char *const phases[] = { "pausing", "suspending" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
		for (int wanted = 0; wanted < 2; wanted++) {
			struct world *w = ready_world(chain);

			lead_to(w, phases[i]);
			if (wanted)
				want(w, 0);
			died(w, 7, 3);
			if (!wanted)
				is(w, "a", "state", "stopping");
			stop_failed(w, 0, 7);
			loop_advance(w->loop, SECOND);
			DNS(wanted ? "failed 0; " : "");
			TOOLSTACK("stop 0 7; ");
			stopped(w, 0, 7);
			is(w, "a", "domid", "none");
			end(w);
		}
	}
}

/* A guest that cannot be suspended stays as it is, and goes on to the next tier. */
static void test_cannot_be_suspended(void **state)
{
	struct world *w = ready_world(chain);

	(void)state;
	lead_to(w, "suspending");
	stop_failed(w, 0, 7);
	is(w, "a", "state", "paused");
	is(w, "a", "error", "its domain 7 cannot be suspended: it resists");
	loop_advance(w->loop, 3000 * SECOND - 1);
	TOOLSTACK("");
	loop_advance(w->loop, 1);
	TOOLSTACK("stop 0 7; ");
	stopped(w, 0, 7);
	is(w, "a", "state", "off");
	end(w);
	/* As the only tier, it becomes destroy. */
	w = ready_world("\"nic\":\"br0\",\"idle_by\":\"dns\",\"stop_mode\":\"suspend\"");
	loop_advance(w->loop, 120 * SECOND);
	retired(w, 0);
	TOOLSTACK("suspend 0 7; ");
	stop_failed(w, 0, 7);
	DNS("retire 0; ready 0; ");
	loop_advance(w->loop, SECOND - 1);
	DNS("");
	loop_advance(w->loop, 1);
	DNS("retire 0; ");
	retired(w, 0);
	TOOLSTACK("stop 0 7; ");
	end(w);
}

static void test_pause_fails_while_wanted(void **state)
{
	struct world *w = ready_world(chain);

	(void)state;
	lead_to(w, "pausing");
	want(w, 0);
	stop_failed(w, 0, 7);
	DNS("ready 0; ");
	end(w);
}

static void test_shutdown(void **state)
{
	struct world *w = ready_world("\"nic\":\"br0\",\"stop_mode\":\"shutdown\"");

	(void)state;
	loop_advance(w->loop, 120 * SECOND);
	retired(w, 0);
	TOOLSTACK("shutdown 0 7; ");
	died(w, 7, 0); /* that is how it does it */
	TOOLSTACK("");
	stopped(w, 0, 7);
	is(w, "a", "state", "off");
	is(w, "a", "death", "none");
	DNS("retire 0; ");
	end(w);
}

static void test_remove_asleep(void **state)
{
	static const struct {
		const char *phase, *orders, *after;
	} cases[] = {
		{ "pausing", "", "stop 0 7; " },
		{ "paused", "stop 0 7; ", "" },
		{ "suspending", "", "discard 0; " },
		{ "suspended", "discard 0; ", "" },
	};
	struct answer answer;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world *w = ready_world(chain);

		lead_to(w, cases[i].phase);
		call(w, verb_service_remove, "{\"name\":\"a\"}", &answer);
		DNS("forget 0; ");
		TOOLSTACK(cases[i].orders);
		if (i == 0)
			paused(w);
		if (i == 2)
			suspended(w);
		TOOLSTACK(cases[i].after);
		if (i < 2)
			stopped(w, 0, 7);
		assert_int_equal(answer.count, 1);
		clear(&answer);
		end(w);
	}
}

/* A toolstack is lost in each of the new states; the survey says what there is. */
static void test_toolstack_lost(void **state)
{
	static const struct {
		const char *phase;
		const char *running, *is_paused, *is_image, *absent;
	} cases[] = {
		{ "pausing", "pausing", "paused", "suspended", "off" },
		{ "paused", "ready", "paused", "suspended", "off" },
		{ "suspending", "suspending", "suspending", "suspended", "off" },
		{ "suspended", "ready", "paused", "suspended", "off" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (int what = 0; what < 4; what++) {
			struct world *w = ready_world(chain);

			lead_to(w, cases[i].phase);
			lose_toolstack(w);
			connect_toolstack(w);
			if (what < 2)
				SAY(toolstack, found, .domid = 9, .uuid = { w->uuids[0], 16 },
				    .whole = true, .running = what == 0, .paused = what == 1,
				    .service = "a");
			if (what == 2)
				image(w, w->uuids[0]);
			survey_end(w);
			is(w, "a", "phase",
			   what == 0   ? cases[i].running
			   : what == 1 ? cases[i].is_paused
			   : what == 2 ? cases[i].is_image
				       : cases[i].absent);
			w->dns_log[0] = w->toolstack_log[0] = '\0';
			end(w);
		}
	}
}

static void test_surveyed_anew(void **state)
{
	static const uint8_t nobodys[16] = { 0xab, 0xcd };
	struct world *w = calloc(1, sizeof *w);
	struct answer answer;

	(void)state;
	unlink(store_path);
	w->loop = loop_new(LOOP_CLOCK_FAKE);
	w->approve = true;
	engine_start(w, store_path, 4, NULL, 0);
	connect_toolstack(w);
	survey_end(w);
	add(w, "a", chain);
	add(w, "b", chain);
	add(w, "c", chain);
	learn_uuid(w, "a", 0);
	learn_uuid(w, "b", 1);
	learn_uuid(w, "c", 2);
	engine_free(w->engine);
	loop_settle(w->loop);
	engine_start(w, store_path, 4, NULL, 0);
	connect_dns(w);
	w->dns_log[0] = w->toolstack_log[0] = '\0';
	connect_toolstack(w);
	TOOLSTACK("survey; ");
	image(w, w->uuids[0]);
	image(w, nobodys);
	image(w, w->uuids[2]);
	SAY(toolstack, found, .domid = 4, .uuid = { w->uuids[1], 16 }, .whole = true,
	    .paused = true, .service = "b");
	found(w, w->uuids[2], 5, true, true, "c");
	survey_end(w);
	is(w, "a", "state", "suspended");
	is(w, "b", "state", "paused");
	is(w, "c", "state", "ready");
	TOOLSTACK("discard 2; "); /* c ran on: its image is of the past */
	DNS("ready 2; ");
	call(w, verb_daemon_status, "{}", &answer);
	assert_string_equal(at(answer.result, "orphans"),
			    "[ \"suspend image of abcd0000-0000-0000-0000-000000000000\" ]");
	clear(&answer);
	want(w, 0);
	want(w, 1);
	TOOLSTACK("restore 0; wake 1 4; ");
	add(w, "d", "\"uuid\":\"abcd0000-0000-0000-0000-000000000000\"");
	is(w, "d", "state", "suspended");
	DNS("service 3 asleep; ");
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_wake),
		cmocka_unit_test(test_wanted_on_the_way_down),
		cmocka_unit_test(test_restore_fails),
		cmocka_unit_test(test_start_fails_and_the_image_stays),
		cmocka_unit_test(test_wake_fails),
		cmocka_unit_test(test_dies_on_the_way_down),
		cmocka_unit_test(test_cannot_be_suspended),
		cmocka_unit_test(test_pause_fails_while_wanted),
		cmocka_unit_test(test_shutdown),
		cmocka_unit_test(test_remove_asleep),
		cmocka_unit_test(test_toolstack_lost),
		cmocka_unit_test(test_surveyed_anew),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
