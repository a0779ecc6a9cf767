#include "port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/netlink.h"
#include "base/packet.h"

/* <net/if.h> and <linux/if.h> do not go together. */
unsigned if_nametoindex(const char *name);

#define FRAMES_PER_TURN 64
#define ADDRESSES_USEC	(5 * USEC_PER_SEC) /* for so long what was read of them is believed */
#define ADDRESSES_MAX	16u

struct network {
	struct address address, mask;
};

struct port {
	struct netlink *netlink;
	struct loop *loop;
	char name[IFNAMSIZ];
	unsigned index; /* the tap's, or the interface's */
	bool bridge;
	int fd;
	uint8_t mac[FRAME_MAC], host_mac[FRAME_MAC];
	struct watch *watch;
	port_fn *received;
	void *arg;
	struct network networks[ADDRESSES_MAX];
	unsigned network_count;
	uint64_t networks_read;
};

struct vif {
	struct claim *claim;
	unsigned index;
	int fd;
	struct watch *watch;
	vif_fn *heard;
	void *arg;
};

/* One thread, one frame at a time. */
static uint8_t buffer[FRAME_MAX];

/* By its driver: /sys may be another network namespace's. */
static bool is_bridge(const char *interface)
{
	cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_drvinfo driver = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq request = { .ifr_data = (char *)&driver };

	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
	return fd >= 0 && ioctl(fd, SIOCETHTOOL, &request) == 0 &&
	       strcmp(driver.driver, "bridge") == 0;
}

/* Its own IPv6 would speak on the bridge. */
static void silence(const char *interface)
{
	char path[96];
	FILE *file;

	snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", interface);
	file = fopen(path, "we");
	if (file) {
		fputc('1', file);
		fclose(file);
	}
}

static int open_tap(struct port *port, struct error *err)
{
	struct ifreq request = { .ifr_name = "synjitsu%d", .ifr_flags = IFF_TAP | IFF_NO_PI };
	cleanup_close int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return error_errno(err, "/dev/net/tun");
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return error_errno(err, "cannot make a tap");
	silence(request.ifr_name);
	port->index = if_nametoindex(request.ifr_name);
	if (netlink_join(port->netlink, request.ifr_name, if_nametoindex(port->name)) < 0)
		return error_errno(err, "cannot add an interface to the bridge");
	return TAKE_FD(fd);
}

static int read_mac(const char *interface, uint8_t mac[FRAME_MAC], struct error *err)
{
	cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { 0 };

	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		return error_errno(err, "cannot read its MAC");
	memcpy(mac, request.ifr_hwaddr.sa_data, FRAME_MAC);
	return 0;
}

static int open_socket(struct port *port, struct error *err)
{
	if (read_mac(port->name, port->host_mac, err) < 0)
		return -1;
	memcpy(port->mac, port->host_mac, FRAME_MAC);
	if (!port->bridge) {
		port->index = if_nametoindex(port->name);
		return packet_open(port->index, true, err);
	}
	/* A bridge would not learn its own port's MAC: one that is administered locally. */
	arc4random_buf(port->mac, FRAME_MAC);
	port->mac[0] = (port->mac[0] & 0xfc) | 2;
	return open_tap(port, err);
}

static void on_readable(void *arg, unsigned events)
{
	struct port *port = arg;

	(void)events;
	for (int i = 0; i < FRAMES_PER_TURN; i++) {
		ssize_t r = read(port->fd, buffer, sizeof buffer);

		if (r <= 0)
			return;
		/* Where frames were handed up before hardware would have finished them. */
		if (!port->bridge)
			frame_finish_sums(buffer, (size_t)r);
		port->received(port->arg, port, buffer, (size_t)r);
	}
}

struct port *port_open(struct loop *loop, struct netlink *netlink, const char *interface,
		       port_fn *received, void *arg, struct error *err)
{
	struct port *port = calloc(1, sizeof *port);

	if (!port) {
		error_errno(err, "%s", interface);
		return NULL;
	}
	port->loop = loop;
	port->netlink = netlink;
	port->received = received;
	port->arg = arg;
	port->fd = -1;
	snprintf(port->name, sizeof port->name, "%s", interface);
	port->bridge = is_bridge(interface);
	if (if_nametoindex(interface) == 0)
		error_field(err, ERROR_INPUT, "interface", interface,
			    "there is no such interface; expected a bridge, or the interface of a "
			    "driver domain");
	else if ((port->fd = open_socket(port, err)) < 0)
		error_wrap(err, "%s", interface);
	else if (!(port->watch = watch_new(loop, port->fd, WATCH_READ, on_readable, port)))
		error_errno(err, "%s", interface);
	else
		return port;
	port_close(port);
	return NULL;
}

void port_close(struct port *port)
{
	if (!port)
		return;
	watch_free(port->watch);
	if (port->fd >= 0)
		close(port->fd);
	free(port);
}

const char *port_name(const struct port *port)
{
	return port->name;
}

bool port_is_bridge(const struct port *port)
{
	return port->bridge;
}

const uint8_t *port_mac(const struct port *port)
{
	return port->mac;
}

