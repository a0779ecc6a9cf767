/*
 * How answers leave the room: what each of them bears (cookie, identity, keep-alive), and those
 * that are said in several places. struct dns is answer.h's.
 */
#ifndef JITSU_DNS_REPLY_H
#define JITSU_DNS_REPLY_H

#include "dns/answer.h"

struct zone;

/* Completes the reply and sends it. */
void reply_send(struct dns *dns, const struct client *client, const struct wire_query *query,
		struct wire_reply *reply);
/* An upstream's response, made the one to this query. */
void reply_relay(struct dns *dns, const struct client *client, const struct wire_query *query,
		 const uint8_t *response, size_t size);
void reply_error(struct dns *dns, const struct client *client, const struct wire_query *query,
		 uint16_t rcode, int ede, const char *text);

/* No such name (NXDOMAIN), or it has no such records (NOERROR): RFC 2308. zone: the given one that
 * it is in, or NULL: then the SOA is of the zone derived from name, with that ttl. */
void reply_negative(struct dns *dns, const struct client *client, const struct wire_query *query,
		    uint16_t rcode, const struct zone *zone, const uint8_t *name, size_t size,
		    uint32_t ttl);

/* The SOA itself, as asked for; arguments as above. */
void reply_soa(struct dns *dns, const struct client *client, const struct wire_query *query,
	       const struct zone *zone, const uint8_t *apex, uint32_t ttl);

/* Nothing but the request to come back with a proof of the address: BADCOOKIE to who knows of
 * cookies, else TC. */
void reply_prove(struct dns *dns, const struct client *client, const struct wire_query *query);

#endif
