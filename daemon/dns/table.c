#include "dns/table.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "dns/hash.h"
#include "dns/wire.h"
#include "proto/usage.h"

#define SLOTS_MIN 64u
#define NAMES_MAX 256u /* of one service */
#define ADDRESSES_MAX 1024u

/* Open addressing, linear probing, at most 5/8 full; a removal moves its followers up. */
struct slot {
	uint32_t hash;
	struct table_name *name;
};

struct table {
	struct slot *slots;
	uint32_t mask, used;
	uint32_t wildcards;
	uint64_t key;
	struct table_service **services; /* by id */
	uint32_t room;
	size_t count;
};

struct table *table_new(void)
{
	struct table *table = calloc(1, sizeof *table);

	if (!table)
		return NULL;
	table->slots = calloc(SLOTS_MIN, sizeof *table->slots);
	if (!table->slots) {
		free(table);
		return NULL;
	}
	table->mask = SLOTS_MIN - 1;
	arc4random_buf(&table->key, sizeof table->key);
	return table;
}

void table_drop(struct table_service *service)
{
	free(service);
}

void table_free(struct table *table)
{
	if (!table)
		return;
	for (uint32_t id = 0; id < table->room; id++)
		table_drop(table->services[id]);
	for (uint32_t i = 0; i <= table->mask; i++) {
		if (!table->slots[i].name)
			continue;
		free(table->slots[i].name->services);
		free(table->slots[i].name);
	}
	free(table->services);
	free(table->slots);
	free(table);
}

static struct table_name *lookup(const struct table *table, const uint8_t *wire, size_t size)
{
	uint32_t hash = (uint32_t)hash_bytes(table->key, wire, size);

	for (uint32_t i = hash;; i++) {
		const struct slot *slot = &table->slots[i & table->mask];

		if (!slot->name)
			return NULL;
		if (slot->hash == hash && slot->name->size == size &&
		    memcmp(slot->name->wire, wire, size) == 0)
			return slot->name;
	}
}

static bool is_wildcard(const uint8_t *wire)
{
	return wire[0] == 1 && wire[1] == '*';
}

static const uint8_t *parent(const uint8_t *wire, size_t *size)
{
	*size -= wire[0] + 1u;
	return wire + wire[0] + 1;
}

/* The closest encloser, the longest ancestor that exists, decides: only the wildcard right below
 * it covers the name. */
static struct table_name *find_wildcard(const struct table *table, const uint8_t *wire, size_t size)
{
	uint8_t star[WIRE_NAME_MAX + 2] = { 1, '*' };

	while (size > 1) {
		wire = parent(wire, &size);
		if (!lookup(table, wire, size))
			continue;
		memcpy(star + 2, wire, size);
		return lookup(table, star, size + 2);
	}
	return NULL;
}

struct table_name *table_find(const struct table *table, const uint8_t *name, size_t size)
{
	struct table_name *found = lookup(table, name, size);

	if (!found && table->wildcards)
		found = find_wildcard(table, name, size);
	return found && found->service_count ? found : NULL;
}

static void place(struct table *table, struct table_name *name)
{
	uint32_t i = name->hash;

	while (table->slots[i & table->mask].name)
		i++;
	table->slots[i & table->mask] = (struct slot){ name->hash, name };
}

static void grow(struct table *table)
{
	struct slot *old = table->slots;
	uint32_t size = table->mask + 1;

	table->slots = calloc((size_t)size * 2, sizeof *table->slots);
	if (!table->slots)
		abort();
	table->mask = size * 2 - 1;
	for (uint32_t i = 0; i < size; i++)
		if (old[i].name)
			place(table, old[i].name);
	free(old);
}

static struct table_name *get_or_make(struct table *table, const uint8_t *wire, size_t size)
{
	struct table_name *name = lookup(table, wire, size);

	if (name)
		return name;
	if ((uint64_t)(table->used + 1) * 8 > (uint64_t)(table->mask + 1) * 5)
		grow(table);
	name = calloc(1, sizeof *name + size);
	if (!name)
		abort();
	name->size = (uint8_t)size;
	name->hash = (uint32_t)hash_bytes(table->key, wire, size);
	memcpy(name->wire, wire, size);
	place(table, name);
	table->used++;
	return name;
}

static void drop_if_unused(struct table *table, struct table_name *name)
{
	uint32_t i = name->hash, hole;

	if (name->service_count || name->below)
		return;
	while (table->slots[i & table->mask].name != name)
		i++;
	hole = i;
	for (i++; table->slots[i & table->mask].name; i++) {
		/* The probe for this one starts at its hash: it may move up to there. */
		if (((i - table->slots[i & table->mask].hash) & table->mask) <
		    ((i - hole) & table->mask))
			continue;
		table->slots[hole & table->mask] = table->slots[i & table->mask];
		hole = i;
	}
	table->slots[hole & table->mask] = (struct slot){ 0, NULL };
	table->used--;
	free(name->services);
	free(name);
}

/* Every ancestor of one of our names exists, so that wildcards know their limits. */
static void count_above(struct table *table, const struct table_name *name, int change)
{
	const uint8_t *wire = name->wire;
	size_t size = name->size;

	if (is_wildcard(wire))
		table->wildcards += (uint32_t)change;
	while (size > 1) {
		struct table_name *above;

		wire = parent(wire, &size);
		above = get_or_make(table, wire, size);
		above->below += (uint32_t)change;
		drop_if_unused(table, above);
	}
}

