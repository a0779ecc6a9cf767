/*
 * What Synjitsu does with each frame and each word of jitsud. It knows no socket: it hears and
 * speaks through core_io, so that a test can be the network, the guest and the clock.
 */
#ifndef JITSU_SYNJITSU_CORE_H
#define JITSU_SYNJITSU_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "claim.h"
#include "proto/synjitsu.h"

struct core;
struct loop;

/* Where frames to the claim's MAC are to go. */
enum core_steer { CORE_STEER_HERE, CORE_STEER_GUEST, CORE_STEER_FREE };

struct core_io {
	/* The port of a bridge, or NULL if it has none; "": the first. */
	struct port *(*find_port)(void *arg, const char *bridge);
	/* Our own MAC there. */
	const uint8_t *(*port_mac)(void *arg, struct port *port);
	/* An address of this host in the network of `peer` there, to probe from, and the MAC that
	 * it is at. False if there is none. */
	bool (*port_address)(void *arg, struct port *port, const struct address *peer,
			     struct address *out, uint8_t mac[FRAME_MAC]);
	void (*transmit)(void *arg, struct port *port, const uint8_t *frame, size_t size);
	void (*steer)(void *arg, struct claim *claim, enum core_steer steer);
	/* Listens at a guest's interface: core_heard. NULL if that cannot be: then nothing is
	 * handed over. */
	struct vif *(*open_vif)(void *arg, struct claim *claim, const char *name);
	void (*close_vif)(void *arg, struct vif *vif);
	/* To the guest, by its interface. */
	void (*inject)(void *arg, struct claim *claim, const uint8_t *frame, size_t size);
	void (*knock)(void *arg, const struct synjitsu_knock *knock);
};

struct core_config {
	bool udp;		    /* hold datagrams too */
	unsigned wakes, wakes_each; /* knocks a second: in all, and for one source */
};

/* NULL if out of memory. */
struct core *core_new(struct loop *loop, const struct core_config *config, const struct core_io *io,
		      void *arg);
void core_free(struct core *core);

/* jitsud's words. A hello marks all claims stale; those that are stale 10 s later are forgotten. */
const struct synjitsu_handlers *core_handlers(void);
/* jitsud is gone: what it claimed is kept for a minute. */
void core_alone(struct core *core);

/* A frame came in at a port; at a claim's vif, out of its guest. Data is valid during the call. */
void core_received(struct core *core, struct port *port, const uint8_t *data, size_t size);
void core_heard(struct core *core, struct claim *claim, const uint8_t *data, size_t size);

void core_counters(const struct core *core, struct synjitsu_counters *out);

#endif
