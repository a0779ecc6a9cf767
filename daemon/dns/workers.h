/*
 * Threads that do nothing but hot.c's part, each on UDP sockets of its own (SO_REUSEPORT). What
 * that leaves goes to the loop's thread, through a bounded ring: when that is full a packet is
 * lost, as packets may be, and what is hot is answered still. The loop's thread sends the answer,
 * by the socket that the query came to. A thread is there from the beginning: once the process is
 * confined (sandbox.h) there can be none.
 */
#ifndef JITSU_DNS_WORKERS_H
#define JITSU_DNS_WORKERS_H

#include <stddef.h>

#include "dns/batch.h"

struct loop;
struct worker;

/* A packet that a worker leaves; from the loop. */
typedef void worker_fn(void *arg, const struct client *client, uint8_t *packet, size_t size);

/* sockets stay the caller's, and must outlive it. hot is shared (hot_share). Reads nothing before
 * worker_start. NULL if out of memory, descriptors or threads. */
struct worker *worker_new(struct loop *loop, const struct batch_socket *sockets, size_t count,
			  struct hot *hot, worker_fn *fn, void *arg);
/* -1 if out of memory. */
int worker_start(struct worker *worker);
/* Waits until its thread has ended. */
void worker_free(struct worker *worker);

#endif
