/*
 * The OPT record (RFC 6891) of packets that pass through us. It is hop-by-hop: of what a client and
 * an upstream say in it, we pass on what is about the question or its answer, and leave out what
 * is about the connection between two servers:
 *
 *   left out   NSID (RFC 5001, 2.1), COOKIE (7873), edns-tcp-keepalive (7828), PADDING (7830)
 *   replaced   the payload size, by ours
 *   passed on  DO and all other flags, the extended rcode, every other option: Client Subnet
 * (7871), extended errors (8914), algorithms understood (6975), and those not yet known
 */
#ifndef JITSU_DNS_OPT_H
#define JITSU_DNS_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPT_SIZE 11 /* of an OPT record without options */

struct opt {
	size_t at, size; /* the whole record in the packet; at 0: there is none */
	bool last;	 /* nothing follows it */
	bool sealed;	 /* the packet is signed (TSIG, SIG(0)): it must stay as it is */
};

/* Walks all records. 0, or -1 if the packet is malformed, has two OPTs, or more bytes than records.
 */
int opt_find(const uint8_t *packet, size_t size, struct opt *opt);

/* Changes the packet in place as said above; nothing if it is sealed or has none. Its new size. An
 * option that is left out of an OPT amid other records becomes padding: nothing may move there. */
size_t opt_clean(uint8_t *packet, size_t size, const struct opt *opt, uint16_t payload);
/* Takes the OPT away, if it is the last record. The new size. */
size_t opt_drop(uint8_t *packet, size_t size, const struct opt *opt);
/* Adds an empty one; the packet has none, and room for OPT_SIZE bytes more. The new size. */
size_t opt_add(uint8_t *packet, size_t size, uint16_t payload, bool dnssec_ok);

/* Adds an option to the OPT, if that is the last record and there is room. The new size. */
size_t opt_append(uint8_t *packet, size_t size, size_t room, uint16_t code, const void *data,
		  uint16_t data_size);

#endif
