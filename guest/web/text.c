#include "text.h"

void *memcpy(void *to, const void *from, size_t size)
{
	void *end = to;

	__asm__ volatile("rep movsb" : "+D"(end), "+S"(from), "+c"(size) : : "memory");
	return to;
}

void *memset(void *to, int byte, size_t size)
{
	void *end = to;

	__asm__ volatile("rep stosb" : "+D"(end), "+c"(size) : "a"(byte) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const uint8_t *x = a, *y = b;

	for (size_t i = 0; i < size; i++) {
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	}
	return 0;
}

size_t strlen(const char *text)
{
	const char *end = text;

	while (*end)
		end++;
	return (size_t)(end - text);
}

bool text_same(const char *a, const char *b)
{
	size_t size = strlen(a);

	return size == strlen(b) && memcmp(a, b, size) == 0;
}

/* Where text goes, and how much of it still fits. */
struct sink {
	char *at;
	size_t left;
};

static void put(struct sink *sink, char byte)
{
	if (sink->left > 1) {
		*sink->at++ = byte;
		sink->left--;
	}
}

static void put_number(struct sink *sink, unsigned number, unsigned width)
{
	char digits[10];
	unsigned n = 0;

	do {
		digits[n++] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	for (unsigned i = n; i < width; i++)
		put(sink, '0');
	while (n > 0)
		put(sink, digits[--n]);
}

size_t text_vformat(char *to, size_t size, const char *format, va_list arguments)
{
	struct sink sink = { to, size };

	for (; *format; format++) {
		if (*format != '%') {
			put(&sink, *format);
			continue;
		}
		format++;
		unsigned width = text_number(&format);
		if (*format == 's') {
			for (const char *s = va_arg(arguments, const char *); *s; s++)
				put(&sink, *s);
		} else if (*format == 'u') {
			put_number(&sink, va_arg(arguments, unsigned), width);
		} else {
			put(&sink, *format);
		}
	}
	*sink.at = '\0';
	return (size_t)(sink.at - to);
}

size_t text_format(char *to, size_t size, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	size_t length = text_vformat(to, size, format, arguments);
	va_end(arguments);
	return length;
}

uint32_t text_number(const char **at)
{
	uint32_t number = 0;

	for (; **at >= '0' && **at <= '9'; ++*at)
		number = number * 10 + (uint32_t)(**at - '0');
	return number;
}

uint64_t text_seconds(const char *text)
{
	uint64_t ns = text_number(&text) * 1000000000ull;
	uint64_t digit = 100000000;

	if (*text == '.') {
		for (text++; *text >= '0' && *text <= '9'; text++, digit /= 10)
			ns += (uint64_t)(*text - '0') * digit;
	}
	return ns;
}

void text_switch(const char *line, const char *name, char *value, size_t size)
{
	size_t length = strlen(name);
	struct sink sink = { value, size };

	for (const char *at = line; *at; at++) {
		if ((at > line && at[-1] != ' ') || strlen(at) <= length ||
		    memcmp(at, name, length) != 0 || at[length] != '=')
			continue;
		for (at += length + 1; *at && *at != ' '; at++)
			put(&sink, *at);
		break;
	}
	*sink.at = '\0';
}
