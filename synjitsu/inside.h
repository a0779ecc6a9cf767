/* The core's inside, for core.c, network.c and words.c only. */
#ifndef JITSU_SYNJITSU_INSIDE_H
#define JITSU_SYNJITSU_INSIDE_H

#include <sys/queue.h>

#include "synjitsu/core.h"
#include "synjitsu/knocks.h"

struct timer;

struct core {
	struct loop *loop;
	struct core_config config;
	const struct core_io *io;
	void *arg;
	struct claims claims;
	TAILQ_HEAD(announce_list, claim) announce; /* the earliest first */
	TAILQ_HEAD(active_list, claim) active;
	struct knocks knocks;
	struct timer *tick;  /* runs while something is probed, announced or passing */
	struct timer *stale; /* until claims of an earlier connection are forgotten */
	size_t bytes;	     /* held */
	uint16_t probe_port;
	struct synjitsu_counters count;
};

/* The claim is in that state from here on, and the clock runs for it. */
void core_enter(struct core *core, struct claim *claim, enum claim_state state);
void core_activate(struct core *core, struct claim *claim);
/* Says once to everybody where the claim's addresses are; begins to do so; stops. */
void core_announce(struct core *core, const struct claim *claim);
void core_start_announcing(struct core *core, struct claim *claim);
void core_stop_announcing(struct core *core, struct claim *claim);
/* Once, in two seconds. */
void core_announce_again(struct core *core, struct claim *claim);
/* Lets go of the claim and frees it. */
void core_forget(struct core *core, struct claim *claim);
bool core_can_inject(const struct claim *claim);
void core_inject(struct core *core, struct claim *claim, const uint8_t *data, size_t size);
/* Hands over, in order, what waits of a protocol, for a port or for any (0). */
void core_hand_over(struct core *core, struct claim *claim, uint8_t protocol, uint16_t port);
/* Echo requests go to a guest that speaks, and stay until it replies: one that has just come up may
 * lose the first. */
void core_hand_over_echoes(struct core *core, struct claim *claim);
/* If the guest is up, listens somewhere, and nothing waits. */
void core_step_aside_if_done(struct core *core, struct claim *claim);
/* The timer for stale claims. */
void core_stale(void *arg);

#endif
