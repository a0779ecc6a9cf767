#include "base/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"

#define SOCKET_BUFFER	  (1024 * 1024)
#define MESSAGES_PER_TURN 64 /* then the other descriptors of the loop have their turn */

struct queued {
	STAILQ_ENTRY(queued) entry;
	size_t size;
	uint8_t data[];
};

struct link {
	int fd;
	struct watch *watch;
	struct link_callbacks callbacks;
	void *arg;
	size_t queued;
	bool *freed; /* set while callbacks run: tells that the link is gone */
	STAILQ_HEAD(, queued) queue;
	uint8_t buffer[LINK_MESSAGE_MAX];
};

int link_pair(int fds[2])
{
	int size = SOCKET_BUFFER;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return -1;
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	return 0;
}

static void set_events(struct link *link)
{
	watch_set(link->watch, WATCH_READ | (STAILQ_EMPTY(&link->queue) ? 0 : WATCH_WRITE));
}

/* 0 sent (or the peer is gone), -1 the socket is full. */
static int send_now(struct link *link, const void *data, size_t size)
{
	ssize_t r;

	do
		r = send(link->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (r < 0 && errno == EINTR);
	return r < 0 && (errno == EAGAIN || errno == ENOBUFS) ? -1 : 0;
}

static void flush(struct link *link)
{
	struct queued *first;

	while ((first = STAILQ_FIRST(&link->queue))) {
		if (send_now(link, first->data, first->size) < 0)
			return;
		STAILQ_REMOVE_HEAD(&link->queue, entry);
		link->queued -= first->size;
		free(first);
	}
	set_events(link);
}

/* 1 a message was handled, 0 nothing there or the link is gone. */
static int receive(struct link *link)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { link->buffer, sizeof link->buffer };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		/* CMSG_SPACE's padding would take a second descriptor, and leak it. */
		.msg_controllen = CMSG_LEN(sizeof(int))
	};
	struct cmsghdr *cmsg;
	bool freed = false;
	int fd = -1;
	ssize_t r;

	do
		r = recvmsg(link->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (r < 0 && errno == EINTR);
	if (r < 0 && errno == EAGAIN)
		return 0;
	if (r <= 0) {
		watch_set(link->watch, 0);
		link->callbacks.closed(link->arg);
		return 0;
	}
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(cmsg), sizeof fd);
	link->freed = &freed;
	link->callbacks.message(link->arg, link->buffer, (size_t)r, fd);
	if (freed)
		return 0;
	link->freed = NULL;
	return 1;
}

static void on_ready(void *arg, unsigned events)
{
	struct link *link = arg;

	if (events & WATCH_WRITE)
		flush(link);
	if (!(events & WATCH_READ))
		return;
	for (int i = 0; i < MESSAGES_PER_TURN && receive(link); i++)
		;
}

void link_poll(struct link *link)
{
	on_ready(link, WATCH_READ);
}

struct link *link_new(struct loop *loop, int fd, const struct link_callbacks *callbacks, void *arg)
{
	struct link *link = calloc(1, sizeof *link);

	if (!link) {
		close(fd);
		return NULL;
	}
	link->fd = fd;
	link->callbacks = *callbacks;
	link->arg = arg;
	STAILQ_INIT(&link->queue);
	link->watch = watch_new(loop, fd, WATCH_READ, on_ready, link);
	if (!link->watch) {
		link_free(link);
		return NULL;
	}
	return link;
}

void link_free(struct link *link)
{
	struct queued *first;

	if (!link)
		return;
	if (link->freed)
		*link->freed = true;
	while ((first = STAILQ_FIRST(&link->queue))) {
		STAILQ_REMOVE_HEAD(&link->queue, entry);
		free(first);
	}
	watch_free(link->watch);
	close(link->fd);
	free(link);
}

void link_send(struct link *link, const void *data, size_t size)
{
	struct queued *queued;

	if (size > LINK_MESSAGE_MAX) {
		log_error("message of %zu bytes is over the limit of %d", size, LINK_MESSAGE_MAX);
		abort();
	}
	if (STAILQ_EMPTY(&link->queue) && send_now(link, data, size) == 0)
		return;
	queued = malloc(sizeof *queued + size);
	if (!queued)
		abort(); /* the parent starts us again with a clean slate */
	queued->size = size;
	memcpy(queued->data, data, size);
	STAILQ_INSERT_TAIL(&link->queue, queued, entry);
	link->queued += size;
	set_events(link);
}

size_t link_queued(const struct link *link)
{
	return link->queued;
}

int link_send_fd(int link_fd, const void *data, size_t size, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .bytes = { 0 } };
	struct iovec iov = { (void *)(uintptr_t)data, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *cmsg = &control.align;

		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof control.bytes;
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(cmsg), &fd, sizeof fd);
	}
	return sendmsg(link_fd, &msg, MSG_NOSIGNAL) < 0 ? -1 : 0;
}
