/*
 * One end of a SOCK_SEQPACKET pair between two processes of jitsud: whole messages, in order.
 * What does not fit the socket is queued here and sent when it drains, so that no process ever
 * blocks on another.
 */
#ifndef JITSU_BASE_LINK_H
#define JITSU_BASE_LINK_H

#include <stddef.h>
#include <stdint.h>

struct loop;
struct link;

#define LINK_MESSAGE_MAX (128 * 1024)

/*
 * How long a room that has one peer only may be without a connection to it, in µs. The parent
 * connects rooms when it starts one; a link that ended although both rooms live (one of them sent
 * what the other does not take) is mended by the room ending itself, to be started again.
 */
#define LINK_ALONE_LIMIT (15 * UINT64_C(1000000))

struct link_callbacks {
	/* A message; data is valid during the call; fd is -1 or one that came with it, now the
	 * receiver's. The link may be freed in the call. */
	void (*message)(void *arg, const uint8_t *data, size_t size, int fd);
	/* The peer is gone; nothing more comes. The link is to be freed, now or later. */
	void (*closed)(void *arg);
};

/* A connected pair, close-on-exec, non-blocking. 0, or -1 with errno. */
int link_pair(int fds[2]);

/* Takes fd (closes it on failure too). NULL if out of memory. Callbacks come from the loop, or
 * link_poll. */
struct link *link_new(struct loop *loop, int fd, const struct link_callbacks *callbacks, void *arg);
void link_free(struct link *link);

/* What has come by now has its turn, out of turn: callbacks come from this call. Not from within
 * one of them. */
void link_poll(struct link *link);

/* Sends or queues; never blocks, never calls back. A link whose peer is gone swallows it, since
 * `closed` is about to come. Dies on a message over LINK_MESSAGE_MAX: that is a bug. */
void link_send(struct link *link, const void *data, size_t size);

/* How many bytes wait in the queue: for senders of bulk, who should pause. */
size_t link_queued(const struct link *link);

/* Without a loop, for the parent: sends a message with a descriptor (-1: none). The descriptor
 * stays the caller's. 0, or -1 with errno. */
int link_send_fd(int link_fd, const void *data, size_t size, int fd);

#endif
