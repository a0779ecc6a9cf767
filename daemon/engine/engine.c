#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/link.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/admit.h"
#include "engine/control.h"
#include "engine/feed.h"
#include "engine/holding.h"
#include "engine/inside.h"
#include "engine/load.h"
#include "engine/orders.h"
#include "engine/rest.h"
#include "engine/store.h"
#include "engine/survey.h"
#include "engine/verbs.h"
#include "proto/message.h"
#include "proto/spec.h"
#include "proto/usage.h"

void engine_pump(struct engine *engine)
{
	enum room_verdict verdict = ROOM_FITS;
	char why[ERROR_TEXT_MAX];

	if (engine->pump_held || !engine->surveyed)
		return;
	engine->pump_held = true;
	while (engine->building < engine->config.boots && !TAILQ_EMPTY(&engine->queue) &&
	       verdict != ROOM_WAIT) {
		struct service *service = TAILQ_FIRST(&engine->queue);

		verdict = room_admit(engine, service, why, sizeof why);
		if (verdict == ROOM_FITS)
			service_place(service);
		else if (verdict == ROOM_NONE)
			service_refuse(service, why);
	}
	engine->pump_held = false;
}

/* dns */

static void on_want(void *arg, const struct msg_want *m)
{
	struct engine *engine = arg;
	struct service *service = registry_by_id(engine->registry, m->id);

	if (service)
		service_want(service, m->at, &m->client, &m->name);
}

static void on_retired(void *arg, const struct msg_retired *m)
{
	struct engine *engine = arg;
	struct service *service = registry_by_id(engine->registry, m->id);

	if (service)
		service_retired(service);
}

static void on_answered(void *arg, const struct msg_answered *m)
{
	struct engine *engine = arg;
	struct service *service = registry_by_id(engine->registry, m->id);

	if (service)
		service_answered(service, m->at, m->waiters, m->late);
}

static void on_dns_closed(void *arg)
{
	struct engine *engine = arg;

	log_warning("the connection to dns is lost");
	feed_end(engine);
	link_free(TAKE(engine->dns));
}

static void on_dns_message(void *arg, const uint8_t *data, size_t size, int fd)
{
	static const struct message_handlers handlers = {
		.want = on_want,
		.retired = on_retired,
		.answered = on_answered,
	};
	struct engine *engine = arg;
	struct error err;

	if (fd >= 0)
		close(fd);
	if (message_dispatch(data, size, &handlers, engine, &err) < 0) {
		log_error("dns: %s", err.text);
		on_dns_closed(engine);
	}
}

void engine_connect_dns(struct engine *engine, int fd)
{
	static const struct link_callbacks callbacks = { on_dns_message, on_dns_closed };

	feed_end(engine);
	link_free(engine->dns);
	engine->dns = link_new(engine->loop, fd, &callbacks, engine);
	if (!engine->dns)
		abort();
	feed_begin(engine);
}

/* toolstack */

static void on_found(void *arg, const struct msg_found *m)
{
	survey_found(arg, m);
}

static void on_image(void *arg, const struct msg_image *m)
{
	survey_image(arg, m);
}

static void on_survey_end(void *arg, const struct msg_survey_end *m)
{
	survey_end(arg, m);
}

static void on_checked(void *arg, const struct msg_checked *m)
{
	admit_checked(arg, m);
}

/* The service that a start order was for, if that is its last one. */
static struct service *started(struct engine *engine, uint32_t id, uint32_t boot)
{
	struct service *service = registry_by_id(engine->registry, id);

	return service && service->boot_ordered && service->boot == boot ? service : NULL;
}

static void on_created(void *arg, const struct msg_created *m)
{
	struct service *service = started(arg, m->id, m->boot);

	if (service && lifecycle_builds(service->state))
		service_created(service, m->domid, m->restored, m->began, m->at, m->note);
	else
		log_debug("domain %u was ordered by nobody who is still here", m->domid);
}

static void on_frame(void *arg, const struct msg_frame *m)
{
	struct service *service = started(arg, m->id, m->boot);

	if (service && service->entry.has_domain)
		service_frame(service, m->at);
}

static void on_key(void *arg, const struct msg_key *m)
{
	struct service *service = started(arg, m->id, m->boot);

	if (service && service->entry.has_domain)
		service_key(service, m->at);
}

static void on_woken(void *arg, const struct msg_woken *m)
{
	struct service *service = started(arg, m->id, m->boot);

	if (service && service->state == LIFECYCLE_WAKING)
		service_woken(service, m->at);
}

