#include "dns/answer.h"

#include <string.h>

#include "base/loop.h"
#include "dns/forward.h"
#include "dns/listen.h"
#include "dns/table.h"
#include "proto/usage.h"

static void send_reply(struct dns *dns, const struct client *client,
		       const struct wire_query *query, const struct wire_reply *reply)
{
	size_t size = wire_build(dns->wire, query, reply, dns->out);

	listen_reply(dns->listener, client, dns->out, size);
}

static void send_error(struct dns *dns, const struct client *client,
		       const struct wire_query *query, uint16_t rcode, int ede, const char *text)
{
	struct wire_reply reply = { .rcode = rcode,
				    .recursion = dns->forward,
				    .ede = ede,
				    .ede_text = text };

	send_reply(dns, client, query, &reply);
}

static uint32_t lowest_ttl(const struct dns *dns, const struct table_name *name)
{
	uint32_t ttl = UINT32_MAX;

	for (uint32_t i = 0; i < name->service_count; i++)
		if (table_nth(dns->table, name, i)->ttl < ttl)
			ttl = table_nth(dns->table, name, i)->ttl;
	return ttl;
}

static unsigned address_count(const struct table_service *service, uint16_t type)
{
	return type == WIRE_A ? service->v4_count : type == WIRE_AAAA ? service->v6_count : 0;
}

/* Puts the addresses behind name into dns->addresses; how many. */
static unsigned collect(struct dns *dns, const struct table_name *name, uint16_t type,
			bool ready_only)
{
	size_t size = type == WIRE_A ? 4 : 16;
	unsigned count = 0;

	for (uint32_t i = 0; i < name->service_count && count < WIRE_ADDRESSES_MAX; i++) {
		const struct table_service *service = table_nth(dns->table, name, i);
		unsigned some = address_count(service, type);

		if (ready_only && !service->ready)
			continue;
		if (some > WIRE_ADDRESSES_MAX - count)
			some = WIRE_ADDRESSES_MAX - count;
		if (some)
			memcpy(dns->addresses + count * size,
			       type == WIRE_A ? table_v4(service) : table_v6(service), some * size);
		count += some;
	}
	return count;
}

static void send_addresses(struct dns *dns, const struct client *client,
			   const struct wire_query *query, struct table_name *name, unsigned count)
{
	struct wire_reply reply = { .authoritative = true,
				    .recursion = dns->forward,
				    .addresses = dns->addresses,
				    .address_count = count,
				    .rotate = table_turn(name),
				    .ttl = lowest_ttl(dns, name),
				    .ede = WIRE_EDE_NONE };

	send_reply(dns, client, query, &reply);
}

/* The name exists, the type does not: RFC 2308, with the SOA of a zone that begins one label up. */
static void send_nodata(struct dns *dns, const struct client *client,
			const struct wire_query *query, const struct table_name *name)
{
	const uint8_t *zone = name->wire[0] ? name->wire + name->wire[0] + 1 : name->wire;
	struct wire_reply reply = { .authoritative = true,
				    .recursion = dns->forward,
				    .zone = zone,
				    .ttl = lowest_ttl(dns, name),
				    .ede = WIRE_EDE_NONE };

	send_reply(dns, client, query, &reply);
}

/* Not ours. Transfers are no queries that an upstream could answer. */
static void send_elsewhere(struct dns *dns, const struct client *client,
			   const struct wire_query *query)
{
	if (query->type == WIRE_AXFR || query->type == WIRE_IXFR)
		send_error(dns, client, query, WIRE_REFUSED, WIRE_EDE_NOT_AUTHORITATIVE, NULL);
	else if (!dns->forward || !query->rd)
		send_error(dns, client, query, WIRE_REFUSED, WIRE_EDE_NOT_AUTHORITATIVE, NULL);
	else if (forward_query(dns->forward, client, query) < 0)
		send_error(dns, client, query, WIRE_SERVFAIL, WIRE_EDE_NO_REACHABLE_AUTHORITY,
			   "no upstream can be asked now");
}

/* One writer: what another store may have put between load and store is nobody's. */
static void stamp(struct dns *dns, const struct table_name *name, uint64_t now)
{
	for (uint32_t i = 0; i < name->service_count; i++) {
		struct usage *usage = &dns->usage[table_nth(dns->table, name, i)->id];
		uint64_t queries = atomic_load_explicit(&usage->queries, memory_order_relaxed);

		atomic_store_explicit(&usage->queries, queries + 1, memory_order_relaxed);
		atomic_store_explicit(&usage->last_query, now, memory_order_relaxed);
	}
}

