/*
 * A hash table from keys to ids. It holds neither: only a part of each key's hash beside the id, so
 * that a look-up gives those ids that may be meant, hardly ever one too many, and the user
 * compares. 8 bytes an entry, and a third to five thirds of that for what is empty.
 */
#ifndef JITSU_ENGINE_INDEX_H
#define JITSU_ENGINE_INDEX_H

#include <stddef.h>
#include <stdint.h>

struct index_slot {
	uint32_t mark; /* 0: free */
	uint32_t id;
};

struct index {
	struct index_slot *slots;
	size_t room, count; /* room is a power of two */
};

#define INDEX_NONE UINT32_MAX

uint64_t index_hash(const void *key, size_t size);

/* Zeros are an empty index. */
void index_clear(struct index *index);
/* Not twice the same. Aborts when out of memory. */
void index_put(struct index *index, uint64_t hash, uint32_t id);
/* It must be there. */
void index_remove(struct index *index, uint64_t hash, uint32_t id);

/* The ids that have that hash, one after the other: *at begins as 0. INDEX_NONE at the end. The
 * index must not change meanwhile. */
uint32_t index_next(const struct index *index, uint64_t hash, size_t *at);

#endif
