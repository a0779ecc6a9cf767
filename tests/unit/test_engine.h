/*
 * The engine's room with a fake clock, between a dns and a toolstack that are played here. What
 * they receive is written down as text and compared. For the tests of the engine.
 */
#ifndef JITSU_TESTS_TEST_ENGINE_H
#define JITSU_TESTS_TEST_ENGINE_H

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

/* No test uses all of it. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"

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
	uint64_t reserve;	/* KiB */
	uint64_t traffic;	/* of every domain, both ways */
	uint64_t free;		/* KiB of the host; a total of 4 GiB */
	bool deaf;		/* measures are not answered */
	bool quiet;		/* write nothing down */
	uint64_t found_created; /* of the next finding; 0: not known */
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

static void on_services(void *arg, const struct msg_services *m)
{
	static const struct message_handlers handlers = { .service = on_service };

	if (message_dispatch_list(m->list, &handlers, arg, NULL) < 0)
		fail_msg("malformed services");
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
		.services = on_services,
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

static void on_adopt(void *arg, const struct msg_adopt *m)
{
	struct world *w = arg;

	if (m->id < ARRAY_SIZE(w->boots))
		w->boots[m->id] = m->boot;
	note(w, w->toolstack_log, "adopt %u %u%s%s; ", m->id, m->domid, *m->key ? " " : "", m->key);
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
		message_send_measured(w->toolstack,
				      &(struct msg_measured){ .id = m->id,
							      .domid = m->domid,
							      .rx = w->traffic / 2,
							      .tx = w->traffic - w->traffic / 2 });
}

static void on_hold(void *arg, const struct msg_hold *m)
{
	static const char *const how[] = { "none", "asleep", "starting", "ready" };
	struct world *w = arg;

	assert_true(m->how < ARRAY_SIZE(how));
	note(w, w->toolstack_log, "hold %u %s %u %u; ", m->id, how[m->how], m->domid, m->port);
}

static void say_memory(struct world *w)
{
	message_send_memory(w->toolstack,
			    &(struct msg_memory){ .free = w->free, .total = 4096 * 1024 });
}

static void on_weigh(void *arg, const struct msg_weigh *m)
{
	(void)m;
	say_memory(arg);
}

static void on_toolstack_message(void *arg, const uint8_t *data, size_t size, int fd)
{
	static const struct message_handlers handlers = {
		.survey = on_survey,
		.check = on_check,
		.start = on_start,
		.stop = on_stop,
		.wake = on_wake,
		.discard = on_discard,
		.measure = on_measure,
		.adopt = on_adopt,
		.weigh = on_weigh,
		.hold = on_hold,
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
	    .running = running, .created = w->found_created, .service = service);
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
	loop_advance(w->loop, 0); /* what is done at the end of the turn */
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

static bool with_synjitsu;	   /* what the next engine is told */
static struct engine_source given; /* a file to read services from, if it has a path */

static void engine_start(struct world *w, const char *store, unsigned boots,
			 const char *const *services, size_t service_count)
{
	struct engine_config config = {
		.sources = &given,
		.source_count = given.path ? 1 : 0,
		.store = store,
		.control_fd = -1,
		.services = services,
		.service_count = service_count,
		.usage = usage,
		.simulated = true,
		.synjitsu = with_synjitsu,
		.ttl = 60,
		.response_delay = 0,
		.wait_limit = 700,
		.reserve = w->reserve,
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

/* A service 0 "a", ready in domain 7; nothing written down. */
static struct world *ready_world(const char *keys)
{
	struct world *w = world(4);

	add(w, "a", keys);
	learn_uuid(w, "a", 0);
	want(w, 0);
	created(w, 0, 7);
	frame(w, 0);
	w->dns_log[0] = w->toolstack_log[0] = '\0';
	is(w, "a", "state", "ready");
	return w;
}

#pragma GCC diagnostic pop

#endif
