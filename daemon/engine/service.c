#include "engine/service.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/events.h"
#include "engine/holding.h"
#include "engine/inside.h"
#include "engine/orders.h"
#include "engine/rest.h"
#include "engine/room.h"
#include "engine/store.h"
#include "proto/message.h"
#include "proto/spec.h"
#include "proto/usage.h"

#define EDE_OTHER      0	      /* RFC 8914 4.1 */
#define SHUTDOWN_LIMIT INT64_C(10000) /* ms */

static struct service *make(struct engine *engine, uint32_t id, struct spec *spec, char *json,
			    int64_t added)
{
	struct service *service = calloc(1, sizeof *service);

	if (!service)
		abort();
	service->engine = engine;
	service->id = id;
	service->spec = spec;
	service->json = json;
	service->added = added;
	service->then = -1;
	service->ready.awaited = READY_SIGNS;
	service->put_mode = SPEC_STOP_DESTROY;
	return service;
}

struct service *service_new(struct engine *engine, uint32_t id, struct spec *spec, char *json,
			    int64_t added)
{
	struct service *service = make(engine, id, spec, json, added);

	registry_put(engine->registry, service);
	engine->states[service->state]++;
	return service;
}

void service_wake(struct engine *engine, uint32_t id, struct spec *spec, const char *json,
		  int64_t added)
{
	registry_woken(engine->registry, service_peek(engine, id, spec, json, added));
}

struct service *service_peek(struct engine *engine, uint32_t id, struct spec *spec,
			     const char *json, int64_t added)
{
	char *copy = strdup(json);

	if (!copy)
		abort();
	return make(engine, id, spec, copy, added);
}

void service_release(struct service *service)
{
	ready_end(service);
	timer_free(service->timer);
	spec_free(service->spec);
	failure_free(&service->failure);
	cause_free(&service->cause);
	free(service->json);
	free(service->notice);
	free(service);
}

void service_rest(struct service *service)
{
	room_forget(service);
	registry_rest(service->engine->registry, service);
	service_release(service);
}

void service_free(struct service *service)
{
	struct engine *engine = service->engine;

	engine->states[service->state]--;
	engine->failed -= failure_shown(service);
	rest_forget(service);
	room_forget(service);
	registry_remove(engine->registry, service);
	service_release(service);
}

bool service_removed(const struct service *service)
{
	return service->staged || lifecycle_public(service->state) == LIFECYCLE_PUBLIC_REMOVED;
}

bool service_unbuilt(const struct service *service)
{
	return service->state == LIFECYCLE_OFF || service->state == LIFECYCLE_QUEUED;
}

int64_t service_given(int64_t value, int64_t otherwise)
{
	return value == SPEC_UNSET ? otherwise : value;
}

uint32_t service_ttl(const struct service *service)
{
	return (uint32_t)service_given(service->spec->ttl, service->engine->config.ttl);
}

uint32_t service_wait_limit(const struct service *service)
{
	return (uint32_t)service_given(service->spec->wait_limit,
				       service->engine->config.wait_limit);
}

uint64_t service_now(const struct service *service)
{
	return loop_now(service->engine->loop);
}

uint64_t service_not_later(const struct service *service, uint64_t at)
{
	uint64_t latest = service_now(service);

	return at && at < latest ? at : latest;
}

uint64_t service_last_query(const struct service *service)
{
	uint64_t at = atomic_load_explicit(&service->engine->config.usage[service->id].last_query,
					   memory_order_relaxed);

	return at ? service_not_later(service, at) : 0;
}

uint64_t service_queries(const struct service *service)
{
	return atomic_load_explicit(&service->engine->config.usage[service->id].queries,
				    memory_order_relaxed);
}

/* The timer. */

static void on_timer(void *arg)
{
	struct service *service = arg;

	switch (service->state) {
	case LIFECYCLE_OFF:
		if (service->revive) /* it was not stopped meanwhile */
			service_revive(service);
		break;
	case LIFECYCLE_BOOTING:
		ready_limit(service);
		break;
	case LIFECYCLE_SETTLING:
		service_event(service, LIFECYCLE_EVENT_DELAY_DONE);
		break;
	case LIFECYCLE_READY:
	case LIFECYCLE_PAUSED:
	case LIFECYCLE_SUSPENDED:
		idle_timer(service);
		break;
	default:
		service_event(service, LIFECYCLE_EVENT_STOP_AGAIN);
		break;
	}
}

void service_wait_until(struct service *service, uint64_t when)
{
	if (!service->timer)
		service->timer = timer_new(service->engine->loop, on_timer, service);
	if (!service->timer)
		abort();
	timer_set_at(service->timer, when);
}

/* Actions. */

