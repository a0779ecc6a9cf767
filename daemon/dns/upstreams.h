/*
 * Where queries go that are not ours: a list in order of preference, and what is known of each.
 * The first that works is asked. One that says nothing to several queries in a row, or whose host
 * says that nobody listens, is down: the others are asked, and it gets one query after a pause, as
 * a probe; each that fails doubles the pause. One word from it, whatever it says, and it is up.
 */
#ifndef JITSU_DNS_UPSTREAMS_H
#define JITSU_DNS_UPSTREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "dns/dns.h"

#define UPSTREAMS_SILENCES  3 /* queries in a row without a word, until it is down */
#define UPSTREAMS_PAUSE_MIN (500 * UINT64_C(1000))
#define UPSTREAMS_PAUSE_MAX (5000 * UINT64_C(1000))

struct upstream {
	struct sockaddr_storage address; /* with its port */
	char text[64];			 /* for the log */
	bool down;
	bool loses_case; /* its responses do not repeat the case of the question */
	unsigned silences;
	uint64_t heard;		  /* last word */
	uint64_t probe_at, pause; /* while down */
};

struct upstreams {
	struct upstream v[DNS_ENDPOINTS_MAX];
	size_t count;
	unsigned recoveries; /* how often one came back, or the list changed */
};

/* A new list; those that stay keep what is known of them. */
void upstreams_set(struct upstreams *upstreams, const struct sockaddr_storage *addresses,
		   size_t count);

/* The next to ask: the first that is up and not in the mask `tried`. -1: none. */
int upstreams_pick(const struct upstreams *upstreams, uint32_t tried);
/* One that is down and due for a probe, and not in `tried`; it is taken as probed now. -1: none. */
int upstreams_probe(struct upstreams *upstreams, uint32_t tried, uint64_t now);
/* All are down, and the last probes have failed for a while: waiting has no use. */
bool upstreams_hopeless(const struct upstreams *upstreams);

void upstreams_heard(struct upstreams *upstreams, size_t i, uint64_t now);
/* It has not answered a query that was sent at `sent`. */
void upstreams_silent(struct upstreams *upstreams, size_t i, uint64_t sent, uint64_t now);
/* Its host, or the network, said that it cannot be reached. */
void upstreams_unreachable(struct upstreams *upstreams, size_t i, uint64_t now);

socklen_t upstreams_address_size(const struct sockaddr_storage *address);

#endif
