#include "engine/orders.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/loop.h"
#include "engine/admit.h"
#include "engine/inside.h"
#include "engine/listing.h"
#include "engine/verbs.h"
#include "proto/spec.h"

#define WAIT_LIMIT (60 * USEC_PER_SEC) /* then the answer says how far it is */

/* service.start and the like answer when the service has come to rest. */
struct waiter {
	TAILQ_ENTRY(waiter) entry;
	struct engine *engine;
	struct service *service;
	bool for_ready; /* else for being put away */
	struct timer *timer;
	verb_done *done;
	void *arg;
};

static void finish(struct waiter *waiter, struct json_object *result, const struct error *err)
{
	verb_done *done = waiter->done;
	void *arg = waiter->arg;

	TAILQ_REMOVE(&waiter->engine->waiters, waiter, entry);
	timer_free(waiter->timer);
	free(waiter);
	done(arg, result, err);
}

/* True, and the waiter is freed, if its wait is over. */
static bool settled(struct waiter *waiter)
{
	struct service *service = waiter->service;
	enum lifecycle_public shown = lifecycle_public(service->state);
	struct error err;

	if (shown == LIFECYCLE_PUBLIC_STARTING || shown == LIFECYCLE_PUBLIC_STOPPING)
		return false;
	if (shown == LIFECYCLE_PUBLIC_REMOVED)
		error_set(&err, ERROR_ABSENT, "service %s was removed meanwhile",
			  service->spec->name);
	else if (waiter->for_ready != (shown == LIFECYCLE_PUBLIC_READY))
		error_set(&err, ERROR_SYSTEM, "service %s: %s", service->spec->name,
			  service->failure.error ? service->failure.error
			  : waiter->for_ready	 ? "put away before it was ready"
						 : "wanted again at once");
	else
		err.kind = ERROR_NONE;
	if (err.kind == ERROR_NONE)
		finish(waiter, listing_service(service, true), NULL);
	else
		finish(waiter, NULL, &err);
	return true;
}

static void on_limit(void *arg)
{
	struct waiter *waiter = arg;

	finish(waiter, listing_service(waiter->service, true), NULL);
}

/* Before the order, which may be carried out before it returns. */
static void wait_for(struct service *service, bool for_ready, verb_done *done, void *arg)
{
	struct waiter *waiter = calloc(1, sizeof *waiter);

	if (!waiter || !(waiter->timer = timer_new(service->engine->loop, on_limit, waiter)))
		abort();
	waiter->engine = service->engine;
	waiter->service = service;
	waiter->for_ready = for_ready;
	waiter->done = done;
	waiter->arg = arg;
	timer_set(waiter->timer, WAIT_LIMIT);
	TAILQ_INSERT_TAIL(&service->engine->waiters, waiter, entry);
}

void orders_changed(struct service *service)
{
	struct engine *engine = service->engine;
	struct waiter *waiter = TAILQ_FIRST(&engine->waiters), *next;

	for (; waiter; waiter = next) {
		next = TAILQ_NEXT(waiter, entry);
		if (waiter->service == service)
			settled(waiter);
	}
}

bool orders_waited(const struct service *service)
{
	const struct waiter *waiter;

	TAILQ_FOREACH(waiter, &service->engine->waiters, entry)
		if (waiter->service == service)
			return true;
	return false;
}

void orders_end(struct engine *engine)
{
	struct error err;

	error_set(&err, ERROR_BUSY, "the daemon ends");
	while (!TAILQ_EMPTY(&engine->waiters))
		finish(TAILQ_FIRST(&engine->waiters), NULL, &err);
}

/* service.start, service.restart */

void verb_service_start(struct engine *engine, struct json_object *params, verb_done *done,
			void *arg)
{
	struct error err = { 0 };
	struct service *service = listing_named(engine, params, &err);

	if (!service) {
		done(arg, NULL, &err);
		return;
	}
	failure_forget(service);
	if (service->state == LIFECYCLE_READY) {
		done(arg, listing_service(service, true), NULL);
		return;
	}
	wait_for(service, true, done, arg);
	cause_say(service, CAUSE_ORDER, "service.start");
	service_summon(service);
}

void verb_service_restart(struct engine *engine, struct json_object *params, verb_done *done,
			  void *arg)
{
	struct error err = { 0 };
	struct service *service = listing_named(engine, params, &err);

	if (service &&
	    (service->state == LIFECYCLE_PAUSING || service->state == LIFECYCLE_SUSPENDING)) {
		error_set(&err, ERROR_BUSY, "service %s is just being put to sleep; try again",
			  service->spec->name);
		service = NULL;
	}
	if (!service) {
		done(arg, NULL, &err);
		return;
	}
	failure_forget(service);
	wait_for(service, true, done, arg);
	cause_say(service, CAUSE_ORDER, "service.restart");
	service_restart(service);
}

