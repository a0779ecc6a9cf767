/*
 * Is a TCP port open yet? A connection is tried every 10 ms until one is made. One that is refused
 * is given up, one that hangs after 50 ms: a SYN that was lost before the guest had its address
 * is repeated by the kernel after a second only.
 */
#ifndef JITSU_ENGINE_PROBE_H
#define JITSU_ENGINE_PROBE_H

#include <stdint.h>

struct loop;
struct probe;
struct spec_address;

/* It took a connection, at that time of loop_now's. From the loop, once; the probe may be freed in
 * the call, and is to be freed by the caller in any case. */
typedef void probe_fn(void *arg, uint64_t at);

/* Aborts when out of memory. Without descriptors it goes on trying. */
struct probe *probe_new(struct loop *loop, const struct spec_address *address, uint16_t port,
			probe_fn *fn, void *arg);
/* Of a port that is nobody's, open after `usec`. */
struct probe *probe_pretend(struct loop *loop, uint64_t usec, probe_fn *fn, void *arg);
/* NULL is allowed. */
void probe_free(struct probe *probe);

#endif
