/*
 * Asks for one name at a steady beat, whether the last one was answered or not, and notes how long
 * each answer took. A wait counts from the beat at which the question was due, so that a stall of
 * the whole machine, this program included, counts too. It stands for clients on other machines:
 * where it may, it runs at real-time priority.
 */
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define COUNT_MAX 65536 /* the query's id is the beat's number */

struct beat {
	uint64_t due, sent, answered; /* ns; 0: not yet */
	int good;
};

static struct beat beats[COUNT_MAX];
static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

static void send_one(int fd, uint8_t *wire, size_t size, unsigned i)
{
	wire[0] = (uint8_t)(i >> 8);
	wire[1] = (uint8_t)i;
	beats[i].sent = now_ns();
	if (send(fd, wire, size, 0) < 0 && errno != ECONNREFUSED)
		err(1, "send");
}

/* Notes what has arrived. Returns the number of first answers. */
static unsigned receive(int fd, unsigned sent)
{
	uint8_t wire[4096];
	unsigned got = 0;
	ssize_t r;

	while ((r = recv(fd, wire, sizeof wire, MSG_DONTWAIT)) >= 0 || errno == ECONNREFUSED) {
		unsigned i = r < DNS_HEADER ? COUNT_MAX : (unsigned)(wire[0] << 8 | wire[1]);

		if (i >= sent || beats[i].answered)
			continue;
		beats[i].answered = now_ns();
		beats[i].good = answers(wire, (size_t)r);
		got++;
	}
	return got;
}

static void wait_until(int fd, uint64_t when)
{
	struct pollfd polled = { .fd = fd, .events = POLLIN };
	uint64_t now = now_ns(), left = when > now ? when - now : 0;
	struct timespec timeout = { (time_t)(left / 1000000000u), (long)(left % 1000000000u) };

	if (ppoll(&polled, 1, &timeout, NULL) < 0 && errno != EINTR)
		err(1, "ppoll");
}

static void usage(void)
{
	fputs("usage: pinger [-c COUNT] [-i MICROSECONDS] [-w MILLISECONDS] [-o FILE] ADDRESS PORT "
	      "NAME\n"
	      "Asks COUNT times (65536, or until SIGTERM), every so many microseconds (1000), "
	      "waits so\n"
	      "long for the last answers (2000). Prints how many were sent, lost and not good. "
	      "FILE: a\n"
	      "line a question, in microseconds: due (CLOCK_MONOTONIC), sent late by, wait or "
	      "\"-\".\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	uint64_t count = COUNT_MAX, interval = 1000, patience = 2000, start;
	unsigned sent = 0, got = 0, bad = 0;
	struct sched_param priority = { .sched_priority = 50 };
	struct sockaddr_in server;
	const char *path = NULL;
	uint8_t wire[QUESTION_MAX];
	size_t size;
	int option, fd;

	while ((option = getopt(argc, argv, "c:i:w:o:")) != -1) {
		switch (option) {
		case 'c':
			count = number(optarg, "-c");
			break;
		case 'i':
			interval = number(optarg, "-i");
			break;
		case 'w':
			patience = number(optarg, "-w");
			break;
		case 'o':
			path = optarg;
			break;
		default:
			usage();
		}
	}
	if (argc - optind != 3 || count == 0 || count > COUNT_MAX)
		usage();
	server = address(argv[optind], argv[optind + 1]);
	size = question(wire, argv[optind + 2]);
	fd = asker(&server, argv[optind]);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	sched_setscheduler(0, SCHED_FIFO, &priority); /* a wish: needs root */
	mlockall(MCL_CURRENT | MCL_FUTURE);	      /* another one */

	start = now_ns();
	while (sent < count && !stop) {
		uint64_t due = start + sent * interval * 1000;

		if (now_ns() < due) {
			wait_until(fd, due);
		} else {
			beats[sent].due = due;
			send_one(fd, wire, size, sent);
			sent++;
		}
		got += receive(fd, sent);
	}
	for (uint64_t end = now_ns() + patience * 1000000; got < sent && now_ns() < end;) {
		wait_until(fd, end);
		got += receive(fd, sent);
	}

	if (path) {
		FILE *file = fopen(path, "w");

		if (!file)
			err(1, "%s", path);
		for (unsigned i = 0; i < sent; i++) {
			const struct beat *b = &beats[i];

			fprintf(file, "%llu %llu ", (unsigned long long)b->due / 1000,
				(unsigned long long)(b->sent - b->due) / 1000);
			if (b->answered)
				fprintf(file, "%llu\n",
					(unsigned long long)(b->answered - b->due) / 1000);
			else
				fputs("-\n", file);
		}
		if (fclose(file) != 0)
			err(1, "%s", path);
	}
	for (unsigned i = 0; i < sent; i++)
		bad += beats[i].answered && !beats[i].good;
	printf("%u %u %u\n", sent, sent - got, bad);
	return 0;
}
