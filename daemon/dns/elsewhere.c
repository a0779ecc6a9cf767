#include "dns/elsewhere.h"

#include "dns/answer.h"
#include "dns/forward.h"
#include "dns/listen.h"
#include "dns/reply.h"
#include "dns/special.h"
#include "dns/zone.h"

bool elsewhere_is_offered(const struct dns *dns, const struct client *client)
{
	return dns->hot.recursion && acl_has(dns->hot.recursion, &client->peer.any);
}

static void send_special(struct dns *dns, const struct client *client,
			 const struct wire_query *query, struct special_verdict special)
{
	static const uint8_t loopback_v4[] = { 127, 0, 0, 1 };
	static const uint8_t loopback_v6[16] = { [15] = 1 };
	struct wire_reply reply = { .authoritative = true,
				    .ttl = SPECIAL_TTL,
				    .ede = WIRE_EDE_NONE };
	uint8_t data[ZONE_SOA_MAX];
	struct wire_record soa;

	if (special.kind == SPECIAL_NXDOMAIN)
		reply.rcode = WIRE_NXDOMAIN;
	if (special.kind == SPECIAL_LOCALHOST && query->type == WIRE_A)
		reply.addresses = loopback_v4;
	else if (special.kind == SPECIAL_LOCALHOST && query->type == WIRE_AAAA)
		reply.addresses = loopback_v6;
	if (reply.addresses) {
		reply.address_count = 1;
	} else {
		zone_soa(&soa, data, NULL, special.zone, SPECIAL_TTL, 1);
		reply.authority = (struct wire_records){ &soa, 1 };
	}
	reply_send(dns, client, query, &reply);
}

/* Transfers are no queries that an upstream could answer. */
void elsewhere_send(struct dns *dns, const struct client *client, const struct wire_query *query)
{
	struct forward_refusal refusal;
	struct special_verdict special;
	int r;

	if (!dns->hot.recursion || query->type == WIRE_AXFR || query->type == WIRE_IXFR) {
		reply_error(dns, client, query, WIRE_REFUSED, WIRE_EDE_NOT_AUTHORITATIVE, NULL);
		return;
	}
	if (!elsewhere_is_offered(dns, client)) {
		reply_error(dns, client, query, WIRE_REFUSED, WIRE_EDE_PROHIBITED,
			    "only names of this server for you");
		return;
	}
	special = special_find(dns->special, query->name, query->name_size, query->type);
	if (special.kind != SPECIAL_NOT && query->class == WIRE_IN) {
		send_special(dns, client, query, special);
		return;
	}
	if (!query->rd) {
		reply_error(dns, client, query, WIRE_REFUSED, WIRE_EDE_NOT_AUTHORITATIVE, NULL);
		return;
	}
	r = forward_query(dns->forward, client, query, &refusal);
	if (r > 0)
		listen_skip(dns->listener, client);
	else if (r < 0)
		reply_error(dns, client, query, refusal.rcode, refusal.ede, refusal.text);
}

void elsewhere_forwarded(void *arg, const struct client *client, uint8_t *packet, size_t size,
			 const uint8_t *response, size_t response_size,
			 const struct forward_refusal *refusal)
{
	struct dns *dns = arg;
	struct wire_query query;

	/* It was sound when it was sent on its way. */
	wire_parse(dns->wire, packet, size, client->stream, &query);
	if (!response) {
		reply_error(dns, client, &query, refusal->rcode, refusal->ede, refusal->text);
		return;
	}
	reply_relay(dns, client, &query, response, response_size);
}
