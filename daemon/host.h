/*
 * What the dns room has to know of the host and cannot look up itself, since it has no privilege
 * and may see no files: the servers of resolv.conf, and the networks of the host's interfaces. The
 * parent reads them, watches both, and tells the room what has changed.
 */
#ifndef JITSU_HOST_H
#define JITSU_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "dns/dns.h"

struct error;

#define HOST_MESSAGE_MAX 32768

struct host {
	const struct config *config;
	struct dns_config *dns;
	int watch_fd; /* readable: call host_changed */
	int inotify_fd, netlink_fd;
	uint8_t message[HOST_MESSAGE_MAX]; /* what the room was told last */
	size_t message_size;
};

/* Could the forwarders that are given be ones? 0, or -1 with an error. */
int host_check(const struct config *config, struct error *err);

/*
 * Fills dns's forwarders and allow_recursion from the configuration and the host, and begins to
 * watch; both are kept by reference. An upstream that is this jitsud itself is an error if it was
 * given, and left out if it is of resolv.conf. 0, or -1 with an error; then it is closed.
 */
int host_open(struct host *host, const struct config *config, struct dns_config *dns,
	      struct error *err);
void host_close(struct host *host);
/* In a room: what was read stays. */
void host_close_watches(struct host *host);

/* Reads all again. True if that changed anything: then dns is as it is now, and message is for the
 * room. While resolv.conf is gone, or names no server that can be asked, the last ones stay. */
bool host_changed(struct host *host);

#endif
