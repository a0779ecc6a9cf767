/* A hash table from bytes to pointers whose entries live in what they point to. */
#ifndef JITSU_ENGINE_INDEX_H
#define JITSU_ENGINE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The key's bytes stay the owner's and must not change while it is in an index. */
struct index_entry {
	struct index_entry *next;
	const void *key;
	size_t size;
	void *value;
	uint64_t hash;
};

struct index {
	struct index_entry **buckets;
	size_t bucket_count, count;
};

/* Zeros are an empty index. */
void index_clear(struct index *index);
/* The key must not be in it yet. Aborts when out of memory. */
void index_put(struct index *index, struct index_entry *entry, const void *key, size_t size,
	       void *value);
void index_remove(struct index *index, struct index_entry *entry);
/* The value, or NULL. */
void *index_get(const struct index *index, const void *key, size_t size);

#endif
