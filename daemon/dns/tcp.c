#include "dns/tcp.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/tide.h"
#include "dns/acl.h"
#include "dns/dns.h"
#include "dns/hash.h"

#define PREFIX		 2 /* bytes of length before each message */
#define IN_ROOM		 2048
#define OUT_ROOM	 2048
#define ACCEPTS_PER_TURN 16
#define ACCEPT_PAUSE	 USEC_PER_SEC /* when there are no descriptors left */
#define YIELD_AFTER	 USEC_PER_MSEC

#define NETWORK_BUCKETS 1024

struct connection {
	TAILQ_ENTRY(connection) entry; /* the longest idle first */
	LIST_ENTRY(connection) same;   /* those of its network, and of some others */
	struct tcp *tcp;
	int fd;
	struct watch *watch;
	struct client client; /* as its queries have it: with slot and generation */
	uint64_t network;
	uint64_t active;
	unsigned outstanding; /* queries not answered yet */
	unsigned events;
	bool finished; /* the client will send no more, it may still read */
	bool broken;
	bool handling; /* on the stack: not to be freed, to be flushed at the end */
	uint8_t *in, *out;
	size_t in_size, in_room;
	size_t out_start, out_size, out_room; /* out_size from out_start on are queued */
};

struct door {
	struct tcp *tcp;
	int fd;
	struct watch *watch;
};

struct tcp {
	struct loop *loop;
	listen_fn *fn;
	void *arg;
	void (*yield)(void *arg);
	void *yield_arg;
	uint64_t yielded; /* when */
	struct door doors[DNS_ENDPOINTS_MAX];
	size_t count;
	bool started;
	struct timer *idle, *pause;
	uint32_t generation;
	uint32_t max, per_network;
	const struct acl *exempt;
	uint32_t open;
	size_t held; /* bytes in the buffers of all */
	struct tide tide;
	uint64_t key;
	TAILQ_HEAD(, connection) connections;
	LIST_HEAD(, connection) networks[NETWORK_BUCKETS];
	struct slot {
		struct connection *connection; /* NULL: free, and the next free one is */
		uint32_t next;
	} * slots;
	uint32_t slot_count, free_slot; /* free_slot == slot_count: none is free */
};

static void on_accept(void *arg, unsigned events);
static void on_idle(void *arg);
static void on_pause_end(void *arg);

struct tcp *tcp_new(struct loop *loop, const int *fds, size_t count, listen_fn *fn, void *arg)
{
	struct tcp *tcp = calloc(1, sizeof *tcp);

	if (!tcp) {
		for (size_t i = 0; i < count; i++)
			close(fds[i]);
		return NULL;
	}
	tcp->loop = loop;
	tcp->fn = fn;
	tcp->arg = arg;
	tcp->count = count;
	tcp->max = TCP_CONNECTIONS_MAX;
	TAILQ_INIT(&tcp->connections);
	arc4random_buf(&tcp->key, sizeof tcp->key);
	for (size_t i = 0; i < count; i++)
		tcp->doors[i] = (struct door){ .tcp = tcp, .fd = fds[i] };
	tcp->idle = timer_new(loop, on_idle, tcp);
	tcp->pause = timer_new(loop, on_pause_end, tcp);
	if (!tcp->idle || !tcp->pause)
		goto fail;
	for (size_t i = 0; i < count; i++) {
		tcp->doors[i].watch = watch_new(loop, fds[i], 0, on_accept, &tcp->doors[i]);
		if (!tcp->doors[i].watch)
			goto fail;
	}
	return tcp;
fail:
	tcp_free(tcp);
	return NULL;
}

void tcp_limit(struct tcp *tcp, uint32_t connections, uint32_t per_network,
	       const struct acl *exempt)
{
	tcp->max = connections;
	tcp->per_network = per_network;
	tcp->exempt = exempt;
}

void tcp_yield(struct tcp *tcp, void (*fn)(void *arg), void *arg)
{
	tcp->yield = fn;
	tcp->yield_arg = arg;
}

