/*
 * The bytes of a connection that is a vchan between domains, or a UNIX socket where there is no
 * Xen. Who opens it watches it too. Calls never wait for the peer.
 */
#ifndef JITSU_BASE_STREAM_H
#define JITSU_BASE_STREAM_H

#include <stddef.h>

struct libxenvchan;

struct stream {
	struct libxenvchan *vchan; /* not blocking; NULL: it is the socket */
	int fd;			   /* -1: none */
};

/* How many bytes; 0: none, or no room, now; -1: the peer is gone. */
int stream_read(const struct stream *stream, void *data, size_t size);
int stream_write(const struct stream *stream, const void *data, size_t size);

/* Closes what is open; afterwards nothing is. */
void stream_close(struct stream *stream);

#endif
