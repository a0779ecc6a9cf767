#include "engine/idle.h"

#include <stdio.h>

#include "base/log.h"
#include "base/loop.h"
#include "engine/inside.h"
#include "proto/message.h"

#define IDLE_MIN    USEC_PER_SEC /* a TTL of 0 leaves time to connect */
#define LOOK_MIN    USEC_PER_SEC
#define LOOK_MAX    (10 * USEC_PER_SEC)
#define TRAFFIC_MIN INT64_C(200) /* bytes a second */

static int depth(enum spec_stop_mode mode)
{
	return mode == SPEC_STOP_PAUSE ? 1 : mode == SPEC_STOP_SUSPEND ? 2 : 3;
}

static int state_depth(const struct service *service)
{
	return service->state == LIFECYCLE_PAUSED      ? 1
	       : service->state == LIFECYCLE_SUSPENDED ? 2
						       : 0;
}

static bool knows(const struct service *service, enum spec_stop_mode mode)
{
	return !(mode == SPEC_STOP_PAUSE && service->idle.no_pause) &&
	       !(mode == SPEC_STOP_SUSPEND && service->idle.no_suspend);
}

/* The tier below the state that it is in; its time in µs. False if there is none. */
static bool next_tier(const struct service *service, enum spec_stop_mode *mode, uint64_t *after)
{
	const struct spec *spec = service->spec;
	struct spec_idle policy = spec->idle;
	uint64_t twice = 2 * service_ttl(service) * USEC_PER_SEC;

	if (!policy.n) {
		policy.n = 1;
		policy.v[0].mode = spec->stop_mode != SPEC_STOP_UNSET
					   ? spec->stop_mode
					   : service->engine->config.stop_mode;
		policy.v[0].after =
			(int64_t)((twice > IDLE_MIN ? twice : IDLE_MIN) / USEC_PER_MSEC);
	}
	for (size_t i = 0; i < policy.n; i++) {
		bool known = knows(service, policy.v[i].mode);

		if (depth(policy.v[i].mode) <= state_depth(service) || (!known && i + 1 < policy.n))
			continue;
		*mode = known ? policy.v[i].mode : SPEC_STOP_DESTROY;
		*after = (uint64_t)policy.v[i].after * USEC_PER_MSEC;
		return true;
	}
	return false;
}

static bool by_dns(const struct service *service)
{
	return service->spec->idle_by != SPEC_IDLE_BY_TRAFFIC;
}

static bool by_traffic(const struct service *service)
{
	return service->spec->idle_by != SPEC_IDLE_BY_DNS && service->spec->nic.n;
}

uint64_t idle_used(const struct service *service)
{
	uint64_t used = service->record.ready, asked = service_last_query(service);

	if ((by_dns(service) || !by_traffic(service)) && asked > used)
		used = asked;
	return service->idle.used > used ? service->idle.used : used;
}

static uint64_t due_at(const struct service *service, uint64_t after)
{
	uint64_t due = idle_used(service) + after;

	return due > service->failure.retry_at ? due : service->failure.retry_at;
}

static uint64_t look_interval(uint64_t after)
{
	uint64_t interval = after / 4;

	return interval < LOOK_MIN ? LOOK_MIN : interval > LOOK_MAX ? LOOK_MAX : interval;
}

static void look(struct service *service)
{
	struct engine *engine = service->engine;

	service->idle.asking = true;
	if (engine->surveyed)
		message_send_measure(
			engine->toolstack,
			&(struct msg_measure){ .id = service->id, .domid = service->domid });
}

/* Of a ready service: when the timer is to come next. */
static void plan(struct service *service)
{
	struct idle *idle = &service->idle;
	enum spec_stop_mode mode;
	uint64_t after, due, next, interval;

	if (idle->yields) {
		service_wait_until(service, idle->looked_at + LOOK_MIN);
		return;
	}
	if (service->spec->pinned || !next_tier(service, &mode, &after)) {
		if (service->timer)
			timer_cancel(service->timer);
		return;
	}
	due = due_at(service, after);
	if (!by_traffic(service)) {
		service_wait_until(service, due);
		return;
	}
	if (!idle->known) {
		if (!idle->asking)
			look(service);
		return;
	}
	interval = look_interval(after);
	next = idle->looked_at + interval;
	if (due > idle->looked_at && due - idle->looked_at <= interval + interval / 2)
		next = due;
	service_wait_until(service, next);
}

static void say_idle(struct service *service)
{
	char seconds[32];

	snprintf(seconds, sizeof seconds, "%llu",
		 (unsigned long long)((service_now(service) - idle_used(service)) / USEC_PER_SEC));
	cause_say(service, CAUSE_IDLE, seconds,
		  !by_traffic(service) ? "dns"
		  : by_dns(service)    ? "dns+traffic"
				       : "traffic");
}

static void say_room(struct service *service)
{
	const struct service *other =
		registry_by_id(service->engine->registry, service->idle.yields_to);

	cause_say(service, CAUSE_ROOM, other ? other->spec->name : "another service");
}

static void retire(struct service *service, enum spec_stop_mode mode)
{
	service->idle.target = mode;
	service->idle.query = service_last_query(service);
	service->record.idle = service_now(service);
	service_event(service, LIFECYCLE_EVENT_IDLE_DUE);
}

