/* A fast hash of bytes, keyed with a secret so that nobody outside can aim at one bucket. */
#ifndef JITSU_DNS_HASH_H
#define JITSU_DNS_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t hash_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hash_bytes(uint64_t key, const void *data, size_t size)
{
	const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
	const uint8_t *p = data;
	uint64_t hash = key ^ hash_mix(size + 1, odd), word;

	for (; size >= sizeof word; size -= sizeof word, p += sizeof word) {
		memcpy(&word, p, sizeof word);
		hash = hash_mix(hash ^ word, odd);
	}
	word = 0;
	memcpy(&word, p, size);
	return hash_mix(hash ^ word, key | 1);
}

#endif
