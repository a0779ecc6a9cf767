/*
 * The names that are ours: canonical owner name -> the services behind it, and services by id.
 * A lookup is one hash; to add or to remove costs the same at a million as at ten.
 */
#ifndef JITSU_DNS_TABLE_H
#define JITSU_DNS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dns/wait.h"
#include "proto/message.h"

struct error;
struct table;

struct table_service {
	uint32_t id, ttl, wait_limit; /* s, ms */
	uint8_t flags; /* enum message_service_flags */
	bool ready;
	bool wanted; /* a want is on its way, or being carried out (see dns.c) */
	uint16_t v4_count, v6_count;
	const uint8_t *v4, *v6; /* 4 and 16 bytes each */
	struct wait_queue waiters;
	/* table.c's */
	uint16_t name_count;
	struct table_name **names;
};

struct table_name {
	struct table_service **services;
	uint32_t service_count; /* 0: not ours, it only lies above names that are (RFC 4592) */
	uint32_t rotate;	/* counts answers */
	/* table.c's */
	uint32_t room, hash, below;
	uint8_t size;
	uint8_t wire[]; /* lower case */
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
void table_drop(struct table_service *service);

struct table_service *table_get(const struct table *table, uint32_t id);

/* The owner of a canonical name: itself, or the wildcard that covers it (RFC 4592). NULL if it is
 * not ours. Valid until the table changes. */
struct table_name *table_find(const struct table *table, const uint8_t *name, size_t size);

size_t table_count(const struct table *table);

#endif
