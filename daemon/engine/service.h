/*
 * One service at run time: it takes what happened, asks lifecycle what to do, and does it.
 *
 * Every function that tells it of an event may end with the service freed (when it was removed and
 * nothing is left of it): the pointer is not to be used afterwards.
 */
#ifndef JITSU_ENGINE_SERVICE_H
#define JITSU_ENGINE_SERVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "engine/lifecycle.h"
#include "engine/registry.h"

struct engine;
struct error;
struct link;
struct spec;
struct timer;

/* Its last boot; CLOCK_MONOTONIC in µs, 0: did not happen (yet). */
struct boot_record {
	uint64_t want, began, created, frame, ready, answered, idle, retired, stopped;
	uint32_t waiters;
	bool late; /* answered at the wait limit */
};

struct service {
	struct engine *engine;
	struct spec *spec;
	char *json;    /* the specification, canonical, with its UUID */
	int64_t added; /* Unix time, s */
	uint32_t id;
	uint32_t domid; /* if entry.has_domain */
	struct registry_entry entry;

	enum lifecycle_state state;
	uint32_t boot;	     /* number of the last start order */
	bool stop_ordered;   /* and not answered yet */
	bool doomed;	     /* removed, but in the store until its domain is gone */
	unsigned losses;     /* toolstacks lost in a row while they built it */
	uint32_t survey;     /* number of the last survey that found it */
	struct timer *timer; /* what it means is the state's */
	int then;	     /* an event that follows the one being handled; -1 none */
	TAILQ_ENTRY(service) queued;

	struct boot_record record;
	uint64_t idle_query; /* last_query when it was found idle */
	uint64_t boots, failures;
	unsigned failures_in_row;
	uint64_t retry_at; /* not before that time again */
	char *last_error;  /* NULL: none since it was last ready */

	void (*gone)(void *arg); /* told when it is freed after a removal; NULL nobody */
	void *gone_arg;
};

/* Takes spec and json. Aborts when out of memory. */
struct service *service_new(struct engine *engine, uint32_t id, struct spec *spec, char *json,
			    int64_t added);
/* Takes it out of the registry, too. */
void service_free(struct service *service);

/* Shown to nobody any more. */
bool service_removed(const struct service *service);

/* Defaults applied. Seconds, ms, µs. */
uint32_t service_ttl(const struct service *service);
uint32_t service_wait_limit(const struct service *service);
/* When somebody last asked for it, CLOCK_MONOTONIC in µs; 0 never. */
uint64_t service_last_query(const struct service *service);
uint64_t service_queries(const struct service *service);

/* Sends dns its message `service`. */
void service_tell(const struct service *service, struct link *dns);

/* What happened. */
void service_want(struct service *service, uint64_t at);
void service_place(struct service *service);
void service_created(struct service *service, uint32_t domid, uint64_t began, uint64_t at);
void service_frame(struct service *service, uint64_t at);
void service_start_failed(struct service *service, const char *why);
void service_died(struct service *service, uint8_t reason);
void service_retired(struct service *service);
void service_answered(struct service *service, uint64_t at, uint32_t waiters, bool late);
void service_stopped(struct service *service, uint64_t at);
void service_stop_failed(struct service *service, const char *why);
void service_found(struct service *service, uint32_t domid, bool runs);
void service_absent(struct service *service);
/* The caller has told the store, and service->doomed if it is still in there. */
void service_remove(struct service *service);

#endif
