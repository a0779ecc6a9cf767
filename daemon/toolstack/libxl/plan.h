/*
 * What is to be built: a specification checked against this host, with paths resolved and texts
 * read, and the libxl configuration that it makes. Blocks.
 */
#ifndef JITSU_TOOLSTACK_LIBXL_PLAN_H
#define JITSU_TOOLSTACK_LIBXL_PLAN_H

#include <stdbool.h>

#include "toolstack/libxl/disk.h"
#include "toolstack/libxl/xen.h"

struct error;
struct spec;

#define PLAN_NICS_MAX 16

/* Marks that libxl writes with the domain: the service's name; and there if libxl has added the
 * nics, or the disks, and is to remove them. */
#define PLAN_MARK_SERVICE "jitsu/service"
#define PLAN_MARK_SCRIPTS "jitsu/scripts"
#define PLAN_MARK_DISKS	  "jitsu/disks"

struct plan {
	char *kernel, *ramdisk;	      /* paths to open; NULL: none */
	char *scripts[PLAN_NICS_MAX]; /* none, or one for each nic */
	struct disks disks;
	libxl_bitmap cpus;
	char *rumprun;	/* for `rumprun/cfg`; NULL if there is no configuration */
	char *addition; /* see `checked` in message.tbl.h; NULL if there is none */
};

/* Can the host run it? Its files, its bridges, what Xen offers. 0 and *out, to be released; or -1
 * with an error, *out untouched. */
int plan_make(struct xen *xen, const struct spec *spec, struct plan *out, struct error *err);
void plan_release(struct plan *plan);

/* Fills an initialised configuration. */
void plan_configure(struct xen *xen, libxl_domain_config *config, const struct spec *spec,
		    const struct plan *plan);

#endif
