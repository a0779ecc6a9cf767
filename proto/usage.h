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

/* A sealed memfd of USAGE_SLOTS slots. -1 with errno. */
int usage_create(void);
/* Maps it for reading and writing. NULL with errno. Never unmapped. */
struct usage *usage_map(int fd);

#endif
