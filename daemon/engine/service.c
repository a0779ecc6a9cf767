#include "engine/service.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/inside.h"
#include "engine/store.h"
#include "proto/message.h"
#include "proto/spec.h"
#include "proto/usage.h"

#define BOOT_LIMIT    (60 * USEC_PER_SEC)
#define BACK_OFF_MIN  USEC_PER_SEC
#define BACK_OFF_MAX  (60 * USEC_PER_SEC)
#define IDLE_MIN      USEC_PER_SEC /* a TTL of 0 leaves time to connect */
#define STOP_LIMIT_MS 0		   /* destroy knows no patience */
#define LOST_TEXT     "the toolstack ended while it built the domain, twice"
#define EDE_OTHER     0 /* RFC 8914 4.1 */

struct service *service_new(struct engine *engine, uint32_t id, struct spec *spec, char *json,
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
	registry_put(engine->registry, service);
	engine->states[service->state]++;
	return service;
}

void service_free(struct service *service)
{
	struct engine *engine = service->engine;

	engine->states[service->state]--;
	registry_remove(engine->registry, service);
	timer_free(service->timer);
	spec_free(service->spec);
	free(service->json);
	free(service->last_error);
	free(service);
}

bool service_removed(const struct service *service)
{
	return lifecycle_public(service->state) == LIFECYCLE_PUBLIC_REMOVED;
}

static int64_t given(int64_t value, int64_t otherwise)
{
	return value == SPEC_UNSET ? otherwise : value;
}

uint32_t service_ttl(const struct service *service)
{
	return (uint32_t)given(service->spec->ttl, service->engine->config.ttl);
}

uint32_t service_wait_limit(const struct service *service)
{
	return (uint32_t)given(service->spec->wait_limit, service->engine->config.wait_limit);
}

static uint64_t now(const struct service *service)
{
	return loop_now(service->engine->loop);
}

/* Times that others tell are at worst wrong: never later than now. */
static uint64_t not_later(const struct service *service, uint64_t at)
{
	uint64_t latest = now(service);

	return at && at < latest ? at : latest;
}

uint64_t service_last_query(const struct service *service)
{
	uint64_t at = atomic_load_explicit(&service->engine->config.usage[service->id].last_query,
					   memory_order_relaxed);

	return at ? not_later(service, at) : 0;
}

uint64_t service_queries(const struct service *service)
{
	return atomic_load_explicit(&service->engine->config.usage[service->id].queries,
				    memory_order_relaxed);
}

/* To dns. */

static size_t wire_name(const char *name, uint8_t *out)
{
	size_t used = 0;

	for (;;) {
		size_t n = strcspn(name, ".");

		out[used++] = (uint8_t)n;
		memcpy(out + used, name, n);
		used += n;
		if (!name[n])
			break;
		name += n + 1;
	}
	out[used++] = 0;
	return used;
}

void service_tell(const struct service *service, struct link *dns)
{
	const struct spec *spec = service->spec;
	cleanup_free uint8_t *names = malloc(spec->dns.n * 256),
			     *addresses = malloc(spec->ip.n * 17);
	uint32_t names_size = 0, addresses_size = 0;

	if (!names || !addresses)
		abort();
	for (size_t i = 0; i < spec->dns.n; i++)
		names_size += (uint32_t)wire_name(spec->dns.v[i], names + names_size);
	for (size_t i = 0; i < spec->ip.n; i++) {
		bool v4 = spec->ip.v[i].family == AF_INET;

		addresses[addresses_size++] = v4 ? 4 : 6;
		memcpy(addresses + addresses_size, spec->ip.v[i].bytes, v4 ? 4 : 16);
		addresses_size += v4 ? 4 : 16;
	}
	message_send_service(dns,
			     &(struct msg_service){ .id = service->id,
						    .ttl = service_ttl(service),
						    .wait_limit = service_wait_limit(service),
						    .ready = service->state == LIFECYCLE_READY,
						    .names = { names, names_size },
						    .addresses = { addresses, addresses_size } });
}

/* Failures. */

