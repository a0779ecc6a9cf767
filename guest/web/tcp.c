#include "tcp.h"

#include "hyper.h"
#include "ip.h"
#include "text.h"
#include "wire.h"

#define CONNECTIONS 128
#define WINDOW	    8192
#define FIRST_RETRY HYPER_SECOND /* RFC 6298, section 2.1 */
#define TRIES	    5
#define IDLE	    (30 * HYPER_SECOND) /* without a whole request, or without the peer's FIN */
#define TIME_WAIT   (2 * HYPER_SECOND)

/* Our FIN goes with the answer: RFC 9293's FIN-WAIT-1, CLOSING and LAST-ACK are one state here. */
enum state {
	FREE,
	SYN_RECEIVED, /* our SYN is not acknowledged */
	ESTABLISHED,  /* a request is being read */
	ANSWERED,     /* our answer and FIN are not acknowledged */
	FIN_WAIT,     /* the peer's FIN is not there */
	TIMED_WAIT,   /* all is done, but for the peer's doubts */
};

static struct connection {
	enum state state;
	uint32_t peer;
	uint16_t port;	  /* the peer's, as it is in packets */
	uint32_t first;	  /* our SYN's sequence number */
	uint32_t next;	  /* what we expect of the peer */
	uint32_t largest; /* behind all that we have sent */
	uint64_t due;	  /* of the retry in SYN_RECEIVED and ANSWERED, else of the end */
	unsigned tries;
	unsigned read;	 /* of the request */
	unsigned line;	 /* of its last line */
	bool foreign;	 /* it is not a GET */
	bool peer_ended; /* the peer's FIN is there */
	const char *answer;
	size_t answer_size;
} connections[CONNECTIONS];

static const char *page;
static size_t page_size;
static const char not_a_get[] =
	"HTTP/1.0 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

void tcp_listen(const char *answer, size_t size)
{
	page = answer;
	page_size = size;
}

/* The difference of two sequence numbers: negative if a comes before b. */
static int32_t compare(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

static void send(uint32_t peer, uint16_t port, uint16_t own_port, uint32_t sequence,
		 uint32_t acknowledged, uint8_t flags, const char *data, size_t size)
{
	static const uint8_t segment_size[4] = { 2, 4, 1460 >> 8, 1460 & 0xff }; /* MSS */
	struct wire_tcp *tcp = ip_content();
	size_t header = sizeof(*tcp);

	if (flags & WIRE_SYN) {
		memcpy((uint8_t *)tcp + header, segment_size, sizeof(segment_size));
		header += sizeof(segment_size);
	}
	*tcp = (struct wire_tcp){
		.from = own_port,
		.to = port,
		.sequence = wire32(sequence),
		.acknowledged = wire32(acknowledged),
		.offset = (uint8_t)(header / 4 << 4),
		.flags = flags,
		.window = wire16(WINDOW),
	};
	memcpy((uint8_t *)tcp + header, data, size);
	size += header;
	tcp->checksum = wire_checksum(wire_sum(ip_pseudo_sum(peer, WIRE_TCP, size), tcp, size));
	ip_send(peer, WIRE_TCP, size);
}

static void acknowledge(const struct connection *c)
{
	send(c->peer, c->port, wire16(TCP_PORT), c->largest, c->next, WIRE_ACK, NULL, 0);
}

/* RFC 9293, section 3.10.7.1: for a segment that no connection expects. */
static void refuse(uint32_t peer, const struct wire_tcp *tcp, size_t size)
{
	if (tcp->flags & WIRE_RST)
		return;
	if (tcp->flags & WIRE_ACK)
		send(peer, tcp->from, tcp->to, wire32(tcp->acknowledged), 0, WIRE_RST, NULL, 0);
	else
		send(peer, tcp->from, tcp->to, 0,
		     wire32(tcp->sequence) + (uint32_t)size + !!(tcp->flags & WIRE_SYN) +
			     !!(tcp->flags & WIRE_FIN),
		     WIRE_RST | WIRE_ACK, NULL, 0);
}

/* Sends what waits for an acknowledgement, for the first time or again. */
static void send_waiting(struct connection *c)
{
	if (c->state == SYN_RECEIVED)
		send(c->peer, c->port, wire16(TCP_PORT), c->first, c->next, WIRE_SYN | WIRE_ACK,
		     NULL, 0);
	else
		send(c->peer, c->port, wire16(TCP_PORT), c->first + 1, c->next,
		     WIRE_FIN | WIRE_ACK | (c->answer_size ? WIRE_PSH : 0), c->answer,
		     c->answer_size);
	c->due = hyper_now() + (FIRST_RETRY << c->tries++);
}

static void enter(struct connection *c, enum state state, uint64_t limit)
{
	c->state = state;
	c->tries = 0;
	c->due = hyper_now() + limit;
}

static struct connection *find(uint32_t peer, uint16_t port)
{
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		struct connection *c = &connections[i];
		if (c->state != FREE && c->peer == peer && c->port == port)
			return c;
	}
	return NULL;
}

/* A free one, or the most dispensable: one that is done, or one that was never more than a SYN. */
static struct connection *room(void)
{
	struct connection *found = NULL;

	for (unsigned i = 0; i < CONNECTIONS; i++) {
		struct connection *c = &connections[i];
		if (c->state == FREE)
			return c;
		if (c->state != TIMED_WAIT && c->state != SYN_RECEIVED)
			continue;
		if (!found ||
		    (c->state == found->state ? c->due < found->due : c->state == TIMED_WAIT))
			found = c;
	}
	return found;
}

