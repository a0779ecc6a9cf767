#include "dns/batch.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"

#define SOCKET_BUFFER (4 * 1024 * 1024)

/* Not less than there is: the parent may have more than we are allowed. */
static void raise_buffer(int fd, int option)
{
	int size = 0, wanted = SOCKET_BUFFER;
	socklen_t length = sizeof size;

	if (getsockopt(fd, SOL_SOCKET, option, &size, &length) == 0 && size < wanted)
		setsockopt(fd, SOL_SOCKET, option, &wanted, sizeof wanted);
}

void batch_set_up(struct batch_socket *socket, int fd, uint8_t number)
{
	struct sockaddr_storage own;
	socklen_t size = sizeof own;
	int on = 1;

	*socket = (struct batch_socket){ .fd = fd, .number = number };
	raise_buffer(fd, SO_RCVBUF);
	raise_buffer(fd, SO_SNDBUF);
	if (getsockname(fd, (struct sockaddr *)&own, &size) < 0)
		return;
	if (own.ss_family == AF_INET &&
	    ((struct sockaddr_in *)&own)->sin_addr.s_addr == htonl(INADDR_ANY)) {
		socket->any_address = true;
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
	} else if (own.ss_family == AF_INET6 &&
		   IN6_IS_ADDR_UNSPECIFIED(&((struct sockaddr_in6 *)&own)->sin6_addr)) {
		socket->any_address = true;
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
	}
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

unsigned batch_receive(struct batch *batch, const struct batch_socket *socket)
{
	int r;

	for (unsigned i = 0; i < BATCH_MAX; i++) {
		struct batch_place *place = &batch->in_place[i];

		place->iov = (struct iovec){ batch->in_data[i], BATCH_ROOM };
		batch->in[i].msg_hdr = (struct msghdr){ .msg_name = &place->peer,
							.msg_namelen = sizeof place->peer,
							.msg_iov = &place->iov,
							.msg_iovlen = 1 };
		if (socket->any_address) {
			batch->in[i].msg_hdr.msg_control = place->control;
			batch->in[i].msg_hdr.msg_controllen = sizeof place->control;
		}
	}
	r = recvmmsg(socket->fd, batch->in, BATCH_MAX, MSG_DONTWAIT, NULL);
	if (r < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED)
		log_warning("UDP socket: %s", strerror(errno));
	batch->count = r > 0 ? (unsigned)r : 0;
	for (unsigned i = 0; i < batch->count; i++)
		batch->packets[i] = (struct hot_packet){ .data = batch->in_data[i],
							 .size = batch->in[i].msg_len,
							 .peer = (void *)&batch->in_place[i].peer };
	return batch->count;
}

bool batch_client(struct batch *batch, const struct batch_socket *socket, unsigned i,
		  struct client *client)
{
	struct msghdr *msg = &batch->in[i].msg_hdr;

	if (msg->msg_namelen > sizeof client->peer)
		return false;
	*client = (struct client){ .socket = socket->number, .peer_size = msg->msg_namelen };
	memcpy(&client->peer, msg->msg_name, msg->msg_namelen);
	if (socket->any_address)
		get_local(msg, client);
	return true;
}

static struct msghdr *next_out(struct batch *batch, const struct batch_socket *socket)
{
	if (batch->replies == BATCH_MAX)
		batch_send(batch, socket);
	return &batch->out[batch->replies++].msg_hdr;
}

/* It goes back the way that its query came. */
void batch_reply_in_place(struct batch *batch, const struct batch_socket *socket, unsigned i)
{
	struct batch_place *place = &batch->in_place[i];
	struct msghdr *msg = next_out(batch, socket);

	place->iov.iov_len = batch->packets[i].answer;
	*msg = batch->in[i].msg_hdr;
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

void batch_reply(struct batch *batch, const struct batch_socket *socket,
		 const struct client *client, const uint8_t *packet, size_t size)
{
	struct msghdr *msg = next_out(batch, socket);
	unsigned i = batch->replies - 1;
	struct batch_place *place = &batch->out_place[i];

	memcpy(&place->peer, &client->peer, client->peer_size);
	memcpy(batch->out_data[i], packet, size);
	place->iov = (struct iovec){ batch->out_data[i], size };
	*msg = (struct msghdr){ .msg_name = &place->peer,
				.msg_namelen = client->peer_size,
				.msg_iov = &place->iov,
				.msg_iovlen = 1 };
	if (client->local_family != AF_UNSPEC)
		put_local(msg, place->control, client);
}

/* Those behind one that is refused are sent. */
void batch_send(struct batch *batch, const struct batch_socket *socket)
{
	unsigned sent = 0;

	while (sent < batch->replies) {
		int r = sendmmsg(socket->fd, batch->out + sent, batch->replies - sent,
				 MSG_DONTWAIT);

		if (r < 0 && errno == EINTR)
			continue;
		sent += r > 0 ? (unsigned)r : 1;
	}
	batch->replies = 0;
}
