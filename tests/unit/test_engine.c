/* engine: the life of services between dns and toolstack, and what goes wrong. */
#include "tests/unit/test_engine.h"

static void test_whole_life(void **state)
{
	struct world *w = world(4);

	(void)state;
	add_nic(w, "a");
	DNS("service 0 asleep; ");
	is(w, "a", "state", "off");
	is(w, "a", "boot", "none");
	for (int i = 0; i < 200; i++)
		want(w, 0);
	TOOLSTACK("start 0; ");
	is(w, "a", "state", "starting");
	loop_advance(w->loop, 30 * MS);
	created(w, 0, 7);
	is(w, "a", "domid", "7");
	want(w, 0);
	loop_advance(w->loop, 20 * MS);
	frame(w, 0);
	is(w, "a", "phase", "settling");
	loop_advance(w->loop, 99 * MS);
	DNS("");
	loop_advance(w->loop, 1 * MS);
	DNS("ready 0; ");
	asked(w, 0);
	SAY(dns, answered, .id = 0, .at = loop_now(w->loop), .waiters = 200);
	is(w, "a", "state", "ready");
	is(w, "a", "boot/created", "30.000");
	is(w, "a", "boot/frame", "50.000");
	is(w, "a", "boot/ready", "150.000");
	is(w, "a", "boot/answered", "150.000");
	is(w, "a", "boot/waiters", "200");
	is(w, "a", "boots", "1");
	/* Asked again after 100 s: it stays for 120 s more. */
	loop_advance(w->loop, 100 * SECOND);
	asked(w, 0);
	loop_advance(w->loop, 119 * SECOND);
	is(w, "a", "asked", "119.000");
	DNS("");
	loop_advance(w->loop, 1 * SECOND);
	DNS("retire 0; ");
	is(w, "a", "state", "stopping");
	TOOLSTACK("");
	retired(w, 0);
	TOOLSTACK("stop 0 7; ");
	loop_advance(w->loop, 5 * MS);
	stopped(w, 0, 7);
	is(w, "a", "state", "off");
	is(w, "a", "domid", "none");
	is(w, "a", "boot/idle", "220150.000");
	is(w, "a", "boot/stopped", "220155.000");
	DNS("");
	want(w, 0);
	TOOLSTACK("start 0; ");
	end(w);
}

static void test_never_asked_counts_from_ready(void **state)
{
	struct world *w = world(4);

	(void)state;
	add_nic(w, "a");
	lead(w, "ready");
	loop_advance(w->loop, 120 * SECOND - 1);
	DNS("");
	loop_advance(w->loop, 1);
	DNS("retire 0; ");
	end(w);
}

static void test_asked_while_retiring(void **state)
{
	struct world *w = world(4);

	(void)state;
	add_nic(w, "a");
	lead(w, "retiring");
	asked(w, 0);
	retired(w, 0);
	DNS("ready 0; ");
	is(w, "a", "state", "ready");
	/* And from there on it is idle after as long again. */
	loop_advance(w->loop, 120 * SECOND);
	DNS("retire 0; ");
	retired(w, 0);
	TOOLSTACK("stop 0 7; ");
	end(w);
}

static void test_wanted_while_stopping(void **state)
{
	struct world *w = world(4);

	(void)state;
	add_nic(w, "a");
	lead(w, "stopping");
	want(w, 0);
	want(w, 0);
	is(w, "a", "state", "starting");
	TOOLSTACK("");
	stopped(w, 0, 99);
	TOOLSTACK("");
	stopped(w, 0, 7);
	TOOLSTACK("start 0; ");
	stopped(w, 0, 7); /* late, and twice: nothing */
	created(w, 0, 8);
	frame(w, 0);
	loop_advance(w->loop, 100 * MS);
	DNS("ready 0; ");
	end(w);
}

