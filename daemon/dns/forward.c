#include "dns/forward.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/loop.h"
#include "dns/dns.h"
#include "dns/wire.h"

#define PREFIX 2 /* bytes of length before a message over TCP */

struct exchange {
	TAILQ_ENTRY(exchange) entry;
	struct forward *forward;
	struct client client;
	struct wire_query query; /* its packet is ours, at the end of this structure */
	size_t upstream;
	uint64_t deadline;
	int fd;
	struct watch *watch;
	uint16_t id; /* of this attempt */
	bool stream; /* this attempt goes over TCP */
	size_t sent; /* TCP: of prefix and packet */
	uint8_t *in; /* TCP: prefix and response */
	size_t in_size;
	uint8_t data[]; /* prefix and packet, as sent */
};

struct forward {
	struct loop *loop;
	forward_fn *done;
	void *arg;
	struct sockaddr_storage upstreams[DNS_ENDPOINTS_MAX];
	size_t upstream_count, count;
	struct timer *timer;
	TAILQ_HEAD(exchanges, exchange) exchanges; /* the earliest deadline first */
	uint8_t response[WIRE_PACKET_MAX];
};

static void on_timer(void *arg);
static void on_datagram(void *arg, unsigned events);
static void on_stream(void *arg, unsigned events);

struct forward *forward_new(struct loop *loop, const struct sockaddr_storage *upstreams,
			    size_t count, forward_fn *done, void *arg)
{
	struct forward *forward = calloc(1, sizeof *forward);

	if (!forward)
		return NULL;
	forward->loop = loop;
	forward->done = done;
	forward->arg = arg;
	forward->upstream_count = count;
	memcpy(forward->upstreams, upstreams, count * sizeof *upstreams);
	TAILQ_INIT(&forward->exchanges);
	forward->timer = timer_new(loop, on_timer, forward);
	if (!forward->timer) {
		free(forward);
		return NULL;
	}
	return forward;
}

static void hang_up(struct exchange *x)
{
	watch_free(x->watch);
	x->watch = NULL;
	if (x->fd >= 0)
		close(x->fd);
	x->fd = -1;
	free(x->in);
	x->in = NULL;
	x->in_size = 0;
}

static void release(struct exchange *x)
{
	hang_up(x);
	TAILQ_REMOVE(&x->forward->exchanges, x, entry);
	x->forward->count--;
	free(x);
}

void forward_free(struct forward *forward)
{
	struct exchange *x;

	if (!forward)
		return;
	while ((x = TAILQ_FIRST(&forward->exchanges)))
		release(x);
	timer_free(forward->timer);
	free(forward);
}

static void arm(struct forward *forward)
{
	struct exchange *first = TAILQ_FIRST(&forward->exchanges);

	if (first)
		timer_set_at(forward->timer, first->deadline);
	else
		timer_cancel(forward->timer);
}

static void finish(struct exchange *x, const uint8_t *response, size_t size)
{
	struct forward *forward = x->forward;

	forward->done(forward->arg, &x->client, &x->query, response, size);
	release(x);
	arm(forward);
}

static socklen_t address_size(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					      : sizeof(struct sockaddr_in);
}

