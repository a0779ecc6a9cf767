#include "engine/verbs.h"

#include <arpa/inet.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/loop.h"
#include "engine/admit.h"
#include "engine/inside.h"
#include "engine/store.h"
#include "proto/spec.h"

#define REMOVE_LIMIT (30 * USEC_PER_SEC)

static void put(struct json_object *object, const char *key, struct json_object *value)
{
	json_object_object_add(object, key, value);
}

static void put_text(struct json_object *object, const char *key, const char *text)
{
	put(object, key, json_object_new_string(text));
}

static void put_number(struct json_object *object, const char *key, uint64_t n)
{
	put(object, key, json_object_new_uint64(n));
}

/* µs as a number of `unit`, with three decimals. */
static void put_time(struct json_object *object, const char *key, int64_t usec, int64_t unit)
{
	char text[32];

	snprintf(text, sizeof text, "%.3f", (double)usec / (double)unit);
	put(object, key, json_object_new_double_s((double)usec / (double)unit, text));
}

/* A time of the record, as ms since the want; nothing if it did not happen. */
static void put_since(struct json_object *object, const char *key, uint64_t at, uint64_t want)
{
	if (at)
		put_time(object, key, (int64_t)at - (int64_t)want, (int64_t)USEC_PER_MSEC);
}

static struct json_object *boot_json(const struct service *service)
{
	const struct boot_record *record = &service->record;
	struct json_object *boot;

	if (!record->want)
		return NULL;
	boot = json_object_new_object();
	put_number(boot, "want", record->want);
	put_since(boot, "began", record->began, record->want);
	put_since(boot, "created", record->created, record->want);
	put_since(boot, "frame", record->frame, record->want);
	put_since(boot, "ready", record->ready, record->want);
	put_since(boot, "answered", record->answered, record->want);
	if (record->answered) {
		put_number(boot, "waiters", record->waiters);
		put(boot, "late", json_object_new_boolean(record->late));
	}
	put_since(boot, "idle", record->idle, record->want);
	put_since(boot, "retired", record->retired, record->want);
	put_since(boot, "stopped", record->stopped, record->want);
	return boot;
}

static void put_from_spec(struct json_object *object, struct json_object *spec, const char *key)
{
	struct json_object *value;

	if (json_object_object_get_ex(spec, key, &value))
		put(object, key, json_object_get(value));
}

static struct json_object *service_json(const struct service *service, bool whole)
{
	struct engine *engine = service->engine;
	struct json_object *object = json_object_new_object();
	struct json_object *spec = spec_to_json(service->spec), *boot;
	uint64_t asked = service_last_query(service);

	put_text(object, "name", service->spec->name);
	put_text(object, "state", lifecycle_public_name(lifecycle_public(service->state)));
	put(object, "simulated", json_object_new_boolean(engine->config.simulated));
	put_from_spec(object, spec, "dns");
	put_from_spec(object, spec, "ip");
	put_from_spec(object, spec, "memory");
	if (service->entry.has_domain)
		put_number(object, "domid", service->domid);
	put_from_spec(object, spec, "uuid");
	put_number(object, "queries", service_queries(service));
	if (asked)
		put_time(object, "asked", (int64_t)(loop_now(engine->loop) - asked),
			 (int64_t)USEC_PER_SEC);
	put_number(object, "boots", service->boots);
	put_number(object, "failures", service->failures);
	if (service->last_error)
		put_text(object, "error", service->last_error);
	if (whole) {
		put_text(object, "phase", lifecycle_state_name(service->state));
		put_number(object, "added", (uint64_t)service->added);
		boot = boot_json(service);
		if (boot)
			put(object, "boot", boot);
		put(object, "spec", json_object_get(spec));
	}
	json_object_put(spec);
	return object;
}

static struct service *named(struct engine *engine, struct json_object *params, struct error *err)
{
	struct json_object *value;
	const char *name = json_object_object_get_ex(params, "name", &value)
				   ? json_object_get_string(value)
				   : "";
	struct service *service = registry_by_name(engine->registry, name);

	if (service && !service_removed(service))
		return service;
	error_field(err, ERROR_ABSENT, "name", name, "there is no such service");
	return NULL;
}

/* service.add */

struct addition {
	verb_done *done;
	void *arg;
};

static void on_admitted(void *arg, struct service *service, const struct error *err)
{
	struct addition addition = *(struct addition *)arg;

	free(arg);
	addition.done(addition.arg, service ? service_json(service, true) : NULL,
		      service ? NULL : err);
}

void verb_service_add(struct engine *engine, struct json_object *params, verb_done *done, void *arg)
{
	struct error err = { 0 };
	struct spec *spec = spec_from_json(params, engine->config.simulated, &err);
	struct addition *addition;

	if (!spec) {
		done(arg, NULL, &err);
		return;
	}
	addition = malloc(sizeof *addition);
	if (!addition)
		abort();
	*addition = (struct addition){ done, arg };
	admit(engine, spec, on_admitted, addition);
}

/* service.remove: answers when the domain is gone, or at the limit. */

struct removal {
	TAILQ_ENTRY(removal) entry;
	struct engine *engine;
	struct service *service;
	struct timer *timer;
	char name[64];
	verb_done *done;
	void *arg;
};

static void removal_end(struct removal *removal, bool destroyed)
{
	struct json_object *result = json_object_new_object();
	verb_done *done = removal->done;
	void *arg = removal->arg;

	put_text(result, "name", removal->name);
	put(result, "destroyed", json_object_new_boolean(destroyed));
	TAILQ_REMOVE(&removal->engine->removals, removal, entry);
	timer_free(removal->timer);
	free(removal);
	done(arg, result, NULL);
}

