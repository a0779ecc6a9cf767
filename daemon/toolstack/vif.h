/*
 * Network interfaces of guests, in dom0: bridges, plugging, the first frame. rtnetlink and packet
 * sockets, no fork. Safe to call from any thread; vif_plug may block.
 */
#ifndef JITSU_TOOLSTACK_VIF_H
#define JITSU_TOOLSTACK_VIF_H

#include <stdbool.h>
#include <stdint.h>

struct error;

#define VIF_NAME_MAX 16

/* netback's name for the interface of a guest's device: vifDOMID.DEVID. */
void vif_name(char out[VIF_NAME_MAX], uint32_t domid, unsigned devid);

/* 0 if there is such a bridge, otherwise -1 and an error of the field `nic`. */
int vif_check_bridge(const char *bridge, struct error *err);

/*
 * Gives the interface the MAC fe:ff:ff:ff:ff:ff, so that the bridge never takes its address for
 * its own, adds it to the bridge and sets it up; waits up to `limit` ms for the interface to be
 * there. 0, or -1 with an error that has the kernel's reason.
 */
int vif_plug(const char *interface, const char *bridge, unsigned limit, struct error *err);

/* Bytes since its creation: to the guest and from the guest. 0, or -1 if there is no such
 * interface. */
int vif_traffic(const char *interface, uint64_t *rx, uint64_t *tx);

/*
 * A packet socket that is readable once a frame has come out of the guest (frames to the guest do
 * not count). The caller's to close. -1 with an error.
 */
int vif_listen(const char *interface, struct error *err);

/* When that socket is readable: true if a frame has come, false if it was something else, such as
 * the end of the interface. Does not block. */
bool vif_heard(int fd);

#endif
