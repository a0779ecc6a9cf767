/*
 * TCP connections from many addresses, held open: idle, or asking for much and never reading, or
 * writing one byte at a time.
 */
#include <stdio.h>

#include "sources.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define PIPELINED	200 /* questions that a reader asks at once */
#define OPENED_PER_TURN 64
#define BEAT_NS		100000000u /* a writer's */
#define SMALL		2304	   /* the least that a socket's buffer may be */

enum kind { IDLE, READER, WRITER };

struct connection {
	int fd;
	bool connected;
	size_t written;
};

static const char *const kinds[] = { "idle", "reader", "writer" };
static enum kind kind;
static struct sources sources = { INADDR_ANY, 1, 0 };
static struct sockaddr_in server;
static uint8_t load[PIPELINED * (2 + QUESTION_MAX)];
static size_t load_size;
static uint64_t opened, refused, closed;
static uint32_t open_now;
static int poller;

static void open_one(struct connection *c, uint64_t turn)
{
	struct sockaddr_in source = { .sin_family = AF_INET,
				      .sin_addr = sources_nth(&sources, turn) };
	struct epoll_event event = { .events = EPOLLOUT | EPOLLRDHUP, .data.ptr = c };
	int small = SMALL;

	*c = (struct connection){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
					       0) };
	if (c->fd < 0)
		err(1, "socket");
	if (kind == READER)
		setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	if (bind(c->fd, (struct sockaddr *)&source, sizeof source) < 0)
		err(1, "bind");
	if (connect(c->fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS)
		err(1, "connect");
	if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) < 0)
		err(1, "epoll_ctl");
}

static void shut(struct connection *c)
{
	if (c->connected) {
		closed++;
		open_now--;
	} else {
		refused++;
	}
	close(c->fd);
	c->fd = -1;
}

static void push(struct connection *c, size_t most)
{
	size_t at = c->written % load_size, size = load_size - at;
	ssize_t r = send(c->fd, load + at, size < most ? size : most, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (r > 0)
		c->written += (size_t)r;
}

static void on_event(struct connection *c, unsigned events)
{
	if (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) {
		shut(c);
	} else if (events & EPOLLOUT) {
		struct epoll_event event = { .events = EPOLLRDHUP, .data.ptr = c };

		if (!c->connected) {
			c->connected = true;
			opened++;
			open_now++;
		}
		if (kind == READER) {
			event.events |= EPOLLOUT | EPOLLET;
			push(c, SIZE_MAX);
		}
		epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
	}
}

static void usage(void)
{
	fputs("usage: crowd [-a FIRST/COUNT/STRIDE] [-c CONNECTIONS] [-r] [-s SECONDS] ADDRESS "
	      "PORT KIND NAME\n"
	      "KIND: idle, reader, writer. -r: a connection that the server closes is opened "
	      "again.\n"
	      "Prints opened, refused, closed by the server, and those open at the end.\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	uint64_t count = 100, seconds = 3, began, now, beat, turn = 0;
	bool again = false;
	struct connection *all;
	uint8_t wire[QUESTION_MAX];
	size_t size;
	int option;

	while ((option = getopt(argc, argv, "a:c:rs:")) != -1) {
		switch (option) {
		case 'a':
			sources = sources_read(optarg);
			break;
		case 'c':
			count = number(optarg, "-c");
			break;
		case 'r':
			again = true;
			break;
		case 's':
			seconds = number(optarg, "-s");
			break;
		default:
			usage();
		}
	}
	if (argc - optind != 4 || count == 0)
		usage();
	while (kind <= WRITER && strcmp(argv[optind + 2], kinds[kind]) != 0)
		kind++;
	if (kind > WRITER)
		usage();
	server = address(argv[optind], argv[optind + 1]);
	size = question(wire, argv[optind + 3]);
	for (unsigned i = 0; i < PIPELINED; i++) {
		load[load_size] = (uint8_t)(size >> 8);
		load[load_size + 1] = (uint8_t)size;
		memcpy(load + load_size + 2, wire, size);
		load_size += 2 + size;
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	all = calloc(count, sizeof *all);
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (!all || poller < 0)
		err(1, "start");
	for (uint64_t i = 0; i < count; i++)
		all[i].fd = -1;

	began = beat = now = now_ns();
	end_on_sigterm();
	while (now < began + seconds * 1000000000u && !told_to_end) {
		struct epoll_event events[256];
		unsigned fresh = 0;
		int r;

		for (uint64_t i = 0; i < count && fresh < OPENED_PER_TURN; i++) {
			if (all[i].fd >= 0 || (!again && turn >= count))
				continue;
			open_one(&all[i], turn++);
			fresh++;
		}
		r = epoll_wait(poller, events, 256, 5);
		for (int i = 0; i < r; i++)
			on_event(events[i].data.ptr, events[i].events);
		now = now_ns();
		if (kind != WRITER || now - beat < BEAT_NS)
			continue;
		beat = now;
		for (uint64_t i = 0; i < count; i++)
			if (all[i].fd >= 0 && all[i].connected)
				push(&all[i], 1);
	}
	printf("%llu %llu %llu %u\n", (unsigned long long)opened, (unsigned long long)refused,
	       (unsigned long long)closed, open_now);
	return 0;
}
