#include "jitsuctl/chart.h"

#include <json-c/json.h>
#include <string.h>

#define LABEL  8  /* name and a space */
#define NUMBER 11 /* ` 12345.6 ms` */

static const char *const signs[] = { "key", "port", "frame" };

/* A time of the record; false if it did not happen. */
static bool time_at(struct json_object *boot, const char *key, double *at)
{
	struct json_object *value;

	if (!json_object_object_get_ex(boot, key, &value))
		return false;
	*at = json_object_get_double(value);
	return true;
}

static bool has_missed(struct json_object *boot, const char *sign)
{
	struct json_object *missed;

	if (!json_object_object_get_ex(boot, "missed", &missed) ||
	    !json_object_is_type(missed, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(missed); i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(missed, i));

		if (text && strcmp(text, sign) == 0)
			return true;
	}
	return false;
}

static const char *build_name(struct json_object *boot)
{
	struct json_object *how;
	const char *text = json_object_object_get_ex(boot, "how", &how)
				   ? json_object_get_string(how)
				   : "booted";

	return strcmp(text, "restored") == 0 ? "restore"
	       : strcmp(text, "woken") == 0  ? "wake"
					     : "build";
}

size_t chart_read(struct json_object *boot, struct phase phases[CHART_PHASES])
{
	double began = 0, created = 0, ready = 0, answered = 0, at, settled;
	bool is_ready = time_at(boot, "ready", &ready);
	size_t n = 0;

	if (time_at(boot, "began", &began))
		phases[n++] = (struct phase){ "queue", 0, began, false };
	if (time_at(boot, "created", &created))
		phases[n++] = (struct phase){ build_name(boot), began, created, false };
	settled = created;
	for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
		if (time_at(boot, signs[i], &at)) {
			phases[n++] = (struct phase){ signs[i], created, at, false };
			/* One that comes afterwards was not waited for. */
			if (at > settled && (!is_ready || at <= ready))
				settled = at;
		} else if (has_missed(boot, signs[i])) {
			phases[n++] = (struct phase){ signs[i], created, is_ready ? ready : created,
						      true };
		}
	}
	if (is_ready)
		phases[n++] = (struct phase){ "settle", settled, ready, false };
	if (time_at(boot, "answered", &answered))
		phases[n++] = (struct phase){ "answer",
					      is_ready && ready < answered ? ready : answered,
					      answered, false };
	return n;
}

static void repeat(FILE *out, const char *text, int count)
{
	while (count-- > 0)
		fputs(text, out);
}

void chart_write(FILE *out, const struct phase *phases, size_t count, int width)
{
	double total = 0;
	int room = (width < 40 ? 40 : width) - LABEL - NUMBER;
	char end[32];

	for (size_t i = 0; i < count; i++) {
		if (phases[i].end > total)
			total = phases[i].end;
	}
	for (size_t i = 0; i < count; i++) {
		const struct phase *p = &phases[i];
		double scale = total > 0 ? room / total : 0;
		int from = (int)(p->begin * scale + 0.5), to = (int)(p->end * scale + 0.5);
		double took = p->end - p->begin;
		bool thin = to <= from;

		if (from > room - 1)
			from = room - 1;
		fprintf(out, "%-*s%*s", LABEL, p->name, from, "");
		/* What is less than a column is still to be seen. */
		if (thin) {
			fputs("▏", out);
			to = from + 1;
		} else {
			repeat(out, p->missed ? "░" : "█", to - from);
		}
		if (p->missed)
			fprintf(out, "%*s%*s\n", room - to, "", NUMBER, "missed");
		else
			fprintf(out, "%*s%*.1f ms\n", room - to, "", NUMBER - 3, took);
	}
	snprintf(end, sizeof end, "%.1f ms", total);
	fprintf(out, "%-*s0%*s\n", LABEL, "", room - 1, end);
}

void chart_write_plain(FILE *out, const struct phase *phases, size_t count)
{
	for (size_t i = 0; i < count; i++)
		fprintf(out, "%s\t%.3f\t%.3f%s\n", phases[i].name, phases[i].begin, phases[i].end,
			phases[i].missed ? "\tmissed" : "");
}