static void yield_if_long(struct tcp *tcp)
{
	if (!tcp->yield || loop_now(tcp->loop) - tcp->yielded < YIELD_AFTER)
		return;
	tcp->yield(tcp->yield_arg);
	tcp->yielded = loop_now(tcp->loop);
}

static void accept_events(struct tcp *tcp, unsigned events)
{
	for (size_t i = 0; i < tcp->count; i++)
		watch_set(tcp->doors[i].watch, events);
}

void tcp_start(struct tcp *tcp)
{
	tcp->started = true;
	accept_events(tcp, WATCH_READ);
}

static void on_pause_end(void *arg)
{
	tcp_start(arg);
}

static void release(struct connection *c)
{
	struct tcp *tcp = c->tcp;

	TAILQ_REMOVE(&tcp->connections, c, entry);
	LIST_REMOVE(c, same);
	tcp->slots[c->client.connection] = (struct slot){ NULL, tcp->free_slot };
	tcp->free_slot = c->client.connection;
	tcp->open--;
	tcp->held -= c->in_room + c->out_room;
	watch_free(c->watch);
	close(c->fd);
	free(c->in);
	free(c->out);
	free(c);
	tide_set(&tcp->tide, tcp->held);
}

void tcp_free(struct tcp *tcp)
{
	struct connection *c;

	if (!tcp)
		return;
	while ((c = TAILQ_FIRST(&tcp->connections)))
		release(c);
	for (size_t i = 0; i < tcp->count; i++) {
		watch_free(tcp->doors[i].watch);
		close(tcp->doors[i].fd);
	}
	timer_free(tcp->idle);
	timer_free(tcp->pause);
	free(tcp->slots);
	free(tcp);
}

static void arm_idle(struct tcp *tcp)
{
	struct connection *first = TAILQ_FIRST(&tcp->connections);

	if (!first)
		timer_cancel(tcp->idle);
	else if (!timer_armed(tcp->idle))
		timer_set_at(tcp->idle, first->active + TCP_IDLE_USEC);
}

/* Something whole was read or written. */
static void touch(struct connection *c)
{
	c->active = loop_now(c->tcp->loop);
	TAILQ_REMOVE(&c->tcp->connections, c, entry);
	TAILQ_INSERT_TAIL(&c->tcp->connections, c, entry);
}

/* Who waits for an answer of ours is not idle; who does not read it is. */
static bool is_idle(const struct connection *c)
{
	return c->outstanding == 0 || c->out_size;
}

static void on_idle(void *arg)
{
	struct tcp *tcp = arg;
	uint64_t now = loop_now(tcp->loop);
	struct connection *c;

	while ((c = TAILQ_FIRST(&tcp->connections)) && c->active + TCP_IDLE_USEC <= now) {
		if (is_idle(c))
			release(c);
		else
			touch(c);
	}
	arm_idle(tcp);
}

static bool is_holding(const struct connection *c)
{
	return c->in_room > IN_ROOM || c->out_room > OUT_ROOM;
}

/* Grows one of c's buffers. What all hold is bounded: others that hold much and are idle go for it.
 */
static bool grow(struct connection *c, uint8_t **buffer, size_t *room, size_t wanted)
{
	struct tcp *tcp = c->tcp;
	struct connection *other, *next;
	uint8_t *grown;

	for (other = TAILQ_FIRST(&tcp->connections);
	     other && tcp->held + wanted - *room > TCP_HELD_MAX; other = next) {
		next = TAILQ_NEXT(other, entry);
		if (other != c && !other->handling && is_idle(other) && is_holding(other))
			release(other);
	}
	grown = tcp->held + wanted - *room <= TCP_HELD_MAX ? realloc(*buffer, wanted) : NULL;
	if (!grown)
		return false;
	tcp->held += wanted - *room;
	tide_set(&tcp->tide, tcp->held);
	*buffer = grown;
	*room = wanted;
	return true;
}

static void give_back(struct connection *c, uint8_t **buffer, size_t *room)
{
	free(*buffer);
	*buffer = NULL;
	c->tcp->held -= *room;
	*room = 0;
	tide_set(&c->tcp->tide, c->tcp->held);
}

