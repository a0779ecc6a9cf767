#include "engine/lifecycle.h"

enum {
#define ACTION(id, meaning) id = 1u << LIFECYCLE_DO_##id,
#include "engine/lifecycle.tbl.h"
};

static const struct lifecycle_step steps[LIFECYCLE_STATES][LIFECYCLE_EVENTS] = {
#define GO(state, event, next, actions)                                                            \
	[LIFECYCLE_##state][LIFECYCLE_EVENT_##event] = { LIFECYCLE_GO, LIFECYCLE_##next,           \
							 (unsigned)(actions) },
#define IGNORE(state, event)                                                                       \
	[LIFECYCLE_##state][LIFECYCLE_EVENT_##event] = { LIFECYCLE_IGNORE, LIFECYCLE_##state, 0 },
#define NEVER(state, event)                                                                        \
	[LIFECYCLE_##state][LIFECYCLE_EVENT_##event] = { LIFECYCLE_NEVER, LIFECYCLE_##state, 0 },
#include "engine/lifecycle.tbl.h"
};

/* Two entries for a pair are warned about as an initialiser that is overridden; a missing one is
 * found here. */
enum {
	LINES = 0
#define GO(state, event, next, actions) +1
#define IGNORE(state, event)		+1
#define NEVER(state, event)		+1
#include "engine/lifecycle.tbl.h"
};
_Static_assert((int)LINES == (int)LIFECYCLE_STATES * (int)LIFECYCLE_EVENTS,
	       "each pair of state and event has one entry");

static const struct {
	const char *name;
	enum lifecycle_public shown;
} states[] = {
#define STATE(id, name, public, meaning) { name, LIFECYCLE_PUBLIC_##public },
#include "engine/lifecycle.tbl.h"
};

struct lifecycle_step lifecycle_step(enum lifecycle_state state, enum lifecycle_event event)
{
	return steps[state][event];
}

enum lifecycle_public lifecycle_public(enum lifecycle_state state)
{
	return states[state].shown;
}

int lifecycle_builds(enum lifecycle_state state)
{
	return state == LIFECYCLE_BUILDING || state == LIFECYCLE_CANCELLED ||
	       state == LIFECYCLE_DOOMED;
}

const char *lifecycle_state_name(enum lifecycle_state state)
{
	return states[state].name;
}

const char *lifecycle_event_name(enum lifecycle_event event)
{
	static const char *const names[] = {
#define EVENT(id, meaning) #id,
#include "engine/lifecycle.tbl.h"
	};

	return names[event];
}

const char *lifecycle_event_meaning(enum lifecycle_event event)
{
	static const char *const meanings[] = {
#define EVENT(id, meaning) meaning,
#include "engine/lifecycle.tbl.h"
	};

	return meanings[event];
}

const char *lifecycle_action_name(enum lifecycle_action action)
{
	static const char *const names[] = {
#define ACTION(id, meaning) #id,
#include "engine/lifecycle.tbl.h"
	};

	return names[action];
}

const char *lifecycle_public_name(enum lifecycle_public state)
{
	static const char *const names[] = {
		[LIFECYCLE_PUBLIC_OFF] = "off",	      [LIFECYCLE_PUBLIC_STARTING] = "starting",
		[LIFECYCLE_PUBLIC_READY] = "ready",   [LIFECYCLE_PUBLIC_STOPPING] = "stopping",
		[LIFECYCLE_PUBLIC_PAUSED] = "paused", [LIFECYCLE_PUBLIC_SUSPENDED] = "suspended",
		[LIFECYCLE_PUBLIC_KEPT] = "kept",     [LIFECYCLE_PUBLIC_REMOVED] = "removed",
	};

	return names[state];
}
