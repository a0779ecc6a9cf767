#include "toolstack/relay.h"

#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/netlink.h"
#include "base/packet.h"
#include "toolstack/vif.h"

#define FRAME_MAX	2048 /* of what Synjitsu is told */
#define FRAMES_PER_TURN 64

struct relay {
	LIST_ENTRY(relay) entry;
	struct relays *relays;
	uint32_t id;
	unsigned interface, peer; /* the guest's; and the peer's on the same bridge, 0 if none */
	uint8_t mac[NETLINK_MAC];
	int fd;
	struct watch *watch;
};

struct relays {
	struct loop *loop;
	relay_heard_fn *heard;
	void *arg;
	struct netlink *netlink;
	uint32_t domid;
	LIST_HEAD(, relay) all; /* of guests that boot: few */
};

struct relays *relays_new(struct loop *loop, relay_heard_fn *heard, void *arg, struct error *err)
{
	struct relays *relays = calloc(1, sizeof *relays);

	if (!relays) {
		error_errno(err, "no memory");
		return NULL;
	}
	*relays = (struct relays){ .loop = loop, .heard = heard, .arg = arg };
	relays->netlink = netlink_open(err);
	if (relays->netlink)
		return relays;
	free(relays);
	return NULL;
}

/* --- the bridge ---------------------------------------------------------------------------- */

/* True if the interface is one of that domain's. */
static bool is_of(const char *interface, uint32_t domid)
{
	char prefix[VIF_NAME_MAX];

	snprintf(prefix, sizeof prefix, "vif%u.", domid);
	return strncmp(interface, prefix, strlen(prefix)) == 0;
}

/* The peer's interface on the bridge that the interface belongs to; 0 if there is none. */
static unsigned find_peer(const struct relays *relays, const char *interface)
{
	char path[64];
	struct dirent *entry;
	unsigned found = 0;
	DIR *ports;

	snprintf(path, sizeof path, "/sys/class/net/%.15s/master/brif", interface);
	ports = opendir(path);
	while (ports && !found && (entry = readdir(ports)))
		if (is_of(entry->d_name, relays->domid))
			found = if_nametoindex(entry->d_name);
	if (ports)
		closedir(ports);
	return found;
}

static void steer(struct relay *relay, bool here)
{
	struct netlink *netlink = relay->relays->netlink;
	unsigned to = here ? relay->peer : relay->interface;

	if (!relay->peer)
		return;
	if (netlink_steer(netlink, to, relay->mac, here) == 0)
		return;
	/* A guest that is gone: then nobody is to be led to Synjitsu either but by its own word. */
	if (here)
		log_warning("cannot lead a guest's MAC to Synjitsu's domain: %m");
	else
		netlink_unsteer(netlink, relay->peer, relay->mac);
}

/* --- frames -------------------------------------------------------------------------------- */

/* ARP, ICMP, ICMPv6; of TCP what opens a connection or refuses it. */
static bool is_told(const uint8_t *frame, size_t size)
{
	enum { ARP = 0x0806, IPV4 = 0x0800, IPV6 = 0x86dd, SYN_OR_RST = 0x06 };
	unsigned type, protocol;
	size_t header;

	if (size < 34)
		return false;
	type = (unsigned)frame[12] << 8 | frame[13];
	if (type == ARP)
		return true;
	if (type != IPV4 && type != IPV6)
		return false;
	protocol = type == IPV4 ? frame[23] : frame[20];
	header = type == IPV4 ? 14 + 4u * (frame[14] & 15) : 54;
	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		return true;
	return protocol == IPPROTO_TCP && size >= header + 20 && frame[header + 13] & SYN_OR_RST;
}

static void on_readable(void *arg, unsigned events)
{
	static uint8_t frame[FRAME_MAX]; /* one thread, one frame at a time */
	struct relay *relay = arg;
	struct relays *relays = relay->relays;
	uint32_t id = relay->id;

	(void)events;
	for (int i = 0; i < FRAMES_PER_TURN; i++) {
		ssize_t r = recv(relay->fd, frame, sizeof frame, MSG_DONTWAIT);

		if (r < 0 && errno != EAGAIN && errno != EINTR)
			watch_set(relay->watch, 0); /* the interface is gone */
		if (r < 0)
			return;
		if (!is_told(frame, (size_t)r))
			continue;
		relays->heard(relays->arg, id, (struct bytes){ frame, (uint32_t)r });
		if (LIST_FIRST(&relays->all) == NULL)
			return; /* Synjitsu was lost in the call */
	}
}

static struct relay *find(const struct relays *relays, uint32_t id)
{
	struct relay *relay;

	LIST_FOREACH(relay, &relays->all, entry)
		if (relay->id == id)
			return relay;
	return NULL;
}

static void end(struct relay *relay)
{
	steer(relay, false);
	LIST_REMOVE(relay, entry);
	watch_free(relay->watch);
	if (relay->fd >= 0)
		close(relay->fd);
	free(relay);
}

static struct relay *begin(struct relays *relays, uint32_t id, const char *interface,
			   const uint8_t mac[NETLINK_MAC], struct error *err)
{
	struct relay *relay = calloc(1, sizeof *relay);

	if (!relay) {
		error_errno(err, "no memory");
		return NULL;
	}
	*relay = (struct relay){ .relays = relays, .id = id, .fd = -1 };
	memcpy(relay->mac, mac, sizeof relay->mac);
	LIST_INSERT_HEAD(&relays->all, relay, entry);
	relay->interface = netlink_interface(relays->netlink, interface);
	relay->peer = find_peer(relays, interface);
	if (!relay->interface)
		error_errno(err, "%s", interface);
	else if ((relay->fd = packet_open(relay->interface, false, err)) < 0)
		error_wrap(err, "%s", interface);
	else if (!(relay->watch =
			   watch_new(relays->loop, relay->fd, WATCH_READ, on_readable, relay)))
		error_errno(err, "%s", interface);
	else
		return relay;
	end(relay);
	return NULL;
}

void relay_set(struct relays *relays, uint32_t id, const char *interface,
	       const uint8_t mac[NETLINK_MAC], enum synjitsu_relay_how how)
{
	struct relay *relay = find(relays, id);
	struct error err;

	if (relay && how == SYNJITSU_RELAY_OFF)
		end(relay);
	if (how == SYNJITSU_RELAY_OFF)
		return;
	if (!relay && !(relay = begin(relays, id, interface, mac, &err))) {
		log_warning("no relay for Synjitsu: %s", err.text);
		return;
	}
	steer(relay, how == SYNJITSU_RELAY_HERE);
}

void relay_inject(struct relays *relays, uint32_t id, struct bytes frame)
{
	const struct relay *relay = find(relays, id);

	if (relay && send(relay->fd, frame.data, frame.size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug("a frame of Synjitsu was not sent to its guest: %m");
}

/* --- the peer ------------------------------------------------------------------------------ */

void relays_meet(struct relays *relays, uint32_t domid)
{
	struct if_nameindex *all = if_nameindex();

	relays->domid = domid;
	for (const struct if_nameindex *one = all; one && one->if_index; one++)
		if (is_of(one->if_name, domid) && netlink_unfix(relays->netlink, one->if_index) < 0)
			log_warning("%s: cannot see what is fixed there: %m", one->if_name);
	if_freenameindex(all);
}

void relays_end(struct relays *relays)
{
	struct relay *relay;

	while ((relay = LIST_FIRST(&relays->all)))
		end(relay);
}

void relays_free(struct relays *relays)
{
	if (!relays)
		return;
	relays_end(relays);
	netlink_close(relays->netlink);
	free(relays);
}
