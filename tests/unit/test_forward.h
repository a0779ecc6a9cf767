/* Queries that are not ours, with two upstreams that the test plays itself. */
#ifndef JITSU_TESTS_TEST_FORWARD_H
#define JITSU_TESTS_TEST_FORWARD_H

#include <ctype.h>

#include "dns/forward.h"

#include "tests/unit/test_dns.h"

static struct sockaddr_in addresses[2];
static int up[2], up_tcp[2], fd;

static inline struct world *start(size_t count)
{
	static const struct service services[] = {
		{ .id = 1, .ready = true, .names = "www.example.org", .addresses = "10.0.0.1" },
	};
	struct world *w;

	for (size_t i = 0; i < 2; i++) {
		/* TCP first: its port is free for UDP nearly always. */
		do {
			up_tcp[i] = bound(SOCK_STREAM, &addresses[i]);
			up[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		} while (bind(up[i], (struct sockaddr *)&addresses[i], sizeof addresses[i]) < 0);
	}
	w = world_new(addresses, count);
	tell_table(w, services, ARRAY_SIZE(services));
	fd = caller(SOCK_DGRAM, &w->udp);
	return w;
}

static inline void finish(struct world *w)
{
	for (size_t i = 0; i < 2; i++) {
		close(up[i]);
		close(up_tcp[i]);
	}
	close(fd);
	world_free(w);
}

/* The next query that an upstream gets; from is whom to answer. */
static inline bool get_query(struct world *w, int from_fd, struct packet *p,
			     struct sockaddr_in *from, int patience)
{
	for (int i = 0; i <= patience; i++) {
		socklen_t size = sizeof *from;
		ssize_t r;

		settle(w);
		r = recvfrom(from_fd, p->data, sizeof p->data, MSG_DONTWAIT,
			     (struct sockaddr *)from, &size);
		if (r >= 0) {
			p->size = (size_t)r;
			return true;
		}
		poll(NULL, 0, 1);
	}
	return false;
}

/* Turns a query into a response with one A record 192.0.2.1. */
static inline void make_response(struct packet *p)
{
	static const uint8_t record[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 192, 0, 2, 1 };

	p->data[2] |= 0x80;
	p->data[3] |= 0x80;
	p->data[7] = 1;
	p->data[11] = 0;
	p->size = skip_name(p, 12) + 4;
	memcpy(p->data + p->size, record, sizeof record);
	p->size += sizeof record;
}

static inline void respond(int from_fd, const struct packet *p, const struct sockaddr_in *to)
{
	assert_int_equal(
		sendto(from_fd, p->data, p->size, 0, (const struct sockaddr *)to, sizeof *to),
		(ssize_t)p->size);
}

/* The name's case is ours; this is the client's again. */
static inline void fold_question(struct packet *p)
{
	size_t end = skip_name(p, 12);

	for (size_t i = 12; i < end; i++)
		p->data[i] = (uint8_t)tolower(p->data[i]);
}

static inline void set_rcode(struct packet *p, unsigned rcode)
{
	p->data[2] |= 0x80;
	p->data[3] = (uint8_t)((p->data[3] & 0xf0) | rcode);
}

/* One that says so, keeping the OPT. */
static inline void respond_rcode(int from_fd, struct packet *p, const struct sockaddr_in *to,
				 unsigned rcode)
{
	set_rcode(p, rcode);
	respond(from_fd, p, to);
}

static inline void answer_query_of(struct world *w, size_t i, struct packet *p)
{
	struct sockaddr_in from;

	assert_true(get_query(w, up[i], p, &from, PATIENCE));
	make_response(p);
	respond(up[i], p, &from);
}

static inline void take_host(struct world *w, const struct sockaddr_in *upstreams, size_t count,
			     const char *allowed)
{
	struct sockaddr_storage list[2] = { 0 };
	struct acl acl = { 0 };
	struct error err;

	for (size_t i = 0; i < count; i++)
		memcpy(&list[i], &upstreams[i], sizeof upstreams[i]);
	assert_int_equal(acl_read(&acl, &allowed, 1, "test", &err), 0);
	assert_int_equal(
		dns_take_host(w->dns,
			      &(struct msg_host){
				      .upstreams = { (uint8_t *)list,
						     (uint32_t)(count * sizeof list[0]) },
				      .allowed_v4 = { (uint8_t *)acl.v4,
						      (uint32_t)(acl.v4_count * sizeof *acl.v4) },
				      .allowed_v6 = { (uint8_t *)acl.v6,
						      (uint32_t)(acl.v6_count * sizeof *acl.v6) } },
			      &err),
		0);
	acl_free(&acl);
}

#endif
