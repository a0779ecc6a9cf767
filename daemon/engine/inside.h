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
struct link;
struct removal;
struct store;

/* A domain of a survey. */
struct engine_domain {
	uint32_t domid;
	uint8_t uuid[16];
	bool whole, running;
	char service[64]; /* from its mark; "" if it bears none */
};

struct engine_domains {
	struct engine_domain *v;
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
	bool surveyed; /* by this toolstack: only then it gets orders */
	uint32_t survey;
	struct engine_domains found, orphans;

	TAILQ_HEAD(, service) queue; /* for a place, first come first served */
	unsigned building;
	bool pump_held;
	uint32_t next_boot;

	TAILQ_HEAD(, admission) admissions;
	uint32_t next_request;
	char **declared;
	size_t declared_count, declared_next;
	unsigned declared_busy;

	TAILQ_HEAD(, removal) removals;

	size_t states[LIFECYCLE_STATES];
	uint64_t boots, failures;
	uint64_t memory_free, memory_total; /* KiB, at the last survey */
	char *backend_version;
};

/* Starts what waits, while there is a place and a surveyed toolstack. */
void engine_pump(struct engine *engine);

/* If a survey left a domain of this UUID without an owner, it is the service's. */
void engine_claim_orphan(struct engine *engine, struct service *service);

#endif
