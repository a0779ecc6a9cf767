#include "proto/spec.h"

#include <ctype.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "proto/control.h"
#include "proto/spec_kind.h"

#define NAME_SHOWN_MAX 63
#define KEY_MAX	       32 /* longer ones resemble nothing */
#define TEXT_FLAGS     (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

static const struct spec_key keys[] = {
#define SPEC_KEY(key, kind, min, max, help)                                                        \
	{ #key, sizeof #key - 1, SPEC_KIND_##kind, offsetof(struct spec, key), min, max },
#include "proto/spec.tbl.h"
#undef SPEC_KEY
};

static bool is_sim(const char *key)
{
	return strncmp(key, "sim_", 4) == 0;
}

static const struct spec_key *find_key(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

/* Levenshtein's distance, small and capitals alike. */
static size_t distance(const char *a, const char *b)
{
	size_t row[KEY_MAX + 1], m = strlen(b);

	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t cost = diagonal + (tolower((unsigned char)a[i - 1]) != b[j - 1]);

			if (row[j] + 1 < cost)
				cost = row[j] + 1;
			if (row[j - 1] + 1 < cost)
				cost = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = cost;
		}
	}
	return row[m];
}

static int unknown_key(const char *name, struct error *err)
{
	const char *nearest = NULL;
	size_t best = strlen(name) < 4 ? 2 : 3; /* what is less is near */
	char known[1024] = "";

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		size_t used = strlen(known);
		size_t d = strlen(name) <= KEY_MAX ? distance(name, keys[i].name) : best;

		if (d < best) {
			best = d;
			nearest = keys[i].name;
		}
		if (!is_sim(keys[i].name))
			snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "",
				 keys[i].name);
	}
	if (nearest)
		return error_field(err, ERROR_INPUT, name, NULL,
				   "unknown key; did you mean \"%s\"?", nearest);
	return error_field(err, ERROR_INPUT, name, NULL, "unknown key; expected one of: %s", known);
}

static int missing(const char *key, const char *where, struct error *err)
{
	return error_field(err, ERROR_INPUT, key, NULL, "missing; expected %s", where);
}

static int check_rumprun(const struct spec *spec, struct error *err)
{
	const struct {
		const char *key;
		bool given;
	} over[] = {
		{ "rumprun_addr", spec->rumprun_addr },
		{ "rumprun_mask", spec->rumprun_mask != SPEC_UNSET },
		{ "rumprun_gw", spec->rumprun_gw },
		{ "rumprun_hostname", spec->rumprun_hostname },
	};

	for (size_t i = 0; i < ARRAY_SIZE(over) && !spec->rumprun_config; i++)
		if (over[i].given)
			return error_field(err, ERROR_INPUT, over[i].key, NULL,
					   "expected only with rumprun_config, whose value it "
					   "replaces");
	return 0;
}

/* What no key can know alone. */
static int check_whole(const struct spec *spec, bool simulated, struct error *err)
{
	if (!spec->name)
		return missing("name", "in every service", err);
	if (spec->dns.n == 0 && spec_wakes_by(spec, SPEC_WAKE_DNS))
		return missing("dns", "unless only packets wake it", err);
	if (spec_wakes_by(spec, SPEC_WAKE_PACKET) && spec->nic.n == 0)
		return error_field(err, ERROR_INPUT, "wake", "packet",
				   "expected a service with a nic");
	if (spec->ports.n && !spec_wakes_by(spec, SPEC_WAKE_PACKET))
		return error_field(err, ERROR_INPUT, "ports", spec->ports.v[0],
				   "expected only with wake packet");
	if (spec->ip.n == 0 && !spec->rumprun_config)
		return missing("ip", "unless a rumprun_config has it", err);
	if (!spec->kernel && !simulated && !(spec->type == SPEC_TYPE_HVM && spec->disk.n))
		return missing("kernel",
			       spec->type == SPEC_TYPE_HVM ? "unless a disk is there to boot from"
							   : "for every type but hvm",
			       err);
	if (!spec->memory && !simulated)
		return missing("memory", "in every service", err);
	if (spec->mac.n > spec->nic.n)
		return error_field(err, ERROR_INPUT, "mac", spec->mac.v[spec->nic.n],
				   "expected at most one for each nic, of which there are %zu",
				   spec->nic.n);
	if (spec->script.n > spec->nic.n)
		return error_field(err, ERROR_INPUT, "script", spec->script.v[spec->nic.n],
				   "expected at most one for each nic, of which there are %zu",
				   spec->nic.n);
	if (spec->idle.n && spec->stop_mode != SPEC_STOP_UNSET)
		return error_field(err, ERROR_INPUT, "idle", NULL,
				   "expected not together with stop_mode, which its tiers replace");
	return check_rumprun(spec, err);
}

