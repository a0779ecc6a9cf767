/* Text for people: aligned columns, values in their units. Nothing that a terminal would obey
 * comes through. */
#ifndef JITSU_JITSUCTL_WRITER_H
#define JITSU_JITSUCTL_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "proto/control.h"

struct json_object;

struct column {
	const char *title;
	bool right;
	int shrink; /* 0: never cut; else the smallest width it is cut to */
	int order;  /* of those that may be cut, the lowest first */
};

struct table {
	const struct column *columns;
	size_t column_count, row_count;
	bool headless; /* rows alone */
	char **cells;  /* row_count * column_count, owned */
};

/* The width to fit: COLUMNS, else the terminal's, 0 (no limit) where neither is known. */
int writer_width(void);

void table_add(struct table *table, const char *const *cells);
/* Writes a header and the rows, within the width if that can be done by cutting. */
void table_write(FILE *out, const struct table *table, int width);
void table_free(struct table *table);

/* A value as text; the caller frees it. `one`: of several only the first, and how many more. */
char *writer_value(struct json_object *value, enum control_kind kind, bool one);

/* The state of a service of service.list or service.get, its failures included: `failed, retry in
 * 8s`, `starting (failed)` if that is not its first try, `ready (afresh)` if it was to be restored
 * or woken and was booted, or one word if brief. The caller frees it. */
char *writer_state(struct json_object *service, bool brief);

/* Bytes (or whatever) a second: `1.2M`; `-` for what is not known (NAN). The caller frees it. */
char *writer_rate(double rate);

/* Writes the text without what a terminal would obey; returns how many columns it took. */
int writer_plain(FILE *out, const char *text);

/* `1h 2m`, `12s`; the caller frees it. */
char *writer_duration(double seconds);

void writer_json(struct json_object *value);

#endif
