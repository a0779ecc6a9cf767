#include "dns/failures.h"

#include <stdlib.h>

#define WAYS 8 /* places where a key may be */

struct failure {
	uint64_t key,
		until; /* until 0: free. It is kept for as long again, to know of the next one. */
	uint64_t pause;
	unsigned recoveries;
	uint16_t rcode;
	bool silence;
};

struct failures {
	struct failure v[FAILURES_MAX];
};

struct failures *failures_new(void)
{
	return calloc(1, sizeof(struct failures));
}

void failures_free(struct failures *failures)
{
	free(failures);
}

static struct failure *set_of(struct failures *failures, uint64_t key)
{
	return &failures->v[key % (FAILURES_MAX / WAYS) * WAYS];
}

static struct failure *find(struct failures *failures, uint64_t key)
{
	struct failure *set = set_of(failures, key);

	for (unsigned i = 0; i < WAYS; i++)
		if (set[i].until && set[i].key == key)
			return &set[i];
	return NULL;
}

void failures_add(struct failures *failures, uint64_t key, uint16_t rcode, bool silence,
		  unsigned recoveries, uint64_t now)
{
	struct failure *failure = find(failures, key), *set = set_of(failures, key);

	if (!failure) {
		failure = set;
		for (unsigned i = 1; i < WAYS; i++)
			if (set[i].until < failure->until)
				failure = &set[i];
		*failure = (struct failure){ .key = key };
	}
	if (now > failure->until + failure->pause)
		failure->pause = FAILURES_FIRST_USEC;
	else
		failure->pause *= 2;
	if (failure->pause > FAILURES_LAST_USEC)
		failure->pause = FAILURES_LAST_USEC;
	failure->until = now + failure->pause;
	failure->rcode = rcode;
	failure->silence = silence;
	failure->recoveries = recoveries;
}

bool failures_find(struct failures *failures, uint64_t key, unsigned recoveries, uint64_t now,
		   uint16_t *rcode)
{
	const struct failure *failure = find(failures, key);

	if (!failure || failure->until <= now ||
	    (failure->silence && failure->recoveries != recoveries))
		return false;
	*rcode = failure->rcode;
	return true;
}

void failures_drop(struct failures *failures, uint64_t key)
{
	struct failure *failure = find(failures, key);

	if (failure)
		failure->until = 0;
}
