/*
 * A dns room on a fake clock, with an engine that only records what it is told, and clients over
 * loopback. Packets are made and read by hand here: a second opinion on those of wire.c.
 */
#ifndef JITSU_TEST_DNS_H
#define JITSU_TEST_DNS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/link.h"
#include "base/log.h"
#include "base/loop.h"
#include "dns/dns.h"
#include "dns/wire.h"
#include "proto/message.h"
#include "proto/usage.h"

#define MSEC	 USEC_PER_MSEC
#define PATIENCE 2000 /* real ms for a packet to cross loopback on a busy machine */

struct world {
	struct loop *loop;
	struct dns *dns;
	struct link *engine;
	struct usage *usage;
	struct acl allowed;
	struct sockaddr_in udp, any, tcp; /* any: UDP on all addresses */
	char log[65536];		  /* what the engine heard */
};

struct packet {
	uint8_t data[65535];
	size_t size;
};

static inline void heard(struct world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static inline void heard(struct world *w, const char *fmt, ...)
{
	size_t used = strlen(w->log);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->log + used, sizeof w->log - used, fmt, ap);
	va_end(ap);
}

static inline void on_want(void *arg, const struct msg_want *m)
{
	heard(arg, "want %u;", m->id);
}

static inline void on_retired(void *arg, const struct msg_retired *m)
{
	heard(arg, "retired %u;", m->id);
}

static inline void on_answered(void *arg, const struct msg_answered *m)
{
	heard(arg, "answered %u %u%s;", m->id, m->waiters, m->late ? " late" : "");
}

static inline void on_engine_message(void *arg, const uint8_t *data, size_t size, int fd)
{
	static const struct message_handlers handlers = { .want = on_want,
							  .retired = on_retired,
							  .answered = on_answered };
	struct error err;

	assert_int_equal(fd, -1);
	assert_int_equal(message_dispatch(data, size, &handlers, arg, &err), 0);
}

static inline void on_engine_closed(void *arg)
{
	heard(arg, "closed;");
}

static inline void settle(struct world *w)
{
	loop_settle(w->loop);
}

static inline void advance(struct world *w, uint64_t usec)
{
	loop_advance(w->loop, usec);
}

/* The engine has heard exactly this since the last time. */
static inline void expect_heard(struct world *w, const char *text)
{
	settle(w);
	for (int i = 0; i < PATIENCE && strcmp(w->log, text) != 0; i++) {
		poll(NULL, 0, 1);
		settle(w);
	}
	assert_string_equal(w->log, text);
	w->log[0] = '\0';
}

static inline int bound_to(int type, in_addr_t host, struct sockaddr_in *address)
{
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof *address;

	*address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(host) };
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 128), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)address, &size), 0);
	return fd;
}

static inline int bound(int type, struct sockaddr_in *address)
{
	return bound_to(type, INADDR_LOOPBACK, address);
}

static inline int caller(int type, const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), room = 1 << 20;

	assert_true(fd >= 0);
	if (type == SOCK_DGRAM)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	assert_int_equal(connect(fd, (const struct sockaddr *)address, sizeof *address), 0);
	return fd;
}

/* Another client: UDP from 127.0.0.2. */
static inline int other_caller(const struct sockaddr_in *address)
{
	struct sockaddr_in own = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	own.sin_addr.s_addr = inet_addr("127.0.0.2");
	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)address, sizeof *address), 0);
	return fd;
}

static inline void connect_engine(struct world *w)
{
	static const struct link_callbacks callbacks = { on_engine_message, on_engine_closed };
	int fds[2];

	link_free(w->engine);
	assert_int_equal(link_pair(fds), 0);
	w->engine = link_new(w->loop, fds[0], &callbacks, w);
	assert_non_null(w->engine);
	dns_connect_engine(w->dns, fds[1]);
}

/* upstreams: NULL for none; settings: NULL for all zero; long_way: without hot.c. */
static inline struct world *world_new_full(const struct sockaddr_in *upstreams, size_t count,
					   const struct dns_settings *settings, bool long_way)
{
	struct dns_config config = { .udp_count = 2,
				     .tcp_count = 1,
				     .forwarder_count = count,
				     .settings = settings,
				     .long_way = long_way };
	struct world *w = calloc(1, sizeof *w);
	int fd = usage_create();
	struct error err;

	assert_non_null(w);
	log_open("test", LOG_LEVEL_ERROR);
	w->loop = loop_new(LOOP_CLOCK_FAKE);
	assert_non_null(w->loop);
	assert_true(fd >= 0);
	w->usage = usage_map(fd);
	close(fd);
	config.usage = w->usage;
	config.udp_fds[0] = bound(SOCK_DGRAM, &w->udp);
	config.udp_fds[1] = bound_to(SOCK_DGRAM, INADDR_ANY, &w->any);
	config.tcp_fds[0] = bound(SOCK_STREAM, &w->tcp);
	for (size_t i = 0; i < count; i++)
		memcpy(&config.forwarders[i], &upstreams[i], sizeof upstreams[i]);
	assert_int_equal(acl_read(&w->allowed, (const char *const[]){ "any" }, 1, "test", &err), 0);
	config.allow_recursion = w->allowed;
	w->dns = dns_new(w->loop, &config, &err);
	assert_non_null(w->dns);
	connect_engine(w);
	return w;
}