/* Of those whose addresses the answer needs, the ones that sleep. */
static unsigned find_asleep(const struct dns *dns, const struct table_name *name, uint16_t type,
			    struct table_service *asleep[WAIT_SERVICES_MAX])
{
	unsigned count = 0;

	for (uint32_t i = 0; i < name->service_count && count < WAIT_SERVICES_MAX; i++) {
		struct table_service *service = table_nth(dns->table, name, i);

		if (!service->ready && address_count(service, type))
			asleep[count++] = service;
	}
	return count;
}

static void park(struct dns *dns, const struct client *client, const struct wire_query *query,
		 uint64_t arrived, struct table_service *const *asleep, unsigned count)
{
	struct wait_query waiting = { .client = *client,
				      .arrived = arrived,
				      .packet = query->packet,
				      .size = query->size };
	struct wait_queue *queues[WAIT_SERVICES_MAX];
	uint32_t limit = UINT32_MAX;

	for (unsigned i = 0; i < count; i++) {
		queues[i] = &asleep[i]->waiters;
		if (asleep[i]->wait_limit < limit)
			limit = asleep[i]->wait_limit;
	}
	switch (wait_park(dns->wait, &waiting, queues, count, arrived + limit * USEC_PER_MSEC)) {
	case WAIT_FULL:
		send_error(dns, client, query, WIRE_SERVFAIL, WIRE_EDE_OTHER,
			   "too many queries wait");
		return;
	case WAIT_FOLDED:
		listen_skip(dns->listener, client);
		return;
	case WAIT_PARKED:
		break;
	}
	for (unsigned i = 0; i < count; i++)
		dns_want(dns, asleep[i], client, query);
}

static void route(struct dns *dns, const struct client *client, const struct wire_query *query,
		  uint64_t arrived, bool again)
{
	struct table_service *asleep[WAIT_SERVICES_MAX];
	struct table_name *name = table_find(dns->table, query->name, query->name_size);
	unsigned count;

	if (!name) {
		send_elsewhere(dns, client, query);
		return;
	}
	if (!again)
		stamp(dns, name, arrived);
	if (query->class != WIRE_IN || query->type == WIRE_AXFR || query->type == WIRE_IXFR) {
		send_error(dns, client, query, WIRE_REFUSED, WIRE_EDE_NONE, NULL);
		return;
	}
	count = find_asleep(dns, name, query->type, asleep);
	if (count) {
		park(dns, client, query, arrived, asleep, count);
		return;
	}
	count = collect(dns, name, query->type, false);
	if (count)
		send_addresses(dns, client, query, name, count);
	else
		send_nodata(dns, client, query, name);
}

void answer_query(void *arg, const struct client *client, uint8_t *packet, size_t size,
		  uint64_t now)
{
	struct dns *dns = arg;
	struct wire_query query;

	switch (wire_parse(dns->wire, packet, size, client->stream, &query)) {
	case WIRE_DROP:
		listen_skip(dns->listener, client);
		break;
	case WIRE_ERROR:
		send_error(dns, client, &query, query.rcode, WIRE_EDE_NONE, NULL);
		break;
	case WIRE_QUERY:
		route(dns, client, &query, now, false);
		break;
	}
}

void answer_waited(void *arg, const struct wait_query *waited, enum wait_end end)
{
	struct dns *dns = arg;
	const struct client *client = &waited->client;
	struct wire_query query;
	struct table_name *name;
	unsigned count = 0;

	/* It was sound when it was parked. */
	wire_parse(dns->wire, waited->packet, waited->size, client->stream, &query);
	name = table_find(dns->table, query.name, query.name_size);
	if (end == WAIT_AGAIN || !name) {
		route(dns, client, &query, waited->arrived, true);
		return;
	}
	/* Of several services some may have failed: then those that are ready will do. */
	if (end != WAIT_LIMIT)
		count = collect(dns, name, query.type, true);
	if (!count && end == WAIT_FAILED) {
		send_error(dns, client, &query, WIRE_SERVFAIL, dns->failure_code,
			   dns->failure_text);
		return;
	}
	if (!count)
		count = collect(dns, name, query.type, false);
	if (count)
		send_addresses(dns, client, &query, name, count);
	else
		send_nodata(dns, client, &query, name);
}

void answer_forwarded(void *arg, const struct client *client, const struct wire_query *query,
		      const uint8_t *response, size_t size)
{
	struct dns *dns = arg;

	if (!response) {
		send_error(dns, client, query, WIRE_SERVFAIL, WIRE_EDE_NO_REACHABLE_AUTHORITY,
			   "no upstream answered");
		return;
	}
	size = wire_relay(dns->wire, query, response, size, dns->out);
	listen_reply(dns->listener, client, dns->out, size);
}
