/* The last events, for those who come to look afterwards. */
#ifndef JITSU_ENGINE_HISTORY_H
#define JITSU_ENGINE_HISTORY_H

#include <stddef.h>

#define HISTORY_MAX 256

struct json_object;

struct history {
	struct json_object *events[HISTORY_MAX]; /* a ring */
	size_t count;				 /* ever */
};

/* Keeps a reference. The event is not changed any more. */
void history_add(struct history *history, struct json_object *event);

/* An array of the last n, or of as many as there are; the oldest first. The caller puts it. */
struct json_object *history_last(const struct history *history, size_t n);

void history_clear(struct history *history);

#endif
