/*
 * Verbs without an engine, for the tests of the control socket and of jitsuctl. They answer as
 * the real ones do where that is easy, and a service named slow… is answered by fake_answer_slow.
 */
#ifndef JITSU_TESTS_FAKE_VERBS_H
#define JITSU_TESTS_FAKE_VERBS_H

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "engine/verbs.h"
#include "proto/control.h"
#include "proto/spec.h"

#define FAKE_SERVICES 4096
#define FAKE_SLOW     4096

static struct json_object *fake_services[FAKE_SERVICES];
static size_t fake_count, fake_calls;
static size_t fake_padding; /* bytes that service.list carries on top */

static struct {
	verb_done *done;
	void *arg;
} fake_slow[FAKE_SLOW];
static size_t fake_slow_count;

static void fake_defer(verb_done *done, void *arg)
{
	fake_slow[fake_slow_count].done = done;
	fake_slow[fake_slow_count++].arg = arg;
}

/* Answers all that waits, newest first. */
__attribute__((unused)) static void fake_answer_slow(void)
{
	while (fake_slow_count) {
		struct json_object *result = json_object_new_object();

		fake_slow_count--;
		json_object_object_add(result, "name", json_object_new_string("slow"));
		fake_slow[fake_slow_count].done(fake_slow[fake_slow_count].arg, result, NULL);
	}
}

__attribute__((unused)) static void fake_reset(void)
{
	while (fake_count)
		json_object_put(fake_services[--fake_count]);
	fake_calls = 0;
	fake_padding = 0;
}

static size_t fake_find(const char *name)
{
	size_t i = 0;

	while (i < fake_count &&
	       strcmp(json_object_get_string(json_object_object_get(fake_services[i], "name")),
		      name) != 0)
		i++;
	return i;
}

static void fake_fail(verb_done *done, void *arg, const struct error *err)
{
	done(arg, NULL, err);
}

void verb_service_add(struct engine *engine, struct json_object *params, verb_done *done, void *arg)
{
	static const char *const shown[] = { "name", "dns", "ip", "memory", "uuid" };
	struct json_object *service, *canonical;
	struct spec *spec;
	struct error err;

	(void)engine;
	fake_calls++;
	spec = spec_from_json(params, true, &err);
	if (!spec) {
		fake_fail(done, arg, &err);
		return;
	}
	if (strncmp(spec->name, "slow", 4) == 0) {
		spec_free(spec);
		fake_defer(done, arg);
		return;
	}
	if (fake_find(spec->name) < fake_count) {
		error_field(&err, ERROR_CONFLICT, "name", spec->name, "taken by another service");
		spec_free(spec);
		fake_fail(done, arg, &err);
		return;
	}
	canonical = spec_to_json(spec);
	spec_free(spec);
	service = json_object_new_object();
	json_object_object_add(service, "state", json_object_new_string("off"));
	json_object_object_add(service, "simulated", json_object_new_boolean(true));
	for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
		struct json_object *value;

		if (json_object_object_get_ex(canonical, shown[i], &value))
			json_object_object_add(service, shown[i], json_object_get(value));
	}
	json_object_object_add(service, "queries", json_object_new_int(0));
	json_object_object_add(service, "spec", canonical);
	fake_services[fake_count++] = service;
	done(arg, json_object_get(service), NULL);
}

static void fake_named(struct json_object *params, verb_done *done, void *arg, bool remove)
{
	const char *name = json_object_get_string(json_object_object_get(params, "name"));
	size_t i = fake_find(name);
	struct json_object *result;
	struct error err;

	fake_calls++;
	if (strncmp(name, "slow", 4) == 0) {
		fake_defer(done, arg);
		return;
	}
	if (i == fake_count) {
		error_field(&err, ERROR_ABSENT, "name", name, "no such service");
		fake_fail(done, arg, &err);
		return;
	}
	if (remove) {
		result = json_object_new_object();
		json_object_object_add(result, "name", json_object_new_string(name));
		json_object_put(fake_services[i]);
		fake_services[i] = fake_services[--fake_count];
	} else {
		result = json_object_get(fake_services[i]);
	}
	done(arg, result, NULL);
}

void verb_service_remove(struct engine *engine, struct json_object *params, verb_done *done,
			 void *arg)
{
	(void)engine;
	fake_named(params, done, arg, true);
}

void verb_service_get(struct engine *engine, struct json_object *params, verb_done *done, void *arg)
{
	(void)engine;
	fake_named(params, done, arg, false);
}

/* The state that the verb puts it into; a service named broken… refuses, one named torn… could not
 * be restored. */
