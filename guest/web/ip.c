#include "ip.h"

#include "hyper.h"
#include "net.h"
#include "tcp.h"
#include "text.h"

#define NEIGHBOURS 32
#define WAITING	   32
#define FRESH	   (10 * HYPER_SECOND) /* after this a neighbour is asked again */

struct packet {
	struct wire_ethernet ethernet;
	struct wire_ip ip;
	uint8_t content[IP_CONTENT_MAX];
} WIRE_PACKED;

static uint32_t own, mask, gateway; /* as they are in packets */
static struct packet out;

static struct neighbour {
	uint32_t address;
	uint8_t mac[6];
	uint64_t heard;
} neighbours[NEIGHBOURS];

/* Packets for neighbours that have been asked for their MAC; the oldest makes room. */
static struct waiting {
	uint32_t hop; /* 0: free */
	size_t size;
	struct packet packet;
} waiting[WAITING];
static unsigned waiting_next;

static uint32_t parse_address(const char **at)
{
	uint32_t address = 0;

	for (unsigned i = 0; i < 4; i++) {
		address = address << 8 | (text_number(at) & 0xff);
		if (i < 3 && **at == '.')
			++*at;
	}
	return wire32(address);
}

bool ip_open(const char *address, const char *gateway_text)
{
	uint32_t bits = 24;

	own = parse_address(&address);
	if (*address == '/') {
		address++;
		bits = text_number(&address);
	}
	mask = bits == 0 ? 0 : wire32(UINT32_MAX << (32 - (bits > 32 ? 32 : bits)));
	gateway = parse_address(&gateway_text);
	return own != 0;
}

void *ip_content(void)
{
	return out.content;
}

static void send_arp(uint16_t operation, const uint8_t *mac, uint32_t target)
{
	struct {
		struct wire_ethernet ethernet;
		struct wire_arp arp;
	} WIRE_PACKED frame;

	memset(&frame, 0, sizeof(frame));
	memset(frame.ethernet.to, 0xff, 6);
	if (mac) {
		memcpy(frame.ethernet.to, mac, 6);
		memcpy(frame.arp.target_mac, mac, 6);
	}
	memcpy(frame.ethernet.from, net_mac(), 6);
	memcpy(frame.arp.sender_mac, net_mac(), 6);
	frame.ethernet.type = wire16(WIRE_TYPE_ARP);
	frame.arp.hardware = wire16(1);
	frame.arp.protocol = wire16(WIRE_TYPE_IP);
	frame.arp.hardware_size = 6;
	frame.arp.protocol_size = 4;
	frame.arp.operation = wire16(operation);
	frame.arp.sender = own;
	frame.arp.target = target;
	net_send(&frame, sizeof(frame));
}

/* RFC 5227, section 2.3: a request whose sender is its target. */
void ip_announce(void)
{
	send_arp(WIRE_ARP_REQUEST, NULL, own);
}

static struct neighbour *find(uint32_t address)
{
	for (unsigned i = 0; i < NEIGHBOURS; i++) {
		if (neighbours[i].address == address)
			return &neighbours[i];
	}
	return NULL;
}

static struct neighbour *oldest(void)
{
	struct neighbour *found = &neighbours[0];

	for (unsigned i = 1; i < NEIGHBOURS; i++) {
		if (neighbours[i].heard < found->heard)
			found = &neighbours[i];
	}
	return found;
}

static void learn(struct neighbour *neighbour, uint32_t address, const uint8_t *mac)
{
	neighbour->address = address;
	memcpy(neighbour->mac, mac, 6);
	neighbour->heard = hyper_now();
	for (unsigned i = 0; i < WAITING; i++) {
		struct waiting *w = &waiting[(waiting_next + i) % WAITING];
		if (w->hop != address)
			continue;
		w->hop = 0;
		memcpy(w->packet.ethernet.to, mac, 6);
		net_send(&w->packet, w->size);
	}
}