static inline struct world *world_new(const struct sockaddr_in *upstreams, size_t count)
{
	return world_new_full(upstreams, count, NULL, false);
}

static inline struct world *world_new_with(const struct sockaddr_in *upstreams, size_t count,
					   const struct dns_settings *settings)
{
	return world_new_full(upstreams, count, settings, false);
}

static inline struct world *world_new_way(const struct sockaddr_in *upstreams, size_t count,
					  bool long_way)
{
	return world_new_full(upstreams, count, NULL, long_way);
}

static inline void world_free(struct world *w)
{
	dns_free(w->dns);
	link_free(w->engine);
	acl_free(&w->allowed);
	loop_free(w->loop);
	munmap(w->usage, USAGE_BYTES);
	free(w);
}

/* "www.example.org" as a wire-format name; its size. */
static inline size_t wire_name(uint8_t *out, const char *text)
{
	uint8_t *p = out;

	while (*text) {
		size_t label = strcspn(text, ".");

		*p++ = (uint8_t)label;
		memcpy(p, text, label);
		p += label;
		text += label + (text[label] == '.');
	}
	*p++ = 0;
	return (size_t)(p - out);
}

struct service {
	uint32_t id;
	bool ready;
	const char *names, *addresses; /* separated by spaces */
	uint32_t ttl, wait_limit;      /* 0: 60 s, 700 ms */
	uint8_t flags;
};

