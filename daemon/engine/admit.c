#include "engine/admit.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/events.h"
#include "engine/holding.h"
#include "engine/inside.h"
#include "engine/load.h"
#include "engine/rest.h"
#include "engine/store.h"
#include "engine/survey.h"
#include "proto/control.h"
#include "proto/message.h"
#include "proto/spec.h"
#include "proto/usage.h"

#define CHECK_LIMIT (10 * USEC_PER_SEC) /* that somebody waits for the toolstack's opinion */

struct admission {
	TAILQ_ENTRY(admission) entry;
	struct engine *engine;
	struct spec *spec;
	char *json;
	bool changes; /* a service that is there */
	bool given;   /* at start: it may be new or there */
	uint32_t request;
	struct service *staged; /* stored with others, and not on disk yet */
	struct timer *timer;	/* NULL: patient, since nobody waits */
	admit_done *done;
	void *arg;
};

/* Random bytes are had for many at a time: each time the kernel is asked. */
void admit_make_uuid(struct engine *engine, struct spec *spec)
{
	if (spec->has_uuid)
		return;
	if (engine->random_left < sizeof spec->uuid) {
		if (getrandom(engine->random, sizeof engine->random, 0) !=
		    (ssize_t)sizeof engine->random)
			abort();
		engine->random_left = sizeof engine->random;
	}
	engine->random_left -= sizeof spec->uuid;
	memcpy(spec->uuid, engine->random + engine->random_left, sizeof spec->uuid);
	spec->uuid[6] = (uint8_t)((spec->uuid[6] & 0x0f) | 0x40); /* RFC 4122 4.4 */
	spec->uuid[8] = (uint8_t)((spec->uuid[8] & 0x3f) | 0x80);
	spec->has_uuid = true;
}

static char *canonical(const struct spec *spec)
{
	size_t size;

	return spec_to_text(spec, &size, NULL);
}

static void admission_free(struct admission *admission)
{
	if (admission->staged)
		TAILQ_REMOVE(&admission->engine->staged, admission, entry);
	else
		TAILQ_REMOVE(&admission->engine->admissions, admission, entry);
	timer_free(admission->timer);
	spec_free(admission->spec);
	free(admission->json);
	free(admission);
}

static void finish(struct admission *admission, struct service *service, const struct error *err)
{
	admit_done *done = admission->done;
	void *arg = admission->arg;

	admission_free(admission);
	done(arg, service, err);
}

/* It is on disk: from here on it is there for everybody. */
static void announce(struct engine *engine, struct service *service)
{
	service->staged = false;
	if (engine->dns)
		service_tell(service, engine->dns);
	log_info("service %s: added", service->spec->name);
	event_added(service);
	rest_consider(service);
	survey_claim(engine, service);
	holding_update(service);
	if (engine->surveyed && service->spec->pinned)
		service_revive(service);
}

/* All that came in this turn of the loop share one write to the disk, which costs what it costs
 * for one. */
static void commit(void *arg)
{
	struct engine *engine = arg;
	struct error err = { 0 };
	bool lost = store_commit(engine->store, &err) < 0;
	struct admission *admission;

	if (lost)
		log_error("%s", err.text);
	while ((admission = TAILQ_FIRST(&engine->staged))) {
		struct service *service = admission->staged;

		if (lost && service->state == LIFECYCLE_OFF)
			service_free(service);
		else if (lost)
			service_remove(service); /* a survey has found its domain meanwhile */
		else
			announce(engine, service);
		finish(admission, lost ? NULL : service, &err);
	}
	load_committed(engine, lost ? &err : NULL);
}

void admit_flush(struct engine *engine)
{
	if (!TAILQ_EMPTY(&engine->staged) || load_staged(engine))
		commit(engine);
}

void admit_commit(struct engine *engine, uint64_t usec)
{
	if (!engine->commit_timer)
		engine->commit_timer = timer_new(engine->loop, commit, engine);
	if (!engine->commit_timer)
		abort();
	timer_set(engine->commit_timer, usec);
}

/* Everything that can fail comes before the store, and nothing after it but the disk itself. 0, and
 * the admission ends with the next commit; or -1. */
