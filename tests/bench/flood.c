/*
 * Asks as fast as the server answers, a fixed number of questions in flight, and says what each
 * answer cost the server's processes.
 */
#include "common.h"

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define BATCH 64
#define WINDOW_MAX 4096
#define RETRY_NS 1000000000u

struct names {
	uint8_t (*wire)[QUESTION_MAX];
	size_t *size, count;
	bool *answered;
};

struct slot {
	size_t name;
	uint64_t sent;
};

static struct slot slots[WINDOW_MAX];
static uint16_t due[WINDOW_MAX]; /* slots to be asked (again) */
static size_t due_count;

static struct names read_names(const char *path)
{
	struct names names = { 0 };
	char line[512];
	FILE *file = fopen(path, "r");

	if (!file)
		err(1, "%s", path);
	while (fgets(line, sizeof line, file)) {
		size_t n = names.count++;

		line[strcspn(line, "\n")] = '\0';
		if ((n & (n - 1)) == 0) { /* full at each power of two */
			size_t room = n ? 2 * n : 1;

			names.wire = realloc(names.wire, room * sizeof *names.wire);
			names.size = realloc(names.size, room * sizeof *names.size);
			if (!names.wire || !names.size)
				err(1, "memory");
		}
		names.size[n] = question(names.wire[n], line);
	}
	fclose(file);
	if (names.count == 0)
		errx(1, "%s: no names", path);
	names.answered = calloc(names.count, sizeof *names.answered);
	return names;
}

/* µs of processor time, user and system, that those processes took so far. */
static double processor_time(char **pids)
{
	double ticks = 0;

	for (; *pids; pids++) {
		unsigned long user, system;
		char path[64], stat[1024], *after;
		FILE *file;
		size_t r;

		snprintf(path, sizeof path, "/proc/%s/stat", *pids);
		file = fopen(path, "r");
		if (!file)
			err(1, "%s", path);
		r = fread(stat, 1, sizeof stat - 1, file);
		stat[r] = '\0';
		fclose(file);
		after = strrchr(stat, ')'); /* proc(5): fields 14 and 15; the name is field 2 */
		if (!after || sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
				     &user, &system) != 2)
			errx(1, "%s: not understood", path);
		ticks += (double)(user + system);
	}
	return ticks * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

/* Asks for the due slots, each for its own name. */
static void send_due(int fd, const struct names *names)
{
	static struct mmsghdr messages[BATCH];
	static struct iovec parts[BATCH];
	static uint8_t wire[BATCH][QUESTION_MAX];
	size_t done = 0;

	while (done < due_count) {
		uint64_t now = now_ns();
		unsigned n = 0;
		int r;

		for (; n < BATCH && done + n < due_count; n++) {
			uint16_t id = due[done + n];
			struct slot *slot = &slots[id];
			size_t size = names->size[slot->name];

			memcpy(wire[n], names->wire[slot->name], size);
			wire[n][0] = (uint8_t)(id >> 8);
			wire[n][1] = (uint8_t)id;
			parts[n] = (struct iovec){ wire[n], size };
			messages[n].msg_hdr = (struct msghdr){ .msg_iov = &parts[n], .msg_iovlen = 1 };
			slot->sent = now;
		}
		r = sendmmsg(fd, messages, n, 0);
		if (r < 0)
			err(1, "sendmmsg");
		done += (size_t)r;
	}
	due_count = 0;
}

static void usage(void)
{
	fputs("usage: flood [-a] [-e] [-s SECONDS] [-w WINDOW] ADDRESS PORT FILE [PID]...\n"
	      "Asks for the names of FILE in turn. -a: until each was answered once, then ends. -e: an\n"
	      "echo is an answer. Prints answers, seconds, lost, not good, and the microseconds of\n"
	      "processor time that the processes took for an answer.\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	static struct mmsghdr messages[BATCH];
	static struct iovec parts[BATCH];
	static uint8_t wire[BATCH][2048];
	uint64_t seconds = 3, window = 128, began, now, swept;
	size_t next = 0, good = 0, bad = 0, lost = 0, left;
	bool all = false, echo = false;
	int option, fd, buffer = 4 * 1024 * 1024;
	struct sockaddr_in server;
	struct names names;
	double before, took;

	while ((option = getopt(argc, argv, "aes:w:")) != -1) {
		switch (option) {
		case 'a': all = true; break;
		case 'e': echo = true; break;
		case 's': seconds = number(optarg, "-s"); break;
		case 'w': window = number(optarg, "-w"); break;
		default: usage();
		}
	}
	if (argc - optind < 3 || window == 0 || window > WINDOW_MAX)
		usage();
	server = address(argv[optind], argv[optind + 1]);
	names = read_names(argv[optind + 2]);
	left = names.count;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
	if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server) < 0)
		err(1, "%s", argv[optind]);
	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){ wire[i], sizeof wire[i] };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
	}

	before = processor_time(argv + optind + 3);
	began = swept = now = now_ns();
	for (uint16_t i = 0; i < window; i++) {
		slots[i].name = next++ % names.count;
		due[due_count++] = i;
	}
	while (now < began + seconds * 1000000000u && !(all && left == 0)) {
		struct pollfd polled = { .fd = fd, .events = POLLIN };
		int r;

		send_due(fd, &names);
		poll(&polled, 1, 100);
		r = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
		now = now_ns();
		for (int i = 0; i < r; i++) {
			uint16_t id = (uint16_t)(wire[i][0] << 8 | wire[i][1]);
			struct slot *slot = &slots[id % WINDOW_MAX];

			/* A late second answer to a question that was repeated must not start another. */
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
			slot->name = next++ % names.count;
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
