#include "base/error.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define VALUE_MAX 64

static void __attribute__((format(printf, 2, 0)))
append_v(char *text, const char *fmt, va_list ap)
{
	size_t used = strlen(text);

	vsnprintf(text + used, ERROR_TEXT_MAX - used, fmt, ap);
}

static void __attribute__((format(printf, 2, 3))) append(char *text, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	append_v(text, fmt, ap);
	va_end(ap);
}

static void reset(struct error *err, enum error_kind kind)
{
	err->kind = kind;
	err->field[0] = '\0';
	err->text[0] = '\0';
}

int error_set(struct error *err, enum error_kind kind, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -1;
	reset(err, kind);
	va_start(ap, fmt);
	append_v(err->text, fmt, ap);
	va_end(ap);
	return -1;
}

int error_errno(struct error *err, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (!err)
		return -1;
	reset(err, ERROR_SYSTEM);
	va_start(ap, fmt);
	append_v(err->text, fmt, ap);
	va_end(ap);
	append(err->text, ": %s", strerror(saved));
	errno = saved;
	return -1;
}

int error_field(struct error *err, enum error_kind kind, const char *field, const char *value,
		const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -1;
	reset(err, kind);
	snprintf(err->field, sizeof err->field, "%s", field);
	append(err->text, "%s: ", field);
	if (value) {
		char shown[VALUE_MAX + 1];
		size_t n = 0;

		for (; value[n] && n < VALUE_MAX; n++) {
			unsigned char c = (unsigned char)value[n];

			shown[n] = c >= 0x80 || isprint(c) ? (char)c : '?';
		}
		shown[n] = '\0';
		append(err->text, "\"%s%s\": ", shown, value[n] ? "…" : "");
	}
	va_start(ap, fmt);
	append_v(err->text, fmt, ap);
	va_end(ap);
	return -1;
}

int error_wrap(struct error *err, const char *fmt, ...)
{
	char old[ERROR_TEXT_MAX];
	va_list ap;

	if (!err)
		return -1;
	memcpy(old, err->text, sizeof old);
	err->text[0] = '\0';
	va_start(ap, fmt);
	append_v(err->text, fmt, ap);
	va_end(ap);
	append(err->text, ": %s", old);
	return -1;
}

const char *error_kind_name(enum error_kind kind)
{
	static const char *const names[] = {
		[ERROR_NONE] = "none",	   [ERROR_INPUT] = "input", [ERROR_CONFLICT] = "conflict",
		[ERROR_ABSENT] = "absent", [ERROR_BUSY] = "busy",   [ERROR_SYSTEM] = "system",
	};

	return names[kind];
}
