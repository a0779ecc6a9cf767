#include "claim.h"

#include <stdlib.h>
#include <string.h>

void claims_init(struct claims *claims)
{
	memset(claims, 0, sizeof *claims);
	TAILQ_INIT(&claims->all);
}

/* FNV-1a: the keys come from jitsud, not from the network. */
static uint32_t hash(const uint8_t *bytes, size_t size)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < size; i++)
		h = (h ^ bytes[i]) * 16777619u;
	return h % CLAIM_BUCKETS;
}

static struct claim *find(const struct claims *claims, const uint8_t *bytes, size_t size)
{
	const struct claim_key *key;

	LIST_FOREACH(key, &claims->buckets[hash(bytes, size)], entry)
		if (key->size == size && memcmp(key->bytes, bytes, size) == 0)
			return key->claim;
	return NULL;
}

static size_t address_key(uint8_t out[17], const struct address *address)
{
	out[0] = address->family;
	memcpy(out + 1, address->bytes, address_size(address));
	return 1 + address_size(address);
}

struct claim *claim_by_id(const struct claims *claims, uint32_t id)
{
	uint8_t bytes[sizeof id];

	memcpy(bytes, &id, sizeof id);
	return find(claims, bytes, sizeof bytes);
}

struct claim *claim_by_address(const struct claims *claims, const struct address *address)
{
	uint8_t bytes[17];

	return find(claims, bytes, address_key(bytes, address));
}

struct claim *claim_by_mac(const struct claims *claims, const uint8_t *mac)
{
	return find(claims, mac, FRAME_MAC);
}

struct claim *claim_new(uint32_t id)
{
	struct claim *claim = calloc(1, sizeof *claim);

	if (!claim)
		return NULL;
	claim->id = id;
	hold_init(&claim->hold);
	return claim;
}

static void link_key(struct claims *claims, struct claim *claim, unsigned i, const uint8_t *bytes,
		     size_t size)
{
	struct claim_key *key = &claim->keys[i];

	key->claim = claim;
	key->size = (uint8_t)size;
	memcpy(key->bytes, bytes, size);
	LIST_INSERT_HEAD(&claims->buckets[hash(bytes, size)], key, entry);
}

void claim_link(struct claims *claims, struct claim *claim)
{
	uint8_t bytes[17];

	memcpy(bytes, &claim->id, sizeof claim->id);
	link_key(claims, claim, 0, bytes, sizeof claim->id);
	link_key(claims, claim, 1, claim->mac, FRAME_MAC);
	for (unsigned i = 0; i < claim->address_count; i++)
		link_key(claims, claim, i + 2, bytes, address_key(bytes, &claim->addresses[i]));
	TAILQ_INSERT_TAIL(&claims->all, claim, entry);
	claims->count++;
}

void claim_unlink(struct claims *claims, struct claim *claim)
{
	for (unsigned i = 0; i < claim->address_count + 2; i++)
		LIST_REMOVE(&claim->keys[i], entry);
	TAILQ_REMOVE(&claims->all, claim, entry);
	claims->count--;
}

static bool among(const uint16_t *ports, unsigned count, uint16_t port)
{
	for (unsigned i = 0; i < count; i++)
		if (ports[i] == port)
			return true;
	return false;
}

bool claim_listens(const struct claim *claim, uint16_t port)
{
	return among(claim->listening, claim->listening_count, port);
}

void claim_set_listening(struct claim *claim, uint16_t port)
{
	if (claim_listens(claim, port))
		return;
	/* More than there is room for are probed each time. */
	if (claim->listening_count == CLAIM_PORTS_MAX)
		return;
	claim->listening[claim->listening_count++] = port;
}

bool claim_wakes(const struct claim *claim, uint16_t port)
{
	return claim->port_count == 0 || among(claim->ports, claim->port_count, port);
}
