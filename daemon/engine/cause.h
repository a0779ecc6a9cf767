/*
 * Why a service is in the state that it shows, in the words of proto/cause.tbl.h. A cause is said
 * right before the event that it explains; it counts if that event moves the service, and stays
 * until another one does.
 */
#ifndef JITSU_ENGINE_CAUSE_H
#define JITSU_ENGINE_CAUSE_H

#include <stdint.h>

struct bytes;
struct service;

enum cause_id {
#define CAUSE(id, text, meaning) CAUSE_##id,
#include "proto/cause.tbl.h"
#undef CAUSE
	CAUSES
};

/* What a service carries for it. */
struct cause {
	char *now;  /* NULL: none since the daemon started */
	char *next; /* said, and not counted yet */
};

/* A text for each word in capitals, in order. */
void cause_say(struct service *service, enum cause_id id, ...);
/* QUERY, or QUERY_WAITS if client (4 or 16 bytes of address) or name (wire format) is missing. */
void cause_query(struct service *service, const struct bytes *client, const struct bytes *name);

/* The event moves the service, or does not. */
void cause_take(struct service *service);
void cause_drop(struct service *service);
void cause_free(struct cause *cause);

#endif
