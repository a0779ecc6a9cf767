/* engine: the verbs that move or change a service. */
#include "tests/unit/test_engine.h"

#define A "{\"name\":\"a\"}"

static void gets(struct answer *answer, const char *key, const char *expected)
{
	assert_int_equal(answer->count, 1);
	if (!answer->result)
		fail_msg("%s", answer->err.text);
	assert_string_equal(at(answer->result, key), expected);
	clear(answer);
}

static void fails(struct answer *answer, enum error_kind kind, const char *words)
{
	assert_int_equal(answer->count, 1);
	assert_null(answer->result);
	assert_int_equal(answer->err.kind, kind);
	if (!strstr(answer->err.text, words))
		fail_msg("%s", answer->err.text);
	clear(answer);
}

static void on_dropped(void *arg, struct json_object *result, const struct error *err)
{
	(void)arg;
	(void)err;
	json_object_put(result);
}

/* Whatever comes of it. */
static void order(struct world *w, verb_fn *verb)
{
	struct json_object *params = json_tokener_parse(A);

	verb(w->engine, params, on_dropped, NULL);
	json_object_put(params);
	loop_settle(w->loop);
}

static void test_nobody(void **state)
{
	static verb_fn *const verbs[] = { verb_service_start, verb_service_stop,
					  verb_service_pause, verb_service_restart,
					  verb_service_pin,   verb_service_unpin };
	struct world *w = world(4);
	struct answer answer;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		call(w, verbs[i], A, &answer);
		fails(&answer, ERROR_ABSENT, "there is no such service");
	}
	call(w, verb_service_set, "{\"name\":\"a\",\"values\":{\"ttl\":1}}", &answer);
	fails(&answer, ERROR_ABSENT, "there is no such service");
	end(w);
}

static void test_start(void **state)
{
	struct world *w = world(4);
	struct answer answer, other;

	(void)state;
	add_nic(w, "a");
	for (int i = 0; i < 3; i++) {
		want(w, 0);
		start_failed(w, 0);
		loop_advance(w->loop, 60 * SECOND);
	}
	want(w, 0);
	start_failed(w, 0);
	w->dns_log[0] = w->toolstack_log[0] = '\0';
	is(w, "a", "retry", "8.000");
	/* It clears the back-off, and tells how it ended. */
	call(w, verb_service_start, A, &answer);
	TOOLSTACK("start 0; ");
	is(w, "a", "retry", "none");
	start_failed(w, 0);
	fails(&answer, ERROR_SYSTEM, "service a: no memory");
	is(w, "a", "retry", "1.000");
	DNS("failed 0; ");
	call(w, verb_service_start, A, &answer);
	call(w, verb_service_start, A, &other);
	TOOLSTACK("start 0; ");
	created(w, 0, 7);
	frame(w, 0);
	assert_int_equal(answer.count, 0);
	loop_advance(w->loop, 100 * MS);
	gets(&answer, "state", "ready");
	gets(&other, "boot/ready", "100.000");
	DNS("ready 0; ");
	call(w, verb_service_start, A, &answer);
	gets(&answer, "state", "ready");
	end(w);
}

static void test_start_takes_long(void **state)
{
	struct world *w = world(4);
	struct answer answer;

	(void)state;
	add_nic(w, "a");
	call(w, verb_service_start, A, &answer);
	loop_advance(w->loop, 60 * SECOND);
	gets(&answer, "phase", "building");
	call(w, verb_service_start, A, &answer);
	order(w, verb_service_remove);
	fails(&answer, ERROR_ABSENT, "removed");
	start_failed(w, 0);
	w->dns_log[0] = w->toolstack_log[0] = '\0';
	end(w);
}

static void test_stop(void **state)
{
	struct world *w = ready_world("\"nic\":\"br0\"");
	struct answer answer;

	(void)state;
	asked(w, 0);
	call(w, verb_service_stop, A, &answer);
	DNS("asleep 0; ");
	TOOLSTACK("stop 0 7; ");
	assert_int_equal(answer.count, 0);
	stopped(w, 0, 7);
	gets(&answer, "state", "off");
	call(w, verb_service_stop, A, &answer);
	gets(&answer, "state", "off");
	/* While it is being built. */
	want(w, 0);
	TOOLSTACK("start 0; ");
	call(w, verb_service_stop, A, &answer);
	DNS("failed 0; ");
	is(w, "a", "state", "stopping");
	created(w, 0, 8);
	TOOLSTACK("stop 0 8; ");
	stopped(w, 0, 8);
	gets(&answer, "state", "off");
	/* And wanted again meanwhile. */
	want(w, 0);
	call(w, verb_service_stop, A, &answer);
	DNS("failed 0; ");
	want(w, 0);
	is(w, "a", "phase", "building");
	created(w, 0, 9);
	frame(w, 0);
	fails(&answer, ERROR_SYSTEM, "wanted again at once");
	TOOLSTACK("start 0; ");
	DNS("ready 0; ");
	end(w);
}

