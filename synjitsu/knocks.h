/* A bound on knocks: so many a second for one source, and in all. Fixed in memory: sources that
 * fall together share their bound. */
#ifndef JITSU_SYNJITSU_KNOCKS_H
#define JITSU_SYNJITSU_KNOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

#define KNOCKS_SOURCES 4096u

struct knocks_bucket {
	uint64_t full; /* when it will be full again, µs */
};

struct knocks {
	unsigned all_rate, each_rate;
	struct knocks_bucket all, each[KNOCKS_SOURCES];
};

/* Rates are a second; a second's worth may come at once. 0: none ever. */
void knocks_init(struct knocks *knocks, unsigned all, unsigned each);
/* May a packet from there wake a guest now (µs)? If so it is counted. IPv6 sources count by /64. */
bool knocks_allow(struct knocks *knocks, const struct address *source, uint64_t now);

#endif
