#include "engine/probe.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/loop.h"
#include "proto/spec.h"

#define INTERVAL (10 * USEC_PER_MSEC)
#define ATTEMPTS 5 /* at once: each lives for as many intervals */

struct attempt {
	struct probe *probe;
	struct watch *watch; /* NULL: none */
	int fd;
};

struct probe {
	struct loop *loop;
	struct timer *timer;
	struct sockaddr_storage address;
	socklen_t address_size; /* 0: nobody's */
	struct attempt attempts[ATTEMPTS];
	unsigned next;
	probe_fn *fn;
	void *arg;
};

static void give_up(struct attempt *attempt)
{
	if (!attempt->watch)
		return;
	watch_free(TAKE(attempt->watch));
	close(attempt->fd);
}

static void open_now(struct probe *probe)
{
	timer_cancel(probe->timer);
	for (unsigned i = 0; i < ATTEMPTS; i++)
		give_up(&probe->attempts[i]);
	probe->fn(probe->arg, loop_now(probe->loop));
}

static void on_done(void *arg, unsigned events)
{
	struct attempt *attempt = arg;
	struct probe *probe = attempt->probe;
	socklen_t size = sizeof(int);
	int failure = 0;

	(void)events;
	if (getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &failure, &size) < 0)
		failure = errno;
	if (failure)
		give_up(attempt);
	else
		open_now(probe);
}

static void try(struct probe *probe, struct attempt *attempt)
{
	cleanup_close int fd =
		socket(probe->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	give_up(attempt);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)&probe->address, probe->address_size) < 0 &&
	    errno != EINPROGRESS)
		return;
	attempt->watch = watch_new(probe->loop, fd, WATCH_WRITE, on_done, attempt);
	if (attempt->watch)
		attempt->fd = TAKE_FD(fd);
}

static void on_timer(void *arg)
{
	struct probe *probe = arg;

	if (!probe->address_size) {
		open_now(probe);
		return;
	}
	timer_set(probe->timer, INTERVAL);
	try(probe, &probe->attempts[probe->next]);
	probe->next = (probe->next + 1) % ATTEMPTS;
}

static struct probe *make(struct loop *loop, uint64_t usec, probe_fn *fn, void *arg)
{
	struct probe *probe = calloc(1, sizeof *probe);

	if (!probe || !(probe->timer = timer_new(loop, on_timer, probe)))
		abort();
	probe->loop = loop;
	probe->fn = fn;
	probe->arg = arg;
	for (unsigned i = 0; i < ATTEMPTS; i++)
		probe->attempts[i].probe = probe;
	timer_set(probe->timer, usec);
	return probe;
}

struct probe *probe_new(struct loop *loop, const struct spec_address *address, uint16_t port,
			probe_fn *fn, void *arg)
{
	struct probe *probe = make(loop, 0, fn, arg);

	if (address->family == AF_INET) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)&probe->address;

		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, address->bytes, sizeof v4->sin_addr);
		probe->address_size = sizeof *v4;
	} else {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&probe->address;

		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		memcpy(&v6->sin6_addr, address->bytes, sizeof v6->sin6_addr);
		probe->address_size = sizeof *v6;
	}
	return probe;
}

struct probe *probe_pretend(struct loop *loop, uint64_t usec, probe_fn *fn, void *arg)
{
	return make(loop, usec, fn, arg);
}

void probe_free(struct probe *probe)
{
	if (!probe)
		return;
	for (unsigned i = 0; i < ATTEMPTS; i++)
		give_up(&probe->attempts[i]);
	timer_free(probe->timer);
	free(probe);
}