static void test_places(void **state)
{
	struct world *w = world(2);

	(void)state;
	add(w, "a", "");
	add_nic(w, "b");
	add(w, "c", "");
	add(w, "d", "");
	add(w, "e", "");
	w->dns_log[0] = '\0';
	for (uint32_t id = 0; id < 5; id++)
		want(w, 4 - id);
	TOOLSTACK("start 4; start 3; ");
	is(w, "c", "phase", "queued");
	start_failed(w, 3);
	TOOLSTACK("start 2; ");
	/* Removed while it waits: its turn is the next one's. */
	struct answer answer;

	call(w, verb_service_remove, "{\"name\":\"b\"}", &answer);
	assert_int_equal(answer.count, 1);
	clear(&answer);
	created(w, 4, 20);
	TOOLSTACK("start 0; ");
	DNS("failed 3; forget 1; ready 4; ");
	created(w, 2, 21);
	created(w, 0, 22);
	DNS("ready 2; ready 0; ");
	end(w);
}

static void test_failure_and_back_off(void **state)
{
	struct world *w = world(4);

	(void)state;
	add_nic(w, "a");
	DNS("service 0 asleep; ");
	for (uint64_t wait = 1; wait <= 128; wait *= 2) {
		want(w, 0);
		TOOLSTACK("start 0; ");
		start_failed(w, 0);
		DNS("failed 0; ");
		is(w, "a", "error", "no memory");
		is(w, "a", "state", "failed");
		loop_advance(w->loop, (wait < 60 ? wait : 60) * SECOND - 1);
		want(w, 0);
		DNS("failed 0; ");
		TOOLSTACK("");
		loop_advance(w->loop, 1);
	}
	is(w, "a", "failures", "8");
	want(w, 0);
	TOOLSTACK("start 0; ");
	created(w, 0, 7);
	frame(w, 0);
	loop_advance(w->loop, 100 * MS);
	DNS("ready 0; ");
	is(w, "a", "error", "none");
	end(w);
}

static void test_death(void **state)
{
	struct world *w = world(4);

	(void)state;
	add_nic(w, "a");
	lead(w, "booting");
	died(w, 7, 3);
	DNS("failed 0; ");
	TOOLSTACK("stop 0 7; ");
	is(w, "a", "error", "its domain 7 crashed while it was starting");
	want(w, 0);
	DNS("failed 0; ");
	stopped(w, 0, 7);
	loop_advance(w->loop, SECOND);
	lead(w, "ready");
	died(w, 7, 255);
	DNS("asleep 0; ");
	TOOLSTACK("stop 0 7; ");
	want(w, 0);
	TOOLSTACK("");
	stopped(w, 0, 7);
	TOOLSTACK("start 0; ");
	end(w);
}

static void test_no_nic_no_frame(void **state)
{
	struct world *w = world(4);

	(void)state;
	add(w, "a", "\"response_delay\":1");
	add(w, "b", "\"nic\":\"br0\"");
	DNS("service 0 asleep; service 1 asleep; ");
	want(w, 0);
	want(w, 1);
	TOOLSTACK("start 0; start 1; ");
	created(w, 0, 7);
	created(w, 1, 8);
	loop_advance(w->loop, 999 * MS);
	DNS("");
	loop_advance(w->loop, 1 * MS);
	DNS("ready 0; ");
	loop_advance(w->loop, 58 * SECOND);
	is(w, "b", "phase", "booting");
	loop_advance(w->loop, 1 * SECOND);
	DNS("ready 1; ");
	frame(w, 1);
	is(w, "b", "phase", "ready");
	end(w);
}

