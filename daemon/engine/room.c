#include "engine/room.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/loop.h"
#include "engine/inside.h"
#include "proto/message.h"
#include "proto/spec.h"

#define PATIENCE (5 * USEC_PER_SEC)    /* for guests that may come to rest */
#define REST	 USEC_PER_SEC	       /* unused for so long is at rest */
#define FRESH	 (100 * USEC_PER_MSEC) /* others take memory, too: a figure is good for so long */
#define MIB	 UINT64_C(1024)

/* What Xen takes beside a guest's memory, KiB. Measured: 84 for itself, 24 for each nic that is in
 * use. For the page tables of a guest that is not PV libxl gives 1 MiB for each of its processors
 * and 1 page for each MiB (libxl__get_required_paging_memory). Type hvm takes no more: 1400 beside
 * 64 MiB, 1936 beside 192 with a nic and two disks; its device model's memory is domain 0's. */
#define OWN   UINT64_C(192)
#define PART  UINT64_C(64) /* a processor, nic or disk */
#define PAGES 256	   /* one page of so many */

/* 0: nobody knows. */
static uint64_t need(const struct service *service)
{
	const struct spec *spec = service->spec;
	uint64_t cpus = (uint64_t)service_given(spec->vcpus, 1), tables = 0;

	if (!spec->memory)
		return 0;
	if (spec->type != SPEC_TYPE_PV)
		tables = cpus * MIB + spec->memory / PAGES;
	return spec->memory + tables + OWN + PART * (cpus + spec->nic.n + spec->disk.n);
}

static bool is_resident(enum lifecycle_state state)
{
	switch (state) {
	case LIFECYCLE_OFF:
	case LIFECYCLE_QUEUED:
	case LIFECYCLE_SUSPENDED:
	case LIFECYCLE_GONE:
		return false;
	default:
		return !lifecycle_builds(state);
	}
}

/* Its memory will be free without further ado. */
static bool leaves(const struct service *service)
{
	switch (service->state) {
	case LIFECYCLE_READY:
		return service->idle.yields;
	case LIFECYCLE_RETIRING:
		return service->idle.target != SPEC_STOP_PAUSE;
	case LIFECYCLE_SUSPENDING:
	case LIFECYCLE_STOPPING:
	case LIFECYCLE_REMOVING:
		return true;
	default:
		return false;
	}
}

/* Could it be put down, now or when it comes to rest? */
static bool may_leave(const struct service *service)
{
	return !service->spec->pinned &&
	       (service->state == LIFECYCLE_PAUSED || service->state == LIFECYCLE_PAUSING ||
		(service->state == LIFECYCLE_READY && !service->idle.yields));
}

static bool rests(const struct service *service)
{
	return service->state == LIFECYCLE_PAUSED ||
	       (service->state == LIFECYCLE_READY &&
		idle_used(service) + REST <= service_now(service));
}

/* a rather than b; b may be NULL. */
static bool rather(const struct service *a, const struct service *b)
{
	bool paused = a->state == LIFECYCLE_PAUSED;

	if (!b)
		return true;
	if (paused != (b->state == LIFECYCLE_PAUSED))
		return paused;
	return idle_used(a) < idle_used(b);
}

static struct service *choose(struct engine *engine)
{
	struct service *service, *best = NULL;

	TAILQ_FOREACH(service, &engine->residents, room.entry)
		if (may_leave(service) && rests(service) && need(service) && rather(service, best))
			best = service;
	return best;
}

/* Memory of those who leave, and of those who could be made to. */
static void sum(struct engine *engine, uint64_t *leaving, uint64_t *possible)
{
	struct service *service;

	*leaving = *possible = 0;
	TAILQ_FOREACH(service, &engine->residents, room.entry) {
		if (leaves(service))
			*leaving += need(service);
		else if (may_leave(service))
			*possible += need(service);
	}
}

static void on_again(void *arg)
{
	engine_pump(arg);
}