static int read_keys(struct spec *spec, struct json_object *object, bool simulated,
		     struct error *err)
{
	json_object_object_foreach(object, name, value)
	{
		const struct spec_key *key = find_key(name);

		if (!key)
			return unknown_key(name, err);
		if (is_sim(name) && !simulated)
			return error_field(err, ERROR_INPUT, name, NULL,
					   "expected only with the simulated backend (-x sim)");
		if (spec_kinds[key->kind].read(key, value, spec, err) < 0)
			return -1;
	}
	return 0;
}

/* At most, of what has no fixed size: every byte may be written as two. */
static size_t bytes_of_texts(const struct spec *spec)
{
	size_t bytes = 0;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const void *member = spec_const_member(&keys[i], spec);

		if (keys[i].kind == SPEC_KIND_TEXT) {
			const char *text = *(char *const *)member;

			bytes += text ? 2 * strlen(text) : 0;
		} else if (keys[i].kind == SPEC_KIND_TEXTS || keys[i].kind == SPEC_KIND_NAMES) {
			const struct spec_texts *texts = member;

			for (size_t k = 0; k < texts->n; k++)
				bytes += 2 * strlen(texts->v[k]) + 3;
		}
	}
	return bytes;
}

/* It has to fit a message. Seldom near that: then, and only then, it is written to be measured. */
static int check_size(const struct spec *spec, struct error *err)
{
	struct json_object *object;
	size_t size;

	if (bytes_of_texts(spec) < SPEC_JSON_MAX / 2)
		return 0;
	object = spec_to_json(spec);
	json_object_to_json_string_length(object, TEXT_FLAGS, &size);
	json_object_put(object);
	if (size <= SPEC_JSON_MAX)
		return 0;
	return error_set(err, ERROR_INPUT, "a service: expected at most %d bytes of JSON, not %zu",
			 SPEC_JSON_MAX, size);
}

static struct spec *empty(void)
{
	struct spec *spec = calloc(1, sizeof *spec);

	if (!spec)
		abort();
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (spec_kinds[keys[i].kind].unset)
			*(int64_t *)spec_member(&keys[i], spec) = SPEC_UNSET;
	return spec;
}

struct spec *spec_from_json(struct json_object *object, bool simulated, struct error *err)
{
	cleanup_spec struct spec *spec = empty();

	if (!json_object_is_type(object, json_type_object)) {
		error_set(err, ERROR_INPUT, "expected one JSON object for a service");
		return NULL;
	}
	if (read_keys(spec, object, simulated, err) < 0 || check_whole(spec, simulated, err) < 0 ||
	    check_size(spec, err) < 0)
		return NULL;
	return TAKE(spec);
}

struct scan {
	struct spec *spec;
	bool simulated;
	size_t next; /* keys mostly come in the table's order */
	bool seen[ARRAY_SIZE(keys)];
};

static bool take(void *arg, const char *name, size_t size, struct json_object *value)
{
	struct scan *scan = arg;
	struct error ignored;
	size_t i = scan->next, looked = 0;

	while (looked++ < ARRAY_SIZE(keys) &&
	       (keys[i].size != size || memcmp(keys[i].name, name, size) != 0))
		i = i + 1 < ARRAY_SIZE(keys) ? i + 1 : 0;
	if (looked > ARRAY_SIZE(keys) || scan->seen[i] ||
	    (!scan->simulated && is_sim(keys[i].name)))
		return false;
	scan->seen[i] = true;
	scan->next = i + 1 < ARRAY_SIZE(keys) ? i + 1 : 0;
	return spec_kinds[keys[i].kind].read(&keys[i], value, scan->spec, &ignored) == 0;
}

/* The plain way; NULL: whatever it is, the long way says so. */
static struct spec *scan(const char *text, bool simulated)
{
	cleanup_spec struct spec *spec = empty();
	struct scan s = { .spec = spec, .simulated = simulated };
	struct error ignored;

	if (!spec_scan(text, take, &s) || check_whole(spec, simulated, &ignored) < 0)
		return NULL;
	return TAKE(spec);
}

