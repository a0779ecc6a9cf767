/*
 * A stream to a Synjitsu: by vchan to a domain, at the original's place, or by a UNIX socket where
 * there is no Xen. Calls never wait for the peer.
 */
#ifndef JITSU_TOOLSTACK_CHANNEL_H
#define JITSU_TOOLSTACK_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct channel;
struct error;
struct loop;

struct channel_callbacks {
	/* There is something to read, or room to write. */
	void (*moved)(void *arg);
	/* The peer is gone, or its domain dies: the channel is to be closed, now or later. */
	void (*closed)(void *arg);
};

/* `peer` is a domain's UUID, name or number, or unix:PATH. 0, or -1 with an error. */
int channel_check(const char *peer, struct error *err);
/* Connects. NULL with an error, also where nobody is there yet. Callbacks come from the loop. */
struct channel *channel_open(struct loop *loop, const char *peer,
			     const struct channel_callbacks *callbacks, void *arg,
			     struct error *err);
void channel_close(struct channel *channel);

/* True if the peer knows records of 10 bytes only. */
bool channel_is_original(const struct channel *channel);
/* The domain that the peer runs in; -1: this one. */
int64_t channel_domid(const struct channel *channel);
/* How many bytes; 0: none, or no room, now; -1: the peer is gone. */
int channel_read(struct channel *channel, void *data, size_t size);
int channel_write(struct channel *channel, const void *data, size_t size);

#endif
