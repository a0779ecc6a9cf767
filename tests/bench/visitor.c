/*
 * One visit, as a browser's: asks for the name, connects to the address that the answer holds, asks
 * for the page. Prints the milliseconds from the query to the answer, to the connection, and to the
 * first byte of the page. It stands for a client on another machine: where it may, it runs at
 * real-time priority.
 */
#include "common.h"

#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define ANSWER_SIZE 16 /* an A record whose owner is a pointer to the question (RFC 1035, 4.1.4) */

static struct in_addr ask(const char *host, const char *port, const char *name, int patience)
{
	struct timeval limit = { .tv_sec = patience };
	struct sockaddr_in server = address(host, port);
	uint8_t query[QUESTION_MAX], answer[4096];
	size_t size = question(query, name);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct in_addr found;
	ssize_t r;

	if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0)
		err(1, "%s", host);
	if (send(fd, query, size, 0) < 0 || (r = recv(fd, answer, sizeof answer, 0)) < 0)
		err(1, "%s", name);
	if (!answers(answer, (size_t)r) || (size_t)r < size + ANSWER_SIZE)
		errx(1, "%s: no answer in the reply", name);
	memcpy(&found, answer + size + ANSWER_SIZE - sizeof found, sizeof found);
	close(fd);
	return found;
}

int main(int argc, char **argv)
{
	static const char request[] = "GET / HTTP/1.0\r\n\r\n";
	struct sched_param priority = { .sched_priority = 50 };
	struct timeval limit = { .tv_sec = 60 };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(80) };
	uint64_t asked, answered, connected, read_at;
	char page[4096];
	ssize_t r;
	int fd;

	if (argc != 4)
		errx(2, "usage: visitor ADDRESS PORT NAME");
	sched_setscheduler(0, SCHED_FIFO, &priority); /* a wish: needs root */
	mlockall(MCL_CURRENT | MCL_FUTURE);	      /* another one */
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0)
		err(1, "socket");

	asked = now_ns();
	in.sin_addr = ask(argv[1], argv[2], argv[3], (int)limit.tv_sec);
	answered = now_ns();
	if (connect(fd, (struct sockaddr *)&in, sizeof in) < 0)
		err(1, "%s", inet_ntoa(in.sin_addr));
	connected = now_ns();
	if (write(fd, request, sizeof request - 1) < 0 || (r = read(fd, page, sizeof page - 1)) < 0)
		err(1, "%s", inet_ntoa(in.sin_addr));
	read_at = now_ns();
	page[r] = '\0';
	if (strncmp(page, "HTTP/1.", 7) != 0 || !strstr(page, " 200 "))
		errx(1, "%s: no page: %s", inet_ntoa(in.sin_addr), page);
	printf("%.3f %.3f %.3f\n", (double)(answered - asked) / 1e6,
	       (double)(connected - asked) / 1e6, (double)(read_at - asked) / 1e6);
	return 0;
}
