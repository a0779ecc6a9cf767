#include "base/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/error.h"

#ifndef NTF_STICKY
#define NTF_STICKY (1 << 6) /* since Linux 4.20 */
#endif

struct netlink {
	struct mnl_socket *socket;
	uint32_t sequence;
	const char *why; /* in buffer, or "" */
	_Alignas(struct nlmsghdr) char buffer[8192];
};

struct netlink *netlink_open(struct error *err)
{
	struct netlink *netlink = calloc(1, sizeof *netlink);
	int on = 1;

	if (netlink)
		netlink->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (netlink && netlink->socket &&
	    mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) == 0) {
		/* For the kernel's own words beside errno; it is as well without. */
		mnl_socket_setsockopt(netlink->socket, NETLINK_EXT_ACK, &on, sizeof on);
		netlink->why = "";
		return netlink;
	}
	error_errno(err, "cannot open a netlink socket");
	netlink_close(netlink);
	return NULL;
}

void netlink_close(struct netlink *netlink)
{
	if (netlink && netlink->socket)
		mnl_socket_close(netlink->socket);
	free(netlink);
}

static struct nlmsghdr *begin(struct netlink *netlink, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(netlink->buffer);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	nlh->nlmsg_seq = ++netlink->sequence;
	return nlh;
}

static int save_text(const struct nlattr *attribute, void *arg)
{
	const char **text = arg;

	if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG &&
	    mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0)
		*text = mnl_attr_get_str(attribute);
	return MNL_CB_OK;
}

/* The answer to a request: 0, or -1 with errno and, if there is one, the kernel's explanation. */
static int read_ack(const struct nlmsghdr *nlh, const char **text)
{
	const struct nlmsgerr *ack = mnl_nlmsg_get_payload(nlh);
	size_t skip = sizeof *ack;

	if (!(nlh->nlmsg_flags & NLM_F_CAPPED) && ack->error)
		skip += ack->msg.nlmsg_len - sizeof ack->msg;
	if (nlh->nlmsg_flags & NLM_F_ACK_TLVS)
		mnl_attr_parse(nlh, (unsigned)skip, save_text, (void *)(uintptr_t)text);
	errno = -ack->error;
	return ack->error ? -1 : 0;
}

static int finish(struct netlink *netlink, const struct nlmsghdr *nlh)
{
	ssize_t r;

	netlink->why = "";
	if (mnl_socket_sendto(netlink->socket, nlh, nlh->nlmsg_len) < 0)
		return -1;
	while ((r = mnl_socket_recvfrom(netlink->socket, netlink->buffer,
					sizeof netlink->buffer)) >= 0) {
		int left = (int)r;

		for (nlh = (struct nlmsghdr *)(void *)netlink->buffer; mnl_nlmsg_ok(nlh, left);
		     nlh = mnl_nlmsg_next(nlh, &left))
			if (nlh->nlmsg_type == NLMSG_ERROR && nlh->nlmsg_seq == netlink->sequence)
				return read_ack(nlh, &netlink->why);
	}
	return -1;
}

const char *netlink_why(const struct netlink *netlink)
{
	return netlink->why;
}

static int on_link(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(nlh);

	if (nlh->nlmsg_type == RTM_NEWLINK)
		*(unsigned *)arg = (unsigned)link->ifi_index;
	return MNL_CB_OK;
}

unsigned netlink_interface(struct netlink *netlink, const char *name)
{
	struct nlmsghdr *nlh = begin(netlink, RTM_GETLINK, 0);
	struct ifinfomsg *link = mnl_nlmsg_put_extra_header(nlh, sizeof *link);
	unsigned index = 0;
	ssize_t r;

	link->ifi_family = AF_UNSPEC;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	/* The answer, and the acknowledgement of it; or an error alone. */
	if (mnl_socket_sendto(netlink->socket, nlh, nlh->nlmsg_len) < 0)
		return 0;
	do
		r = mnl_socket_recvfrom(netlink->socket, netlink->buffer, sizeof netlink->buffer);
	while (r > 0 &&
	       mnl_cb_run(netlink->buffer, (size_t)r, netlink->sequence,
			  mnl_socket_get_portid(netlink->socket), on_link, &index) > MNL_CB_STOP);
	return index;
}