static void test_late_messages(void **state)
{
	struct world *w = world(4);

	(void)state;
	add_nic(w, "a");
	lead(w, "building");
	SAY(toolstack, created, .id = 0, .boot = w->boots[0] - 1, .domid = 5);
	SAY(toolstack, start_failed, .id = 0, .boot = w->boots[0] + 1, .field = "", .text = "");
	SAY(toolstack, frame, .id = 0, .boot = w->boots[0]);
	SAY(toolstack, stopped, .id = 0, .domid = 7);
	SAY(toolstack, created, .id = 9, .boot = w->boots[0], .domid = 5);
	SAY(toolstack, died, .domid = 5);
	SAY(toolstack, checked, .request = 12345, .field = "", .text = "");
	want(w, 9);
	retired(w, 9);
	retired(w, 0);
	SAY(dns, answered, .id = 9);
	is(w, "a", "phase", "building");
	created(w, 0, 7);
	created(w, 0, 7);
	is(w, "a", "phase", "booting");
	end(w);
}

static void test_stop_fails(void **state)
{
	struct world *w = world(4);

	(void)state;
	add_nic(w, "a");
	lead(w, "stopping");
	stop_failed(w, 0, 7);
	is(w, "a", "error", "its domain 7 cannot be stopped: it resists");
	loop_advance(w->loop, SECOND);
	TOOLSTACK("stop 0 7; ");
	want(w, 0); /* the back-off is over */
	stop_failed(w, 0, 7);
	DNS("failed 0; ");
	want(w, 0);
	DNS("failed 0; ");
	loop_advance(w->loop, 2 * SECOND);
	TOOLSTACK("stop 0 7; ");
	stopped(w, 0, 7);
	is(w, "a", "state", "off");
	end(w);
}

static void test_conflicts_and_races(void **state)
{
	struct world *w = world(4);
	struct answer a, b, c;

	(void)state;
	w->approve = false;
	call(w, verb_service_add, "{\"name\":\"a\",\"dns\":\"x\",\"ip\":\"10.0.0.1\"}", &a);
	uint32_t first = w->request;
	call(w, verb_service_add, "{\"name\":\"a\",\"dns\":\"y\",\"ip\":\"10.0.0.2\"}", &b);
	uint32_t second = w->request;
	call(w, verb_service_add, "{\"name\":\"c\",\"dns\":\"x\",\"ip\":\"10.0.0.2\"}", &c);
	TOOLSTACK("check; check; check; ");
	SAY(toolstack, checked, .request = second, .field = "", .text = "");
	SAY(toolstack, checked, .request = first, .field = "", .text = "");
	SAY(toolstack, checked, .request = w->request, .field = "", .text = "");
	loop_advance(w->loop, 0);
	assert_string_equal(at(b.result, "dns"), "[ \"y\" ]");
	assert_int_equal(a.err.kind, ERROR_CONFLICT);
	assert_string_equal(a.err.field, "name");
	assert_int_equal(c.err.kind, ERROR_CONFLICT);
	assert_string_equal(c.err.field, "ip");
	assert_non_null(strstr(c.err.text, "service \"a\" has it"));
	DNS("service 0 asleep; ");
	clear(&b);
	/* Refused before the toolstack is asked, and by the toolstack. */
	call(w, verb_service_add, "{\"name\":\"d\",\"dns\":\"x\",\"ip\":\"10.0.0.2\"}", &a);
	assert_int_equal(a.err.kind, ERROR_CONFLICT);
	TOOLSTACK("");
	call(w, verb_service_add, "{\"name\":\"d\",\"dns\":\"x\"}", &a);
	assert_string_equal(a.err.field, "ip");
	call(w, verb_service_add, "{\"name\":\"d\",\"dns\":\"x\",\"ip\":\"10.0.0.3\"}", &a);
	TOOLSTACK("check; ");
	SAY(toolstack, checked, .request = w->request, .kind = ERROR_INPUT, .field = "kernel",
	    .text = "kernel: \"/k\": no such file");
	assert_int_equal(a.err.kind, ERROR_INPUT);
	assert_string_equal(a.err.field, "kernel");
	assert_string_equal(a.err.text, "kernel: \"/k\": no such file");
	call(w, verb_service_list, "{}", &a);
	assert_int_equal(json_object_array_length(json_object_object_get(a.result, "services")), 1);
	clear(&a);
	end(w);
}

