#include "synjitsu/knocks.h"

#include <string.h>

#include "base/loop.h"

void knocks_init(struct knocks *knocks, unsigned all, unsigned each)
{
	memset(knocks, 0, sizeof *knocks);
	knocks->all_rate = all;
	knocks->each_rate = each;
}

/* A leaky bucket of one second (ITU-T I.371's GCRA). */
static bool has_room(const struct knocks_bucket *bucket, unsigned rate, uint64_t now)
{
	uint64_t from = bucket->full > now ? bucket->full : now;

	return rate && from + USEC_PER_SEC / rate <= now + USEC_PER_SEC;
}

static void count(struct knocks_bucket *bucket, unsigned rate, uint64_t now)
{
	if (bucket->full < now)
		bucket->full = now;
	bucket->full += USEC_PER_SEC / rate;
}

bool knocks_allow(struct knocks *knocks, const struct address *source, uint64_t now)
{
	size_t size = source->family == 4 ? 4 : 8;
	struct knocks_bucket *each;
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < size; i++)
		h = (h ^ source->bytes[i]) * 16777619u;
	each = &knocks->each[(h ^ h >> 16) % KNOCKS_SOURCES];
	if (!has_room(each, knocks->each_rate, now) ||
	    !has_room(&knocks->all, knocks->all_rate, now))
		return false;
	count(each, knocks->each_rate, now);
	count(&knocks->all, knocks->all_rate, now);
	return true;
}