static void start(struct service *service)
{
	struct engine *engine = service->engine;
	struct boot_record *record = &service->record;

	service->boot = engine->next_boot++;
	service->boot_ordered = true;
	service->boots++;
	engine->boots++;
	record->began = record->created = record->key = record->port = record->frame = 0;
	record->missed = 0;
	record->how = SERVICE_BOOTED;
	service->adopted = service->idle.no_pause = service->idle.no_suspend = false;
	message_send_start(engine->toolstack, &(struct msg_start){ .id = service->id,
								   .boot = service->boot,
								   .restore = service->image,
								   .spec = service->json });
}

static void wake(struct service *service)
{
	struct engine *engine = service->engine;

	if (!engine->surveyed)
		return;
	service->boot = engine->next_boot++;
	service->boot_ordered = true;
	service->record.how = SERVICE_WOKEN;
	service->record.began = service_now(service);
	message_send_wake(engine->toolstack, &(struct msg_wake){ .id = service->id,
								 .boot = service->boot,
								 .domid = service->domid });
}

static uint32_t shutdown_limit(const struct service *service)
{
	return (uint32_t)service_given(service->spec->shutdown_limit, SHUTDOWN_LIMIT);
}

static void stop(struct service *service, enum spec_stop_mode mode)
{
	struct engine *engine = service->engine;

	if (!engine->surveyed || service->stop_ordered)
		return;
	if (!service->entry.has_domain) {
		service->then = LIFECYCLE_EVENT_ABSENT;
		return;
	}
	service->stop_ordered = true;
	service->stop_mode = mode;
	message_send_stop(engine->toolstack,
			  &(struct msg_stop){ .id = service->id,
					      .domid = service->domid,
					      .mode = mode,
					      .limit = mode == SPEC_STOP_SHUTDOWN
							       ? shutdown_limit(service)
							       : 0 });
}

void service_discard(struct service *service)
{
	struct engine *engine = service->engine;

	if (!service->image || !engine->surveyed)
		return;
	service->image = false;
	message_send_discard(engine->toolstack,
			     &(struct msg_discard){
				     .id = service->id,
				     .uuid = { service->spec->uuid, sizeof service->spec->uuid } });
}

static void wait_delay(struct service *service)
{
	uint64_t until = ready_serving(service) + ready_delay(service);

	if (until > service_now(service))
		service_wait_until(service, until);
	else
		service->then = LIFECYCLE_EVENT_DELAY_DONE;
}

static void tell(struct service *service, enum lifecycle_action action)
{
	struct link *dns = service->engine->dns;
	uint32_t id = service->id;

	if (!dns)
		return;
	switch (action) {
	case LIFECYCLE_DO_TELL_FORGET:
		message_send_forget(dns, &(struct msg_forget){ .id = id });
		break;
	case LIFECYCLE_DO_TELL_FAILED:
		/* Why is for the administrator: anybody may ask a name. */
		message_send_failed(dns, &(struct msg_failed){ .id = id,
							       .info_code = EDE_OTHER,
							       .text = service->refusal
									       ? service->refusal
									       : SERVICE_FAILED });
		break;
	case LIFECYCLE_DO_TELL_ASLEEP:
		message_send_asleep(dns, &(struct msg_asleep){ .id = id });
		break;
	case LIFECYCLE_DO_TELL_RETIRE:
		message_send_retire(dns, &(struct msg_retire){ .id = id });
		break;
	default:
		message_send_ready(dns, &(struct msg_ready){ .id = id });
		break;
	}
}

static void act(struct service *service, enum lifecycle_action action)
{
	switch (action) {
	case LIFECYCLE_DO_UNQUEUE:
		TAILQ_REMOVE(&service->engine->queue, service, queued);
		break;
	case LIFECYCLE_DO_TELL_FORGET:
	case LIFECYCLE_DO_TELL_FAILED:
	case LIFECYCLE_DO_TELL_ASLEEP:
	case LIFECYCLE_DO_TELL_RETIRE:
	case LIFECYCLE_DO_TELL_READY:
		tell(service, action);
		break;
	case LIFECYCLE_DO_DISCARD:
		service_discard(service);
		break;
	case LIFECYCLE_DO_QUEUE:
		TAILQ_INSERT_TAIL(&service->engine->queue, service, queued);
		break;
	case LIFECYCLE_DO_START:
		start(service);
		break;
	case LIFECYCLE_DO_WAKE:
		wake(service);
		break;
	case LIFECYCLE_DO_PAUSE:
		stop(service, SPEC_STOP_PAUSE);
		break;
	case LIFECYCLE_DO_SUSPEND:
		stop(service, SPEC_STOP_SUSPEND);
		break;
	case LIFECYCLE_DO_STOP:
		stop(service, service->put_mode);
		break;
	case LIFECYCLE_DO_WAIT_SIGNS:
		ready_begin(service);
		break;
	case LIFECYCLE_DO_WAIT_DELAY:
		wait_delay(service);
		break;
	case LIFECYCLE_DO_WAIT_IDLE:
		idle_begin(service);
		break;
	case LIFECYCLE_DO_WAIT_STOP:
		service_wait_until(service, service->failure.retry_at);
		break;
	case LIFECYCLE_ACTIONS:
		break;
	}
}

