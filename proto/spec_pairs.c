/* The original's form of a service: `dns=www.example.org,ip=10.0.0.1,…`. */
#include <ctype.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "proto/spec.h"

static char *trim(char *text)
{
	size_t n;

	while (isspace((unsigned char)*text))
		text++;
	n = strlen(text);
	while (n && isspace((unsigned char)text[n - 1]))
		text[--n] = '\0';
	return text;
}

/*
 * Cuts the next piece out of *rest, in place: up to a comma or the end. `\,` becomes a comma; a
 * backslash at the end of a line, left over from a shell script, becomes white space.
 */
static char *next_piece(char **rest, bool *last)
{
	char *piece = *rest, *in = piece, *out = piece;

	for (; *in && *in != ','; in++) {
		if (in[0] == '\\' && in[1] == ',')
			*out++ = *++in;
		else if (in[0] == '\\' && in[1] == '\n')
			*out++ = ' ';
		else
			*out++ = *in;
	}
	*last = *in == '\0';
	*rest = *last ? in : in + 1;
	*out = '\0';
	return trim(piece);
}

static void add_value(struct json_object *object, const char *key, const char *value)
{
	struct json_object *text = json_object_new_string(value), *old, *array;

	if (!json_object_object_get_ex(object, key, &old)) {
		json_object_object_add(object, key, text);
	} else if (json_object_is_type(old, json_type_array)) {
		json_object_array_add(old, text);
	} else {
		array = json_object_new_array();
		json_object_array_add(array, json_object_get(old));
		json_object_array_add(array, text);
		json_object_object_add(object, key, array);
	}
}

static int add_piece(struct json_object *object, char *piece, struct error *err)
{
	char *equals = strchr(piece, '=');
	char *key, *value;

	if (!equals)
		return error_set(
			err, ERROR_INPUT,
			"\"%.64s\": expected key=value; a comma inside a value is written \\,",
			piece);
	*equals = '\0';
	key = trim(piece);
	value = trim(equals + 1);
	if (!*key)
		return error_set(err, ERROR_INPUT, "\"=%.64s\": expected a key in front of '='",
				 value);
	if (!*value)
		return error_set(err, ERROR_INPUT, "\"%.64s=\": expected a value behind '='", key);
	add_value(object, key, value);
	return 0;
}

static int add_argument(struct json_object *object, const char *argument, struct error *err)
{
	cleanup_free char *text = strdup(argument);
	char *rest = text, *piece;
	bool last = false;

	if (!text)
		abort();
	while (!last) {
		piece = next_piece(&rest, &last);
		if (last && !*piece)
			break; /* a comma at the end of a line */
		if (!*piece)
			return error_set(err, ERROR_INPUT,
					 "\"%.64s\": expected key=value between commas", argument);
		if (add_piece(object, piece, err) < 0)
			return -1;
	}
	return 0;
}

struct json_object *spec_pairs_to_json(const char *const *arguments, size_t count,
				       struct error *err)
{
	struct json_object *object = json_object_new_object();

	for (size_t i = 0; i < count; i++) {
		if (add_argument(object, arguments[i], err) < 0) {
			json_object_put(object);
			return NULL;
		}
	}
	return object;
}
