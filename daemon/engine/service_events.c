#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/events.h"
#include "engine/inside.h"
#include "engine/room.h"
#include "engine/service.h"
#include "proto/spec.h"

#define SUSPENDED 2 /* enum libxl_shutdown_reason, libxl.h */
#define LOST_TEXT "the toolstack ended while it built the domain, twice"

#define KEPT_REFUSAL	"the service behind this name ended and is kept for inspection"
#define STOPPED_REFUSAL "the service behind this name was put away"
#define ROOM_REFUSAL	"no memory for the service behind this name"

/* Somebody wants it, as of then: the record of its next wake begins. */
static void begin_record(struct service *service, uint64_t at)
{
	service->record = (struct boot_record){ .want = service_not_later(service, at) };
	service->refusal = SERVICE_FAILED;
	free(service->notice);
	service->notice = NULL;
}

/* It does not run and nobody has wanted it yet. */
static bool sleeps(const struct service *service)
{
	switch (service->state) {
	case LIFECYCLE_OFF:
	case LIFECYCLE_PAUSING:
	case LIFECYCLE_PAUSED:
	case LIFECYCLE_SUSPENDING:
	case LIFECYCLE_SUSPENDED:
	case LIFECYCLE_STOPPING:
	case LIFECYCLE_CANCELLED:
		return true;
	default:
		return false;
	}
}

static void note_fresh_boot(struct service *service, const char *why)
{
	char text[ERROR_TEXT_MAX + sizeof "booted afresh: "];

	snprintf(text, sizeof text, "booted afresh: %s", why);
	log_warning("service %s: %s", service->spec->name, text);
	event_failure(service, text);
	free(service->notice);
	service->notice = strdup(why);
	if (!service->notice)
		abort();
}

/* dns */

/* A wake is no start: it is not held back. */
static bool may_wake(const struct service *service)
{
	return service->state != LIFECYCLE_OFF && service->state != LIFECYCLE_STOPPING &&
	       service->state != LIFECYCLE_SUSPENDED;
}

void service_want(struct service *service, uint64_t at, const struct bytes *client,
		  const struct bytes *name)
{
	bool held = service_now(service) < service->failure.retry_at;

	if (sleeps(service) && (!held || may_wake(service))) {
		begin_record(service, at);
		cause_query(service, client, name);
	}
	if (service->state == LIFECYCLE_READY || service->state == LIFECYCLE_RETIRING)
		service->idle.used = service_now(service); /* who asked will come */
	service_event(service, held ? LIFECYCLE_EVENT_WANT_HELD : LIFECYCLE_EVENT_WANT);
}

void service_knock(struct service *service, uint64_t at)
{
	bool held = service_now(service) < service->failure.retry_at;

	if (held && !may_wake(service))
		return; /* nobody waits for a word */
	if (sleeps(service))
		begin_record(service, at);
	service_event(service, LIFECYCLE_EVENT_WANT);
}

void service_retired(struct service *service)
{
	idle_retired(service);
}

void service_answered(struct service *service, uint64_t at, uint32_t waiters, bool late)
{
	struct boot_record *record = &service->record;

	record->waiters += waiters;
	if (record->answered)
		return;
	record->answered = service_not_later(service, at);
	record->late = late;
}

/* toolstack: starts */

void service_place(struct service *service)
{
	TAILQ_REMOVE(&service->engine->queue, service, queued);
	service_event(service, LIFECYCLE_EVENT_PLACE);
}

void service_refuse(struct service *service, const char *why)
{
	TAILQ_REMOVE(&service->engine->queue, service, queued);
	failure_note(service, why);
	service->refusal = ROOM_REFUSAL;
	cause_say(service, CAUSE_FAILED, why);
	service_event(service, LIFECYCLE_EVENT_REFUSED);
}

void service_created(struct service *service, uint32_t domid, bool restored, uint64_t began,
		     uint64_t at, const char *note)
{
	registry_set_domid(service->engine->registry, service, domid);
	service->record.began = service_not_later(service, began);
	service->record.created = service_not_later(service, at);
	service->record.how = restored ? SERVICE_RESTORED : SERVICE_BOOTED;
	service->image = service->dead = false;
	service->measured = 0;
	if (*note)
		note_fresh_boot(service, note);
	service_event(service, LIFECYCLE_EVENT_CREATED);
}

