/*
 * Asks as fast as the server answers, a fixed number of questions in flight, and says what each
 * answer cost the server's processes.
 */
#include "common.h"

#include <glob.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define BATCH	   64
#define WINDOW_MAX 4096
#define RETRY_NS   400000000u

struct names {
	uint8_t *wire; /* one after the other */
	uint32_t *at;  /* count + 1 */
	size_t count;
	bool *answered;
};

struct slot {
	size_t name;
	uint64_t sent;
};

static struct slot slots[WINDOW_MAX];
static uint16_t due[WINDOW_MAX]; /* slots to be asked (again) */
static size_t due_count;
static uint64_t asked;
static bool any_order;

static struct names read_names(const char *path)
{
	struct names names = { 0 };
	size_t used = 0, room = 0, places = 0;
	char line[512];
	FILE *file = fopen(path, "r");

	if (!file)
		err(1, "%s", path);
	while (fgets(line, sizeof line, file)) {
		line[strcspn(line, "\n")] = '\0';
		if (used + QUESTION_MAX > room)
			names.wire = realloc(names.wire, room = 2 * room + QUESTION_MAX);
		if (names.count + 2 > places)
			names.at = realloc(names.at, (places = 2 * places + 2) * sizeof *names.at);
		if (!names.wire || !names.at)
			err(1, "memory");
		names.at[names.count++] = (uint32_t)used;
		used += question(names.wire + used, line);
		names.at[names.count] = (uint32_t)used;
	}
	fclose(file);
	if (names.count == 0)
		errx(1, "%s: no names", path);
	names.answered = calloc(names.count, sizeof *names.answered);
	return names;
}

/* The next in turn, or any. */
static size_t pick(const struct names *names)
{
	static uint64_t turn;

	return (any_order ? any_number() : turn++) % names->count;
}

/* µs of processor time, user and system, that those processes took so far, with all threads. */
static double processor_time(char **pids)
{
	double sum = 0;

	for (; *pids; pids++) {
		char pattern[64], stat[64];
		glob_t tasks;

		snprintf(pattern, sizeof pattern, "/proc/%s/task/*/schedstat", *pids);
		if (glob(pattern, 0, NULL, &tasks) != 0)
			errx(1, "no process %s", *pids);
		for (size_t i = 0; i < tasks.gl_pathc; i++) {
			FILE *file = fopen(tasks.gl_pathv[i], "r");

			if (file && fgets(stat, sizeof stat, file))
				sum += strtod(stat, NULL) / 1000;
			if (file)
				fclose(file);
		}
		globfree(&tasks);
	}
	return sum;
}

/* Asks for the due slots, each for its own name; for `most` of them. Questions of one size leave
 * as one datagram that the kernel cuts (UDP_SEGMENT): so the client is not what saturates. */
static void send_due(int fd, const struct names *names, size_t most)
{
	static uint8_t wire[BATCH * QUESTION_MAX];
	size_t done = 0, count = due_count < most ? due_count : most;

	while (done < count) {
		union {
			char bytes[CMSG_SPACE(sizeof(uint16_t))];
			struct cmsghdr header;
		} control = { .header = { .cmsg_level = SOL_UDP,
					  .cmsg_type = UDP_SEGMENT,
					  .cmsg_len = CMSG_LEN(sizeof(uint16_t)) } };
		struct iovec part = { .iov_base = wire };
		struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
		uint64_t now = now_ns();
		uint16_t size = 0;
		unsigned n = 0;

		for (; n < BATCH && done + n < count; n++) {
			uint16_t id = due[done + n];
			struct slot *slot = &slots[id];
			size_t this = names->at[slot->name + 1] - names->at[slot->name];
			uint8_t *to = wire + part.iov_len;

			if (n == 0)
				size = (uint16_t)this;
			if (this != size)
				break;
			memcpy(to, names->wire + names->at[slot->name], size);
			to[0] = (uint8_t)(id >> 8);
			to[1] = (uint8_t)id;
			part.iov_len += size;
			slot->sent = now;
		}
		if (n > 1) {
			memcpy(CMSG_DATA(&control.header), &size, sizeof size);
			message.msg_control = control.bytes;
			message.msg_controllen = sizeof control.bytes;
		}
		if (sendmsg(fd, &message, 0) < 0)
			err(1, "sendmsg");
		done += n;
	}
	memmove(due, due + count, (due_count - count) * sizeof *due);
	due_count -= count;
	asked += count;
}

