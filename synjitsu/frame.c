#include "frame.h"

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <netinet/in.h>
#include <string.h>

#define ETHERNET 14
#define ARP_SIZE 28
#define IP4_MIN	 20
#define IP6_SIZE 40
#define ND_SIZE	 24 /* of solicitation and advertisement, before options */
#define ND_LINK	 8  /* a link-layer option of Ethernet */
#define TCP_MIN	 20

enum { TYPE_IP4 = 0x0800, TYPE_ARP = 0x0806, TYPE_IP6 = 0x86dd };
enum { ARP_REQUEST = 1, ARP_REPLY = 2 };
enum { LINK_SOURCE = 1, LINK_TARGET = 2 };

static const uint8_t everybody[FRAME_MAC] = { 255, 255, 255, 255, 255, 255 };
static const uint8_t all_nodes_mac[FRAME_MAC] = { 0x33, 0x33, 0, 0, 0, 1 };
static const uint8_t all_nodes[16] = { 0xff, 2, [15] = 1 };

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, unsigned value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static void set_address(struct address *a, uint8_t family, const uint8_t *bytes)
{
	memset(a, 0, sizeof *a);
	a->family = family;
	memcpy(a->bytes, bytes, address_size(a));
}

size_t address_size(const struct address *a)
{
	return a->family == 4 ? 4 : 16;
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, address_size(a)) == 0;
}

bool address_is_zero(const struct address *a)
{
	static const uint8_t zero[16];

	return memcmp(a->bytes, zero, address_size(a)) == 0;
}

static void parse_arp(struct frame *f)
{
	static const uint8_t ethernet_ip4[] = { 0, 1, 8, 0, 6, 4 };
	const uint8_t *arp = f->data + ETHERNET;
	unsigned operation;

	if (f->size < ETHERNET + ARP_SIZE || memcmp(arp, ethernet_ip4, sizeof ethernet_ip4) != 0)
		return;
	operation = get16(arp + 6);
	if (operation != ARP_REQUEST && operation != ARP_REPLY)
		return;
	f->kind = FRAME_ARP;
	f->request = operation == ARP_REQUEST;
	f->link = arp + 8;
	set_address(&f->from, 4, arp + 14);
	set_address(&f->to, 4, arp + 24);
}

static void parse_nd(struct frame *f, const uint8_t *nd, size_t size)
{
	uint8_t wanted = nd[0] == ND_NEIGHBOR_SOLICIT ? LINK_SOURCE : LINK_TARGET;

	if (size < ND_SIZE || nd[1] != 0)
		return;
	f->kind = nd[0] == ND_NEIGHBOR_SOLICIT ? FRAME_SOLICIT : FRAME_ADVERT;
	set_address(&f->to, 6, nd + 8);
	for (size_t at = ND_SIZE; at + ND_LINK <= size && nd[at + 1]; at += nd[at + 1] * 8u)
		if (nd[at] == wanted) {
			f->link = nd + at + 2;
			return;
		}
}

static void parse_transport(struct frame *f, uint8_t protocol, size_t at)
{
	const uint8_t *p = f->data + at;
	size_t size = f->size - at;

	f->payload = at;
	f->protocol = protocol;
	if ((protocol == FRAME_TCP && size < TCP_MIN) || (protocol == FRAME_UDP && size < 8) ||
	    ((protocol == FRAME_ICMP || protocol == FRAME_ICMP6) && size < 8)) {
		f->protocol = 0;
	} else if (protocol == FRAME_TCP || protocol == FRAME_UDP) {
		f->from_port = get16(p);
		f->to_port = get16(p + 2);
		if (protocol == FRAME_TCP)
			f->tcp_flags = p[13];
	} else if (protocol == FRAME_ICMP) {
		f->echo = p[0] == ICMP_ECHO;
		f->echo_reply = p[0] == ICMP_ECHOREPLY;
	} else if (protocol == FRAME_ICMP6) {
		f->echo = p[0] == ICMP6_ECHO_REQUEST;
		f->echo_reply = p[0] == ICMP6_ECHO_REPLY;
		if (p[0] == ND_NEIGHBOR_SOLICIT || p[0] == ND_NEIGHBOR_ADVERT)
			parse_nd(f, p, size);
	}
}

static void parse_ip4(struct frame *f)
{
	const uint8_t *ip = f->data + ETHERNET;
	size_t head, total;

	if (f->size < ETHERNET + IP4_MIN || ip[0] >> 4 != 4)
		return;
	head = (size_t)(ip[0] & 15) * 4;
	total = get16(ip + 2);
	if (head < IP4_MIN || total < head || f->size < ETHERNET + total)
		return;
	f->size = ETHERNET + total; /* without Ethernet's padding */
	f->kind = FRAME_IP;
	set_address(&f->from, 4, ip + 12);
	set_address(&f->to, 4, ip + 16);
	if ((get16(ip + 6) & 0x3fff) == 0) /* neither a fragment nor the first of some */
		parse_transport(f, ip[9], ETHERNET + head);
}

