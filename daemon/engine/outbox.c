#include "engine/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct outbox_chunk {
	STAILQ_ENTRY(outbox_chunk) entry;
	size_t size, sent;
	char data[];
};

void outbox_init(struct outbox *outbox, size_t *all)
{
	STAILQ_INIT(&outbox->chunks);
	outbox->size = 0;
	outbox->all = all;
}

static void take_off(struct outbox *outbox, size_t size)
{
	outbox->size -= size;
	*outbox->all -= size;
}

static void drop_first(struct outbox *outbox)
{
	struct outbox_chunk *chunk = STAILQ_FIRST(&outbox->chunks);

	STAILQ_REMOVE_HEAD(&outbox->chunks, entry);
	take_off(outbox, chunk->size - chunk->sent);
	free(chunk);
}

void outbox_clear(struct outbox *outbox)
{
	while (!STAILQ_EMPTY(&outbox->chunks))
		drop_first(outbox);
}

void outbox_put(struct outbox *outbox, const char *line, size_t size)
{
	struct outbox_chunk *chunk = malloc(sizeof *chunk + size);

	if (!chunk)
		abort();
	chunk->size = size;
	chunk->sent = 0;
	memcpy(chunk->data, line, size);
	STAILQ_INSERT_TAIL(&outbox->chunks, chunk, entry);
	outbox->size += size;
	*outbox->all += size;
}

int outbox_flush(struct outbox *outbox, int fd)
{
	struct outbox_chunk *chunk;

	while ((chunk = STAILQ_FIRST(&outbox->chunks))) {
		ssize_t r = send(fd, chunk->data + chunk->sent, chunk->size - chunk->sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
		chunk->sent += (size_t)r;
		take_off(outbox, (size_t)r);
		if (chunk->sent == chunk->size)
			drop_first(outbox);
	}
	return 0;
}
