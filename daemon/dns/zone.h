/*
 * Zones. Given ones (`zones`) are all ours: they have an SOA and NS at their apex and hosts for
 * their name servers, and what is in them but has no service does not exist. For the names of
 * services elsewhere a zone is derived, as the original did, from the last two labels: its SOA goes
 * with negative answers, and nothing else about it is answered unless a service's name is its apex.
 *
 * Names are in wire format, lower case.
 */
#ifndef JITSU_DNS_ZONE_H
#define JITSU_DNS_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dns/wire.h"

#define ZONE_SERVERS_MAX 16

struct dns_texts;
struct error;
struct zone_set;

struct zone_server {
	uint16_t name_size;
	uint8_t name[WIRE_NAME_MAX];
	/* Of its own: answered where its name is in a given zone. */
	uint8_t *v4, *v6;
	unsigned v4_count, v6_count;
};

/* One that is given. */
struct zone {
	uint16_t size;
	uint8_t apex[WIRE_NAME_MAX];
	uint32_t ttl; /* of what is the zone's own, and of negative answers */
	uint16_t mbox_size;
	uint8_t mbox[WIRE_NAME_MAX];
	const struct zone_server *servers;
	unsigned server_count;
};

/* Reads texts' zones, ns, mbox, bind and ttl. *set is NULL if there are no zones. 0, or -1 with an
 * error that names key, value and what is expected. */
int zone_set_read(struct zone_set **set, const struct dns_texts *texts, struct error *err);
void zone_set_free(struct zone_set *set);

/* The given zone that a name is in, the closest; NULL if none is (or set is NULL). */
const struct zone *zone_find(const struct zone_set *set, const uint8_t *name, size_t size);

/* What a given zone has at a name by itself, services aside. */
enum zone_own {
	ZONE_OWN_NOTHING,
	ZONE_OWN_EMPTY, /* a host is below it */
	ZONE_OWN_HOST,
	ZONE_OWN_APEX,
};

/* *server is the host of ZONE_OWN_HOST, and of ZONE_OWN_APEX if the apex is one; else NULL. */
enum zone_own zone_own(const struct zone *zone, const uint8_t *name, size_t size,
		       const struct zone_server **server);

/* The size of the longest ancestor of name, or of itself, that the zone has at all. */
size_t zone_encloser(const struct zone *zone, const uint8_t *name, size_t size);

/* The derived zone's apex, a suffix of name: the last two labels; of an address's name (…arpa) all
 * but the first, or, of IPv6, the last 18 (a /64). */
const uint8_t *zone_derive(const uint8_t *name, size_t size);

#define ZONE_SOA_MAX (2 * WIRE_NAME_MAX + 20)

/* The SOA of a given zone, or (zone NULL) of the derived one with that apex and ttl. data is kept
 * by the record. */
void zone_soa(struct wire_record *record, uint8_t data[ZONE_SOA_MAX], const struct zone *zone,
	      const uint8_t *apex, uint32_t ttl, uint32_t serial);

/* The NS records of a given zone; how many. */
unsigned zone_ns(const struct zone *zone, struct wire_record records[ZONE_SERVERS_MAX]);

/* The address that a name in in-addr.arpa or ip6.arpa stands for: its size, 4 or 16; 0 if it stands
 * for none. */
size_t zone_reverse(const uint8_t *name, size_t size, uint8_t address[16]);

/* A name in in-addr.arpa or ip6.arpa that is too short to stand for an address: some may be below. */
bool zone_reverse_above(const uint8_t *name, size_t size);

#endif
