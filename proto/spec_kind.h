/* The kinds of values in spec.tbl.h: how each is read from JSON, checked, written and released.
 * For spec.c and openrpc.c only. */
#ifndef JITSU_PROTO_SPEC_KIND_H
#define JITSU_PROTO_SPEC_KIND_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct json_object;
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
	SPEC_KIND_TYPE,
	SPEC_KIND_STOP,
	SPEC_KIND_MACS,
};

struct spec_key {
	const char *name;
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
};

extern const struct spec_kind_ops spec_kinds[];

#endif