static void parse_ip6(struct frame *f)
{
	const uint8_t *ip = f->data + ETHERNET;
	size_t total;

	if (f->size < ETHERNET + IP6_SIZE || ip[0] >> 4 != 6)
		return;
	total = IP6_SIZE + get16(ip + 4);
	if (f->size < ETHERNET + total)
		return;
	f->size = ETHERNET + total;
	f->kind = FRAME_IP;
	set_address(&f->from, 6, ip + 8);
	set_address(&f->to, 6, ip + 24);
	parse_transport(f, ip[6], ETHERNET + IP6_SIZE);
}

void frame_parse(struct frame *f, const uint8_t *data, size_t size)
{
	memset(f, 0, sizeof *f);
	f->data = data;
	f->size = size;
	if (size < ETHERNET)
		return;
	f->destination = data;
	f->source = data + FRAME_MAC;
	switch (get16(data + 12)) {
	case TYPE_ARP:
		parse_arp(f);
		break;
	case TYPE_IP4:
		parse_ip4(f);
		break;
	case TYPE_IP6:
		parse_ip6(f);
		break;
	}
}

/* RFC 1071. */
static uint32_t add_up(uint32_t sum, const uint8_t *p, size_t size)
{
	for (; size > 1; p += 2, size -= 2)
		sum += get16(p);
	return size ? sum + ((uint32_t)*p << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint16_t transport_sum(const struct frame *f)
{
	size_t size = f->size - f->payload;
	bool ip4 = f->from.family == 4;
	/* Both addresses, one after the other. */
	uint32_t sum = add_up((uint32_t)size + f->protocol, f->data + ETHERNET + (ip4 ? 12 : 8),
			      ip4 ? 8 : 32);

	return fold(add_up(sum, f->data + f->payload, size));
}

static const struct {
	uint8_t protocol, at;
} sums[] = { { FRAME_TCP, 16 }, { FRAME_UDP, 6 }, { FRAME_ICMP6, 2 } };

void frame_finish_sums(uint8_t *data, size_t size)
{
	struct frame f;

	frame_parse(&f, data, size);
	if (!f.payload)
		return;
	for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
		uint8_t *at = data + f.payload + sums[i].at;
		uint16_t sum;

		if (f.protocol != sums[i].protocol)
			continue;
		if (f.protocol == FRAME_UDP && f.from.family == 4 && get16(at) == 0)
			return; /* its sender wants none (RFC 768) */
		put16(at, 0);
		sum = transport_sum(&f);
		put16(at, f.protocol == FRAME_UDP && sum == 0 ? 0xffff : sum);
	}
}

static uint8_t *put_ethernet(uint8_t *out, const uint8_t *to, const uint8_t *as, unsigned type)
{
	memcpy(out, to, FRAME_MAC);
	memcpy(out + FRAME_MAC, as, FRAME_MAC);
	put16(out + 2 * FRAME_MAC, type);
	return out + ETHERNET;
}

static size_t make_arp(uint8_t *out, const uint8_t *to, const uint8_t *as, unsigned operation,
		       const uint8_t *sender_mac, const uint8_t *sender, const uint8_t *target_mac,
		       const uint8_t *target)
{
	static const uint8_t ethernet_ip4[] = { 0, 1, 8, 0, 6, 4 };
	uint8_t *arp = put_ethernet(out, to, as, TYPE_ARP);

	memcpy(arp, ethernet_ip4, sizeof ethernet_ip4);
	put16(arp + 6, operation);
	memcpy(arp + 8, sender_mac, FRAME_MAC);
	memcpy(arp + 14, sender, 4);
	memcpy(arp + 18, target_mac, FRAME_MAC);
	memcpy(arp + 24, target, 4);
	return ETHERNET + ARP_SIZE;
}

static uint8_t *put_ip6(uint8_t *ip, const uint8_t *from, const uint8_t *to, uint8_t protocol,
			size_t size)
{
	memset(ip, 0, IP6_SIZE);
	ip[0] = 0x60;
	put16(ip + 4, (unsigned)size);
	ip[6] = protocol;
	ip[7] = 255;
	memcpy(ip + 8, from, 16);
	memcpy(ip + 24, to, 16);
	return ip + IP6_SIZE;
}

static uint8_t *put_ip4(uint8_t *ip, const uint8_t *from, const uint8_t *to, uint8_t protocol,
			size_t size)
{
	memset(ip, 0, IP4_MIN);
	ip[0] = 0x45;
	put16(ip + 2, (unsigned)(IP4_MIN + size));
	ip[6] = 0x40; /* not to be fragmented */
	ip[8] = 64;
	ip[9] = protocol;
	memcpy(ip + 12, from, 4);
	memcpy(ip + 16, to, 4);
	put16(ip + 10, fold(add_up(0, ip, IP4_MIN)));
	return ip + IP4_MIN;
}

static size_t make_advert(uint8_t *out, const uint8_t *to_mac, const uint8_t *as, const uint8_t *to,
			  const struct address *address, const uint8_t *mac, bool solicited)
{
	size_t size = ND_SIZE + ND_LINK;
	uint8_t *ip = put_ethernet(out, to_mac, as, TYPE_IP6);
	uint8_t *nd = put_ip6(ip, address->bytes, to, FRAME_ICMP6, size);

	memset(nd, 0, size);
	nd[0] = ND_NEIGHBOR_ADVERT;
	nd[4] = (uint8_t)(0x20 | (solicited ? 0x40 : 0)); /* override */
	memcpy(nd + 8, address->bytes, 16);
	nd[ND_SIZE] = LINK_TARGET;
	nd[ND_SIZE + 1] = 1;
	memcpy(nd + ND_SIZE + 2, mac, FRAME_MAC);
	frame_finish_sums(out, ETHERNET + IP6_SIZE + size);
	return ETHERNET + IP6_SIZE + size;
}

size_t frame_make_reply(uint8_t *out, const struct frame *q, const uint8_t *as, const uint8_t *mac)
{
	if (q->kind == FRAME_ARP)
		return make_arp(out, q->link, as, ARP_REPLY, mac, q->to.bytes, q->link,
				q->from.bytes);
	if (address_is_zero(&q->from)) /* somebody tries whether it is free: RFC 4862, 5.4 */
		return make_advert(out, all_nodes_mac, as, all_nodes, &q->to, mac, false);
	return make_advert(out, q->source, as, q->from.bytes, &q->to, mac, true);
}

size_t frame_make_announcement(uint8_t *out, const struct address *address, const uint8_t *as,
			       const uint8_t *mac)
{
	static const uint8_t nobody[FRAME_MAC];

	if (address->family == 4)
		return make_arp(out, everybody, as, ARP_REQUEST, mac, address->bytes, nobody,
				address->bytes);
	return make_advert(out, all_nodes_mac, as, all_nodes, address, mac, false);
}

size_t frame_make_question(uint8_t *out, const uint8_t *as, const uint8_t *mac,
			   const struct address *from, const struct address *to)
{
	static const uint8_t nobody[FRAME_MAC];
	size_t size = ND_SIZE + ND_LINK;
	uint8_t *nd;

	if (to->family == 4)
		return make_arp(out, mac, as, ARP_REQUEST, as, from->bytes, nobody, to->bytes);
	nd = put_ip6(put_ethernet(out, mac, as, TYPE_IP6), from->bytes, to->bytes, FRAME_ICMP6,
		     size);
	memset(nd, 0, size);
	nd[0] = ND_NEIGHBOR_SOLICIT;
	memcpy(nd + 8, to->bytes, 16);
	nd[ND_SIZE] = LINK_SOURCE;
	nd[ND_SIZE + 1] = 1;
	memcpy(nd + ND_SIZE + 2, as, FRAME_MAC);
	frame_finish_sums(out, ETHERNET + IP6_SIZE + size);
	return ETHERNET + IP6_SIZE + size;
}

size_t frame_make_syn(uint8_t *out, const uint8_t *as, const uint8_t *mac,
		      const struct address *from, uint16_t from_port, const struct address *to,
		      uint16_t to_port, uint32_t sequence)
{
	uint8_t *ip = put_ethernet(out, mac, as, to->family == 4 ? TYPE_IP4 : TYPE_IP6);
	uint8_t *tcp = to->family == 4 ? put_ip4(ip, from->bytes, to->bytes, FRAME_TCP, TCP_MIN)
				       : put_ip6(ip, from->bytes, to->bytes, FRAME_TCP, TCP_MIN);
	size_t size = (size_t)(tcp - out) + TCP_MIN;

	memset(tcp, 0, TCP_MIN);
	put16(tcp, from_port);
	put16(tcp + 2, to_port);
	put16(tcp + 4, sequence >> 16);
	put16(tcp + 6, sequence & 0xffff);
	tcp[12] = TCP_MIN / 4 << 4;
	tcp[13] = TCP_SYN;
	put16(tcp + 14, 1024);
	frame_finish_sums(out, size);
	return size;
}
