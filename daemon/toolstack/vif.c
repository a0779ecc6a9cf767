#include "toolstack/vif.h"

#include <errno.h>
#include <linux/filter.h>
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
#include "base/netlink.h"
#include "base/packet.h"

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

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* False when time is over. */
static bool wait_for_news(int news, uint64_t end)
{
	struct pollfd pollfd = { .fd = news, .events = POLLIN };
	char ignored[BUFFER_SIZE];
	uint64_t now = now_ms();

	if (now >= end)
		return false;
	if (poll(&pollfd, 1, (int)(end - now)) > 0)
		(void)!recv(news, ignored, sizeof ignored, MSG_DONTWAIT);
	return true;
}

/* A socket that is readable when an interface comes. */
static int open_news(struct error *err)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	cleanup_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return error_errno(err, "cannot open a netlink socket");
	return TAKE_FD(fd);
}

static void close_netlink(struct netlink **netlink)
{
	netlink_close(*netlink);
}

int vif_plug(const char *interface, const char *bridge, unsigned limit, struct error *err)
{
	__attribute__((cleanup(close_netlink))) struct netlink *netlink = netlink_open(err);
	cleanup_close int news = -1;
	uint64_t end = now_ms() + limit;
	unsigned master = if_nametoindex(bridge);

	if (!netlink)
		return -1;
	if (!master)
		return vif_check_bridge(bridge, err) < 0
			       ? -1
			       : error_errno(err, "cannot look up bridge %s", bridge);
	/* netback makes the interface in its own time. */
	while (netlink_join(netlink, interface, master) < 0) {
		const char *why = netlink_why(netlink);

		if (errno != ENODEV)
			return error_set(err, ERROR_SYSTEM, "cannot add %s to bridge %s: %s%s%s",
					 interface, bridge, strerror(errno), *why ? ": " : "", why);
		if (news >= 0 && !wait_for_news(news, end))
			return error_set(err, ERROR_SYSTEM,
					 "%s did not appear within %u ms; is xen-netback loaded?",
					 interface, limit);
		/* Once more after the subscription, so that no news falls between. */
		if (news < 0 && (news = open_news(err)) < 0)
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
	unsigned index = if_nametoindex(interface);
	cleanup_close int fd = -1;

	if (!index)
		return error_errno(err, "cannot listen on %s", interface);
	fd = packet_open(index, false, err);
	if (fd < 0)
		return error_wrap(err, "cannot listen on %s", interface);
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0)
		return error_errno(err, "cannot listen on %s", interface);
	return TAKE_FD(fd);
}

bool vif_heard(int fd)
{
	char byte;

	return recv(fd, &byte, sizeof byte, MSG_DONTWAIT) >= 0;
}
