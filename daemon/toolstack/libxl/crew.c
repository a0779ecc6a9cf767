#include "toolstack/libxl/crew.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "toolstack/libxl/xen.h"

struct worker {
	struct crew *crew;
	struct xen *xen;
	pthread_t thread;
};

STAILQ_HEAD(jobs, crew_job);

struct crew {
	/* Guards the two queues and `ending`. */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct jobs waiting, finished;
	bool ending;
	int event_fd;
	struct watch *watch;
	unsigned count; /* threads that run */
	struct worker *workers;
};

static struct crew_job *next_job(struct crew *crew)
{
	struct crew_job *job = NULL;

	pthread_mutex_lock(&crew->lock);
	while (!crew->ending && STAILQ_EMPTY(&crew->waiting))
		pthread_cond_wait(&crew->wake, &crew->lock);
	if (!crew->ending) {
		job = STAILQ_FIRST(&crew->waiting);
		STAILQ_REMOVE_HEAD(&crew->waiting, entry);
	}
	pthread_mutex_unlock(&crew->lock);
	return job;
}

static bool is_idle(struct crew *crew)
{
	bool idle;

	pthread_mutex_lock(&crew->lock);
	idle = !crew->ending && STAILQ_EMPTY(&crew->waiting);
	pthread_mutex_unlock(&crew->lock);
	return idle;
}

/*
 * Once libxl has watched anything on a connection, libxenstore reads its replies in a thread of
 * its own, and each call costs two switches more: a tenth of the time of a build. So the next job
 * gets a connection that is new, opened while nobody waits.
 */
static void renew(struct worker *worker)
{
	struct error err;
	struct xen *xen = xen_open(NULL, NULL, &err);

	if (!xen) {
		log_warning("a worker keeps its old connection: %s", err.text);
		return;
	}
	xen_close(worker->xen);
	worker->xen = xen;
}

static void *run(void *arg)
{
	struct worker *worker = arg;
	struct crew *crew = worker->crew;
	struct crew_job *job;

	while ((job = next_job(crew))) {
		job->work(job, worker->xen);
		job->worked = true;
		pthread_mutex_lock(&crew->lock);
		STAILQ_INSERT_TAIL(&crew->finished, job, entry);
		pthread_mutex_unlock(&crew->lock);
		eventfd_write(crew->event_fd, 1);
		if (is_idle(crew))
			renew(worker);
	}
	return NULL;
}

static void deliver(struct crew *crew)
{
	struct jobs jobs = STAILQ_HEAD_INITIALIZER(jobs);
	struct crew_job *job;

	pthread_mutex_lock(&crew->lock);
	STAILQ_CONCAT(&jobs, &crew->finished);
	pthread_mutex_unlock(&crew->lock);
	while ((job = STAILQ_FIRST(&jobs))) {
		STAILQ_REMOVE_HEAD(&jobs, entry);
		job->done(job);
	}
}

static void on_finished(void *arg, unsigned events)
{
	struct crew *crew = arg;
	eventfd_t count;

	(void)events;
	eventfd_read(crew->event_fd, &count);
	deliver(crew);
}

/* Signals are the loop's thread's. */
static int start_thread(struct worker *worker)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&worker->thread, NULL, run, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

struct crew *crew_new(struct loop *loop, unsigned workers, struct error *err)
{
	struct crew *crew = calloc(1, sizeof *crew);

	if (!crew || !(crew->workers = calloc(workers, sizeof *crew->workers))) {
		free(crew);
		error_errno(err, "cannot start the toolstack's workers");
		return NULL;
	}
	pthread_mutex_init(&crew->lock, NULL);
	pthread_cond_init(&crew->wake, NULL);
	STAILQ_INIT(&crew->waiting);
	STAILQ_INIT(&crew->finished);
	crew->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (crew->event_fd >= 0)
		crew->watch = watch_new(loop, crew->event_fd, WATCH_READ, on_finished, crew);
	if (!crew->watch) {
		error_errno(err, "cannot start the toolstack's workers");
		goto fail;
	}
	for (; crew->count < workers; crew->count++) {
		struct worker *worker = &crew->workers[crew->count];

		worker->crew = crew;
		worker->xen = xen_open(NULL, NULL, err);
		if (!worker->xen)
			goto fail;
		errno = start_thread(worker);
		if (errno) {
			error_errno(err, "cannot start a thread");
			xen_close(worker->xen);
			goto fail;
		}
	}
	return crew;
fail:
	crew_free(crew);
	return NULL;
}

void crew_push(struct crew *crew, struct crew_job *job)
{
	job->worked = false;
	pthread_mutex_lock(&crew->lock);
	STAILQ_INSERT_TAIL(&crew->waiting, job, entry);
	pthread_mutex_unlock(&crew->lock);
	pthread_cond_signal(&crew->wake);
}

void crew_free(struct crew *crew)
{
	if (!crew)
		return;
	pthread_mutex_lock(&crew->lock);
	crew->ending = true;
	pthread_mutex_unlock(&crew->lock);
	pthread_cond_broadcast(&crew->wake);
	for (unsigned i = 0; i < crew->count; i++) {
		pthread_join(crew->workers[i].thread, NULL);
		xen_close(crew->workers[i].xen);
	}
	STAILQ_CONCAT(&crew->finished, &crew->waiting);
	deliver(crew);
	watch_free(crew->watch);
	if (crew->event_fd >= 0)
		close(crew->event_fd);
	pthread_cond_destroy(&crew->wake);
	pthread_mutex_destroy(&crew->lock);
	free(crew->workers);
	free(crew);
}
