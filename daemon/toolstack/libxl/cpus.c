#include "toolstack/libxl/cpus.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define FIELD "cpus"

/* A number at *text, which moves on. -1 if there is none. */
static long read_number(const char **text)
{
	char *end;
	long n;

	if (!isdigit((unsigned char)**text))
		return -1;
	n = strtol(*text, &end, 10);
	*text = end;
	return n;
}

static int read_part(const char *text, const char **part, unsigned count, libxl_bitmap *out,
		     struct error *err)
{
	const char *p = *part;
	bool without = *p == '^';
	long first = 0, last = (long)count - 1;

	p += without;
	if (strncmp(p, "all", 3) == 0) {
		p += 3;
	} else {
		first = last = read_number(&p);
		if (*p == '-') {
			p++;
			last = read_number(&p);
		}
	}
	if ((*p && *p != ',') || first < 0 || last < first)
		return error_field(err, ERROR_INPUT, FIELD, text,
				   "expected \"all\", or CPUs and ranges such as \"0-3,^1\"");
	if (last >= (long)count)
		return error_field(err, ERROR_INPUT, FIELD, text,
				   "expected CPUs up to %u, the last that the host has", count - 1);
	for (long i = first; i <= last; i++) {
		if (without)
			libxl_bitmap_reset(out, (int)i);
		else
			libxl_bitmap_set(out, (int)i);
	}
	*part = p;
	return 0;
}

int cpus_read(const char *text, unsigned count, libxl_bitmap *out, struct error *err)
{
	const char *part = text;

	/* With only CPUs to do without, it is all the others. */
	if (*text == '^')
		libxl_bitmap_set_any(out);
	for (;;) {
		if (read_part(text, &part, count, out, err) < 0)
			return -1;
		if (!*part)
			break;
		part++;
	}
	if (libxl_bitmap_is_empty(out))
		return error_field(err, ERROR_INPUT, FIELD, text, "expected at least one CPU");
	return 0;
}