void service_key(struct service *service, uint64_t at)
{
	if (service->record.created && !service->record.key)
		service->record.key = service_not_later(service, at);
	ready_look(service);
}

void service_frame(struct service *service, uint64_t at)
{
	if (service->record.created && !service->record.frame)
		service->record.frame = service_not_later(service, at);
	ready_look(service);
}

void service_start_failed(struct service *service, const char *why)
{
	if (!service_removed(service) && service->state != LIFECYCLE_CANCELLED)
		failure_note(service, why);
	service->losses = 0;
	cause_say(service, CAUSE_FAILED, why);
	service_event(service, LIFECYCLE_EVENT_START_FAILED);
}

void service_woken(struct service *service, uint64_t at)
{
	service->record.created = service_not_later(service, at);
	cause_say(service, CAUSE_WOKEN);
	service_event(service, LIFECYCLE_EVENT_WOKEN);
}

/* A failed wake is a cold start, and says so. */
void service_wake_failed(struct service *service, const char *why)
{
	char text[ERROR_TEXT_MAX];

	snprintf(text, sizeof text, "its domain %u cannot be woken: %s", service->domid, why);
	note_fresh_boot(service, text);
	cause_say(service, CAUSE_FAILED, text);
	service_event(service, LIFECYCLE_EVENT_WAKE_FAILED);
}

/* toolstack: ends */

static void die(struct service *service, uint8_t reason)
{
	enum spec_fate fate = failure_fate(service->spec, reason);

	service->put_mode = SPEC_STOP_DESTROY;
	cause_say(service, CAUSE_DIED, service->failure.death);
	if (fate == SPEC_FATE_PRESERVE) {
		service->refusal = KEPT_REFUSAL;
		service_event(service, LIFECYCLE_EVENT_DIED_KEEP);
		return;
	}
	service->revive |= fate == SPEC_FATE_RESTART;
	if (fate == SPEC_FATE_RESTART && service_now(service) >= service->failure.retry_at) {
		begin_record(service, service_now(service));
		cause_say(service, CAUSE_RESTARTED, service->failure.death);
		service_event(service, LIFECYCLE_EVENT_DIED_RESTART);
	} else {
		service_event(service, LIFECYCLE_EVENT_DIED);
	}
}

void service_died(struct service *service, uint8_t reason, const char *console)
{
	if (service->stop_ordered && service->stop_mode == SPEC_STOP_SUSPEND && reason == SUSPENDED)
		return; /* that is how it is done */
	switch (service->state) {
	case LIFECYCLE_BOOTING:
	case LIFECYCLE_SETTLING:
	case LIFECYCLE_WAKING:
		failure_death(service, reason, false, console);
		die(service, reason);
		break;
	case LIFECYCLE_READY:
	case LIFECYCLE_RETIRING:
	case LIFECYCLE_PAUSING:
	case LIFECYCLE_PAUSED:
	case LIFECYCLE_SUSPENDING:
		failure_death(service, reason, true, console);
		die(service, reason);
		break;
	case LIFECYCLE_BUILDING:
		failure_death(service, reason, false, console);
		cause_say(service, CAUSE_DIED, service->failure.death);
		service_event(service, LIFECYCLE_EVENT_DIED);
		break;
	default:
		service->dead = true;
		service_event(service, LIFECYCLE_EVENT_DIED);
		break;
	}
}

static void stop_answered(struct service *service, uint64_t at, bool gone)
{
	service->stop_ordered = false;
	failure_stopped(service);
	if (gone)
		registry_clear_domid(service->engine->registry, service);
	if (!service->record.stopped && sleeps(service))
		service->record.stopped = service_not_later(service, at);
}

void service_stopped(struct service *service, uint64_t at)
{
	room_freed(service->engine);
	stop_answered(service, at, true);
	service_event(service, LIFECYCLE_EVENT_STOPPED);
}

