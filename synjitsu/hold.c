#include "hold.h"

#include <stdlib.h>
#include <string.h>

void hold_init(struct hold *hold)
{
	TAILQ_INIT(&hold->list);
	hold->count = 0;
}

bool held_is_echo(const struct held *held)
{
	return held->protocol == FRAME_ICMP || held->protocol == FRAME_ICMP6;
}

static bool same_flow(const struct held *held, const struct frame *f)
{
	return held->protocol == f->protocol && held->from_port == f->from_port &&
	       held->to_port == f->to_port && address_equal(&held->from, &f->from);
}

static struct held *find_syn(const struct hold *hold, const struct frame *f, unsigned *of_client)
{
	struct held *held, *found = NULL;

	*of_client = 0;
	TAILQ_FOREACH(held, &hold->list, entry) {
		*of_client += address_equal(&held->from, &f->from);
		if (f->protocol == FRAME_TCP && same_flow(held, f))
			found = held;
	}
	return found;
}

enum hold_result hold_add(struct hold *hold, const struct frame *f, size_t *bytes)
{
	size_t room = sizeof(struct held) + f->size;
	unsigned of_client;
	struct held *old = find_syn(hold, f, &of_client), *held;

	if (!old && (hold->count == HOLD_PER_GUEST || of_client >= HOLD_PER_CLIENT))
		return HOLD_FULL;
	held = room > HOLD_BYTES_MAX - *bytes ? NULL : malloc(room);
	if (!held)
		return old ? HOLD_FOLDED : HOLD_FULL;
	held->from = f->from;
	memcpy(held->mac, f->source, FRAME_MAC);
	held->protocol = f->protocol;
	held->from_port = f->from_port;
	held->to_port = f->to_port;
	held->handed = 0;
	held->size = f->size;
	memcpy(held->data, f->data, f->size);
	*bytes += room;
	hold->count++;
	if (!old) {
		TAILQ_INSERT_TAIL(&hold->list, held, entry);
		return HOLD_KEPT;
	}
	TAILQ_INSERT_AFTER(&hold->list, old, held, entry);
	hold_remove(hold, old, bytes);
	return HOLD_FOLDED;
}

struct held *hold_find(const struct hold *hold, uint8_t protocol, uint16_t port)
{
	struct held *held;

	TAILQ_FOREACH(held, &hold->list, entry)
		if (held->protocol == protocol && (!port || held->to_port == port))
			return held;
	return NULL;
}

void hold_remove(struct hold *hold, struct held *held, size_t *bytes)
{
	TAILQ_REMOVE(&hold->list, held, entry);
	hold->count--;
	*bytes -= sizeof *held + held->size;
	free(held);
}

bool hold_cancel(struct hold *hold, const struct frame *f, size_t *bytes)
{
	unsigned of_client;
	struct held *held = find_syn(hold, f, &of_client);

	if (held)
		hold_remove(hold, held, bytes);
	return held;
}

void hold_remove_echoes(struct hold *hold, const struct address *from, size_t *bytes)
{
	struct held *held, *next;

	for (held = TAILQ_FIRST(&hold->list); held; held = next) {
		next = TAILQ_NEXT(held, entry);
		if (held_is_echo(held) && address_equal(&held->from, from))
			hold_remove(hold, held, bytes);
	}
}

void hold_clear(struct hold *hold, size_t *bytes)
{
	struct held *held;

	while ((held = TAILQ_FIRST(&hold->list)))
		hold_remove(hold, held, bytes);
}