static void fake_order(struct json_object *params, const char *state, verb_done *done, void *arg)
{
	const char *name = json_object_get_string(json_object_object_get(params, "name"));
	size_t i = fake_find(name);
	struct error err;

	if (strncmp(name, "broken", 6) == 0) {
		error_set(&err, ERROR_SYSTEM, "no kernel in it");
		fake_fail(done, arg, &err);
		return;
	}
	if (i < fake_count && state)
		json_object_object_add(fake_services[i], "state", json_object_new_string(state));
	if (i < fake_count && strncmp(name, "torn", 4) == 0)
		json_object_object_add(fake_services[i], "notice",
				       json_object_new_string("its image is torn"));
	fake_named(params, done, arg, false);
}

void verb_service_start(struct engine *engine, struct json_object *params, verb_done *done,
			void *arg)
{
	(void)engine;
	fake_order(params, "ready", done, arg);
}

void verb_service_restart(struct engine *engine, struct json_object *params, verb_done *done,
			  void *arg)
{
	(void)engine;
	fake_order(params, "ready", done, arg);
}

void verb_service_stop(struct engine *engine, struct json_object *params, verb_done *done,
		       void *arg)
{
	struct json_object *mode = json_object_object_get(params, "mode");
	const char *word = mode ? json_object_get_string(mode) : "destroy";

	(void)engine;
	fake_order(params,
		   strcmp(word, "pause") == 0	  ? "paused"
		   : strcmp(word, "suspend") == 0 ? "suspended"
						  : "off",
		   done, arg);
}

void verb_service_pause(struct engine *engine, struct json_object *params, verb_done *done,
			void *arg)
{
	(void)engine;
	fake_order(params, "paused", done, arg);
}

void verb_service_pin(struct engine *engine, struct json_object *params, verb_done *done, void *arg)
{
	(void)engine;
	fake_order(params, NULL, done, arg);
}

void verb_service_unpin(struct engine *engine, struct json_object *params, verb_done *done,
			void *arg)
{
	(void)engine;
	fake_order(params, NULL, done, arg);
}

/* Whatever it is, memory counts later and the rest now; `same` is as it was. */
void verb_service_set(struct engine *engine, struct json_object *params, verb_done *done, void *arg)
{
	struct json_object *result = json_object_new_object(), *now = json_object_new_array(),
			   *later = json_object_new_array();

	(void)engine;
	fake_calls++;
	json_object_object_add(result, "name",
			       json_object_get(json_object_object_get(params, "name")));
	json_object_object_foreach(json_object_object_get(params, "values"), key, value)
	{
		char text[200];

		if (strcmp(key, "same") == 0)
			continue;
		snprintf(text, sizeof text, "%s=%s", key, json_object_to_json_string(value) ?: "");
		json_object_array_add(strcmp(key, "memory") == 0 ? later : now,
				      json_object_new_string(text));
	}
	json_object_object_add(result, "now", now);
	json_object_object_add(result, "later", later);
	done(arg, result, NULL);
}

void verb_service_list(struct engine *engine, struct json_object *params, verb_done *done,
		       void *arg)
{
	struct json_object *result = json_object_new_object(), *list = json_object_new_array();

	(void)engine;
	(void)params;
	fake_calls++;
	for (size_t i = 0; i < fake_count; i++)
		json_object_array_add(list, json_object_get(fake_services[i]));
	json_object_object_add(result, "simulated", json_object_new_boolean(true));
	json_object_object_add(result, "services", list);
	if (fake_padding) {
		char *padding = malloc(fake_padding);

		memset(padding, 'x', fake_padding);
		json_object_object_add(result, "padding",
				       json_object_new_string_len(padding, (int)fake_padding));
		free(padding);
	}
	done(arg, result, NULL);
}

void verb_daemon_status(struct engine *engine, struct json_object *params, verb_done *done,
			void *arg)
{
	struct json_object *result = json_object_new_object(), *states = json_object_new_object();

	(void)engine;
	(void)params;
	fake_calls++;
	json_object_object_add(states, "off", json_object_new_int((int)fake_count));
	json_object_object_add(result, "version", json_object_new_string("9.9.9"));
	json_object_object_add(result, "backend", json_object_new_string("sim"));
	json_object_object_add(result, "simulated", json_object_new_boolean(true));
	json_object_object_add(result, "uptime", json_object_new_int(3723));
	json_object_object_add(result, "services", json_object_new_int((int)fake_count));
	json_object_object_add(result, "states", states);
	json_object_object_add(result, "memory_free", json_object_new_int64(3 << 20));
	done(arg, result, NULL);
}

#endif
