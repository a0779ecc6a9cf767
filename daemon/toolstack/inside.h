/* The inside of the room: for toolstack.c and report.c. */
#ifndef JITSU_TOOLSTACK_INSIDE_H
#define JITSU_TOOLSTACK_INSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct order;

/* The start last ordered for a service, and on which connection. */
struct started {
	uint32_t boot, connection;
};

struct toolstack {
	struct loop *loop;
	const struct backend_table *table;
	struct backend *backend;
	struct synjitsu *synjitsu; /* NULL: none to be told of addresses */
	struct link *link;	   /* NULL while there is no engine */
	uint32_t connection;
	/*
	 * Until the survey of this connection is answered, which waits until nothing is under way,
	 * orders are held and nothing is reported: what ends now was ordered by an engine of
	 * before, and the survey tells what came of it.
	 */
	bool surveyed, survey_wanted;
	struct timer *survey_timer;
	struct timer *alone; /* no engine: armed until there is one */
	STAILQ_HEAD(, order) held;
	struct started *started; /* by id */
	size_t started_size;
};

/* There is an engine, and its survey is answered: what happens now is told. */
bool toolstack_reporting(const struct toolstack *toolstack);
/* And this is of the start last ordered for that service, by this engine. */
bool toolstack_is_ours(const struct toolstack *toolstack, uint32_t id, uint32_t boot);

/* An order has ended: a survey that has waited for that may be next. From the loop, so that
 * whoever reports the end has come to its own end. */
void toolstack_try_survey(struct toolstack *toolstack);

#endif
