/* What is done with the words of jitsud. */
#include "synjitsu/core.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/loop.h"
#include "synjitsu/inside.h"

#define STALE_LIMIT (10 * USEC_PER_SEC)
#define ALONE_LIMIT (60 * USEC_PER_SEC)

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

void core_stale(void *arg)
{
	struct core *core = arg;
	struct claim *claim, *next;

	for (claim = TAILQ_FIRST(&core->claims.all); claim; claim = next) {
		next = TAILQ_NEXT(claim, entry);
		if (claim->stale)
			core_forget(core, claim);
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
	core_enter(core, claim, m->awake ? CLAIM_BOOTING : CLAIM_ASLEEP);
	if (!claim->port) {
		log_warning("%s: bridge %s is not served here", claim->service, claim->bridge);
		return;
	}
	core->io->steer(core->arg, claim, CORE_STEER_HERE);
	if (!known || !m->awake)
		core_start_announcing(core, claim);
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
		core_enter(core, claim, CLAIM_BOOTING);
	core_activate(core, claim);
}

static void on_ready(void *arg, const struct synjitsu_ready *m)
{
	struct core *core = arg;
	struct claim *claim = claim_by_id(&core->claims, m->id);

	if (!claim || claim->state == CLAIM_PASSING)
		return;
	claim->has_guest = true;
	core_enter(core, claim, CLAIM_READY);
	if (m->port) {
		claim_set_listening(claim, m->port);
		core_hand_over(core, claim, FRAME_TCP, m->port);
	}
	core_hand_over(core, claim, FRAME_UDP, 0);
	core_step_aside_if_done(core, claim);
}

/* What came out of a guest of another domain. */
static void on_heard(void *arg, const struct synjitsu_heard *m)
{
	struct core *core = arg;
	struct claim *claim = claim_by_id(&core->claims, m->id);

	if (claim && claim->vif)
		core_heard(core, claim, m->frame.data, m->frame.size);
}

static void on_forget(void *arg, const struct synjitsu_forget *m)
{
	struct core *core = arg;
	struct claim *claim = claim_by_id(&core->claims, m->id);

	if (claim)
		core_forget(core, claim);
}

const struct synjitsu_handlers *core_handlers(void)
{
	static const struct synjitsu_handlers handlers = {
		.hello = on_hello,
		.claim = on_claim,
		.guest = on_guest,
		.ready = on_ready,
		.forget = on_forget,
		.heard = on_heard,
	};

	return &handlers;
}
