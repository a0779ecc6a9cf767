/*
 * The room that faces the network: sockets, wire format, the table of names, waiting queries and
 * the forwarder. It holds no privilege and says only `want(id)`, `retired(id)` and `answered(id)`.
 *
 * dns.c     the room itself: life cycle, link to the engine, messages
 * hot.c     plain queries for what is ready: the short way past all of the below
 * answer.c  what each query gets: an answer, a wait, an upstream, a refusal
 * wire.c    packets to and from libknot; the only includer of it
 * table.c   canonical name -> services; services by id
 * listen.c  where packets come in: udp.c in batches, tcp.c framing and idle limits
 * wait.c    queries that wait for a service, their limits
 * forward.c everything that is not ours, upstream and back
 */
#ifndef JITSU_DNS_DNS_H
#define JITSU_DNS_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "dns/settings.h"

struct loop;
struct usage;

#define DNS_ENDPOINTS_MAX 16

struct dns_config {
	/* Bound, non-blocking, by the parent; the room takes them. */
	int udp_fds[DNS_ENDPOINTS_MAX], tcp_fds[DNS_ENDPOINTS_MAX];
	size_t udp_count, tcp_count;
	/* Where queries go that are not ours; none: they are refused. */
	struct sockaddr_storage forwarders[DNS_ENDPOINTS_MAX];
	size_t forwarder_count;
	const struct dns_settings *settings; /* kept by reference; NULL: all zero */
	struct usage *usage;
	bool long_way; /* for tests: hot.c is not asked */
};

/* Until the engine has sent its table for the first time no socket is read. NULL if out of
 * memory. */
struct dns *dns_new(struct loop *loop, const struct dns_config *config);
/* A new connection to the engine, in place of the old one if there was one. Takes fd. What was
 * known stays in use until the new engine's table_end. */
void dns_connect_engine(struct dns *dns, int fd);
void dns_free(struct dns *dns);

#endif
