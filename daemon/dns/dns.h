/*
 * The room that faces the network: sockets, wire format, the table of names, waiting queries and
 * the forwarder. It holds no privilege and says only `want(id)`, `retired(id)` and `answered(id)`.
 *
 * dns.c     the room itself: life cycle, link to the engine, messages
 * workers.c threads that answer those, beside the loop's: they read table and usage, no more
 * hot.c     plain queries for what is ready: the short way past all of the below
 * answer.c  what each query gets: an answer, a wait, an upstream, a refusal
 * wire.c    packets to and from libknot; the only includer of it
 * table.c   canonical name -> services; services by id
 * listen.c  where packets come in: udp.c in batches (batch.c), tcp.c framing and idle limits
 * wait.c    queries that wait for a service, their limits
 * elsewhere.c what is not ours: special.c what is never sent upstream, or
 * forward.c upstream and back: who may ask; exchange.c a question on its way, attempt.c one
 *           packet's, upstreams.c whom to ask, failures.c what not to ask again, opt.c what is
 *           passed on
 * acl.c     networks of clients
 */
#ifndef JITSU_DNS_DNS_H
#define JITSU_DNS_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "dns/acl.h"
#include "dns/settings.h"

struct error;
struct loop;
struct msg_host;
struct usage;

#define DNS_ENDPOINTS_MAX 16
#define DNS_THREADS_MAX	  16

struct dns_config {
	/* Bound, non-blocking, by the parent; the room takes them. UDP: a set for each thread, with
	 * SO_REUSEPORT. */
	int udp_fds[DNS_ENDPOINTS_MAX * DNS_THREADS_MAX], tcp_fds[DNS_ENDPOINTS_MAX];
	size_t udp_count, tcp_count;
	unsigned threads; /* 0: one */
	/* Where queries go that are not ours, in order; none: they are refused. For whom they go. */
	struct sockaddr_storage forwarders[DNS_ENDPOINTS_MAX];
	size_t forwarder_count;
	struct acl allow_recursion; /* kept by reference until dns_take_host */
	/* Zones of special.tbl.h that are forwarded all the same, or "all". */
	const char *const *forward_special;
	size_t forward_special_count;
	const struct dns_settings *settings; /* kept by reference; NULL: all zero */
	struct usage *usage;
	bool long_way; /* for tests: hot.c is not asked */
};

/* Until the engine has sent its table for the first time no socket is read. NULL with an error. */
struct dns *dns_new(struct loop *loop, const struct dns_config *config, struct error *err);
/* What of a configuration dns_new would refuse. 0, or -1 with an error. */
int dns_check(const struct dns_config *config, struct error *err);
/* The host has changed: forwarders and allow_recursion anew. 0, or -1 with an error. */
int dns_take_host(struct dns *dns, const struct msg_host *m, struct error *err);
/* A new connection to the engine, in place of the old one if there was one. Takes fd. What was
 * known stays in use until the new engine's table_end. */
void dns_connect_engine(struct dns *dns, int fd);
void dns_free(struct dns *dns);

#endif
