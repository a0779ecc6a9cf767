#include "dns/slab.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK_UNITS (1u << SLAB_CHUNK_BITS)
#define CHUNK_SIZE  ((size_t)CHUNK_UNITS * SLAB_UNIT)
#define CHUNKS_MAX  (1u << (32 - SLAB_CHUNK_BITS))
#define FIRST	    2 /* reference */

void slab_init(struct slab *slab)
{
	*slab = (struct slab){ 0 };
}

void slab_clear(struct slab *slab)
{
	for (uint32_t i = 0; i < slab->count; i++)
		free(slab->chunks[i]);
	free(slab->chunks);
	slab_init(slab);
}

static uint32_t place_of(struct slab *slab, bool reuse)
{
	for (uint32_t i = 0; reuse && i < slab->count; i++)
		if (!slab->chunks[i])
			return i;
	if (slab->count == CHUNKS_MAX)
		abort();
	if (slab->count == slab->room) {
		uint32_t room = slab->room ? slab->room * 2 : 8;
		void *chunks = reallocarray(slab->chunks, room, sizeof *slab->chunks);

		if (!chunks)
			abort();
		slab->chunks = chunks;
		slab->room = room;
	}
	return slab->count++;
}

static uint32_t alloc_large(struct slab *slab, size_t size)
{
	uint32_t at = place_of(slab, true);

	slab->chunks[at] = malloc(size);
	/* The first record of chunk 0 would be reference 0: that chunk is a shared one. */
	if (!slab->chunks[at] || at == 0)
		abort();
	return at << SLAB_CHUNK_BITS;
}

static void add_chunk(struct slab *slab)
{
	uint32_t at = place_of(slab, false);
	void *chunk = NULL;

	if (posix_memalign(&chunk, at ? CHUNK_SIZE : sizeof(max_align_t), CHUNK_SIZE) != 0)
		abort();
	/* One huge page: at a million names most of a query's time would go into finding pages. */
	if (at)
		madvise(chunk, CHUNK_SIZE, MADV_HUGEPAGE);
	slab->chunks[at] = chunk;
	slab->next = (at << SLAB_CHUNK_BITS) + (at ? 0 : FIRST);
	slab->end = (at << SLAB_CHUNK_BITS) + (CHUNK_UNITS - 1);
}

uint32_t slab_alloc(struct slab *slab, size_t size)
{
	uint32_t units = (uint32_t)((size + SLAB_UNIT - 1) / SLAB_UNIT), ref;

	if (!slab->count)
		add_chunk(slab);
	if (size > SLAB_SMALL_MAX)
		return alloc_large(slab, size);
	ref = slab->free[units];
	if (ref) {
		memcpy(&slab->free[units], slab_at(slab, ref), sizeof slab->free[units]);
		return ref;
	}
	if (slab->end - slab->next < units)
		add_chunk(slab); /* what was left of the old one is lost */
	ref = slab->next;
	slab->next += units;
	return ref;
}

void slab_free(struct slab *slab, uint32_t ref, size_t size)
{
	size_t units = (size + SLAB_UNIT - 1) / SLAB_UNIT;

	if (size > SLAB_SMALL_MAX) {
		free(slab->chunks[ref >> SLAB_CHUNK_BITS]);
		slab->chunks[ref >> SLAB_CHUNK_BITS] = NULL;
		return;
	}
	memcpy(slab_at(slab, ref), &slab->free[units], sizeof slab->free[units]);
	slab->free[units] = ref;
}
