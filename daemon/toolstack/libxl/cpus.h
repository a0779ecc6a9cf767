/* The key `cpus`: which host CPUs a guest may run on, in xl.cfg(5)'s words. */
#ifndef JITSU_TOOLSTACK_LIBXL_CPUS_H
#define JITSU_TOOLSTACK_LIBXL_CPUS_H

#include "toolstack/libxl/xen.h"

struct error;

/*
 * Sets in *out (allocated, empty) what the text names of the host's `count` CPUs: `all`, or a list
 * of N and N-M, taken away again with a `^` in front, each after the one before it. `node:` and
 * `nodes:` are refused. 0, or -1 with an error of the field `cpus`.
 */
int cpus_read(const char *text, unsigned count, libxl_bitmap *out, struct error *err);

#endif
