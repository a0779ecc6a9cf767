/*
 * The workers: threads that may block in libxl, each with its own connection. Jobs go in at the
 * loop's side and come back there.
 */
#ifndef JITSU_TOOLSTACK_LIBXL_CREW_H
#define JITSU_TOOLSTACK_LIBXL_CREW_H

#include <stdbool.h>
#include <sys/queue.h>

struct crew;
struct error;
struct loop;
struct xen;

/* Embedded first in what the job is about, which stays the caller's. */
struct crew_job {
	void (*work)(struct crew_job *job, struct xen *xen); /* in a worker */
	void (*done)(struct crew_job *job);		     /* in the loop; may free the job */
	bool worked; /* false in done(): the crew was freed before its turn came */
	STAILQ_ENTRY(crew_job) entry;
};

/* NULL with an error. */
struct crew *crew_new(struct loop *loop, unsigned workers, struct error *err);
/* First come, first served. */
void crew_push(struct crew *crew, struct crew_job *job);
/* Waits for the jobs that have begun; calls done() for every job left. */
void crew_free(struct crew *crew);

#endif