static void on_wake_failed(void *arg, const struct msg_wake_failed *m)
{
	struct service *service = started(arg, m->id, m->boot);

	if (service && service->state == LIFECYCLE_WAKING)
		service_wake_failed(service, m->text);
}

static void on_start_failed(void *arg, const struct msg_start_failed *m)
{
	struct service *service = started(arg, m->id, m->boot);

	if (service && lifecycle_builds(service->state))
		service_start_failed(service, m->text);
}

static void on_died(void *arg, const struct msg_died *m)
{
	struct engine *engine = arg;
	struct service *service = registry_by_domid(engine->registry, m->domid);

	if (service)
		service_died(service, m->reason, m->console);
	else
		survey_gone(engine, m->domid);
}

/* The service whose stop order that answers. */
static struct service *ordered(struct engine *engine, uint32_t id, uint32_t domid)
{
	struct service *service = registry_by_id(engine->registry, id);

	return service && service->stop_ordered && service->domid == domid ? service : NULL;
}

static void on_stopped(void *arg, const struct msg_stopped *m)
{
	struct engine *engine = arg;
	struct service *service = ordered(engine, m->id, m->domid);

	if (service)
		service_stopped(service, m->at);
	else
		survey_gone(engine, m->domid);
}

static void on_paused(void *arg, const struct msg_paused *m)
{
	struct service *service = ordered(arg, m->id, m->domid);

	if (service)
		service_paused(service, m->at);
}

static void on_suspended(void *arg, const struct msg_suspended *m)
{
	struct service *service = ordered(arg, m->id, m->domid);

	if (service)
		service_suspended(service, m->at);
}

static void on_measured(void *arg, const struct msg_measured *m)
{
	struct engine *engine = arg;
	struct service *service = registry_by_id(engine->registry, m->id);

	if (service && service->entry.has_domain && service->domid == m->domid)
		service_measured(service, m->rx, m->tx);
}

static void on_memory(void *arg, const struct msg_memory *m)
{
	struct engine *engine = arg;

	room_memory(engine, m->free, m->total);
	engine_pump(engine);
}

static void on_stop_failed(void *arg, const struct msg_stop_failed *m)
{
	struct service *service = ordered(arg, m->id, m->domid);

	if (service)
		service_stop_failed(service, m->text);
	else
		log_warning("domain %u cannot be destroyed: %s", m->domid, m->text);
}

static void on_toolstack_closed(void *arg)
{
	struct engine *engine = arg;

	log_warning("the connection to toolstack is lost");
	link_free(TAKE(engine->toolstack));
	engine->surveyed = false;
	survey_begin(engine);
}

static void on_knock(void *arg, const struct msg_knock *m)
{
	holding_knock(arg, m);
}

static void on_toolstack_message(void *arg, const uint8_t *data, size_t size, int fd)
{
	static const struct message_handlers handlers = {
		.found = on_found,
		.survey_end = on_survey_end,
		.checked = on_checked,
		.created = on_created,
		.knock = on_knock,
		.frame = on_frame,
		.start_failed = on_start_failed,
		.died = on_died,
		.stopped = on_stopped,
		.stop_failed = on_stop_failed,
		.image = on_image,
		.memory = on_memory,
		.key = on_key,
		.woken = on_woken,
		.wake_failed = on_wake_failed,
		.paused = on_paused,
		.suspended = on_suspended,
		.measured = on_measured,
	};
	struct engine *engine = arg;
	struct error err;

	if (fd >= 0)
		close(fd);
	if (message_dispatch(data, size, &handlers, engine, &err) < 0) {
		log_error("toolstack: %s", err.text);
		on_toolstack_closed(engine);
	}
}

void engine_connect_toolstack(struct engine *engine, int fd)
{
	static const struct link_callbacks callbacks = { on_toolstack_message,
							 on_toolstack_closed };

	link_free(engine->toolstack);
	engine->surveyed = false;
	survey_begin(engine);
	engine->toolstack = link_new(engine->loop, fd, &callbacks, engine);
	if (!engine->toolstack)
		abort();
	message_send_survey(engine->toolstack, &(struct msg_survey){ 0 });
	admit_ask(engine);
}

/* The room. */

static char *copy(const char *text)
{
	char *out = strdup(text ? text : "");

	if (!out)
		abort();
	return out;
}

