/*
 * What the room is told by jitsud.conf beside its sockets, read and checked in the parent, once,
 * before anything else runs.
 */
#ifndef JITSU_DNS_SETTINGS_H
#define JITSU_DNS_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dns/acl.h"
#include "dns/wire_cookie.h"

struct error;
struct zone_set;

/* {0}: no zones, no limits, no cookies. */
struct dns_settings {
	struct zone_set *zones; /* NULL: none are given */
	const char *identity;	/* for id.server and NSID; NULL: not told */
	struct acl exempt;	/* from limits for client networks */
	uint32_t rate, rate_slip;
	uint32_t wakes, wakes_per_network;
	uint32_t tcp_connections, tcp_per_network; /* 0: tcp.h's default; no limit */
	struct wire_cookie_secrets cookies;
};

/* The keys of jitsud.conf of the same names. */
struct dns_texts {
	const char *const *zones, *const *ns, *const *bind, *const *limits_exempt,
								    *const *cookie_secret;
	size_t zone_count, ns_count, bind_count, exempt_count, secret_count;
	const char *mbox, *identity;
	int64_t ttl, rate, rate_slip, wakes, wakes_per_network, tcp_connections, tcp_per_network,
		cookies;
};

/* Texts are kept by reference. 0, or -1 with an error that names key, value and what is expected;
 * then settings is {0}. */
int dns_settings_read(struct dns_settings *settings, const struct dns_texts *texts,
		      struct error *err);
void dns_settings_free(struct dns_settings *settings);

#endif
