/*
 * A bound on the starts that queries cause: for each client network and in all, a second. It is
 * asked only where a query would start a service that nobody has asked for yet: queries for what
 * is ready, or is on its way, never come here.
 *
 * Half of what is left in all is kept for those who have shown that their source address is theirs
 * (TCP, or a valid cookie): forged sources cannot use it up.
 */
#ifndef JITSU_DNS_WAKES_H
#define JITSU_DNS_WAKES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct acl;
struct wakes;

struct wakes_config {
	uint32_t per_second;	     /* in all; 0: no bound */
	uint32_t network_per_second; /* 0: no bound */
	const struct acl *exempt;    /* from the bound for networks; kept by reference */
};

enum wakes_verdict {
	WAKES_GO,
	WAKES_PROVE, /* not without a proof of the source address */
	WAKES_OVER,  /* not now */
};

/* NULL if out of memory. */
struct wakes *wakes_new(const struct wakes_config *config);
void wakes_free(struct wakes *wakes);
/* For one query that would start something. now: loop_now's time. */
enum wakes_verdict wakes_check(struct wakes *wakes, const struct sockaddr *peer, bool proven,
			       uint64_t now);

#endif
