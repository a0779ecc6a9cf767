/*
 * Frames that wait for a guest. Bounded in number per client and per guest, and in bytes in all;
 * what comes over a bound is not kept: its sender will send it again.
 */
#ifndef JITSU_SYNJITSU_HOLD_H
#define JITSU_SYNJITSU_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "frame.h"

#define HOLD_PER_CLIENT 64u
#define HOLD_PER_GUEST	1024u
#define HOLD_BYTES_MAX	(32u * 1024 * 1024)

struct held {
	TAILQ_ENTRY(held) entry;
	struct address from;
	uint8_t mac[FRAME_MAC]; /* of the client or of the router that it is behind */
	uint8_t protocol;
	uint16_t from_port, to_port;
	uint64_t handed; /* µs: when it was handed over last; 0: not yet */
	size_t size;
	uint8_t data[];
};

/* One guest's, in the order in which they came first. */
struct hold {
	TAILQ_HEAD(held_list, held) list;
	unsigned count;
};

/* Of ICMP nothing else is kept. */
bool held_is_echo(const struct held *held);

enum hold_result { HOLD_KEPT, HOLD_FOLDED, HOLD_FULL };

void hold_init(struct hold *hold);

/*
 * Keeps a copy of a frame of IP whose sums are whole. A SYN of a connection of which one is held
 * already takes that one's place: it is the same one, sent again. *bytes counts what all guests'
 * frames take.
 */
enum hold_result hold_add(struct hold *hold, const struct frame *frame, size_t *bytes);

/* The first frame of that protocol to that port (0: any), or NULL. */
struct held *hold_find(const struct hold *hold, uint8_t protocol, uint16_t port);
void hold_remove(struct hold *hold, struct held *held, size_t *bytes);
/* The SYN of the connection that frame belongs to goes, if it is here: its client gave up. True if
 * there was one. */
bool hold_cancel(struct hold *hold, const struct frame *frame, size_t *bytes);
/* Echo requests of that sender go. */
void hold_remove_echoes(struct hold *hold, const struct address *from, size_t *bytes);
void hold_clear(struct hold *hold, size_t *bytes);

#endif
