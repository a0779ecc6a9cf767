/*
 * Guests' interfaces for a Synjitsu that runs in another domain: it gets what a booting guest says
 * and has frames sent to it by jitsud, past the bridge, which meanwhile leads the guest's MAC to
 * that domain's interface whatever the guest says.
 */
#ifndef JITSU_TOOLSTACK_RELAY_H
#define JITSU_TOOLSTACK_RELAY_H

#include <stddef.h>
#include <stdint.h>

#include "proto/synjitsu.h"

struct error;
struct loop;
struct relays;

/* A frame of use to Synjitsu came out of the guest. */
typedef void relay_heard_fn(void *arg, uint32_t id, struct bytes frame);

/* NULL with an error. heard comes from the loop. */
struct relays *relays_new(struct loop *loop, relay_heard_fn *heard, void *arg, struct error *err);
void relays_free(struct relays *relays);

/* The domain that Synjitsu runs in. What an earlier jitsud may have fixed at its interfaces is
 * loose again. */
void relays_meet(struct relays *relays, uint32_t domid);
/* All end; bridges lead to the guests. */
void relays_end(struct relays *relays);

/* Begins, changes or ends the one with that id, for a guest's interface of this domain. Where it
 * cannot be, that is logged. */
void relay_set(struct relays *relays, uint32_t id, const char *interface, const uint8_t mac[6],
	       enum synjitsu_relay_how how);
/* To the guest; lost if there is no such relay. */
void relay_inject(struct relays *relays, uint32_t id, struct bytes frame);

#endif
