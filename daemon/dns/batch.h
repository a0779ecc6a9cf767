/*
 * Packets in and out of one UDP socket, as many as there are with one system call each way: the
 * buffers of udp.c and of each worker, and what is done with them. One thread's.
 */
#ifndef JITSU_DNS_BATCH_H
#define JITSU_DNS_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "dns/hot.h"
#include "dns/listen.h"
#include "dns/wire.h"

#define BATCH_MAX  HOT_BATCH
#define BATCH_ROOM 4096 /* a longer query arrives cut, and is malformed then */
#define BATCH_STEP 4160 /* an odd number of cache lines: not all packets begin in the same set */

_Static_assert(BATCH_STEP >= HOT_ROOM && BATCH_ROOM <= HOT_ROOM - 8, "hot.c's room");

struct batch_socket {
	int fd;
	uint8_t number;	  /* for struct client */
	bool any_address; /* the answer's source has to be chosen */
};

struct batch_place {
	struct sockaddr_storage peer;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	struct iovec iov;
};

struct batch {
	unsigned count, replies;
	struct mmsghdr in[BATCH_MAX], out[BATCH_MAX];
	struct batch_place in_place[BATCH_MAX], out_place[BATCH_MAX];
	struct hot_packet packets[BATCH_MAX];
	uint8_t in_data[BATCH_MAX][BATCH_STEP], out_data[BATCH_MAX][WIRE_UDP_MAX];
};

/* Buffers, and what the room wants to know of each packet. */
void batch_set_up(struct batch_socket *socket, int fd, uint8_t number);

/* Receives what is there; count and packets are set then. Returns count. */
unsigned batch_receive(struct batch *batch, const struct batch_socket *socket);
/* Who sent packet i. False if it is nobody that can be answered. */
bool batch_client(struct batch *batch, const struct batch_socket *socket, unsigned i,
		  struct client *client);

/* What is to be sent: packet i's answer, which hot.c put in its place, … */
void batch_reply_in_place(struct batch *batch, const struct batch_socket *socket, unsigned i);
/* … or a copy of some other packet, of WIRE_UDP_MAX bytes at most. */
void batch_reply(struct batch *batch, const struct batch_socket *socket,
		 const struct client *client, const uint8_t *packet, size_t size);
/* Sends it. A packet that the kernel refuses is lost, as packets may be. */
void batch_send(struct batch *batch, const struct batch_socket *socket);

#endif
