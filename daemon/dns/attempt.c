#include "dns/attempt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/loop.h"
#include "dns/upstreams.h"
#include "dns/wire.h"

#define PREFIX		2 /* bytes of length before a message over TCP */
#define TELLING_LETTERS 8 /* so many make a chance match of cases unlikely */

struct attempt {
	struct attempts *attempts;
	void *arg;
	int fd;
	struct watch *watch;
	bool stream, mixed, lost_case;
	unsigned forgeries;
	size_t sent; /* TCP: of prefix and packet */
	uint8_t *in; /* TCP: prefix and response */
	size_t in_size;
	size_t size, head;
	uint8_t data[]; /* prefix and packet, as sent */
};

struct attempts {
	struct loop *loop;
	attempt_fn *fn;
	uint8_t packet[WIRE_PACKET_MAX];
};

static void on_datagram(void *arg, unsigned events);
static void on_stream(void *arg, unsigned events);

struct attempts *attempts_new(struct loop *loop, attempt_fn *fn)
{
	struct attempts *attempts = calloc(1, sizeof *attempts);

	if (attempts) {
		attempts->loop = loop;
		attempts->fn = fn;
	}
	return attempts;
}

void attempts_free(struct attempts *attempts)
{
	free(attempts);
}

static bool is_letter(uint8_t c)
{
	c |= 0x20;
	return c >= 'a' && c <= 'z';
}

/* A random case for each letter, but not all lower: that is what everybody else sends. */
static void mix_case(struct attempt *a)
{
	uint8_t *name = a->data + PREFIX + WIRE_HEADER_SIZE;
	size_t size = a->head - WIRE_HEADER_SIZE - 4;
	uint8_t random[WIRE_NAME_MAX];
	unsigned letters = 0, upper = 0;

	arc4random_buf(random, sizeof random);
	for (size_t i = 0; i < size; i++) {
		if (!is_letter(name[i]))
			continue;
		name[i] = random[i] & 1 ? name[i] | 0x20 : name[i] & 0xdf;
		upper += !(name[i] & 0x20);
		letters++;
	}
	for (size_t i = 0; i < size && !upper && letters; i++) {
		if (!is_letter(name[i]))
			continue;
		name[i] &= 0xdf;
		upper = 1;
	}
	a->mixed = letters >= TELLING_LETTERS;
}

