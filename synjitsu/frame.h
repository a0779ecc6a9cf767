/*
 * Ethernet frames: what is in them that Synjitsu must know, and those that it makes itself.
 * Nothing here keeps state or allocates.
 */
#ifndef JITSU_SYNJITSU_FRAME_H
#define JITSU_SYNJITSU_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAC      6
#define FRAME_MAX      65550 /* with everything that an interface may hand up at once */
#define FRAME_MADE_MAX 128   /* the longest of those that are made here */

enum frame_kind {
	FRAME_OTHER,   /* nothing of ours, or too short for what it says it is */
	FRAME_ARP,     /* request or reply for IPv4 over Ethernet (RFC 826) */
	FRAME_SOLICIT, /* neighbour solicitation (RFC 4861, 4.3) */
	FRAME_ADVERT,  /* neighbour advertisement (4.4) */
	FRAME_IP,      /* any other IPv4 or IPv6 */
};

struct address {
	uint8_t family; /* 4 or 6 */
	uint8_t bytes[16];
};

struct frame {
	const uint8_t *data;
	size_t size;
	enum frame_kind kind;
	const uint8_t *destination, *source; /* Ethernet's */
	bool request;			     /* ARP: a request, not a reply */
	struct address from;		     /* IP source; ARP: sender. All zero if it is probing */
	struct address to;   /* IP destination; ARP, solicit and advert: the target */
	const uint8_t *link; /* ARP: sender's MAC; ND: its link-layer option's, or NULL */
	uint8_t protocol; /* IP: of the payload; 0 if it is a fragment or behind options unknown */
	uint8_t tcp_flags;
	bool echo, echo_reply; /* ICMP echo request, and reply, of either family */
	uint16_t from_port, to_port;
	size_t payload; /* IP: where the transport's header begins */
};

#define FRAME_TCP   6
#define FRAME_UDP   17
#define FRAME_ICMP  1
#define FRAME_ICMP6 58

#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_RST 4
#define TCP_ACK 16

bool address_equal(const struct address *a, const struct address *b);
bool address_is_zero(const struct address *a);
size_t address_size(const struct address *a);

/* Views into data. */
void frame_parse(struct frame *frame, const uint8_t *data, size_t size);

/* Makes the sums of an IPv4 or IPv6 TCP, UDP or ICMPv6 frame whole: those of a local sender are
 * left for hardware to finish. Others, and fragments, are left as they are. */
void frame_finish_sums(uint8_t *data, size_t size);

/* Makers: into out, of FRAME_MADE_MAX bytes; the size. `as` is the Ethernet source. */

/* The reply to an ARP request, or the advertisement to a solicitation, for frame->to at mac. */
size_t frame_make_reply(uint8_t *out, const struct frame *question, const uint8_t *as,
			const uint8_t *mac);
/* To everybody: address is at mac. IPv4: RFC 5227, section 3; IPv6: RFC 4861, 7.2.6. */
size_t frame_make_announcement(uint8_t *out, const struct address *address, const uint8_t *as,
			       const uint8_t *mac);
/* The ARP request or solicitation for `to`, asked of mac by `from`, who is at `as`. */
size_t frame_make_question(uint8_t *out, const uint8_t *as, const uint8_t *mac,
			   const struct address *from, const struct address *to);
/* A SYN to `to`:to_port at mac. */
size_t frame_make_syn(uint8_t *out, const uint8_t *as, const uint8_t *mac,
		      const struct address *from, uint16_t from_port, const struct address *to,
		      uint16_t to_port, uint32_t sequence);

#endif
