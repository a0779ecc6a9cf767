#include "dns/answer.h"

#include <string.h>
#include <time.h>

#include "base/loop.h"
#include "dns/elsewhere.h"
#include "dns/limit.h"
#include "dns/listen.h"
#include "dns/own.h"
#include "dns/reply.h"
#include "dns/settings.h"
#include "dns/table.h"
#include "dns/wakes.h"
#include "dns/zone.h"
#include "proto/usage.h"

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

/* ede: WIRE_EDE_NONE, or why they should not be relied on yet. */
static void send_addresses(struct dns *dns, const struct client *client,
			   const struct wire_query *query, struct table_name *name, unsigned count,
			   int ede, const char *text)
{
	struct wire_reply reply = { .authoritative = true,
				    .addresses = dns->addresses,
				    .address_count = count,
				    .rotate = table_turn(name, query->type == WIRE_AAAA),
				    .ttl = lowest_ttl(dns, name),
				    .ede = ede,
				    .ede_text = text };

	reply_send(dns, client, query, &reply);
}

/* The name exists, the type does not. */
static void send_nodata(struct dns *dns, const struct client *client,
			const struct wire_query *query, const struct table_name *name)
{
	const struct zone *zone = zone_find(dns->settings->zones, query->name, query->name_size);

	/* A wildcard's zone is derived from its own name. */
	reply_negative(dns, client, query, WIRE_NOERROR, zone, name->wire, name->size,
		       lowest_ttl(dns, name));
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

/* Whether a query may start what it needs: asked only for what nobody has asked for yet. */
static enum wakes_verdict check_wakes(struct dns *dns, const struct client *client,
				      const struct wire_query *query,
				      struct table_service *const *services, unsigned count,
				      uint64_t now)
{
	for (unsigned i = 0; i < count; i++)
		if (!services[i]->wanted)
			return wakes_check(dns->wakes, &client->peer.any, query->proven, now);
	return WAKES_GO;
}

/* It may not start anything now. */
static void turn_away(struct dns *dns, const struct client *client, const struct wire_query *query,
		      struct table_name *name, enum wakes_verdict verdict)
{
	struct usage_counters *counters = usage_counters(dns->usage);
	unsigned count = collect(dns, name, query->type, true);

	usage_count(verdict == WAKES_PROVE ? &counters->wakes_unproven : &counters->wakes_refused);
	if (count)
		send_addresses(dns, client, query, name, count, WIRE_EDE_NONE, NULL);
	else if (verdict == WAKES_PROVE)
		reply_prove(dns, client, query);
	else
		reply_error(dns, client, query, WIRE_SERVFAIL, WIRE_EDE_NOT_READY,
			    "too many services are being started");
}

static void park(struct dns *dns, const struct client *client, const struct wire_query *query,
		 uint64_t arrived, struct table_service *const *asleep, unsigned count)
{
	struct wait_query waiting = {
		.client = *client, .arrived = arrived, .packet = query->packet, .size = query->size
	};
	struct wait_queue *queues[WAIT_SERVICES_MAX];
	uint32_t limit = UINT32_MAX;

	for (unsigned i = 0; i < count; i++) {
		queues[i] = &asleep[i]->waiters;
		if (asleep[i]->wait_limit < limit)
			limit = asleep[i]->wait_limit;
	}
	switch (wait_park(dns->wait, &waiting, queues, count, arrived + limit * USEC_PER_MSEC)) {
	case WAIT_FULL:
		reply_error(dns, client, query, WIRE_SERVFAIL, WIRE_EDE_OTHER,
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

/* A query for what the name has not, answered already, still is a reason to start some. */
static void wake_for_any(struct dns *dns, const struct client *client,
			 const struct wire_query *query, const struct table_name *name,
			 uint64_t now)
{
	for (uint32_t i = 0; i < name->service_count; i++) {
		struct table_service *service = table_nth(dns->table, name, i);

		if ((service->flags & MESSAGE_SERVICE_WAKE_ANY) && !service->ready &&
		    check_wakes(dns, client, query, &service, 1, now) == WAKES_GO)
			dns_want(dns, service, client, query);
	}
}

/* The name's services; NULL if it has none, or is none of ours. */
static struct table_name *find_name(const struct dns *dns, const struct wire_query *query,
				    const struct zone *zone)
{
	struct table_name *name = table_find(dns->table, query->name, query->name_size);

	return name && zone && !own_accepts(zone, name, query) ? NULL : name;
}

/* first: it has just come, and has not waited before. */
static void answer_name(struct dns *dns, const struct client *client,
			const struct wire_query *query, struct table_name *name, uint64_t arrived,
			bool first)
{
	struct table_service *asleep[WAIT_SERVICES_MAX];
	enum wakes_verdict verdict = WAKES_GO;
	unsigned count = find_asleep(dns, name, query->type, asleep);

	if (count) {
		if (first)
			verdict = check_wakes(dns, client, query, asleep, count, arrived);
		if (verdict == WAKES_GO)
			park(dns, client, query, arrived, asleep, count);
		else
			turn_away(dns, client, query, name, verdict);
		return;
	}
	count = collect(dns, name, query->type, false);
	if (count) {
		send_addresses(dns, client, query, name, count, WIRE_EDE_NONE, NULL);
		return;
	}
	send_nodata(dns, client, query, name);
	wake_for_any(dns, client, query, name, arrived);
}

static void route(struct dns *dns, const struct client *client, const struct wire_query *query,
		  uint64_t arrived, bool first)
{
	const struct zone *zone = zone_find(dns->settings->zones, query->name, query->name_size);
	struct table_name *name = find_name(dns, query, zone);
	bool ours = name || zone;

	if (name && first)
		stamp(dns, name, arrived);
	if (query->class == WIRE_CH && own_identity(dns, client, query))
		return;
	if (ours && query->class != WIRE_IN) {
		reply_error(dns, client, query, WIRE_REFUSED, WIRE_EDE_NOT_AUTHORITATIVE, NULL);
	} else if (ours && (query->type == WIRE_AXFR || query->type == WIRE_IXFR)) {
		reply_error(dns, client, query, WIRE_REFUSED, WIRE_EDE_PROHIBITED, NULL);
	} else if (name) {
		if (own_at_name(dns, client, query, zone, lowest_ttl(dns, name)))
			wake_for_any(dns, client, query, name, arrived);
		else
			answer_name(dns, client, query, name, arrived, first);
	} else if (query->class != WIRE_IN || !own_without_service(dns, client, query, zone)) {
		elsewhere_send(dns, client, query);
	}
}

static bool is_proven(const struct dns *dns, const struct client *client,
		      const struct wire_query *query)
{
	const struct wire_cookie_secrets *secrets = &dns->settings->cookies;

	return client->stream || (query->cookie && secrets->enabled &&
				  wire_cookie_check(secrets, query->cookie, query->cookie_size,
						    &client->peer.any, (uint64_t)time(NULL)));
}

void answer_query(void *arg, const struct client *client, uint8_t *packet, size_t size,
		  uint64_t now)
{
	struct dns *dns = arg;
	struct wire_query query;

	enum wire_verdict verdict = wire_parse(dns->wire, packet, size, client->stream, &query);

	if (verdict == WIRE_DROP) {
		listen_skip(dns->listener, client);
		return;
	}
	query.proven = is_proven(dns, client, &query);
	switch (query.proven ? RATE_PASS : rate_check(dns->rate, &client->peer.any, now)) {
	case RATE_DROP:
		usage_count(&usage_counters(dns->usage)->rate_dropped);
		listen_skip(dns->listener, client);
		return;
	case RATE_SLIP:
		usage_count(&usage_counters(dns->usage)->rate_slipped);
		reply_prove(dns, client, &query);
		return;
	case RATE_PASS:
		break;
	}
	if (verdict == WIRE_ERROR)
		reply_error(dns, client, &query, query.rcode, WIRE_EDE_NONE, NULL);
	else
		route(dns, client, &query, now, true);
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
	name = find_name(dns, &query, zone_find(dns->settings->zones, query.name, query.name_size));
	if (end == WAIT_AGAIN || !name) {
		route(dns, client, &query, waited->arrived, false);
		return;
	}
	/* Of several services some may have failed: then those that are ready will do. */
	if (end != WAIT_LIMIT)
		count = collect(dns, name, query.type, true);
	if (!count && end == WAIT_FAILED) {
		reply_error(dns, client, &query, WIRE_SERVFAIL, dns->failure_code,
			    dns->failure_text);
		return;
	}
	if (!count)
		count = collect(dns, name, query.type, false);
	if (count && end == WAIT_LIMIT)
		send_addresses(dns, client, &query, name, count, WIRE_EDE_NOT_READY, "starting");
	else if (count)
		send_addresses(dns, client, &query, name, count, WIRE_EDE_NONE, NULL);
	else
		send_nodata(dns, client, &query, name);
}