static int stage(struct engine *engine, struct admission *admission, struct error *err)
{
	uint32_t id = registry_free_id(engine->registry);
	int64_t added = (int64_t)time(NULL);
	struct service *service;

	if (registry_check(engine->registry, admission->spec, NULL, err) < 0)
		return -1;
	if (id == REGISTRY_NO_ID) {
		error_set(err, ERROR_BUSY, "there are %u services, and no room for more",
			  USAGE_SLOTS);
		return -1;
	}
	if (store_begin(engine->store, err) < 0 ||
	    store_add(engine->store, id, admission->spec->name, admission->json, added, err) < 0)
		return -1;
	/* dns may have answered for the id's last service since that was removed. */
	usage_clear(&engine->config.usage[id]);
	/* It holds its name and addresses already, and nobody sees it. */
	service = service_new(engine, id, TAKE(admission->spec), TAKE(admission->json), added);
	service->staged = true;
	if (admission->timer)
		timer_cancel(admission->timer);
	admission->staged = service;
	TAILQ_REMOVE(&engine->admissions, admission, entry);
	TAILQ_INSERT_TAIL(&engine->staged, admission, entry);
	admit_commit(engine, 0);
	return 0;
}

/* Another form for a service that is there. */
static int change(struct engine *engine, struct service *service, struct admission *admission,
		  struct error *err)
{
	if (strcmp(admission->json, service->json) == 0)
		return 0;
	admit_flush(engine);
	if (registry_check(engine->registry, admission->spec, service, err) < 0 ||
	    store_update(engine->store, service->id, admission->json, err) < 0)
		return -1;
	spec_free(registry_replace_spec(engine->registry, service, TAKE(admission->spec)));
	free(service->json);
	service->json = TAKE(admission->json);
	log_info("service %s: changed", service->spec->name);
	service_changed(service);
	return 0;
}

/* The service that an admission is to change: one given at start may be new. NULL with an error,
 * or without if it is. */
static struct service *to_change(struct engine *engine, struct admission *admission,
				 struct error *err)
{
	struct service *there = registry_by_name(engine->registry, admission->spec->name);

	if (there && service_removed(there))
		there = NULL;
	if (admission->changes && !there) {
		error_set(err, ERROR_ABSENT, "service %s was removed meanwhile",
			  admission->spec->name);
	} else if (there && admission->given && there->state != LIFECYCLE_OFF &&
		   strcmp(admission->json, there->json) != 0) {
		error_set(err, ERROR_BUSY,
			  "it differs from the one that is there, which is kept while it is %s",
			  service_state(there));
		there = NULL;
	}
	return there;
}

static void checked(struct admission *admission)
{
	struct engine *engine = admission->engine;
	struct error err = { 0 };
	struct service *there = NULL, *service = NULL;

	if (admission->changes || admission->given)
		there = to_change(engine, admission, &err);
	if (there)
		service = change(engine, there, admission, &err) < 0 ? NULL : there;
	else if (err.kind == ERROR_NONE && stage(engine, admission, &err) == 0)
		return;
	finish(admission, service, &err);
}

static void on_limit(void *arg)
{
	struct error err;

	error_set(&err, ERROR_BUSY,
		  "the toolstack does not answer, so the service cannot be checked; try again");
	finish(arg, NULL, &err);
}

static void ask(struct admission *admission)
{
	if (admission->engine->toolstack)
		message_send_check(admission->engine->toolstack,
				   &(struct msg_check){ .request = admission->request,
							.spec = admission->json });
}

/* Takes spec, which has its UUID. */
static struct admission *begin(struct engine *engine, struct spec *spec, bool patient,
			       admit_done *done, void *arg)
{
	struct admission *admission = calloc(1, sizeof *admission);

	if (!admission)
		abort();
	*admission = (struct admission){ .engine = engine,
					 .spec = spec,
					 .json = canonical(spec),
					 .request = engine->next_request++,
					 .done = done,
					 .arg = arg };
	TAILQ_INSERT_TAIL(&engine->admissions, admission, entry);
	if (!patient) {
		admission->timer = timer_new(engine->loop, on_limit, admission);
		if (!admission->timer)
			abort();
		timer_set(admission->timer, CHECK_LIMIT);
	}
	return admission;
}

