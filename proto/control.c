#include "proto/control.h"

#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define TEXT_FLAGS (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

#define READ	 CONTROL_READ
#define WRITE	 CONTROL_WRITE
#define NEEDED	 true
#define OPTIONAL false

const struct control_method control_methods[CONTROL_METHODS] = {
#define METHOD(id, name, access, params, result, help)                                             \
	{ name, access, CONTROL_PARAMS_##params, #result, help },
#include "proto/control.tbl.h"
};

const struct control_param control_params[] = {
#define PARAM(params, key, kind, needed, help)                                                     \
	{ CONTROL_PARAMS_##params, #key, CONTROL_##kind, needed, help },
#include "proto/control.tbl.h"
	{ .key = NULL },
};

const struct control_field control_fields[] = {
#define FIELD(result, key, kind, help) { #result, #key, CONTROL_##kind, help },
#include "proto/control.tbl.h"
	{ .key = NULL },
};

const struct control_error_row control_errors[CONTROL_ERRORS] = {
#define CONTROL_ERROR(id, code, kind, meaning) { code, kind, meaning },
#include "proto/control.tbl.h"
};

enum control_method_id control_method_find(const char *name)
{
	enum control_method_id id = 0;

	while (id < CONTROL_METHODS && strcmp(control_methods[id].name, name) != 0)
		id++;
	return id;
}

/* The length of the character that starts here, 0 if it may not travel. */
static size_t character(const unsigned char *p, size_t left)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least;
	} forms[] = { { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 } };

	if (p[0] < 0x80)
		return (p[0] >= 0x20 && p[0] != 0x7f) || p[0] == '\t' || p[0] == '\n' ||
		       p[0] == '\r';
	for (size_t form = 0; form < ARRAY_SIZE(forms); form++) {
		size_t size = form + 2;
		uint32_t code = p[0] & (unsigned char)~forms[form].mask;

		if ((p[0] & forms[form].mask) != forms[form].lead)
			continue;
		if (left < size)
			return 0;
		for (size_t i = 1; i < size; i++) {
			if ((p[i] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | (p[i] & 0x3f);
		}
		return code >= forms[form].least && code <= 0x10ffff &&
				       !(code >= 0xd800 && code <= 0xdfff)
			       ? size
			       : 0;
	}
	return 0;
}

bool control_text_valid(const char *text, size_t size)
{
	for (size_t at = 0, step; at < size; at += step) {
		step = character((const unsigned char *)text + at, size - at);
		if (step == 0)
			return false;
	}
	return true;
}

static struct json_object *valid_string(const char *text)
{
	size_t size = strlen(text);
	cleanup_free char *copy = strdup(text);

	if (!copy)
		abort();
	for (size_t at = 0, step; at < size; at += step) {
		step = character((const unsigned char *)copy + at, size - at);
		if (step == 0) {
			copy[at] = '?';
			step = 1;
		}
	}
	return json_object_new_string_len(copy, (int)size);
}

/* The C strings that everybody reads out of json-c would end there. */
static bool has_nul(struct json_object *value)
{
	switch (json_object_get_type(value)) {
	case json_type_string:
		return strlen(json_object_get_string(value)) !=
		       (size_t)json_object_get_string_len(value);
	case json_type_array:
		for (size_t i = 0; i < json_object_array_length(value); i++) {
			if (has_nul(json_object_array_get_idx(value, i)))
				return true;
		}
		return false;
	case json_type_object: {
		json_object_object_foreach(value, key, member)
		{
			(void)key;
			if (has_nul(member))
				return true;
		}
		return false;
	}
	default:
		return false;
	}
}

static size_t member_count(struct json_object *value)
{
	size_t count = 0;

	if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++)
			count += member_count(json_object_array_get_idx(value, i));
	} else if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, key, member)
		{
			(void)key;
			count += 1 + member_count(member);
		}
	}
	return count;
}

/*
 * json-c keeps the last of several equal keys without a word: then the text has more members than
 * the value. The text is known to be well-formed.
 */
static bool has_duplicates(const char *text, size_t size, struct json_object *value)
{
	size_t colons = 0;

	for (size_t i = 0; i < size; i++) {
		if (text[i] == ':')
			colons++;
		if (text[i] != '"')
			continue;
		for (i++; text[i] != '"'; i++)
			i += text[i] == '\\';
	}
	return colons != member_count(value);
}

/* The first key of the object at `text` that comes again in it; objects inside are passed over. */
static bool first_duplicate(const char *text, const char *end, const char **key, int *key_size)
{
	struct {
		const char *text;
		size_t size;
	} seen[64], last = { NULL, 0 };
	size_t n = 0;
	int depth = 0;

	for (const char *c = text; c < end; c++) {
		if (*c == '{' || *c == '[') {
			depth++;
		} else if (*c == '}' || *c == ']') {
			if (--depth == 0)
				return false;
		} else if (*c == '"') {
			last.text = ++c;
			for (; *c != '"'; c++)
				c += *c == '\\';
			last.size = (size_t)(c - last.text);
		} else if (*c == ':' && depth == 1) {
			for (size_t i = 0; i < n; i++) {
				if (seen[i].size == last.size &&
				    memcmp(seen[i].text, last.text, last.size) == 0) {
					*key = last.text;
					*key_size = last.size < 64 ? (int)last.size : 64;
					return true;
				}
			}
			if (n < ARRAY_SIZE(seen))
				seen[n++] = last;
		}
	}
	return false;
}

