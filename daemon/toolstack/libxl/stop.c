/*
 * Stops and wakes. Several stops of one domain are done one after the other; a destroy does not
 * wait for a shutdown's limit.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/loop.h"
#include "toolstack/libxl/crew.h"
#include "toolstack/libxl/inside.h"
#include "toolstack/libxl/sleep.h"

struct stop {
	struct crew_job job; /* first */
	struct backend *backend;
	uint32_t id, domid, limit;
	enum spec_stop_mode mode;
	struct timer *patience; /* with a shutdown that is under way */
	/* For the worker: */
	bool known; /* a guest of ours; of others the mark is looked for */
	bool paused;
	uint8_t uuid[16];
	enum backend_end end;
	int rc;
	struct error err;
	STAILQ_ENTRY(stop) entry;
};

static void begin(struct stop *stop);

static struct stop *first_of(const struct backend *backend, uint32_t domid)
{
	struct stop *stop;

	STAILQ_FOREACH(stop, &backend->stops, entry)
		if (stop->domid == domid)
			return stop;
	return NULL;
}

static void stop_free(struct stop *stop)
{
	STAILQ_REMOVE(&stop->backend->stops, stop, stop, entry);
	stop->backend->busy--;
	timer_free(stop->patience);
	free(stop);
}

/* It has its answer, and the next of that domain its turn. */
static void finish(struct stop *stop)
{
	struct backend *backend = stop->backend;
	uint32_t id = stop->id, domid = stop->domid;
	enum backend_end end = stop->end;
	struct error err = stop->err;
	bool failed = stop->rc < 0;
	struct stop *next;

	stop_free(stop);
	if (backend->closing)
		return;
	next = first_of(backend, domid);
	if (next)
		begin(next);
	backend->sink.stopped(backend->arg, id, domid, end, loop_now(backend->loop),
			      failed ? &err : NULL);
}

/* Destroy and suspend: a worker's */

static void destroy_work(struct crew_job *job, struct xen *xen)
{
	struct stop *stop = (struct stop *)job;

	stop->end = BACKEND_GONE;
	stop->rc = build_destroy(xen, stop->domid, !stop->known, &stop->err);
}

static void suspend_work(struct crew_job *job, struct xen *xen)
{
	struct stop *stop = (struct stop *)job;
	enum sleep_end end = sleep_suspend(xen, stop->domid, stop->paused, stop->backend->images,
					   stop->uuid, &stop->err);

	stop->rc = end == SLEEP_FAILED ? -1 : 0;
	stop->end = end == SLEEP_SUSPENDED ? BACKEND_SUSPENDED : BACKEND_GONE;
}

static void work_done(struct crew_job *job)
{
	struct stop *stop = (struct stop *)job;
	struct guest *guest = guest_find(stop->backend, stop->domid);

	if (guest && stop->rc == 0)
		guest_free(guest);
	else if (guest && !stop->backend->closing)
		guest_carry_on(guest);
	finish(stop);
}

static void give(struct stop *stop, struct crew *crew,
		 void (*work)(struct crew_job *, struct xen *))
{
	struct guest *guest = guest_find(stop->backend, stop->domid);

	stop->known = guest != NULL;
	if (guest) {
		guest->stopping = true;
		guest->suspending = work == suspend_work;
		stop->paused = guest->paused;
		memcpy(stop->uuid, guest->uuid, sizeof stop->uuid);
	}
	stop->job.work = work;
	stop->job.done = work_done;
	crew_push(crew, &stop->job);
}

static void destroy(struct stop *stop)
{
	give(stop, stop->backend->crew, destroy_work);
}

/* Shutdown: it has ended, or its time is over, or somebody will not wait */

static void end_patience(struct stop *stop)
{
	timer_free(stop->patience);
	stop->patience = NULL;
	destroy(stop);
}

static void on_patience(void *arg)
{
	end_patience(arg);
}

void stop_on_shutdown(struct backend *backend, uint32_t domid)
{
	struct stop *stop = first_of(backend, domid);

	if (stop && stop->patience)
		end_patience(stop);
}

