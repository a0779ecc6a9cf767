/*
 * Limits per client network (acl_network): token buckets in a table of fixed size, and response
 * rate limiting made of them. A network that is not met for a while gives its place to others; so
 * does, when spoofed sources fill the table, the one nearest to its full allowance.
 */
#ifndef JITSU_DNS_LIMIT_H
#define JITSU_DNS_LIMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct acl;
struct limit;
struct rate;

/* So much at once, refilled at so many a second; `networks` are remembered, in 16 bytes each.
 * NULL if out of memory. */
struct limit *limit_new(uint32_t per_second, uint32_t burst, uint32_t networks);
void limit_free(struct limit *limit);
/* Whether this network may once more; takes a token if so. now: loop_now's time. */
bool limit_take(struct limit *limit, uint64_t network, uint64_t now);

/* One bucket for all. */
struct limit_bucket {
	uint64_t full_at;	  /* when it would have refilled */
	uint64_t interval, depth; /* µs for a token, µs for all */
};

void limit_bucket_init(struct limit_bucket *bucket, uint32_t per_second, uint32_t burst);
/* reserve: so much of 256 parts of it is for others. */
bool limit_bucket_take(struct limit_bucket *bucket, unsigned reserve, uint64_t now);

/*
 * Response rate limiting. What is over the rate is dropped, but every slip-th gets an answer so
 * short that nothing is won by a forged source, and from which a real client learns to come back
 * over TCP or with a cookie. Not for TCP, nor for a valid cookie: the caller does not ask then.
 */
enum rate_verdict { RATE_PASS, RATE_SLIP, RATE_DROP };

struct rate_config {
	uint32_t per_second;	  /* responses to a network; 0: no limit */
	uint32_t slip;		  /* every so many-th; 0: none, 1: all */
	const struct acl *exempt; /* kept by reference */
};

/* NULL if out of memory. */
struct rate *rate_new(const struct rate_config *config);
void rate_free(struct rate *rate);
/* Cheap enough for every query: a few comparisons, and one cache line for who is not exempt. */
/* True as RATE_PASS; if not nothing is counted, and rate_check is to be asked for the verdict. */
bool rate_pass(struct rate *rate, const struct sockaddr *peer, uint64_t now);
enum rate_verdict rate_check(struct rate *rate, const struct sockaddr *peer, uint64_t now);

#endif
