/*
 * What each query gets: an answer from the table, a place to wait, or what elsewhere.c says, or a
 * refusal. The room's inner state is here too, shared by dns.c and answer.c alone.
 */
#ifndef JITSU_DNS_ANSWER_H
#define JITSU_DNS_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "dns/acl.h"
#include "dns/hot.h"
#include "dns/wait.h"
#include "dns/wire.h"

struct table_service;
struct usage;

struct dns {
	struct loop *loop;
	struct usage *usage;
	struct listener *listener;
	struct hot hot;
	struct wire *wire;
	struct wait *wait;
	struct forward *forward;
	struct special *special;
	struct acl allow_recursion;
	bool own_acl; /* allow_recursion is ours to free */
	const struct dns_settings *settings;
	uint32_t serial; /* of the zones' SOA */
	bool changed;	 /* since that serial was made */
	struct rate *rate;
	struct wakes *wakes;
	struct link *link;   /* NULL: no engine */
	struct timer *alone; /* runs while there is no engine */
	struct table *table;
	struct table *next; /* being received: takes the table's place at table_end */
	bool serving;
	bool in_step;	   /* the table is of the engine at the other end of the link */
	uint32_t *retires; /* asked for while next was received; answered at its end */
	size_t retire_count;
	uint16_t failure_code; /* RFC 8914, of the `failed` being handled */
	const char *failure_text;
	uint8_t addresses[WIRE_ADDRESSES_MAX * 16];
	uint8_t out[WIRE_PACKET_MAX];
};

/* listen_fn, and the callback of wait.h; arg is the room. */
void answer_query(void *arg, const struct client *client, uint8_t *packet, size_t size,
		  uint64_t now);
void answer_waited(void *arg, const struct wait_query *waited, enum wait_end end);

/* Sends `want` unless one is out, or there is nobody to send it to; then table_end does. Who asks,
 * and what, is for people to see; NULL if not known. */
void dns_want(struct dns *dns, struct table_service *service, const struct client *client,
	      const struct wire_query *query);

#endif
