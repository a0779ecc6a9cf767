/* Names that are kept home: the table is special.tbl.h. */
#ifndef JITSU_DNS_SPECIAL_H
#define JITSU_DNS_SPECIAL_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct special;

enum special_kind {
	SPECIAL_NOT,	   /* no special name */
	SPECIAL_NXDOMAIN,  /* there is no such name */
	SPECIAL_NODATA,	   /* the name of an empty zone */
	SPECIAL_LOCALHOST, /* 127.0.0.1 and ::1 */
};

/* What to answer, and the zone that the name is of, in wire format. */
struct special_verdict {
	enum special_kind kind;
	const uint8_t *zone;
};

#define SPECIAL_TTL 10800 /* s; RFC 6303, section 3 */

/* forwarded: zones to be sent upstream all the same, or "all". NULL with an error. */
struct special *special_new(const char *const *forwarded, size_t count, struct error *err);
void special_free(struct special *special);

/* name: lower case, wire format. DS queries for a zone go to its parent: they are not special. */
struct special_verdict special_find(const struct special *special, const uint8_t *name, size_t size,
				    uint16_t type);

#endif
