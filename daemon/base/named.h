/* UNIX stream sockets that have a name in the file system. */
#ifndef JITSU_BASE_NAMED_H
#define JITSU_BASE_NAMED_H

#include <stdbool.h>
#include <sys/types.h>

struct error;

/* Is it short enough for a socket's name? If not, an error that says so of `field`. */
bool named_fits(const char *path, const char *field, struct error *err);

/*
 * Listens at path, which becomes a socket of that mode. A socket that nobody serves any more is
 * replaced; one that is served, and whatever is no socket, is left alone and an error, which names
 * field and path. Returns the descriptor, non-blocking and close-on-exec, or -1. Changes the
 * process's umask for a moment.
 */
int named_listen(const char *path, mode_t mode, int backlog, const char *field, struct error *err);

#endif
