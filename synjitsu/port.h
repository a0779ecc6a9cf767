/*
 * Where Synjitsu meets a network, and the interfaces of guests.
 *
 * On a bridge of this machine it has a port of its own, a tap: it hears what a machine there would
 * hear, the bridge can be told to send it what is for a MAC, and what the kernel gives it has
 * whole checksums. On another interface, in a driver domain say, it listens at that interface as it
 * is; the bridge at the other end believes what it hears, and jitsud has the guests' interfaces.
 */
#ifndef JITSU_SYNJITSU_PORT_H
#define JITSU_SYNJITSU_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "claim.h"

struct error;
struct loop;
struct netlink;
struct port;
struct vif;

typedef void port_fn(void *arg, struct port *port, const uint8_t *frame, size_t size);
typedef void vif_fn(void *arg, struct claim *claim, const uint8_t *frame, size_t size);

/* NULL with an error. The tap is gone with the port. */
struct port *port_open(struct loop *loop, struct netlink *netlink, const char *interface,
		       port_fn *received, void *arg, struct error *err);
void port_close(struct port *port);

/* The name that it was opened with. */
const char *port_name(const struct port *port);
/* Is it a bridge of this machine? */
bool port_is_bridge(const struct port *port);
/* The source of the frames that are our own. */
const uint8_t *port_mac(const struct port *port);
/* As core_io's port_address. */
bool port_address(struct port *port, const struct address *peer, struct address *out,
		  uint8_t mac[FRAME_MAC]);
/* Sends; what cannot be sent now is lost. */
void port_transmit(struct port *port, const uint8_t *frame, size_t size);
/* Where the bridge is told; elsewhere, and for what the bridge refuses, nothing happens. */
void port_steer_here(struct port *port, const uint8_t mac[FRAME_MAC]);
void port_steer_to(struct port *port, const struct vif *vif, const uint8_t mac[FRAME_MAC]);
void port_steer_free(struct port *port, const uint8_t mac[FRAME_MAC]);

/* A guest's interface on this machine: `heard` gets what comes out of the guest. NULL with an
 * error. */
struct vif *vif_open(struct loop *loop, struct netlink *netlink, struct claim *claim,
		     const char *interface, vif_fn *heard, void *arg, struct error *err);
/* Stands for one of another domain: what passes it is the caller's to send and to hear. NULL if
 * out of memory. */
struct vif *vif_stand_in(struct claim *claim);
bool vif_is_stand_in(const struct vif *vif);
struct claim *vif_claim(const struct vif *vif);
void vif_close(struct vif *vif);
/* Straight to the guest, past the bridge. */
void vif_transmit(struct vif *vif, const uint8_t *frame, size_t size);

#endif
