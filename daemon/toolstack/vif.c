#include "toolstack/vif.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"

#define BUFFER_SIZE 8192
#define FRAME_SNAP 14 /* its Ethernet header: that it came is all we want to know */

void vif_name(char out[VIF_NAME_MAX], uint32_t domid, unsigned devid)
{
	snprintf(out, VIF_NAME_MAX, "vif%u.%u", domid % 100000, devid % 1000);
}

int vif_check_bridge(const char *bridge, struct error *err)
{
	char path[64];
	struct stat st;

	if (strlen(bridge) >= IFNAMSIZ || strchr(bridge, '/') || bridge[0] == '.')
		return error_field(err, ERROR_INPUT, "nic", bridge, "expected the name of a bridge");
	snprintf(path, sizeof path, "/sys/class/net/%s", bridge);
	if (stat(path, &st) < 0)
		return error_field(err, ERROR_INPUT, "nic", bridge,
				   "there is no such bridge; make it with: ip link add %s type bridge",
				   bridge);
	snprintf(path, sizeof path, "/sys/class/net/%s/bridge", bridge);
	if (stat(path, &st) < 0)
		return error_field(err, ERROR_INPUT, "nic", bridge,
				   "expected a bridge, but this interface is none");
	return 0;
}

static void socket_close(struct mnl_socket **nl)
{
	if (*nl)
		mnl_socket_close(*nl);
}
#define cleanup_socket __attribute__((cleanup(socket_close)))

static struct mnl_socket *socket_open(unsigned groups, struct error *err)
{
	cleanup_socket struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int on = 1;

	if (!nl || mnl_socket_bind(nl, groups, MNL_SOCKET_AUTOPID) < 0) {
		error_errno(err, "cannot open a netlink socket");
		return NULL;
	}
	/* For the kernel's own words beside errno; it is as well without. */
	mnl_socket_setsockopt(nl, NETLINK_EXT_ACK, &on, sizeof on);
	return TAKE(nl);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* netback makes the interface a moment after its backend is in the state that libxl waits for. */
static unsigned wait_for_interface(const char *interface, unsigned limit, struct error *err)
{
	cleanup_socket struct mnl_socket *nl = NULL;
	uint64_t end = now_ms() + limit;
	unsigned index = if_nametoindex(interface);
	char buffer[BUFFER_SIZE];

	if (index)
		return index;
	nl = socket_open(RTMGRP_LINK, err);
	if (!nl)
		return 0;
	/* After the subscription, so that no news falls between. */
	while (!(index = if_nametoindex(interface))) {
		struct pollfd news = { .fd = mnl_socket_get_fd(nl), .events = POLLIN };
		uint64_t now = now_ms();

		if (now >= end) {
			error_set(err, ERROR_SYSTEM,
				  "%s did not appear within %u ms; is xen-netback loaded?",
				  interface, limit);
			return 0;
		}
		if (poll(&news, 1, (int)(end - now)) > 0)
			(void)mnl_socket_recvfrom(nl, buffer, sizeof buffer);
	}
	return index;
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

static int transact(struct mnl_socket *nl, struct nlmsghdr *nlh, char *buffer, const char **text)
{
	uint32_t seq = nlh->nlmsg_seq;
	ssize_t r;

	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -1;
	while ((r = mnl_socket_recvfrom(nl, buffer, BUFFER_SIZE)) >= 0) {
		int left = (int)r;

		for (nlh = (struct nlmsghdr *)(void *)buffer; mnl_nlmsg_ok(nlh, left);
		     nlh = mnl_nlmsg_next(nlh, &left))
			if (nlh->nlmsg_type == NLMSG_ERROR && nlh->nlmsg_seq == seq)
				return read_ack(nlh, text);
	}
	return -1;
}

int vif_plug(const char *interface, const char *bridge, unsigned limit, struct error *err)
{
	static const uint8_t mac[ETH_ALEN] = { 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff };
	cleanup_socket struct mnl_socket *nl = NULL;
	_Alignas(struct nlmsghdr) char buffer[BUFFER_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	unsigned index, master = if_nametoindex(bridge);
	struct ifinfomsg *link;
	const char *text = "";

	if (!master)
		return vif_check_bridge(bridge, err) < 0
			       ? -1
			       : error_errno(err, "cannot look up bridge %s", bridge);
	index = wait_for_interface(interface, limit, err);
	if (!index)
		return -1;
	nl = socket_open(0, err);
	if (!nl)
		return -1;
	nlh->nlmsg_type = RTM_SETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = 1;
	link = mnl_nlmsg_put_extra_header(nlh, sizeof *link);
	link->ifi_family = AF_UNSPEC;
	link->ifi_index = (int)index;
	link->ifi_change = link->ifi_flags = IFF_UP;
	mnl_attr_put(nlh, IFLA_ADDRESS, sizeof mac, mac);
	mnl_attr_put_u32(nlh, IFLA_MASTER, master);
	if (transact(nl, nlh, buffer, &text) < 0)
		return error_set(err, ERROR_SYSTEM, "cannot add %s to bridge %s: %s%s%s", interface,
				 bridge, strerror(errno), *text ? ": " : "", text);
	return 0;
}

int vif_listen(const char *interface, struct error *err)
{
	struct sock_filter snap = { .code = BPF_RET | BPF_K, .k = FRAME_SNAP };
	struct sock_fprog program = { .len = 1, .filter = &snap };
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	/* Protocol 0: nothing is received before all is set. */
	cleanup_close int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	address.sll_ifindex = (int)if_nametoindex(interface);
	if (fd < 0 || !address.sll_ifindex ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return error_errno(err, "cannot listen on %s", interface);
	return TAKE_FD(fd);
}
