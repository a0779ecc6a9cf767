/* What is done with frames: from the network, and out of a guest. */
#include "synjitsu/core.h"

#include <string.h>

#include "base/log.h"
#include "base/loop.h"
#include "synjitsu/inside.h"

#define KNOCK_USEC  (500 * USEC_PER_MSEC) /* between knocks of one claim */
#define DEFEND_USEC USEC_PER_SEC

/* Tells jitsud of a packet for a sleeping service. False if it may not wake it. */
static bool knock(struct core *core, struct claim *claim, const struct frame *f)
{
	uint64_t now = loop_now(core->loop);
	uint16_t port = f->kind == FRAME_IP ? f->to_port : 0;
	struct synjitsu_knock m = { .id = claim->id,
				    .protocol = f->kind == FRAME_IP ? f->protocol : 0,
				    .port = port,
				    .source = { f->from.bytes, (uint32_t)address_size(&f->from) } };

	if (!claim_wakes(claim, port))
		return false;
	if (now < claim->next_knock)
		return true;
	if (!knocks_allow(&core->knocks, &f->from, now)) {
		core->count.refused_knocks++;
		return false;
	}
	claim->next_knock = now + KNOCK_USEC;
	core->count.knocks++;
	core->io->knock(core->arg, &m);
	return true;
}

static void keep(struct core *core, struct claim *claim, const struct frame *f)
{
	enum hold_result result = HOLD_FULL;

	if (claim->state != CLAIM_ASLEEP || knock(core, claim, f))
		result = hold_add(&claim->hold, f, &core->bytes);
	core->count.held_all += result == HOLD_KEPT;
	core->count.folded += result == HOLD_FOLDED;
	core->count.dropped += result == HOLD_FULL;
	claim->last_kept = loop_now(core->loop);
	core_activate(core, claim);
}

static void pass(struct core *core, struct claim *claim, const struct frame *f)
{
	if (!core_can_inject(claim)) {
		core->count.dropped++;
		return;
	}
	core->count.passed++;
	core_inject(core, claim, f->data, f->size);
}

static bool is_syn(const struct frame *f)
{
	return f->protocol == FRAME_TCP &&
	       (f->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
}

static void on_ip(struct core *core, struct claim *claim, const struct frame *f)
{
	bool up = claim->state == CLAIM_PASSING;

	if (memcmp(f->destination, claim->mac, FRAME_MAC) != 0)
		return;
	if (is_syn(f))
		up |= claim_listens(claim, f->to_port);
	else if (f->echo)
		up |= claim->alive;
	else if (f->protocol == FRAME_UDP && core->config.udp)
		up |= claim->state == CLAIM_READY;
	else
		up = true;
	if (f->protocol == FRAME_TCP && f->tcp_flags & TCP_RST)
		hold_cancel(&claim->hold, f, &core->bytes);
	if (up && (claim->state != CLAIM_ASLEEP))
		pass(core, claim, f);
	else if (is_syn(f) || f->echo || (f->protocol == FRAME_UDP && core->config.udp))
		keep(core, claim, f);
	else
		core->count.dropped++;
}

/* Somebody asks for an address that we hold. The guest itself, on its way up, tries whether its
 * address is free: it is. */
static void on_question(struct core *core, struct claim *claim, const struct frame *f)
{
	uint8_t out[FRAME_MADE_MAX];

	if (memcmp(f->source, claim->mac, FRAME_MAC) == 0)
		return;
	if (claim->alive || claim->state == CLAIM_PASSING) {
		/* It answers for itself; what was sent to all has reached it. */
		if (memcmp(f->destination, claim->mac, FRAME_MAC) == 0)
			pass(core, claim, f);
		return;
	}
	core->io->transmit(
		core->arg, claim->port, out,
		frame_make_reply(out, f, core->io->port_mac(core->arg, claim->port), claim->mac));
	if (claim->state == CLAIM_ASLEEP && claim->port_count == 0)
		knock(core, claim, f);
}

/* Somebody else says that the address is his: RFC 5227, 2.4 (b) and, as nobody here gives way, (c).
 */
static void on_conflict(struct core *core, struct claim *claim)
{
	uint64_t now = loop_now(core->loop);

	if (claim->state == CLAIM_PASSING || now < claim->next_defence)
		return;
	claim->next_defence = now + DEFEND_USEC;
	core->count.defended++;
	/* At once, and again: who heard the other one takes no second word within a second. */
	core_announce(core, claim);
	core_announce_again(core, claim);
	core->io->steer(core->arg, claim, CORE_STEER_HERE);
	log_warning("%s: another machine uses its address", claim->service);
}

static struct claim *find(struct core *core, struct port *port, const struct address *address)
{
	struct claim *claim = claim_by_address(&core->claims, address);

	return claim && claim->port == port ? claim : NULL;
}

void core_received(struct core *core, struct port *port, const uint8_t *data, size_t size)
{
	struct claim *claim, *sender;
	struct frame f;

	frame_parse(&f, data, size);
	switch (f.kind) {
	case FRAME_OTHER:
		return;
	case FRAME_ARP:
	case FRAME_ADVERT:
		sender = find(core, port, f.kind == FRAME_ARP ? &f.from : &f.to);
		if (sender && f.link && memcmp(f.link, sender->mac, FRAME_MAC) != 0)
			on_conflict(core, sender);
		if (f.kind == FRAME_ADVERT || !f.request || address_equal(&f.from, &f.to))
			break; /* it asks nothing */
			       /* fall through */
	case FRAME_SOLICIT:
		claim = find(core, port, &f.to);
		if (claim)
			on_question(core, claim, &f);
		return;
	case FRAME_IP:
		claim = find(core, port, &f.to);
		if (claim) {
			on_ip(core, claim, &f);
			return;
		}
		break;
	}
	/* What else is for its MAC is nobody's but the guest's: another address, a router's word. */
	claim = claim_by_mac(&core->claims, f.destination);
	if (claim && claim->port == port)
		pass(core, claim, &f);
}

/* --- what comes out of the guest ----------------------------------------------------------- */

static bool owns(const struct claim *claim, const struct address *address)
{
	for (unsigned i = 0; i < claim->address_count; i++)
		if (address_equal(&claim->addresses[i], address))
			return true;
	return false;
}

void core_heard(struct core *core, struct claim *claim, const uint8_t *data, size_t size)
{
	struct frame f;

	frame_parse(&f, data, size);
	if (!claim->has_guest || f.kind == FRAME_OTHER ||
	    !owns(claim, f.kind == FRAME_ADVERT ? &f.to : &f.from))
		return;
	if (!claim->alive) {
		claim->alive = true;
		core_stop_announcing(core, claim);
		core_hand_over_echoes(core, claim);
	}
	if (f.echo_reply)
		hold_remove_echoes(&claim->hold, &f.to, &core->bytes);
	if (f.protocol == FRAME_TCP && (f.tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK)) {
		claim_set_listening(claim, f.from_port);
		core_hand_over(core, claim, FRAME_TCP, f.from_port);
	}
	core_step_aside_if_done(core, claim);
}