static void test_modes(void **state)
{
	struct world *w = ready_world("\"nic\":\"br0\"");
	struct answer answer;

	(void)state;
	call(w, verb_service_stop, "{\"name\":\"a\",\"mode\":\"sleep\"}", &answer);
	fails(&answer, ERROR_INPUT,
	      "mode: \"sleep\": expected destroy, shutdown, suspend or pause");
	call(w, verb_service_pause, A, &answer);
	TOOLSTACK("pause 0 7; ");
	order(w, verb_service_stop);
	SAY(toolstack, paused, .id = 0, .domid = 7);
	gets(&answer, "state", "paused");
	/* What the administrator paused stays so until it is wanted. */
	loop_advance(w->loop, 100000 * SECOND);
	TOOLSTACK("");
	call(w, verb_service_pause, A, &answer);
	gets(&answer, "state", "paused");
	call(w, verb_service_stop, "{\"name\":\"a\",\"mode\":\"suspend\"}", &answer);
	TOOLSTACK("suspend 0 7; ");
	SAY(toolstack, suspended, .id = 0, .domid = 7);
	gets(&answer, "state", "suspended");
	call(w, verb_service_pause, A, &answer);
	fails(&answer, ERROR_BUSY, "service a is suspended: it cannot be paused now");
	call(w, verb_service_stop, "{\"name\":\"a\",\"mode\":\"shutdown\"}", &answer);
	TOOLSTACK("discard 0; ");
	gets(&answer, "state", "off");
	call(w, verb_service_pause, A, &answer);
	fails(&answer, ERROR_BUSY, "service a is off: it cannot be paused now");
	DNS("asleep 0; ");
	call(w, verb_service_start, A, &answer);
	created(w, 0, 8);
	frame(w, 0);
	gets(&answer, "state", "ready");
	call(w, verb_service_stop, "{\"name\":\"a\",\"mode\":\"shutdown\"}", &answer);
	TOOLSTACK("start 0; shutdown 0 8; ");
	DNS("ready 0; asleep 0; ");
	stopped(w, 0, 8);
	gets(&answer, "state", "off");
	end(w);
}

static void test_stop_fails(void **state)
{
	struct world *w = ready_world("\"nic\":\"br0\"");
	struct answer answer;

	(void)state;
	call(w, verb_service_stop, "{\"name\":\"a\",\"mode\":\"suspend\"}", &answer);
	TOOLSTACK("suspend 0 7; ");
	stop_failed(w, 0, 7);
	fails(&answer, ERROR_SYSTEM, "its domain 7 cannot be suspended: it resists");
	DNS("asleep 0; ready 0; ");
	end(w);
}

static void test_restart(void **state)
{
	struct world *w = ready_world("\"nic\":\"br0\"");
	struct answer answer;

	(void)state;
	call(w, verb_service_restart, A, &answer);
	DNS("asleep 0; ");
	TOOLSTACK("stop 0 7; ");
	want(w, 0);
	stopped(w, 0, 7);
	TOOLSTACK("start 0; ");
	created(w, 0, 8);
	frame(w, 0);
	DNS("ready 0; ");
	gets(&answer, "state", "ready");
	call(w, verb_service_pause, A, &answer);
	clear(&answer);
	call(w, verb_service_restart, A, &answer);
	fails(&answer, ERROR_BUSY, "just being put to sleep");
	DNS("asleep 0; ");
	TOOLSTACK("pause 0 8; ");
	end(w);
	/* A paused one, and a suspended one, whose image is of no use then. */
	for (int suspend = 0; suspend < 2; suspend++) {
		w = ready_world("");
		call(w, verb_service_stop,
		     suspend ? "{\"name\":\"a\",\"mode\":\"suspend\"}"
			     : "{\"name\":\"a\",\"mode\":\"pause\"}",
		     &answer);
		if (suspend)
			SAY(toolstack, suspended, .id = 0, .domid = 7);
		else
			SAY(toolstack, paused, .id = 0, .domid = 7);
		clear(&answer);
		w->dns_log[0] = w->toolstack_log[0] = '\0';
		call(w, verb_service_restart, A, &answer);
		TOOLSTACK(suspend ? "discard 0; start 0; " : "stop 0 7; ");
		if (!suspend) {
			stopped(w, 0, 7);
			TOOLSTACK("start 0; ");
		}
		created(w, 0, 8);
		gets(&answer, "state", "ready");
		DNS("ready 0; ");
		end(w);
	}
}

