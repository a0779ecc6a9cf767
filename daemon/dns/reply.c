#include "dns/reply.h"

#include <time.h>

#include "base/loop.h"
#include "dns/elsewhere.h"
#include "dns/listen.h"
#include "dns/settings.h"
#include "dns/tcp.h"
#include "dns/zone.h"

#define KEEPALIVE_UNIT (USEC_PER_SEC / 10)

/* What every answer bears to whom it goes to. The cookie's bytes are the caller's. */
static void complete(const struct dns *dns, const struct client *client,
		     const struct wire_query *query, struct wire_reply *reply,
		     uint8_t cookie[WIRE_COOKIE_SIZE])
{
	const struct dns_settings *settings = dns->settings;

	reply->recursion = elsewhere_is_offered(dns, client);
	if (query->cookie && settings->cookies.enabled && wire_cookie_sound(query->cookie_size)) {
		wire_cookie_make(&settings->cookies, query->cookie, &client->peer.any,
				 (uint64_t)time(NULL), cookie);
		reply->cookie = cookie;
	}
	if (query->nsid)
		reply->nsid = settings->identity;
	if (query->keepalive && query->stream)
		reply->keepalive = TCP_IDLE_USEC / KEEPALIVE_UNIT;
}

void reply_send(struct dns *dns, const struct client *client, const struct wire_query *query,
		struct wire_reply *reply)
{
	uint8_t cookie[WIRE_COOKIE_SIZE];

	complete(dns, client, query, reply, cookie);
	listen_reply(dns->listener, client, dns->out,
		     wire_build(dns->wire, query, reply, dns->out));
}

void reply_relay(struct dns *dns, const struct client *client, const struct wire_query *query,
		 const uint8_t *response, size_t size)
{
	struct wire_reply reply = { .truncated = true, .ede = WIRE_EDE_NONE };
	uint8_t cookie[WIRE_COOKIE_SIZE];

	complete(dns, client, query, &reply, cookie);
	listen_reply(dns->listener, client, dns->out,
		     wire_relay(dns->wire, query, response, size, &reply, dns->out));
}

void reply_error(struct dns *dns, const struct client *client, const struct wire_query *query,
		 uint16_t rcode, int ede, const char *text)
{
	struct wire_reply reply = { .rcode = rcode, .ede = ede, .ede_text = text };

	reply_send(dns, client, query, &reply);
}

/* It moves on when the table has changed and somebody looks: the time, or one more. */
static uint32_t current_serial(struct dns *dns)
{
	uint32_t now = (uint32_t)time(NULL);

	if (dns->changed || !dns->serial)
		dns->serial = now > dns->serial ? now : dns->serial + 1;
	dns->changed = false;
	return dns->serial;
}

static void make_soa(struct dns *dns, const struct zone *zone, const uint8_t *apex, uint32_t ttl,
		     struct wire_record *record, uint8_t data[ZONE_SOA_MAX])
{
	/* A derived zone's is none that anybody compares. */
	zone_soa(record, data, zone, apex, ttl, zone ? current_serial(dns) : 1);
}

void reply_negative(struct dns *dns, const struct client *client, const struct wire_query *query,
		    uint16_t rcode, const struct zone *zone, const uint8_t *name, size_t size,
		    uint32_t ttl)
{
	uint8_t data[ZONE_SOA_MAX];
	struct wire_record soa;
	struct wire_reply reply = { .rcode = rcode,
				    .authoritative = true,
				    .authority = { &soa, 1 },
				    .ede = WIRE_EDE_NONE };

	make_soa(dns, zone, zone ? NULL : zone_derive(name, size), ttl, &soa, data);
	reply_send(dns, client, query, &reply);
}

void reply_soa(struct dns *dns, const struct client *client, const struct wire_query *query,
	       const struct zone *zone, const uint8_t *apex, uint32_t ttl)
{
	uint8_t data[ZONE_SOA_MAX];
	struct wire_record soa;
	struct wire_reply reply = { .authoritative = true,
				    .answer = { &soa, 1 },
				    .ede = WIRE_EDE_NONE };

	make_soa(dns, zone, apex, ttl, &soa, data);
	soa.owner = NULL; /* the query's name, in its case */
	reply_send(dns, client, query, &reply);
}

void reply_prove(struct dns *dns, const struct client *client, const struct wire_query *query)
{
	bool cookie = query->cookie && dns->settings->cookies.enabled;
	struct wire_reply reply = { .rcode = cookie ? WIRE_BADCOOKIE : WIRE_NOERROR,
				    .truncated = !cookie,
				    .ede = WIRE_EDE_NONE };

	reply_send(dns, client, query, &reply);
}