static void note_failure(struct service *service, const char *why)
{
	uint64_t wait = BACK_OFF_MIN;

	for (unsigned i = 0; i < service->failures_in_row && wait < BACK_OFF_MAX; i++)
		wait *= 2;
	service->retry_at = now(service) + (wait < BACK_OFF_MAX ? wait : BACK_OFF_MAX);
	service->failures_in_row++;
	service->failures++;
	service->engine->failures++;
	free(service->last_error);
	service->last_error = strdup(why);
	if (!service->last_error)
		abort();
	log_warning("service %s: %s", service->spec->name, why);
}

static void forget_failures(struct service *service)
{
	service->failures_in_row = 0;
	service->losses = 0;
	service->retry_at = 0;
	free(TAKE(service->last_error));
}

/* Timers. */

static void service_event(struct service *service, enum lifecycle_event event);

static uint64_t idle_due(const struct service *service)
{
	uint64_t asked = service_last_query(service);
	uint64_t idle = 2 * service_ttl(service) * USEC_PER_SEC;

	if (asked < service->record.ready)
		asked = service->record.ready;
	return asked + (idle > IDLE_MIN ? idle : IDLE_MIN);
}

static void on_timer(void *arg)
{
	struct service *service = arg;

	switch (service->state) {
	case LIFECYCLE_BOOTING:
		service_event(service, LIFECYCLE_EVENT_BOOT_LIMIT);
		break;
	case LIFECYCLE_SETTLING:
		service_event(service, LIFECYCLE_EVENT_DELAY_DONE);
		break;
	case LIFECYCLE_READY:
		/* It was asked meanwhile: queries move no timer. */
		if (now(service) < idle_due(service)) {
			timer_set_at(service->timer, idle_due(service));
			break;
		}
		service->idle_query = service_last_query(service);
		service->record.idle = now(service);
		service_event(service, LIFECYCLE_EVENT_IDLE_DUE);
		break;
	default:
		service_event(service, LIFECYCLE_EVENT_STOP_AGAIN);
		break;
	}
}

static void wait_until(struct service *service, uint64_t when)
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

	service->boot = engine->next_boot++;
	service->boots++;
	engine->boots++;
	service->record.began = service->record.created = service->record.frame = 0;
	message_send_start(engine->toolstack, &(struct msg_start){ .id = service->id,
								   .boot = service->boot,
								   .spec = service->json });
}

static void stop(struct service *service)
{
	struct engine *engine = service->engine;
	enum spec_stop_mode mode = service->spec->stop_mode;

	if (!engine->surveyed || service->stop_ordered)
		return;
	if (!service->entry.has_domain) {
		service->then = LIFECYCLE_EVENT_ABSENT;
		return;
	}
	service->stop_ordered = true;
	message_send_stop(
		engine->toolstack,
		&(struct msg_stop){ .id = service->id,
				    .domid = service->domid,
				    .mode = mode == SPEC_STOP_UNSET ? SPEC_STOP_DESTROY : mode,
				    .limit = STOP_LIMIT_MS });
}

static void act(struct service *service, enum lifecycle_action action)
{
	struct engine *engine = service->engine;
	struct link *dns = engine->dns;
	uint32_t id = service->id;
	uint64_t delay;

	switch (action) {
	case LIFECYCLE_DO_UNQUEUE:
		TAILQ_REMOVE(&engine->queue, service, queued);
		break;
	case LIFECYCLE_DO_TELL_FORGET:
		if (dns)
			message_send_forget(dns, &(struct msg_forget){ .id = id });
		break;
	case LIFECYCLE_DO_TELL_FAILED:
		/* Why is for the administrator: anybody may ask a name. */
		if (dns)
			message_send_failed(dns,
					    &(struct msg_failed){ .id = id,
								  .info_code = EDE_OTHER,
								  .text = "the service behind this "
									  "name failed to start" });
		break;
	case LIFECYCLE_DO_TELL_ASLEEP:
		if (dns)
			message_send_asleep(dns, &(struct msg_asleep){ .id = id });
		break;
	case LIFECYCLE_DO_TELL_RETIRE:
		if (dns)
			message_send_retire(dns, &(struct msg_retire){ .id = id });
		break;
	case LIFECYCLE_DO_TELL_READY:
		if (dns)
			message_send_ready(dns, &(struct msg_ready){ .id = id });
		break;
	case LIFECYCLE_DO_QUEUE:
		TAILQ_INSERT_TAIL(&engine->queue, service, queued);
		break;
	case LIFECYCLE_DO_START:
		start(service);
		break;
	case LIFECYCLE_DO_STOP:
		stop(service);
		break;
	case LIFECYCLE_DO_WARN_NO_FRAME:
		log_warning("service %s: no frame came out of its nics in %llu s: it is taken "
			    "for ready",
			    service->spec->name, (unsigned long long)(BOOT_LIMIT / USEC_PER_SEC));
		break;
	case LIFECYCLE_DO_WAIT_FRAME:
		wait_until(service, now(service) + BOOT_LIMIT);
		break;
	case LIFECYCLE_DO_WAIT_DELAY:
		delay = (uint64_t)given(service->spec->response_delay,
					engine->config.response_delay);
		if (delay)
			wait_until(service, now(service) + delay * USEC_PER_MSEC);
		else
			service->then = LIFECYCLE_EVENT_DELAY_DONE;
		break;
	case LIFECYCLE_DO_WAIT_IDLE:
		wait_until(service, idle_due(service));
		break;
	case LIFECYCLE_DO_WAIT_STOP:
		wait_until(service, service->retry_at);
		break;
	case LIFECYCLE_ACTIONS:
		break;
	}
}

