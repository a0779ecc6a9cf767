/* The tiers of a guest's sleep: `pause:2m,suspend:10m,destroy:1h`. */
#include <ctype.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "proto/spec.h"
#include "proto/spec_kind.h"

/* The longest first, to be written in the largest that fits. */
static const struct {
	const char *unit;
	int64_t ms;
} units[] = {
	{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 },
};

/* What comes later takes more away. */
static int depth(enum spec_stop_mode mode)
{
	return mode == SPEC_STOP_PAUSE ? 1 : mode == SPEC_STOP_SUSPEND ? 2 : 3;
}

/* Digits and a unit. -1: neither, or too much for the key. */
static int64_t duration(const struct spec_key *key, const char *text)
{
	int64_t n = 0;
	const char *c = text;

	for (; isdigit((unsigned char)*c); c++)
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *c - '0', &n))
			return -1;
	for (size_t i = 0; i < ARRAY_SIZE(units) && c != text; i++)
		if (strcmp(c, units[i].unit) == 0 && !__builtin_mul_overflow(n, units[i].ms, &n) &&
		    n >= key->min && n <= key->max)
			return n;
	return -1;
}

static int add_tier(const struct spec_key *key, char *text, struct spec_idle *idle,
		    struct error *err)
{
	const struct spec_tier *last = idle->n ? &idle->v[idle->n - 1] : NULL;
	char *colon = strchr(text, ':'), modes[64];
	struct spec_tier tier;

	if (!colon)
		return SPEC_BAD(key, text, "expected MODE:TIME such as pause:2m");
	*colon = '\0';
	tier.mode = spec_stop_find(text);
	tier.after = duration(key, colon + 1);
	*colon = ':';
	spec_words_join(SPEC_KIND_STOP, modes, sizeof modes);
	if (tier.mode == SPEC_STOP_UNSET)
		return SPEC_BAD(key, text, "expected in front of ':' one of: %s", modes);
	if (tier.after < 0)
		return SPEC_BAD(
			key, text,
			"expected behind ':' a time up to a year with its unit: ms, s, m, h, d");
	if (last && depth(tier.mode) <= depth(last->mode))
		return SPEC_BAD(
			key, text,
			"expected deeper tiers behind: pause, suspend, then shutdown or destroy");
	if (last && tier.after <= last->after)
		return SPEC_BAD(key, text, "expected a longer time than the tier's before it");
	idle->v[idle->n++] = tier; /* there are no more depths than room */
	return 0;
}

static int add_tiers(const struct spec_key *key, struct json_object *value, struct spec_idle *idle,
		     struct error *err)
{
	cleanup_free char *text = NULL;
	char *rest, *tier;

	if (!json_object_is_type(value, json_type_string))
		return SPEC_BAD(key, spec_shown(value),
				"expected tiers such as \"pause:2m,destroy:1h\"");
	rest = text = strdup(json_object_get_string(value));
	if (!text)
		abort();
	while ((tier = strsep(&rest, ",")))
		if (add_tier(key, tier + strspn(tier, " "), idle, err) < 0)
			return -1;
	return 0;
}

/* One text, or an array of them: what repeated keys become. */
int spec_read_idle(const struct spec_key *key, struct json_object *value, struct spec *spec,
		   struct error *err)
{
	struct spec_idle *idle = spec_member(key, spec);

	if (!json_object_is_type(value, json_type_array))
		return add_tiers(key, value, idle, err);
	if (json_object_array_length(value) == 0)
		return SPEC_BAD(key, NULL, "expected tiers such as \"pause:2m,destroy:1h\"");
	for (size_t i = 0; i < json_object_array_length(value); i++)
		if (add_tiers(key, json_object_array_get_idx(value, i), idle, err) < 0)
			return -1;
	return 0;
}

struct json_object *spec_write_idle(const struct spec_key *key, const struct spec *spec)
{
	const struct spec_idle *idle = spec_const_member(key, spec);
	char text[SPEC_TIERS_MAX * 40];
	size_t used = 0;

	for (size_t i = 0; i < idle->n; i++) {
		size_t u = 0;

		while (idle->v[i].after % units[u].ms)
			u++;
		used += (size_t)snprintf(text + used, sizeof text - used, "%s%s:%lld%s",
					 i ? "," : "", spec_stop_word(idle->v[i].mode),
					 (long long)(idle->v[i].after / units[u].ms),
					 units[u].unit);
	}
	return idle->n ? json_object_new_string(text) : NULL;
}
