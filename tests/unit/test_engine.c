/*
 * engine: the room with a fake clock, between a dns and a toolstack that are played here. What
 * they receive is written down as text and compared.
 */
#include <json-c/json.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/link.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/engine.h"
#include "engine/verbs.h"
#include "proto/message.h"
#include "proto/spec.h"
#include "proto/usage.h"

#define SECOND	USEC_PER_SEC
#define MS	USEC_PER_MSEC
#define LOG_MAX 4096

static struct usage *usage;
static char directory[] = "/tmp/jitsu-engine-XXXXXX";
static char store_path[64];

/* One answer of a verb. */
struct answer {
	int count;
	struct json_object *result;
	struct error err;
};

struct world {
	struct loop *loop;
	struct engine *engine;
	struct link *dns, *toolstack;
	char dns_log[LOG_MAX], toolstack_log[LOG_MAX];
	bool approve; /* answer each check with yes */
	uint32_t request;
	uint32_t boots[64]; /* number of the last start, by id */
	uint8_t uuids[64][16];
	uint32_t starts;
	uint64_t traffic; /* of every domain, both ways */
	bool deaf;	  /* measures are not answered */
	bool quiet; /* write nothing down */
};

static void __attribute__((format(printf, 3, 4)))
note(struct world *w, char *log, const char *fmt, ...)
{
	size_t used = strlen(log);
	va_list ap;

	if (w->quiet)
		return;
	va_start(ap, fmt);
	vsnprintf(log + used, LOG_MAX - used, fmt, ap);
	va_end(ap);
}

/* dns */

static void on_table_begin(void *arg, const struct msg_table_begin *m)
{
	struct world *w = arg;

	note(w, w->dns_log, "table %u; ", m->count);
}

static void on_service(void *arg, const struct msg_service *m)
{
	struct world *w = arg;

	note(w, w->dns_log, "service %u %s; ", m->id, m->ready ? "ready" : "asleep");
}

static void on_table_end(void *arg, const struct msg_table_end *m)
{
	struct world *w = arg;

	(void)m;
	note(w, w->dns_log, "end; ");
}

