/*
 * Queries that wait. A parked query waits in the queue of each service that its answer needs, and
 * leaves all of them at once: when the last of them is released, or at its limit. In number and
 * in bytes they are bounded.
 */
#ifndef JITSU_DNS_WAIT_H
#define JITSU_DNS_WAIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dns/listen.h"

#define WAIT_QUERIES_MAX  65536u
#define WAIT_BYTES_MAX	  (32u * 1024 * 1024)
#define WAIT_SERVICES_MAX 64u /* a query waits for so many services at most */

struct loop;
struct wait;
struct wait_crowd;

/* One service's; part of its record. A million of them are empty. */
struct wait_queue {
	struct wait_crowd *crowd; /* wait.c's; NULL: nobody waits */
};

enum wait_end {
	WAIT_READY,  /* the last service it waited for was released as ready */
	WAIT_FAILED, /* … as failed */
	WAIT_LIMIT,
	WAIT_AGAIN, /* the table has changed: to be looked up anew */
};

struct wait_query {
	struct client client;
	uint64_t arrived;
	uint8_t *packet; /* whole, as it came; in `done` valid during the call */
	size_t size;
};

struct wait_callbacks {
	/* A query has left; it may be parked again in the call. */
	void (*done)(void *arg, const struct wait_query *query, enum wait_end end);
	/* So many left at their limit that waited for this service; after their `done`. */
	void (*late)(void *arg, struct wait_queue *queue, unsigned waiters);
};

/* Callbacks come from wait_release, wait_again and the loop. NULL if out of memory. */
struct wait *wait_new(struct loop *loop, const struct wait_callbacks *callbacks, void *arg);
/* Drops who waits without a word. */
void wait_free(struct wait *wait);

void wait_queue_init(struct wait_queue *queue);
bool wait_queue_empty(const struct wait_queue *queue);

enum wait_result { WAIT_PARKED, WAIT_FOLDED, WAIT_FULL };

/* Parks a copy of query in these queues until `deadline` (loop_now's time) at the latest; or, if
 * the same client's address waits there already, until that one's. FOLDED:
 * the same packet of the same client waits already, and this one needs no answer. */
enum wait_result wait_park(struct wait *wait, const struct wait_query *query,
			   struct wait_queue *const *queues, unsigned count, uint64_t deadline);

/* Empties a queue. Those who wait for nothing else now are done; how many. end: READY or FAILED. */
unsigned wait_release(struct wait *wait, struct wait_queue *queue, enum wait_end end);
/* Everybody in the queue (NULL: in any) is done with WAIT_AGAIN. */
void wait_again(struct wait *wait, struct wait_queue *queue);

size_t wait_count(const struct wait *wait);

#endif
