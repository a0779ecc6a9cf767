#include "dns/zone.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "dns/settings.h"

/* What an SOA says to secondaries, which there are none of. */
#define SOA_REFRESH 3600
#define SOA_RETRY   900
#define SOA_EXPIRE  604800

#define V6_NETWORK_LABELS 18 /* sixteen nibbles, ip6, arpa */

struct zone_set {
	struct zone *zones;
	struct zone_server *servers; /* those of each zone in a row */
	size_t count, server_count;
};

static const uint8_t in_addr_arpa[] = "\007in-addr\004arpa";
static const uint8_t ip6_arpa[] = "\003ip6\004arpa";

/* Whether name is at or below the zone that begins with apex. */
static bool is_within(const uint8_t *name, size_t size, const uint8_t *apex, size_t apex_size)
{
	while (size > apex_size) {
		size -= name[0] + 1u;
		name += name[0] + 1;
	}
	return size == apex_size && memcmp(name, apex, size) == 0;
}

static unsigned count_labels(const uint8_t *name)
{
	unsigned count = 0;

	for (; *name; name += *name + 1)
		count++;
	return count;
}

static const uint8_t *last_labels(const uint8_t *name, unsigned keep)
{
	for (unsigned count = count_labels(name); count > keep; count--)
		name += *name + 1;
	return name;
}

static int read_name(const char *text, const char *key, uint8_t *out, uint16_t *size,
		     struct error *err)
{
	size_t made = wire_name_read(text, out);

	if (made == 0)
		return error_field(err, ERROR_INPUT, key, text, "expected a DNS name");
	wire_name_fold(out, out, made);
	*size = (uint16_t)made;
	return 0;
}

static int read_zone(struct zone *zone, const char *text, const struct dns_texts *texts,
		     struct error *err)
{
	static const uint8_t hostmaster[] = "\012hostmaster";
	char mbox[2 * WIRE_NAME_MAX];
	size_t used = 0;
	const char *at;

	if (read_name(text, "zones", zone->apex, &zone->size, err) < 0)
		return -1;
	zone->ttl = (uint32_t)texts->ttl;
	if (!texts->mbox) {
		if (sizeof hostmaster - 1 + zone->size > WIRE_NAME_MAX)
			return error_field(err, ERROR_INPUT, "zones", text,
					   "expected a shorter name, with room for hostmaster");
		memcpy(zone->mbox, hostmaster, sizeof hostmaster - 1);
		memcpy(zone->mbox + sizeof hostmaster - 1, zone->apex, zone->size);
		zone->mbox_size = (uint16_t)(sizeof hostmaster - 1 + zone->size);
		return 0;
	}
	at = strchr(texts->mbox, '@');
	if (!at)
		return read_name(texts->mbox, "mbox", zone->mbox, &zone->mbox_size, err);
	/* RFC 1035, 8: the mailbox's name is the first label, its dots and all. */
	for (const char *c = texts->mbox; c < at && used + 2 < WIRE_NAME_MAX; c++) {
		if (*c == '.')
			mbox[used++] = '\\';
		mbox[used++] = *c;
	}
	snprintf(mbox + used, sizeof mbox - used, ".%s", at + 1);
	if (at == texts->mbox || !at[1] || wire_name_read(mbox, zone->mbox) == 0)
		return error_field(err, ERROR_INPUT, "mbox", texts->mbox,
				   "expected a mailbox such as hostmaster@example.org");
	return read_name(mbox, "mbox", zone->mbox, &zone->mbox_size, err);
}

/* Adds an address; -1 if it is none. wildcard: 0.0.0.0 and :: are passed over. */
static int add_address(struct zone_server *server, const char *text, bool wildcard)
{
	static const uint8_t any[16];
	uint8_t bytes[16], **list;
	unsigned *count;
	size_t size;

	if (inet_pton(AF_INET, text, bytes) == 1) {
		size = 4;
		list = &server->v4;
		count = &server->v4_count;
	} else if (inet_pton(AF_INET6, text, bytes) == 1) {
		size = 16;
		list = &server->v6;
		count = &server->v6_count;
	} else {
		return -1;
	}
	if (wildcard && memcmp(bytes, any, size) == 0)
		return 0;
	*list = reallocarray(*list, *count + 1, size);
	if (!*list)
		abort();
	memcpy(*list + *count * size, bytes, size);
	++*count;
	return 0;
}

static struct zone_server *get_server(struct zone_server *servers, unsigned *count,
				      const uint8_t *name, uint16_t size)
{
	struct zone_server *server;

	for (unsigned i = 0; i < *count; i++)
		if (servers[i].name_size == size && memcmp(servers[i].name, name, size) == 0)
			return &servers[i];
	if (*count == ZONE_SERVERS_MAX)
		return NULL;
	server = &servers[(*count)++];
	server->name_size = size;
	memcpy(server->name, name, size);
	return server;
}