static int start(struct attempt *a, const struct sockaddr_storage *to)
{
	a->fd = socket(to->ss_family,
		       (a->stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->fd < 0)
		return -1;
	if (connect(a->fd, (const struct sockaddr *)to, upstreams_address_size(to)) < 0 &&
	    errno != EINPROGRESS)
		return -1;
	if (!a->stream && send(a->fd, a->data + PREFIX, a->size, MSG_NOSIGNAL) < 0)
		return -1;
	a->watch = watch_new(a->attempts->loop, a->fd,
			     a->stream ? WATCH_READ | WATCH_WRITE : WATCH_READ,
			     a->stream ? on_stream : on_datagram, a);
	return a->watch ? 0 : -1;
}

struct attempt *attempt_new(struct attempts *attempts, const struct sockaddr_storage *to,
			    unsigned flags, const uint8_t *packet, size_t size, size_t head,
			    void *arg)
{
	struct attempt *a = calloc(1, sizeof *a + PREFIX + size);
	uint16_t id = (uint16_t)arc4random();
	int saved;

	if (!a)
		return NULL;
	a->attempts = attempts;
	a->arg = arg;
	a->fd = -1;
	a->stream = flags & ATTEMPT_STREAM;
	a->size = size;
	a->head = head;
	a->data[0] = (uint8_t)(size >> 8);
	a->data[1] = (uint8_t)size;
	memcpy(a->data + PREFIX, packet, size);
	a->data[PREFIX] = (uint8_t)(id >> 8);
	a->data[PREFIX + 1] = (uint8_t)id;
	if (!(flags & ATTEMPT_KEEP_CASE))
		mix_case(a);
	if (start(a, to) == 0)
		return a;
	saved = errno;
	attempt_free(a);
	errno = saved;
	return NULL;
}

void attempt_free(struct attempt *a)
{
	if (!a)
		return;
	watch_free(a->watch);
	if (a->fd >= 0)
		close(a->fd);
	free(a->in);
	free(a);
}

bool attempt_is_stream(const struct attempt *a)
{
	return a->stream;
}

bool attempt_lost_case(const struct attempt *a)
{
	return a->lost_case;
}

bool attempt_sent_this(const struct attempt *a, const uint8_t *question, size_t size)
{
	return a->mixed && size == a->head - WIRE_HEADER_SIZE &&
	       memcmp(question, a->data + PREFIX + WIRE_HEADER_SIZE, size) == 0;
}

static void end(struct attempt *a, enum attempt_end how, uint8_t *packet, size_t size)
{
	a->attempts->fn(a->arg, a, how, packet, size);
}

static void on_datagram(void *arg, unsigned events)
{
	struct attempt *a = arg;
	uint8_t *packet = a->attempts->packet;
	ssize_t r;

	(void)events;
	r = recv(a->fd, packet, WIRE_PACKET_MAX, MSG_DONTWAIT);
	if (r < 0) {
		if (errno != EAGAIN && errno != EINTR)
			end(a, ATTEMPT_UNREACHABLE, NULL, 0); /* ICMP said so */
		return;
	}
	switch (wire_answers(a->data + PREFIX, a->head, packet, (size_t)r)) {
	case WIRE_MATCH:
		end(a, ATTEMPT_ANSWERED, packet, (size_t)r);
		break;
	case WIRE_MATCH_CASE:
		end(a, ATTEMPT_DOUBTFUL, NULL, 0);
		break;
	case WIRE_MATCH_NOT: /* forged, or late from elsewhere: the right one may still come */
		if (++a->forgeries == ATTEMPT_FORGERIES)
			end(a, ATTEMPT_DOUBTFUL, NULL, 0);
		break;
	}
}

static int write_stream(struct attempt *a)
{
	size_t all = PREFIX + a->size;
	ssize_t r = send(a->fd, a->data + a->sent, all - a->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (r < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	a->sent += (size_t)r;
	if (a->sent == all)
		watch_set(a->watch, WATCH_READ);
	return 0;
}

/* 1 the response is whole, 0 not yet, -1 the connection is gone. */
static int read_stream(struct attempt *a)
{
	size_t want = PREFIX;
	ssize_t r;

	if (!a->in)
		a->in = malloc(PREFIX + WIRE_PACKET_MAX);
	if (!a->in)
		return -1;
	for (;;) {
		if (a->in_size >= PREFIX)
			want = PREFIX + (size_t)(a->in[0] << 8 | a->in[1]);
		if (a->in_size == want)
			return want > PREFIX ? 1 : -1;
		r = recv(a->fd, a->in + a->in_size, want - a->in_size, MSG_DONTWAIT);
		if (r <= 0)
			return r < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
		a->in_size += (size_t)r;
	}
}

static void on_stream(void *arg, unsigned events)
{
	struct attempt *a = arg;
	enum wire_match match;
	int r = 0;

	if (events & WATCH_WRITE && a->sent < PREFIX + a->size)
		r = write_stream(a);
	if (r == 0 && events & WATCH_READ)
		r = read_stream(a);
	if (r == 0)
		return;
	match = r == 1 ? wire_answers(a->data + PREFIX, a->head, a->in + PREFIX,
				      a->in_size - PREFIX)
		       : WIRE_MATCH_NOT;
	if (match == WIRE_MATCH_NOT) {
		end(a, ATTEMPT_UNREACHABLE, NULL, 0);
		return;
	}
	/* Nobody forges a TCP connection easily. */
	a->lost_case = match == WIRE_MATCH_CASE;
	end(a, ATTEMPT_ANSWERED, a->in + PREFIX, a->in_size - PREFIX);
}
