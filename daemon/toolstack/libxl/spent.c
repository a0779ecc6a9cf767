/* Images that guests were restored from: closed when nobody waits for it. */
#include <stdlib.h>
#include <unistd.h>

#include "base/loop.h"
#include "toolstack/libxl/crew.h"
#include "toolstack/libxl/inside.h"

#define SPENT_TIME 1000000 /* µs that a guest has to resume */

/* An image that is to be closed. */
struct spent {
	struct crew_job job; /* first */
	LIST_ENTRY(spent) entry;
	struct backend *backend;
	struct timer *timer;
	int fd;
};

static void spent_work(struct crew_job *job, struct xen *xen)
{
	struct spent *spent = (struct spent *)job;

	(void)xen;
	close(spent->fd);
	spent->fd = -1;
}

static void spent_free(struct spent *spent)
{
	LIST_REMOVE(spent, entry);
	timer_free(spent->timer);
	if (spent->fd >= 0)
		close(spent->fd);
	free(spent);
}

static void spent_done(struct crew_job *job)
{
	spent_free((struct spent *)job);
}

/* Nor is the loop to wait for it. */
static void spent_due(void *arg)
{
	struct spent *spent = arg;

	crew_push(spent->backend->sleepers, &spent->job);
}

void spent_add(struct backend *backend, int fd)
{
	struct spent *spent = calloc(1, sizeof *spent);

	if (!spent)
		abort();
	*spent = (struct spent){ .job = { .work = spent_work, .done = spent_done },
				 .backend = backend,
				 .timer = timer_new(backend->loop, spent_due, spent),
				 .fd = fd };
	if (!spent->timer)
		abort();
	LIST_INSERT_HEAD(&backend->spents, spent, entry);
	timer_set(spent->timer, SPENT_TIME);
}

void spent_drop_all(struct backend *backend)
{
	struct spent *spent;

	while ((spent = LIST_FIRST(&backend->spents)))
		spent_free(spent);
}
