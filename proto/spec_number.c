#include <ctype.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "proto/spec.h"
#include "proto/spec_kind.h"

/* Numbers: as JSON numbers, or as strings, since the key=value form knows nothing else. */

/* Decimal digits at the start of text; *end is set behind them. -1: none, or too many. */
static int digits(const char *text, uint64_t *out, const char **end)
{
	uint64_t n = 0;
	const char *c = text;

	for (; isdigit((unsigned char)*c); c++)
		if (__builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*c - '0'), &n) || n > INT64_MAX)
			return -1;
	*out = n;
	*end = c;
	return c == text ? -1 : 0;
}

static int whole_number(struct json_object *value, int64_t *out)
{
	const char *end;
	uint64_t n;

	if (json_object_is_type(value, json_type_int)) {
		*out = json_object_get_int64(
			value); /* saturates, so that the range check finds it */
		return 0;
	}
	if (!json_object_is_type(value, json_type_string) ||
	    strlen(json_object_get_string(value)) != (size_t)json_object_get_string_len(value) ||
	    digits(json_object_get_string(value), &n, &end) < 0 || *end)
		return -1;
	*out = (int64_t)n;
	return 0;
}

static int read_whole(const struct spec_key *key, struct json_object *value, struct spec *spec,
		      const char *what, struct error *err)
{
	int64_t n;

	if (whole_number(value, &n) < 0 || n < key->min || n > key->max)
		return SPEC_BAD(key, spec_shown(value),
				"expected a whole number%s from %lld to %lld", what,
				(long long)key->min, (long long)key->max);
	*(int64_t *)spec_member(key, spec) = n;
	return 0;
}

int spec_read_number(const struct spec_key *key, struct json_object *value, struct spec *spec,
		     struct error *err)
{
	return read_whole(key, value, spec, "", err);
}

int spec_read_msec(const struct spec_key *key, struct json_object *value, struct spec *spec,
		   struct error *err)
{
	return read_whole(key, value, spec, " of milliseconds", err);
}

struct json_object *spec_write_number(const struct spec_key *key, const struct spec *spec)
{
	int64_t n = *(const int64_t *)spec_const_member(key, spec);

	return n == SPEC_UNSET ? NULL : json_object_new_int64(n);
}

static int seconds_text(const char *text, int64_t *ms)
{
	const char *end;
	uint64_t whole, part = 0, scale = 100;

	if (digits(text, &whole, &end) < 0 || whole > INT64_MAX / 1000 - 1)
		return -1;
	if (*end == '.') {
		if (!isdigit((unsigned char)*++end))
			return -1;
		for (; isdigit((unsigned char)*end); end++, scale /= 10)
			part += scale * (uint64_t)(*end - '0');
	}
	*ms = (int64_t)(whole * 1000 + part);
	return *end ? -1 : 0;
}

int spec_read_seconds(const struct spec_key *key, struct json_object *value, struct spec *spec,
		      struct error *err)
{
	int64_t ms = -1;

	if (json_object_is_type(value, json_type_string)) {
		if (seconds_text(json_object_get_string(value), &ms) < 0)
			ms = -1;
	} else if (json_object_is_type(value, json_type_int) ||
		   json_object_is_type(value, json_type_double)) {
		double n = json_object_get_double(value);

		if (isfinite(n) && n >= 0 && n <= (double)key->max)
			ms = llround(n * 1000);
	}
	if (ms < key->min || ms > key->max)
		return SPEC_BAD(key, spec_shown(value), "expected seconds, from %g to %g",
				(double)key->min / 1000, (double)key->max / 1000);
	*(int64_t *)spec_member(key, spec) = ms;
	return 0;
}

struct json_object *spec_write_seconds(const struct spec_key *key, const struct spec *spec)
{
	int64_t ms = *(const int64_t *)spec_const_member(key, spec);
	char text[32];

	if (ms == SPEC_UNSET)
		return NULL;
	if (ms % 1000 == 0)
		return json_object_new_int64(ms / 1000);
	snprintf(text, sizeof text, "%lld.%03lld", (long long)(ms / 1000), (long long)(ms % 1000));
	return json_object_new_double_s((double)ms / 1000, text);
}

static int memory_text(const char *text, uint64_t *kib)
{
	static const struct {
		const char *unit;
		unsigned shift;
	} units[] = { { "", 0 }, { "K", 0 }, { "M", 10 }, { "G", 20 }, { "T", 30 } };
	const char *end;
	uint64_t n;

	if (digits(text, &n, &end) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcasecmp(end, units[i].unit) == 0 && n <= UINT64_MAX >> units[i].shift) {
			*kib = n << units[i].shift;
			return 0;
		}
	}
	return -1;
}

int spec_read_memory(const struct spec_key *key, struct json_object *value, struct spec *spec,
		     struct error *err)
{
	uint64_t kib = 0;
	int rc = -1;

	if (json_object_is_type(value, json_type_string)) {
		rc = memory_text(json_object_get_string(value), &kib);
	} else if (json_object_is_type(value, json_type_int) && json_object_get_int64(value) >= 0) {
		kib = (uint64_t)json_object_get_int64(value);
		rc = 0;
	}
	if (rc < 0)
		return SPEC_BAD(key, spec_shown(value),
				"expected a number of KiB, or a size such as \"64M\" or \"1G\"");
	if (kib < (uint64_t)key->min || kib > (uint64_t)key->max)
		return SPEC_BAD(key, spec_shown(value),
				"expected from %lld to %lld KiB, this is %llu KiB",
				(long long)key->min, (long long)key->max, (unsigned long long)kib);
	*(uint64_t *)spec_member(key, spec) = kib;
	return 0;
}

struct json_object *spec_write_memory(const struct spec_key *key, const struct spec *spec)
{
	uint64_t kib = *(const uint64_t *)spec_const_member(key, spec);

	return kib ? json_object_new_int64((int64_t)kib) : NULL;
}
