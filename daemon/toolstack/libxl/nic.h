/*
 * Network devices in xenstore, written by us: libxl adds a device at the price of a fork, a script
 * and three times as many calls. What a frontend and netback read: xen/include/public/io/netif.h,
 * xen/docs/misc/xenstore-paths.pandoc.
 */
#ifndef JITSU_TOOLSTACK_LIBXL_NIC_H
#define JITSU_TOOLSTACK_LIBXL_NIC_H

#include <stdint.h>

struct error;
struct spec;
struct xen;

/* Gives a domain that has not run yet all the nics of its specification, in one transaction.
 * netback makes vifDOMID.0 and so on a moment later. 0, or -1 with an error. */
int nic_add(struct xen *xen, uint32_t domid, const struct spec *spec, struct error *err);

/* Takes away what nic_add has added, also from a domain that is gone; netback lets go of the guest
 * and its interfaces vanish. */
void nic_remove(struct xen *xen, uint32_t domid);

#endif
