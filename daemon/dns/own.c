#include "dns/own.h"

#include <string.h>

#include "base/cleanup.h"
#include "dns/reply.h"
#include "dns/settings.h"
#include "dns/table.h"
#include "dns/zone.h"

#define PTR_MAX	 64
#define GLUE_MAX 64
#define TEXT_MAX 255

bool own_identity(struct dns *dns, const struct client *client, const struct wire_query *query)
{
	/* Wire format; the first two are the same question. */
	static const char *const names[] = { "\002id\006server", "\010hostname\004bind",
					     "\007version\006server", "\007version\004bind" };
	const char *identity = dns->settings->identity;
	uint8_t text[1 + TEXT_MAX];
	struct wire_record record = { .type = WIRE_TXT, .class = WIRE_CH, .data = text };
	struct wire_reply reply = { .authoritative = true,
				    .answer = { &record, 1 },
				    .ede = WIRE_EDE_NONE };
	size_t which = 0;

	while (which < ARRAY_SIZE(names) &&
	       (query->name_size != strlen(names[which]) + 1 ||
		memcmp(query->name, names[which], query->name_size) != 0))
		which++;
	if (which == ARRAY_SIZE(names))
		return false;
	if (which >= 2 || !identity || (query->type != WIRE_TXT && query->type != WIRE_ANY)) {
		reply_error(dns, client, query, WIRE_REFUSED, WIRE_EDE_PROHIBITED, NULL);
		return true;
	}
	text[0] = (uint8_t)strnlen(identity, TEXT_MAX);
	memcpy(text + 1, identity, text[0]);
	record.size = (uint16_t)(1 + text[0]);
	reply_send(dns, client, query, &reply);
	return true;
}

/* RFC 8482, 4.2: instead of all that there is, for which a guest would have to be started. */
static void send_hinfo(struct dns *dns, const struct client *client, const struct wire_query *query,
		       uint32_t ttl)
{
	static const uint8_t data[] = "\007RFC8482"; /* the OS is the empty string at its end */
	const struct wire_record record = {
		.type = WIRE_HINFO, .class = WIRE_IN, .ttl = ttl, .data = data, .size = sizeof data
	};
	struct wire_reply reply = { .authoritative = true,
				    .answer = { &record, 1 },
				    .ede = WIRE_EDE_NONE };

	reply_send(dns, client, query, &reply);
}

/* The addresses of those servers whose names are in the zone. */
static unsigned put_glue(const struct zone *zone, struct wire_record records[GLUE_MAX])
{
	const struct zone_server *found;
	unsigned count = 0;

	for (unsigned i = 0; i < zone->server_count; i++) {
		const struct zone_server *server = &zone->servers[i];

		if (zone_own(zone, server->name, server->name_size, &found) < ZONE_OWN_HOST ||
		    found != server)
			continue;
		for (unsigned a = 0; a < server->v4_count + server->v6_count; a++) {
			bool v4 = a < server->v4_count;

			if (count == GLUE_MAX)
				return count;
			records[count++] = (struct wire_record){
				.owner = server->name,
				.type = v4 ? WIRE_A : WIRE_AAAA,
				.class = WIRE_IN,
				.ttl = zone->ttl,
				.data = v4 ? server->v4 + a * 4
					   : server->v6 + (a - server->v4_count) * 16,
				.size = v4 ? 4 : 16,
			};
		}
	}
	return count;
}

static void send_ns(struct dns *dns, const struct client *client, const struct wire_query *query,
		    const struct zone *zone)
{
	struct wire_record records[ZONE_SERVERS_MAX], glue[GLUE_MAX];
	unsigned count = zone_ns(zone, records);
	struct wire_reply reply = { .authoritative = true,
				    .answer = { records, count },
				    .additional = { glue, put_glue(zone, glue) },
				    .ede = WIRE_EDE_NONE };

	for (unsigned i = 0; i < count; i++)
		records[i].owner = NULL;
	reply_send(dns, client, query, &reply);
}

