#include "engine/listing.h"

#include <json-c/json.h>
#include <stdio.h>

#include "base/error.h"
#include "base/loop.h"
#include "engine/inside.h"
#include "proto/spec.h"

void listing_put(struct json_object *object, const char *key, struct json_object *value)
{
	json_object_object_add(object, key, value);
}

void listing_put_text(struct json_object *object, const char *key, const char *text)
{
	listing_put(object, key, json_object_new_string(text));
}

void listing_put_number(struct json_object *object, const char *key, uint64_t n)
{
	listing_put(object, key, json_object_new_uint64(n));
}

void listing_put_time(struct json_object *object, const char *key, int64_t usec, int64_t unit)
{
	char text[32];

	snprintf(text, sizeof text, "%.3f", (double)usec / (double)unit);
	listing_put(object, key, json_object_new_double_s((double)usec / (double)unit, text));
}

static void put_given_text(struct json_object *object, const char *key, const char *text)
{
	if (text)
		listing_put_text(object, key, text);
}

static void put_true(struct json_object *object, const char *key, bool is)
{
	if (is)
		listing_put(object, key, json_object_new_boolean(true));
}

/* A time of the record, as ms since the want; nothing if it did not happen. */
static void put_since(struct json_object *object, const char *key, uint64_t at, uint64_t want)
{
	if (at)
		listing_put_time(object, key, (int64_t)at - (int64_t)want, (int64_t)USEC_PER_MSEC);
}

static struct json_object *missed_json(unsigned missed)
{
	struct json_object *array = json_object_new_array();

	for (enum ready_sign sign = 0; sign < READY_SIGNS; sign++)
		if (missed & 1u << sign)
			json_object_array_add(array, json_object_new_string(ready_sign_name(sign)));
	return array;
}

static struct json_object *boot_json(const struct service *service)
{
	static const char *const hows[] = { "booted", "restored", "woken" };
	const struct boot_record *record = &service->record;
	struct json_object *boot;

	if (!record->want)
		return NULL;
	boot = json_object_new_object();
	listing_put_number(boot, "want", record->want);
	if (record->created)
		listing_put_text(boot, "how", hows[record->how]);
	put_since(boot, "began", record->began, record->want);
	put_since(boot, "created", record->created, record->want);
	put_since(boot, "key", record->key, record->want);
	put_since(boot, "port", record->port, record->want);
	put_since(boot, "frame", record->frame, record->want);
	if (record->missed)
		listing_put(boot, "missed", missed_json(record->missed));
	put_since(boot, "ready", record->ready, record->want);
	put_since(boot, "answered", record->answered, record->want);
	if (record->answered) {
		listing_put_number(boot, "waiters", record->waiters);
		listing_put(boot, "late", json_object_new_boolean(record->late));
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
		listing_put(object, key, json_object_get(value));
}

static void put_failures(struct json_object *object, const struct service *service)
{
	uint64_t now = service_now(service), retry_at = service->failure.retry_at;
	unsigned row = failure_row(service);

	listing_put_number(object, "failures", service->failures);
	put_given_text(object, "error",
		       service->failure.error		   ? service->failure.error
		       : service->state != LIFECYCLE_READY ? service->failure.death
							   : NULL);
	if (row)
		listing_put_number(object, "failures_in_row", row);
	if (retry_at > now)
		listing_put_time(object, "retry", (int64_t)(retry_at - now), (int64_t)USEC_PER_SEC);
}

struct json_object *listing_service(const struct service *service, bool whole)
{
	struct engine *engine = service->engine;
	const struct boot_record *record = &service->record;
	struct json_object *object = json_object_new_object();
	struct json_object *spec = spec_to_json(service->spec), *boot;
	uint64_t asked = service_last_query(service);

	listing_put_text(object, "name", service->spec->name);
	listing_put_text(object, "state", service_state(service));
	listing_put(object, "simulated", json_object_new_boolean(engine->config.simulated));
	put_from_spec(object, spec, "dns");
	put_from_spec(object, spec, "ip");
	put_from_spec(object, spec, "memory");
	if (service->entry.has_domain)
		listing_put_number(object, "domid", service->domid);
	put_from_spec(object, spec, "uuid");
	listing_put_number(object, "queries", service_queries(service));
	if (asked)
		listing_put_time(object, "asked", (int64_t)(loop_now(engine->loop) - asked),
				 (int64_t)USEC_PER_SEC);
	listing_put_number(object, "boots", service->boots);
	put_failures(object, service);
	put_given_text(object, "why", service->cause.now);
	put_given_text(object, "notice", service->notice);
	put_true(object, "pinned", service->spec->pinned);
	if (record->want && record->ready)
		put_since(object, "wake", record->ready, record->want);
	if (service->entry.has_domain && service->measured) {
		listing_put_number(object, "rx", service->rx);
		listing_put_number(object, "tx", service->tx);
		listing_put_time(object, "measured",
				 (int64_t)(service_now(service) - service->measured),
				 (int64_t)USEC_PER_SEC);
	}
	if (whole) {
		listing_put_text(object, "phase", lifecycle_state_name(service->state));
		if (service->state == LIFECYCLE_BOOTING && service->ready.awaited < READY_SIGNS)
			listing_put_text(object, "awaits", ready_sign_name(service->ready.awaited));
		put_true(object, "image", service->image);
		put_given_text(object, "death", service->failure.death);
		put_given_text(object, "console", service->failure.console);
		listing_put_number(object, "added", (uint64_t)service->added);
		boot = boot_json(service);
		if (boot)
			listing_put(object, "boot", boot);
		listing_put(object, "spec", json_object_get(spec));
	}
	json_object_put(spec);
	return object;
}

struct service *listing_named(struct engine *engine, struct json_object *params, struct error *err)
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