/* One attempt at the current upstream. -1 if it fails at once. */
static int attempt(struct exchange *x, bool stream)
{
	struct forward *forward = x->forward;
	const struct sockaddr_storage *to = &forward->upstreams[x->upstream];
	uint8_t *packet = x->data + PREFIX;

	hang_up(x);
	x->stream = stream;
	x->sent = 0;
	x->id = (uint16_t)arc4random();
	packet[0] = (uint8_t)(x->id >> 8);
	packet[1] = (uint8_t)x->id;
	x->fd = socket(to->ss_family,
		       (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (x->fd < 0)
		return -1;
	if (connect(x->fd, (const struct sockaddr *)to, address_size(to)) < 0 &&
	    errno != EINPROGRESS)
		return -1;
	if (!stream && send(x->fd, packet, x->query.size, MSG_NOSIGNAL) < 0)
		return -1;
	x->watch = watch_new(forward->loop, x->fd, stream ? WATCH_READ | WATCH_WRITE : WATCH_READ,
			     stream ? on_stream : on_datagram, x);
	if (!x->watch)
		return -1;
	/* All attempts have the same time: the newest is the last. */
	x->deadline = loop_now(forward->loop) + FORWARD_TIMEOUT_USEC;
	TAILQ_REMOVE(&forward->exchanges, x, entry);
	TAILQ_INSERT_TAIL(&forward->exchanges, x, entry);
	arm(forward);
	return 0;
}

/* From the current upstream on, the first that can be sent to. -1 if there is none. */
static int try_upstreams(struct exchange *x)
{
	for (; x->upstream < x->forward->upstream_count; x->upstream++)
		if (attempt(x, false) == 0)
			return 0;
	return -1;
}

static void try_next(struct exchange *x)
{
	x->upstream++;
	if (try_upstreams(x) < 0)
		finish(x, NULL, 0);
}

int forward_query(struct forward *forward, const struct client *client,
		  const struct wire_query *query)
{
	struct exchange *x;

	if (forward->count == FORWARD_QUERIES_MAX)
		return -1;
	x = calloc(1, sizeof *x + PREFIX + query->size);
	if (!x)
		return -1;
	x->forward = forward;
	x->client = *client;
	x->query = *query;
	x->query.packet = x->data + PREFIX;
	x->data[0] = (uint8_t)(query->size >> 8);
	x->data[1] = (uint8_t)query->size;
	memcpy(x->query.packet, query->packet, query->size);
	x->fd = -1;
	x->deadline = UINT64_MAX;
	TAILQ_INSERT_TAIL(&forward->exchanges, x, entry);
	forward->count++;
	if (try_upstreams(x) == 0)
		return 0;
	release(x);
	arm(forward);
	return -1;
}

static void on_timer(void *arg)
{
	struct forward *forward = arg;
	uint64_t now = loop_now(forward->loop);
	struct exchange *x;

	while ((x = TAILQ_FIRST(&forward->exchanges)) && x->deadline <= now)
		try_next(x);
	arm(forward);
}

static void on_datagram(void *arg, unsigned events)
{
	struct exchange *x = arg;
	struct forward *forward = x->forward;
	ssize_t r;

	(void)events;
	r = recv(x->fd, forward->response, sizeof forward->response, MSG_DONTWAIT);
	if (r < 0) {
		if (errno != EAGAIN && errno != EINTR)
			try_next(x); /* ICMP said that nobody is there */
		return;
	}
	if (!wire_answers(&x->query, x->id, forward->response, (size_t)r))
		return; /* forged, or late from elsewhere: the right one may still come */
	if (x->client.stream && wire_truncated(forward->response)) {
		if (attempt(x, true) < 0)
			try_next(x);
		return;
	}
	finish(x, forward->response, (size_t)r);
}

static int write_stream(struct exchange *x)
{
	size_t all = PREFIX + x->query.size;
	ssize_t r = send(x->fd, x->data + x->sent, all - x->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (r < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	x->sent += (size_t)r;
	if (x->sent == all)
		watch_set(x->watch, WATCH_READ);
	return 0;
}

/* 1 the response is whole, 0 not yet, -1 the connection is gone. */
static int read_stream(struct exchange *x)
{
	size_t want = PREFIX;
	ssize_t r;

	if (!x->in)
		x->in = malloc(PREFIX + WIRE_PACKET_MAX);
	if (!x->in)
		return -1;
	for (;;) {
		if (x->in_size >= PREFIX)
			want = PREFIX + (size_t)(x->in[0] << 8 | x->in[1]);
		if (x->in_size == want)
			return want > PREFIX ? 1 : -1;
		r = recv(x->fd, x->in + x->in_size, want - x->in_size, MSG_DONTWAIT);
		if (r <= 0)
			return r < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
		x->in_size += (size_t)r;
	}
}

static void on_stream(void *arg, unsigned events)
{
	struct exchange *x = arg;
	int r = 0;

	if (events & WATCH_WRITE)
		r = write_stream(x);
	if (r == 0 && events & WATCH_READ)
		r = read_stream(x);
	if (r < 0 || (r == 1 && !wire_answers(&x->query, x->id, x->in + PREFIX,
					      x->in_size - PREFIX)))
		try_next(x);
	else if (r == 1)
		finish(x, x->in + PREFIX, x->in_size - PREFIX);
}