int netlink_join(struct netlink *netlink, const char *interface, unsigned bridge)
{
	static const uint8_t mac[NETLINK_MAC] = { 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct nlmsghdr *nlh = begin(netlink, RTM_SETLINK, 0);
	struct ifinfomsg *link = mnl_nlmsg_put_extra_header(nlh, sizeof *link);

	link->ifi_family = AF_UNSPEC;
	link->ifi_change = link->ifi_flags = IFF_UP;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, interface);
	mnl_attr_put(nlh, IFLA_ADDRESS, sizeof mac, mac);
	mnl_attr_put_u32(nlh, IFLA_MASTER, bridge);
	return finish(netlink, nlh);
}

static int fdb(struct netlink *netlink, struct nlmsghdr *nlh, unsigned interface,
	       const uint8_t mac[NETLINK_MAC], int fixed)
{
	struct ndmsg *entry = mnl_nlmsg_put_extra_header(nlh, sizeof *entry);

	entry->ndm_family = PF_BRIDGE;
	entry->ndm_ifindex = (int)interface;
	entry->ndm_flags = NTF_MASTER | (fixed ? NTF_STICKY : 0);
	entry->ndm_state = fixed ? NUD_NOARP : NUD_REACHABLE;
	mnl_attr_put(nlh, NDA_LLADDR, NETLINK_MAC, mac);
	return finish(netlink, nlh);
}

int netlink_steer(struct netlink *netlink, unsigned interface, const uint8_t mac[NETLINK_MAC],
		  int fixed)
{
	return fdb(netlink, begin(netlink, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE), interface,
		   mac, fixed);
}

int netlink_unsteer(struct netlink *netlink, unsigned interface, const uint8_t mac[NETLINK_MAC])
{
	return fdb(netlink, begin(netlink, RTM_DELNEIGH, 0), interface, mac, 0);
}

struct fixed {
	unsigned interface;
	uint8_t (*macs)[NETLINK_MAC];
	size_t count;
};

static int on_entry(const struct nlmsghdr *nlh, void *arg)
{
	const struct ndmsg *entry = mnl_nlmsg_get_payload(nlh);
	struct fixed *fixed = arg;
	const struct nlattr *attr;
	void *grown;

	if (nlh->nlmsg_type != RTM_NEWNEIGH || entry->ndm_ifindex != (int)fixed->interface ||
	    !(entry->ndm_flags & NTF_STICKY))
		return MNL_CB_OK;
	mnl_attr_for_each(attr, nlh, sizeof *entry)
	{
		if (mnl_attr_get_type(attr) != NDA_LLADDR ||
		    mnl_attr_get_payload_len(attr) != NETLINK_MAC)
			continue;
		grown = reallocarray(fixed->macs, fixed->count + 1, sizeof *fixed->macs);
		if (!grown)
			return MNL_CB_ERROR;
		fixed->macs = grown;
		memcpy(fixed->macs[fixed->count++], mnl_attr_get_payload(attr), NETLINK_MAC);
	}
	return MNL_CB_OK;
}

int netlink_unfix(struct netlink *netlink, unsigned interface)
{
	struct nlmsghdr *nlh = begin(netlink, RTM_GETNEIGH, NLM_F_DUMP);
	struct ndmsg *entry = mnl_nlmsg_put_extra_header(nlh, sizeof *entry);
	struct fixed fixed = { .interface = interface };
	ssize_t size = 0;
	int r = MNL_CB_ERROR;

	entry->ndm_family = PF_BRIDGE;
	if (mnl_socket_sendto(netlink->socket, nlh, nlh->nlmsg_len) < 0)
		return -1;
	do {
		size = mnl_socket_recvfrom(netlink->socket, netlink->buffer,
					   sizeof netlink->buffer);
		if (size > 0)
			r = mnl_cb_run(netlink->buffer, (size_t)size, netlink->sequence,
				       mnl_socket_get_portid(netlink->socket), on_entry, &fixed);
	} while (size > 0 && r > MNL_CB_STOP);
	for (size_t i = 0; i < fixed.count; i++)
		if (netlink_unsteer(netlink, interface, fixed.macs[i]) < 0)
			r = MNL_CB_ERROR;
	free(fixed.macs);
	return size > 0 && r >= MNL_CB_STOP ? 0 : -1;
}
