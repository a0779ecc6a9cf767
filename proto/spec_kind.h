/* The kinds of values in spec.tbl.h: how each is read from JSON, checked, written and released.
 * For the specification itself and for what describes it: openrpc.c, help. */
#ifndef JITSU_PROTO_SPEC_KIND_H
#define JITSU_PROTO_SPEC_KIND_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct spec;

enum spec_kind {
	SPEC_KIND_TEXT,
	SPEC_KIND_TEXTS,
	SPEC_KIND_NAMES,
	SPEC_KIND_ADDRESSES,
	SPEC_KIND_UUID,
	SPEC_KIND_MEMORY,
	SPEC_KIND_NUMBER,
	SPEC_KIND_SECONDS,
	SPEC_KIND_MSEC,
	SPEC_KIND_BOOL,
	SPEC_KIND_IDLE,
	SPEC_KIND_MACS,
	SPEC_KIND_TYPE,
	SPEC_KIND_STOP,
	SPEC_KIND_IDLE_BY,
	SPEC_KIND_FATE,
	SPEC_KIND_DEATH,
	SPEC_KINDS
};

struct spec_key {
	const char *name;
	size_t size; /* of the name */
	enum spec_kind kind;
	size_t offset; /* of its member in struct spec */
	int64_t min, max;
};

struct spec_kind_ops {
	/* Into an empty member. 0, or -1 with an error that names key and value; what was read so
	 * far is left for release. */
	int (*read)(const struct spec_key *key, struct json_object *value, struct spec *spec,
		    struct error *err);
	/* A new value, or NULL if the key is not given. */
	struct json_object *(*write)(const struct spec_key *key, const struct spec *spec);
	void (*release)(const struct spec_key *key, struct spec *spec); /* NULL: owns nothing */
	bool unset; /* its member is an int64_t that starts as SPEC_UNSET */
};

extern const struct spec_kind_ops spec_kinds[];

/* The words of a kind of words by their value, NULL for a value that has none; *count of them.
 * NULL for the other kinds. */
const char *const *spec_words(enum spec_kind kind, size_t *count);

/* They are joined to text: `pv, pvh, hvm`. Text is empty for a kind that is not of words. */
void spec_words_join(enum spec_kind kind, char *text, size_t size);

typedef int spec_read_fn(const struct spec_key *key, struct json_object *value, struct spec *spec,
			 struct error *err);
typedef struct json_object *spec_write_fn(const struct spec_key *key, const struct spec *spec);

spec_read_fn spec_read_number, spec_read_msec, spec_read_seconds, spec_read_memory;
spec_write_fn spec_write_number, spec_write_seconds, spec_write_memory;
spec_read_fn spec_read_word, spec_read_bool, spec_read_idle;
spec_write_fn spec_write_word, spec_write_bool, spec_write_idle;

/* What some keys' texts must be beyond their kind. 0, or -1 with an error. */
int spec_check_text(const struct spec_key *key, const char *text, struct error *err);

static inline void *spec_member(const struct spec_key *key, struct spec *spec)
{
	return (char *)spec + key->offset;
}

static inline const void *spec_const_member(const struct spec_key *key, const struct spec *spec)
{
	return (const char *)spec + key->offset;
}

/* Reads an object that json-c is not needed for, member by member; value is the callee's for the
 * call only. False if it is not one, or if `take` refused a member: then nothing is said of it. */
typedef bool spec_take_fn(void *arg, const char *key, size_t size, struct json_object *value);
bool spec_scan(const char *text, spec_take_fn *take, void *arg);

/* The canonical text, member by member. The text is the caller's to free. */
struct spec_writer {
	char *text;
	size_t size, room;
};
void spec_write_begin(struct spec_writer *writer);
void spec_write_member(struct spec_writer *writer, const struct spec_key *key,
		       const struct spec *spec);
char *spec_write_end(struct spec_writer *writer, size_t *size);

/* A value as an error shows it. */
static inline const char *spec_shown(struct json_object *value)
{
	if (json_object_is_type(value, json_type_string))
		return json_object_get_string(value);
	return json_object_to_json_string_ext(value, JSON_C_TO_STRING_NOSLASHESCAPE);
}

/* -1, with an error about this key; `err` is the caller's. */
#define SPEC_BAD(key, value, ...) error_field(err, ERROR_INPUT, (key)->name, value, __VA_ARGS__)

#endif
