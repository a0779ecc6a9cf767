/*
 * The names that are ours: canonical owner name -> the services behind it, and services by id.
 * A lookup is one hash; to add or to remove costs the same at a million as at ten. Records are
 * packed and never move; they refer to each other by 32-bit references (slab.h).
 */
#ifndef JITSU_DNS_TABLE_H
#define JITSU_DNS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dns/hash.h"
#include "dns/slots.h"
#include "dns/slab.h"
#include "dns/wait.h"
#include "proto/message.h"

struct error;

struct table_service {
	struct wait_queue waiters;
	uint32_t id, ttl, wait_limit; /* s, ms */
	uint16_t v4_count, v6_count;
	uint8_t flags; /* enum message_service_flags */
	bool ready;
	bool wanted; /* a want is on its way, or being carried out (see dns.c) */
	/* table.c's */
	bool next_ready; /* as the engine's new table has it */
	uint8_t kept;	 /* by the transfer of that number */
	uint16_t name_count;
	uint32_t data[]; /* references to names; then addresses, 4 and 16 bytes each */
};

/* Is it answered at once? */
static inline bool table_counts_as_ready(const struct table_service *service, bool ready)
{
	return ready || service->flags & MESSAGE_SERVICE_ALWAYS;
}

struct table_name {
	uint32_t service_count; /* 0: not ours, it only lies above names that are (RFC 4592) */
	/* table.c's */
	uint32_t services; /* a reference: the service if it is one, to a list of such if several */
	uint32_t below;
	uint16_t rotate; /* counts answers, see table_turn */
	uint8_t size;
	uint8_t wire[]; /* lower case */
};

struct table {
	struct slab slab;
	struct slots names;
	struct slots reverse; /* addresses that are answered for -> services */
	uint32_t *services;   /* by id */
	uint32_t room;
	uint32_t wildcards;
	uint64_t key;
	size_t count;
	uint8_t transfer; /* its number */
};

/* NULL if out of memory. */
struct table *table_new(void);
/* No queue of its services may have waiters. */
void table_free(struct table *table);

/* Reads the message and makes a service of it, in place of the one with that id, which is handed
 * out through *old (NULL if there was none): its waiters are to be led elsewhere, then
 * table_drop(*old). -1 with an error, table unchanged, if the message is not sound. Names are
 * not kept unique: several services may stand behind one. */
int table_put(struct table *table, const struct msg_service *m, struct table_service **put,
	      struct table_service **old, struct error *err);
/* Takes the service out of the table; it still is to be dropped. NULL if there is none. */
struct table_service *table_take(struct table *table, uint32_t id);
void table_drop(struct table *table, struct table_service *service);

static inline struct table_service *table_get(const struct table *table, uint32_t id)
{
	return id < table->room && table->services[id] ? slab_at(&table->slab, table->services[id])
						       : NULL;
}

/* The owner of a canonical name: itself, or the wildcard that covers it (RFC 4592). NULL if it is
 * not ours. Valid until the table changes. */
struct table_name *table_find(const struct table *table, const uint8_t *name, size_t size);

/* Nothing has this name, but names below it are ours (RFC 8020: it exists, and has no records). */
bool table_is_empty(const struct table *table, const uint8_t *name, size_t size);

/* The services that have this address of 4 or 16 bytes and answer for it (PTR); how many. */
unsigned table_reverse(const struct table *table, const uint8_t *address, size_t size,
		       struct table_service **services, unsigned max);
/* The name that an address of this service bears: its first that is no wildcard, or NULL. */
const struct table_name *table_own_name(const struct table *table,
					const struct table_service *service);

/* The services behind a name, i < service_count. */
static inline struct table_service *table_nth(const struct table *table,
					      const struct table_name *name, uint32_t i)
{
	const uint32_t *list = &name->services;

	if (name->service_count > 1)
		list = slab_at(&table->slab, name->services);
	return slab_at(&table->slab, list[i]);
}

static inline const uint8_t *table_v4(const struct table_service *service)
{
	return (const uint8_t *)(service->data + service->name_count);
}

static inline const uint8_t *table_v6(const struct table_service *service)
{
	return table_v4(service) + service->v4_count * 4u;
}

/* How many answers of this name and family went before, modulo 256: its addresses take turns. A
 * client asks for both families one after the other: counted together, each would always get the
 * same address first. The low byte counts A; what it carries into the other is a turn of AAAA. */
static inline uint8_t table_turn(struct table_name *name, bool v6)
{
	uint16_t before = __atomic_fetch_add(&name->rotate, v6 ? 256 : 1, __ATOMIC_RELAXED);

	return (uint8_t)(v6 ? before >> 8 : before);
}

size_t table_count(const struct table *table);

/*
 * An engine sends its whole table anew, and most of it is what is there already. So a transfer
 * marks in place what stays, only what differs is held apart, in `other`, and the end brings both
 * together; until then the table answers as before.
 */
void table_begin(struct table *table);
/* True, and marked to stay with m->ready, if the table has exactly that service. */
bool table_keep(struct table *table, const struct msg_service *m);
/* Marked to stay in this transfer; NULL if not. */
struct table_service *table_kept(struct table *table, uint32_t id);
void table_unkeep(struct table_service *service);
/* Takes out what was not marked, gives the rest its new state (not wanted), and moves other's
 * services in; other is freed. Those taken out that somebody waits for are handed out, malloc'd,
 * to be dropped when nobody does; *count how many. */
struct table_service **table_end(struct table *table, struct table *other, size_t *count);

#endif