#define NOTE_ID(name)                                                                              \
	static void on_##name(void *arg, const struct msg_##name *m)                               \
	{                                                                                          \
		struct world *w = arg;                                                             \
                                                                                                   \
		note(w, w->dns_log, #name " %u; ", m->id);                                         \
	}
NOTE_ID(forget)
NOTE_ID(ready)
NOTE_ID(retire)
NOTE_ID(asleep)
NOTE_ID(failed)

static void on_dns_message(void *arg, const uint8_t *data, size_t size, int fd)
{
	static const struct message_handlers handlers = {
		.table_begin = on_table_begin,
		.service = on_service,
		.table_end = on_table_end,
		.forget = on_forget,
		.ready = on_ready,
		.retire = on_retire,
		.asleep = on_asleep,
		.failed = on_failed,
	};
	struct error err;

	assert_int_equal(fd, -1);
	if (message_dispatch(data, size, &handlers, arg, &err) < 0)
		fail_msg("%s", err.text);
}

static void on_dns_closed(void *arg)
{
	struct world *w = arg;

	note(w, w->dns_log, "closed; ");
	link_free(TAKE(w->dns));
}

/* toolstack */

static void on_survey(void *arg, const struct msg_survey *m)
{
	struct world *w = arg;

	(void)m;
	note(w, w->toolstack_log, "survey; ");
}

static void on_check(void *arg, const struct msg_check *m)
{
	struct world *w = arg;

	w->request = m->request;
	if (w->approve)
		message_send_checked(w->toolstack, &(struct msg_checked){ .request = m->request });
	else
		note(w, w->toolstack_log, "check; ");
}

static void on_start(void *arg, const struct msg_start *m)
{
	struct world *w = arg;

	assert_true(strstr(m->spec, "\"uuid\":\"") != NULL);
	if (m->id < ARRAY_SIZE(w->boots))
		w->boots[m->id] = m->boot;
	w->starts++;
	note(w, w->toolstack_log, m->restore ? "restore %u; " : "start %u; ", m->id);
}

static void on_stop(void *arg, const struct msg_stop *m)
{
	struct world *w = arg;

	note(w, w->toolstack_log, "%s %d %u; ",
	     m->mode == SPEC_STOP_DESTROY ? "stop" : spec_stop_word(m->mode), (int)m->id, m->domid);
}

static void on_wake(void *arg, const struct msg_wake *m)
{
	struct world *w = arg;

	if (m->id < ARRAY_SIZE(w->boots))
		w->boots[m->id] = m->boot;
	note(w, w->toolstack_log, "wake %u %u; ", m->id, m->domid);
}

static void on_discard(void *arg, const struct msg_discard *m)
{
	struct world *w = arg;

	assert_int_equal(m->uuid.size, 16);
	note(w, w->toolstack_log, "discard %d; ", (int)m->id);
}

/* Answered at once, unless that is to be written down. */
static void on_measure(void *arg, const struct msg_measure *m)
{
	struct world *w = arg;

	if (w->deaf)
		note(w, w->toolstack_log, "measure %u %u; ", m->id, m->domid);
	else
		message_send_measured(w->toolstack, &(struct msg_measured){ .id = m->id,
									    .domid = m->domid,
									    .rx = w->traffic / 2,
									    .tx = w->traffic -
										  w->traffic / 2 });
}

static void on_toolstack_message(void *arg, const uint8_t *data, size_t size, int fd)
{
	static const struct message_handlers handlers = {
		.survey = on_survey, .check = on_check,	    .start = on_start,	   .stop = on_stop,
		.wake = on_wake,     .discard = on_discard, .measure = on_measure,
	};
	struct error err;

	assert_int_equal(fd, -1);
	if (message_dispatch(data, size, &handlers, arg, &err) < 0)
		fail_msg("%s", err.text);
}

static void on_toolstack_closed(void *arg)
{
	struct world *w = arg;

	note(w, w->toolstack_log, "closed; ");
	link_free(TAKE(w->toolstack));
}

static void connect_dns(struct world *w)
{
	static const struct link_callbacks callbacks = { on_dns_message, on_dns_closed };
	int fds[2];

	link_free(w->dns);
	assert_int_equal(link_pair(fds), 0);
	w->dns = link_new(w->loop, fds[0], &callbacks, w);
	engine_connect_dns(w->engine, fds[1]);
	loop_settle(w->loop);
}

static void connect_toolstack(struct world *w)
{
	static const struct link_callbacks callbacks = { on_toolstack_message,
							 on_toolstack_closed };
	int fds[2];

	link_free(w->toolstack);
	assert_int_equal(link_pair(fds), 0);
	w->toolstack = link_new(w->loop, fds[0], &callbacks, w);
	engine_connect_toolstack(w->engine, fds[1]);
	loop_settle(w->loop);
}

static void lose_toolstack(struct world *w)
{
	link_free(TAKE(w->toolstack));
	loop_settle(w->loop);
}

/* What they say. */

#define SAY(link, name, ...)                                                                       \
	do {                                                                                       \
		message_send_##name(w->link, &(struct msg_##name){ __VA_ARGS__ });                 \
		loop_settle(w->loop);                                                              \
	} while (0)

static void want(struct world *w, uint32_t id)
{
	SAY(dns, want, .id = id, .at = loop_now(w->loop));
}

static void retired(struct world *w, uint32_t id)
{
	SAY(dns, retired, .id = id);
}

static void created(struct world *w, uint32_t id, uint32_t domid)
{
	SAY(toolstack, created, .id = id, .boot = w->boots[id], .domid = domid,
	    .began = loop_now(w->loop), .at = loop_now(w->loop));
}

static void frame(struct world *w, uint32_t id)
{
	SAY(toolstack, frame, .id = id, .boot = w->boots[id], .at = loop_now(w->loop));
}

static void start_failed(struct world *w, uint32_t id)
{
	SAY(toolstack, start_failed, .id = id, .boot = w->boots[id], .kind = ERROR_SYSTEM,
	    .field = "", .text = "no memory");
}

static void died(struct world *w, uint32_t domid, uint8_t reason)
{
	SAY(toolstack, died, .domid = domid, .reason = reason);
}

static void stopped(struct world *w, uint32_t id, uint32_t domid)
{
	SAY(toolstack, stopped, .id = id, .domid = domid, .at = loop_now(w->loop));
}

static void stop_failed(struct world *w, uint32_t id, uint32_t domid)
{
	SAY(toolstack, stop_failed, .id = id, .domid = domid, .text = "it resists");
}

static void found(struct world *w, const uint8_t uuid[16], uint32_t domid, bool whole, bool running,
		  const char *service)
{
	SAY(toolstack, found, .domid = domid, .uuid = { uuid, 16 }, .whole = whole,
	    .running = running, .service = service);
}

static void survey_end(struct world *w)
{
	SAY(toolstack, survey_end, .memory_free = 1024, .memory_total = 4096, .backend = "sim",
	    .version = "1");
}

static void asked(struct world *w, uint32_t id)
{
	atomic_store(&usage[id].last_query, loop_now(w->loop));
	atomic_fetch_add(&usage[id].queries, 1);
}

static void says(char *log, const char *expected)
{
	char got[LOG_MAX];

	strcpy(got, log);
	log[0] = '\0';
	assert_string_equal(got, expected);
}

#define DNS(expected)	    says(w->dns_log, expected)
#define TOOLSTACK(expected) says(w->toolstack_log, expected)

/* Verbs. */

static void on_answer(void *arg, struct json_object *result, const struct error *err)
{
	struct answer *answer = arg;

	assert_true(!result != !err);
	answer->count++;
	answer->result = result;
	if (err)
		answer->err = *err;
}

static void clear(struct answer *answer)
{
	json_object_put(answer->result);
	*answer = (struct answer){ 0 };
}

static void call(struct world *w, verb_fn *verb, const char *params, struct answer *answer)
{
	struct json_object *object = json_tokener_parse(params);

	*answer = (struct answer){ 0 };
	verb(w->engine, object, on_answer, answer);
	json_object_put(object);
	loop_settle(w->loop);
}

/* The text at a path of keys, valid until the next call. */
static const char *at(struct json_object *object, const char *key)
{
	static char text[1024];
	struct json_object *value;

	snprintf(text, sizeof text, "%s", key);
	for (char *save, *k = strtok_r(text, "/", &save); k; k = strtok_r(NULL, "/", &save)) {
		if (!json_object_object_get_ex(object, k, &value))
			return "none";
		object = value;
	}
	snprintf(text, sizeof text, "%s", json_object_get_string(object));
	return text;
}

static void add(struct world *w, const char *name, const char *more)
{
	char params[512];
	struct answer answer;
	static unsigned serial;

	serial++;
	snprintf(params, sizeof params,
		 "{\"name\":\"%s\",\"dns\":\"%s.example\",\"ip\":\"10.%u.%u.%u\",\"ttl\":60%s%s}",
		 name, name, serial >> 16, serial >> 8 & 255, serial & 255, *more ? "," : "", more);
	call(w, verb_service_add, params, &answer);
	if (answer.count != 1 || !answer.result)
		fail_msg("%s: %s", params, answer.err.text);
	clear(&answer);
}

static void add_nic(struct world *w, const char *name)
{
	add(w, name, "\"nic\":\"br0\",\"response_delay\":0.1");
}

static void learn_uuid(struct world *w, const char *name, uint32_t id)
{
	char params[96];
	const char *text;
	struct answer answer;

	snprintf(params, sizeof params, "{\"name\":\"%s\"}", name);
	call(w, verb_service_get, params, &answer);
	assert_non_null(answer.result);
	text = at(answer.result, "uuid");
	for (size_t i = 0; i < 16; i++) {
		if (*text == '-')
			text++;
		sscanf(text, "%2hhx", &w->uuids[id][i]);
		text += 2;
	}
	clear(&answer);
}

static void is(struct world *w, const char *name, const char *key, const char *expected)
{
	char params[96];
	struct answer answer;

	snprintf(params, sizeof params, "{\"name\":\"%s\"}", name);
	call(w, verb_service_get, params, &answer);
	assert_non_null(answer.result);
	assert_string_equal(at(answer.result, key), expected);
	clear(&answer);
}

/* The world. */

static void engine_start(struct world *w, const char *store, unsigned boots,
			 const char *const *services, size_t service_count)
{
	struct engine_config config = {
		.store = store,
		.control_fd = -1,
		.services = services,
		.service_count = service_count,
		.usage = usage,
		.simulated = true,
		.ttl = 60,
		.response_delay = 0,
		.wait_limit = 700,
		.boots = boots,
		.version = "0",
		.backend = "sim",
		.listen = "nowhere",
	};
	struct error err;

	w->engine = engine_new(w->loop, &config, &err);
	if (!w->engine)
		fail_msg("%s", err.text);
}

static struct world *world(unsigned boots)
{
	struct world *w = calloc(1, sizeof *w);

	w->loop = loop_new(LOOP_CLOCK_FAKE);
	w->approve = true;
	engine_start(w, ":memory:", boots, NULL, 0);
	connect_dns(w);
	DNS("table 0; end; ");
	connect_toolstack(w);
	TOOLSTACK("survey; ");
	survey_end(w);
	return w;
}

static void end(struct world *w)
{
	DNS("");
	TOOLSTACK("");
	engine_free(w->engine);
	link_free(w->dns);
	link_free(w->toolstack);
	loop_free(w->loop);
	free(w);
}

/* A service with a nic, led to that state; domain 7. */
static void lead(struct world *w, const char *state)
{
	static const char *const way[] = { "off",   "",		"building", "booting",	 "settling",
					   "ready", "retiring", "stopping", "restarting" };
	size_t to = 0;

	while (strcmp(way[to], state) != 0)
		to++;
	if (to >= 2)
		want(w, 0);
	if (to >= 3)
		created(w, 0, 7);
	if (to >= 4)
		frame(w, 0);
	if (to >= 5)
		loop_advance(w->loop, 100 * MS);
	if (to >= 6)
		loop_advance(w->loop, 120 * SECOND);
	if (to >= 7)
		retired(w, 0);
	if (to >= 8)
		want(w, 0);
	w->dns_log[0] = w->toolstack_log[0] = '\0';
	is(w, "a", "phase", state);
}

/* Tests. */

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
	assert_int_equal(b.count, 1);
	assert_non_null(b.result);
	TOOLSTACK("survey; ");
	DNS("service 0 asleep; ");
	clear(&b);
	end(w);
}