static void test_add_without_toolstack(void **state)
{
	struct world *w = world(4);
	struct answer a, b;

	(void)state;
	lose_toolstack(w);
	call(w, verb_service_add, "{\"name\":\"a\",\"dns\":\"x\",\"ip\":\"10.0.0.1\"}", &a);
	loop_advance(w->loop, 9 * SECOND);
	assert_int_equal(a.count, 0);
	call(w, verb_service_add, "{\"name\":\"b\",\"dns\":\"x\",\"ip\":\"10.0.0.2\"}", &b);
	loop_advance(w->loop, SECOND);
	assert_int_equal(a.err.kind, ERROR_BUSY);
	connect_toolstack(w);
	loop_advance(w->loop, 0);
	assert_int_equal(b.count, 1);
	assert_non_null(b.result);
	TOOLSTACK("survey; ");
	DNS("service 0 asleep; ");
	clear(&b);
	end(w);
}

static void test_declared(void **state)
{
	static const char *const first[] = {
		"{\"name\":\"a\",\"dns\":\"a\",\"ip\":\"10.0.0.1\"}",
		"{\"name\":\"b\",\"dns\":\"b\",\"ip\":\"10.0.0.2\"}",
		"{\"name\":\"bad\",\"dns\":\"b\"}",
		"{\"name\":\"c\",\"dns\":\"c\",\"ip\":\"10.0.0.2\"}",
		"not json",
	};
	static const char *const second[] = {
		"{\"name\":\"a\",\"ip\":\"10.0.0.1\",\"dns\":[\"A.\"]}",
		"{\"name\":\"b\",\"dns\":[\"b\",\"bb\"],\"ip\":\"10.0.0.3\"}",
	};
	struct world *w = calloc(1, sizeof *w);

	(void)state;
	unlink(store_path);
	w->loop = loop_new(LOOP_CLOCK_FAKE);
	w->approve = true;
	engine_start(w, store_path, 4, first, ARRAY_SIZE(first));
	connect_dns(w);
	DNS("table 0; end; ");
	connect_toolstack(w);
	loop_advance(w->loop, 0);
	DNS("service 0 asleep; service 1 asleep; ");
	learn_uuid(w, "a", 0);
	engine_free(w->engine);
	loop_settle(w->loop);
	w->dns_log[0] = w->toolstack_log[0] = '\0';
	engine_start(w, store_path, 4, second, ARRAY_SIZE(second));
	connect_dns(w);
	DNS("table 2; service 0 asleep; service 1 asleep; end; ");
	w->approve = false;
	connect_toolstack(w);
	TOOLSTACK("survey; check; "); /* for b alone: a is as it was */
	learn_uuid(w, "a", 1);
	assert_memory_equal(w->uuids[0], w->uuids[1], 16);
	SAY(toolstack, checked, .request = w->request, .field = "", .text = "");
	DNS("service 1 asleep; ");
	is(w, "b", "ip", "[ \"10.0.0.3\" ]");
	is(w, "b", "dns", "[ \"b\", \"bb\" ]");
	engine_free(w->engine);
	/* Kept when it runs. */
	engine_start(w, store_path, 4, first, 2);
	loop_settle(w->loop);
	w->dns_log[0] = w->toolstack_log[0] = '\0';
	connect_toolstack(w);
	connect_dns(w);
	learn_uuid(w, "b", 1);
	found(w, w->uuids[1], 9, true, true, "b");
	survey_end(w);
	SAY(toolstack, checked, .request = w->request, .field = "", .text = "");
	is(w, "b", "ip", "[ \"10.0.0.3\" ]");
	TOOLSTACK("survey; check; ");
	DNS("table 2; service 0 asleep; service 1 asleep; end; ready 1; ");
	end(w);
}

