#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define VALUE_MAX 64

/* Bytes of the character at `text` that may be shown: 0 for a control character, and for what is
 * not UTF-8 (RFC 3629). */
static size_t shown_size(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;
	size_t size = c[0] < 0x80 ? 1 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;

	if (size == 1)
		return c[0] >= 0x20 && c[0] != 0x7f;
	if (c[0] < 0xc2 || c[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < size; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	if ((c[0] == 0xc2 && c[1] < 0xa0) ||				      /* C1 */
	    (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) || /* surrogates */
	    (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
		return 0;
	return size;
}

/* Where text was cut, half a character may be left at its end. */
static void drop_half_character(char *text)
{
	size_t n = strlen(text), back = n;

	while (back > 0 && n - back < 4 && ((unsigned char)text[back - 1] & 0xc0) == 0x80)
		back--;
	if (back > 0 && (unsigned char)text[back - 1] >= 0xc0 && !shown_size(text + back - 1))
		text[back - 1] = '\0';
}

static void __attribute__((format(printf, 2, 0))) append_v(char *text, const char *fmt, va_list ap)
{
	size_t used = strlen(text);

	if (vsnprintf(text + used, ERROR_TEXT_MAX - used, fmt, ap) >= (int)(ERROR_TEXT_MAX - used))
		drop_half_character(text);
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

		while (*value && n < VALUE_MAX) {
			size_t size = shown_size(value);

			if (n + size > VALUE_MAX)
				break;
			if (size)
				memcpy(shown + n, value, size);
			else
				shown[n] = '?';
			n += size ? size : 1;
			value += size ? size : 1;
		}
		shown[n] = '\0';
		append(err->text, "\"%s%s\": ", shown, *value ? "…" : "");
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