static void shut_down(struct stop *stop, struct guest *guest)
{
	struct backend *backend = stop->backend;
	struct xen *xen = deaths_xen(backend->deaths);
	struct error err;

	if (sleep_shut_down(xen, guest->domid, &err) < 0 ||
	    (guest->paused && sleep_wake(xen, guest->domid, &err) < 0)) {
		destroy(stop); /* which is what comes of one that does not hear */
		return;
	}
	guest->paused = false;
	guest->stopping = true;
	stop->patience = timer_new(backend->loop, on_patience, stop);
	if (!stop->patience)
		abort();
	timer_set(stop->patience, stop->limit * USEC_PER_MSEC);
}

static void pause_now(struct stop *stop, struct guest *guest)
{
	stop->end = BACKEND_PAUSED;
	if (!guest->paused)
		stop->rc = sleep_pause(deaths_xen(stop->backend->deaths), guest->domid, &stop->err);
	if (stop->rc == 0)
		guest->paused = true;
	finish(stop);
}

static void begin(struct stop *stop)
{
	struct backend *backend = stop->backend;
	struct guest *guest = guest_find(backend, stop->domid);
	/* What is dead, or not known to us, is not put to sleep. */
	enum spec_stop_mode mode = guest && !guest->dead ? stop->mode : SPEC_STOP_DESTROY;

	switch (mode) {
	case SPEC_STOP_PAUSE:
		pause_now(stop, guest);
		break;
	case SPEC_STOP_SHUTDOWN:
		shut_down(stop, guest);
		break;
	case SPEC_STOP_SUSPEND:
		give(stop, backend->sleepers, suspend_work);
		break;
	case SPEC_STOP_UNSET:
	case SPEC_STOP_DESTROY:
	case SPEC_STOP_MODES:
		destroy(stop);
		break;
	}
}

void stop_order(struct backend *backend, uint32_t id, uint32_t domid, enum spec_stop_mode mode,
		uint32_t limit)
{
	struct stop *stop = calloc(1, sizeof *stop), *first = first_of(backend, domid);

	if (!stop)
		abort();
	*stop = (struct stop){
		.backend = backend, .id = id, .domid = domid, .mode = mode, .limit = limit
	};
	backend->busy++;
	STAILQ_INSERT_TAIL(&backend->stops, stop, entry);
	if (!first)
		begin(stop);
	else if (first->patience && mode == SPEC_STOP_DESTROY)
		end_patience(first);
}

static struct stop *first_patient(const struct backend *backend)
{
	struct stop *stop;

	STAILQ_FOREACH(stop, &backend->stops, entry)
		if (stop->patience)
			return stop;
	return NULL;
}

void stop_let_go(struct backend *backend)
{
	struct stop *stop, *next;

	while ((stop = first_patient(backend))) {
		uint32_t domid = stop->domid;

		stop_free(stop);
		guest_find(backend, domid)->stopping = false;
		next = first_of(backend, domid);
		if (next)
			begin(next);
	}
}

void stop_drop_all(struct backend *backend)
{
	struct stop *stop;

	while ((stop = STAILQ_FIRST(&backend->stops)))
		stop_free(stop);
}

void stop_wake(struct backend *backend, uint32_t id, uint32_t boot, uint32_t domid)
{
	struct guest *guest = guest_find(backend, domid);
	struct error err = { .kind = ERROR_NONE };

	if (!guest || guest->dead)
		error_set(&err, ERROR_ABSENT, "domain %u is gone", domid);
	else if (guest->stopping)
		error_set(&err, ERROR_BUSY, "domain %u is being stopped", domid);
	else if (!guest->paused)
		error_set(&err, ERROR_CONFLICT, "domain %u is not paused", domid);
	else if (sleep_wake(deaths_xen(backend->deaths), domid, &err) == 0) {
		guest->paused = false;
		guest->id = id;
		guest->boot = boot;
	}
	backend->sink.woken(backend->arg, id, boot, loop_now(backend->loop),
			    err.kind ? &err : NULL);
}