static void enter(struct service *service, enum lifecycle_state next, enum lifecycle_event event)
{
	struct engine *engine = service->engine;
	enum lifecycle_state last = service->state;

	if (next == last)
		return;
	log_debug("service %s: %s -> %s (%s)", service->spec->name, lifecycle_state_name(last),
		  lifecycle_state_name(next), lifecycle_event_name(event));
	if (service->timer)
		timer_cancel(service->timer);
	engine->states[last]--;
	engine->states[next]++;
	engine->building += (unsigned)lifecycle_builds(next) - (unsigned)lifecycle_builds(last);
	service->state = next;
	if (next == LIFECYCLE_READY && last != LIFECYCLE_RETIRING) {
		service->record.ready = now(service);
		forget_failures(service);
		log_info("service %s: ready, domain %u", service->spec->name, service->domid);
	} else if (next == LIFECYCLE_OFF) {
		log_info("service %s: off", service->spec->name);
	}
}

static void end(struct service *service)
{
	void (*gone)(void *arg) = service->gone;
	void *arg = service->gone_arg;
	struct error err;

	if (service->doomed && store_remove(service->engine->store, service->id, &err) < 0)
		log_error("service %s: %s", service->spec->name, err.text);
	log_info("service %s: removed", service->spec->name);
	service_free(service);
	if (gone)
		gone(arg);
}

static void service_event(struct service *service, enum lifecycle_event event)
{
	struct engine *engine = service->engine;
	struct lifecycle_step step = lifecycle_step(service->state, event);
	int then;

	if (step.verdict != LIFECYCLE_GO) {
		if (step.verdict != LIFECYCLE_IGNORE)
			log_error("service %s: %s cannot come while it is %s", service->spec->name,
				  lifecycle_event_name(event),
				  lifecycle_state_name(service->state));
		return;
	}
	enter(service, step.next, event);
	for (unsigned action = 0; action < LIFECYCLE_ACTIONS; action++)
		if (step.actions & 1u << action)
			act(service, (enum lifecycle_action)action);
	then = service->then;
	service->then = -1;
	if (then >= 0)
		service_event(service, (enum lifecycle_event)then);
	else if (service->state == LIFECYCLE_GONE)
		end(service);
	engine_pump(engine);
}

/* Events. */

void service_want(struct service *service, uint64_t at)
{
	bool held = now(service) < service->retry_at;

	if (!held && (service->state == LIFECYCLE_OFF || service->state == LIFECYCLE_STOPPING))
		service->record = (struct boot_record){ .want = not_later(service, at) };
	service_event(service, held ? LIFECYCLE_EVENT_WANT_HELD : LIFECYCLE_EVENT_WANT);
}

void service_place(struct service *service)
{
	TAILQ_REMOVE(&service->engine->queue, service, queued);
	service_event(service, LIFECYCLE_EVENT_PLACE);
}