static int check_here(const struct engine *engine, const struct spec *spec, struct error *err)
{
	if (spec_wakes_by(spec, SPEC_WAKE_PACKET) && !engine->config.synjitsu)
		return error_field(err, ERROR_INPUT, "wake", "packet",
				   "expected a jitsud that was started with --synjitsu, which "
				   "hears of packets");
	return 0;
}

void admit(struct engine *engine, struct spec *spec, admit_done *done, void *arg)
{
	struct error err = { 0 };

	admit_make_uuid(engine, spec);
	if (check_here(engine, spec, &err) < 0 ||
	    registry_check(engine->registry, spec, NULL, &err) < 0) {
		spec_free(spec);
		done(arg, NULL, &err);
		return;
	}
	ask(begin(engine, spec, false, done, arg));
}

void admit_given(struct engine *engine, struct spec *spec, admit_done *done, void *arg)
{
	struct admission *admission;
	struct error err = { 0 };

	if (check_here(engine, spec, &err) < 0) {
		spec_free(spec);
		done(arg, NULL, &err);
		return;
	}
	admission = begin(engine, spec, true, done, arg);
	admission->given = true;
	ask(admission);
}

void admit_change(struct service *service, struct spec *spec, bool check, admit_done *done,
		  void *arg)
{
	struct admission *admission;
	struct error err = { 0 };

	if (check_here(service->engine, spec, &err) < 0) {
		spec_free(spec);
		done(arg, NULL, &err);
		return;
	}
	admission = begin(service->engine, spec, false, done, arg);
	admission->changes = true;
	if (check)
		ask(admission);
	else
		checked(admission);
}

void admit_ask(struct engine *engine)
{
	struct admission *admission;

	TAILQ_FOREACH(admission, &engine->admissions, entry)
		ask(admission);
}

/* Puts in the keys that the toolstack found out where they are not given. */
static int complete(struct admission *admission, const char *addition, struct error *err)
{
	struct json_object *object, *found = NULL;
	struct spec *spec;

	if (control_parse(addition, strlen(addition), &found, err) < 0 ||
	    !json_object_is_type(found, json_type_object)) {
		json_object_put(found);
		return error_set(err, ERROR_SYSTEM, "the toolstack's addition is no JSON object");
	}
	object = spec_to_json(admission->spec);
	json_object_object_foreach(found, key, value)
	{
		if (!json_object_object_get_ex(object, key, NULL))
			json_object_object_add(object, key, json_object_get(value));
	}
	spec = spec_from_json(object, admission->engine->config.simulated, err);
	json_object_put(object);
	json_object_put(found);
	if (!spec)
		return -1;
	spec_free(admission->spec);
	admission->spec = spec;
	free(admission->json);
	admission->json = canonical(spec);
	return 0;
}

void admit_checked(struct engine *engine, const struct msg_checked *m)
{
	struct admission *admission;
	struct error err = { 0 };

	/* Answers come in the order of the questions: it is the first, or near it. */
	TAILQ_FOREACH(admission, &engine->admissions, entry)
		if (admission->request == m->request)
			break;
	if (!admission)
		return; /* nobody waits any more */
	if (m->kind == ERROR_NONE) {
		if (*m->addition && complete(admission, m->addition, &err) < 0)
			finish(admission, NULL, &err);
		else
			checked(admission);
		return;
	}
	error_set(&err, m->kind <= ERROR_SYSTEM ? (enum error_kind)m->kind : ERROR_SYSTEM, "%s",
		  m->text);
	snprintf(err.field, sizeof err.field, "%s", m->field);
	finish(admission, NULL, &err);
}

void admit_end(struct engine *engine)
{
	struct error err;

	error_set(&err, ERROR_BUSY, "the daemon ends");
	if (engine->commit_timer)
		commit(engine);
	timer_free(TAKE(engine->commit_timer));
	while (!TAILQ_EMPTY(&engine->admissions))
		finish(TAILQ_FIRST(&engine->admissions), NULL, &err);
}
