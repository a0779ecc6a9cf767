#include "dns/limit.h"

#include <stdlib.h>

#include "base/loop.h"
#include "dns/acl.h"
#include "dns/hash.h"

#define WAYS	      4 /* places that one network may have: a cache line of them */
#define RATE_NETWORKS 65536
#define RATE_BURST    5 /* seconds' worth at once */

/* Threads share the places without a lock: where two meet, a token more or less is given. */
static uint64_t get(const uint64_t *field)
{
	return __atomic_load_n(field, __ATOMIC_RELAXED);
}

static void set(uint64_t *field, uint64_t value)
{
	__atomic_store_n(field, value, __ATOMIC_RELAXED);
}

/* A bucket by its theoretical arrival time: a token each `interval`, none left when that is `depth`
 * ahead of now. */
struct place {
	uint64_t network, full_at;
};

struct limit {
	struct place *places;
	uint64_t key, interval, depth;
	uint32_t mask; /* of sets */
};

void limit_bucket_init(struct limit_bucket *bucket, uint32_t per_second, uint32_t burst)
{
	uint64_t interval = USEC_PER_SEC / per_second;

	*bucket = (struct limit_bucket){ .interval = interval ? interval : 1 };
	bucket->depth = bucket->interval * (burst ? burst : 1);
}

static bool take(uint64_t *full_at, uint64_t interval, uint64_t depth, uint64_t now)
{
	uint64_t full = get(full_at), from = full > now ? full : now;

	if (from + interval > now + depth)
		return false;
	set(full_at, from + interval);
	return true;
}

bool limit_bucket_take(struct limit_bucket *bucket, unsigned reserve, uint64_t now)
{
	return take(&bucket->full_at, bucket->interval,
		    bucket->depth - bucket->depth / 256 * reserve, now);
}

struct limit *limit_new(uint32_t per_second, uint32_t burst, uint32_t networks)
{
	struct limit *limit = calloc(1, sizeof *limit);
	struct limit_bucket bucket;
	uint32_t sets = 1;

	if (!limit)
		return NULL;
	while (sets * WAYS < networks)
		sets *= 2;
	limit_bucket_init(&bucket, per_second, burst);
	limit->interval = bucket.interval;
	limit->depth = bucket.depth;
	limit->mask = sets - 1;
	limit->places = aligned_alloc(64, (size_t)sets * WAYS * sizeof *limit->places);
	if (!limit->places) {
		free(limit);
		return NULL;
	}
	for (size_t i = 0; i < (size_t)sets * WAYS; i++)
		limit->places[i] = (struct place){ 0 };
	arc4random_buf(&limit->key, sizeof limit->key);
	return limit;
}

void limit_free(struct limit *limit)
{
	if (!limit)
		return;
	free(limit->places);
	free(limit);
}

bool limit_take(struct limit *limit, uint64_t network, uint64_t now)
{
	uint64_t hash = hash_mix(network ^ limit->key, UINT64_C(0x9e3779b97f4a7c15));
	struct place *ways = limit->places + (size_t)(hash & limit->mask) * WAYS, *place = ways;

	for (unsigned i = 0; i < WAYS; i++) {
		if (get(&ways[i].network) == network)
			return take(&ways[i].full_at, limit->interval, limit->depth, now);
		if (get(&ways[i].full_at) < get(&place->full_at))
			place = &ways[i];
	}
	set(&place->network, network);
	set(&place->full_at, 0);
	return take(&place->full_at, limit->interval, limit->depth, now);
}

struct rate {
	struct limit *limit;
	const struct acl *exempt;
	uint32_t slip, over;
};

struct rate *rate_new(const struct rate_config *config)
{
	struct rate *rate = calloc(1, sizeof *rate);

	if (!rate)
		return NULL;
	rate->slip = config->slip;
	rate->exempt = config->exempt;
	if (config->per_second) {
		rate->limit = limit_new(config->per_second, config->per_second * RATE_BURST,
					RATE_NETWORKS);
		if (!rate->limit) {
			free(rate);
			return NULL;
		}
	}
	return rate;
}

void rate_free(struct rate *rate)
{
	if (!rate)
		return;
	limit_free(rate->limit);
	free(rate);
}

bool rate_pass(struct rate *rate, const struct sockaddr *peer, uint64_t now)
{
	return !rate->limit || acl_has(rate->exempt, peer) ||
	       limit_take(rate->limit, acl_network(peer), now);
}

enum rate_verdict rate_check(struct rate *rate, const struct sockaddr *peer, uint64_t now)
{
	if (rate_pass(rate, peer, now))
		return RATE_PASS;
	if (!rate->slip || ++rate->over % rate->slip)
		return RATE_DROP;
	return RATE_SLIP;
}