static void test_pin(void **state)
{
	struct world *w = world(4);
	struct answer answer;

	(void)state;
	add_nic(w, "a");
	DNS("service 0 asleep; ");
	w->approve = false; /* nobody needs to be asked */
	call(w, verb_service_pin, A, &answer);
	gets(&answer, "spec/pinned", "true");
	TOOLSTACK("start 0; ");
	created(w, 0, 7);
	frame(w, 0);
	loop_advance(w->loop, 100000 * SECOND);
	DNS("service 0 asleep; ready 0; ");
	is(w, "a", "pinned", "true");
	asked(w, 0);
	call(w, verb_service_unpin, A, &answer);
	gets(&answer, "pinned", "none");
	DNS("service 0 ready; ");
	loop_advance(w->loop, 120 * SECOND);
	DNS("retire 0; ");
	end(w);
}

static void test_set(void **state)
{
	struct world *w = ready_world("\"nic\":\"br0\",\"idle_by\":\"dns\",\"cmdline\":\"x\"");
	struct answer answer;

	(void)state;
	w->approve = false;
	call(w, verb_service_set, "{\"name\":\"a\",\"values\":{\"ttl\":10,\"dns\":[\"b\",\"c\"]}}",
	     &answer);
	assert_string_equal(at(answer.result, "later"), "[ ]");
	gets(&answer, "now", "[ \"dns\", \"ttl\" ]");
	DNS("service 0 ready; ");
	is(w, "a", "dns", "[ \"b\", \"c\" ]");
	loop_advance(w->loop, 20 * SECOND);
	DNS("retire 0; ");
	want(w, 0);
	DNS("ready 0; ");
	/* What the guest is made of is checked first, and counts when it is made again. */
	call(w, verb_service_set,
	     "{\"name\":\"a\",\"values\":{\"memory\":\"16M\",\"cmdline\":null,\"ttl\":20}}",
	     &answer);
	TOOLSTACK("check; ");
	assert_int_equal(answer.count, 0);
	SAY(toolstack, checked, .request = w->request);
	assert_string_equal(at(answer.result, "now"), "[ \"ttl\" ]");
	gets(&answer, "later", "[ \"memory\", \"cmdline\" ]");
	is(w, "a", "spec/cmdline", "none");
	is(w, "a", "memory", "16384");
	DNS("service 0 ready; ");
	end(w);
}

static void test_set_refused(void **state)
{
	static const struct {
		const char *values;
		enum error_kind kind;
		const char *words;
	} cases[] = {
		{ "{\"name\":\"b\"}", ERROR_INPUT, "name: \"b\": it stays as it is" },
		{ "{\"uuid\":null}", ERROR_INPUT, "uuid: it stays as it is" },
		{ "{\"ttl\":-1}", ERROR_INPUT, "ttl" },
		{ "{\"tll\":1}", ERROR_INPUT, "tll" },
		{ "{\"dns\":null}", ERROR_INPUT, "dns" },
		{ "{\"ip\":\"10.99.0.1\"}", ERROR_BUSY,
		  "ip: \"10.99.0.1\": it can be changed while the service is off, and it is "
		  "ready" },
	};
	struct world *w = ready_world("\"nic\":\"br0\"");
	struct answer answer;
	char params[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(params, sizeof params, "{\"name\":\"a\",\"values\":%s}", cases[i].values);
		call(w, verb_service_set, params, &answer);
		fails(&answer, cases[i].kind, cases[i].words);
	}
	is(w, "a", "spec/ttl", "60");
	call(w, verb_service_set, "{\"name\":\"a\",\"values\":{\"ttl\":60}}", &answer);
	gets(&answer, "now", "[ ]");
	/* The address of another one, once it is off. */
	add(w, "b", "\"ip\":\"10.99.0.1\"");
	call(w, verb_service_stop, A, &answer);
	stopped(w, 0, 7);
	clear(&answer);
	call(w, verb_service_set, "{\"name\":\"a\",\"values\":{\"ip\":\"10.99.0.1\"}}", &answer);
	fails(&answer, ERROR_CONFLICT, "service \"b\" has it");
	call(w, verb_service_set,
	     "{\"name\":\"a\",\"values\":{\"ip\":\"10.99.0.2\",\"memory\":2048}}", &answer);
	assert_string_equal(at(answer.result, "later"), "[ ]");
	gets(&answer, "now", "[ \"ip\", \"memory\" ]");
	/* The toolstack says no. */
	w->approve = false;
	call(w, verb_service_set, "{\"name\":\"a\",\"values\":{\"cmdline\":\"y\"}}", &answer);
	SAY(toolstack, checked, .request = w->request, .kind = ERROR_INPUT, .field = "cmdline",
	    .text = "cmdline: \"y\": bad");
	fails(&answer, ERROR_INPUT, "cmdline");
	is(w, "a", "spec/cmdline", "none");
	/* Removed while it is asked. */
	call(w, verb_service_set, "{\"name\":\"a\",\"values\":{\"cmdline\":\"y\"}}", &answer);
	order(w, verb_service_remove);
	SAY(toolstack, checked, .request = w->request);
	fails(&answer, ERROR_ABSENT, "removed meanwhile");
	w->dns_log[0] = w->toolstack_log[0] = '\0';
	end(w);
}

