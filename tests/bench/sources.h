/* A range of source addresses that a program pretends to have: they are local by a route such as
 * `ip route add local 10.0.0.0/8 dev lo`. */
#ifndef JITSU_BENCH_SOURCES_H
#define JITSU_BENCH_SOURCES_H

#include <signal.h>
#include <stdio.h>

#include "common.h"

struct sources {
	uint32_t first, count, stride; /* first: host order */
};

/* FIRST/COUNT/STRIDE: 10.1.0.0/60000/256 is 60,000 networks. */
static inline struct sources sources_read(const char *text)
{
	struct sources sources = { 0 };
	struct in_addr first;
	char address[INET_ADDRSTRLEN];

	if (sscanf(text, "%15[^/]/%u/%u", address, &sources.count, &sources.stride) != 3 ||
	    inet_pton(AF_INET, address, &first) != 1 || sources.count == 0)
		errx(2, "expected FIRST/COUNT/STRIDE, not '%s'", text);
	sources.first = ntohl(first.s_addr);
	return sources;
}

static inline struct in_addr sources_nth(const struct sources *sources, uint64_t n)
{
	uint32_t place = (uint32_t)(n % sources->count);

	return (struct in_addr){ htonl(sources->first + place * sources->stride) };
}

static volatile sig_atomic_t told_to_end;

static inline void on_sigterm(int signal)
{
	(void)signal;
	told_to_end = 1;
}

static inline void end_on_sigterm(void)
{
	signal(SIGTERM, on_sigterm);
}

#endif