static bool set_from(struct address *out, const struct sockaddr *from)
{
	memset(out, 0, sizeof *out);
	if (!from)
		return false;
	if (from->sa_family == AF_INET) {
		out->family = 4;
		memcpy(out->bytes, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
		return true;
	}
	if (from->sa_family == AF_INET6) {
		out->family = 6;
		memcpy(out->bytes, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr,
		       16);
		return true;
	}
	return false;
}

static void read_networks(struct port *port)
{
	uint64_t now = loop_now(port->loop);
	struct ifaddrs *all, *one;

	if (port->networks_read && now - port->networks_read < ADDRESSES_USEC)
		return;
	port->networks_read = now;
	port->network_count = 0;
	if (getifaddrs(&all) < 0)
		return;
	for (one = all; one && port->network_count < ADDRESSES_MAX; one = one->ifa_next) {
		struct network *network = &port->networks[port->network_count];

		if (strcmp(one->ifa_name, port->name) == 0 &&
		    set_from(&network->address, one->ifa_addr) &&
		    set_from(&network->mask, one->ifa_netmask))
			port->network_count++;
	}
	freeifaddrs(all);
}

bool port_address(struct port *port, const struct address *peer, struct address *out,
		  uint8_t mac[FRAME_MAC])
{
	read_networks(port);
	for (unsigned i = 0; i < port->network_count; i++) {
		const struct network *n = &port->networks[i];
		uint8_t differs = n->address.family != peer->family;

		for (size_t b = 0; b < address_size(peer); b++)
			differs |= (uint8_t)((n->address.bytes[b] ^ peer->bytes[b]) &
					     n->mask.bytes[b]);
		if (differs)
			continue;
		*out = n->address;
		memcpy(mac, port->host_mac, FRAME_MAC);
		return true;
	}
	return false;
}

void port_transmit(struct port *port, const uint8_t *frame, size_t size)
{
	if (write(port->fd, frame, size) < 0)
		log_debug("%s: a frame was not sent: %m", port->name);
}

void port_steer_here(struct port *port, const uint8_t mac[FRAME_MAC])
{
	if (port->bridge && netlink_steer(port->netlink, port->index, mac, true) < 0)
		log_warning("%s: cannot draw a MAC here: %m", port->name);
}

void port_steer_to(struct port *port, const struct vif *vif, const uint8_t mac[FRAME_MAC])
{
	if (port->bridge && vif && netlink_steer(port->netlink, vif->index, mac, false) < 0)
		log_warning("%s: cannot lead a MAC to its guest: %m", port->name);
}

void port_steer_free(struct port *port, const uint8_t mac[FRAME_MAC])
{
	/* It may be elsewhere by now. */
	if (port->bridge)
		netlink_unsteer(port->netlink, port->index, mac);
}

static void on_heard(void *arg, unsigned events)
{
	struct vif *vif = arg;
	struct claim *claim = vif->claim;

	(void)events;
	for (int i = 0; i < FRAMES_PER_TURN; i++) {
		ssize_t r = read(vif->fd, buffer, sizeof buffer);

		if (r <= 0) {
			if (r < 0 && errno != EAGAIN && errno != EINTR)
				watch_set(vif->watch, 0); /* the interface is gone */
			return;
		}
		vif->heard(vif->arg, claim, buffer, (size_t)r);
		if (claim->vif != vif)
			return; /* closed in the call */
	}
}

struct vif *vif_open(struct loop *loop, struct netlink *netlink, struct claim *claim,
		     const char *interface, vif_fn *heard, void *arg, struct error *err)
{
	struct vif *vif = calloc(1, sizeof *vif);

	if (!vif) {
		error_errno(err, "%s", interface);
		return NULL;
	}
	*vif = (struct vif){ .claim = claim, .heard = heard, .arg = arg, .fd = -1 };
	vif->index = netlink_interface(netlink, interface);
	if (!vif->index)
		error_errno(err, "%s", interface);
	else if ((vif->fd = packet_open(vif->index, false, err)) < 0)
		error_wrap(err, "%s", interface);
	else if (!(vif->watch = watch_new(loop, vif->fd, WATCH_READ, on_heard, vif)))
		error_errno(err, "%s", interface);
	else
		return vif;
	vif_close(vif);
	return NULL;
}

struct vif *vif_stand_in(struct claim *claim)
{
	struct vif *vif = calloc(1, sizeof *vif);

	if (vif)
		*vif = (struct vif){ .claim = claim, .fd = -1 };
	return vif;
}

bool vif_is_stand_in(const struct vif *vif)
{
	return vif->fd < 0;
}

struct claim *vif_claim(const struct vif *vif)
{
	return vif->claim;
}

void vif_close(struct vif *vif)
{
	if (!vif)
		return;
	watch_free(vif->watch);
	if (vif->fd >= 0)
		close(vif->fd);
	free(vif);
}

void vif_transmit(struct vif *vif, const uint8_t *frame, size_t size)
{
	if (send(vif->fd, frame, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug("a frame was not sent to its guest: %m");
}