/* What the toolstack had under way is unknown when it is lost; the survey decides. */
static void test_toolstack_lost(void **state)
{
	static const struct {
		const char *state;
		const char *running, *running_dns, *running_orders;
		const char *broken, *broken_dns, *broken_orders;
		const char *absent, *absent_dns, *absent_orders;
	} cases[] = {
		{ "off", "ready", "ready 0; ", "", "stopping", "", "stop 0 9; ", "off", "", "" },
		{ "building", "settling", "", "", "restarting", "", "stop 0 9; ", "building", "",
		  "start 0; " },
		{ "booting", "settling", "", "", "restarting", "", "stop 0 9; ", "building", "",
		  "start 0; " },
		{ "settling", "settling", "", "", "restarting", "", "stop 0 9; ", "building", "",
		  "start 0; " },
		{ "ready", "ready", "", "", "stopping", "asleep 0; ", "stop 0 9; ", "off",
		  "asleep 0; ", "" },
		{ "retiring", "retiring", "", "", "stopping", "asleep 0; ", "stop 0 9; ", "off",
		  "asleep 0; ", "" },
		{ "stopping", "stopping", "", "stop 0 9; ", "stopping", "", "stop 0 9; ", "off", "",
		  "" },
		{ "restarting", "settling", "", "", "restarting", "", "stop 0 9; ", "building", "",
		  "start 0; " },
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

static int set_up(void **state)
{
	(void)state;
	log_open("test", LOG_LEVEL_ERROR);
	usage = usage_map(usage_create());
	return usage && mkdtemp(directory) &&
			       snprintf(store_path, sizeof store_path, "%s/services.db",
					directory) > 0
		       ? 0
		       : -1;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(store_path);
	return rmdir(directory);
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
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_remove_while_start_fails),
		cmocka_unit_test(test_remove_is_bounded),
		cmocka_unit_test(test_remove_at_the_end),
		cmocka_unit_test(test_stop_fails),
		cmocka_unit_test(test_conflicts_and_races),
		cmocka_unit_test(test_add_without_toolstack),
		cmocka_unit_test(test_toolstack_lost),
		cmocka_unit_test(test_orders_wait_for_the_survey),
		cmocka_unit_test(test_poison),
		cmocka_unit_test(test_dns_lost),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_declared),
		cmocka_unit_test(test_store_full),
		cmocka_unit_test(test_bad_messages),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_storm),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
