/* The UDP side of listen.h. */
#ifndef JITSU_DNS_UDP_H
#define JITSU_DNS_UDP_H

#include "dns/listen.h"

struct hot;
struct udp;

/* fds: a set of sockets for each thread, the loop's thread first. hot: has the first look at every
 * packet, fn gets what it leaves; NULL (then threads is 1): fn gets all. */
struct udp *udp_new(struct loop *loop, const int *fds, size_t count, size_t threads,
		    struct hot *hot, listen_fn *fn, void *arg);
void udp_start(struct udp *udp);
/* What has come by now has its turn, out of turn. Not from within fn. */
void udp_poll(struct udp *udp);
void udp_free(struct udp *udp);
/* An answer given while packets are handed out leaves with the others of its batch. */
void udp_reply(struct udp *udp, const struct client *client, const uint8_t *packet, size_t size);

#endif
