/* From what service.list counts to what goes on in a second. */
#ifndef JITSU_JITSUCTL_RATES_H
#define JITSU_JITSUCTL_RATES_H

#include <stddef.h>

struct json_object;

/* What a service gets in a second; NAN: not known (yet). */
struct rate {
	struct json_object *service; /* its object in the list */
	double queries, rx, tx;
};

/* What was counted the last time, and for whom. All 0 at first. */
struct rates {
	struct json_object *last; /* name: what was counted */
	double at;
};

/*
 * Takes the array of service.list as it was at `now` (seconds of any clock that does not jump), and
 * gives a row for each, the most used first: by traffic and queries, a query counting as much as
 * QUERY_BYTES; then by the time since it was asked for, then by name. The caller frees *rows, which
 * points into `services`. Returns how many.
 */
#define QUERY_BYTES 200
size_t rates_take(struct rates *rates, struct json_object *services, double now,
		  struct rate **rows);
void rates_free(struct rates *rates);

#endif