static void ready_timer(struct service *service, bool looked)
{
	enum spec_stop_mode mode;
	uint64_t after;

	if (!service->spec->pinned && next_tier(service, &mode, &after) &&
	    service_now(service) >= due_at(service, after) && (looked || !by_traffic(service))) {
		say_idle(service);
		retire(service, mode);
	} else if (looked || !by_traffic(service))
		plan(service);
	else if (!service->idle.asking)
		look(service);
}

void idle_reset(struct service *service)
{
	service->idle.known = service->idle.asking = service->idle.yields = false;
}

void idle_begin(struct service *service)
{
	enum spec_stop_mode mode;
	uint64_t after;

	if (service->state == LIFECYCLE_READY) {
		plan(service);
		return;
	}
	if (service->state != LIFECYCLE_PAUSED && service->state != LIFECYCLE_SUSPENDED)
		return;
	if (!idle_used(service)) /* found asleep, and nobody remembers its day */
		service->idle.used = service_now(service);
	if (service->revive)
		service_wait_until(service, service->failure.retry_at);
	else if (!service->spec->pinned && !service->parked && next_tier(service, &mode, &after))
		service_wait_until(service, due_at(service, after));
	else if (service->timer)
		timer_cancel(service->timer);
}

void idle_timer(struct service *service)
{
	enum spec_stop_mode mode;
	uint64_t after;

	if (service->state == LIFECYCLE_READY) {
		if (!service->idle.yields)
			ready_timer(service, false);
		else if (!service->idle.asking)
			look(service);
	} else if (service->revive) {
		service_revive(service);
	} else if (service->parked || service->spec->pinned) {
		return;
	} else if (!service->engine->surveyed) {
		service_wait_until(service, service_now(service) + LOOK_MIN);
	} else if (next_tier(service, &mode, &after)) {
		say_idle(service);
		service_put(service, mode);
	}
}

/* Was it used since the look before? */
static bool take_look(struct service *service, uint64_t bytes)
{
	struct idle *idle = &service->idle;
	uint64_t now = service_now(service), elapsed = now - idle->looked_at;
	uint64_t rate = (uint64_t)service_given(service->spec->idle_traffic, TRAFFIC_MIN);
	bool used = false;

	if (elapsed < LOOK_MIN)
		elapsed = LOOK_MIN;
	if (idle->known && bytes > idle->bytes)
		used = (double)(bytes - idle->bytes) >=
		       (double)rate * (double)elapsed / (double)USEC_PER_SEC;
	idle->known = true;
	idle->looked_at = now;
	idle->bytes = bytes;
	if (used)
		idle->used = now;
	return used;
}

static void yield_measured(struct service *service, bool known, bool used)
{
	uint64_t now = service_now(service);

	if (!known) { /* that was the first of two looks */
		plan(service);
		return;
	}
	service->idle.yields = false;
	if (!used && service_last_query(service) + LOOK_MIN <= now) {
		say_room(service);
		retire(service, idle_yield_mode(service));
		return;
	}
	plan(service);
	engine_pump(service->engine);
}

static void used_meanwhile(struct service *service)
{
	cause_say(service, CAUSE_USED);
	service_event(service, LIFECYCLE_EVENT_IN_USE);
}

void idle_measured(struct service *service, uint64_t bytes)
{
	struct idle *idle = &service->idle;
	bool known = idle->known, used;

	if (!idle->asking)
		return;
	idle->asking = false;
	used = take_look(service, bytes);
	if (service->state == LIFECYCLE_RETIRING) {
		if (used)
			used_meanwhile(service);
		else
			idle_retired(service);
	} else if (service->state == LIFECYCLE_READY && idle->yields) {
		yield_measured(service, known, used);
	} else if (service->state == LIFECYCLE_READY) {
		ready_timer(service, true);
	}
}

void idle_retired(struct service *service)
{
	struct idle *idle = &service->idle;

	if (service->state != LIFECYCLE_RETIRING || idle->asking)
		return;
	if (service_last_query(service) != idle->query) {
		used_meanwhile(service);
	} else if (by_traffic(service) && service->record.retired < service->record.idle) {
		service->record.retired = service_now(service);
		look(service);
	} else {
		service->record.retired = service_now(service);
		service->failure.in_row = 0;
		service_put(service, idle->target);
	}
}

void idle_surveyed(struct service *service)
{
	struct idle *idle = &service->idle;

	if (!idle->asking)
		return;
	idle->asking = false;
	if (service->state == LIFECYCLE_READY || service->state == LIFECYCLE_RETIRING)
		look(service);
}

enum spec_stop_mode idle_yield_mode(const struct service *service)
{
	for (size_t i = 0; i < service->spec->idle.n; i++)
		if (service->spec->idle.v[i].mode == SPEC_STOP_SUSPEND &&
		    knows(service, SPEC_STOP_SUSPEND))
			return SPEC_STOP_SUSPEND;
	if (service->spec->stop_mode == SPEC_STOP_SUSPEND && knows(service, SPEC_STOP_SUSPEND))
		return SPEC_STOP_SUSPEND;
	return SPEC_STOP_DESTROY;
}

void idle_yield(struct service *service, const struct service *to)
{
	service->idle.yields_to = to->id;
	if (service->state == LIFECYCLE_PAUSED) {
		say_room(service);
		service_put(service, idle_yield_mode(service));
		return;
	}
	log_info("service %s: gives way to %s if it has no traffic", service->spec->name,
		 to->spec->name);
	if (!by_traffic(service)) {
		say_room(service);
		retire(service, idle_yield_mode(service));
		return;
	}
	service->idle.yields = true;
	service->idle.known = false;
	if (!service->idle.asking)
		look(service);
}
