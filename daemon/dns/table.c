#include "dns/table.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "dns/hash.h"
#include "dns/wire.h"
#include "proto/usage.h"

#define ROOM_MIN      64u
#define NAMES_MAX     256u /* of one service */
#define ADDRESSES_MAX 1024u

struct table *table_new(void)
{
	struct table *table = calloc(1, sizeof *table);

	if (!table)
		return NULL;
	slab_init(&table->slab);
	slots_init(&table->names);
	slots_init(&table->reverse);
	arc4random_buf(&table->key, sizeof table->key);
	return table;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	slab_clear(&table->slab);
	slots_clear(&table->names);
	slots_clear(&table->reverse);
	free(table->services);
	free(table);
}

static uint32_t hash_name(const struct table *table, const uint8_t *wire, size_t size)
{
	return (uint32_t)hash_bytes(table->key, wire, size);
}

static size_t name_bytes(size_t wire)
{
	return sizeof(struct table_name) + wire;
}

static size_t service_bytes(size_t names, size_t v4, size_t v6)
{
	size_t data = names * sizeof(uint32_t) + v4 * 4 + v6 * 16;

	return sizeof(struct table_service) + (data ? data : sizeof(uint32_t));
}

void table_drop(struct table *table, struct table_service *service)
{
	slab_free(&table->slab, service->data[0],
		  service_bytes(service->name_count, service->v4_count, service->v6_count));
}

static uint32_t lookup(const struct table *table, const uint8_t *wire, size_t size, uint32_t hash)
{
	struct slots_at at;
	uint32_t ref;

	for (ref = slots_first(&table->names, hash, &at); ref;
	     ref = slots_next(&table->names, hash, &at)) {
		const struct table_name *name = slab_at(&table->slab, ref);

		if (name->size == size && memcmp(name->wire, wire, size) == 0)
			break;
	}
	return ref;
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
static uint32_t find_wildcard(const struct table *table, const uint8_t *wire, size_t size)
{
	uint8_t star[WIRE_NAME_MAX + 2] = { 1, '*' };

	while (size > 1) {
		wire = parent(wire, &size);
		if (!lookup(table, wire, size, hash_name(table, wire, size)))
			continue;
		memcpy(star + 2, wire, size);
		return lookup(table, star, size + 2, hash_name(table, star, size + 2));
	}
	return 0;
}

struct table_name *table_find(const struct table *table, const uint8_t *name, size_t size)
{
	uint32_t ref = lookup(table, name, size, hash_name(table, name, size));
	struct table_name *found;

	if (!ref && table->wildcards)
		ref = find_wildcard(table, name, size);
	found = ref ? slab_at(&table->slab, ref) : NULL;
	return found && found->service_count ? found : NULL;
}

bool table_is_empty(const struct table *table, const uint8_t *name, size_t size)
{
	uint32_t ref = lookup(table, name, size, hash_name(table, name, size));

	return ref && !((struct table_name *)slab_at(&table->slab, ref))->service_count;
}

static bool has_address(const struct table_service *service, const uint8_t *address, size_t size)
{
	const uint8_t *own = size == 4 ? table_v4(service) : table_v6(service);
	unsigned count = size == 4 ? service->v4_count : service->v6_count;

	for (unsigned i = 0; i < count; i++)
		if (memcmp(own + i * size, address, size) == 0)
			return true;
	return false;
}

unsigned table_reverse(const struct table *table, const uint8_t *address, size_t size,
		       struct table_service **services, unsigned max)
{
	uint32_t hash = hash_name(table, address, size), ref;
	struct slots_at at;
	unsigned count = 0;

	for (ref = slots_first(&table->reverse, hash, &at); ref && count < max;
	     ref = slots_next(&table->reverse, hash, &at)) {
		struct table_service *service = slab_at(&table->slab, ref);
		unsigned i = 0;

		while (i < count && services[i] != service)
			i++;
		if (i == count && has_address(service, address, size))
			services[count++] = service;
	}
	return count;
}

const struct table_name *table_own_name(const struct table *table,
					const struct table_service *service)
{
	for (uint16_t i = 0; i < service->name_count; i++) {
		const struct table_name *name = slab_at(&table->slab, service->data[i]);

		if (!is_wildcard(name->wire))
			return name;
	}
	return NULL;
}

static void index_addresses(struct table *table, const struct table_service *service, uint32_t ref,
			    void change(struct slots *slots, uint32_t hash, uint32_t ref))
{
	const uint8_t *v4 = table_v4(service), *v6 = table_v6(service);

	if (!(service->flags & MESSAGE_SERVICE_PTR))
		return;
	for (unsigned i = 0; i < service->v4_count; i++, v4 += 4)
		change(&table->reverse, hash_name(table, v4, 4), ref);
	for (unsigned i = 0; i < service->v6_count; i++, v6 += 16)
		change(&table->reverse, hash_name(table, v6, 16), ref);
}

static uint32_t get_or_make(struct table *table, const uint8_t *wire, size_t size)
{
	uint32_t hash = hash_name(table, wire, size), ref = lookup(table, wire, size, hash);
	struct table_name *name;

	if (ref)
		return ref;
	ref = slab_alloc(&table->slab, name_bytes(size));
	name = slab_at(&table->slab, ref);
	*name = (struct table_name){ .size = (uint8_t)size };
	memcpy(name->wire, wire, size);
	slots_put(&table->names, hash, ref);
	return ref;
}

static void drop_if_unused(struct table *table, uint32_t ref)
{
	const struct table_name *name = slab_at(&table->slab, ref);

	if (name->service_count || name->below)
		return;
	slots_remove(&table->names, hash_name(table, name->wire, name->size), ref);
	slab_free(&table->slab, ref, name_bytes(name->size));
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
		uint32_t ref;

		wire = parent(wire, &size);
		ref = get_or_make(table, wire, size);
		above = slab_at(&table->slab, ref);
		above->below += (uint32_t)change;
		drop_if_unused(table, ref);
	}
}

