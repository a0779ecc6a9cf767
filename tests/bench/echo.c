/* The floor under any UDP server: sends back what comes. echo single|many ADDRESS PORT */
#include "common.h"

#include <stdio.h>
#include <sys/epoll.h>

#define BATCH 64

/* A datagram a call, as an event loop does it. */
static void single(int fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	uint8_t wire[4096];

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		err(1, "epoll");
	for (;;) {
		struct sockaddr_in from;
		socklen_t size = sizeof from;
		ssize_t r;

		epoll_wait(epoll, &event, 1, -1);
		r = recvfrom(fd, wire, sizeof wire, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
		if (r > 0)
			sendto(fd, wire, (size_t)r, 0, (struct sockaddr *)&from, size);
	}
}

/* As many as there are. */
static void many(int fd)
{
	static struct mmsghdr messages[BATCH];
	static struct sockaddr_in from[BATCH];
	static struct iovec parts[BATCH];
	static uint8_t wire[BATCH][4096];

	for (;;) {
		int r;

		for (int i = 0; i < BATCH; i++) {
			parts[i] = (struct iovec){ wire[i], sizeof wire[i] };
			messages[i].msg_hdr = (struct msghdr){ .msg_name = &from[i],
							       .msg_namelen = sizeof from[i],
							       .msg_iov = &parts[i],
							       .msg_iovlen = 1 };
		}
		r = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < r; i++)
			parts[i].iov_len = messages[i].msg_len;
		for (int sent = 0; sent < r;) {
			int s = sendmmsg(fd, messages + sent, (unsigned)(r - sent), 0);

			sent += s > 0 ? s : 1;
		}
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in here;
	int fd, size = 4 * 1024 * 1024;

	if (argc != 4 || (strcmp(argv[1], "single") != 0 && strcmp(argv[1], "many") != 0))
		errx(2, "usage: echo single|many ADDRESS PORT");
	here = address(argv[2], argv[3]);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof here) < 0)
		err(1, "%s port %s", argv[2], argv[3]);
	if (strcmp(argv[1], "single") == 0)
		single(fd);
	else
		many(fd);
}
