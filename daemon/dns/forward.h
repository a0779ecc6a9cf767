/*
 * Queries that are not ours: to an upstream and back.
 *
 * An exchange is one question on its way, for everybody who asks it meanwhile: what goes upstream
 * is the client's packet but for its ID, the case of its name and the parts of its OPT that are of
 * the hop (opt.h), and who would send the same waits for the same answer. The first upstream that
 * works (upstreams.h) is asked; after FORWARD_RETRY_USEC without an answer the next one, or the
 * same again, while the earlier ones may still answer; after FORWARD_TRIES of these all have
 * failed. One that says SERVFAIL, REFUSED, NOTIMP, or FORMERR as one that does not know EDNS, is
 * passed over for the next at once; if all do, the last one's response is what the clients get. A
 * question that failed is not sent again for a while (failures.h).
 *
 * A truncated response is what a client on UDP gets; for clients on TCP the question is sent again
 * over TCP. A response that repeats the name in another case than we sent is not believed over UDP
 * but asked for over TCP.
 *
 * A query that comes back to us has the very case that we gave its name: it ends there.
 */
#ifndef JITSU_DNS_FORWARD_H
#define JITSU_DNS_FORWARD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "dns/listen.h"

#define FORWARD_RETRY_USEC (1100 * USEC_PER_MSEC)
#define FORWARD_TRIES	   4 /* in all 4.4 s: before glibc's resolver gives up */
/* Exchanges, and clients that wait for them. What is more is refused; and so that no one client can
 * fill the table, it may have as many as are still free. */
#define FORWARD_QUERIES_MAX  1024
#define FORWARD_WAITERS_MAX  4096
#define FORWARD_VARIANTS_MAX 16 /* exchanges of one question, different in flags and options */

struct loop;
struct forward;
struct wire_query;

/* Why a query gets an answer of ours instead of an upstream's. */
struct forward_refusal {
	uint16_t rcode;
	int ede; /* RFC 8914 */
	const char *text;
};

struct forward_counters {
	uint64_t queries, sent, over_tcp, folded, failed, remembered, loops, refused;
};

/* The end of one query, given back as it came: the upstream's response, to go through wire_relay,
 * or, if that is NULL, why there is none. From the loop only. */
typedef void forward_fn(void *arg, const struct client *client, uint8_t *packet, size_t size,
			const uint8_t *response, size_t response_size,
			const struct forward_refusal *refusal);

/* Without upstreams. NULL if out of memory. */
struct forward *forward_new(struct loop *loop, forward_fn *done, void *arg);
/* Who is under way is dropped without a word. */
void forward_free(struct forward *forward);

/* Addresses with ports, in order of preference; none: nothing is forwarded. What is under way goes
 * on, with the new ones. */
void forward_set_upstreams(struct forward *forward, const struct sockaddr_storage *upstreams,
			   size_t count);
size_t forward_upstreams(const struct forward *forward);

/* Sends a query on its way, copying what it needs. 0; or 1: the same query of the same client is
 * under way, and this one gets no answer; or -1: *refusal is its answer. done is not called. */
int forward_query(struct forward *forward, const struct client *client,
		  const struct wire_query *query, struct forward_refusal *refusal);

const struct forward_counters *forward_counters(const struct forward *forward);

#endif
