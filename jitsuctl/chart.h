/* The phases of a wake, and their bars. */
#ifndef JITSU_JITSUCTL_CHART_H
#define JITSU_JITSUCTL_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CHART_PHASES 8

struct json_object;

/* In ms since the query that woke it. */
struct phase {
	const char *name; /* a constant */
	double begin, end;
	bool missed; /* a sign that did not come within its limit: then it was not waited for longer
		      */
};

/* Reads them, in their order, from the `boot` of service.get; returns how many there are. One that
 * has not ended, or that there was none of, is left out. */
size_t chart_read(struct json_object *boot, struct phase phases[CHART_PHASES]);

/* One line a phase, of at most `width` columns (40 at least), and one with the scale. */
void chart_write(FILE *out, const struct phase *phases, size_t count, int width);

/* For programs: name, begin and end, apart by tabs; `missed` as a fourth where it was. */
void chart_write_plain(FILE *out, const struct phase *phases, size_t count);

#endif
