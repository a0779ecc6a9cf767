/* The engine's inside, for the files of this room only. */
#ifndef JITSU_ENGINE_INSIDE_H
#define JITSU_ENGINE_INSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "engine/engine.h"
#include "engine/lifecycle.h"
#include "engine/service.h"

struct admission;
struct control;
struct feed;
struct link;
struct load;
struct removal;
struct store;
struct waiter;

/* A domain of a survey. */
struct engine_domain {
	uint32_t domid;
	uint8_t uuid[16];
	enum service_found finding;
	bool restored;
	uint64_t created; /* 0: not known */
	char service[64]; /* from its mark; "" if it bears none */
};

struct engine_domains {
	struct engine_domain *v;
	size_t n;
};

/* Suspend images of a survey, by UUID. */
struct engine_images {
	uint8_t (*v)[16];
	size_t n;
};

struct engine {
	struct loop *loop;
	struct engine_config config; /* its texts are copies; services is not kept */
	struct store *store;
	struct registry *registry;
	struct control *control;
	uint64_t started;

	struct link *dns, *toolstack;
	struct feed *feed;		  /* NULL: dns has the whole table */
	TAILQ_HEAD(, service) considered; /* whether they may rest */
	struct timer *rest_timer;
	bool surveyed; /* by this toolstack: only then it gets orders */
	uint32_t survey;
	struct engine_domains found, orphans;
	struct engine_images images; /* of no service, after the survey */

	TAILQ_HEAD(, service) queue; /* for a place, first come first served */
	unsigned building;
	bool pump_held;
	uint32_t next_boot;
	TAILQ_HEAD(, service) residents; /* whose domains take memory */
	struct timer *room_timer;
	uint64_t promised; /* KiB, to builds under way */

	TAILQ_HEAD(, admission) admissions, staged;
	struct timer *commit_timer; /* of those staged */
	uint32_t next_request;
	uint8_t random[4096]; /* for UUIDs */
	size_t random_left;
	struct load *load; /* of the services given at start; NULL: all are there */

	TAILQ_HEAD(, removal) removals;
	TAILQ_HEAD(, waiter) waiters;
	uint64_t measured; /* when service.list last asked for traffic; µs */

	size_t states[LIFECYCLE_STATES];
	size_t failed; /* of those that are off */
	uint64_t boots, failures;
	uint64_t memory_free, memory_total; /* KiB, as far as known */
	uint64_t weighed;		    /* when that was; µs */
	bool weighing;			    /* asked, and not answered yet */
	char *backend_version;
};

/* Starts what waits, while there is a place and a surveyed toolstack. */
void engine_pump(struct engine *engine);

#endif