char *spec_text_name(const char *text)
{
	struct json_object *object = json_tokener_parse(text), *name;
	char *copy = NULL;

	if (json_object_is_type(object, json_type_object) &&
	    json_object_object_get_ex(object, "name", &name) &&
	    json_object_is_type(name, json_type_string))
		copy = strndup(json_object_get_string(name), NAME_SHOWN_MAX);
	json_object_put(object);
	for (const char *c = copy; c && *c; c++) {
		if (isgraph((unsigned char)*c))
			continue;
		free(copy);
		return NULL;
	}
	return copy;
}

struct spec *spec_from_text(const char *text, bool simulated, struct error *err)
{
	struct json_object *object;
	size_t size = strlen(text);
	struct spec *spec = size < SPEC_JSON_MAX / 2 ? scan(text, simulated) : NULL;

	if (spec)
		return spec;

	if (size > SPEC_JSON_MAX) {
		error_set(err, ERROR_INPUT,
			  "a service's JSON text: expected at most %d bytes, not %zu",
			  SPEC_JSON_MAX, size);
		return NULL;
	}
	if (control_parse(text, size, &object, err) < 0)
		return NULL;
	spec = spec_from_json(object, simulated, err);
	json_object_put(object);
	return spec;
}

struct json_object *spec_to_json(const struct spec *spec)
{
	struct json_object *object = json_object_new_object();

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		struct json_object *value = spec_kinds[keys[i].kind].write(&keys[i], spec);

		if (value)
			json_object_object_add(object, keys[i].name, value);
	}
	return object;
}

char *spec_to_text(const struct spec *spec, size_t *size, size_t *common)
{
	struct spec_writer writer;
	size_t own = 0;

	spec_write_begin(&writer);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		spec_write_member(&writer, &keys[i], spec);
		/* The first four of the table. */
		if (keys[i].offset == offsetof(struct spec, uuid))
			own = writer.size;
	}
	if (common)
		*common = own;
	return spec_write_end(&writer, size);
}

static bool shapes_domain(const char *key)
{
	static const char *const shaping[] = {
		"name",
		"uuid",
		"kernel",
		"ramdisk",
		"cmdline",
		"memory",
		"vcpus",
		"type",
		"nic",
		"mac",
		"script",
		"disk",
		"rumprun_config",
		"rumprun_addr",
		"rumprun_mask",
		"rumprun_gw",
		"rumprun_hostname",
	};

	for (size_t i = 0; i < ARRAY_SIZE(shaping); i++)
		if (strcmp(shaping[i], key) == 0)
			return true;
	return false;
}

uint64_t spec_digest(const struct spec *spec)
{
	uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
	struct json_object *object = spec_to_json(spec);

	json_object_object_foreach(object, key, value)
	{
		const char *text = shapes_domain(key) ? json_object_to_json_string(value) : "";

		for (const char *c = *text ? key : ""; *c; c++)
			hash = (hash ^ (uint8_t)*c) * UINT64_C(1099511628211);
		for (; *text; text++)
			hash = (hash ^ (uint8_t)*text) * UINT64_C(1099511628211);
	}
	json_object_put(object);
	return hash ? hash : 1;
}

void spec_mac(const struct spec *spec, size_t i, uint8_t mac[6])
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	if (i < spec->mac.n) {
		unsigned b[6];

		/* It was written by the check, so it has this form. */
		sscanf(spec->mac.v[i], "%2x:%2x:%2x:%2x:%2x:%2x", &b[0], &b[1], &b[2], &b[3], &b[4],
		       &b[5]);
		for (size_t k = 0; k < 6; k++)
			mac[k] = (uint8_t)b[k];
		return;
	}
	for (size_t k = 0; k < sizeof spec->uuid; k++)
		hash = (hash ^ spec->uuid[k]) * 16777619u;
	/* Folded to 24 bits, then counted on: the nics of one service always differ. */
	hash = ((hash >> 24) ^ hash) + (uint32_t)i;
	mac[0] = 0x00;
	mac[1] = 0x16;
	mac[2] = 0x3e;
	mac[3] = (uint8_t)(hash >> 16);
	mac[4] = (uint8_t)(hash >> 8);
	mac[5] = (uint8_t)hash;
}

const char *spec_script(const struct spec *spec, size_t i)
{
	return spec->script.n ? spec->script.v[i % spec->script.n] : NULL;
}

void spec_free(struct spec *spec)
{
	if (!spec)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (spec_kinds[keys[i].kind].release)
			spec_kinds[keys[i].kind].release(&keys[i], spec);
	free(spec);
}