/* RFC 826's order: who is known is updated, who speaks to us becomes known, and is answered. */
static void receive_arp(const struct wire_arp *arp)
{
	if (arp->hardware != wire16(1) || arp->protocol != wire16(WIRE_TYPE_IP) ||
	    arp->hardware_size != 6 || arp->protocol_size != 4)
		return;
	if (arp->sender != 0 && arp->sender != own) {
		struct neighbour *known = find(arp->sender);
		if (known || arp->target == own)
			learn(known ? known : oldest(), arp->sender, arp->sender_mac);
	}
	if (arp->operation == wire16(WIRE_ARP_REQUEST) && arp->target == own && arp->sender != own)
		send_arp(WIRE_ARP_REPLY, arp->sender_mac, arp->sender);
}

uint32_t ip_pseudo_sum(uint32_t peer, uint8_t protocol, size_t size)
{
	return wire_sum(wire_sum(0, &peer, 4), &own, 4) + protocol + (uint32_t)size;
}

void ip_send(uint32_t to, uint8_t protocol, size_t size)
{
	static uint16_t id;
	uint32_t hop = (to & mask) == (own & mask) || gateway == 0 ? to : gateway;
	size_t total = sizeof(out.ip) + size;
	size_t frame_size = sizeof(out.ethernet) + total;

	out.ip = (struct wire_ip){
		.version_length = 0x45,
		.size = wire16((uint16_t)total),
		.id = wire16(id++),
		.fragment = wire16(0x4000), /* not to be fragmented */
		.ttl = 64,
		.protocol = protocol,
		.from = own,
		.to = to,
	};
	out.ip.checksum = wire_checksum(wire_sum(0, &out.ip, sizeof(out.ip)));
	out.ethernet.type = wire16(WIRE_TYPE_IP);
	memcpy(out.ethernet.from, net_mac(), 6);

	struct neighbour *neighbour = find(hop);
	if (neighbour) {
		memcpy(out.ethernet.to, neighbour->mac, 6);
		net_send(&out, frame_size);
		if (hyper_now() - neighbour->heard > FRESH)
			send_arp(WIRE_ARP_REQUEST, NULL, hop);
		return;
	}
	struct waiting *w = &waiting[waiting_next++ % WAITING];
	w->hop = hop;
	w->size = frame_size;
	memcpy(&w->packet, &out, frame_size);
	send_arp(WIRE_ARP_REQUEST, NULL, hop);
}

static void receive_icmp(uint32_t from, const struct wire_icmp *icmp, size_t size)
{
	struct wire_icmp *reply = ip_content();

	if (size < sizeof(*icmp) || size > IP_CONTENT_MAX || icmp->type != WIRE_ECHO_REQUEST ||
	    wire_checksum(wire_sum(0, icmp, size)) != 0)
		return;
	memcpy(reply, icmp, size);
	reply->type = WIRE_ECHO_REPLY;
	reply->checksum = 0;
	reply->checksum = wire_checksum(wire_sum(0, reply, size));
	ip_send(from, WIRE_ICMP, size);
}

static void receive_ip(const struct wire_ip *ip, size_t size, bool trusted)
{
	size_t header = (size_t)(ip->version_length & 15) * 4;
	size_t total = wire16(ip->size);

	if (ip->version_length >> 4 != 4 || header < sizeof(*ip) || total < header ||
	    total > size || ip->to != own || (ip->fragment & wire16(0x3fff)) != 0 ||
	    wire_checksum(wire_sum(0, ip, header)) != 0)
		return;
	const uint8_t *content = (const uint8_t *)ip + header;
	if (ip->protocol == WIRE_ICMP)
		receive_icmp(ip->from, (const struct wire_icmp *)content, total - header);
	else if (ip->protocol == WIRE_TCP)
		tcp_receive(ip->from, content, total - header, trusted);
}

void ip_receive(uint8_t *frame, size_t size, bool trusted)
{
	const struct wire_ethernet *ethernet = (const struct wire_ethernet *)frame;
	const void *content = frame + sizeof(*ethernet);
	size_t left = size - sizeof(*ethernet);

	if (size < sizeof(*ethernet) || own == 0 ||
	    (!(ethernet->to[0] & 1) && memcmp(ethernet->to, net_mac(), 6) != 0))
		return;
	if (ethernet->type == wire16(WIRE_TYPE_ARP) && left >= sizeof(struct wire_arp))
		receive_arp(content);
	else if (ethernet->type == wire16(WIRE_TYPE_IP) && left >= sizeof(struct wire_ip))
		receive_ip(content, left, trusted);
}
