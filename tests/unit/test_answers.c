/*
 * What the engine really answers is what control.tbl.h says: no key that it does not name, of the
 * kind that it names. The engine and the simulated toolstack on a fake clock; dns is a stub.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/link.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/engine.h"
#include "engine/verbs.h"
#include "proto/control.h"
#include "proto/message.h"
#include "proto/usage.h"
#include "toolstack/toolstack.h"

static struct loop *loop;
static struct engine *engine;
static struct toolstack *toolstack;
static struct link *dns;
static uint32_t service_id;
static unsigned seen[256]; /* how often each row of control_fields was met */

static void on_service(void *arg, const struct msg_service *m)
{
	(void)arg;
	service_id = m->id;
}

static void ignore_table_begin(void *arg, const struct msg_table_begin *m)
{
	(void)arg;
	(void)m;
}

static void ignore_table_end(void *arg, const struct msg_table_end *m)
{
	(void)arg;
	(void)m;
}

static void on_ready(void *arg, const struct msg_ready *m)
{
	struct msg_answered answered = { .id = m->id, .at = loop_now(loop), .waiters = 1 };

	(void)arg;
	message_send_answered(dns, &answered);
}

static void on_retire(void *arg, const struct msg_retire *m)
{
	struct msg_retired retired = { .id = m->id };

	(void)arg;
	message_send_retired(dns, &retired);
}

static void ignore_asleep(void *arg, const struct msg_asleep *m)
{
	(void)arg;
	(void)m;
}

static void ignore_failed(void *arg, const struct msg_failed *m)
{
	(void)arg;
	(void)m;
}

static void ignore_forget(void *arg, const struct msg_forget *m)
{
	(void)arg;
	(void)m;
}

static void on_message(void *arg, const uint8_t *data, size_t size, int fd)
{
	static const struct message_handlers handlers = {
		.service = on_service,
		.table_begin = ignore_table_begin,
		.table_end = ignore_table_end,
		.ready = on_ready,
		.retire = on_retire,
		.asleep = ignore_asleep,
		.failed = ignore_failed,
		.forget = ignore_forget,
	};
	struct error err;

	(void)fd;
	if (message_dispatch(data, size, &handlers, arg, &err) < 0)
		fail_msg("%s", err.text);
}

static void on_closed(void *arg)
{
	(void)arg;
}

static int setup(void **state)
{
	static const struct link_callbacks callbacks = { on_message, on_closed };
	struct engine_config config = {
		.store = ":memory:",
		.control_fd = -1,
		.simulated = true,
		.ttl = 1,
		.response_delay = 10,
		.wait_limit = 700,
		.boots = 2,
		.version = "0",
		.backend = "sim",
		.listen = "nowhere",
	};
	struct toolstack_config toolstack_config = { .backend = "sim", .boots = 2 };
	int fds[2];
	struct error err;

	(void)state;
	config.usage = usage_map(usage_create());
	loop = loop_new(LOOP_CLOCK_FAKE);
	engine = engine_new(loop, &config, &err);
	assert_non_null(engine);
	toolstack = toolstack_new(loop, &toolstack_config, &err);
	assert_non_null(toolstack);
	assert_int_equal(link_pair(fds), 0);
	engine_connect_toolstack(engine, fds[0]);
	toolstack_connect_engine(toolstack, fds[1]);
	assert_int_equal(link_pair(fds), 0);
	engine_connect_dns(engine, fds[0]);
	dns = link_new(loop, fds[1], &callbacks, NULL);
	loop_advance(loop, USEC_PER_SEC);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	link_free(dns);
	engine_free(engine);
	toolstack_free(toolstack);
	loop_free(loop);
	return 0;
}

static void check_object(const char *result, struct json_object *object);

static void check_value(const struct control_field *field, struct json_object *value)
{
	static const enum json_type types[][2] = {
		[CONTROL_TEXT] = { json_type_string },
		[CONTROL_TEXTS] = { json_type_array },
		[CONTROL_BOOL] = { json_type_boolean },
		[CONTROL_NUMBER] = { json_type_int },
		[CONTROL_KIB] = { json_type_int },
		[CONTROL_MSEC] = { json_type_int, json_type_double },
		[CONTROL_SECONDS] = { json_type_int, json_type_double },
		[CONTROL_DATE] = { json_type_int },
		[CONTROL_TIME] = { json_type_double },
		[CONTROL_COUNTS] = { json_type_object },
		[CONTROL_SPEC] = { json_type_object },
		[CONTROL_VALUES] = { json_type_object },
		[CONTROL_BOOT] = { json_type_object },
		[CONTROL_SERVICES] = { json_type_array },
		[CONTROL_EVENTS] = { json_type_array },
	};
	enum json_type type = json_object_get_type(value);

	if (!value || (type != types[field->kind][0] && type != types[field->kind][1]))
		fail_msg("%s.%s is %s", field->result, field->key, json_object_get_string(value));
	if (field->kind == CONTROL_BOOT)
		check_object("boot", value);
	if (field->kind == CONTROL_SERVICES) {
		for (size_t i = 0; i < json_object_array_length(value); i++)
			check_object("service", json_object_array_get_idx(value, i));
	}
}

static void check_object(const char *result, struct json_object *object)
{
	json_object_object_foreach(object, key, value)
	{
		size_t i = 0;

		while (control_fields[i].key && (strcmp(control_fields[i].result, result) != 0 ||
						 strcmp(control_fields[i].key, key) != 0))
			i++;
		if (!control_fields[i].key)
			fail_msg("%s.%s is not in control.tbl.h", result, key);
		assert_true(i < ARRAY_SIZE(seen));
		seen[i]++;
		check_value(&control_fields[i], value);
	}
}