static void usage(void)
{
	fputs("usage: flood [-a] [-e] [-q RATE] [-r] [-s SECONDS] [-w WINDOW] ADDRESS PORT FILE "
	      "[PID]...\n"
	      "Asks for the names of FILE in turn. -r: in any order. -a: until each was answered "
	      "once,\n"
	      "then ends. -e: an echo is an answer. -q: at most so many a second. Prints answers,\n"
	      "seconds, lost, not good, and the microseconds of processor time that the processes "
	      "took\n"
	      "for an answer.\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	static struct mmsghdr messages[BATCH];
	static struct iovec parts[BATCH];
	static uint8_t wire[BATCH][2048];
	uint64_t seconds = 3, rate = 0, window = 128, began, now, swept;
	size_t good = 0, bad = 0, lost = 0, left;
	bool all = false, echo = false;
	int option, fd, buffer = 4 * 1024 * 1024;
	struct sockaddr_in server;
	struct names names;
	double before, took;

	while ((option = getopt(argc, argv, "aeq:rs:w:")) != -1) {
		switch (option) {
		case 'a':
			all = true;
			break;
		case 'e':
			echo = true;
			break;
		case 'q':
			rate = number(optarg, "-q");
			break;
		case 'r':
			any_order = true;
			break;
		case 's':
			seconds = number(optarg, "-s");
			break;
		case 'w':
			window = number(optarg, "-w");
			break;
		default:
			usage();
		}
	}
	if (argc - optind < 3 || window == 0 || window > WINDOW_MAX)
		usage();
	server = address(argv[optind], argv[optind + 1]);
	names = read_names(argv[optind + 2]);
	left = names.count;
	fd = asker(&server, argv[optind]);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){ wire[i], sizeof wire[i] };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
	}

	before = processor_time(argv + optind + 3);
	began = swept = now = now_ns();
	for (uint16_t i = 0; i < window; i++) {
		slots[i].name = pick(&names);
		due[due_count++] = i;
	}
	while (now < began + seconds * 1000000000u && !(all && left == 0)) {
		struct pollfd polled = { .fd = fd, .events = POLLIN };
		int r;

		if (rate == 0)
			send_due(fd, &names, SIZE_MAX);
		else if ((now - began) * rate / 1000000000u > asked)
			send_due(fd, &names, (now - began) * rate / 1000000000u - asked);
		poll(&polled, 1, rate ? 1 : 100);
		r = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
		now = now_ns();
		for (int i = 0; i < r; i++) {
			uint16_t id = (uint16_t)(wire[i][0] << 8 | wire[i][1]);
			struct slot *slot = &slots[id % WINDOW_MAX];

			/* A late second answer to a question that was repeated must not start
			 * another. */
			if (id >= window || slot->sent == 0)
				continue;
			if (echo || answers(wire[i], messages[i].msg_len)) {
				good++;
				left -= !names.answered[slot->name];
				names.answered[slot->name] = true;
			} else {
				bad++;
			}
			slot->sent = 0;
			slot->name = pick(&names);
			due[due_count++] = id;
		}
		if (now - swept < RETRY_NS / 10)
			continue;
		swept = now;
		for (uint16_t i = 0; i < window; i++) {
			if (slots[i].sent == 0 || now - slots[i].sent < RETRY_NS)
				continue;
			slots[i].sent = 0;
			due[due_count++] = i;
			lost++;
		}
	}
	took = processor_time(argv + optind + 3) - before;
	if (all && left > 0)
		errx(1, "%zu of %zu names were not answered in %llu s", left, names.count,
		     (unsigned long long)seconds);
	if (good == 0)
		errx(1, "no answer in %llu s", (unsigned long long)seconds);
	printf("%zu %.3f %zu %zu %.3f\n", good, (double)(now - began) / 1e9, lost, bad,
	       took / (double)good);
	return 0;
}
