/*
 * The connection of two rooms, with the test in its midst: two link pairs, and a way for messages
 * in each direction. What a room says is counted and traced when it is said, and passed on at
 * once, or when it is released.
 */
#ifndef JITSU_TESTS_JOINT_H
#define JITSU_TESTS_JOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "proto/message.h"

struct loop;
struct link;
struct joint;

struct parcel {
	STAILQ_ENTRY(parcel) entry;
	size_t size; /* 0: the sender is gone */
	uint8_t data[];
};

typedef void joint_seen_fn(void *arg, const char *way, const uint8_t *data, size_t size);

struct way {
	const char *name;
	struct joint *joint;
	unsigned from; /* its ends in the joint */
	bool held;
	STAILQ_HEAD(, parcel) parcels;
	unsigned seen[MESSAGE_TYPES];
};

struct joint {
	struct loop *loop;
	struct link *ends[2];
	struct way ways[2]; /* from end 0, from end 1 */
	joint_seen_fn *fn;
	void *arg;
};

/* names[i]: of the way from end i. */
void joint_init(struct joint *joint, struct loop *loop, const char *const names[2],
		joint_seen_fn *fn, void *arg);
/* A new connection; an old one and what was under way on it is dropped. fds are for the rooms at
 * its two ends. */
void joint_connect(struct joint *joint, int fds[2]);
void joint_clear(struct joint *joint);

void way_hold(struct way *way);
bool way_release(struct way *way, size_t n);

#endif