/* Transitions. */

const char *service_state(const struct service *service)
{
	return failure_shown(service) ? "failed"
				      : lifecycle_public_name(lifecycle_public(service->state));
}

/* still: it was ready, and could not be put to sleep. */
static void entered_ready(struct service *service, bool still)
{
	service->revive = service->parked = false;
	service->put_mode = SPEC_STOP_DESTROY;
	if (still)
		return;
	service->record.ready = service_now(service);
	idle_reset(service);
	failure_over(service);
	log_info("service %s: ready, domain %u", service->spec->name, service->domid);
}

static void entered_off(struct service *service)
{
	uint64_t at = service_now(service);

	service->put_mode = SPEC_STOP_DESTROY;
	log_info("service %s: off", service->spec->name);
	if (service->revive)
		service_wait_until(service,
				   service->failure.retry_at > at ? service->failure.retry_at : at);
}

static void enter(struct service *service, enum lifecycle_state next, enum lifecycle_event event)
{
	struct engine *engine = service->engine;
	enum lifecycle_state last = service->state;
	const char *shown = service_state(service);
	bool failed = failure_shown(service);

	if (next == last)
		return;
	log_debug("service %s: %s -> %s (%s)", service->spec->name, lifecycle_state_name(last),
		  lifecycle_state_name(next), lifecycle_event_name(event));
	if (service->timer)
		timer_cancel(service->timer);
	if (last == LIFECYCLE_BOOTING)
		ready_end(service);
	engine->states[last]--;
	engine->states[next]++;
	engine->building += (unsigned)lifecycle_builds(next) - (unsigned)lifecycle_builds(last);
	service->state = next;
	engine->failed = engine->failed - failed + failure_shown(service);
	room_moved(service, last);
	if (next == LIFECYCLE_READY && last != LIFECYCLE_RETIRING)
		entered_ready(service, last == LIFECYCLE_PAUSING || last == LIFECYCLE_SUSPENDING);
	else if (next == LIFECYCLE_OFF)
		entered_off(service);
	holding_update(service);
	if (shown != service_state(service) && !service_removed(service))
		event_state(service, shown, service_state(service),
			    service->cause.now ? service->cause.now
					       : lifecycle_event_meaning(event));
}

static void end(struct service *service)
{
	void (*gone)(void *arg) = service->gone;
	void *arg = service->gone_arg;
	struct error err;

	service_discard(service);
	if (service->doomed && store_remove(service->engine->store, service->id, &err) < 0)
		log_error("service %s: %s", service->spec->name, err.text);
	log_info("service %s: removed", service->spec->name);
	orders_changed(service);
	usage_clear(&service->engine->config.usage[service->id]);
	service_free(service);
	if (gone)
		gone(arg);
}

void service_event(struct service *service, enum lifecycle_event event)
{
	struct engine *engine = service->engine;
	struct lifecycle_step step = lifecycle_step(service->state, event);
	int then;

	if (step.verdict != LIFECYCLE_GO) {
		if (step.verdict != LIFECYCLE_IGNORE)
			log_error("service %s: %s cannot come while it is %s", service->spec->name,
				  lifecycle_event_name(event),
				  lifecycle_state_name(service->state));
		cause_drop(service);
		return;
	}
	cause_take(service);
	enter(service, step.next, event);
	for (unsigned action = 0; action < LIFECYCLE_ACTIONS; action++)
		if (step.actions & 1u << action)
			act(service, (enum lifecycle_action)action);
	if (service->state == LIFECYCLE_OFF && service->image) /* it can be restored still */
		service->then = LIFECYCLE_EVENT_FOUND_IMAGE;
	then = service->then;
	service->then = -1;
	if (then >= 0)
		service_event(service, (enum lifecycle_event)then);
	else if (service->state == LIFECYCLE_GONE)
		end(service);
	else
		orders_changed(service);
	engine_pump(engine);
}

void service_changed(struct service *service)
{
	service->hold = MESSAGE_HOLD_NONE;
	holding_update(service);
	if (service->engine->dns && !service_removed(service))
		service_tell(service, service->engine->dns);
	if (service->state == LIFECYCLE_READY || service->state == LIFECYCLE_PAUSED ||
	    service->state == LIFECYCLE_SUSPENDED)
		idle_begin(service);
	event_changed(service);
	rest_consider(service);
}
