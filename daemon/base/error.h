/*
 * One error, made where it is found, given context on the way up, shown once at the boundary.
 * It lives on the stack of whoever asked, and owns no memory.
 */
#ifndef JITSU_BASE_ERROR_H
#define JITSU_BASE_ERROR_H

#include <stdbool.h>
#include <stdarg.h>

enum error_kind {
	ERROR_NONE,
	ERROR_INPUT,	/* what was asked for is wrong; the asker can mend it */
	ERROR_CONFLICT, /* it is taken, or in the way of something else */
	ERROR_ABSENT,	/* no such thing */
	ERROR_BUSY,	/* not now; asking again may succeed */
	ERROR_SYSTEM,	/* a system call, a library or Xen failed */
};

#define ERROR_TEXT_MAX	512
#define ERROR_FIELD_MAX 64

struct error {
	enum error_kind kind;
	char field[ERROR_FIELD_MAX]; /* the key that is wrong, "" if none */
	char text[ERROR_TEXT_MAX];   /* whole sentence, names the field and the value too */
};

/* Fills *err (which may be NULL) and returns -1, so that callers can `return error_set(...)`. */
int error_set(struct error *err, enum error_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As error_set, with ": " and the text of errno at the end. */
int error_errno(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Bad input: `field: "value": expected …`. The value is made printable and cut at 64 characters;
 * it may be NULL where there is none. Returns -1.
 */
int error_field(struct error *err, enum error_kind kind, const char *field, const char *value,
		const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Puts `context: ` in front of the text. Returns -1. */
int error_wrap(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The name of a kind as interfaces show it ("input", "conflict", …). */
const char *error_kind_name(enum error_kind kind);

#endif
