/*
 * What is answered without a service: the apex, the name servers and the absent names of given
 * zones, the names of addresses (PTR), and who we are (RFC 4892).
 */
#ifndef JITSU_DNS_OWN_H
#define JITSU_DNS_OWN_H

#include "dns/answer.h"

struct table_name;
struct zone;

/* A query of class CH about the server. False if it is about something else. */
bool own_identity(struct dns *dns, const struct client *client, const struct wire_query *query);

/* A query of class IN for a name of ours (services behind it or not), for what belongs to the zone
 * or is the same at each name: SOA, NS and ANY. ttl: the name's. False if it is for something
 * else. */
bool own_at_name(struct dns *dns, const struct client *client, const struct wire_query *query,
		 const struct zone *zone, uint32_t ttl);

/* A query of class IN for a name that no service has. zone: the given one that it is in, or NULL.
 * False if it is not ours. */
bool own_without_service(struct dns *dns, const struct client *client,
			 const struct wire_query *query, const struct zone *zone);

/* In that given zone: whether a name of a table, found for the query, is right for it. A wildcard
 * must not reach past the zone's apex, nor cover its name servers. */
bool own_accepts(const struct zone *zone, const struct table_name *name,
		 const struct wire_query *query);

#endif
