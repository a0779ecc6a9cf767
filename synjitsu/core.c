#include "core.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/loop.h"
#include "synjitsu/inside.h"

#define PROBE_USEC	 (5 * USEC_PER_MSEC)
#define PROBE_SLOW_USEC	 (50 * USEC_PER_MSEC) /* after a guest has taken PROBE_LONG */
#define PROBE_LONG	 (20 * USEC_PER_SEC)
#define TICK_USEC	 PROBE_USEC
#define ANNOUNCE_AGAIN	 (2 * USEC_PER_SEC) /* RFC 5227, 1.1 */
#define ANNOUNCE_A_TICK	 64
#define READY_LIMIT	 (10 * USEC_PER_SEC) /* then what no port was found for gets its refusal */
#define PASSING_LIMIT	 (10 * USEC_PER_SEC)
#define ECHO_AGAIN	 (200 * USEC_PER_MSEC)
#define HELD_LIMIT	 (60 * USEC_PER_SEC)
#define PROBE_PORT_FIRST 49152

static void on_tick(void *arg);

struct core *core_new(struct loop *loop, const struct core_config *config, const struct core_io *io,
		      void *arg)
{
	struct core *core = calloc(1, sizeof *core);

	if (!core)
		return NULL;
	core->loop = loop;
	core->config = *config;
	core->io = io;
	core->arg = arg;
	core->probe_port = PROBE_PORT_FIRST;
	claims_init(&core->claims);
	TAILQ_INIT(&core->announce);
	TAILQ_INIT(&core->active);
	knocks_init(&core->knocks, config->wakes, config->wakes_each);
	core->tick = timer_new(loop, on_tick, core);
	core->stale = timer_new(loop, core_stale, core);
	if (core->tick && core->stale)
		return core;
	core_free(core);
	return NULL;
}

static void start_tick(struct core *core)
{
	if (!timer_armed(core->tick))
		timer_set(core->tick, TICK_USEC);
}

void core_activate(struct core *core, struct claim *claim)
{
	if (!claim->is_active)
		TAILQ_INSERT_TAIL(&core->active, claim, active);
	claim->is_active = true;
	start_tick(core);
}

static void deactivate(struct core *core, struct claim *claim)
{
	if (claim->is_active)
		TAILQ_REMOVE(&core->active, claim, active);
	claim->is_active = false;
}

void core_enter(struct core *core, struct claim *claim, enum claim_state state)
{
	claim->state = state;
	claim->since = loop_now(core->loop);
	core_activate(core, claim);
}

/* --- announcements ------------------------------------------------------------------------- */

void core_announce(struct core *core, const struct claim *claim)
{
	uint8_t out[FRAME_MADE_MAX];

	for (unsigned i = 0; claim->port && i < claim->address_count; i++) {
		size_t size =
			frame_make_announcement(out, &claim->addresses[i], claim->mac, claim->mac);

		core->io->transmit(core->arg, claim->port, out, size);
	}
}

void core_stop_announcing(struct core *core, struct claim *claim)
{
	if (claim->announcements)
		TAILQ_REMOVE(&core->announce, claim, announce);
	claim->announcements = 0;
}

/* At once, and once more (RFC 5227, 2.3). */
void core_start_announcing(struct core *core, struct claim *claim)
{
	core_stop_announcing(core, claim);
	claim->announcements = 2;
	claim->announce_at = loop_now(core->loop);
	/* Those that wait for their second one are later. */
	TAILQ_INSERT_HEAD(&core->announce, claim, announce);
	start_tick(core);
}

void core_announce_again(struct core *core, struct claim *claim)
{
	core_stop_announcing(core, claim);
	claim->announcements = 1;
	claim->announce_at = loop_now(core->loop) + ANNOUNCE_AGAIN;
	TAILQ_INSERT_TAIL(&core->announce, claim, announce);
	start_tick(core);
}

static void announce_due(struct core *core, uint64_t now)
{
	for (unsigned i = 0; i < ANNOUNCE_A_TICK; i++) {
		struct claim *claim = TAILQ_FIRST(&core->announce);

		if (!claim || claim->announce_at > now)
			return;
		core_announce(core, claim);
		TAILQ_REMOVE(&core->announce, claim, announce);
		claim->announce_at = now + ANNOUNCE_AGAIN;
		if (--claim->announcements)
			TAILQ_INSERT_TAIL(&core->announce, claim, announce);
	}
}

/* --- the end of a claim, and of holding ---------------------------------------------------- */

void core_forget(struct core *core, struct claim *claim)
{
	core_stop_announcing(core, claim);
	deactivate(core, claim);
	core->count.dropped += claim->hold.count;
	hold_clear(&claim->hold, &core->bytes);
	core->io->steer(core->arg, claim, CORE_STEER_FREE);
	if (claim->vif)
		core->io->close_vif(core->arg, claim->vif);
	claim_unlink(&core->claims, claim);
	free(claim);
}

void core_free(struct core *core)
{
	struct claim *claim;

	if (!core)
		return;
	while ((claim = TAILQ_FIRST(&core->claims.all)))
		core_forget(core, claim);
	timer_free(core->tick);
	timer_free(core->stale);
	free(core);
}

bool core_can_inject(const struct claim *claim)
{
	return claim->has_guest && claim->vif;
}

void core_inject(struct core *core, struct claim *claim, const uint8_t *data, size_t size)
{
	if (claim->vif)
		core->io->inject(core->arg, claim, data, size);
	else
		core->count.dropped++;
}

