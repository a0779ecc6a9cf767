/* Kinds of words, each with its table, and truth values. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "proto/spec.h"
#include "proto/spec_kind.h"

static const char *const types[] = {
	[SPEC_TYPE_PV] = "pv",
	[SPEC_TYPE_PVH] = "pvh",
	[SPEC_TYPE_HVM] = "hvm",
};
static const char *const stops[] = {
	[SPEC_STOP_DESTROY] = "destroy",
	[SPEC_STOP_SHUTDOWN] = "shutdown",
	[SPEC_STOP_SUSPEND] = "suspend",
	[SPEC_STOP_PAUSE] = "pause",
};
static const char *const idle_bys[] = {
	[SPEC_IDLE_BY_DNS] = "dns",
	[SPEC_IDLE_BY_TRAFFIC] = "traffic",
	[SPEC_IDLE_BY_BOTH] = "both",
};
static const char *const fates[] = {
	[SPEC_FATE_DESTROY] = "destroy",
	[SPEC_FATE_RESTART] = "restart",
	[SPEC_FATE_PRESERVE] = "preserve",
};
static const char *const deaths[] = {
	[SPEC_DEATH_POWEROFF] = "poweroff",
	[SPEC_DEATH_REBOOT] = "reboot",
	[SPEC_DEATH_CRASH] = "crash",
};

_Static_assert(ARRAY_SIZE(stops) == SPEC_STOP_MODES, "each stop mode has its word");
/* The members of these kinds are read and written as what gcc and clang make of them. */
_Static_assert(sizeof(enum spec_type) == sizeof(unsigned), "enumerations are unsigned");

#define WORDS(table)                                                                               \
	{                                                                                          \
		table, ARRAY_SIZE(table)                                                           \
	}
static const struct {
	const char *const *words;
	size_t count;
} tables[SPEC_KINDS] = {
	[SPEC_KIND_TYPE] = WORDS(types),       [SPEC_KIND_STOP] = WORDS(stops),
	[SPEC_KIND_IDLE_BY] = WORDS(idle_bys), [SPEC_KIND_FATE] = WORDS(fates),
	[SPEC_KIND_DEATH] = WORDS(deaths),
};

const char *const *spec_words(enum spec_kind kind, size_t *count)
{
	*count = tables[kind].count;
	return tables[kind].words;
}

void spec_words_join(enum spec_kind kind, char *text, size_t size)
{
	size_t count, used = 0;
	const char *const *words = spec_words(kind, &count);

	*text = '\0';
	for (size_t i = 0; i < count && used < size; i++)
		if (words[i])
			used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
						 words[i]);
}

int spec_read_word(const struct spec_key *key, struct json_object *value, struct spec *spec,
		   struct error *err)
{
	char known[128];
	size_t count;
	const char *const *words = spec_words(key->kind, &count);

	for (size_t i = 0; i < count; i++) {
		if (words[i] && json_object_is_type(value, json_type_string) &&
		    strcmp(json_object_get_string(value), words[i]) == 0) {
			*(unsigned *)spec_member(key, spec) = (unsigned)i;
			return 0;
		}
	}
	spec_words_join(key->kind, known, sizeof known);
	return SPEC_BAD(key, spec_shown(value), "expected one of: %s", known);
}

struct json_object *spec_write_word(const struct spec_key *key, const struct spec *spec)
{
	unsigned i = *(const unsigned *)spec_const_member(key, spec);
	const char *word = tables[key->kind].words[i];

	return word ? json_object_new_string(word) : NULL;
}

const char *spec_stop_word(enum spec_stop_mode mode)
{
	return (size_t)mode < ARRAY_SIZE(stops) && stops[mode] ? stops[mode] : "none";
}

enum spec_stop_mode spec_stop_find(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(stops); i++)
		if (stops[i] && strcmp(stops[i], word) == 0)
			return (enum spec_stop_mode)i;
	return SPEC_STOP_UNSET;
}

/* BOOL */

int spec_read_bool(const struct spec_key *key, struct json_object *value, struct spec *spec,
		   struct error *err)
{
	static const struct {
		const char *word;
		bool is;
	} words[] = { { "true", true },	  { "1", true },  { "yes", true },
		      { "false", false }, { "0", false }, { "no", false } };
	const char *text = spec_shown(value);

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(text, words[i].word) == 0) {
			*(bool *)spec_member(key, spec) = words[i].is;
			return 0;
		}
	}
	return SPEC_BAD(key, text, "expected true or false");
}

struct json_object *spec_write_bool(const struct spec_key *key, const struct spec *spec)
{
	return *(const bool *)spec_const_member(key, spec) ? json_object_new_boolean(true) : NULL;
}
