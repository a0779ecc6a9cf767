#include "dns/slots.h"

#include <stdlib.h>
#include <sys/mman.h>

#define SLOTS_MIN     64u
#define MOVED_PER_PUT 32u
#define HUGE_PAGE     (2u * 1024 * 1024)

static struct slot *make_slots(uint32_t count)
{
	size_t size = count * sizeof(struct slot);
	void *slots;

	if (size < HUGE_PAGE)
		return calloc(count, sizeof(struct slot));
	/* Fresh pages are zero; the huge ones spare most look-ups a walk through the page tables. */
	slots = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (slots == MAP_FAILED)
		return NULL;
	madvise(slots, size, MADV_HUGEPAGE);
	return slots;
}

static void free_slots(struct slot *slots, uint32_t mask)
{
	size_t size = (mask + (size_t)1) * sizeof *slots;

	if (!slots)
		return;
	if (size < HUGE_PAGE)
		free(slots);
	else
		munmap(slots, size);
}

void slots_init(struct slots *s)
{
	*s = (struct slots){ .now = make_slots(SLOTS_MIN), .mask = SLOTS_MIN - 1 };
	if (!s->now)
		abort();
}

void slots_clear(struct slots *s)
{
	free_slots(s->now, s->mask);
	free_slots(s->old, s->old_mask);
	*s = (struct slots){ 0 };
}

static void place(struct slots *s, uint32_t hash, uint32_t ref)
{
	uint32_t i = hash;

	while (s->now[i & s->mask].ref)
		i++;
	s->now[i & s->mask] = (struct slot){ hash, ref };
}

/* The old slots stay as they are: a look-up there must not end early at one that was emptied. */
static void move_some(struct slots *s)
{
	uint32_t end = s->moved + MOVED_PER_PUT;

	for (; s->moved < end; s->moved++) {
		const struct slot *slot = &s->old[s->moved];

		if (slot->ref > SLOT_GONE)
			place(s, slot->hash, slot->ref);
	}
	if (s->moved <= s->old_mask)
		return;
	free_slots(s->old, s->old_mask);
	s->old = NULL;
}

static void grow(struct slots *s)
{
	s->old = s->now;
	s->old_mask = s->mask;
	s->moved = 0;
	s->mask = s->mask * 2 + 1;
	s->now = make_slots(s->mask + 1);
	if (!s->now)
		abort();
}

void slots_put(struct slots *s, uint32_t hash, uint32_t ref)
{
	s->used++;
	if (s->old)
		move_some(s);
	else if ((uint64_t)s->used * 8 > (s->mask + UINT64_C(1)) * 5)
		grow(s);
	place(s, hash, ref);
}

static struct slot *find(struct slot *slots, uint32_t mask, uint32_t hash, uint32_t ref)
{
	uint32_t i = hash;

	while (slots[i & mask].ref && slots[i & mask].ref != ref)
		i++;
	return slots[i & mask].ref ? &slots[i & mask] : NULL;
}

/* Its followers move up: a look-up never meets more than it has to. */
static void take_out(struct slots *s, struct slot *slot)
{
	uint32_t hole = (uint32_t)(slot - s->now), i = hole;

	for (i++; s->now[i & s->mask].ref; i++) {
		/* The probe for this one starts at its hash: it may move up to there. */
		if (((i - s->now[i & s->mask].hash) & s->mask) < ((i - hole) & s->mask))
			continue;
		s->now[hole & s->mask] = s->now[i & s->mask];
		hole = i;
	}
	s->now[hole & s->mask] = (struct slot){ 0, 0 };
}

void slots_remove(struct slots *s, uint32_t hash, uint32_t ref)
{
	struct slot *slot = find(s->now, s->mask, hash, ref);

	s->used--;
	if (slot)
		take_out(s, slot);
	if (s->old && (slot = find(s->old, s->old_mask, hash, ref)))
		slot->ref = SLOT_GONE;
}
