/*
 * Bytes of messages, for the writers and readers that the tables make: a message is written into
 * room of a fixed size and read from a view, and what does not fit is remembered, to be asked
 * once, at the end.
 */
#ifndef JITSU_PROTO_BYTES_H
#define JITSU_PROTO_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A view of bytes; in a message that was read, of the receive buffer. */
struct bytes {
	const uint8_t *data;
	uint32_t size;
};

struct bytes_writer {
	uint8_t *data;
	size_t size, room;
	bool overflow; /* something had no room: the message is not whole */
};

static inline void bytes_put(struct bytes_writer *w, const void *data, size_t size)
{
	if (size > w->room - w->size) {
		w->overflow = true;
		return;
	}
	if (size)
		memcpy(w->data + w->size, data, size);
	w->size += size;
}

struct bytes_reader {
	const uint8_t *data;
	size_t left;
	const char *bad; /* the first field that failed; then all behind it reads as nothing */
};

/* The next bytes; NULL if so many are not there, or a field before this one failed. */
static inline const uint8_t *bytes_get(struct bytes_reader *r, size_t size, const char *field)
{
	const uint8_t *data = r->data;

	if (!r->bad && size > r->left)
		r->bad = field;
	if (r->bad)
		return NULL;
	r->data += size;
	r->left -= size;
	return data;
}

#endif
