/* Headers as they lie in a frame, and the checksum of RFC 1071. Numbers there are big-endian. */
#ifndef WEB_WIRE_H
#define WEB_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define WIRE_FRAME_MAX 1514
#define WIRE_PACKED    __attribute__((packed))

#define WIRE_TYPE_IP  0x0800
#define WIRE_TYPE_ARP 0x0806

struct wire_ethernet {
	uint8_t to[6], from[6];
	uint16_t type;
} WIRE_PACKED;

struct wire_arp { /* RFC 826, for IPv4 on Ethernet */
	uint16_t hardware, protocol;
	uint8_t hardware_size, protocol_size;
	uint16_t operation;
	uint8_t sender_mac[6];
	uint32_t sender;
	uint8_t target_mac[6];
	uint32_t target;
} WIRE_PACKED;

#define WIRE_ARP_REQUEST 1
#define WIRE_ARP_REPLY	 2

struct wire_ip { /* RFC 791 */
	uint8_t version_length, service;
	uint16_t size, id, fragment;
	uint8_t ttl, protocol;
	uint16_t checksum;
	uint32_t from, to;
} WIRE_PACKED;

#define WIRE_ICMP 1
#define WIRE_TCP  6

struct wire_icmp { /* RFC 792, echo */
	uint8_t type, code;
	uint16_t checksum, id, sequence;
} WIRE_PACKED;

#define WIRE_ECHO_REPLY	  0
#define WIRE_ECHO_REQUEST 8

struct wire_tcp { /* RFC 9293 */
	uint16_t from, to;
	uint32_t sequence, acknowledged;
	uint8_t offset, flags; /* the offset in the upper four bits, in words */
	uint16_t window, checksum, urgent;
} WIRE_PACKED;

#define WIRE_FIN 0x01
#define WIRE_SYN 0x02
#define WIRE_RST 0x04
#define WIRE_PSH 0x08
#define WIRE_ACK 0x10

static inline uint16_t wire16(uint16_t value)
{
	return __builtin_bswap16(value);
}

static inline uint32_t wire32(uint32_t value)
{
	return __builtin_bswap32(value);
}

/* Goes on from `sum`, 0 at the start; all pieces but the last have an even size. */
static inline uint32_t wire_sum(uint32_t sum, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	for (; size > 1; size -= 2, bytes += 2)
		sum += (uint32_t)bytes[0] << 8 | bytes[1];
	return size ? sum + ((uint32_t)bytes[0] << 8) : sum;
}

/* What goes into the header; over data with a right checksum in it, it is 0. */
static inline uint16_t wire_checksum(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return wire16((uint16_t)~sum);
}

#endif