/* A list's room is its length's power of two. */
static size_t list_bytes(uint32_t count)
{
	size_t room = 2;

	while (room < count)
		room *= 2;
	return room * sizeof(uint32_t);
}

static void list_add(struct table *table, struct table_name *name, uint32_t service)
{
	struct slab *slab = &table->slab;
	uint32_t count = name->service_count++, old = name->services;
	uint32_t *list;

	if (count == 0) {
		name->services = service;
		return;
	}
	if (count == 1) {
		name->services = slab_alloc(slab, list_bytes(2));
		list = slab_at(slab, name->services);
		list[0] = old;
	} else if (list_bytes(count + 1) != list_bytes(count)) {
		name->services = slab_alloc(slab, list_bytes(count + 1));
		memcpy(slab_at(slab, name->services), slab_at(slab, old), count * sizeof *list);
		slab_free(slab, old, list_bytes(count));
	}
	list = slab_at(slab, name->services);
	list[count] = service;
}

static void list_remove(struct table *table, struct table_name *name, uint32_t service)
{
	struct slab *slab = &table->slab;
	uint32_t count = --name->service_count, old = name->services, i = 0;
	uint32_t *list;

	if (count == 0)
		return;
	list = slab_at(slab, old);
	while (list[i] != service)
		i++;
	memmove(&list[i], &list[i + 1], (count - i) * sizeof *list);
	if (count == 1) {
		name->services = list[0];
		slab_free(slab, old, list_bytes(2));
	} else if (list_bytes(count) != list_bytes(count + 1)) {
		name->services = slab_alloc(slab, list_bytes(count));
		memcpy(slab_at(slab, name->services), list, count * sizeof *list);
		slab_free(slab, old, list_bytes(count + 1));
	}
}

static void attach(struct table *table, uint32_t service, uint32_t ref)
{
	struct table_name *name = slab_at(&table->slab, ref);

	list_add(table, name, service);
	if (name->service_count == 1)
		count_above(table, name, 1);
}