static void accept(uint32_t peer, const struct wire_tcp *tcp)
{
	struct connection *c = room();

	if (!c)
		return;
	*c = (struct connection){
		.peer = peer,
		.port = tcp->from,
		.first = (uint32_t)(hyper_now() / 4000) + peer * 2654435761u + tcp->from * 40503u,
		.next = wire32(tcp->sequence) + 1,
	};
	c->largest = c->first + 1;
	enter(c, SYN_RECEIVED, 0);
	send_waiting(c);
}

static void answer(struct connection *c, const char *text, size_t size)
{
	c->answer = text;
	c->answer_size = size;
	c->largest = c->first + 1 + (uint32_t)size + 1;
	enter(c, ANSWERED, 0);
	send_waiting(c);
}

/* Whether the request is whole: an empty line, ended by LF or CR LF. */
static bool read_request(struct connection *c, const uint8_t *data, size_t size)
{
	bool whole = false;

	for (size_t i = 0; i < size && !whole; i++) {
		if (c->read < 4 && data[i] != "GET "[c->read])
			c->foreign = true;
		c->read++;
		if (data[i] == '\n') {
			whole = c->line == 0;
			c->line = 0;
		} else if (data[i] != '\r') {
			c->line++;
		}
	}
	return whole;
}

/* What is in order of the segment's data and FIN; true if there was something to acknowledge. */
static void take(struct connection *c, const struct wire_tcp *tcp, const uint8_t *data, size_t size)
{
	uint32_t sequence = wire32(tcp->sequence);
	bool fin = tcp->flags & WIRE_FIN;
	uint32_t known = c->next - sequence;
	bool whole = false;

	if (size + fin == 0)
		return;
	if (known > size || (known == size && !fin)) { /* out of order, or all of it known */
		acknowledge(c);
		return;
	}
	c->next = sequence + (uint32_t)size;
	if (c->state == ESTABLISHED)
		whole = read_request(c, data + known, size - known);
	if (fin && !c->peer_ended) {
		c->next++;
		c->peer_ended = true;
	}
	if (c->state == ESTABLISHED && whole) {
		answer(c, c->foreign ? not_a_get : page,
		       c->foreign ? sizeof(not_a_get) - 1 : page_size);
		return;
	}
	if (c->state == ESTABLISHED && c->peer_ended) {
		answer(c, NULL, 0);
		return;
	}
	if (c->state == FIN_WAIT && c->peer_ended)
		enter(c, TIMED_WAIT, TIME_WAIT);
	acknowledge(c);
}

/* False: the segment is of no use to the connection any more. */
static bool take_acknowledgement(struct connection *c, const struct wire_tcp *tcp)
{
	uint32_t acknowledged = wire32(tcp->acknowledged);

	if (c->state == SYN_RECEIVED) {
		if (acknowledged != c->largest) {
			send(c->peer, c->port, wire16(TCP_PORT), acknowledged, 0, WIRE_RST, NULL,
			     0);
			return false;
		}
		enter(c, ESTABLISHED, IDLE);
	} else if (compare(acknowledged, c->largest) > 0) {
		acknowledge(c);
		return false;
	} else if (c->state == ANSWERED && acknowledged == c->largest) {
		if (c->peer_ended) {
			c->state = FREE;
			return false;
		}
		enter(c, FIN_WAIT, IDLE);
	}
	return true;
}

static void receive(struct connection *c, const struct wire_tcp *tcp, const uint8_t *data,
		    size_t size)
{
	uint32_t sequence = wire32(tcp->sequence);

	if (tcp->flags & WIRE_RST) { /* RFC 5961: only the exact one */
		if (sequence == c->next)
			c->state = FREE;
		return;
	}
	if (tcp->flags & WIRE_SYN) {
		if (c->state == SYN_RECEIVED && sequence + 1 == c->next) {
			send_waiting(c);
		} else if (c->state == TIMED_WAIT && compare(sequence, c->next) > 0) {
			c->state = FREE;
			accept(c->peer, tcp);
		} else {
			acknowledge(c);
		}
		return;
	}
	if ((tcp->flags & WIRE_ACK) && take_acknowledgement(c, tcp))
		take(c, tcp, data, size);
}

void tcp_receive(uint32_t peer, const void *segment, size_t size, bool trusted)
{
	const struct wire_tcp *tcp = segment;
	size_t header = size >= sizeof(*tcp) ? (size_t)(tcp->offset >> 4) * 4 : 0;

	if (header < sizeof(*tcp) || header > size ||
	    (!trusted &&
	     wire_checksum(wire_sum(ip_pseudo_sum(peer, WIRE_TCP, size), segment, size)) != 0))
		return;
	struct connection *c = tcp->to == wire16(TCP_PORT) ? find(peer, tcp->from) : NULL;
	if (c)
		receive(c, tcp, (const uint8_t *)segment + header, size - header);
	else if (page && tcp->to == wire16(TCP_PORT) &&
		 (tcp->flags & (WIRE_SYN | WIRE_ACK | WIRE_RST)) == WIRE_SYN)
		accept(peer, tcp);
	else
		refuse(peer, tcp, size - header);
}

static void expire(struct connection *c)
{
	bool retry = c->state == SYN_RECEIVED || c->state == ANSWERED;

	if (retry && c->tries < TRIES) {
		send_waiting(c);
		return;
	}
	if (c->state != TIMED_WAIT)
		send(c->peer, c->port, wire16(TCP_PORT), c->largest, c->next, WIRE_RST | WIRE_ACK,
		     NULL, 0);
	c->state = FREE;
}

uint64_t tcp_timers(uint64_t now)
{
	uint64_t next = HYPER_NEVER;

	for (unsigned i = 0; i < CONNECTIONS; i++) {
		struct connection *c = &connections[i];
		if (c->state != FREE && c->due <= now)
			expire(c);
		if (c->state != FREE && c->due < next)
			next = c->due;
	}
	return next;
}
