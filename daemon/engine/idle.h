/*
 * When a service is put to sleep, and how deep.
 *
 * Its policy is a list of tiers, each a mode and a time: `idle`, or else stop_mode (the daemon's
 * mode if it has none) at 2 x TTL. A tier is due when the service was not used for its time. Used
 * means, by idle_by:
 *   dns      a query for it
 *   traffic  a look found that its vifs carried idle_traffic bytes a second or more, both ways
 *            together, averaged since the look before (over one second at least)
 *   both     either of them (the default)
 * and becoming ready counts as well. Looks are taken while it is ready: a quarter of the first
 * tier's time apart, but 1 to 10 s, and one when it is due, so it sleeps at most that much later
 * than its traffic would allow and never earlier. The times of deeper tiers count from the same
 * last use.
 *
 * On the way down: dns lets its queries wait (retire) and says which were answered before; a last
 * look is taken; only then it is stopped. Whoever asks, and traffic, bring it back to ready before
 * that. A tier that the guest turned out not to know (suspending needs its help) is passed over,
 * or, if it was the last one, is destroy.
 *
 * Nothing is due for a service that is pinned, or that the administrator put to sleep: that one
 * stays as deep until somebody wants it.
 */
#ifndef JITSU_ENGINE_IDLE_H
#define JITSU_ENGINE_IDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/spec.h"

struct service;

/* What a service carries for it. */
struct idle {
	uint64_t used;		   /* when a look last found traffic; µs */
	uint64_t looked_at;	   /* if known */
	uint64_t bytes;		   /* at that time */
	uint64_t query;		   /* its last query when it was found idle */
	bool known, asking;	   /* measure was ordered, and is not answered yet */
	bool yields;		   /* gives way: see idle_yield */
	uint32_t yields_to;	   /* the service that needs its room */
	bool no_pause, no_suspend; /* this domain does not know how */
	enum spec_stop_mode target;
};

/* It is ready, paused or suspended from here on, by an event of that meaning (see WAIT_IDLE). */
void idle_begin(struct service *service);
/* It is ready anew: earlier looks were of another time. */
void idle_reset(struct service *service);
/* The timer of those states. */
void idle_timer(struct service *service);
/* The answer to a look: bytes both ways. */
void idle_measured(struct service *service, uint64_t bytes);
/* dns lets its queries wait. */
void idle_retired(struct service *service);
/* A new toolstack: looks that were under way are taken again. */
void idle_surveyed(struct service *service);

/* When it was last used; 0 if never. */
uint64_t idle_used(const struct service *service);
/* How it would give way: suspend if its policy has that, else destroy. */
enum spec_stop_mode idle_yield_mode(const struct service *service);
/* A ready service that was not asked for in the last second: it is put away unless it has traffic
 * within the next one. `yields` until that is decided. */
void idle_yield(struct service *service, const struct service *to);

#endif
