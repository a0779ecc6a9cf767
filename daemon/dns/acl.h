/* Lists of client networks, for what only some may do and for whom limits are not. */
#ifndef JITSU_DNS_ACL_H
#define JITSU_DNS_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct error;

struct acl_v4 {
	uint32_t network, mask; /* network order */
};

struct acl_v6 {
	uint64_t network[2], mask[2]; /* network order */
};

/* {0}: nobody. */
struct acl {
	struct acl_v4 *v4;
	struct acl_v6 *v6;
	size_t v4_count, v6_count;
};

/*
 * Adds entries: an address, a network such as 192.0.2.0/24, `local` (loopback, link-local and the
 * networks of this host's interfaces as they are now), `any` or `none`. field is named in errors.
 * 0, or -1 with an error: the list is as it was.
 */
int acl_read(struct acl *acl, const char *const *texts, size_t count, const char *field,
	     struct error *err);
void acl_free(struct acl *acl);

bool acl_has(const struct acl *acl, const struct sockaddr *address);

/* The network that a client is counted with: an IPv4 /24 or an IPv6 /56, as one number. */
uint64_t acl_network(const struct sockaddr *address);

#endif