static void try_again(struct engine *engine)
{
	if (!engine->room_timer)
		engine->room_timer = timer_new(engine->loop, on_again, engine);
	if (!engine->room_timer)
		abort();
	if (!timer_armed(engine->room_timer))
		timer_set(engine->room_timer, REST / 4);
}

/* Is the figure one of now? If not it is asked for, and its answer calls engine_pump. While guests
 * are built it moves, and is at most one of them old. */
static bool known(struct engine *engine)
{
	if (engine->promised ||
	    (engine->weighed && loop_now(engine->loop) < engine->weighed + FRESH))
		return true;
	if (!engine->weighing)
		message_send_weigh(engine->toolstack, &(struct msg_weigh){ 0 });
	engine->weighing = true;
	return false;
}

enum room_verdict room_admit(struct engine *engine, struct service *service, char *why,
			     size_t why_size)
{
	uint64_t wanted = need(service) + engine->config.reserve, leaving, possible, lack;
	uint64_t free =
		engine->memory_free > engine->promised ? engine->memory_free - engine->promised : 0;
	struct service *victim;

	if (need(service) && engine->memory_total && !known(engine))
		return ROOM_WAIT;
	if (!need(service) || !engine->memory_total || free >= wanted) {
		service->room.since = 0;
		return ROOM_FITS;
	}
	if (!service->room.since)
		service->room.since = service_now(service);
	lack = wanted - free;
	sum(engine, &leaving, &possible);
	if (leaving + possible >= lack) {
		while (leaving < lack && (victim = choose(engine))) {
			log_info("service %s: put down to make room for %s", victim->spec->name,
				 service->spec->name);
			leaving += need(victim);
			idle_yield(victim, service);
		}
		if (leaving >= lack || service_now(service) < service->room.since + PATIENCE) {
			try_again(engine);
			return ROOM_WAIT;
		}
	} else if (leaving || engine->promised) { /* wait for the figures of what is under way */
		if (service_now(service) < service->room.since + PATIENCE) {
			try_again(engine);
			return ROOM_WAIT;
		}
	}
	service->room.since = 0;
	snprintf(why, why_size,
		 "not enough memory: it needs %llu MiB, %llu MiB are free of which %llu MiB are "
		 "reserved, and no other guest can make room",
		 (unsigned long long)((need(service) + MIB - 1) / MIB),
		 (unsigned long long)(free / MIB),
		 (unsigned long long)(engine->config.reserve / MIB));
	return ROOM_NONE;
}

void room_memory(struct engine *engine, uint64_t free, uint64_t total)
{
	if (total) {
		engine->memory_free = free;
		engine->memory_total = total;
	}
	engine->weighed = loop_now(engine->loop);
	engine->weighing = false;
}

void room_moved(struct service *service, enum lifecycle_state last)
{
	struct engine *engine = service->engine;
	struct room_share *share = &service->room;
	bool resident = is_resident(service->state);

	if (lifecycle_builds(service->state) && !lifecycle_builds(last)) {
		share->promised = need(service);
		engine->promised += share->promised;
	} else if (!lifecycle_builds(service->state) && lifecycle_builds(last)) {
		engine->promised -= share->promised;
		if (resident)
			engine->memory_free -= share->promised < engine->memory_free
						       ? share->promised
						       : engine->memory_free;
		share->promised = 0;
	}
	if (resident == share->resident)
		return;
	share->resident = resident;
	if (resident)
		TAILQ_INSERT_TAIL(&engine->residents, service, room.entry);
	else
		TAILQ_REMOVE(&engine->residents, service, room.entry);
}

void room_freed(struct engine *engine)
{
	engine->weighed = 0;
}

void room_forget(struct service *service)
{
	service->engine->promised -= service->room.promised;
	service->room.promised = 0;
	if (service->room.resident)
		TAILQ_REMOVE(&service->engine->residents, service, room.entry);
	service->room.resident = false;
}
