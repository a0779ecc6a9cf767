/* ARP (RFC 826, 5227), IPv4 without fragments and options, and the answer to ping. */
#ifndef WEB_IP_H
#define WEB_IP_H

#include <stdbool.h>
#include "wire.h"

/* ADDRESS/BITS, the bits 24 if they are not there; a gateway or "". False: there is no address. */
bool ip_open(const char *address, const char *gateway);

/* Tells everyone on the wire who has our address. */
void ip_announce(void);

/* A frame from the wire; calls tcp_receive with what is for it. */
void ip_receive(uint8_t *frame, size_t size, bool trusted);

/* Where to write the next packet's content, of at most IP_CONTENT_MAX bytes, before ip_send. */
#define IP_CONTENT_MAX (WIRE_FRAME_MAX - sizeof(struct wire_ethernet) - sizeof(struct wire_ip))
void *ip_content(void);

/* Sends what is there; an address whose MAC is not known is asked for it, and the packet waits. */
void ip_send(uint32_t to, uint8_t protocol, size_t size);

/* The sum over TCP's pseudo-header, for a packet from the peer or to it. */
uint32_t ip_pseudo_sum(uint32_t peer, uint8_t protocol, size_t size);

#endif
