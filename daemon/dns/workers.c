#include "dns/workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"

#define RING		 512 /* packets */
#define BATCHES_PER_TURN 16

struct left {
	struct client client;
	size_t size;
	uint8_t packet[BATCH_ROOM];
};

struct worker {
	struct batch batch;
	const struct batch_socket *sockets;
	size_t count;
	struct hot *hot;
	worker_fn *fn;
	void *arg;
	int epoll_fd, end_fd, left_fd; /* the latter two: eventfds, to it and from it */
	struct watch *watch;
	pthread_t thread;
	bool runs;
	/* One writer, the worker, and one reader, the loop's thread. */
	_Alignas(64) _Atomic unsigned head; /* written so far */
	_Alignas(64) _Atomic unsigned tail; /* read so far */
	struct left *ring;
};

static bool pass_on(struct worker *worker, const struct batch_socket *socket, unsigned i)
{
	unsigned head = atomic_load_explicit(&worker->head, memory_order_relaxed);
	struct left *left = &worker->ring[head % RING];

	if (head - atomic_load_explicit(&worker->tail, memory_order_acquire) == RING ||
	    !batch_client(&worker->batch, socket, i, &left->client))
		return false;
	left->size = worker->batch.packets[i].size;
	memcpy(left->packet, worker->batch.in_data[i], left->size);
	atomic_store_explicit(&worker->head, head + 1, memory_order_release);
	return true;
}

static unsigned take_batch(struct worker *worker, const struct batch_socket *socket)
{
	struct batch *batch = &worker->batch;
	unsigned count = batch_receive(batch, socket);
	bool passed = false;

	hot_enter(worker->hot);
	hot_answer(worker->hot, batch->packets, count, loop_monotonic());
	hot_leave(worker->hot);
	for (unsigned i = 0; i < count; i++) {
		if (batch->packets[i].answer)
			batch_reply_in_place(batch, socket, i);
		else
			passed |= pass_on(worker, socket, i);
	}
	batch_send(batch, socket);
	if (passed)
		eventfd_write(worker->left_fd, 1);
	return count;
}

static void *run(void *arg)
{
	struct worker *worker = arg;
	struct epoll_event events[16];

	for (;;) {
		int count = epoll_wait(worker->epoll_fd, events, 16, -1);

		for (int i = 0; i < count; i++) {
			const struct batch_socket *socket = events[i].data.ptr;

			if (!socket)
				return NULL;
			for (int k = 0;
			     k < BATCHES_PER_TURN && take_batch(worker, socket) == BATCH_MAX; k++)
				;
		}
	}
}

static void on_left(void *arg, unsigned events)
{
	struct worker *worker = arg;
	eventfd_t ignored;
	unsigned tail = atomic_load_explicit(&worker->tail, memory_order_relaxed), head;

	(void)events;
	eventfd_read(worker->left_fd, &ignored);
	head = atomic_load_explicit(&worker->head, memory_order_acquire);
	while (tail != head) {
		struct left *left = &worker->ring[tail % RING];

		worker->fn(worker->arg, &left->client, left->packet, left->size);
		atomic_store_explicit(&worker->tail, ++tail, memory_order_release);
	}
}

static int add(struct worker *worker, int fd, const struct batch_socket *socket)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = (void *)(uintptr_t)socket };

	return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int make_thread(struct worker *worker)
{
	sigset_t all, old;
	int r;

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&worker->thread, NULL, run, worker);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	worker->runs = r == 0;
	return r;
}

struct worker *worker_new(struct loop *loop, const struct batch_socket *sockets, size_t count,
			  struct hot *hot, worker_fn *fn, void *arg)
{
	struct worker *worker = aligned_alloc(64, sizeof *worker);

	if (!worker)
		return NULL;
	memset(worker, 0, sizeof *worker);
	worker->sockets = sockets;
	worker->count = count;
	worker->hot = hot;
	worker->fn = fn;
	worker->arg = arg;
	worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	worker->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	worker->left_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	worker->ring = calloc(RING, sizeof *worker->ring);
	if (worker->epoll_fd < 0 || worker->end_fd < 0 || worker->left_fd < 0 || !worker->ring ||
	    add(worker, worker->end_fd, NULL) < 0)
		goto fail;
	worker->watch = watch_new(loop, worker->left_fd, WATCH_READ, on_left, worker);
	if (worker->watch && make_thread(worker) == 0)
		return worker;
fail:
	worker_free(worker);
	return NULL;
}

int worker_start(struct worker *worker)
{
	for (size_t i = 0; i < worker->count; i++)
		if (add(worker, worker->sockets[i].fd, &worker->sockets[i]) < 0)
			return -1;
	return 0;
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	if (worker->runs) {
		eventfd_write(worker->end_fd, 1);
		pthread_join(worker->thread, NULL);
	}
	watch_free(worker->watch);
	if (worker->epoll_fd >= 0)
		close(worker->epoll_fd);
	if (worker->end_fd >= 0)
		close(worker->end_fd);
	if (worker->left_fd >= 0)
		close(worker->left_fd);
	free(worker->ring);
	free(worker);
}
