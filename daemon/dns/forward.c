#include "dns/forward.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/loop.h"
#include "dns/exchange.h"
#include "dns/failures.h"
#include "dns/hash.h"
#include "dns/opt.h"
#include "dns/wire.h"

#define SHARES	      1024
#define LOOP_LOG_USEC (60 * USEC_PER_SEC)

struct forward {
	struct exchanges exchanges;
	uint64_t secret, loop_logged;
	uint16_t shares[SHARES]; /* waiters of the clients whose addresses fall there */
	uint8_t packet[WIRE_PACKET_MAX + OPT_SIZE];
};

struct forward *forward_new(struct loop *loop, forward_fn *done, void *arg)
{
	struct forward *forward = calloc(1, sizeof *forward);

	if (!forward)
		return NULL;
	arc4random_buf(&forward->secret, sizeof forward->secret);
	if (exchanges_open(&forward->exchanges, loop, done, arg) == 0)
		return forward;
	forward_free(forward);
	return NULL;
}

void forward_free(struct forward *forward)
{
	if (!forward)
		return;
	exchanges_close(&forward->exchanges);
	free(forward);
}

void forward_set_upstreams(struct forward *forward, const struct sockaddr_storage *upstreams,
			   size_t count)
{
	exchanges_set_upstreams(&forward->exchanges, upstreams, count);
}

size_t forward_upstreams(const struct forward *forward)
{
	return forward->exchanges.upstreams.count;
}

const struct forward_counters *forward_counters(const struct forward *forward)
{
	return &forward->exchanges.counters;
}

static uint16_t *share_of(struct forward *forward, const struct client *client)
{
	uint64_t hash = client->peer.any.sa_family == AF_INET6
				? hash_bytes(forward->secret, &client->peer.v6.sin6_addr, 8)
				: hash_bytes(forward->secret, &client->peer.v4.sin_addr, 4);

	return &forward->shares[hash % SHARES];
}

/* As many as are still free, for any one client. */
static bool is_room(const struct exchanges *exchanges, unsigned used, bool for_exchange)
{
	return used < FORWARD_WAITERS_MAX - exchanges->waiting &&
	       (!for_exchange || (exchanges->count < FORWARD_QUERIES_MAX &&
				  used < FORWARD_QUERIES_MAX - exchanges->count));
}

static int refuse(struct forward *forward, struct forward_refusal *refusal, int ede,
		  const char *text)
{
	forward->exchanges.counters.refused++;
	*refusal = (struct forward_refusal){ WIRE_SERVFAIL, ede, text };
	return -1;
}

static int refuse_loop(struct forward *forward, const struct wire_query *query,
		       struct forward_refusal *refusal)
{
	uint64_t now = loop_now(forward->exchanges.loop);

	forward->exchanges.counters.loops++;
	if (!forward->loop_logged || now - forward->loop_logged >= LOOP_LOG_USEC) {
		char name[WIRE_NAME_MAX * 4 + 1];

		forward->loop_logged = now;
		wire_name_text(name, sizeof name, query->name);
		log_warning("a forwarding loop: the query for %s came back from an upstream", name);
	}
	return refuse(forward, refusal, WIRE_EDE_OTHER, "forwarding loop");
}

/* What goes upstream, into forward->packet. Its size. */
static size_t prepare(struct forward *forward, const struct wire_query *query, struct opt *opt)
{
	uint8_t *packet = forward->packet;

	memcpy(packet, query->packet, query->size);
	if (opt_find(packet, query->size, opt) < 0)
		*opt = (struct opt){ .sealed = true };
	memset(packet, 0, 2);
	if (opt->sealed)
		return query->size;
	memcpy(packet + WIRE_HEADER_SIZE, query->name, query->name_size);
	return opt_clean(packet, query->size, opt, WIRE_UDP_MAX);
}

int forward_query(struct forward *forward, const struct client *client,
		  const struct wire_query *query, struct forward_refusal *refusal)
{
	struct exchanges *exchanges = &forward->exchanges;
	struct opt opt;
	size_t size = prepare(forward, query, &opt);
	struct exchange_query sent = {
		.packet = forward->packet,
		.size = size,
		.head = query->head,
		.edns = opt.at,
		.sealed = opt.sealed,
		.key = hash_bytes(forward->secret, forward->packet, size),
		.bucket = hash_bytes(forward->secret, query->name, query->name_size) %
			  EXCHANGE_BUCKETS,
	};
	struct exchange_found found =
		exchanges_find(exchanges, &sent, query->packet + WIRE_HEADER_SIZE);
	struct exchange *x = found.same;
	uint16_t *share = share_of(forward, client);

	exchanges->counters.queries++;
	if (found.came_back)
		return refuse_loop(forward, query, refusal);
	if (x && exchange_has(x, client, query))
		return 1;
	if (failures_find(exchanges->failures, sent.key, exchanges->upstreams.recoveries,
			  loop_now(exchanges->loop), &refusal->rcode)) {
		exchanges->counters.remembered++;
		refusal->ede = WIRE_EDE_CACHED_ERROR;
		refusal->text = "it failed not long ago";
		return -1;
	}
	if (found.variants >= FORWARD_VARIANTS_MAX && !x)
		return refuse(forward, refusal, WIRE_EDE_OTHER,
			      "too many queries for this name are under way");
	if (!is_room(exchanges, *share, !x))
		return refuse(forward, refusal, WIRE_EDE_OTHER, "too many queries are under way");
	if (!x)
		x = exchange_new(exchanges, &sent);
	if (!x || exchange_join(x, client, query, share) < 0) {
		if (x && !found.same)
			exchange_drop(x);
		return refuse(forward, refusal, WIRE_EDE_OTHER, "out of memory");
	}
	if (found.same) {
		exchanges->counters.folded++;
		return 0;
	}
	if (exchange_start(x) == 0)
		return 0;
	exchanges->counters.refused++;
	*refusal = exchange_nobody;
	return -1;
}