/* service.stop, service.pause */

static int refused(const struct service *service, enum spec_stop_mode mode, struct error *err)
{
	return error_set(err, ERROR_BUSY, "service %s is %s: it cannot be %s now",
			 service->spec->name, service_state(service),
			 mode == SPEC_STOP_PAUSE ? "paused" : "suspended");
}

/* What a state can do to come down to a mode. 0, or -1 with an error. */
static int check_put(const struct service *service, enum spec_stop_mode mode, struct error *err)
{
	bool sleeps = mode == SPEC_STOP_PAUSE || mode == SPEC_STOP_SUSPEND;

	switch (service->state) {
	case LIFECYCLE_READY:
	case LIFECYCLE_RETIRING:
		return 0;
	case LIFECYCLE_PAUSED:
		return 0;
	case LIFECYCLE_SUSPENDED:
		return mode == SPEC_STOP_PAUSE ? refused(service, mode, err) : 0;
	case LIFECYCLE_PAUSING:
	case LIFECYCLE_SUSPENDING:
		return error_set(err, ERROR_BUSY,
				 "service %s is just being put to sleep; try again",
				 service->spec->name);
	default:
		return sleeps ? refused(service, mode, err) : 0;
	}
}

static void put(struct service *service, enum spec_stop_mode mode, const char *method,
		verb_done *done, void *arg)
{
	struct error err = { 0 };

	if (check_put(service, mode, &err) < 0) {
		done(arg, NULL, &err);
		return;
	}
	service->parked = true;
	service->revive = false;
	wait_for(service, false, done, arg);
	if (mode == SPEC_STOP_SHUTDOWN && service->state != LIFECYCLE_READY &&
	    service->state != LIFECYCLE_RETIRING)
		mode = SPEC_STOP_DESTROY; /* it does not listen */
	cause_say(service, CAUSE_ORDER, method);
	service_put(service, mode);
	orders_changed(service); /* where there was nothing to do */
}

void verb_service_stop(struct engine *engine, struct json_object *params, verb_done *done,
		       void *arg)
{
	struct error err = { 0 };
	struct service *service = listing_named(engine, params, &err);
	struct json_object *value;
	enum spec_stop_mode mode;

	if (!service) {
		done(arg, NULL, &err);
		return;
	}
	if (params && json_object_object_get_ex(params, "mode", &value)) {
		mode = spec_stop_find(json_object_get_string(value));
		if (mode == SPEC_STOP_UNSET) {
			error_field(&err, ERROR_INPUT, "mode", json_object_get_string(value),
				    "expected destroy, shutdown, suspend or pause");
			done(arg, NULL, &err);
			return;
		}
	} else {
		mode = service->spec->stop_mode ? service->spec->stop_mode
						: engine->config.stop_mode;
		/* What is not up cannot sleep: then it is the stop that was meant. */
		if (check_put(service, mode, NULL) < 0)
			mode = SPEC_STOP_DESTROY;
	}
	put(service, mode, "service.stop", done, arg);
}

void verb_service_pause(struct engine *engine, struct json_object *params, verb_done *done,
			void *arg)
{
	struct error err = { 0 };
	struct service *service = listing_named(engine, params, &err);

	if (service)
		put(service, SPEC_STOP_PAUSE, "service.pause", done, arg);
	else
		done(arg, NULL, &err);
}

/* service.pin, service.unpin, service.set */

struct change {
	bool pin; /* answers with the service, and starts it */
	verb_done *done;
	void *arg;
	struct json_object *result;
};

static void on_changed(void *arg, struct service *service, const struct error *err)
{
	struct change change = *(struct change *)arg;

	free(arg);
	if (!service) {
		json_object_put(change.result);
		change.done(change.arg, NULL, err);
	} else if (change.result) {
		change.done(change.arg, change.result, NULL);
	} else {
		if (change.pin) {
			service->parked = false;
			service_revive(service);
		}
		change.done(change.arg, listing_service(service, true), NULL);
	}
}

/* Keys that are looked at when they are needed, so that they count at once. */
static bool is_live(const char *key)
{
	static const char *const live[] = {
		"ptr",	       "wake_any",  "dns",	"ip",	   "ttl",	   "response_delay",
		"wait_limit",  "stop_mode", "idle",	"idle_by", "idle_traffic", "shutdown_limit",
		"on_poweroff", "on_reboot", "on_crash", "pinned",  "use_synjitsu", "wake",
		"ports",
	};

	for (size_t i = 0; i < sizeof live / sizeof live[0]; i++)
		if (strcmp(live[i], key) == 0)
			return true;
	return false;
}

