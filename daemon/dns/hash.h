/* A fast hash of bytes, keyed with a secret so that nobody outside can aim at one bucket. */
#ifndef JITSU_DNS_HASH_H
#define JITSU_DNS_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HASH_ODD UINT64_C(0x9e3779b97f4a7c15)

static inline uint64_t hash_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hash_begin(uint64_t key, size_t size)
{
	return key ^ hash_mix(size + 1, HASH_ODD);
}

static inline uint64_t hash_word(uint64_t hash, uint64_t word)
{
	return hash_mix(hash ^ word, HASH_ODD);
}

/* word: what is left of the bytes, fewer than 8, and zeros behind them. */
static inline uint64_t hash_end(uint64_t key, uint64_t hash, uint64_t word)
{
	return hash_mix(hash ^ word, key | 1);
}

static inline uint64_t hash_bytes(uint64_t key, const void *data, size_t size)
{
	const uint8_t *p = data;
	uint64_t hash = hash_begin(key, size), word;

	for (; size >= sizeof word; size -= sizeof word, p += sizeof word) {
		memcpy(&word, p, sizeof word);
		hash = hash_word(hash, word);
	}
	word = 0;
	memcpy(&word, p, size);
	return hash_end(key, hash, word);
}

#endif
