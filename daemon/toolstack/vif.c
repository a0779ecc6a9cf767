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
#define FRAME_SNAP  14 /* its Ethernet header: that it came is all we want to know */

void vif_name(char out[VIF_NAME_MAX], uint32_t domid, unsigned devid)
{
	snprintf(out, VIF_NAME_MAX, "vif%u.%u", domid % 100000, devid % 1000);
}

int vif_check_bridge(const char *bridge, struct error *err)
{
	char path[64];
	struct stat st;

	if (strlen(bridge) >= IFNAMSIZ || strchr(bridge, '/') || bridge[0] == '.')
		return error_field(err, ERROR_INPUT, "nic", bridge,
				   "expected the name of a bridge");
	snprintf(path, sizeof path, "/sys/class/net/%s", bridge);
	if (stat(path, &st) < 0)
		return error_field(
			err, ERROR_INPUT, "nic", bridge,
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

/* False when time is over. */
static bool wait_for_news(struct mnl_socket *news, uint64_t end, char *buffer)
{
	struct pollfd pollfd = { .fd = mnl_socket_get_fd(news), .events = POLLIN };
	uint64_t now = now_ms();

	if (now >= end)
		return false;
	if (poll(&pollfd, 1, (int)(end - now)) > 0)
		(void)mnl_socket_recvfrom(news, buffer, BUFFER_SIZE);
	return true;
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

/* 0, or -1 with errno (ENODEV: there is no such interface yet) and perhaps the kernel's words. */
static int set_link(struct mnl_socket *nl, const char *interface, unsigned master, char *buffer,
		    const char **text)
{
	static const uint8_t mac[ETH_ALEN] = { 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *link;

	nlh->nlmsg_type = RTM_SETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = 1;
	link = mnl_nlmsg_put_extra_header(nlh, sizeof *link);
	link->ifi_family = AF_UNSPEC;
	link->ifi_change = link->ifi_flags = IFF_UP;
	/* By name: if_nametoindex has the kernel run modprobe for one that is not there. */
	mnl_attr_put_strz(nlh, IFLA_IFNAME, interface);
	mnl_attr_put(nlh, IFLA_ADDRESS, sizeof mac, mac);
	mnl_attr_put_u32(nlh, IFLA_MASTER, master);
	return transact(nl, nlh, buffer, text);
}

int vif_plug(const char *interface, const char *bridge, unsigned limit, struct error *err)
{
	cleanup_socket struct mnl_socket *nl = socket_open(0, err), *news = NULL;
	_Alignas(struct nlmsghdr) char buffer[BUFFER_SIZE];
	uint64_t end = now_ms() + limit;
	unsigned master = if_nametoindex(bridge);
	const char *text = "";

	if (!nl)
		return -1;
	if (!master)
		return vif_check_bridge(bridge, err) < 0
			       ? -1
			       : error_errno(err, "cannot look up bridge %s", bridge);
	/* netback makes the interface in its own time. */
	while (set_link(nl, interface, master, buffer, &text) < 0) {
		if (errno != ENODEV)
			return error_set(err, ERROR_SYSTEM, "cannot add %s to bridge %s: %s%s%s",
					 interface, bridge, strerror(errno), *text ? ": " : "",
					 text);
		if (news && !wait_for_news(news, end, buffer))
			return error_set(err, ERROR_SYSTEM,
					 "%s did not appear within %u ms; is xen-netback loaded?",
					 interface, limit);
		/* Once more after the subscription, so that no news falls between. */
		if (!news && !(news = socket_open(RTMGRP_LINK, err)))
			return -1;
	}
	return 0;
}

/* Documentation/ABI/testing/sysfs-class-net-statistics */
static int read_counter(const char *interface, const char *counter, uint64_t *out)
{
	char path[96];
	unsigned long long value;
	FILE *file;
	int r;

	snprintf(path, sizeof path, "/sys/class/net/%s/statistics/%s", interface, counter);
	file = fopen(path, "re");
	if (!file)
		return -1;
	r = fscanf(file, "%llu", &value);
	fclose(file);
	if (r != 1)
		return -1;
	*out = value;
	return 0;
}

int vif_traffic(const char *interface, uint64_t *rx, uint64_t *tx)
{
	/* What the guest receives is what its interface here sends. */
	if (read_counter(interface, "tx_bytes", rx) < 0 ||
	    read_counter(interface, "rx_bytes", tx) < 0)
		return -1;
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

bool vif_heard(int fd)
{
	char byte;

	return recv(fd, &byte, sizeof byte, MSG_DONTWAIT) >= 0;
}
