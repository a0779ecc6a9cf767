#include "engine/history.h"

#include <json-c/json.h>
#include <stdlib.h>

void history_add(struct history *history, struct json_object *event)
{
	struct json_object **place = &history->events[history->count++ % HISTORY_MAX];

	json_object_put(*place);
	*place = json_object_get(event);
}

struct json_object *history_last(const struct history *history, size_t n)
{
	struct json_object *array = json_object_new_array();

	if (!array)
		abort();
	if (n > HISTORY_MAX)
		n = HISTORY_MAX;
	if (n > history->count)
		n = history->count;
	for (size_t i = history->count - n; i < history->count; i++)
		json_object_array_add(array, json_object_get(history->events[i % HISTORY_MAX]));
	return array;
}

void history_clear(struct history *history)
{
	for (size_t i = 0; i < HISTORY_MAX; i++)
		json_object_put(history->events[i]);
	*history = (struct history){ .count = 0 };
}
