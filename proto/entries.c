#include "proto/entries.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "proto/spec.h"

#define BUFFER (256 * 1024) /* holds the longest entry and more */

enum state { BEGIN, FIRST, ENTRY, BEHIND, END, FAILED };

struct entries {
	int fd;
	bool stream, array, eof;
	off_t offset;
	enum state state;
	size_t count, line;
	size_t at, end;
	char swapped; /* what stood where an entry's NUL is */
	char *cut;    /* there; NULL: nowhere */
	char buffer[BUFFER + 1];
};

struct entries *entries_new(int fd, bool stream)
{
	struct entries *entries = malloc(sizeof *entries);

	if (!entries)
		abort();
	entries->fd = fd;
	entries->stream = stream;
	entries->array = entries->eof = false;
	entries->offset = 0;
	entries->state = BEGIN;
	entries->count = entries->at = entries->end = 0;
	entries->line = 1;
	entries->cut = NULL;
	return entries;
}

void entries_free(struct entries *entries)
{
	free(entries);
}

size_t entries_count(const struct entries *entries)
{
	return entries->count;
}

bool entries_array(const struct entries *entries)
{
	return entries->array;
}

/* 1 there is more, 0 the end, -1 with an error. */
static int fill(struct entries *e, struct error *err)
{
	ssize_t r;

	if (e->eof)
		return 0;
	memmove(e->buffer, e->buffer + e->at, e->end - e->at);
	e->end -= e->at;
	e->at = 0;
	do
		r = e->stream ? read(e->fd, e->buffer + e->end, BUFFER - e->end)
			      : pread(e->fd, e->buffer + e->end, BUFFER - e->end, e->offset);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return error_errno(err, "reading");
	e->offset += r;
	e->end += (size_t)r;
	e->eof = r == 0;
	return r > 0;
}

/* The next byte that is no space, without taking it; 0 the end; -1 with an error. */
static int peek(struct entries *e, struct error *err)
{
	int r = 1;

	do {
		for (; e->at < e->end; e->at++) {
			char c = e->buffer[e->at];

			e->line += c == '\n';
			if (c != ' ' && c != '\n' && c != '\t' && c != '\r')
				return c ? (unsigned char)c : 1;
		}
		r = fill(e, err);
	} while (r > 0);
	return r;
}

static int bad(struct entries *e, const char *expected, struct error *err)
{
	return error_set(err, ERROR_INPUT, "line %zu: entry %zu: expected %s", e->line, e->count,
			 expected);
}

/* Behind the object that begins at e->at; NULL: it does not end within what is read. */
static const char *object_end(const struct entries *e)
{
	const char *c = e->buffer + e->at, *end = e->buffer + e->end;
	static const bool marks[256] = {
		['"'] = true, ['{'] = true, ['}'] = true, ['['] = true, [']'] = true
	};
	unsigned depth = 0;

	for (; c < end; c++) {
		if (!marks[(unsigned char)*c])
			continue;
		if (*c == '"') {
			for (c++; c < end && *c != '"'; c++)
				c += *c == '\\';
		} else if (*c == '{' || *c == '[') {
			depth++;
		} else if ((*c == '}' || *c == ']') && --depth == 0) {
			return c + 1;
		}
	}
	return NULL;
}

static int take(struct entries *e, const char **text, size_t *size, struct error *err)
{
	const char *end;

	while (!(end = object_end(e))) {
		int r = e->end - e->at > SPEC_JSON_MAX ? 0 : fill(e, err);

		if (r < 0)
			return -1;
		if (r > 0)
			continue;
		return bad(e, e->eof ? "its end; it has none" : "at most 64 KiB", err);
	}
	*text = e->buffer + e->at;
	*size = (size_t)(end - *text);
	if (*size > SPEC_JSON_MAX)
		return bad(e, "at most 64 KiB", err);
	for (const char *c = *text; (c = memchr(c, '\n', (size_t)(end - c))); c++)
		e->line++;
	e->at += *size;
	e->cut = e->buffer + e->at;
	e->swapped = *e->cut;
	*e->cut = '\0';
	e->count++;
	e->state = BEHIND;
	return 1;
}

/* In front of an entry, or of the array's end where that may be. */
static int before_entry(struct entries *e, int c, const char **text, size_t *size,
			struct error *err)
{
	if (c == '{')
		return take(e, text, size, err);
	if (c == ']' && e->state == FIRST) {
		e->at++;
		e->state = END;
		return 2;
	}
	return bad(e, c ? "a service object" : "the end of the array", err);
}

/* 2: go on. */
static int step(struct entries *e, const char **text, size_t *size, struct error *err)
{
	int c = peek(e, err);

	if (c < 0)
		return -1;
	switch (e->state) {
	case BEGIN:
		if (c == '{')
			return take(e, text, size, err);
		if (c != '[')
			return error_set(err, ERROR_INPUT,
					 "expected a service object or an array of them");
		e->array = true;
		e->at++;
		e->state = FIRST;
		return 2;
	case FIRST:
	case ENTRY:
		return before_entry(e, c, text, size, err);
	case BEHIND:
		if (e->array && (c == ',' || c == ']')) {
			e->at++;
			e->state = c == ',' ? ENTRY : END;
			return 2;
		}
		if (e->array)
			return error_set(
				err, ERROR_INPUT,
				"line %zu: behind entry %zu: expected a comma or the end of "
				"the array",
				e->line, e->count - 1);
		e->state = END;
		return 2;
	case END:
		if (c)
			return error_set(err, ERROR_INPUT, "line %zu: something follows the end",
					 e->line);
		return 0;
	case FAILED:
		break;
	}
	return error_set(err, ERROR_INPUT, "there was an error before");
}

int entries_next(struct entries *e, const char **text, size_t *size, struct error *err)
{
	int r;

	if (e->cut)
		*e->cut = e->swapped;
	e->cut = NULL;
	do
		r = step(e, text, size, err);
	while (r == 2);
	if (r < 0)
		e->state = FAILED;
	return r;
}
