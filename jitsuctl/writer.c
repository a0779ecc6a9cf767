#include "jitsuctl/writer.h"

#include <json-c/json.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

#define GAP 2

int writer_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	int width = columns ? atoi(columns) : 0;

	if (width > 0)
		return width;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
		return size.ws_col;
	return isatty(STDOUT_FILENO) ? 80 : 0;
}

static char *__attribute__((format(printf, 1, 2))) text_of(const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	return text;
}

/* Characters of UTF-8, each taken to be one column wide. */
static int width_of(const char *text)
{
	int width = 0;

	for (; *text; text++)
		width += (*text & 0xc0) != 0x80;
	return width;
}

void table_add(struct table *table, const char *const *cells)
{
	size_t n = table->column_count, used = table->row_count * n;

	table->cells = reallocarray(table->cells, used + n, sizeof *table->cells);
	if (!table->cells)
		abort();
	for (size_t i = 0; i < n; i++) {
		char *cell = strdup(cells[i] && *cells[i] ? cells[i] : "-");

		if (!cell)
			abort();
		for (char *c = cell; *c; c++) {
			if ((unsigned char)*c < 0x20 || *c == 0x7f)
				*c = '?';
		}
		table->cells[used + i] = cell;
	}
	table->row_count++;
}

/* Takes from the columns that may be cut, in their order, what is over the width. */
static void fit(const struct table *table, int *widths, int limit)
{
	int over = -limit - GAP;

	for (size_t i = 0; i < table->column_count; i++)
		over += widths[i] + GAP;
	for (int order = 1; over > 0 && order <= (int)table->column_count; order++) {
		for (size_t i = 0; i < table->column_count; i++) {
			const struct column *column = &table->columns[i];
			int spare = widths[i] - column->shrink;

			if (!column->shrink || column->order != order || spare <= 0)
				continue;
			if (spare > over)
				spare = over;
			widths[i] -= spare;
			over -= spare;
		}
	}
}

static void write_cell(FILE *out, const char *cell, const struct column *column, int width,
		       bool last)
{
	int used = width_of(cell), pad = width - used;

	if (column->right && pad > 0)
		fprintf(out, "%*s", pad, "");
	if (pad >= 0) {
		fputs(cell, out);
	} else {
		for (int i = 0; i < width - 1; i++) {
			do
				fputc(*cell++, out);
			while ((*cell & 0xc0) == 0x80);
		}
		fputs("…", out);
	}
	if (!last)
		fprintf(out, "%*s", GAP + (column->right || pad < 0 ? 0 : pad), "");
}

void table_write(FILE *out, const struct table *table, int width)
{
	size_t n = table->column_count;
	cleanup_free int *widths = calloc(n, sizeof *widths);

	if (!widths)
		abort();
	for (size_t i = 0; i < n; i++)
		widths[i] = width_of(table->columns[i].title);
	for (size_t i = 0; i < table->row_count * n; i++) {
		int w = width_of(table->cells[i]);

		if (w > widths[i % n])
			widths[i % n] = w;
	}
	if (width)
		fit(table, widths, width);
	for (size_t i = 0; i < n && !table->headless; i++)
		write_cell(out, table->columns[i].title, &table->columns[i], widths[i], i + 1 == n);
	if (!table->headless)
		fputc('\n', out);
	for (size_t i = 0; i < table->row_count * n; i++) {
		bool last = i % n + 1 == n;

		write_cell(out, table->cells[i], &table->columns[i % n], widths[i % n], last);
		if (last)
			fputc('\n', out);
	}
}

void table_free(struct table *table)
{
	for (size_t i = 0; i < table->row_count * table->column_count; i++)
		free(table->cells[i]);
	free(table->cells);
}

char *writer_duration(double seconds)
{
	static const struct {
		const char *unit;
		unsigned long long size;
	} units[] = { { "d", 86400 }, { "h", 3600 }, { "m", 60 }, { "s", 1 } };
	unsigned long long left = seconds > 0 ? (unsigned long long)seconds : 0;

	for (size_t i = 0; i + 1 < ARRAY_SIZE(units); i++) {
		unsigned long long next = left % units[i].size / units[i + 1].size;

		if (left < units[i].size)
			continue;
		return next ? text_of("%llu%s%llu%s", left / units[i].size, units[i].unit, next,
				      units[i + 1].unit)
			    : text_of("%llu%s", left / units[i].size, units[i].unit);
	}
	return text_of("%llus", left);
}

