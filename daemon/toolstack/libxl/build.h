/*
 * What is done to domains, by a worker and its own connection: every function blocks, and none
 * knows of the loop.
 */
#ifndef JITSU_TOOLSTACK_LIBXL_BUILD_H
#define JITSU_TOOLSTACK_LIBXL_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct spec;
struct xen;

#define BUILD_NICS_MAX 16

/* Our mark in xenstore, below the domain's folder, which the guest itself cannot write. */
#define BUILD_MARK_SERVICE "jitsu/service"
#define BUILD_MARK_WHOLE   "jitsu/built"

struct build {
	uint32_t domid;
	uint64_t began, at;	    /* CLOCK_MONOTONIC in µs */
	int frames[BUILD_NICS_MAX]; /* see vif_listen; the caller's to close */
	size_t frame_count;
};

/*
 * Can the host run it? Its files, its bridges, what Xen offers. *kernel and *ramdisk are the
 * paths to open (ramdisk NULL if there is none), the caller's to free. 0, or -1 with an error.
 */
int build_check(struct xen *xen, const struct spec *spec, char **kernel, char **ramdisk,
		struct error *err);

/* Builds the domain, plugs its nics, marks it and lets it run. 0; or -1 with an error, and nothing
 * of it is left. */
int build_start(struct xen *xen, const struct spec *spec, struct build *out, struct error *err);

/* 0 if it is gone, also if it was before. With `marked`, refused if it is somebody else's: if it
 * neither bears our mark nor was left half made, before it could bear any. */
int build_destroy(struct xen *xen, uint32_t domid, bool marked, struct error *err);

#endif