static void on_gone(void *arg)
{
	removal_end(arg, true);
}

static void on_remove_limit(void *arg)
{
	struct removal *removal = arg;

	removal->service->gone = NULL;
	removal_end(removal, false);
}

/* From here on it is removed, also for an engine that comes after a sudden end of this one. Where
 * a domain of it may be, that engine must know. */
static int remove_stored(struct engine *engine, struct service *service, struct error *err)
{
	if (engine->surveyed &&
	    (service->state == LIFECYCLE_OFF || service->state == LIFECYCLE_QUEUED))
		return store_remove(engine->store, service->id, err);
	if (store_doom(engine->store, service->id, err) < 0)
		return -1;
	service->doomed = true;
	return 0;
}

void verb_service_remove(struct engine *engine, struct json_object *params, verb_done *done,
			 void *arg)
{
	struct error err = { 0 };
	struct service *service = named(engine, params, &err);
	struct removal *removal;

	if (!service || remove_stored(engine, service, &err) < 0) {
		done(arg, NULL, &err);
		return;
	}
	removal = calloc(1, sizeof *removal);
	if (!removal || !(removal->timer = timer_new(engine->loop, on_remove_limit, removal)))
		abort();
	removal->engine = engine;
	removal->service = service;
	removal->done = done;
	removal->arg = arg;
	snprintf(removal->name, sizeof removal->name, "%s", service->spec->name);
	TAILQ_INSERT_TAIL(&engine->removals, removal, entry);
	timer_set(removal->timer, REMOVE_LIMIT);
	service->gone = on_gone;
	service->gone_arg = removal;
	service_remove(service);
}

void verbs_end(struct engine *engine)
{
	while (!TAILQ_EMPTY(&engine->removals)) {
		TAILQ_FIRST(&engine->removals)->service->gone = NULL;
		removal_end(TAILQ_FIRST(&engine->removals), false);
	}
}

/* service.list, service.get */

static int by_name(const void *a, const void *b)
{
	const struct service *const *left = a, *const *right = b;

	return strcmp((*left)->spec->name, (*right)->spec->name);
}

void verb_service_list(struct engine *engine, struct json_object *params, verb_done *done,
		       void *arg)
{
	uint32_t end = registry_end(engine->registry);
	struct service **services = malloc((end + 1) * sizeof *services);
	struct json_object *result = json_object_new_object();
	struct json_object *array = json_object_new_array();
	size_t n = 0;

	(void)params;
	if (!services)
		abort();
	for (uint32_t id = 0; id < end; id++) {
		struct service *service = registry_by_id(engine->registry, id);

		if (service && !service_removed(service))
			services[n++] = service;
	}
	qsort(services, n, sizeof *services, by_name);
	for (size_t i = 0; i < n; i++)
		json_object_array_add(array, service_json(services[i], false));
	free(services);
	put(result, "simulated", json_object_new_boolean(engine->config.simulated));
	put(result, "services", array);
	done(arg, result, NULL);
}

void verb_service_get(struct engine *engine, struct json_object *params, verb_done *done, void *arg)
{
	struct error err = { 0 };
	struct service *service = named(engine, params, &err);

	done(arg, service ? service_json(service, true) : NULL, service ? NULL : &err);
}

/* daemon.status */

static struct json_object *orphans_json(const struct engine *engine)
{
	struct json_object *array = json_object_new_array();
	char text[128];

	for (size_t i = 0; i < engine->orphans.n; i++) {
		const struct engine_domain *domain = &engine->orphans.v[i];

		snprintf(text, sizeof text, "domain %u of %s", domain->domid,
			 domain->service[0] ? domain->service : "nobody");
		json_object_array_add(array, json_object_new_string(text));
	}
	return array;
}

void verb_daemon_status(struct engine *engine, struct json_object *params, verb_done *done,
			void *arg)
{
	struct json_object *result = json_object_new_object();
	struct json_object *states = json_object_new_object();
	uint64_t counts[LIFECYCLE_PUBLICS] = { 0 }, total = 0;

	(void)params;
	for (enum lifecycle_state state = 0; state < LIFECYCLE_STATES; state++)
		counts[lifecycle_public(state)] += engine->states[state];
	for (enum lifecycle_public shown = 0; shown < LIFECYCLE_PUBLIC_REMOVED; shown++) {
		put_number(states, lifecycle_public_name(shown), counts[shown]);
		total += counts[shown];
	}
	put_text(result, "version", engine->config.version);
	put_text(result, "backend", engine->config.backend);
	if (engine->backend_version)
		put_text(result, "backend_version", engine->backend_version);
	put(result, "simulated", json_object_new_boolean(engine->config.simulated));
	put(result, "dns", json_object_new_boolean(engine->dns != NULL));
	put(result, "toolstack", json_object_new_boolean(engine->surveyed));
	put_text(result, "listen", engine->config.listen);
	put_text(result, "store", engine->config.store);
	put_time(result, "uptime", (int64_t)(loop_now(engine->loop) - engine->started),
		 (int64_t)USEC_PER_SEC);
	put_number(result, "services", total);
	put(result, "states", states);
	put_number(result, "boots", engine->boots);
	put_number(result, "failures", engine->failures);
	if (engine->backend_version) {
		put_number(result, "memory_free", engine->memory_free);
		put_number(result, "memory_total", engine->memory_total);
	}
	put(result, "orphans", orphans_json(engine));
	done(arg, result, NULL);
}
