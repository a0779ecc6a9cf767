#include "engine/failure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/events.h"
#include "engine/inside.h"
#include "proto/control.h"

#define BACK_OFF_MIN USEC_PER_SEC
#define BACK_OFF_MAX (60 * USEC_PER_SEC)
#define STABLE	     (60 * USEC_PER_SEC) /* ready for so long is a row's end */

/* enum libxl_shutdown_reason, libxl.h */
enum { POWEROFF, REBOOT, SUSPEND, CRASH, WATCHDOG, SOFT_RESET, DESTROYED = 255 };

static void set_error(struct service *service, const char *text)
{
	bool was = failure_shown(service);

	free(service->failure.error);
	service->failure.error = text ? strdup(text) : NULL;
	if (text && !service->failure.error)
		abort();
	service->failure.of_stop = false;
	service->engine->failed = service->engine->failed - was + failure_shown(service);
}

static void back_off(struct service *service, unsigned doublings)
{
	uint64_t wait = BACK_OFF_MIN;

	for (unsigned i = 0; i < doublings && wait < BACK_OFF_MAX; i++)
		wait *= 2;
	service->failure.retry_at =
		service_now(service) + (wait < BACK_OFF_MAX ? wait : BACK_OFF_MAX);
}

static void count(struct service *service)
{
	service->failure.in_row++;
	service->failures++;
	service->engine->failures++;
}

void failure_note(struct service *service, const char *why)
{
	back_off(service, service->failure.in_row);
	count(service);
	set_error(service, why);
	log_warning("service %s: %s", service->spec->name, why);
	event_failure(service, why);
}

void failure_stopped(struct service *service)
{
	if (service->failure.of_stop)
		set_error(service, NULL);
}

static const char *ended(uint8_t reason)
{
	static const char *const reasons[] = {
		[POWEROFF] = "powered off", [REBOOT] = "rebooted",
		[SUSPEND] = "suspended",    [CRASH] = "crashed",
		[SOFT_RESET] = "rebooted",  [WATCHDOG] = "was stopped by its watchdog",
	};

	return reason < ARRAY_SIZE(reasons) ? reasons[reason]
	       : reason == DESTROYED	    ? "was destroyed by somebody"
					    : "shut down for an unknown reason";
}

/* A guest may write anything. */
static void clean(char *text)
{
	if (!text || control_text_valid(text, strlen(text)))
		return;
	for (; *text; text++)
		if ((*text < ' ' && !strchr("\t\n", *text)) || *text == 0x7f)
			*text = '?';
}

void failure_death(struct service *service, uint8_t reason, bool ready, const char *console)
{
	struct failure *failure = &service->failure;
	char why[128];

	snprintf(why, sizeof why, "its domain %u %s%s", service->domid, ended(reason),
		 ready ? "" : " while it was starting");
	free(failure->death);
	free(failure->console);
	failure->death = strdup(why);
	failure->console = *console ? strdup(console) : NULL;
	if (!failure->death || (*console && !failure->console))
		abort();
	clean(failure->console);
	if (!ready) {
		failure_note(service, why);
		return;
	}
	log_warning("service %s: %s", service->spec->name, why);
	event_failure(service, why);
	if (failure_fate(service->spec, reason) == SPEC_FATE_DESTROY && reason != CRASH &&
	    reason != WATCHDOG)
		return;
	failure->in_row = failure_row(service);
	if (failure->in_row)
		back_off(service, failure->in_row - 1);
	count(service);
}

void failure_over(struct service *service)
{
	service->failure.retry_at = 0;
	service->losses = 0;
	set_error(service, NULL);
}

void failure_forget(struct service *service)
{
	failure_over(service);
	service->failure.in_row = 0;
	free(TAKE(service->failure.death));
	free(TAKE(service->failure.console));
}

void failure_free(struct failure *failure)
{
	free(failure->error);
	free(failure->death);
	free(failure->console);
}

enum spec_fate failure_fate(const struct spec *spec, uint8_t reason)
{
	switch (reason) {
	case POWEROFF:
		return spec->on_poweroff ? spec->on_poweroff : SPEC_FATE_DESTROY;
	case REBOOT:
	case SOFT_RESET:
		return spec->on_reboot ? spec->on_reboot : SPEC_FATE_RESTART;
	case SUSPEND:
	case DESTROYED:
		return SPEC_FATE_DESTROY;
	default:
		return spec->on_crash ? spec->on_crash : SPEC_FATE_DESTROY;
	}
}

unsigned failure_row(const struct service *service)
{
	bool stable = (service->state == LIFECYCLE_READY || service->state == LIFECYCLE_RETIRING) &&
		      service_now(service) >= service->record.ready + STABLE;

	return stable ? 0 : service->failure.in_row;
}

bool failure_shown(const struct service *service)
{
	return service->state == LIFECYCLE_OFF && service->failure.error;
}
