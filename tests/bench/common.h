/* What the benchmarks' programs share: the clock, giving up, a DNS question and who asks it. */
#ifndef JITSU_BENCH_COMMON_H
#define JITSU_BENCH_COMMON_H

#include <arpa/inet.h>
#include <err.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define DNS_HEADER   12
#define QUESTION_MAX (DNS_HEADER + 255 + 4)

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t number(const char *text, const char *what)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	if (end == text || *end)
		errx(2, "%s expects a number, not '%s'", what, text);
	return value;
}

static inline struct sockaddr_in address(const char *host, const char *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)number(port, "PORT")) };

	if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
		errx(2, "'%s' is no IPv4 address", host);
	return in;
}

/* A socket for questions to that server, which was named so. */
static inline int asker(const struct sockaddr_in *server, const char *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)server, sizeof *server) < 0)
		err(1, "%s", name);
	return fd;
}

/* The same ones in every run; below 2^53. */
static inline uint64_t any_number(void)
{
	static uint64_t state = UINT64_C(88172645463325252);

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state >> 11;
}

/* A question for type A (RFC 1035, section 4) with id 0. Returns its size. */
static inline size_t question(uint8_t wire[QUESTION_MAX], const char *name)
{
	size_t used = DNS_HEADER;

	memset(wire, 0, DNS_HEADER);
	wire[2] = 1; /* recursion desired */
	wire[5] = 1; /* one question */
	while (*name && *name != '.') {
		size_t label = strcspn(name, ".");

		if (label > 63 || used + label + 2 > DNS_HEADER + 255)
			errx(2, "a name is too long");
		wire[used++] = (uint8_t)label;
		memcpy(wire + used, name, label);
		used += label;
		name += label;
		if (*name == '.')
			name++;
	}
	memcpy(wire + used, "\0\0\1\0\1", 5);
	return used + 5;
}

/* A reply without an error and with an answer in it. */
static inline int answers(const uint8_t *wire, size_t size)
{
	return size > DNS_HEADER && (wire[2] & 0x80) && (wire[3] & 15) == 0 && (wire[6] | wire[7]);
}

#endif
