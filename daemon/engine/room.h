/*
 * Room for a start: the host's free memory, as it is then, less what builds under way will take,
 * must hold the guest and leave the reserve. Where it does not, the guests that matter least go
 * down a tier (suspended if their policy has that, else destroyed): those that are paused, the
 * least recently used first, then those that are ready and have not been used for a second. The
 * start waits for them, and a few seconds for guests that may come to rest; then it is refused.
 * Nobody is put down for a start that would not fit even so.
 */
#ifndef JITSU_ENGINE_ROOM_H
#define JITSU_ENGINE_ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "engine/lifecycle.h"

struct engine;
struct service;

/* What a service carries for it. */
struct room_share {
	TAILQ_ENTRY(service) entry;
	bool resident;	   /* in engine->residents: its domain takes memory */
	uint64_t promised; /* KiB that its build will take */
	uint64_t since;	   /* when there was first no room for it; µs, 0: there was */
};

enum room_verdict { ROOM_FITS, ROOM_WAIT, ROOM_NONE };

/* May the service at the head of the queue be started? NONE with the reason; WAIT: engine_pump
 * will be called again. Puts others down. */
enum room_verdict room_admit(struct engine *engine, struct service *service, char *why,
			     size_t why_size);

/* The host has so much; KiB; a total of 0: it does not know. */
void room_memory(struct engine *engine, uint64_t free, uint64_t total);
/* The service left that state. */
void room_moved(struct service *service, enum lifecycle_state last);
/* A domain is gone: the figure is of before. */
void room_freed(struct engine *engine);
void room_forget(struct service *service);

#endif