void core_hand_over(struct core *core, struct claim *claim, uint8_t protocol, uint16_t port)
{
	struct held *held;

	while ((held = hold_find(&claim->hold, protocol, port))) {
		core_inject(core, claim, held->data, held->size);
		core->count.handed++;
		hold_remove(&claim->hold, held, &core->bytes);
	}
}

void core_hand_over_echoes(struct core *core, struct claim *claim)
{
	uint64_t now = loop_now(core->loop);
	struct held *held;

	TAILQ_FOREACH(held, &claim->hold.list, entry) {
		if (!held_is_echo(held) || (held->handed && now - held->handed < ECHO_AGAIN))
			continue;
		core_inject(core, claim, held->data, held->size);
		core->count.handed += !held->handed;
		held->handed = now;
	}
}

static void step_aside(struct core *core, struct claim *claim)
{
	core_stop_announcing(core, claim);
	core->io->steer(core->arg, claim, CORE_STEER_GUEST);
	core_enter(core, claim, CLAIM_PASSING);
	log_debug("%s: stepped aside", claim->service);
}

void core_step_aside_if_done(struct core *core, struct claim *claim)
{
	if (claim->state == CLAIM_READY && claim->hold.count == 0 && claim->listening_count)
		step_aside(core, claim);
}

/* --- probing ------------------------------------------------------------------------------- */

/* Asks the guest for its address, and with `port` whether it listens there. The answers pass by
 * core_heard. From an address of ours if there is one; else in the name of the client, which
 * takes no notice of what comes of it. */
static void probe(struct core *core, struct claim *claim, const struct held *held)
{
	struct address to, from;
	uint8_t out[FRAME_MADE_MAX], mac[FRAME_MAC];
	struct frame f;
	size_t size;

	frame_parse(&f, held->data, held->size);
	to = f.to;
	if (!claim->port || !core->io->port_address(core->arg, claim->port, &to, &from, mac)) {
		from = held->from;
		memcpy(mac, held->mac, FRAME_MAC);
	}
	size = frame_make_question(out, mac, claim->mac, &from, &to);
	if (!claim->alive) /* else it has been asked, and knows us */
		core_inject(core, claim, out, size);
	if (held->protocol != FRAME_TCP)
		return;
	if (++core->probe_port == 0)
		core->probe_port = PROBE_PORT_FIRST;
	size = frame_make_syn(out, mac, claim->mac, &from, core->probe_port, &to, held->to_port,
			      arc4random());
	core_inject(core, claim, out, size);
}

/* One probe for each port that is waited for, and one for those who wait for an echo. */
static void probe_all(struct core *core, struct claim *claim)
{
	uint16_t done[CLAIM_PORTS_MAX];
	unsigned count = 0;
	struct held *held;

	TAILQ_FOREACH(held, &claim->hold.list, entry) {
		unsigned i = 0;

		while (i < count && done[i] != held->to_port)
			i++;
		if (i < count || count == CLAIM_PORTS_MAX)
			continue;
		done[count++] = held->to_port;
		probe(core, claim, held);
	}
}

static void probe_if_due(struct core *core, struct claim *claim, uint64_t now)
{
	if (claim->hold.count == 0 || !core_can_inject(claim) || claim->next_probe > now)
		return;
	probe_all(core, claim);
	claim->next_probe = now + (now - claim->since > PROBE_LONG ? PROBE_SLOW_USEC : PROBE_USEC);
}

/* A guest that was said to be up does not take what still waits: its senders are to hear it. */
static void give_up(struct core *core, struct claim *claim)
{
	struct held *held;

	while ((held = TAILQ_FIRST(&claim->hold.list))) {
		core_inject(core, claim, held->data, held->size);
		core->count.handed += !held->handed;
		hold_remove(&claim->hold, held, &core->bytes);
	}
	step_aside(core, claim);
}

/* What nobody came for is dropped: its sender has long given up. */
static void expire(struct core *core, struct claim *claim, uint64_t now)
{
	if (now - claim->last_kept < HELD_LIMIT)
		return;
	core->count.dropped += claim->hold.count;
	hold_clear(&claim->hold, &core->bytes);
}

static void tick(struct core *core, struct claim *claim, uint64_t now)
{
	if (claim->alive)
		core_hand_over_echoes(core, claim);
	switch (claim->state) {
	case CLAIM_ASLEEP:
	case CLAIM_BOOTING:
		probe_if_due(core, claim, now);
		expire(core, claim, now);
		if (claim->hold.count == 0)
			deactivate(core, claim);
		break;
	case CLAIM_READY:
		probe_if_due(core, claim, now);
		if (now - claim->since >= READY_LIMIT)
			give_up(core, claim);
		break;
	case CLAIM_PASSING:
		if (now - claim->since >= PASSING_LIMIT)
			core_forget(core, claim);
		break;
	}
}

static void on_tick(void *arg)
{
	struct core *core = arg;
	uint64_t now = loop_now(core->loop);
	struct claim *claim, *next;

	announce_due(core, now);
	for (claim = TAILQ_FIRST(&core->active); claim; claim = next) {
		next = TAILQ_NEXT(claim, active);
		tick(core, claim, now);
	}
	if (!TAILQ_EMPTY(&core->active) || !TAILQ_EMPTY(&core->announce))
		start_tick(core);
}

void core_counters(const struct core *core, struct synjitsu_counters *out)
{
	const struct claim *claim;

	*out = core->count;
	out->claims = (uint32_t)core->claims.count;
	out->held = 0;
	TAILQ_FOREACH(claim, &core->claims.all, entry)
		out->held += claim->hold.count;
}
