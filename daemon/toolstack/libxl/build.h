/*
 * What is done to domains, by a worker and its own connection: every function blocks, and none
 * knows of the loop.
 */
#ifndef JITSU_TOOLSTACK_LIBXL_BUILD_H
#define JITSU_TOOLSTACK_LIBXL_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "toolstack/libxl/plan.h"

struct spec;
struct xen;

#define BUILD_NICS_MAX PLAN_NICS_MAX

/* Our marks in xenstore, below the domain's folder, which the guest itself cannot write: in a
 * domain of ours, and in one that is built to the end. */
#define BUILD_MARK_SERVICE PLAN_MARK_SERVICE
#define BUILD_MARK_WHOLE   "jitsu/built"

/* What the latter says of how the domain was made. */
struct build_mark {
	bool restored;
	uint64_t created; /* CLOCK_MONOTONIC in µs; 0: not known */
	uint64_t digest;  /* of its specification; 0: not known */
};

/* False if it has none; an older jitsud's says nothing. */
bool build_read_mark(struct xen *xen, uint32_t domid, struct build_mark *out);

struct build {
	uint32_t domid;
	uint64_t began, at;	    /* CLOCK_MONOTONIC in µs */
	int frames[BUILD_NICS_MAX]; /* see vif_listen; the caller's to close */
	size_t frame_count;
	bool restored;
	int image; /* -1, or one that has no name any more; the caller's to close, when nobody waits:
		    * its space is freed then, which takes as long as a guest takes to resume */
	char note[ERROR_TEXT_MAX]; /* why it was booted although it was to be restored; "" if not */
};

/*
 * Builds the domain, plugs its nics, marks it and lets it run. `images` is the folder of suspend
 * images (-1: none): with `restore` it is made from its image if that works; and when it runs there
 * is none any more, since it would be of another time than the guest's disks and peers. 0; or -1
 * with an error, and nothing of it is left.
 */
int build_start(struct xen *xen, const struct spec *spec, int images, bool restore,
		struct build *out, struct error *err);

/* 0 if it is gone, also if it was before. With `marked`, refused if it is somebody else's: if it
 * neither bears our mark nor was left half made, before it could bear any. */
int build_destroy(struct xen *xen, uint32_t domid, bool marked, struct error *err);

#endif
