/* Fills a domain's memory from its suspend image, where libxl has not. Blocks. */
#ifndef JITSU_TOOLSTACK_LIBXL_LOAD_H
#define JITSU_TOOLSTACK_LIBXL_LOAD_H

#include <stdint.h>

struct error;
struct pages;
struct xen;

/*
 * Gives a domain that has never run the frames of `pages`, by 2 MiB where Xen has them, with what
 * the image holds in them, or zeros: what Xen gives out may still hold what another guest left
 * there. 0, or -1 with an error; it is then good for nothing but to be destroyed.
 */
int load_pages(struct xen *xen, uint32_t domid, int image, const struct pages *pages,
	       struct error *err);

#endif