static inline void tell_service(struct world *w, struct service s)
{
	uint8_t names[2048], addresses[2048], *n = names, *a = addresses;
	char text[1024], *word, *rest;

	snprintf(text, sizeof text, "%s", s.names);
	for (word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		n += wire_name(n, word);
	snprintf(text, sizeof text, "%s", s.addresses);
	for (word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		bool six = strchr(word, ':');

		*a++ = six ? 6 : 4;
		assert_int_equal(inet_pton(six ? AF_INET6 : AF_INET, word, a), 1);
		a += six ? 16 : 4;
	}
	message_send_service(w->engine,
			     &(struct msg_service){
				     .id = s.id,
				     .ttl = s.ttl ? s.ttl : 60,
				     .wait_limit = s.wait_limit ? s.wait_limit : 700,
				     .ready = s.ready,
				     .flags = s.flags,
				     .names = { names, (uint32_t)(n - names) },
				     .addresses = { addresses, (uint32_t)(a - addresses) },
			     });
	settle(w);
}

#define tell(w, name, ...)                                                                         \
	do {                                                                                       \
		message_send_##name((w)->engine, &(struct msg_##name){ __VA_ARGS__ });             \
		settle(w);                                                                         \
	} while (0)

static inline void tell_table(struct world *w, const struct service *services, size_t count)
{
	tell(w, table_begin, (uint32_t)count);
	for (size_t i = 0; i < count; i++)
		tell_service(w, services[i]);
	tell(w, table_end, 0);
}

enum { EDNS = 1, NO_RD = 2, EDNS_V1 = 4, WITH_DO = 8 };

static inline struct packet make_query(uint16_t id, const char *name, uint16_t type, int flags)
{
	struct packet p = { .size = 12 };
	uint8_t *d = p.data;

	d[0] = (uint8_t)(id >> 8);
	d[1] = (uint8_t)id;
	d[2] = flags & NO_RD ? 0 : 1;
	d[5] = 1;
	p.size += wire_name(d + p.size, name);
	d[p.size++] = (uint8_t)(type >> 8);
	d[p.size++] = (uint8_t)type;
	d[p.size++] = 0;
	d[p.size++] = 1;
	if (flags & (EDNS | EDNS_V1)) {
		uint8_t opt[] = { 0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0 };

		opt[6] = flags & EDNS_V1 ? 1 : 0;
		opt[7] = flags & WITH_DO ? 0x80 : 0;
		memcpy(d + p.size, opt, sizeof opt);
		p.size += sizeof opt;
		d[11] = 1;
	}
	return p;
}

static inline void send_packet(int fd, const struct packet *p)
{
	assert_int_equal(send(fd, p->data, p->size, MSG_NOSIGNAL), (ssize_t)p->size);
}

static inline void ask(int fd, uint16_t id, const char *name, uint16_t type, int flags)
{
	struct packet p = make_query(id, name, type, flags);

	send_packet(fd, &p);
}

/* Whether a packet came; waits for it if it is expected. */
static inline bool get_packet(struct world *w, int fd, struct packet *p, int patience)
{
	for (int i = 0; i <= patience; i++) {
		ssize_t r;

		settle(w);
		r = recv(fd, p->data, sizeof p->data, MSG_DONTWAIT);
		if (r >= 0) {
			p->size = (size_t)r;
			return true;
		}
		if (i < patience)
			poll(NULL, 0, 1);
	}
	return false;
}

static inline size_t skip_name(const struct packet *p, size_t at)
{
	for (;;) {
		assert_true(at < p->size);
		if (p->data[at] >= 0xc0)
			return at + 2;
		if (p->data[at] == 0)
			return at + 1;
		at += p->data[at] + 1u;
	}
}

/* The name there as text. */
static inline void read_name(const struct packet *p, size_t at, char *out)
{
	char *start = out;
	unsigned hops = 0;

	while (p->data[at]) {
		if (p->data[at] >= 0xc0) {
			assert_true(++hops < 100);
			at = (size_t)((p->data[at] & 0x3f) << 8 | p->data[at + 1]);
			continue;
		}
		if (out != start)
			*out++ = '.';
		memcpy(out, p->data + at + 1, p->data[at]);
		out += p->data[at];
		at += p->data[at] + 1u;
		assert_true(at < p->size && out - start < 900);
	}
	*out = '\0';
}

static inline size_t describe_options(const uint8_t *d, unsigned size, char *text, size_t room)
{
	size_t used = 0;

	while (size >= 4) {
		unsigned code = (unsigned)(d[0] << 8 | d[1]), length = (unsigned)(d[2] << 8 | d[3]);

		assert_true(size >= 4 + length);
		if (code == 15)
			used += (size_t)snprintf(text + used, room - used, " ede %u %.*s",
						 d[4] << 8 | d[5], (int)length - 2,
						 (const char *)d + 6);
		else if (code == 3)
			used += (size_t)snprintf(text + used, room - used, " nsid %.*s",
						 (int)length, (const char *)d + 4);
		else if (code == 10)
			used += (size_t)snprintf(text + used, room - used, " cookie %u", length);
		else if (code == 11)
			used += (size_t)snprintf(text + used, room - used, " keepalive %u",
						 d[4] << 8 | d[5]);
		else
			used += (size_t)snprintf(text + used, room - used, " option %u", code);
		d += 4 + length;
		size -= 4 + length;
	}
	assert_int_equal(size, 0);
	return used;
}

/* A response as a line: "0 aa ra; A 10.0.0.1 60; SOA 60; OPT 1232 do ede 20 text; tc" … */
static inline const char *describe(const struct packet *p)
{
	static char text[8192];
	const uint8_t *d = p->data;
	size_t at = 12, used;
	unsigned counts[4];

#define SAY(...) used += (size_t)snprintf(text + used, sizeof text - used, __VA_ARGS__)
	used = 0;
	assert_true(p->size >= 12);
	SAY("%u%s%s%s%s", d[3] & 15, d[2] & 0x80 ? "" : " QUERY", d[2] & 4 ? " aa" : "",
	    d[2] & 2 ? " tc" : "", d[3] & 0x80 ? " ra" : "");
	for (int i = 0; i < 4; i++)
		counts[i] = (unsigned)(d[4 + 2 * i] << 8 | d[5 + 2 * i]);
	for (unsigned i = 0; i < counts[0]; i++)
		at = skip_name(p, at) + 4;
	for (unsigned i = 0; i < counts[1] + counts[2] + counts[3]; i++) {
		unsigned type, class, size;
		uint32_t ttl;
		char address[INET6_ADDRSTRLEN], name[1024];

		at = skip_name(p, at);
		assert_true(at + 10 <= p->size);
		type = (unsigned)(d[at] << 8 | d[at + 1]);
		class = (unsigned)(d[at + 2] << 8 | d[at + 3]);
		memcpy(&ttl, d + at + 4, 4);
		ttl = ntohl(ttl);
		size = (unsigned)(d[at + 8] << 8 | d[at + 9]);
		at += 10;
		assert_true(at + size <= p->size);
		if (type == 1 || type == 28) {
			inet_ntop(type == 1 ? AF_INET : AF_INET6, d + at, address, sizeof address);
			SAY("; %s %u", address, ttl);
		} else if (type == 6) {
			SAY("; SOA %u", ttl);
		} else if (type == 41) {
			SAY("; OPT %u", class);
			if (ttl >> 24)
				SAY(" rcode+%u", ttl >> 24 << 4);
			if (ttl & 0x8000)
				SAY(" do");
			used += describe_options(d + at, size, text + used, sizeof text - used);
		} else if (type == 2 || type == 12) {
			read_name(p, at, name);
			SAY("; %s %s %u", type == 2 ? "NS" : "PTR", name, ttl);
		} else {
			SAY("; TYPE%u", type);
		}
		at += size;
	}
	assert_int_equal(at, p->size);
	return text;
#undef SAY
}

static inline void expect_answer(struct world *w, int fd, uint16_t id, const char *text)
{
	static struct packet p;

	if (!get_packet(w, fd, &p, PATIENCE))
		fail_msg("no answer, expected: %s", text);
	assert_int_equal(p.data[0] << 8 | p.data[1], id);
	assert_string_equal(describe(&p), text);
}

static inline void expect_nothing(struct world *w, int fd)
{
	static struct packet p;

	if (get_packet(w, fd, &p, 2))
		fail_msg("unexpected answer: %s", describe(&p));
}

#endif
