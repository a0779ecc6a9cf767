#include "dns/special.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/error.h"

#define ZONE_MAX 80 /* bytes of the longest zone in wire format */
#define TYPE_DS	 43

enum kind { KIND_NAME, KIND_ZONE, KIND_LOCALHOST };

static const struct {
	const char *zone;
	int first, last;
	enum kind kind;
} sources[] = {
#define SPECIAL(zone, first, last, kind, source) { zone, first, last, KIND_##kind },
#include "dns/special.tbl.h"
#undef SPECIAL
};

struct zone {
	enum kind kind;
	size_t size;
	uint8_t wire[ZONE_MAX];
};

struct special {
	size_t count;
	struct zone v[];
};

static size_t wire_of(uint8_t out[ZONE_MAX], const char *text)
{
	uint8_t *p = out;

	while (*text) {
		size_t label = strcspn(text, ".");

		*p++ = (uint8_t)label;
		memcpy(p, text, label);
		p += label;
		text += label + (text[label] == '.');
	}
	*p++ = 0;
	return (size_t)(p - out);
}

static size_t zones_of(size_t source)
{
	return (size_t)(sources[source].last - sources[source].first + 1);
}

static void name_zone(char *out, size_t room, size_t source, size_t i)
{
	if (sources[source].first < 0)
		snprintf(out, room, "%s", sources[source].zone);
	else
		snprintf(out, room, "%d.%s", sources[source].first + (int)i, sources[source].zone);
}

static bool is_listed(const char *zone, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t size = strlen(list[i]);

		if (size > 1 && list[i][size - 1] == '.')
			size--;
		if (strcmp(list[i], "all") == 0 ||
		    (strlen(zone) == size && strncasecmp(zone, list[i], size) == 0))
			return true;
	}
	return false;
}

static bool is_known(const char *text)
{
	char zone[ZONE_MAX];

	if (strcmp(text, "all") == 0)
		return true;
	for (size_t s = 0; s < ARRAY_SIZE(sources); s++) {
		for (size_t i = 0; i < zones_of(s); i++) {
			name_zone(zone, sizeof zone, s, i);
			if (is_listed(zone, &text, 1))
				return true;
		}
	}
	return false;
}

struct special *special_new(const char *const *forwarded, size_t count, struct error *err)
{
	struct special *special;
	size_t all = 0;
	char name[ZONE_MAX];

	for (size_t i = 0; i < count; i++) {
		if (is_known(forwarded[i]))
			continue;
		error_field(err, ERROR_INPUT, "forward_special", forwarded[i],
			    "expected all, or a zone that is kept home, such as 10.in-addr.arpa, "
			    "home.arpa or test");
		return NULL;
	}
	for (size_t s = 0; s < ARRAY_SIZE(sources); s++)
		all += zones_of(s);
	special = calloc(1, sizeof *special + all * sizeof special->v[0]);
	if (!special) {
		error_set(err, ERROR_SYSTEM, "out of memory");
		return NULL;
	}
	for (size_t s = 0; s < ARRAY_SIZE(sources); s++) {
		for (size_t i = 0; i < zones_of(s); i++) {
			struct zone *zone = &special->v[special->count];

			name_zone(name, sizeof name, s, i);
			if (is_listed(name, forwarded, count))
				continue;
			zone->kind = sources[s].kind;
			zone->size = wire_of(zone->wire, name);
			special->count++;
		}
	}
	return special;
}

void special_free(struct special *special)
{
	free(special);
}

static const struct zone *find_zone(const struct special *special, const uint8_t *name, size_t size)
{
	for (size_t i = 0; i < special->count; i++)
		if (special->v[i].size == size && memcmp(special->v[i].wire, name, size) == 0)
			return &special->v[i];
	return NULL;
}

struct special_verdict special_find(const struct special *special, const uint8_t *name, size_t size,
				    uint16_t type)
{
	struct special_verdict verdict = { .kind = SPECIAL_NOT };
	const struct zone *zone = NULL;
	size_t at = 0;

	while (at < size && name[at]) {
		if (size - at <= ZONE_MAX && (zone = find_zone(special, name + at, size - at)))
			break;
		at += name[at] + 1u;
	}
	if (!zone || (type == TYPE_DS && at == 0 && zone->kind == KIND_ZONE))
		return verdict;
	verdict.zone = zone->wire;
	if (zone->kind == KIND_LOCALHOST)
		verdict.kind = SPECIAL_LOCALHOST;
	else if (zone->kind == KIND_ZONE && at == 0)
		verdict.kind = SPECIAL_NODATA;
	else
		verdict.kind = SPECIAL_NXDOMAIN;
	return verdict;
}