static bool same(struct json_object *a, struct json_object *b, const char *key)
{
	struct json_object *left = NULL, *right = NULL;

	json_object_object_get_ex(a, key, &left);
	json_object_object_get_ex(b, key, &right);
	return json_object_equal(left, right);
}

static void sort(struct json_object *before, struct json_object *after, const char *key,
		 bool unbuilt, struct json_object *now, struct json_object *later)
{
	if (!same(before, after, key))
		json_object_array_add(unbuilt || is_live(key) ? now : later,
				      json_object_new_string(key));
}

/* Which keys changed, and from when on each counts. */
static struct json_object *effects(const struct service *service, struct json_object *before,
				   struct json_object *after)
{
	struct json_object *result = json_object_new_object(), *now = json_object_new_array(),
			   *later = json_object_new_array();
	bool unbuilt = service_unbuilt(service);

	json_object_object_foreach(after, key, value)
	{
		(void)value;
		sort(before, after, key, unbuilt, now, later);
	}
	json_object_object_foreach(before, gone, last)
	{
		(void)last;
		if (!json_object_object_get_ex(after, gone, NULL))
			sort(before, after, gone, unbuilt, now, later);
	}
	listing_put_text(result, "name", service->spec->name);
	listing_put(result, "now", now);
	listing_put(result, "later", later);
	return result;
}

/* The specification with the changes; null takes a key away. NULL with an error. */
static struct spec *merge(const struct service *service, struct json_object *changes,
			  struct error *err)
{
	struct json_object *object = spec_to_json(service->spec);
	struct spec *spec = NULL;

	json_object_object_foreach(changes, key, value)
	{
		if (strcmp(key, "name") == 0 || strcmp(key, "uuid") == 0) {
			error_field(err, ERROR_INPUT, key, json_object_get_string(value),
				    "it stays as it is; remove the service and add another");
			goto out;
		}
		if (strcmp(key, "ip") == 0 && !service_unbuilt(service)) {
			error_field(err, ERROR_BUSY, key, json_object_get_string(value),
				    "it can be changed while the service is off, and it is %s",
				    service_state(service));
			goto out;
		}
		if (value)
			json_object_object_add(object, key, json_object_get(value));
		else
			json_object_object_del(object, key);
	}
	spec = spec_from_json(object, service->engine->config.simulated, err);
out:
	json_object_put(object);
	return spec;
}

static void change(struct service *service, struct json_object *changes, bool with_result, bool pin,
		   verb_done *done, void *arg)
{
	struct json_object *before, *after, *result;
	struct error err = { 0 };
	struct spec *spec = merge(service, changes, &err);
	struct change *change;
	bool live;

	if (!spec) {
		done(arg, NULL, &err);
		return;
	}
	before = spec_to_json(service->spec);
	after = spec_to_json(spec);
	result = effects(service, before, after);
	live = !json_object_array_length(json_object_object_get(result, "later")) &&
	       !service_unbuilt(service);
	json_object_put(before);
	json_object_put(after);
	if (!with_result) {
		json_object_put(result);
		result = NULL;
	}
	change = calloc(1, sizeof *change);
	if (!change)
		abort();
	*change = (struct change){ .pin = pin, .done = done, .arg = arg, .result = result };
	admit_change(service, spec, !live && !pin && with_result, on_changed, change);
}

static void pin(struct engine *engine, struct json_object *params, bool pinned, verb_done *done,
		void *arg)
{
	struct error err = { 0 };
	struct service *service = listing_named(engine, params, &err);
	struct json_object *changes;

	if (!service) {
		done(arg, NULL, &err);
		return;
	}
	changes = json_object_new_object();
	json_object_object_add(changes, "pinned", json_object_new_boolean(pinned));
	change(service, changes, false, pinned, done, arg);
	json_object_put(changes);
}

void verb_service_pin(struct engine *engine, struct json_object *params, verb_done *done, void *arg)
{
	pin(engine, params, true, done, arg);
}

void verb_service_unpin(struct engine *engine, struct json_object *params, verb_done *done,
			void *arg)
{
	pin(engine, params, false, done, arg);
}

void verb_service_set(struct engine *engine, struct json_object *params, verb_done *done, void *arg)
{
	struct error err = { 0 };
	struct service *service = listing_named(engine, params, &err);
	struct json_object *changes;

	if (service && json_object_object_get_ex(params, "values", &changes))
		change(service, changes, true, false, done, arg);
	else
		done(arg, NULL, &err);
}
