#include "engine/cause.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "engine/service.h"
#include "proto/message.h"

#define NAME_TEXT_MAX (4 * 255 + 1)

static const char *const texts[CAUSES] = {
#define CAUSE(id, text, meaning) [CAUSE_##id] = text,
#include "proto/cause.tbl.h"
#undef CAUSE
};

/* The length of a word in capitals at the beginning of text, 0 if there is none. */
static size_t capitals(const char *text)
{
	size_t n = 0;

	while (isupper((unsigned char)text[n]))
		n++;
	return n > 1 ? n : 0;
}

void cause_say(struct service *service, enum cause_id id, ...)
{
	cleanup_free char *text = NULL;
	const char *rest = texts[id];
	size_t size, n;
	va_list args;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	va_start(args, id);
	while (*rest) {
		n = capitals(rest);
		if (n)
			fputs(va_arg(args, const char *), out);
		else
			fputc(*rest, out);
		rest += n ? n : 1;
	}
	va_end(args);
	if (fclose(out) != 0)
		abort();
	cause_drop(service);
	service->cause.next = TAKE(text);
}

/* Presentation format, RFC 1035 5.1. False if that is no name. */
static bool name_text(const struct bytes *name, char out[NAME_TEXT_MAX])
{
	size_t at = 0, used = 0;

	while (at < name->size && name->data[at]) {
		size_t end = at + 1 + name->data[at];

		if (name->data[at] > 63 || end >= name->size || end > 255)
			return false;
		if (at)
			out[used++] = '.';
		while (++at < end) {
			uint8_t c = name->data[at];

			if (c <= ' ' || c >= 0x7f)
				used += (size_t)sprintf(out + used, "\\%03u", c);
			else if (strchr(".\\\"", c))
				used += (size_t)sprintf(out + used, "\\%c", c);
			else
				out[used++] = (char)c;
		}
	}
	out[used] = '\0';
	return used && at + 1 == name->size;
}

void cause_query(struct service *service, const struct bytes *client, const struct bytes *name)
{
	char address[INET6_ADDRSTRLEN], text[NAME_TEXT_MAX];

	if ((client->size != 4 && client->size != 16) || !name_text(name, text)) {
		cause_say(service, CAUSE_QUERY_WAITS);
		return;
	}
	inet_ntop(client->size == 4 ? AF_INET : AF_INET6, client->data, address, sizeof address);
	cause_say(service, CAUSE_QUERY, address, text);
}

void cause_take(struct service *service)
{
	struct cause *cause = &service->cause;

	if (!cause->next)
		return;
	free(cause->now);
	cause->now = TAKE(cause->next);
}

void cause_drop(struct service *service)
{
	free(TAKE(service->cause.next));
}

void cause_free(struct cause *cause)
{
	free(cause->now);
	free(cause->next);
}
