/*
 * Memory shared by dns and engine: when each service was last asked for, and how often. The
 * parent makes it and holds it, so it outlives either process; dns writes, engine reads, nobody
 * waits. One slot a service, by its id; the engine clears it when it gives the id to a new one.
 *
 * The engine trusts nothing here: a value is at worst a wrong time.
 */
#ifndef JITSU_PROTO_USAGE_H
#define JITSU_PROTO_USAGE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define USAGE_SLOTS (1u << 21) /* sparse: memory is used for the slots that are */

struct usage {
	_Atomic uint64_t last_query; /* CLOCK_MONOTONIC in µs; 0 never */
	_Atomic uint64_t queries;
};

/* counter.tbl.h; behind the slots. */
struct usage_counters {
#define COUNTER(name, meaning) _Atomic uint64_t name;
#include "proto/counter.tbl.h"
#undef COUNTER
};

#define USAGE_BYTES (USAGE_SLOTS * sizeof(struct usage) + 4096)

static inline struct usage_counters *usage_counters(struct usage *usage)
{
	return (struct usage_counters *)(usage + USAGE_SLOTS);
}

/* One more; several may count at once. */
static inline void usage_count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* A sealed memfd of USAGE_SLOTS slots and the counters. -1 with errno. */
int usage_create(void);
/* Maps it for reading and writing. NULL with errno. Never unmapped. */
struct usage *usage_map(int fd);
/* All slots from this one on are as if nobody had ever been asked for, and take no memory. */
void usage_clear_from(struct usage *usage, uint32_t slot);

static inline void usage_clear(struct usage *usage)
{
	atomic_store(&usage->last_query, 0);
	atomic_store(&usage->queries, 0);
}

#endif
