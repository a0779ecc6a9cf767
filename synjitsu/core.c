#include "core.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/loop.h"
#include "synjitsu/knocks.h"

#define PROBE_USEC	 (5 * USEC_PER_MSEC)
#define PROBE_SLOW_USEC	 (50 * USEC_PER_MSEC) /* after a guest has taken PROBE_LONG */
#define PROBE_LONG	 (20 * USEC_PER_SEC)
#define TICK_USEC	 PROBE_USEC
#define KNOCK_USEC	 (500 * USEC_PER_MSEC) /* between knocks of one claim */
#define DEFEND_USEC	 USEC_PER_SEC
#define ANNOUNCE_AGAIN	 (2 * USEC_PER_SEC) /* RFC 5227, 1.1 */
#define ANNOUNCE_A_TICK	 64
#define READY_LIMIT	 (10 * USEC_PER_SEC) /* then what no port was found for gets its refusal */
#define PASSING_LIMIT	 (10 * USEC_PER_SEC)
#define HELD_LIMIT	 (60 * USEC_PER_SEC)
#define STALE_LIMIT	 (10 * USEC_PER_SEC)
#define ALONE_LIMIT	 (60 * USEC_PER_SEC)
#define PROBE_PORT_FIRST 49152

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

static void on_tick(void *arg);
static void on_stale(void *arg);

struct core *core_new(struct loop *loop, const struct core_config *config,
		      const struct core_io *io, void *arg)
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
	core->stale = timer_new(loop, on_stale, core);
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

static void activate(struct core *core, struct claim *claim)
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

static void enter(struct core *core, struct claim *claim, enum claim_state state)
{
	claim->state = state;
	claim->since = loop_now(core->loop);
	activate(core, claim);
}

/* --- announcements ------------------------------------------------------------------------- */

static void announce(struct core *core, const struct claim *claim)
{
	uint8_t out[FRAME_MADE_MAX];

	for (unsigned i = 0; claim->port && i < claim->address_count; i++) {
		size_t size = frame_make_announcement(out, &claim->addresses[i], claim->mac,
						      claim->mac);

		core->io->transmit(core->arg, claim->port, out, size);
	}
}

static void stop_announcing(struct core *core, struct claim *claim)
{
	if (claim->announcements)
		TAILQ_REMOVE(&core->announce, claim, announce);
	claim->announcements = 0;
}

/* At once, and once more (RFC 5227, 2.3). */
static void start_announcing(struct core *core, struct claim *claim)
{
	stop_announcing(core, claim);
	claim->announcements = 2;
	claim->announce_at = loop_now(core->loop);
	/* Those that wait for their second one are later. */
	TAILQ_INSERT_HEAD(&core->announce, claim, announce);
	start_tick(core);
}

static void announce_due(struct core *core, uint64_t now)
{
	for (unsigned i = 0; i < ANNOUNCE_A_TICK; i++) {
		struct claim *claim = TAILQ_FIRST(&core->announce);

		if (!claim || claim->announce_at > now)
			return;
		announce(core, claim);
		TAILQ_REMOVE(&core->announce, claim, announce);
		claim->announce_at = now + ANNOUNCE_AGAIN;
		if (--claim->announcements)
			TAILQ_INSERT_TAIL(&core->announce, claim, announce);
	}
}

/* --- the end of a claim, and of holding ---------------------------------------------------- */

static void forget(struct core *core, struct claim *claim)
{
	stop_announcing(core, claim);
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
		forget(core, claim);
	timer_free(core->tick);
	timer_free(core->stale);
	free(core);
}

static bool can_inject(const struct claim *claim)
{
	return claim->has_guest && (claim->vif || claim->port);
}

/* Without an interface to listen at, a guest that answers draws the bridge to itself: it is not to
 * be asked before it is said to be up. */
static bool can_probe(const struct claim *claim)
{
	return claim->vif || (can_inject(claim) && claim->state == CLAIM_READY);
}

static void inject(struct core *core, struct claim *claim, const uint8_t *data, size_t size)
{
	core->io->inject(core->arg, claim, data, size);
}

/* Hands over, in order, what waits of a protocol, for a port or for any (0). */
static void hand_over(struct core *core, struct claim *claim, uint8_t protocol, uint16_t port)
{
	struct held *held;

	while ((held = hold_find(&claim->hold, protocol, port))) {
		inject(core, claim, held->data, held->size);
		core->count.handed++;
		hold_remove(&claim->hold, held, &core->bytes);
	}
}

static void step_aside(struct core *core, struct claim *claim)
{
	stop_announcing(core, claim);
	core->io->steer(core->arg, claim, CORE_STEER_GUEST);
	enter(core, claim, CLAIM_PASSING);
	log_debug("%s: stepped aside", claim->service);
}

