/* What has to be opened with privilege, before anything else runs. */
#ifndef JITSU_SOCKETS_H
#define JITSU_SOCKETS_H

#include <netinet/in.h>

#include "config.h"
#include "dns/dns.h"

struct error;

/* An IPv4 or IPv6 address. 0, or -1 if it is none. */
int sockets_parse_address(const char *text, uint16_t port, struct sockaddr_storage *out);

/* Could the addresses and the control socket's path be what they are for? 0, or -1 with an error. */
int sockets_check(const struct config *config, struct error *err);

/* Binds every address, UDP and TCP; sockets_check has passed. 0, or -1 with an error. */
int sockets_open_dns(const struct config *config, struct dns_config *dns, struct error *err);

/*
 * The control socket: for its owner and group only, as named_listen has it. `gid` of (gid_t)-1
 * keeps the group. Returns it, or -1 with an error.
 */
int sockets_open_control(const char *path, gid_t gid, struct error *err);

#endif