static int load(void *arg, uint32_t id, const char *name, const char *text, int64_t added,
		bool doomed, struct error *err)
{
	struct engine *engine = arg;
	struct service *service;
	cleanup_spec struct spec *spec = spec_from_text(text, engine->config.simulated, err);

	/* sim's keys are refused without sim, but a service is not lost for a start without it. */
	if (!spec && !engine->config.simulated)
		spec = spec_from_text(text, true, NULL);
	if (!spec)
		return error_wrap(err, "service %s in the store", name);
	if (id >= USAGE_SLOTS || registry_has(engine->registry, id) || !spec->has_uuid ||
	    strcmp(spec->name, name) != 0)
		return error_set(err, ERROR_SYSTEM, "service %s in the store is damaged", name);
	if (registry_check(engine->registry, spec, NULL, err) < 0)
		return error_wrap(err, "service %s in the store", name);
	if (!doomed && !rest_never(spec)) {
		registry_put_resting(engine->registry, id, spec);
		engine->states[LIFECYCLE_OFF]++;
		return 0;
	}
	service = service_new(engine, id, TAKE(spec), copy(text), added);
	/* The engine before did not see its removal through: the survey says what is left to do. */
	if (doomed) {
		service->doomed = true;
		service_remove(service);
	}
	return 0;
}

/* An engine before may have left what was of services that are in no store. The slots of the others
 * are not touched while nobody asks for them, and take no memory. */
static void clear_usage(struct engine *engine)
{
	uint32_t end = registry_end(engine->registry);

	for (uint32_t id = 0; id < end; id++)
		if (!registry_has(engine->registry, id))
			usage_clear(&engine->config.usage[id]);
	usage_clear_from(engine->config.usage, end);
}

static void copy_config(struct engine *engine, const struct engine_config *config)
{
	engine->config = *config;
	engine->config.store = copy(config->store);
	engine->config.version = copy(config->version);
	engine->config.backend = copy(config->backend);
	engine->config.listen = copy(config->listen);
	engine->config.services = NULL;
	engine->config.sources = NULL;
	if (engine->config.stop_mode == SPEC_STOP_UNSET)
		engine->config.stop_mode = SPEC_STOP_DESTROY;
	if (engine->config.boots == 0)
		engine->config.boots = 1;
}

struct engine *engine_new(struct loop *loop, const struct engine_config *config, struct error *err)
{
	struct engine *engine = calloc(1, sizeof *engine);

	if (!engine)
		abort();
	engine->loop = loop;
	engine->started = loop_now(loop);
	engine->registry = registry_new();
	registry_on_wake(engine->registry, rest_wake, engine);
	TAILQ_INIT(&engine->queue);
	TAILQ_INIT(&engine->admissions);
	TAILQ_INIT(&engine->staged);
	TAILQ_INIT(&engine->removals);
	TAILQ_INIT(&engine->waiters);
	TAILQ_INIT(&engine->residents);
	TAILQ_INIT(&engine->considered);
	/* Late messages about an earlier engine's orders are to fit none of this one's. */
	if (getrandom(&engine->next_boot, sizeof engine->next_boot, 0) !=
	    (ssize_t)sizeof engine->next_boot)
		abort();
	copy_config(engine, config);
	engine->store = store_open(config->store, err);
	if (!engine->store || store_each(engine->store, load, engine, err) < 0) {
		if (config->control_fd >= 0)
			close(config->control_fd);
		engine_free(engine);
		return NULL;
	}
	clear_usage(engine);
	if (config->control_fd >= 0) {
		engine->control = control_new(loop, config->control_fd, engine);
		if (!engine->control)
			abort();
	}
	load_begin(engine, config);
	return engine;
}

void engine_free(struct engine *engine)
{
	if (!engine)
		return;
	control_free(engine->control);
	load_stop(engine);
	admit_end(engine);
	load_end(engine);
	verbs_end(engine);
	orders_end(engine);
	feed_end(engine);
	link_free(engine->dns);
	link_free(engine->toolstack);
	for (uint32_t id = registry_end(engine->registry); id-- > 0;)
		if (registry_awake(engine->registry, id))
			service_free(registry_awake(engine->registry, id));
	rest_end(engine);
	registry_free(engine->registry);
	store_close(engine->store);
	survey_free(engine);
	timer_free(engine->room_timer);
	free(engine->backend_version);
	free((void *)(uintptr_t)engine->config.store);
	free((void *)(uintptr_t)engine->config.version);
	free((void *)(uintptr_t)engine->config.backend);
	free((void *)(uintptr_t)engine->config.listen);
	free(engine);
}