/* One entry of `ns`: NAME or NAME=ADDR. */
static int read_server(struct zone_server *servers, unsigned *count, const char *text,
		       struct error *err)
{
	const char *equals = strchr(text, '=');
	cleanup_free char *name = equals ? strndup(text, (size_t)(equals - text)) : strdup(text);
	struct zone_server *server;
	uint8_t wire[WIRE_NAME_MAX];
	uint16_t size = 0;

	if (!name)
		abort();
	if (read_name(name, "ns", wire, &size, err) < 0)
		return -1;
	server = get_server(servers, count, wire, size);
	if (!server)
		return error_field(err, ERROR_INPUT, "ns", text, "expected at most %d names",
				   ZONE_SERVERS_MAX);
	if (equals && add_address(server, equals + 1, false) < 0)
		return error_field(err, ERROR_INPUT, "ns", text, "expected NAME or NAME=ADDRESS");
	return 0;
}

/* ns.ZONE, at the addresses that we listen on. */
static int make_server(struct zone_server *server, const struct zone *zone, const char *text,
		       const struct dns_texts *texts, struct error *err)
{
	if (zone->size + 3 > WIRE_NAME_MAX)
		return error_field(err, ERROR_INPUT, "zones", text,
				   "expected a shorter name, with room for ns");
	memcpy(server->name, "\2ns", 3);
	memcpy(server->name + 3, zone->apex, zone->size);
	server->name_size = (uint16_t)(zone->size + 3);
	for (size_t i = 0; i < texts->bind_count; i++)
		add_address(server, texts->bind[i], true);
	return 0;
}

int zone_set_read(struct zone_set **set, const struct dns_texts *texts, struct error *err)
{
	struct zone_set *made;
	unsigned servers = 0;

	*set = NULL;
	if (!texts->zone_count)
		return 0;
	made = calloc(1, sizeof *made);
	if (!made)
		abort();
	made->zones = calloc(texts->zone_count, sizeof *made->zones);
	made->server_count = texts->zone_count + ZONE_SERVERS_MAX;
	made->servers = calloc(made->server_count, sizeof *made->servers);
	if (!made->zones || !made->servers)
		abort();
	for (size_t i = 0; i < texts->ns_count; i++)
		if (read_server(made->servers, &servers, texts->ns[i], err) < 0)
			goto fail;
	for (size_t i = 0; i < texts->zone_count; i++) {
		struct zone *zone = &made->zones[i];

		if (read_zone(zone, texts->zones[i], texts, err) < 0)
			goto fail;
		for (size_t j = 0; j < i; j++) {
			if (made->zones[j].size == zone->size &&
			    memcmp(made->zones[j].apex, zone->apex, zone->size) == 0) {
				error_field(err, ERROR_INPUT, "zones", texts->zones[i],
					    "expected each zone once");
				goto fail;
			}
		}
		zone->servers = made->servers;
		zone->server_count = servers;
		if (servers)
			continue;
		zone->servers = &made->servers[ZONE_SERVERS_MAX + i];
		zone->server_count = 1;
		if (make_server(&made->servers[ZONE_SERVERS_MAX + i], zone, texts->zones[i], texts,
				err) < 0)
			goto fail;
	}
	made->count = texts->zone_count;
	*set = made;
	return 0;
fail:
	zone_set_free(made);
	return -1;
}

void zone_set_free(struct zone_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->server_count; i++) {
		free(set->servers[i].v4);
		free(set->servers[i].v6);
	}
	free(set->servers);
	free(set->zones);
	free(set);
}

const struct zone *zone_find(const struct zone_set *set, const uint8_t *name, size_t size)
{
	const struct zone *found = NULL;

	for (size_t i = 0; set && i < set->count; i++) {
		const struct zone *zone = &set->zones[i];

		if ((!found || zone->size > found->size) &&
		    is_within(name, size, zone->apex, zone->size))
			found = zone;
	}
	return found;
}

static bool has_host(const struct zone *zone, const struct zone_server *server)
{
	return is_within(server->name, server->name_size, zone->apex, zone->size);
}

enum zone_own zone_own(const struct zone *zone, const uint8_t *name, size_t size,
		       const struct zone_server **server)
{
	enum zone_own own = size == zone->size ? ZONE_OWN_APEX : ZONE_OWN_NOTHING;

	*server = NULL;
	for (unsigned i = 0; i < zone->server_count; i++) {
		const struct zone_server *one = &zone->servers[i];

		if (!has_host(zone, one) || !is_within(one->name, one->name_size, name, size))
			continue;
		if (own == ZONE_OWN_NOTHING)
			own = ZONE_OWN_EMPTY;
		if (one->name_size != size)
			continue;
		*server = one;
		return own == ZONE_OWN_APEX ? own : ZONE_OWN_HOST;
	}
	return own;
}