static void test_store_full(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	struct rlimit old, none;
	struct answer a;

	(void)state;
	unlink(store_path);
	w->loop = loop_new(LOOP_CLOCK_FAKE);
	w->approve = true;
	engine_start(w, store_path, 4, NULL, 0);
	connect_dns(w);
	connect_toolstack(w);
	survey_end(w);
	w->dns_log[0] = w->toolstack_log[0] = '\0';
	add(w, "a", "");
	DNS("service 0 asleep; ");
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	none = (struct rlimit){ 0, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	call(w, verb_service_add, "{\"name\":\"b\",\"dns\":\"b\",\"ip\":\"10.99.0.2\"}", &a);
	struct answer b;

	call(w, verb_service_remove, "{\"name\":\"a\"}", &b);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(a.err.kind, ERROR_SYSTEM);
	assert_non_null(strstr(a.err.text, store_path));
	assert_int_equal(b.err.kind, ERROR_SYSTEM);
	call(w, verb_service_list, "{}", &a);
	assert_int_equal(json_object_array_length(json_object_object_get(a.result, "services")), 1);
	clear(&a);
	/* Nothing half-done is in the way. */
	add(w, "b", "");
	DNS("service 1 asleep; ");
	end(w);
}

static void test_bad_messages(void **state)
{
	struct world *w = world(4);
	uint8_t junk[3] = { MESSAGE_want, 1, 2 };

	(void)state;
	link_send(w->dns, junk, sizeof junk);
	loop_settle(w->loop);
	DNS("closed; ");
	/* A message that only a toolstack may send. */
	connect_dns(w);
	DNS("table 0; end; ");
	SAY(dns, died, .domid = 3);
	DNS("closed; ");
	link_send(w->toolstack, junk, sizeof junk);
	loop_settle(w->loop);
	TOOLSTACK("closed; ");
	connect_toolstack(w);
	SAY(toolstack, found, .domid = 3, .uuid = { junk, 3 }, .service = "x");
	survey_end(w);
	TOOLSTACK("survey; ");
	end(w);
}

static void test_many(void **state)
{
	struct world *w = world(4);
	struct answer answer;
	char name[32], params[64];

	(void)state;
	w->quiet = true;
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 1000; i++) {
			snprintf(name, sizeof name, "s%d", i);
			add_nic(w, name);
		}
		for (int i = 0; i < 1000; i++) {
			snprintf(params, sizeof params, "{\"name\":\"s%d\"}", i * 7 % 1000);
			call(w, verb_service_remove, params, &answer);
			assert_int_equal(answer.count, 1);
			clear(&answer);
		}
	}
	call(w, verb_daemon_status, "{}", &answer);
	assert_string_equal(at(answer.result, "services"), "0");
	clear(&answer);
	end(w);
}

/* A thousand wanted at once: all get their turn, each is started once. */
static void test_storm(void **state)
{
	struct world *w = world(8);
	char name[32];

	(void)state;
	w->quiet = true;
	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof name, "s%d", i);
		add(w, name, "");
	}
	for (uint32_t id = 0; id < 60; id++) {
		want(w, id);
		want(w, id);
	}
	assert_int_equal(w->starts, 8);
	for (uint32_t id = 0; id < 60; id++)
		created(w, id, 100 + id);
	assert_int_equal(w->starts, 60);
	for (uint32_t id = 0; id < 60; id++) {
		snprintf(name, sizeof name, "s%u", id);
		is(w, name, "state", "ready");
	}
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_life),
		cmocka_unit_test(test_never_asked_counts_from_ready),
		cmocka_unit_test(test_asked_while_retiring),
		cmocka_unit_test(test_wanted_while_stopping),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_failure_and_back_off),
		cmocka_unit_test(test_death),
		cmocka_unit_test(test_no_nic_no_frame),
		cmocka_unit_test(test_late_messages),
		cmocka_unit_test(test_stop_fails),
		cmocka_unit_test(test_conflicts_and_races),
		cmocka_unit_test(test_add_without_toolstack),
		cmocka_unit_test(test_declared),
		cmocka_unit_test(test_store_full),
		cmocka_unit_test(test_bad_messages),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_storm),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