void service_paused(struct service *service, uint64_t at)
{
	stop_answered(service, at, false);
	service_event(service, LIFECYCLE_EVENT_PAUSED);
}

void service_suspended(struct service *service, uint64_t at)
{
	room_freed(service->engine);
	stop_answered(service, at, true);
	service->image = true;
	service_event(service, LIFECYCLE_EVENT_SUSPENDED);
}

void service_stop_failed(struct service *service, const char *why)
{
	enum spec_stop_mode mode = service->stop_mode;
	char text[ERROR_TEXT_MAX];

	service->stop_ordered = false;
	snprintf(text, sizeof text, "its domain %u cannot be %s: %s", service->domid,
		 mode == SPEC_STOP_PAUSE     ? "paused"
		 : mode == SPEC_STOP_SUSPEND ? "suspended"
					     : "stopped",
		 why);
	failure_note(service, text);
	service->failure.of_stop = true;
	if (mode == SPEC_STOP_PAUSE)
		service->idle.no_pause = true;
	if (mode == SPEC_STOP_SUSPEND)
		service->idle.no_suspend = true;
	service->put_mode = SPEC_STOP_DESTROY;
	cause_say(service, CAUSE_FAILED, text);
	if ((mode != SPEC_STOP_PAUSE && mode != SPEC_STOP_SUSPEND) || service->dead)
		service_event(service, LIFECYCLE_EVENT_STOP_FAILED);
	else if (mode == SPEC_STOP_SUSPEND && service->was_paused)
		service_event(service, LIFECYCLE_EVENT_STILL_PAUSED);
	else
		service_event(service, LIFECYCLE_EVENT_STILL_RUNNING);
}

void service_measured(struct service *service, uint64_t rx, uint64_t tx)
{
	service->rx = rx;
	service->tx = tx;
	service->measured = service_now(service);
	idle_measured(service, rx + tx);
}

/* toolstack: surveys */

/* What brings the toolstack down each time is not tried for ever. */
static bool lost_again(struct service *service)
{
	return service->state == LIFECYCLE_BUILDING && ++service->losses > 1;
}

static bool may_be_kept(const struct service *service)
{
	const struct spec *spec = service->spec;

	return !service->image &&
	       (spec->on_poweroff == SPEC_FATE_PRESERVE || spec->on_reboot == SPEC_FATE_PRESERVE ||
		spec->on_crash == SPEC_FATE_PRESERVE);
}

/* It runs, and nobody knows whether it is ready yet: what is known of its boot. */
static void take_up(struct service *service, const struct engine_domain *domain)
{
	struct boot_record *record = &service->record;
	bool same = service->state == LIFECYCLE_BOOTING && service->domid == domain->domid;

	if (lifecycle_step(service->state, LIFECYCLE_EVENT_FOUND_RUNNING).next !=
		    LIFECYCLE_BOOTING ||
	    same)
		return;
	*record = (struct boot_record){
		.want = lifecycle_public(service->state) == LIFECYCLE_PUBLIC_STARTING ? record->want
										      : 0,
		.began = record->began,
		.created = domain->created ? service_not_later(service, domain->created) : 0,
		.how = domain->restored ? SERVICE_RESTORED : SERVICE_BOOTED,
	};
}