size_t zone_encloser(const struct zone *zone, const uint8_t *name, size_t size)
{
	const struct zone_server *server;

	while (zone_own(zone, name, size, &server) == ZONE_OWN_NOTHING) {
		size -= name[0] + 1u;
		name += name[0] + 1;
	}
	return size;
}

const uint8_t *zone_derive(const uint8_t *name, size_t size)
{
	if (*name && is_within(name, size, in_addr_arpa, sizeof in_addr_arpa))
		return last_labels(name, count_labels(name) - 1);
	if (is_within(name, size, ip6_arpa, sizeof ip6_arpa))
		return last_labels(name, V6_NETWORK_LABELS);
	return last_labels(name, 2);
}

static uint8_t *put_name(uint8_t *p, const uint8_t *name)
{
	size_t size = wire_name_size(name, WIRE_NAME_MAX);

	memcpy(p, name, size);
	return p + size;
}

static uint8_t *put_number(uint8_t *p, uint32_t number)
{
	number = htonl(number);
	memcpy(p, &number, sizeof number);
	return p + sizeof number;
}

void zone_soa(struct wire_record *record, uint8_t data[ZONE_SOA_MAX], const struct zone *zone,
	      const uint8_t *apex, uint32_t ttl, uint32_t serial)
{
	static const uint8_t hostmaster[] = "\012hostmaster";
	const uint32_t negative = zone ? zone->ttl : ttl;
	const uint32_t numbers[] = { serial, SOA_REFRESH, SOA_RETRY, SOA_EXPIRE, negative };
	uint8_t *p = data;

	if (zone) {
		apex = zone->apex;
		p = put_name(p, zone->servers[0].name);
		p = put_name(p, zone->mbox);
	} else {
		size_t size = wire_name_size(apex, WIRE_NAME_MAX);

		p = put_name(p, apex);
		if (sizeof hostmaster - 1 + size <= WIRE_NAME_MAX) {
			memcpy(p, hostmaster, sizeof hostmaster - 1);
			p += sizeof hostmaster - 1;
		}
		p = put_name(p, apex);
	}
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		p = put_number(p, numbers[i]);
	*record = (struct wire_record){ .owner = apex,
					.type = WIRE_SOA,
					.class = WIRE_IN,
					.ttl = negative, /* RFC 2308, 3 */
					.data = data,
					.size = (uint16_t)(p - data) };
}

unsigned zone_ns(const struct zone *zone, struct wire_record records[ZONE_SERVERS_MAX])
{
	for (unsigned i = 0; i < zone->server_count; i++)
		records[i] = (struct wire_record){ .owner = zone->apex,
						   .type = WIRE_NS,
						   .class = WIRE_IN,
						   .ttl = zone->ttl,
						   .data = zone->servers[i].name,
						   .size = zone->servers[i].name_size };
	return zone->server_count;
}

/* A label of one to three digits, without zeros in front; -1 if it is none. */
static int read_octet(const uint8_t *label)
{
	int value = 0;

	if (label[0] < 1 || label[0] > 3 || (label[0] > 1 && label[1] == '0'))
		return -1;
	for (unsigned i = 1; i <= label[0]; i++) {
		if (label[i] < '0' || label[i] > '9')
			return -1;
		value = value * 10 + label[i] - '0';
	}
	return value <= 255 ? value : -1;
}

static int read_nibble(const uint8_t *label)
{
	uint8_t c = label[1];

	if (label[0] != 1)
		return -1;
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t zone_reverse(const uint8_t *name, size_t size, uint8_t address[16])
{
	unsigned labels = count_labels(name);
	int value;

	if (labels == 4 + 2 && is_within(name, size, in_addr_arpa, sizeof in_addr_arpa)) {
		for (unsigned i = 4; i-- > 0; name += *name + 1) {
			value = read_octet(name);
			if (value < 0)
				return 0;
			address[i] = (uint8_t)value;
		}
		return 4;
	}
	if (labels == 32 + 2 && is_within(name, size, ip6_arpa, sizeof ip6_arpa)) {
		memset(address, 0, 16);
		for (unsigned i = 32; i-- > 0; name += *name + 1) {
			value = read_nibble(name);
			if (value < 0)
				return 0;
			address[i / 2] |= (uint8_t)(i % 2 ? value : value << 4);
		}
		return 16;
	}
	return 0;
}

bool zone_reverse_above(const uint8_t *name, size_t size)
{
	unsigned labels = count_labels(name);

	return (labels < 4 + 2 && is_within(name, size, in_addr_arpa, sizeof in_addr_arpa)) ||
	       (labels < 32 + 2 && is_within(name, size, ip6_arpa, sizeof ip6_arpa));
}