static void write_out(struct connection *c)
{
	while (c->out_size && !c->broken) {
		ssize_t r = send(c->fd, c->out + c->out_start, c->out_size,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0) {
			c->broken = errno != EAGAIN;
			return;
		}
		c->out_start += (size_t)r;
		c->out_size -= (size_t)r;
		touch(c);
	}
	if (c->out_size)
		return;
	c->out_start = 0;
	if (c->out_room > OUT_ROOM)
		give_back(c, &c->out, &c->out_room);
}

static bool may_read(const struct connection *c)
{
	return c->outstanding < TCP_OUTSTANDING_MAX && c->out_size < TCP_QUEUED_HIGH;
}

static size_t message_size(const struct connection *c, size_t at)
{
	return (size_t)(c->in[at] << 8 | c->in[at + 1]);
}

static bool has_message(const struct connection *c)
{
	return c->in_size >= PREFIX && c->in_size - PREFIX >= message_size(c, 0);
}

static void set_events(struct connection *c)
{
	unsigned events = c->out_size ? WATCH_WRITE : 0;

	if (may_read(c)) {
		if (!c->finished)
			events |= WATCH_READ;
		/* What was left in the buffer brings no event of its own: a socket that may be
		 * written to does. */
		if (has_message(c))
			events |= WATCH_WRITE;
	}
	if (events != c->events)
		watch_set(c->watch, events);
	c->events = events;
}

/* After anything that changed it: sends, and frees it if its time has come. */
static void settle(struct connection *c)
{
	write_out(c);
	if (c->broken || (c->finished && !c->outstanding && !c->out_size && !has_message(c)))
		release(c);
	else
		set_events(c);
}

static void take_messages(struct connection *c)
{
	struct tcp *tcp = c->tcp;
	size_t at = 0;

	while (!c->broken && may_read(c) && c->in_size - at >= PREFIX) {
		size_t size = message_size(c, at);
		if (c->in_size - at - PREFIX < size)
			break;
		c->outstanding++;
		touch(c);
		tcp->fn(tcp->arg, &c->client, c->in + at + PREFIX, size, c->active);
		at += PREFIX + size;
	}
	c->in_size -= at;
	if (c->in_size)
		memmove(c->in, c->in + at, c->in_size);
	else if (c->in_room > IN_ROOM)
		give_back(c, &c->in, &c->in_room);
}

static void read_in(struct connection *c)
{
	size_t room = c->in_size >= PREFIX ? PREFIX + message_size(c, 0) : 0;
	ssize_t r;

	if (room < IN_ROOM)
		room = IN_ROOM;
	if (room > c->in_room && !grow(c, &c->in, &c->in_room, room)) {
		c->broken = true;
		return;
	}
	if (c->in_size == c->in_room)
		return;
	do
		r = recv(c->fd, c->in + c->in_size, c->in_room - c->in_size, MSG_DONTWAIT);
	while (r < 0 && errno == EINTR);
	if (r > 0)
		c->in_size += (size_t)r;
	else if (r == 0)
		c->finished = true;
	else if (errno != EAGAIN)
		c->broken = true;
}

static void on_connection(void *arg, unsigned events)
{
	struct connection *c = arg;
	struct tcp *tcp = c->tcp;

	c->handling = true;
	if ((events & WATCH_READ) && may_read(c) && !c->finished)
		read_in(c);
	take_messages(c);
	c->handling = false;
	settle(c);
	arm_idle(tcp);
	yield_if_long(tcp);
}

static void queue_out(struct connection *c, const uint8_t *packet, size_t size)
{
	size_t end = c->out_start + c->out_size, need = PREFIX + size;

	if (c->out_size + need > TCP_QUEUED_MAX) {
		c->broken = true;
		return;
	}
	if (c->out_room - end < need && c->out_start) {
		memmove(c->out, c->out + c->out_start, c->out_size);
		c->out_start = 0;
		end = c->out_size;
	}
	if (c->out_room - end < need) {
		size_t room = c->out_room ? c->out_room : OUT_ROOM;

		while (room - end < need)
			room *= 2;
		if (!grow(c, &c->out, &c->out_room, room)) {
			c->broken = true;
			return;
		}
	}
	c->out[end] = (uint8_t)(size >> 8);
	c->out[end + 1] = (uint8_t)size;
	memcpy(c->out + end + PREFIX, packet, size);
	c->out_size += need;
}

