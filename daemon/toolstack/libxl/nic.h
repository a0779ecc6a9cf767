/*
 * Network devices. What a frontend and netback read: xen/include/public/io/netif.h.
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

#endif
