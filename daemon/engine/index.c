#include "engine/index.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS_MIN 64

/* FNV-1a, 64 bits, its high half folded in. Keys come from the administrator only. */
static uint64_t hash_of(const void *key, size_t size)
{
	const uint8_t *bytes = key;
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
	return hash ^ hash >> 32;
}

static struct index_entry **bucket(const struct index *index, uint64_t hash)
{
	return &index->buckets[hash & (index->bucket_count - 1)];
}

static void grow(struct index *index)
{
	struct index old = *index;

	index->bucket_count = old.bucket_count ? old.bucket_count * 2 : BUCKETS_MIN;
	index->buckets = calloc(index->bucket_count, sizeof *index->buckets);
	if (!index->buckets)
		abort();
	for (size_t i = 0; i < old.bucket_count; i++) {
		struct index_entry *entry = old.buckets[i], *next;

		for (; entry; entry = next) {
			struct index_entry **head = bucket(index, entry->hash);

			next = entry->next;
			entry->next = *head;
			*head = entry;
		}
	}
	free(old.buckets);
}

void index_clear(struct index *index)
{
	free(index->buckets);
	*index = (struct index){ 0 };
}

void index_put(struct index *index, struct index_entry *entry, const void *key, size_t size,
	       void *value)
{
	struct index_entry **head;

	if (index->count >= index->bucket_count)
		grow(index);
	*entry = (struct index_entry){
		.key = key, .size = size, .value = value, .hash = hash_of(key, size)
	};
	head = bucket(index, entry->hash);
	entry->next = *head;
	*head = entry;
	index->count++;
}

void index_remove(struct index *index, struct index_entry *entry)
{
	struct index_entry **at = bucket(index, entry->hash);

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	index->count--;
}

void *index_get(const struct index *index, const void *key, size_t size)
{
	uint64_t hash;
	struct index_entry *entry;

	if (!index->count)
		return NULL;
	hash = hash_of(key, size);
	for (entry = *bucket(index, hash); entry; entry = entry->next)
		if (entry->hash == hash && entry->size == size &&
		    memcmp(entry->key, key, size) == 0)
			return entry->value;
	return NULL;
}
