/* What Synjitsu asks of the kernel's bridges, by rtnetlink. Each call waits for the kernel's
 * answer, which is immediate. */
#ifndef JITSU_SYNJITSU_NETLINK_H
#define JITSU_SYNJITSU_NETLINK_H

#include <stdint.h>

#include "frame.h"

struct error;
struct netlink;

/* NULL with an error. */
struct netlink *netlink_open(struct error *err);
void netlink_close(struct netlink *netlink);

/* Adds an interface to a bridge as Xen's scripts add a vif, with a MAC that no bridge takes for its
 * own, and sets it up. 0, or -1 with an error. */
int netlink_join(struct netlink *netlink, unsigned interface, unsigned bridge, struct error *err);

/*
 * The bridge that `interface` belongs to sends what is for mac to it from here on. fixed: whatever
 * frames from elsewhere say (NTF_STICKY); otherwise until the next frame from that MAC. 0, or -1
 * with errno.
 */
int netlink_steer(struct netlink *netlink, unsigned interface, const uint8_t mac[FRAME_MAC],
		  int fixed);
/* It knows nothing of that MAC at that interface. */
int netlink_unsteer(struct netlink *netlink, unsigned interface, const uint8_t mac[FRAME_MAC]);

#endif