static void detach(struct table *table, uint32_t service, uint32_t ref)
{
	struct table_name *name = slab_at(&table->slab, ref);

	list_remove(table, name, service);
	if (name->service_count)
		return;
	count_above(table, name, -1);
	drop_if_unused(table, ref);
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
	uint32_t room = table->room ? table->room : ROOM_MIN;
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

/* Takes the next name off *names, in lower case; its size. */
static size_t next_name(struct bytes *names, uint8_t folded[WIRE_NAME_MAX])
{
	size_t size = wire_name_size(names->data, names->size);

	wire_name_fold(folded, names->data, size);
	names->data += size;
	names->size -= (uint32_t)size;
	return size;
}

/* References to each of the names once; how many. */
static uint16_t find_names(struct table *table, struct bytes names, uint32_t refs[NAMES_MAX])
{
	uint16_t count = 0;

	while (names.size) {
		uint8_t folded[WIRE_NAME_MAX];
		size_t size = next_name(&names, folded);
		uint32_t ref = get_or_make(table, folded, size);
		uint16_t i = 0;

		while (i < count && refs[i] != ref)
			i++;
		if (i == count)
			refs[count++] = ref;
	}
	return count;
}

int table_put(struct table *table, const struct msg_service *m, struct table_service **put,
	      struct table_service **old, struct error *err)
{
	int names = count_names(m->names);
	struct table_service *service;
	uint32_t refs[NAMES_MAX], ref;
	unsigned v4, v6;
	uint16_t count;

	if (m->id >= USAGE_SLOTS)
		return error_set(err, ERROR_INPUT, "service %u: no id below %u", m->id,
				 USAGE_SLOTS);
	if (names < 0 || (unsigned)names > NAMES_MAX)
		return error_set(err, ERROR_INPUT, "service %u: its names are malformed", m->id);
	if (count_addresses(m->addresses, &v4, &v6) < 0 || v4 + v6 > ADDRESSES_MAX)
		return error_set(err, ERROR_INPUT, "service %u: its addresses are malformed",
				 m->id);

	*old = table_take(table, m->id);
	reserve_id(table, m->id);
	count = find_names(table, m->names, refs);
	ref = slab_alloc(&table->slab, service_bytes(count, v4, v6));
	service = slab_at(&table->slab, ref);
	*service = (struct table_service){ .id = m->id,
					   .ttl = m->ttl,
					   .wait_limit = m->wait_limit,
					   .v4_count = (uint16_t)v4,
					   .v6_count = (uint16_t)v6,
					   .flags = m->flags,
					   .ready = m->ready || m->flags & MESSAGE_SERVICE_ALWAYS,
					   .name_count = count };
	wait_queue_init(&service->waiters);
	memcpy(service->data, refs, count * sizeof *refs);
	copy_addresses((uint8_t *)(service->data + count),
		       (uint8_t *)(service->data + count) + v4 * 4, m->addresses);
	for (uint16_t i = 0; i < count; i++)
		attach(table, ref, refs[i]);
	index_addresses(table, service, ref, slots_put);
	table->services[m->id] = ref;
	table->count++;
	*put = service;
	return 0;
}

struct table_service *table_take(struct table *table, uint32_t id)
{
	struct table_service *service = table_get(table, id);
	uint32_t ref;

	if (!service)
		return NULL;
	ref = table->services[id];
	table->services[id] = 0;
	table->count--;
	index_addresses(table, service, ref, slots_remove);
	for (uint16_t i = 0; i < service->name_count; i++)
		detach(table, ref, service->data[i]);
	service->data[0] = ref; /* for table_drop */
	return service;
}

size_t table_count(const struct table *table)
{
	return table->count;
}

void table_begin(struct table *table)
{
	if (++table->transfer)
		return;
	/* Its number is used anew: marks of long ago must not count. */
	table->transfer = 1;
	for (uint32_t id = 0; id < table->room; id++)
		if (table->services[id])
			table_unkeep(table_get(table, id));
}

static bool same_names(const struct table *table, const struct table_service *service,
		       struct bytes names)
{
	uint16_t count = 0;

	while (names.size) {
		uint8_t folded[WIRE_NAME_MAX];
		size_t size = next_name(&names, folded);
		const struct table_name *name;

		if (size == 0 || count == service->name_count)
			return false;
		name = slab_at(&table->slab, service->data[count++]);
		if (name->size != size || memcmp(name->wire, folded, size) != 0)
			return false;
	}
	return count == service->name_count;
}

static bool same_addresses(const struct table_service *service, struct bytes addresses)
{
	uint8_t sorted[ADDRESSES_MAX * 16];
	unsigned v4, v6;

	if (count_addresses(addresses, &v4, &v6) < 0 || v4 != service->v4_count ||
	    v6 != service->v6_count)
		return false;
	copy_addresses(sorted, sorted + v4 * 4, addresses);
	return memcmp(sorted, table_v4(service), v4 * 4 + v6 * 16) == 0;
}

bool table_keep(struct table *table, const struct msg_service *m)
{
	struct table_service *service = table_get(table, m->id);

	if (!service || service->ttl != m->ttl || service->wait_limit != m->wait_limit ||
	    service->flags != m->flags || !same_names(table, service, m->names) ||
	    !same_addresses(service, m->addresses))
		return false;
	service->kept = table->transfer;
	service->next_ready = table_counts_as_ready(service, m->ready);
	return true;
}

struct table_service *table_kept(struct table *table, uint32_t id)
{
	struct table_service *service = table_get(table, id);

	return service && service->kept == table->transfer ? service : NULL;
}

void table_unkeep(struct table_service *service)
{
	service->kept = 0;
}

/* Out of a table, into another. */
static void move_service(struct table *table, const struct table *from,
			 const struct table_service *service)
{
	uint8_t names[NAMES_MAX * WIRE_NAME_MAX], addresses[ADDRESSES_MAX * 17], *n = names,
										 *a = addresses;
	const uint8_t *v4 = table_v4(service), *v6 = table_v6(service);
	struct table_service *put, *old;
	struct error err;

	for (uint16_t i = 0; i < service->name_count; i++) {
		const struct table_name *name = slab_at(&from->slab, service->data[i]);

		memcpy(n, name->wire, name->size);
		n += name->size;
	}
	for (uint16_t i = 0; i < service->v4_count; i++, a += 5) {
		a[0] = 4;
		memcpy(a + 1, v4 + i * 4, 4);
	}
	for (uint16_t i = 0; i < service->v6_count; i++, a += 17) {
		a[0] = 6;
		memcpy(a + 1, v6 + i * 16, 16);
	}
	/* It was sound when it was put into the other. */
	table_put(table,
		  &(struct msg_service){ .id = service->id,
					 .ttl = service->ttl,
					 .wait_limit = service->wait_limit,
					 .flags = service->flags,
					 .ready = service->ready,
					 .names = { names, (uint32_t)(n - names) },
					 .addresses = { addresses, (uint32_t)(a - addresses) } },
		  &put, &old, &err);
}

struct table_service **table_end(struct table *table, struct table *other, size_t *count)
{
	struct table_service **waited_for = NULL;

	*count = 0;
	for (uint32_t id = 0; id < table->room; id++) {
		struct table_service *service = table_get(table, id);

		if (!service)
			continue;
		if (service->kept == table->transfer) {
			service->ready = service->next_ready;
			service->wanted = false;
			continue;
		}
		table_take(table, id);
		if (wait_queue_empty(&service->waiters)) {
			table_drop(table, service);
			continue;
		}
		waited_for = reallocarray(waited_for, *count + 1, sizeof(struct table_service *));
		if (!waited_for)
			abort();
		waited_for[(*count)++] = service;
	}
	for (uint32_t id = 0; id < other->room; id++)
		if (table_get(other, id))
			move_service(table, other, table_get(other, id));
	table_free(other);
	return waited_for;
}
