/*
 * Questions that failed (RFC 9520): not asked again for a while, so that what is broken elsewhere
 * does not multiply here. 5 s after the first failure, twice as long after each that follows, 5
 * minutes at most. A table of fixed size: the entry that ends first gives its place.
 */
#ifndef JITSU_DNS_FAILURES_H
#define JITSU_DNS_FAILURES_H

#include <stdbool.h>
#include <stdint.h>

#define FAILURES_FIRST_USEC (5 * UINT64_C(1000000))
#define FAILURES_LAST_USEC  (300 * UINT64_C(1000000))
#define FAILURES_MAX	    4096

struct failures;

/* NULL if out of memory. */
struct failures *failures_new(void);
void failures_free(struct failures *failures);

/* key: a keyed hash of the question. silence: nobody answered at all; such a failure is void as
 * soon as `recoveries` (see upstreams.h) is another number. */
void failures_add(struct failures *failures, uint64_t key, uint16_t rcode, bool silence,
		  unsigned recoveries, uint64_t now);
/* True if it failed not long ago; with what. */
bool failures_find(struct failures *failures, uint64_t key, unsigned recoveries, uint64_t now,
		   uint16_t *rcode);
/* It did not fail: the next failure is a first one. */
void failures_drop(struct failures *failures, uint64_t key);

#endif
