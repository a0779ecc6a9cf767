#include "dns/udp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "dns/dns.h"
#include "dns/hot.h"
#include "dns/wire.h"

#define BATCH HOT_BATCH /* packets a system call */
#define BATCHES_PER_TURN 16 /* then the other descriptors have their turn */
#define PACKET_ROOM 4096    /* a longer query arrives cut, and is malformed then */
#define PACKET_STEP 4160    /* an odd number of cache lines: not all packets begin in the same set */
#define SOCKET_BUFFER (4 * 1024 * 1024)

_Static_assert(PACKET_STEP >= HOT_ROOM && PACKET_ROOM <= HOT_ROOM - 8, "hot.c's room");

struct place {
	struct sockaddr_storage peer;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	struct iovec iov;
};

struct socket {
	struct udp *udp;
	int fd;
	struct watch *watch;
	bool any_address; /* the answer's source has to be chosen */
};

struct udp {
	struct loop *loop;
	struct hot *hot;
	listen_fn *fn;
	void *arg;
	struct socket sockets[DNS_ENDPOINTS_MAX];
	size_t count;
	struct socket *batching; /* its packets are being handed out */
	unsigned replies;
	struct mmsghdr in[BATCH], out[BATCH];
	struct place in_place[BATCH], out_place[BATCH];
	struct hot_packet packets[BATCH];
	uint8_t in_data[BATCH][PACKET_STEP], out_data[BATCH][WIRE_UDP_MAX];
};

static void on_packets(void *arg, unsigned events);

static void set_up(struct socket *socket)
{
	struct sockaddr_storage own;
	socklen_t size = sizeof own;
	int on = 1, buffer = SOCKET_BUFFER;

	setsockopt(socket->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
	setsockopt(socket->fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
	if (getsockname(socket->fd, (struct sockaddr *)&own, &size) < 0)
		return;
	if (own.ss_family == AF_INET &&
	    ((struct sockaddr_in *)&own)->sin_addr.s_addr == htonl(INADDR_ANY)) {
		socket->any_address = true;
		setsockopt(socket->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
	} else if (own.ss_family == AF_INET6 &&
		   IN6_IS_ADDR_UNSPECIFIED(&((struct sockaddr_in6 *)&own)->sin6_addr)) {
		socket->any_address = true;
		setsockopt(socket->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
	}
}

struct udp *udp_new(struct loop *loop, const int *fds, size_t count, struct hot *hot, listen_fn *fn,
		    void *arg)
{
	struct udp *udp = calloc(1, sizeof *udp);

	if (!udp) {
		for (size_t i = 0; i < count; i++)
			close(fds[i]);
		return NULL;
	}
	udp->loop = loop;
	udp->hot = hot;
	udp->fn = fn;
	udp->arg = arg;
	udp->count = count;
	for (size_t i = 0; i < count; i++) {
		udp->sockets[i] = (struct socket){ .udp = udp, .fd = fds[i] };
		set_up(&udp->sockets[i]);
	}
	for (size_t i = 0; i < count; i++) {
		struct socket *socket = &udp->sockets[i];

		socket->watch = watch_new(loop, socket->fd, 0, on_packets, socket);
		if (!socket->watch) {
			udp_free(udp);
			return NULL;
		}
	}
	return udp;
}

void udp_start(struct udp *udp)
{
	for (size_t i = 0; i < udp->count; i++)
		watch_set(udp->sockets[i].watch, WATCH_READ);
}

void udp_free(struct udp *udp)
{
	if (!udp)
		return;
	for (size_t i = 0; i < udp->count; i++) {
		watch_free(udp->sockets[i].watch);
		close(udp->sockets[i].fd);
	}
	free(udp);
}

static void get_local(struct msghdr *msg, struct client *client)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level == IPPROTO_IP && cmsg->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(cmsg), sizeof info);
			client->local_family = AF_INET;
			client->local.v4 = info.ipi_spec_dst;
		} else if (cmsg->cmsg_level == IPPROTO_IPV6 && cmsg->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(cmsg), sizeof info);
			client->local_family = AF_INET6;
			client->local.v6 = info.ipi6_addr;
			if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
				client->interface = (uint32_t)info.ipi6_ifindex;
		}
	}
}

static void put_local(struct msghdr *msg, char *control, const struct client *client)
{
	struct cmsghdr *cmsg = (struct cmsghdr *)control;

	if (client->local_family == AF_INET) {
		struct in_pktinfo info = { .ipi_spec_dst = client->local.v4 };

		cmsg->cmsg_level = IPPROTO_IP;
		cmsg->cmsg_type = IP_PKTINFO;
		cmsg->cmsg_len = CMSG_LEN(sizeof info);
		memcpy(CMSG_DATA(cmsg), &info, sizeof info);
		msg->msg_controllen = CMSG_SPACE(sizeof info);
	} else {
		struct in6_pktinfo info = { .ipi6_addr = client->local.v6,
					    .ipi6_ifindex = client->interface };

		cmsg->cmsg_level = IPPROTO_IPV6;
		cmsg->cmsg_type = IPV6_PKTINFO;
		cmsg->cmsg_len = CMSG_LEN(sizeof info);
		memcpy(CMSG_DATA(cmsg), &info, sizeof info);
		msg->msg_controllen = CMSG_SPACE(sizeof info);
	}
	msg->msg_control = control;
}

