/*
 * Queries that are not ours: to an upstream and back. Each attempt has a socket of its own, with a
 * port of the kernel's choice, and an ID of its own (RFC 5452); the first upstream is asked first,
 * the next when one does not answer in 2 s or cannot be reached.
 */
#ifndef JITSU_DNS_FORWARD_H
#define JITSU_DNS_FORWARD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "dns/listen.h"

#define FORWARD_QUERIES_MAX 1024
#define FORWARD_TIMEOUT_USEC (2 * USEC_PER_SEC)

struct loop;
struct forward;
struct wire_query;

/* The end of one query: the upstream's response, to go through wire_relay, or NULL if no upstream
 * gave one. From the loop only. */
typedef void forward_fn(void *arg, const struct client *client, const struct wire_query *query,
			const uint8_t *response, size_t size);

/* Addresses with ports, at least one. NULL if out of memory. */
struct forward *forward_new(struct loop *loop, const struct sockaddr_storage *upstreams,
			    size_t count, forward_fn *done, void *arg);
/* Who is under way is dropped without a word. */
void forward_free(struct forward *forward);

/* Sends query's packet on its way, copying what it needs. For a client on TCP a truncated response
 * is asked for again over TCP. -1, and done is not called, if there are too many under way or no
 * upstream can be reached. */
int forward_query(struct forward *forward, const struct client *client,
		  const struct wire_query *query);

#endif