void service_created(struct service *service, uint32_t domid, uint64_t began, uint64_t at)
{
	registry_set_domid(service->engine->registry, service, domid);
	service->record.began = not_later(service, began);
	service->record.created = not_later(service, at);
	service_event(service, service->spec->nic.n ? LIFECYCLE_EVENT_CREATED
						    : LIFECYCLE_EVENT_CREATED_BARE);
}

void service_frame(struct service *service, uint64_t at)
{
	if (service->record.created && !service->record.frame)
		service->record.frame = not_later(service, at);
	service_event(service, LIFECYCLE_EVENT_FRAME);
}

void service_start_failed(struct service *service, const char *why)
{
	if (!service_removed(service))
		note_failure(service, why);
	service->losses = 0;
	service_event(service, LIFECYCLE_EVENT_START_FAILED);
}

void service_died(struct service *service, uint8_t reason)
{
	/* enum libxl_shutdown_reason, libxl.h */
	static const char *const reasons[] = {
		"powered off", "rebooted", "suspended", "crashed", "was stopped by its watchdog",
		"rebooted"
	};
	const char *what = reason < ARRAY_SIZE(reasons) ? reasons[reason]
			   : reason == 255		? "was destroyed by somebody"
							: "shut down for an unknown reason";
	enum lifecycle_public shown = lifecycle_public(service->state);
	char why[128];

	if (service->state == LIFECYCLE_RESTARTING)
		shown = LIFECYCLE_PUBLIC_STOPPING;
	if (shown == LIFECYCLE_PUBLIC_STARTING) {
		snprintf(why, sizeof why, "its domain %u %s while it was starting", service->domid,
			 what);
		note_failure(service, why);
	} else if (shown == LIFECYCLE_PUBLIC_READY) {
		log_warning("service %s: its domain %u %s", service->spec->name, service->domid,
			    what);
	}
	service_event(service, LIFECYCLE_EVENT_DIED);
}

void service_retired(struct service *service)
{
	bool asked = service_last_query(service) != service->idle_query;

	if (service->state == LIFECYCLE_RETIRING && !asked)
		service->record.retired = now(service);
	service_event(service, asked ? LIFECYCLE_EVENT_RETIRED_ASKED : LIFECYCLE_EVENT_RETIRED);
}

void service_answered(struct service *service, uint64_t at, uint32_t waiters, bool late)
{
	struct boot_record *record = &service->record;

	record->waiters += waiters;
	if (record->answered)
		return;
	record->answered = not_later(service, at);
	record->late = late;
}

void service_stopped(struct service *service, uint64_t at)
{
	service->stop_ordered = false;
	registry_clear_domid(service->engine->registry, service);
	if (service->state == LIFECYCLE_STOPPING)
		service->record.stopped = not_later(service, at);
	service_event(service, LIFECYCLE_EVENT_STOPPED);
}

void service_stop_failed(struct service *service, const char *why)
{
	char text[ERROR_TEXT_MAX];

	service->stop_ordered = false;
	snprintf(text, sizeof text, "its domain %u cannot be stopped: %s", service->domid, why);
	note_failure(service, text);
	service_event(service, LIFECYCLE_EVENT_STOP_FAILED);
}

/* What brings the toolstack down each time is not tried for ever. */
static bool lost_again(struct service *service)
{
	return service->state == LIFECYCLE_BUILDING && ++service->losses > 1;
}

void service_found(struct service *service, uint32_t domid, bool runs)
{
	service->stop_ordered = false;
	registry_set_domid(service->engine->registry, service, domid);
	log_info("service %s: found its domain %u %s", service->spec->name, domid,
		 runs ? "running" : "half-built or shut down");
	if (!runs && lost_again(service)) {
		note_failure(service, LOST_TEXT);
		service_event(service, LIFECYCLE_EVENT_DIED);
		return;
	}
	service_event(service, runs ? LIFECYCLE_EVENT_FOUND_RUNNING : LIFECYCLE_EVENT_FOUND_BROKEN);
}

void service_absent(struct service *service)
{
	service->stop_ordered = false;
	registry_clear_domid(service->engine->registry, service);
	if (lost_again(service))
		service_start_failed(service, LOST_TEXT);
	else
		service_event(service, LIFECYCLE_EVENT_ABSENT);
}

void service_remove(struct service *service)
{
	service_event(service, LIFECYCLE_EVENT_REMOVE);
}