/* A packet that the kernel refuses is lost, as packets may be; those behind it are sent. */
static void flush(struct udp *udp, const struct socket *socket)
{
	unsigned sent = 0;

	while (sent < udp->replies) {
		int r = sendmmsg(socket->fd, udp->out + sent, udp->replies - sent, MSG_DONTWAIT);

		if (r < 0 && errno == EINTR)
			continue;
		sent += r > 0 ? (unsigned)r : 1;
	}
	udp->replies = 0;
}

void udp_reply(struct udp *udp, const struct client *client, const uint8_t *packet, size_t size)
{
	struct socket *socket = &udp->sockets[client->socket];
	struct msghdr *msg;
	struct place *place;
	unsigned i;

	if (size > WIRE_UDP_MAX)
		return;
	/* Only what goes out where the batch came in can leave with it. */
	if (udp->batching && udp->batching != socket)
		flush(udp, udp->batching);
	i = udp->replies;
	msg = &udp->out[i].msg_hdr;
	place = &udp->out_place[i];
	memcpy(&place->peer, &client->peer, client->peer_size);
	memcpy(udp->out_data[i], packet, size);
	place->iov = (struct iovec){ udp->out_data[i], size };
	*msg = (struct msghdr){ .msg_name = &place->peer,
				.msg_namelen = client->peer_size,
				.msg_iov = &place->iov,
				.msg_iovlen = 1 };
	if (client->local_family != AF_UNSPEC)
		put_local(msg, place->control, client);
	udp->replies++;
	if (udp->replies == BATCH || udp->batching != socket)
		flush(udp, socket);
}

/* An answer in the bytes of its query: it goes back the way that came. */
static void reply_in_place(struct udp *udp, const struct socket *socket, unsigned i)
{
	struct place *place = &udp->in_place[i];
	struct msghdr *msg = &udp->out[udp->replies++].msg_hdr;

	place->iov.iov_len = udp->packets[i].answer;
	*msg = udp->in[i].msg_hdr;
	msg->msg_flags = 0;
	if (socket->any_address) {
		struct client client = { .local_family = AF_UNSPEC };

		get_local(msg, &client);
		msg->msg_control = NULL;
		msg->msg_controllen = 0;
		if (client.local_family != AF_UNSPEC)
			put_local(msg, place->control, &client);
	}
}

static void hand_out(struct udp *udp, const struct socket *socket, unsigned i, uint64_t now)
{
	struct msghdr *msg = &udp->in[i].msg_hdr;
	struct client client = { .socket = (uint8_t)(socket - udp->sockets),
				 .peer_size = msg->msg_namelen };

	memcpy(&client.peer, msg->msg_name, msg->msg_namelen);
	if (socket->any_address)
		get_local(msg, &client);
	udp->fn(udp->arg, &client, udp->in_data[i], udp->in[i].msg_len, now);
}

/* How many came. */
static int take_batch(struct udp *udp, struct socket *socket)
{
	uint64_t now;
	int count;

	for (unsigned i = 0; i < BATCH; i++) {
		struct place *place = &udp->in_place[i];

		place->iov = (struct iovec){ udp->in_data[i], PACKET_ROOM };
		udp->in[i].msg_hdr = (struct msghdr){ .msg_name = &place->peer,
						      .msg_namelen = sizeof place->peer,
						      .msg_iov = &place->iov,
						      .msg_iovlen = 1 };
		if (socket->any_address) {
			udp->in[i].msg_hdr.msg_control = place->control;
			udp->in[i].msg_hdr.msg_controllen = sizeof place->control;
		}
	}
	count = recvmmsg(socket->fd, udp->in, BATCH, MSG_DONTWAIT, NULL);
	if (count < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED)
			log_warning("UDP socket: %s", strerror(errno));
		return 0;
	}
	now = loop_now(udp->loop);
	for (int i = 0; i < count; i++)
		udp->packets[i] = (struct hot_packet){ .data = udp->in_data[i],
						       .size = udp->in[i].msg_len,
						       .peer = (void *)&udp->in_place[i].peer };
	if (udp->hot)
		hot_answer(udp->hot, udp->packets, (unsigned)count, now);
	udp->batching = socket;
	for (unsigned i = 0; i < (unsigned)count; i++) {
		if (udp->in[i].msg_hdr.msg_namelen > sizeof(struct sockaddr_in6))
			continue;
		if (udp->packets[i].answer)
			reply_in_place(udp, socket, i);
		else
			hand_out(udp, socket, i, now);
	}
	udp->batching = NULL;
	flush(udp, socket);
	return count;
}

static void on_packets(void *arg, unsigned events)
{
	struct socket *socket = arg;

	(void)events;
	for (int i = 0; i < BATCHES_PER_TURN && take_batch(socket->udp, socket) == BATCH; i++)
		;
}
