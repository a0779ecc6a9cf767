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
#include "engine/inside.h"
#include "engine/store.h"
#include "proto/message.h"
#include "proto/spec.h"
#include "proto/usage.h"

#define CHECK_LIMIT	  (10 * USEC_PER_SEC) /* that somebody waits for the toolstack's opinion */
#define DECLARED_BUSY_MAX 8

struct admission {
	TAILQ_ENTRY(admission) entry;
	struct engine *engine;
	struct spec *spec;
	char *json;
	uint32_t request;
	struct timer *timer; /* NULL: patient, since nobody waits */
	admit_done *done;
	void *arg;
};

static void make_uuid(struct spec *spec)
{
	if (spec->has_uuid)
		return;
	if (getrandom(spec->uuid, sizeof spec->uuid, 0) != (ssize_t)sizeof spec->uuid)
		abort();
	spec->uuid[6] = (uint8_t)((spec->uuid[6] & 0x0f) | 0x40); /* RFC 4122 4.4 */
	spec->uuid[8] = (uint8_t)((spec->uuid[8] & 0x3f) | 0x80);
	spec->has_uuid = true;
}

static char *canonical(const struct spec *spec)
{
	struct json_object *object = spec_to_json(spec);
	char *text = strdup(json_object_to_json_string_ext(
		object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));

	if (!text)
		abort();
	json_object_put(object);
	return text;
}

static void admission_free(struct admission *admission)
{
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

	if (!service && !admission->timer)
		log_error("service %s, given at start: %s", admission->spec->name, err->text);
	admission_free(admission);
	done(arg, service, err);
}

/* Everything that can fail comes before the store, and nothing after it. */
static struct service *commit(struct engine *engine, struct admission *admission, struct error *err)
{
	uint32_t id = registry_free_id(engine->registry);
	int64_t added = (int64_t)time(NULL);
	struct service *service;

	if (registry_check(engine->registry, admission->spec, NULL, err) < 0)
		return NULL;
	if (id == REGISTRY_NO_ID) {
		error_set(err, ERROR_BUSY, "there are %u services, and no room for more",
			  USAGE_SLOTS);
		return NULL;
	}
	if (store_add(engine->store, id, admission->spec->name, admission->json, added, err) < 0)
		return NULL;
	/* What is in the slot was another service's. */
	atomic_store(&engine->config.usage[id].last_query, 0);
	atomic_store(&engine->config.usage[id].queries, 0);
	service = service_new(engine, id, TAKE(admission->spec), TAKE(admission->json), added);
	if (engine->dns)
		service_tell(service, engine->dns);
	log_info("service %s: added", service->spec->name);
	engine_claim_orphan(engine, service);
	return service;
}

/* A service given at start that is there already in another form. */
static int change(struct engine *engine, struct service *service, struct admission *admission,
		  struct error *err)
{
	if (service->state != LIFECYCLE_OFF)
		return error_set(err, ERROR_BUSY,
				 "it differs from the one that is there, which is kept while it is "
				 "%s",
				 lifecycle_public_name(lifecycle_public(service->state)));
	if (registry_check(engine->registry, admission->spec, service, err) < 0 ||
	    store_update(engine->store, service->id, admission->json, err) < 0)
		return -1;
	spec_free(registry_replace_spec(engine->registry, service, TAKE(admission->spec)));
	free(service->json);
	service->json = TAKE(admission->json);
	if (engine->dns)
		service_tell(service, engine->dns);
	log_info("service %s: changed as given at start", service->spec->name);
	return 0;
}

static void on_declared(void *arg, struct service *service, const struct error *err);

static void checked(struct admission *admission)
{
	struct engine *engine = admission->engine;
	struct error err = { 0 };
	struct service *there = NULL, *service;

	if (admission->done == on_declared)
		there = registry_by_name(engine->registry, admission->spec->name);
	if (there && !service_removed(there))
		service = change(engine, there, admission, &err) < 0 ? NULL : there;
	else
		service = commit(engine, admission, &err);
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
static void begin(struct engine *engine, struct spec *spec, bool patient, admit_done *done,
		  void *arg)
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
	ask(admission);
}

void admit(struct engine *engine, struct spec *spec, admit_done *done, void *arg)
{
	struct error err = { 0 };

	make_uuid(spec);
	if (registry_check(engine->registry, spec, NULL, &err) < 0) {
		spec_free(spec);
		done(arg, NULL, &err);
		return;
	}
	begin(engine, spec, false, done, arg);
}

void admit_ask(struct engine *engine)
{
	struct admission *admission;

	TAILQ_FOREACH(admission, &engine->admissions, entry)
		ask(admission);
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
	engine->declared_next = engine->declared_count;
	while (!TAILQ_EMPTY(&engine->admissions))
		finish(TAILQ_FIRST(&engine->admissions), NULL, &err);
	for (size_t i = 0; i < engine->declared_count; i++)
		free(engine->declared[i]);
	free(engine->declared);
	engine->declared = NULL;
	engine->declared_count = engine->declared_next = 0;
}

/* The services given at start. */

static void on_declared(void *arg, struct service *service, const struct error *err)
{
	struct engine *engine = arg;

	(void)service;
	(void)err;
	engine->declared_busy--;
	admit_declared(engine);
}

/* Without a UUID of its own it has the one that was made for it. */
static bool is_there(struct engine *engine, struct spec *spec)
{
	struct service *there = registry_by_name(engine->registry, spec->name);
	cleanup_free char *json = NULL;

	if (there && !service_removed(there) && !spec->has_uuid) {
		memcpy(spec->uuid, there->spec->uuid, sizeof spec->uuid);
		spec->has_uuid = true;
	}
	make_uuid(spec);
	json = canonical(spec);
	return there && !service_removed(there) && strcmp(json, there->json) == 0;
}

void admit_declared(struct engine *engine)
{
	while (engine->declared_busy < DECLARED_BUSY_MAX &&
	       engine->declared_next < engine->declared_count) {
		size_t i = engine->declared_next++;
		struct error err;
		struct spec *spec =
			spec_from_text(engine->declared[i], engine->config.simulated, &err);

		if (!spec) {
			log_error("service %zu of those given at start: %s", i + 1, err.text);
		} else if (is_there(engine, spec)) {
			spec_free(spec);
		} else {
			engine->declared_busy++;
			begin(engine, spec, true, on_declared, engine);
		}
	}
}
