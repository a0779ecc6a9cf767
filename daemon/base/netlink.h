/* What is asked of the kernel's bridges, by rtnetlink. Each call waits for the kernel's answer,
 * which is immediate. */
#ifndef JITSU_BASE_NETLINK_H
#define JITSU_BASE_NETLINK_H

#include <stdint.h>

#define NETLINK_MAC 6

struct error;
struct netlink;

/* NULL with an error. */
struct netlink *netlink_open(struct error *err);
void netlink_close(struct netlink *netlink);

/* The interface's index; 0 if there is none. Unlike if_nametoindex it never has the kernel run
 * modprobe for a name that is not there, which takes long. */
unsigned netlink_interface(struct netlink *netlink, const char *name);

/* Adds an interface to a bridge as Xen's scripts add a vif, with a MAC that no bridge takes for its
 * own, and sets it up. 0, or -1 with errno (ENODEV: there is no such interface) and netlink_why. */
int netlink_join(struct netlink *netlink, const char *interface, unsigned bridge);
/* The kernel's own words for what failed last, or "". Valid until the next call. */
const char *netlink_why(const struct netlink *netlink);

/*
 * The bridge that `interface` belongs to sends what is for mac to it from here on. fixed: whatever
 * frames from elsewhere say (NTF_STICKY); otherwise until the next frame from that MAC. 0, or -1
 * with errno.
 */
int netlink_steer(struct netlink *netlink, unsigned interface, const uint8_t mac[NETLINK_MAC],
		  int fixed);
/* It knows nothing of that MAC at that interface. */
int netlink_unsteer(struct netlink *netlink, unsigned interface, const uint8_t mac[NETLINK_MAC]);
/* Nothing is fixed there any more. 0, or -1 with errno. */
int netlink_unfix(struct netlink *netlink, unsigned interface);

#endif
