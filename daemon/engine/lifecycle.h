/*
 * The life of a service as a pure function: state x event -> state x actions, from
 * lifecycle.tbl.h. It knows no time, no I/O and no service; service.c carries it out.
 */
#ifndef JITSU_ENGINE_LIFECYCLE_H
#define JITSU_ENGINE_LIFECYCLE_H

enum lifecycle_state {
#define STATE(id, name, public, meaning) LIFECYCLE_##id,
#include "engine/lifecycle.tbl.h"
	LIFECYCLE_STATES
};

enum lifecycle_event {
#define EVENT(id, meaning) LIFECYCLE_EVENT_##id,
#include "engine/lifecycle.tbl.h"
	LIFECYCLE_EVENTS
};

enum lifecycle_action {
#define ACTION(id, meaning) LIFECYCLE_DO_##id,
#include "engine/lifecycle.tbl.h"
	LIFECYCLE_ACTIONS
};

enum lifecycle_public {
	LIFECYCLE_PUBLIC_OFF,
	LIFECYCLE_PUBLIC_STARTING,
	LIFECYCLE_PUBLIC_READY,
	LIFECYCLE_PUBLIC_STOPPING,
	LIFECYCLE_PUBLIC_PAUSED,
	LIFECYCLE_PUBLIC_SUSPENDED,
	LIFECYCLE_PUBLIC_KEPT,
	LIFECYCLE_PUBLIC_REMOVED,
	LIFECYCLE_PUBLICS
};

enum lifecycle_verdict {
	LIFECYCLE_UNDEFINED, /* no entry in the table: not there */
	LIFECYCLE_GO,
	LIFECYCLE_IGNORE,
	LIFECYCLE_NEVER,
};

struct lifecycle_step {
	enum lifecycle_verdict verdict;
	enum lifecycle_state next; /* of GO */
	unsigned actions;	   /* 1 << enum lifecycle_action */
};

struct lifecycle_step lifecycle_step(enum lifecycle_state state, enum lifecycle_event event);

/* What a listing shows of the state. */
enum lifecycle_public lifecycle_public(enum lifecycle_state state);
/* Its build holds one of the places. */
int lifecycle_builds(enum lifecycle_state state);

const char *lifecycle_state_name(enum lifecycle_state state);
const char *lifecycle_event_name(enum lifecycle_event event);
const char *lifecycle_event_meaning(enum lifecycle_event event);
const char *lifecycle_action_name(enum lifecycle_action action);
const char *lifecycle_public_name(enum lifecycle_public state);

#endif
