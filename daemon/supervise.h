/*
 * The parent: starts the three rooms, connects them with each other, starts again the one that
 * dies, and does nothing else. It reads no input but signals, the rooms' `up` and what host.h reads.
 */
#ifndef JITSU_SUPERVISE_H
#define JITSU_SUPERVISE_H

#include "proto/message.h"

struct supervise {
	/* Runs in the new process, which holds no descriptors of the other rooms' links; parent_fd
	 * is its link to the parent. Returns the exit status: SUPERVISE_HOPELESS if trying again is
	 * of no use. */
	int (*room)(enum room room, int parent_fd, void *arg);
	/* All three serve, for the first time. */
	void (*up)(void *arg);
	/* A descriptor that is watched, -1: none, and what is done when it is readable. */
	int watch_fd;
	void (*changed)(void *arg);
	void *arg;
};

#define SUPERVISE_HOPELESS 78 /* EX_CONFIG */

/*
 * Until SIGTERM or SIGINT; then the rooms end in good order and guests go on. The caller has
 * blocked no signals and runs no threads. Returns the process's exit status: 0, or 1 if a room
 * could not be started at all.
 */
int supervise_run(const struct supervise *supervise);

/* To a room, if it runs. From the callbacks. */
void supervise_send(enum room room, const void *message, size_t size);

#endif