static bool answered;

static void on_done(void *arg, struct json_object *result, const struct error *err)
{
	const struct control_method *method = arg;

	if (!result)
		fail_msg("%s: %s", method->name, err->text);
	check_object(method->result, result);
	json_object_put(result);
	answered = true;
}

static void call(enum control_method_id id, verb_fn *verb, const char *params)
{
	struct json_object *object = params ? json_tokener_parse(params) : NULL;

	answered = false;
	verb(engine, object, on_done, (void *)(uintptr_t)&control_methods[id]);
	json_object_put(object);
	loop_advance(loop, 100 * USEC_PER_MSEC);
	assert_true(answered);
}

static void all(void)
{
	call(CONTROL_METHOD_service_list, verb_service_list, NULL);
	call(CONTROL_METHOD_service_get, verb_service_get, "{\"name\":\"w\"}");
	call(CONTROL_METHOD_daemon_status, verb_daemon_status, NULL);
}

static void want(void)
{
	struct msg_want m = { .id = service_id, .at = loop_now(loop) };

	message_send_want(dns, &m);
	loop_advance(loop, 100 * USEC_PER_MSEC);
}

static void answers(void **state)
{
	/* Nothing was asked over DNS here. */
	static const char *const not_met[] = { "asked" };

	(void)state;
	call(CONTROL_METHOD_service_add, verb_service_add,
	     "{\"name\":\"w\",\"dns\":\"w.org\",\"ip\":\"10.0.0.1\",\"memory\":\"8M\","
	     "\"nic\":\"br0\",\"sim_boot\":10,\"sim_frame\":10,\"sim_wake\":10,"
	     "\"sim_wake_fail\":\"stuck\"}");
	all();
	want();
	all();
	call(CONTROL_METHOD_service_list, verb_service_list, "{\"measure\":true}");
	all();
	loop_advance(loop, 10 * USEC_PER_SEC); /* past 2 x TTL */
	all();
	/* Paused, suspended, woken in vain. */
	want();
	call(CONTROL_METHOD_service_pause, verb_service_pause, "{\"name\":\"w\"}");
	want();
	all();
	call(CONTROL_METHOD_service_stop, verb_service_stop,
	     "{\"name\":\"w\",\"mode\":\"suspend\"}");
	all();
	call(CONTROL_METHOD_service_set, verb_service_set,
	     "{\"name\":\"w\",\"values\":{\"ttl\":2,\"cmdline\":\"x\"}}");
	call(CONTROL_METHOD_service_start, verb_service_start, "{\"name\":\"w\"}");
	call(CONTROL_METHOD_service_restart, verb_service_restart, "{\"name\":\"w\"}");
	call(CONTROL_METHOD_service_pin, verb_service_pin, "{\"name\":\"w\"}");
	all();
	call(CONTROL_METHOD_service_unpin, verb_service_unpin, "{\"name\":\"w\"}");
	call(CONTROL_METHOD_service_remove, verb_service_remove, "{\"name\":\"w\"}");
	/* One that is not ready when it should be, and ends. */
	call(CONTROL_METHOD_service_add, verb_service_add,
	     "{\"name\":\"w\",\"dns\":\"w.org\",\"ip\":\"10.0.0.1\",\"memory\":\"8M\","
	     "\"nic\":\"br0\",\"wait_for_key\":\"up\",\"sim_key\":50,\"ready_port\":80,"
	     "\"sim_port\":5000,\"ready_port_limit\":0.5,\"sim_death\":1500,"
	     "\"sim_reason\":\"crash\",\"sim_console\":\"panic\"}");
	want();
	all();
	loop_advance(loop, 600 * USEC_PER_MSEC);
	all();
	loop_advance(loop, 4 * USEC_PER_SEC);
	all();
	call(CONTROL_METHOD_service_set, verb_service_set,
	     "{\"name\":\"w\",\"values\":{\"sim_port\":10}}");
	want();
	loop_advance(loop, 400 * USEC_PER_MSEC);
	all();
	call(CONTROL_METHOD_service_remove, verb_service_remove, "{\"name\":\"w\"}");
	call(CONTROL_METHOD_service_add, verb_service_add,
	     "{\"name\":\"w\",\"dns\":\"w.org\",\"ip\":\"10.0.0.1\",\"memory\":\"8M\","
	     "\"sim_fail\":\"broken\"}");
	want();
	all();
	/* In pieces. */
	call(CONTROL_METHOD_service_add, verb_service_add,
	     "{\"name\":\"v\",\"dns\":\"v.org\",\"ip\":\"10.0.0.2\"}");
	call(CONTROL_METHOD_service_list, verb_service_list, "{\"limit\":1}");
	all();
	for (size_t i = 0; control_fields[i].key; i++) {
		/* Those of the socket itself are not the verbs'. */
		bool excused = strcmp(control_fields[i].result, "subscribed") == 0 ||
			       strcmp(control_fields[i].result, "event") == 0;

		for (size_t k = 0; k < ARRAY_SIZE(not_met); k++)
			excused |= strcmp(not_met[k], control_fields[i].key) == 0;
		if (!seen[i] && !excused)
			fail_msg("%s.%s of control.tbl.h was never answered",
				 control_fields[i].result, control_fields[i].key);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers, setup, teardown),
	};

	log_open("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("answers", tests, NULL, NULL);
}