void tcp_reply(struct tcp *tcp, const struct client *client, const uint8_t *packet, size_t size)
{
	struct connection *c = tcp->slots[client->connection].connection;

	if (!c || c->client.generation != client->generation)
		return;
	c->outstanding--;
	if (size)
		queue_out(c, packet, size);
	if (!c->handling)
		settle(c);
}

/* The longest idle has to go. */
static bool make_room(struct tcp *tcp)
{
	struct connection *c;

	TAILQ_FOREACH(c, &tcp->connections, entry) {
		if (is_idle(c)) {
			release(c);
			return true;
		}
	}
	return false;
}

/* The same of one network, if it has as many as it may. Only its own are looked at, however many
 * others there are. */
static bool make_network_room(struct tcp *tcp, uint64_t network, unsigned bucket)
{
	struct connection *c, *longest = NULL;
	uint32_t count = 0;

	LIST_FOREACH(c, &tcp->networks[bucket], same) {
		if (c->network != network)
			continue;
		count++;
		if (is_idle(c) && (!longest || c->active <= longest->active))
			longest = c;
	}
	if (count < tcp->per_network)
		return true;
	if (longest)
		release(longest);
	return longest;
}

static bool take_slot(struct tcp *tcp, struct connection *c)
{
	uint32_t slot = tcp->free_slot;

	if (slot == tcp->slot_count) {
		uint32_t count = slot ? slot * 2 : 64;
		struct slot *slots = reallocarray(tcp->slots, count, sizeof *slots);

		if (!slots)
			return false;
		for (uint32_t i = slot; i < count; i++)
			slots[i] = (struct slot){ NULL, i + 1 };
		tcp->slots = slots;
		tcp->slot_count = count;
	}
	tcp->free_slot = tcp->slots[slot].next;
	tcp->slots[slot].connection = c;
	c->client.connection = slot;
	return true;
}

static void add_connection(struct tcp *tcp, int fd, const struct client *client)
{
	uint64_t network = acl_network(&client->peer.any);
	unsigned bucket =
		hash_mix(network ^ tcp->key, UINT64_C(0x9e3779b97f4a7c15)) % NETWORK_BUCKETS;
	struct connection *c = NULL;
	int on = 1;

	if (tcp->per_network && !acl_has(tcp->exempt, &client->peer.any) &&
	    !make_network_room(tcp, network, bucket))
		goto fail;
	if (tcp->open >= tcp->max && !make_room(tcp))
		goto fail;
	c = calloc(1, sizeof *c);
	if (!c)
		goto fail;
	c->tcp = tcp;
	c->fd = fd;
	c->client = *client;
	c->client.stream = true;
	c->client.generation = ++tcp->generation;
	c->network = network;
	c->active = loop_now(tcp->loop);
	c->events = WATCH_READ;
	c->watch = watch_new(tcp->loop, fd, WATCH_READ, on_connection, c);
	if (!c->watch || !take_slot(tcp, c))
		goto fail;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	tcp->open++;
	TAILQ_INSERT_TAIL(&tcp->connections, c, entry);
	LIST_INSERT_HEAD(&tcp->networks[bucket], c, same);
	return;
fail:
	if (c)
		watch_free(c->watch);
	free(c);
	close(fd);
}

static void on_accept(void *arg, unsigned events)
{
	struct door *door = arg;
	struct tcp *tcp = door->tcp;

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct client client = { .peer_size = sizeof client.peer };
		int fd = accept4(door->fd, &client.peer.any, &client.peer_size,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			add_connection(tcp, fd, &client);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			log_warning("TCP: %s", strerror(errno));
			accept_events(tcp, 0);
			timer_set(tcp->pause, ACCEPT_PAUSE);
		}
		break;
	}
	arm_idle(tcp);
}