static void attach(struct table *table, struct table_service *service, const uint8_t *wire,
		   size_t size)
{
	struct table_name *name = get_or_make(table, wire, size);

	for (uint16_t i = 0; i < service->name_count; i++)
		if (service->names[i] == name)
			return;
	if (name->service_count == name->room) {
		uint32_t room = name->room ? name->room * 2 : 1;
		void *services = reallocarray(name->services, room, sizeof *name->services);

		if (!services)
			abort();
		name->services = services;
		name->room = room;
	}
	name->services[name->service_count++] = service;
	service->names[service->name_count++] = name;
	if (name->service_count == 1)
		count_above(table, name, 1);
}

static void detach(struct table *table, struct table_service *service, struct table_name *name)
{
	for (uint32_t i = 0; i < name->service_count; i++) {
		if (name->services[i] != service)
			continue;
		name->service_count--;
		memmove(&name->services[i], &name->services[i + 1],
			(size_t)(name->service_count - i) * sizeof *name->services);
		break;
	}
	if (name->service_count)
		return;
	count_above(table, name, -1);
	drop_if_unused(table, name);
}

/* How many names; -1 if they are not sound. */
static int count_names(struct bytes b)
{
	size_t size;
	int count = 0;

	for (; b.size; b.data += size, b.size -= (uint32_t)size, count++) {
		size = wire_name_size(b.data, b.size);
		if (!size)
			return -1;
	}
	return count;
}

static int count_addresses(struct bytes b, unsigned *v4, unsigned *v6)
{
	*v4 = *v6 = 0;
	while (b.size) {
		uint32_t size = b.data[0] == 4 ? 5 : b.data[0] == 6 ? 17 : 0;

		if (!size || size > b.size)
			return -1;
		++*(size == 5 ? v4 : v6);
		b.data += size;
		b.size -= size;
	}
	return 0;
}

static void copy_addresses(uint8_t *v4, uint8_t *v6, struct bytes b)
{
	while (b.size) {
		uint32_t size = b.data[0] == 4 ? 4 : 16;
		uint8_t **to = size == 4 ? &v4 : &v6;

		memcpy(*to, b.data + 1, size);
		*to += size;
		b.data += size + 1;
		b.size -= size + 1;
	}
}

static void reserve_id(struct table *table, uint32_t id)
{
	uint32_t room = table->room ? table->room : SLOTS_MIN;
	void *services;

	if (id < table->room)
		return;
	while (room <= id)
		room *= 2;
	services = reallocarray(table->services, room, sizeof *table->services);
	if (!services)
		abort();
	table->services = services;
	memset(table->services + table->room, 0,
	       (size_t)(room - table->room) * sizeof *table->services);
	table->room = room;
}

int table_put(struct table *table, const struct msg_service *m, struct table_service **put,
	      struct table_service **old, struct error *err)
{
	int names = count_names(m->names);
	struct table_service *service;
	struct bytes rest = m->names;
	unsigned v4, v6;
	uint8_t *addresses;

	if (m->id >= USAGE_SLOTS)
		return error_set(err, ERROR_INPUT, "service %u: no id below %u", m->id, USAGE_SLOTS);
	if (names < 0 || (unsigned)names > NAMES_MAX)
		return error_set(err, ERROR_INPUT, "service %u: its names are malformed", m->id);
	if (count_addresses(m->addresses, &v4, &v6) < 0 || v4 + v6 > ADDRESSES_MAX)
		return error_set(err, ERROR_INPUT, "service %u: its addresses are malformed", m->id);

	service = calloc(1, sizeof *service + (size_t)names * sizeof *service->names + v4 * 4u +
				    v6 * 16u);
	if (!service)
		abort();
	service->id = m->id;
	service->ttl = m->ttl;
	service->wait_limit = m->wait_limit;
	service->flags = m->flags;
	service->ready = m->ready;
	service->names = (struct table_name **)(service + 1);
	addresses = (uint8_t *)(service->names + names);
	service->v4 = addresses;
	service->v4_count = (uint16_t)v4;
	service->v6 = addresses + v4 * 4u;
	service->v6_count = (uint16_t)v6;
	copy_addresses(addresses, addresses + v4 * 4u, m->addresses);
	wait_queue_init(&service->waiters);

	*old = table_take(table, m->id);
	while (rest.size) {
		size_t size = wire_name_size(rest.data, rest.size);
		uint8_t folded[WIRE_NAME_MAX];

		wire_name_fold(folded, rest.data, size);
		attach(table, service, folded, size);
		rest.data += size;
		rest.size -= (uint32_t)size;
	}
	reserve_id(table, m->id);
	table->services[m->id] = service;
	table->count++;
	*put = service;
	return 0;
}

struct table_service *table_take(struct table *table, uint32_t id)
{
	struct table_service *service = table_get(table, id);

	if (!service)
		return NULL;
	table->services[id] = NULL;
	table->count--;
	for (uint16_t i = 0; i < service->name_count; i++)
		detach(table, service, service->names[i]);
	service->name_count = 0;
	return service;
}

struct table_service *table_get(const struct table *table, uint32_t id)
{
	return id < table->room ? table->services[id] : NULL;
}

size_t table_count(const struct table *table)
{
	return table->count;
}
