/*
 * What the messages between the rooms tell of the world: how often each service was started, which
 * domains there are, and the last messages as text. Independent of what the engine says of itself.
 */
#ifndef JITSU_TESTS_SEEN_H
#define JITSU_TESTS_SEEN_H

#include <stddef.h>
#include <stdint.h>

#define SEEN_NAME_SIZE	 64
#define SEEN_TRACE_LINES 60
#define SEEN_TRACE_WIDTH 160

struct seen_boots {
	char service[SEEN_NAME_SIZE];
	unsigned boots;
};

struct seen_domain {
	uint32_t domid;
	char service[SEEN_NAME_SIZE];
};

struct seen {
	struct seen_boots *boots;
	size_t boot_count;
	/* What there is as messages tell, and what the survey under way has told so far: domains
	 * that come or go while there is no engine are told of by the next survey only. */
	struct seen_domains {
		struct seen_domain *v;
		size_t n;
	} domains, found;
	char (*started)[SEEN_NAME_SIZE]; /* by id: the service last started under it */
	size_t started_count;
	char broken[256]; /* what must never be, and was */

	char trace[SEEN_TRACE_LINES][SEEN_TRACE_WIDTH];
	size_t traced;
	char trace_text[SEEN_TRACE_LINES * (SEEN_TRACE_WIDTH + 1) + 1];
};

/* A message that was sent `at` (µs) that way. Ends the process if it is malformed. */
void seen_message(struct seen *seen, uint64_t at, const char *way, const uint8_t *data,
		  size_t size);
unsigned seen_boots(const struct seen *seen, const char *service);
/* The toolstack is gone, and what it simulated. */
void seen_no_domains(struct seen *seen);
/* The last messages, one a line. */
const char *seen_trace(struct seen *seen);
void seen_clear(struct seen *seen);

#endif