static char *memory(int64_t kib)
{
	static const char units[] = "KMGT";
	double size = (double)kib;
	size_t unit = 0;

	while (size >= 1024 && unit + 2 < sizeof units) {
		size /= 1024;
		unit++;
	}
	return text_of(size == (double)(int64_t)size ? "%.0f%c" : "%.1f%c", size, units[unit]);
}

char *writer_rate(double rate)
{
	static const char units[] = " KMGT";
	size_t unit = 0;

	if (isnan(rate))
		return text_of("-");
	while (rate >= 999.5 && unit + 2 < sizeof units) {
		rate /= 1000;
		unit++;
	}
	if (unit == 0)
		return text_of(rate > 0 && rate < 9.95 ? "%.1f" : "%.0f", rate);
	return text_of(rate < 9.95 ? "%.1f%c" : "%.0f%c", rate, units[unit]);
}

int writer_plain(FILE *out, const char *text)
{
	int width = width_of(text);

	for (; *text; text++)
		fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, out);
	return width;
}

static char *date(time_t when)
{
	char text[64] = "";
	struct tm tm;

	if (localtime_r(&when, &tm))
		strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %z", &tm);
	return text_of("%s", text);
}

static char *join(struct json_object *list, bool one)
{
	size_t n = json_object_array_length(list);
	char *text =
		text_of("%s", n ? json_object_get_string(json_object_array_get_idx(list, 0)) : "");

	if (one && n > 1) {
		cleanup_free char *first = text;

		return text_of("%s +%zu", first, n - 1);
	}
	for (size_t i = 1; i < n; i++) {
		cleanup_free char *before = text;

		text = text_of("%s,%s", before,
			       json_object_get_string(json_object_array_get_idx(list, i)));
	}
	return text;
}

/* An object of plain values: `off 3, ready 1`. */
static char *pairs(struct json_object *object)
{
	char *text = text_of("%s", "");

	json_object_object_foreach(object, key, value)
	{
		cleanup_free char *before = text;

		text = text_of("%s%s%s %s", before, *before ? ", " : "", key,
			       json_object_get_string(value));
	}
	return text;
}

char *writer_value(struct json_object *value, enum control_kind kind, bool one)
{
	if (!value)
		return text_of("-");
	if (json_object_is_type(value, json_type_array))
		return join(value, one);
	if (json_object_is_type(value, json_type_object))
		return pairs(value);
	switch (kind) {
	case CONTROL_KIB:
		return memory(json_object_get_int64(value));
	case CONTROL_MSEC:
		return text_of("%.1f ms", json_object_get_double(value));
	case CONTROL_SECONDS:
		return writer_duration(json_object_get_double(value));
	case CONTROL_DATE:
		return date((time_t)json_object_get_int64(value));
	case CONTROL_BOOL:
		return text_of("%s", json_object_get_boolean(value) ? "yes" : "no");
	default:
		return text_of("%s", json_object_get_string(value));
	}
}

void writer_json(struct json_object *value)
{
	size_t size;
	cleanup_free char *line = control_line(value, &size);

	fwrite(line, 1, size, stdout);
}

char *writer_state(struct json_object *service, bool brief)
{
	struct json_object *value;
	const char *state = json_object_object_get_ex(service, "state", &value)
				    ? json_object_get_string(value)
				    : "?";
	bool failed = json_object_object_get_ex(service, "failures_in_row", NULL);
	cleanup_free char *retry = NULL;

	if (!brief && strcmp(state, "ready") == 0 &&
	    json_object_object_get_ex(service, "notice", NULL))
		return text_of("%s (afresh)", state);
	if (brief || strcmp(state, "ready") == 0 || strcmp(state, "paused") == 0 ||
	    strcmp(state, "kept") == 0)
		return text_of("%s", state);
	/* On its way to another try, or to its end. A guest that once ended by itself is no
	 * failure. */
	if (strcmp(state, "starting") == 0 || strcmp(state, "stopping") == 0)
		return text_of(failed ? "%s (failed)" : "%s", state);
	if (!json_object_object_get_ex(service, "retry", &value) ||
	    json_object_get_double(value) <= 0)
		return text_of("%s", state);
	/* Rounded up: when it is over, it is. */
	retry = writer_duration(ceil(json_object_get_double(value)));
	return text_of("%s, retry in %s", state, retry);
}
