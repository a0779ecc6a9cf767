/*
 * Where jitsud comes in: a vchan, or a UNIX socket where there is no Xen. One peer at a time; the
 * newer one has it.
 */
#ifndef JITSU_SYNJITSU_DOOR_H
#define JITSU_SYNJITSU_DOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/synjitsu.h"

struct door;
struct error;
struct loop;

struct door_callbacks {
	const struct synjitsu_handlers *handlers;
	/* The peer is gone. */
	void (*closed)(void *arg);
};

/* Serves a vchan for domain `client` at the original's place. NULL with an error. */
struct door *door_open_vchan(struct loop *loop, uint32_t client,
			     const struct door_callbacks *callbacks, void *arg, struct error *err);
/* Listens at a path; what is there is replaced. */
struct door *door_open_unix(struct loop *loop, const char *path,
			    const struct door_callbacks *callbacks, void *arg, struct error *err);
void door_close(struct door *door);

/* Sends a packed message, whole or not at all: without a peer, or to one that does not read, it is
 * lost. */
void door_send(struct door *door, const uint8_t *message, size_t size);

#endif