static int duplicates_failed(struct error *err, const char *text, size_t size)
{
	const char *key;
	int key_size;
	size_t left = 1000; /* objects looked at; a name for the key is a courtesy */

	for (size_t i = 0; i < size && left; i++) {
		if (text[i] == '{' && left-- &&
		    first_duplicate(text + i, text + size, &key, &key_size))
			return error_set(err, ERROR_INPUT,
					 "\"%.*s\": this key is given twice in one object",
					 key_size, key);
		if (text[i] != '"')
			continue;
		for (i++; text[i] != '"'; i++)
			i += text[i] == '\\';
	}
	return error_set(err, ERROR_INPUT, "a key is given twice in one object");
}

static int parse_failed(struct error *err, const char *text, size_t at, const char *why)
{
	size_t line = 1, column = 1;

	for (size_t i = 0; i < at; i++) {
		column++;
		if (text[i] == '\n') {
			line++;
			column = 1;
		}
	}
	return error_set(err, ERROR_INPUT, "not JSON: %s at line %zu, column %zu", why, line,
			 column);
}

/* json-c takes keys in single quotes even when it is strict. The text need not be well-formed. */
static const char *single_quote(const char *text, size_t size)
{
	bool inside = false;

	for (size_t i = 0; i < size; i++) {
		if (text[i] == '"')
			inside = !inside;
		else if (inside && text[i] == '\\')
			i++;
		else if (!inside && text[i] == '\'')
			return text + i;
	}
	return NULL;
}

int control_parse(const char *text, size_t size, struct json_object **value, struct error *err)
{
	const char *quote = single_quote(text, size);
	struct json_tokener *tokener;
	struct json_object *read;
	enum json_tokener_error state;
	size_t end;

	if (!control_text_valid(text, size))
		return error_set(err, ERROR_INPUT,
				 "not JSON: not UTF-8, or with control characters");
	while (size && strchr(" \t\r\n", text[size - 1]))
		size--;
	if (size == 0)
		return error_set(err, ERROR_INPUT, "not JSON: empty");
	if (quote)
		return parse_failed(err, text, (size_t)(quote - text), "a single quote");
	tokener = json_tokener_new();
	if (!tokener)
		abort();
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	read = json_tokener_parse_ex(tokener, text, (int)size);
	state = json_tokener_get_error(tokener);
	/* A number at the very end is whole only when something that is not a digit follows. */
	if (state == json_tokener_continue) {
		read = json_tokener_parse_ex(tokener, "", 1);
		state = json_tokener_get_error(tokener);
		end = size;
	} else {
		end = json_tokener_get_parse_end(tokener);
	}
	json_tokener_free(tokener);
	if (state != json_tokener_success || end != size) {
		json_object_put(read);
		return parse_failed(err, text, end,
				    state == json_tokener_continue  ? "it ends too early"
				    : state != json_tokener_success ? json_tokener_error_desc(state)
								    : "something follows");
	}
	if (has_duplicates(text, size, read)) {
		json_object_put(read);
		return duplicates_failed(err, text, size);
	}
	if (has_nul(read)) {
		json_object_put(read);
		return error_set(err, ERROR_INPUT,
				 "not JSON that is taken here: \\u0000 in a text");
	}
	*value = read;
	return 0;
}

static const struct control_param *param_find(enum control_params params, const char *key)
{
	for (const struct control_param *p = control_params; p->key; p++) {
		if (p->params == params && strcmp(p->key, key) == 0)
			return p;
	}
	return NULL;
}

static bool is_of_kind(struct json_object *value, enum control_kind kind)
{
	static const enum json_type types[] = {
		[CONTROL_TEXT] = json_type_string,    [CONTROL_TEXTS] = json_type_array,
		[CONTROL_BOOL] = json_type_boolean,   [CONTROL_NUMBER] = json_type_int,
		[CONTROL_KIB] = json_type_int,	      [CONTROL_MSEC] = json_type_int,
		[CONTROL_SECONDS] = json_type_double, [CONTROL_DATE] = json_type_int,
		[CONTROL_TIME] = json_type_double,    [CONTROL_COUNTS] = json_type_object,
		[CONTROL_SPEC] = json_type_object,    [CONTROL_VALUES] = json_type_object,
		[CONTROL_BOOT] = json_type_object,    [CONTROL_SERVICES] = json_type_array,
		[CONTROL_EVENTS] = json_type_array,
	};

	return json_object_get_type(value) == types[kind];
}

