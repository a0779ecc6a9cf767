/*
 * What waits to be sent on a connection. Inside of conn.c, which decides how much may.
 */
#ifndef JITSU_ENGINE_OUTBOX_H
#define JITSU_ENGINE_OUTBOX_H

#include <stddef.h>
#include <sys/queue.h>

struct outbox_chunk;

struct outbox {
	STAILQ_HEAD(, outbox_chunk) chunks;
	size_t size; /* bytes that wait */
	size_t *all; /* the same of all outboxes together */
};

void outbox_init(struct outbox *outbox, size_t *all);
/* What waits is gone. */
void outbox_clear(struct outbox *outbox);

/* Copies the line; out of memory is the end of the process. */
void outbox_put(struct outbox *outbox, const char *line, size_t size);
/* Sends what the socket takes now. 0, or -1 if it will take no more. */
int outbox_flush(struct outbox *outbox, int fd);

#endif