static void step_aside_if_done(struct core *core, struct claim *claim)
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
	if (claim->alive)
		; /* it has been asked, and knows us */
	else if (claim->vif)
		inject(core, claim, out, size);
	else /* to all, so that the guest hears it wherever the bridge believes it to be */
		core->io->transmit(core->arg, claim->port, out,
				   frame_to_all(out, size));
	if (held->protocol != FRAME_TCP)
		return;
	if (++core->probe_port == 0)
		core->probe_port = PROBE_PORT_FIRST;
	size = frame_make_syn(out, mac, claim->mac, &from, core->probe_port, &to, held->to_port,
			      arc4random());
	inject(core, claim, out, size);
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
	if (claim->hold.count == 0 || !can_probe(claim) || claim->next_probe > now)
		return;
	probe_all(core, claim);
	claim->next_probe = now + (now - claim->since > PROBE_LONG ? PROBE_SLOW_USEC : PROBE_USEC);
}

/* A guest that was said to be up does not take what still waits: its senders are to hear it. */
static void give_up(struct core *core, struct claim *claim)
{
	struct held *held;

	while ((held = TAILQ_FIRST(&claim->hold.list))) {
		inject(core, claim, held->data, held->size);
		core->count.handed++;
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
			forget(core, claim);
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

/* --- what comes from the network ----------------------------------------------------------- */

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
	activate(core, claim);
}

static void pass(struct core *core, struct claim *claim, const struct frame *f)
{
	if (!can_inject(claim)) {
		core->count.dropped++;
		return;
	}
	core->count.passed++;
	inject(core, claim, f->data, f->size);
}

static bool is_syn(const struct frame *f)
{
	return f->protocol == FRAME_TCP && (f->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
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
	core->io->transmit(core->arg, claim->port, out,
			   frame_make_reply(out, f, core->io->port_mac(core->arg, claim->port),
					    claim->mac));
	if (claim->state == CLAIM_ASLEEP && claim->port_count == 0)
		knock(core, claim, f);
}

/* Somebody else says that the address is his: RFC 5227, 2.4 (b) and, as nobody here gives way, (c). */
static void on_conflict(struct core *core, struct claim *claim)
{
	uint64_t now = loop_now(core->loop);

	if (claim->state == CLAIM_PASSING || now < claim->next_defence)
		return;
	claim->next_defence = now + DEFEND_USEC;
	core->count.defended++;
	announce(core, claim);
	core->io->steer(core->arg, claim, CORE_STEER_HERE);
	log_warning("%s: another machine uses its address", claim->service);
}

static struct claim *find(struct core *core, struct port *port, const struct address *address)
{
	struct claim *claim = claim_by_address(&core->claims, address);

	return claim && claim->port == port ? claim : NULL;
}

/* Without an interface of the guest's to listen at, its answers come in like anybody's. */
static bool is_answer(const struct claim *claim, const struct frame *f)
{
	return claim && claim->has_guest && !claim->vif &&
	       memcmp(f->source, claim->mac, FRAME_MAC) == 0;
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
		if (is_answer(sender, &f))
			core_heard(core, sender, data, size);
		else if (sender && f.link && memcmp(f.link, sender->mac, FRAME_MAC) != 0)
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
		sender = find(core, port, &f.from);
		if (is_answer(sender, &f))
			core_heard(core, sender, data, size);
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
	if (!claim->has_guest || f.kind == FRAME_OTHER || !owns(claim, f.kind == FRAME_ADVERT ? &f.to : &f.from))
		return;
	if (!claim->alive) {
		claim->alive = true;
		stop_announcing(core, claim);
		hand_over(core, claim, FRAME_ICMP, 0);
		hand_over(core, claim, FRAME_ICMP6, 0);
	}
	if (f.protocol == FRAME_TCP && (f.tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK)) {
		claim_set_listening(claim, f.from_port);
		hand_over(core, claim, FRAME_TCP, f.from_port);
	}
	/* It does not listen there yet: draw the bridge back here. */
	if (!claim->vif && f.protocol == FRAME_TCP && f.tcp_flags & TCP_RST &&
	    claim->hold.count && claim->state == CLAIM_READY)
		announce(core, claim);
	step_aside_if_done(core, claim);
}

/* --- jitsud's words ------------------------------------------------------------------------ */

static void on_hello(void *arg, const struct synjitsu_hello *m)
{
	struct core *core = arg;
	struct claim *claim;

	log_info("jitsud speaks version %u", m->version);
	TAILQ_FOREACH(claim, &core->claims.all, entry)
		claim->stale = true;
	timer_set(core->stale, STALE_LIMIT);
}

void core_alone(struct core *core)
{
	struct claim *claim;

	TAILQ_FOREACH(claim, &core->claims.all, entry)
		claim->stale = true;
	timer_set(core->stale, ALONE_LIMIT);
}

static void on_stale(void *arg)
{
	struct core *core = arg;
	struct claim *claim, *next;

	for (claim = TAILQ_FIRST(&core->claims.all); claim; claim = next) {
		next = TAILQ_NEXT(claim, entry);
		if (claim->stale)
			forget(core, claim);
	}
}

static void copy_text(char *out, size_t room, struct bytes text)
{
	size_t size = text.size < room ? text.size : room - 1;

	if (size)
		memcpy(out, text.data, size);
	out[size] = 0;
}

static bool set_addresses(struct claim *claim, struct bytes b)
{
	claim->address_count = 0;
	while (b.size) {
		struct address *address = &claim->addresses[claim->address_count];
		uint32_t size = b.data[0] == 4 ? 5 : b.data[0] == 6 ? 17 : 0;

		if (!size || size > b.size || claim->address_count == CLAIM_ADDRESSES_MAX)
			return false;
		memset(address, 0, sizeof *address);
		address->family = b.data[0];
		memcpy(address->bytes, b.data + 1, size - 1);
		claim->address_count++;
		b.data += size;
		b.size -= size;
	}
	return true;
}

static void set_ports(struct claim *claim, struct bytes b)
{
	claim->port_count = 0;
	for (; b.size > 1 && claim->port_count < CLAIM_PORTS_MAX; b.data += 2, b.size -= 2)
		claim->ports[claim->port_count++] = (uint16_t)(b.data[0] << 8 | b.data[1]);
}

/* It sleeps or starts anew: what was known of the guest is the past's. */
static void drop_guest(struct core *core, struct claim *claim)
{
	if (claim->vif)
		core->io->close_vif(core->arg, claim->vif);
	claim->vif = NULL;
	claim->has_guest = claim->alive = false;
	claim->listening_count = 0;
}

static void on_claim(void *arg, const struct synjitsu_claim *m)
{
	struct core *core = arg;
	struct claim *claim = claim_by_id(&core->claims, m->id);
	bool known = claim;

	if (known) {
		claim_unlink(&core->claims, claim);
		drop_guest(core, claim);
	} else if (!(claim = claim_new(m->id))) {
		log_error("no memory for a claim");
		return;
	}
	copy_text(claim->service, sizeof claim->service, m->service);
	copy_text(claim->bridge, sizeof claim->bridge, m->bridge);
	memcpy(claim->mac, m->mac, FRAME_MAC);
	set_ports(claim, m->ports);
	if (!set_addresses(claim, m->addresses))
		log_warning("%s: of its addresses only %u are held", claim->service,
			    claim->address_count);
	claim->port = core->io->find_port(core->arg, claim->bridge);
	claim->stale = false;
	claim->next_knock = claim->next_probe = 0;
	claim_link(&core->claims, claim);
	enter(core, claim, m->awake ? CLAIM_BOOTING : CLAIM_ASLEEP);
	if (!claim->port) {
		log_warning("%s: bridge %s is not served here", claim->service, claim->bridge);
		return;
	}
	core->io->steer(core->arg, claim, CORE_STEER_HERE);
	if (!known || !m->awake)
		start_announcing(core, claim);
}

static void on_guest(void *arg, const struct synjitsu_guest *m)
{
	struct core *core = arg;
	struct claim *claim = claim_by_id(&core->claims, m->id);
	char name[CLAIM_NAME_MAX];

	if (!claim || claim->state == CLAIM_PASSING)
		return;
	copy_text(name, sizeof name, m->vif);
	if (claim->vif && strcmp(name, claim->vif_name) == 0)
		return;
	memcpy(claim->vif_name, name, sizeof name);
	if (claim->vif)
		core->io->close_vif(core->arg, claim->vif);
	claim->vif = *name ? core->io->open_vif(core->arg, claim, name) : NULL;
	claim->has_guest = true;
	if (claim->state == CLAIM_ASLEEP)
		enter(core, claim, CLAIM_BOOTING);
	activate(core, claim);
}

static void on_ready(void *arg, const struct synjitsu_ready *m)
{
	struct core *core = arg;
	struct claim *claim = claim_by_id(&core->claims, m->id);

	if (!claim || claim->state == CLAIM_PASSING)
		return;
	claim->has_guest = true;
	enter(core, claim, CLAIM_READY);
	if (m->port) {
		claim_set_listening(claim, m->port);
		hand_over(core, claim, FRAME_TCP, m->port);
	}
	hand_over(core, claim, FRAME_UDP, 0);
	step_aside_if_done(core, claim);
}

static void on_forget(void *arg, const struct synjitsu_forget *m)
{
	struct core *core = arg;
	struct claim *claim = claim_by_id(&core->claims, m->id);

	if (claim)
		forget(core, claim);
}

const struct synjitsu_handlers *core_handlers(void)
{
	static const struct synjitsu_handlers handlers = {
		.hello = on_hello,
		.claim = on_claim,
		.guest = on_guest,
		.ready = on_ready,
		.forget = on_forget,
	};

	return &handlers;
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
