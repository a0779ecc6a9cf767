/*
 * Hash -> reference, for very many: open addressing with linear probing, at most 5/8 full. It
 * grows a little with each entry put, so that none of them waits for all of it: meanwhile the old
 * slots are looked at as well. Entries with the same hash are told apart by the caller.
 */
#ifndef JITSU_DNS_SLOTS_H
#define JITSU_DNS_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

struct slot {
	uint32_t hash, ref; /* ref 0: empty, SLOT_GONE: removed from the old slots */
};

#define SLOT_GONE 1u

struct slots {
	struct slot *now, *old; /* old: NULL, or moved from, not emptied by it */
	uint32_t mask, used;
	uint32_t old_mask, moved;
};

/* Where a look-up is; it ends with ref 0. */
struct slots_at {
	const struct slot *slots;
	uint32_t mask, i;
	bool last;
};

/* Out of memory is the end of the process. */
void slots_init(struct slots *s);
void slots_clear(struct slots *s);
void slots_put(struct slots *s, uint32_t hash, uint32_t ref);
/* It must be there. */
void slots_remove(struct slots *s, uint32_t hash, uint32_t ref);

static inline uint32_t slots_next(const struct slots *s, uint32_t hash, struct slots_at *at)
{
	for (;;) {
		const struct slot *slot = &at->slots[at->i++ & at->mask];

		if (slot->hash == hash && slot->ref > SLOT_GONE)
			return slot->ref;
		if (slot->ref)
			continue;
		if (at->last)
			return 0;
		*at = (struct slots_at){ s->old, s->old_mask, hash, true };
	}
}

/* The first entry with that hash; 0: none. While it grows, one may be found twice. */
static inline uint32_t slots_first(const struct slots *s, uint32_t hash, struct slots_at *at)
{
	*at = (struct slots_at){ s->now, s->mask, hash, !s->old };
	return slots_next(s, hash, at);
}

static inline void slots_prefetch(const struct slots *s, uint32_t hash)
{
	__builtin_prefetch(&s->now[hash & s->mask]);
}

#endif
