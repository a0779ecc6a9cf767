/*
 * Memory for very many small records: taken from chunks, named by 32-bit references, given back to
 * a list for their size. A record never moves. Out of memory is the end of the process.
 */
#ifndef JITSU_DNS_SLAB_H
#define JITSU_DNS_SLAB_H

#include <stddef.h>
#include <stdint.h>

#define SLAB_UNIT	8u
#define SLAB_CHUNK_BITS 18     /* units of a chunk: 2 MiB */
#define SLAB_SMALL_MAX	20480u /* a larger record has a chunk of its own */

struct slab {
	uint8_t **chunks;
	uint32_t count, room;
	uint32_t next, end; /* references: what is left of the newest shared chunk */
	uint32_t free[SLAB_SMALL_MAX / SLAB_UNIT + 1]; /* by size in units */
};

void slab_init(struct slab *slab);
/* Gives everything back at once. */
void slab_clear(struct slab *slab);

/* The reference is never 0, nor 1; the record's bytes are not set to anything. */
uint32_t slab_alloc(struct slab *slab, size_t size);
/* size: as it was asked for. */
void slab_free(struct slab *slab, uint32_t ref, size_t size);

static inline void *slab_at(const struct slab *slab, uint32_t ref)
{
	return slab->chunks[ref >> SLAB_CHUNK_BITS] +
	       (ref & ((1u << SLAB_CHUNK_BITS) - 1)) * (size_t)SLAB_UNIT;
}

#endif
