/* Strings and memory, what little of it this guest needs; gcc itself calls the first three. */
#ifndef WEB_TEXT_H
#define WEB_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);

bool text_same(const char *a, const char *b);

/*
 * As snprintf, of which it knows %s, %u (an unsigned int), %03u and the like, and %%. Cuts what
 * does not fit and returns the length of what is there.
 */
size_t text_format(char *to, size_t size, const char *format, ...);
size_t text_vformat(char *to, size_t size, const char *format, va_list arguments);

/* The digits at *at, which moves behind them; 0 if there are none. */
uint32_t text_number(const char **at);

/* Seconds such as 3 or 0.25, in ns. */
uint64_t text_seconds(const char *text);

/* The value of NAME=VALUE among words separated by spaces; "" if there is none. */
void text_switch(const char *line, const char *name, char *value, size_t size);

#endif