void service_found(struct service *service, const struct engine_domain *domain)
{
	static const char *const what[] = { "half-built or shut down", "shut down", "running",
					    "paused" };
	enum service_found found = domain->finding;
	bool runs = found == SERVICE_RUNNING || found == SERVICE_PAUSED;
	char number[16];

	service->stop_ordered = false;
	log_info("service %s: found its domain %u %s", service->spec->name, domain->domid,
		 what[found]);
	if (found == SERVICE_RUNNING)
		take_up(service, domain);
	registry_set_domid(service->engine->registry, service, domain->domid);
	snprintf(number, sizeof number, "%u", domain->domid);
	if (!runs && lost_again(service)) {
		failure_note(service, LOST_TEXT);
		cause_say(service, CAUSE_FAILED, LOST_TEXT);
		service_event(service, LIFECYCLE_EVENT_DIED);
		return;
	}
	if (runs && service->image)
		service_discard(service); /* of before it ran on: never to be restored */
	service->adopted = true;
	service->dead = false;
	idle_surveyed(service);
	cause_say(service, CAUSE_FOUND, number, what[found]);
	switch (found) {
	case SERVICE_RUNNING:
		service_event(service, LIFECYCLE_EVENT_FOUND_RUNNING);
		break;
	case SERVICE_PAUSED:
		service_event(service, LIFECYCLE_EVENT_FOUND_PAUSED);
		break;
	case SERVICE_SHUT_DOWN:
		if (may_be_kept(service)) {
			service->refusal = KEPT_REFUSAL;
			service_event(service, LIFECYCLE_EVENT_FOUND_KEPT);
			break;
		}
		/* fall through */
	case SERVICE_BROKEN:
		service->put_mode = SPEC_STOP_DESTROY;
		service_event(service, LIFECYCLE_EVENT_FOUND_BROKEN);
		break;
	}
}

void service_absent(struct service *service)
{
	service->stop_ordered = false;
	registry_clear_domid(service->engine->registry, service);
	if (lost_again(service)) {
		service_start_failed(service, LOST_TEXT);
	} else if (service->image) {
		cause_say(service, CAUSE_FOUND_IMAGE);
		service_event(service, LIFECYCLE_EVENT_FOUND_IMAGE);
	} else {
		cause_say(service, CAUSE_FOUND_NOTHING);
		service_event(service, LIFECYCLE_EVENT_ABSENT);
	}
}

/* The administrator, or the daemon by itself. */

void service_summon(struct service *service)
{
	if (sleeps(service))
		begin_record(service, service_now(service));
	service->parked = false;
	service_event(service, service->state == LIFECYCLE_KEPT ? LIFECYCLE_EVENT_RESTART
								: LIFECYCLE_EVENT_WANT);
}

void service_revive(struct service *service)
{
	char number[16];

	if (!sleeps(service))
		return;
	service->revive = true;
	snprintf(number, sizeof number, "%u", service->failure.in_row);
	if (service_now(service) >= service->failure.retry_at && service->failure.in_row)
		cause_say(service, CAUSE_AGAIN, number);
	else if (service_now(service) >= service->failure.retry_at)
		cause_say(service, CAUSE_PINNED);
	if (service_now(service) >= service->failure.retry_at)
		service_summon(service);
	else if (service->state == LIFECYCLE_OFF || service->state == LIFECYCLE_SUSPENDED)
		service_wait_until(service, service->failure.retry_at);
}

void service_restart(struct service *service)
{
	enum spec_stop_mode mode = service->spec->stop_mode;

	if (service->state != LIFECYCLE_QUEUED && !lifecycle_builds(service->state))
		begin_record(service, service_now(service));
	service->put_mode = mode == SPEC_STOP_SHUTDOWN && service->state == LIFECYCLE_READY
				    ? SPEC_STOP_SHUTDOWN
				    : SPEC_STOP_DESTROY;
	service->parked = false;
	service_event(service, LIFECYCLE_EVENT_RESTART);
}

void service_put(struct service *service, enum spec_stop_mode mode)
{
	service->refusal = STOPPED_REFUSAL;
	switch (mode) {
	case SPEC_STOP_PAUSE:
		service_event(service, LIFECYCLE_EVENT_PUT_PAUSED);
		break;
	case SPEC_STOP_SUSPEND:
		service->was_paused = service->state == LIFECYCLE_PAUSED;
		service_event(service, LIFECYCLE_EVENT_PUT_SUSPENDED);
		break;
	default:
		service->put_mode = mode == SPEC_STOP_SHUTDOWN ? SPEC_STOP_SHUTDOWN
							       : SPEC_STOP_DESTROY;
		service_event(service, LIFECYCLE_EVENT_PUT_OFF);
		break;
	}
}

void service_remove(struct service *service)
{
	service->put_mode = SPEC_STOP_DESTROY;
	service->revive = false;
	service_event(service, LIFECYCLE_EVENT_REMOVE);
}
