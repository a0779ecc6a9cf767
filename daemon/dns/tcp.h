/* The TCP side of listen.h: DNS over TCP, RFC 7766. */
#ifndef JITSU_DNS_TCP_H
#define JITSU_DNS_TCP_H

#include "dns/listen.h"

#define TCP_CONNECTIONS_MAX 512 /* unless tcp_limit says otherwise */
#define TCP_IDLE_USEC	    (10 * USEC_PER_SEC)
#define TCP_OUTSTANDING_MAX 256		  /* then a connection is not read until answers went out */
#define TCP_QUEUED_HIGH	    (64u * 1024)  /* … until its client has read some */
#define TCP_QUEUED_MAX	    (256u * 1024) /* then it is closed */
#define TCP_HELD_MAX                                                                               \
	(32u * 1024 * 1024) /* in all buffers: then the longest idle that has some goes */

struct acl;
struct tcp;

struct tcp *tcp_new(struct loop *loop, const int *fds, size_t count, listen_fn *fn, void *arg);
/* connections: at once; per_network: of them, of one client network but those in exempt (0: no
 * bound). Beyond either the longest idle is closed to make room, or the new one if none is idle.
 * Before tcp_start; exempt is kept by reference. */
void tcp_limit(struct tcp *tcp, uint32_t connections, uint32_t per_network,
	       const struct acl *exempt);
/* fn is called between connections, some time after it was called last: so that what comes by
 * another way meanwhile need not wait until each of very many has had its turn. Before tcp_start. */
void tcp_yield(struct tcp *tcp, void (*fn)(void *arg), void *arg);
void tcp_start(struct tcp *tcp);
void tcp_free(struct tcp *tcp);
/* size 0: there is no answer. */
void tcp_reply(struct tcp *tcp, const struct client *client, const uint8_t *packet, size_t size);

#endif