int control_bind(const struct control_method *method, struct json_object *params, struct error *err)
{
	bool empty = !params || (json_object_is_type(params, json_type_array) &&
				 json_object_array_length(params) == 0);

	if (!empty && !json_object_is_type(params, json_type_object))
		return error_field(err, ERROR_INPUT, "params", NULL,
				   "expected an object, parameters are by name");
	if (method->params == CONTROL_PARAMS_SPEC)
		return empty ? error_field(err, ERROR_INPUT, "params", NULL,
					   "missing, expected a service's specification")
			     : 0;
	if (!empty) {
		json_object_object_foreach(params, key, value)
		{
			const struct control_param *p = param_find(method->params, key);

			if (!p)
				return error_field(err, ERROR_INPUT, key, NULL,
						   "%s has no such parameter", method->name);
			if (!is_of_kind(value, p->kind))
				return error_field(err, ERROR_INPUT, key,
						   value ? json_object_to_json_string(value)
							 : "null",
						   "expected %s", p->help);
		}
	}
	for (const struct control_param *p = control_params; p->key; p++) {
		if (p->params == method->params && p->needed &&
		    (empty || !json_object_object_get_ex(params, p->key, NULL)))
			return error_field(err, ERROR_INPUT, p->key, NULL, "missing, expected %s",
					   p->help);
	}
	return 0;
}

static struct json_object *envelope(void)
{
	struct json_object *object = json_object_new_object();

	if (!object)
		abort();
	json_object_object_add(object, "jsonrpc", json_object_new_string("2.0"));
	return object;
}

struct json_object *control_request(const char *method, struct json_object *params,
				    struct json_object *id)
{
	struct json_object *object = envelope();

	json_object_object_add(object, "method", json_object_new_string(method));
	if (params)
		json_object_object_add(object, "params", params);
	json_object_object_add(object, "id", json_object_get(id));
	return object;
}

struct json_object *control_notification(const char *method, struct json_object *params)
{
	struct json_object *object = envelope();

	json_object_object_add(object, "method", json_object_new_string(method));
	json_object_object_add(object, "params", params);
	return object;
}

struct json_object *control_success(struct json_object *id, struct json_object *result)
{
	struct json_object *object = envelope();

	json_object_object_add(object, "result", result);
	json_object_object_add(object, "id", json_object_get(id));
	return object;
}

struct json_object *control_failure(struct json_object *id, enum control_error code,
				    const char *field, const char *text)
{
	struct json_object *object = envelope(), *error = json_object_new_object(),
			   *data = json_object_new_object();

	json_object_object_add(data, "kind", json_object_new_string(control_errors[code].kind));
	if (field && *field)
		json_object_object_add(data, "field", valid_string(field));
	json_object_object_add(error, "code", json_object_new_int(control_errors[code].code));
	json_object_object_add(error, "message", valid_string(text));
	json_object_object_add(error, "data", data);
	json_object_object_add(object, "error", error);
	json_object_object_add(object, "id", json_object_get(id));
	return object;
}

enum control_error control_error_of(enum error_kind kind)
{
	static const enum control_error codes[] = {
		[ERROR_NONE] = CONTROL_ERROR_INTERNAL,	   [ERROR_INPUT] = CONTROL_ERROR_INPUT,
		[ERROR_CONFLICT] = CONTROL_ERROR_CONFLICT, [ERROR_ABSENT] = CONTROL_ERROR_ABSENT,
		[ERROR_BUSY] = CONTROL_ERROR_BUSY,	   [ERROR_SYSTEM] = CONTROL_ERROR_SYSTEM,
	};

	return (size_t)kind < ARRAY_SIZE(codes) ? codes[kind] : CONTROL_ERROR_INTERNAL;
}

void control_error_read(struct json_object *error, struct error *err)
{
	struct json_object *code = NULL, *message = NULL, *data = NULL, *field = NULL;
	enum error_kind kind = ERROR_SYSTEM;

	json_object_object_get_ex(error, "code", &code);
	json_object_object_get_ex(error, "message", &message);
	if (json_object_object_get_ex(error, "data", &data))
		json_object_object_get_ex(data, "field", &field);
	for (enum error_kind k = ERROR_INPUT; k <= ERROR_SYSTEM; k++) {
		if (control_errors[control_error_of(k)].code == json_object_get_int(code))
			kind = k;
	}
	error_set(err, kind, "%s", message ? json_object_get_string(message) : "unnamed error");
	if (field) {
		strncpy(err->field, json_object_get_string(field), sizeof err->field - 1);
		err->field[sizeof err->field - 1] = '\0';
	}
}

char *control_line(struct json_object *object, size_t *size)
{
	size_t length;
	const char *text = json_object_to_json_string_length(object, TEXT_FLAGS, &length);
	char *line = text ? malloc(length + 2) : NULL;

	if (!line)
		abort();
	memcpy(line, text, length);
	memcpy(line + length, "\n", 2);
	*size = length + 1;
	return line;
}