bool own_at_name(struct dns *dns, const struct client *client, const struct wire_query *query,
		 const struct zone *zone, uint32_t ttl)
{
	const uint8_t *apex = zone ? zone->apex : zone_derive(query->name, query->name_size);
	bool at_apex = wire_name_size(apex, WIRE_NAME_MAX) == query->name_size;

	if (query->type == WIRE_ANY)
		send_hinfo(dns, client, query, ttl);
	else if (query->type == WIRE_SOA && at_apex)
		reply_soa(dns, client, query, zone, apex, ttl);
	else if (query->type == WIRE_NS && at_apex && zone)
		send_ns(dns, client, query, zone);
	else
		return false;
	return true;
}

static void send_ptr(struct dns *dns, const struct client *client, const struct wire_query *query,
		     struct table_service *const *services, unsigned count)
{
	struct wire_record records[PTR_MAX];
	struct wire_reply reply = { .authoritative = true, .ede = WIRE_EDE_NONE };
	unsigned used = 0;

	for (unsigned i = 0; i < count; i++) {
		const struct table_name *name = table_own_name(dns->table, services[i]);

		records[used++] = (struct wire_record){ .type = WIRE_PTR,
							.class = WIRE_IN,
							.ttl = services[0]->ttl,
							.data = name->wire,
							.size = name->size };
	}
	reply.answer = (struct wire_records){ records, used };
	reply_send(dns, client, query, &reply);
}

/* The name of an address that a service has. */
static bool answer_reverse(struct dns *dns, const struct client *client,
			   const struct wire_query *query, const struct zone *zone)
{
	struct table_service *services[PTR_MAX];
	unsigned found, count = 0;
	uint8_t address[16];
	size_t size = zone_reverse(query->name, query->name_size, address);

	if (!size)
		return false;
	found = table_reverse(dns->table, address, size, services, PTR_MAX);
	for (unsigned i = 0; i < found; i++)
		if (table_own_name(dns->table, services[i]))
			services[count++] = services[i];
	if (!count)
		return false;
	if (query->type == WIRE_PTR)
		send_ptr(dns, client, query, services, count);
	else if (query->type == WIRE_ANY)
		send_hinfo(dns, client, query, services[0]->ttl);
	else
		reply_negative(dns, client, query, WIRE_NOERROR, zone, query->name,
			       query->name_size, services[0]->ttl);
	return true;
}

static bool send_host(struct dns *dns, const struct client *client, const struct wire_query *query,
		      const struct zone *zone, const struct zone_server *server)
{
	struct wire_reply reply = { .authoritative = true, .ttl = zone->ttl, .ede = WIRE_EDE_NONE };

	if (query->type == WIRE_A) {
		reply.addresses = server->v4;
		reply.address_count = server->v4_count;
	} else if (query->type == WIRE_AAAA) {
		reply.addresses = server->v6;
		reply.address_count = server->v6_count;
	}
	if (!reply.address_count)
		return false;
	reply_send(dns, client, query, &reply);
	return true;
}

bool own_without_service(struct dns *dns, const struct client *client,
			 const struct wire_query *query, const struct zone *zone)
{
	const uint8_t *name = query->name;
	size_t size = query->name_size;
	const struct zone_server *server;
	enum zone_own own;
	bool exists;

	if (answer_reverse(dns, client, query, zone))
		return true;
	if (!zone)
		return false;
	own = zone_own(zone, name, size, &server);
	exists = own >= ZONE_OWN_EMPTY || table_is_empty(dns->table, name, size) ||
		 zone_reverse_above(name, size);
	if (own >= ZONE_OWN_HOST && own_at_name(dns, client, query, zone, zone->ttl))
		return true;
	if (own >= ZONE_OWN_HOST && server && send_host(dns, client, query, zone, server))
		return true;
	reply_negative(dns, client, query, exists ? WIRE_NOERROR : WIRE_NXDOMAIN, zone, name, size,
		       zone->ttl);
	return true;
}

bool own_accepts(const struct zone *zone, const struct table_name *name,
		 const struct wire_query *query)
{
	if (name->size == query->name_size && memcmp(name->wire, query->name, name->size) == 0)
		return true;
	/* A wildcard, which is two bytes longer than what it is right below. */
	return name->size - 2u >= zone_encloser(zone, query->name, query->name_size);
}
