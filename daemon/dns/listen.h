/*
 * Where queries come in and answers go out: whole packets, whether over UDP or TCP. udp.c and
 * tcp.c do the work.
 */
#ifndef JITSU_DNS_LISTEN_H
#define JITSU_DNS_LISTEN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct dns_config;
struct hot;
struct acl;
struct loop;
struct listener;

/* Who asked, and by which way the answer goes: a value, to be kept for as long as one likes. */
struct client {
	bool stream;
	uint8_t socket;			 /* UDP: index of ours */
	sa_family_t local_family;	 /* UDP: AF_UNSPEC if `local` is not needed */
	uint32_t connection, generation; /* TCP */
	uint32_t interface;
	union {
		struct in_addr v4;
		struct in6_addr v6;
	} local; /* UDP: the address that was asked, where the socket has them all */
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} peer;
	socklen_t peer_size;
};

bool client_is_stream(const struct client *client);
/* Address, port and way are the same. */
bool client_equal(const struct client *a, const struct client *b);
uint64_t client_hash(const struct client *client);

/* A packet came. It is to be answered by exactly one listen_reply or listen_skip, in the call or
 * later, in any order. packet is valid during the call. */
typedef void listen_fn(void *arg, const struct client *client, uint8_t *packet, size_t size,
		       uint64_t now);

/* Takes the sockets of config, on failure too; they are bound, the TCP ones listening. Nothing is
 * read before listen_start. hot (NULL: none) has the first look at what comes over UDP, fn gets
 * the rest. NULL if out of memory. */
struct listener *listen_new(struct loop *loop, const struct dns_config *config, struct hot *hot,
			    listen_fn *fn, void *arg);
/* See tcp_limit. */
void listen_limit(struct listener *listener, uint32_t connections, uint32_t per_network,
		  const struct acl *exempt);
/* fn is called now and then while very many TCP connections have their turn, which UDP's packets
 * need not wait for: nor need, so, what else must not. Before listen_start. */
void listen_between(struct listener *listener, void (*fn)(void *arg), void *arg);
void listen_start(struct listener *listener);
void listen_free(struct listener *listener);

/* Sends an answer; one that cannot be sent now over UDP, or whose connection is gone, is lost. */
void listen_reply(struct listener *listener, const struct client *client, const uint8_t *packet,
		  size_t size);
/* There will be no answer. */
void listen_skip(struct listener *listener, const struct client *client);

#endif
