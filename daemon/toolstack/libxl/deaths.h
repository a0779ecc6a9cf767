/*
 * Who dies: libxl's death events, in the loop. libxl hands its descriptors and timeouts to our
 * loop (libxl_event.h, "OS event handling"), so one connection serves any number of domains.
 */
#ifndef JITSU_TOOLSTACK_LIBXL_DEATHS_H
#define JITSU_TOOLSTACK_LIBXL_DEATHS_H

#include <stdbool.h>
#include <stdint.h>

#include "toolstack/libxl/xen.h"

struct deaths;
struct error;
struct loop;

enum deaths_kind {
	DEATHS_SHUTDOWN, /* it has ended and waits to be destroyed; reason: libxl_shutdown_reason */
	DEATHS_GONE,	 /* destroyed; nothing more comes of it */
};

typedef void deaths_fn(void *arg, uint32_t domid, enum deaths_kind kind, uint8_t reason);

/* Opens a connection of its own. NULL with an error. fn is called from the loop only; it may be
 * called twice of one event. */
struct deaths *deaths_new(struct loop *loop, deaths_fn *fn, void *arg, struct error *err);
/* All watches are to be ended first. */
void deaths_free(struct deaths *deaths);

/* Its connection, for what else the loop's thread asks Xen. */
struct xen *deaths_xen(const struct deaths *deaths);

/*
 * Watches a domain, which may be running already: what has happened to it before is told too. 0,
 * or -1 with an error.
 */
int deaths_watch(struct deaths *deaths, uint32_t domid, libxl_evgen_domain_death **out,
		 struct error *err);
void deaths_unwatch(struct deaths *deaths, libxl_evgen_domain_death *watch);

#endif
