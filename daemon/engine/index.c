#include "engine/index.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ROOM_MIN  64
#define HUGE_PAGE (2u * 1024 * 1024)

/* Open addressing. 31 bits of the hash are kept as the mark, and it alone says where it belongs. */

/* FNV-1a over words, mixed at the end as MurmurHash3's finalizer does. Keys come from the
 * administrator only. */
uint64_t index_hash(const void *key, size_t size)
{
	const uint8_t *bytes = key;
	uint64_t hash = UINT64_C(14695981039346656037) ^ size, word;

	for (; size >= sizeof word; bytes += sizeof word, size -= sizeof word) {
		memcpy(&word, bytes, sizeof word);
		hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 29;
	}
	for (; size; bytes++, size--)
		hash = (hash ^ *bytes) * UINT64_C(1099511628211);
	hash ^= hash >> 33;
	hash *= UINT64_C(0xff51afd7ed558ccd);
	hash ^= hash >> 33;
	hash *= UINT64_C(0xc4ceb9fe1a85ec53);
	return hash ^ hash >> 33;
}

static uint32_t mark_of(uint64_t hash)
{
	return (uint32_t)(hash >> 32) | 1u;
}

static size_t home(const struct index *index, uint32_t mark)
{
	uint32_t mixed = mark * 0x9e3779b1u;

	return (mixed >> 1 ^ mixed >> 15) & (index->room - 1);
}

static void place(struct index *index, struct index_slot slot)
{
	size_t i = home(index, slot.mark);

	while (index->slots[i].mark)
		i = (i + 1) & (index->room - 1);
	index->slots[i] = slot;
}

/* Large ones have huge pages, which spare most look-ups a walk through the page tables. */
static struct index_slot *make_slots(size_t room)
{
	size_t size = room * sizeof(struct index_slot);
	void *slots;

	if (size < HUGE_PAGE) {
		slots = calloc(room, sizeof(struct index_slot));
	} else {
		slots = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			     0);
		if (slots == MAP_FAILED)
			abort();
		madvise(slots, size, MADV_HUGEPAGE);
	}
	if (!slots)
		abort();
	return slots;
}

static void free_slots(const struct index *index)
{
	size_t size = index->room * sizeof *index->slots;

	if (size < HUGE_PAGE)
		free(index->slots);
	else
		munmap(index->slots, size);
}

static void grow(struct index *index)
{
	struct index old = *index;

	index->room = old.room ? old.room * 2 : ROOM_MIN;
	index->slots = make_slots(index->room);
	for (size_t i = 0; i < old.room; i++)
		if (old.slots[i].mark)
			place(index, old.slots[i]);
	free_slots(&old);
}

void index_clear(struct index *index)
{
	free_slots(index);
	*index = (struct index){ 0 };
}

void index_put(struct index *index, uint64_t hash, uint32_t id)
{
	struct index_slot slot = { mark_of(hash), id };

	if (4 * (index->count + 1) > 3 * index->room)
		grow(index);
	place(index, slot);
	index->count++;
}

/* Those behind it move up, so that none is cut off from its place. */
static void close_gap(struct index *index, size_t gap)
{
	size_t mask = index->room - 1;

	for (size_t i = (gap + 1) & mask; index->slots[i].mark; i = (i + 1) & mask) {
		size_t own = home(index, index->slots[i].mark);

		if (((i - own) & mask) < ((i - gap) & mask))
			continue;
		index->slots[gap] = index->slots[i];
		gap = i;
	}
	index->slots[gap] = (struct index_slot){ 0 };
}

void index_remove(struct index *index, uint64_t hash, uint32_t id)
{
	uint32_t mark = mark_of(hash);
	size_t i = home(index, mark);

	while (index->slots[i].mark != mark || index->slots[i].id != id)
		i = (i + 1) & (index->room - 1);
	close_gap(index, i);
	index->count--;
}

uint32_t index_next(const struct index *index, uint64_t hash, size_t *at)
{
	uint32_t mark = mark_of(hash);

	if (!index->count)
		return INDEX_NONE;
	for (;; ++*at) {
		const struct index_slot *slot =
			&index->slots[(home(index, mark) + *at) & (index->room - 1)];

		if (!slot->mark)
			return INDEX_NONE;
		if (slot->mark == mark) {
			++*at;
			return slot->id;
		}
	}
}