/* The address that the toolstack read from the rumprun configuration. */
static void test_addition(void **state)
{
	struct world *w = world(4);
	struct answer answer;

	(void)state;
	w->approve = false;
	call(w, verb_service_add,
	     "{\"name\":\"a\",\"dns\":\"a\",\"rumprun_config\":\"/r.cfg\",\"ttl\":5}", &answer);
	TOOLSTACK("check; ");
	SAY(toolstack, checked, .request = w->request,
	    .addition = "{\"ip\":[\"10.0.120.101\"],\"ttl\":7}");
	loop_advance(w->loop, 0);
	assert_string_equal(at(answer.result, "spec/ttl"), "5");
	gets(&answer, "ip", "[ \"10.0.120.101\" ]");
	DNS("service 0 asleep; ");
	call(w, verb_service_add, "{\"name\":\"b\",\"dns\":\"b\",\"rumprun_config\":\"/r.cfg\"}",
	     &answer);
	SAY(toolstack, checked, .request = w->request, .addition = "{\"ip\":[\"10.0.120.101\"]}");
	fails(&answer, ERROR_CONFLICT, "ip: \"10.0.120.101\"");
	call(w, verb_service_add, "{\"name\":\"b\",\"dns\":\"b\",\"rumprun_config\":\"/r.cfg\"}",
	     &answer);
	SAY(toolstack, checked, .request = w->request, .addition = "ip=1");
	fails(&answer, ERROR_SYSTEM, "addition");
	TOOLSTACK("check; check; ");
	end(w);
}

static void test_traffic_in_the_listing(void **state)
{
	struct world *w = ready_world("\"nic\":\"br0\",\"idle_by\":\"dns\"");
	struct answer answer;

	(void)state;
	w->deaf = true;
	is(w, "a", "rx", "none");
	for (int i = 0; i < 3; i++) {
		call(w, verb_service_list, "{\"measure\":true}", &answer);
		clear(&answer);
	}
	TOOLSTACK("measure 0 7; ");
	SAY(toolstack, measured, .id = 0, .domid = 6, .rx = 1, .tx = 2);
	SAY(toolstack, measured, .id = 0, .domid = 7, .rx = 100, .tx = 200);
	loop_advance(w->loop, SECOND);
	is(w, "a", "rx", "100");
	is(w, "a", "tx", "200");
	is(w, "a", "measured", "1.000");
	call(w, verb_service_list, "{\"measure\":true}", &answer);
	clear(&answer);
	TOOLSTACK("measure 0 7; ");
	end(w);
}

static void test_at_the_end(void **state)
{
	struct world *w = world(4);
	struct answer answer;

	(void)state;
	add_nic(w, "a");
	call(w, verb_service_start, A, &answer);
	w->dns_log[0] = w->toolstack_log[0] = '\0';
	end(w);
	fails(&answer, ERROR_BUSY, "the daemon ends");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_start_takes_long),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_stop_fails),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_pin),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_set_refused),
		cmocka_unit_test(test_addition),
		cmocka_unit_test(test_traffic_in_the_listing),
		cmocka_unit_test(test_at_the_end),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
