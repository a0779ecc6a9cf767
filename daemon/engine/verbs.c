#include "engine/verbs.h"

#include <arpa/inet.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/loop.h"
#include "engine/admit.h"
#include "engine/events.h"
#include "engine/inside.h"
#include "engine/listing.h"
#include "engine/store.h"
#include "proto/message.h"
#include "proto/spec.h"
#include "proto/usage.h"

#define REMOVE_LIMIT	 (30 * USEC_PER_SEC)
#define LIST_MAX	 10000		   /* services in an answer, */
#define LIST_BYTES	 (2 * 1024 * 1024) /* and of their specifications, about */
#define MEASURE_INTERVAL USEC_PER_SEC

/* service.add */

struct addition {
	verb_done *done;
	void *arg;
};

static void on_admitted(void *arg, struct service *service, const struct error *err)
{
	struct addition addition = *(struct addition *)arg;

	free(arg);
	addition.done(addition.arg, service ? listing_service(service, true) : NULL,
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

	listing_put_text(result, "name", removal->name);
	listing_put(result, "destroyed", json_object_new_boolean(destroyed));
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
	admit_flush(engine);
	if (engine->surveyed && !service->image &&
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
	struct service *service = listing_named(engine, params, &err);
	struct removal *removal;

	if (!service || remove_stored(engine, service, &err) < 0) {
		done(arg, NULL, &err);
		return;
	}
	event_removed(service);
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
	struct json_object *const *left = a, *const *right = b, *x, *y;

	json_object_object_get_ex(*left, "name", &x);
	json_object_object_get_ex(*right, "name", &y);
	return strcmp(json_object_get_string(x), json_object_get_string(y));
}

/* The answers come into the next listing. */
static void measure(struct engine *engine)
{
	struct service *service;

	if (!engine->surveyed ||
	    (engine->measured && loop_now(engine->loop) < engine->measured + MEASURE_INTERVAL))
		return;
	engine->measured = loop_now(engine->loop);
	TAILQ_FOREACH(service, &engine->residents, room.entry)
		if (service->state == LIFECYCLE_READY)
			message_send_measure(engine->toolstack,
					     &(struct msg_measure){ .id = service->id,
								    .domid = service->domid });
}

struct page {
	struct engine *engine;
	struct json_object *services;
	int64_t rows, next;
	size_t bytes;
};

static int list_one(void *arg, uint32_t id, const char *name, const char *text, int64_t added,
		    bool doomed, struct error *err)
{
	struct page *page = arg;
	struct service *awake = registry_awake(page->engine->registry, id), *service = awake;
	struct spec *spec;

	(void)doomed;
	if (page->bytes > LIST_BYTES)
		return 0;
	page->bytes += strlen(text);
	page->rows++;
	page->next = (int64_t)id + 1;
	if (!awake) {
		spec = spec_from_text(text, true, err);
		if (!spec)
			return error_wrap(err, "service %s in the store", name);
		service = service_peek(page->engine, id, spec, text, added);
	}
	if (!service_removed(service))
		json_object_array_add(page->services, listing_service(service, false));
	if (!awake)
		service_release(service);
	return 0;
}

/* 0, or -1 with an error. */
static int read_number(struct json_object *params, const char *key, int64_t least, int64_t most,
		       int64_t *out, struct error *err)
{
	struct json_object *value;

	if (!params || !json_object_object_get_ex(params, key, &value))
		return 0;
	*out = json_object_get_int64(value);
	if (*out < least || *out > most)
		return error_field(err, ERROR_INPUT, key, json_object_get_string(value),
				   "expected a whole number from %lld to %lld", (long long)least,
				   (long long)most);
	return 0;
}

void verb_service_list(struct engine *engine, struct json_object *params, verb_done *done,
		       void *arg)
{
	struct page page = { .engine = engine, .services = json_object_new_array() };
	struct json_object *result, *wanted;
	int64_t from = 0, limit = LIST_MAX;
	struct error err = { 0 };

	if (read_number(params, "from", 0, UINT32_MAX, &from, &err) < 0 ||
	    read_number(params, "limit", 1, LIST_MAX, &limit, &err) < 0 ||
	    store_from(engine->store, (uint32_t)from, (uint32_t)limit, list_one, &page, &err) < 0) {
		json_object_put(page.services);
		done(arg, NULL, &err);
		return;
	}
	if (params && json_object_object_get_ex(params, "measure", &wanted) &&
	    json_object_get_boolean(wanted))
		measure(engine);
	json_object_array_sort(page.services, by_name);
	result = json_object_new_object();
	listing_put(result, "simulated", json_object_new_boolean(engine->config.simulated));
	listing_put(result, "services", page.services);
	if ((page.rows == limit || page.bytes > LIST_BYTES) &&
	    page.next < registry_end(engine->registry))
		listing_put_number(result, "next", (uint64_t)page.next);
	done(arg, result, NULL);
}

void verb_service_get(struct engine *engine, struct json_object *params, verb_done *done, void *arg)
{
	struct error err = { 0 };
	struct service *service = listing_named(engine, params, &err);

	done(arg, service ? listing_service(service, true) : NULL, service ? NULL : &err);
}

/* daemon.status */

static struct json_object *image_json(const uint8_t uuid[16])
{
	char text[64] = "suspend image of ";
	size_t used = strlen(text);

	for (size_t i = 0; i < 16; i++)
		used += (size_t)snprintf(text + used, sizeof text - used, "%s%02x",
					 i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
	return json_object_new_string(text);
}

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
	for (size_t i = 0; i < engine->images.n; i++)
		json_object_array_add(array, image_json(engine->images.v[i]));
	return array;
}

static struct json_object *counters_json(struct engine *engine)
{
	const struct usage_counters *counters = usage_counters(engine->config.usage);
	struct json_object *object = json_object_new_object();

#define COUNTER(name, meaning)                                                                     \
	listing_put_number(object, #name,                                                          \
			   atomic_load_explicit(&counters->name, memory_order_relaxed));
#include "proto/counter.tbl.h"
#undef COUNTER
	return object;
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
		uint64_t failed = shown == LIFECYCLE_PUBLIC_OFF ? engine->failed : 0;

		listing_put_number(states, lifecycle_public_name(shown), counts[shown] - failed);
		total += counts[shown];
	}
	listing_put_number(states, "failed", engine->failed);
	listing_put_text(result, "version", engine->config.version);
	listing_put_text(result, "backend", engine->config.backend);
	if (engine->backend_version)
		listing_put_text(result, "backend_version", engine->backend_version);
	listing_put(result, "simulated", json_object_new_boolean(engine->config.simulated));
	listing_put(result, "dns", json_object_new_boolean(engine->dns != NULL));
	listing_put(result, "toolstack", json_object_new_boolean(engine->surveyed));
	listing_put_text(result, "listen", engine->config.listen);
	listing_put_text(result, "store", engine->config.store);
	listing_put_time(result, "uptime", (int64_t)(loop_now(engine->loop) - engine->started),
			 (int64_t)USEC_PER_SEC);
	listing_put_number(result, "services", total);
	listing_put(result, "states", states);
	listing_put_number(result, "boots", engine->boots);
	listing_put_number(result, "failures", engine->failures);
	listing_put(result, "limited", counters_json(engine));
	if (engine->backend_version) {
		listing_put_number(result, "memory_free", engine->memory_free);
		listing_put_number(result, "memory_total", engine->memory_total);
	}
	listing_put_number(result, "reserve", engine->config.reserve);
	listing_put(result, "orphans", orphans_json(engine));
	done(arg, result, NULL);
}
