/*
 * DNS packets, by way of libknot: what a query asks, what an answer looks like. No state but
 * working memory; nothing here calls back or blocks. Sizes are bytes, TTLs seconds.
 */
#ifndef JITSU_DNS_WIRE_H
#define JITSU_DNS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_NAME_MAX	 255
#define WIRE_HEADER_SIZE 12
#define WIRE_UDP_MIN	 512  /* what every client takes (RFC 1035, 4.2.1) */
#define WIRE_UDP_MAX	 1232 /* what we take and send with EDNS: never fragmented */
#define WIRE_PACKET_MAX	 65535
/* At most so many addresses in one answer: they fit a message of either family. */
#define WIRE_ADDRESSES_MAX 2048

/* The codes used outside wire.c (IANA's numbers). */
enum {
	WIRE_A = 1,
	WIRE_NS = 2,
	WIRE_SOA = 6,
	WIRE_PTR = 12,
	WIRE_HINFO = 13,
	WIRE_TXT = 16,
	WIRE_AAAA = 28,
	WIRE_IXFR = 251,
	WIRE_AXFR = 252,
	WIRE_ANY = 255
};
enum { WIRE_IN = 1, WIRE_CH = 3 };
enum {
	WIRE_NOERROR = 0,
	WIRE_FORMERR = 1,
	WIRE_SERVFAIL = 2,
	WIRE_NXDOMAIN = 3,
	WIRE_NOTIMP = 4,
	WIRE_REFUSED = 5,
	WIRE_BADVERS = 16,
	WIRE_BADCOOKIE = 23
};
/* Extended errors, RFC 8914 section 5.2. */
enum {
	WIRE_EDE_NONE = -1,
	WIRE_EDE_OTHER = 0,
	WIRE_EDE_CACHED_ERROR = 13,
	WIRE_EDE_NOT_READY = 14,
	WIRE_EDE_PROHIBITED = 18,
	WIRE_EDE_NOT_AUTHORITATIVE = 20,
	WIRE_EDE_NOT_SUPPORTED = 21,
	WIRE_EDE_NO_REACHABLE_AUTHORITY = 22
};

enum wire_verdict {
	WIRE_DROP,  /* no header, or a response: say nothing */
	WIRE_ERROR, /* answer with query.rcode */
	WIRE_QUERY, /* one question, well formed */
};

struct wire_query {
	uint8_t *packet; /* as it came; the caller's, and not written to */
	size_t size;
	uint16_t head; /* bytes of header and question; the header's alone if that is unreadable */
	uint16_t id, type, class, rcode;
	uint16_t limit; /* longest answer its sender takes */
	bool rd, edns, dnssec_ok;
	bool stream;	       /* it came over TCP */
	bool proven;	       /* answer.c's: its source address is no forgery */
	bool nsid, keepalive;  /* has that option (RFC 5001, RFC 7828) */
	const uint8_t *cookie; /* the COOKIE option's data, in the packet; NULL: it has none */
	uint16_t cookie_size;
	uint16_t name_size;
	uint8_t name[WIRE_NAME_MAX]; /* lower case, wire format */
};

struct wire_record {
	const uint8_t *owner; /* wire format; NULL: the query's name, as it was written there */
	uint16_t type, class;
	uint32_t ttl;
	const uint8_t *data; /* names in it whole, to be compressed where RFC 3597 has it so */
	uint16_t size;
};

struct wire_records {
	const struct wire_record *v;
	unsigned n;
};

/* Memory is the caller's. */
struct wire_reply {
	uint16_t rcode;
	bool authoritative, recursion, truncated;
	/* Answer section: address_count addresses of 4 (query's type A) or 16 bytes (AAAA), with
	 * that TTL; then others. */
	const uint8_t *addresses;
	unsigned address_count, rotate;
	uint32_t ttl;
	struct wire_records answer, authority;
	struct wire_records additional; /* what of it has no room is left out */
	/* The rest is sent if the query had EDNS. Extended error; a text over 128 bytes is cut. */
	int ede;
	const char *ede_text;
	const uint8_t *cookie; /* WIRE_COOKIE_SIZE bytes (wire_cookie.h), or NULL */
	const char *nsid;      /* or NULL */
	uint16_t keepalive;    /* in 100 ms; 0: none */
};

struct wire;

/* NULL if out of memory. */
struct wire *wire_new(void);
void wire_free(struct wire *wire);

/* Reads a packet; *query is filled as far as the verdict says. stream: it came over TCP. */
enum wire_verdict wire_parse(struct wire *wire, uint8_t *packet, size_t size, bool stream,
			     struct wire_query *query);

/* Builds the answer to query into out, which has room for query->limit bytes; with TC and without
 * records if they do not fit. The size; never 0. */
size_t wire_build(struct wire *wire, const struct wire_query *query, const struct wire_reply *reply,
		  uint8_t *out);

enum wire_match {
	WIRE_MATCH_NOT,
	WIRE_MATCH_CASE, /* but for the case of the name */
	WIRE_MATCH,
};

/* Whether packet is the response to the query that was sent upstream; head: bytes of that one's
 * header and question (RFC 5452, section 9.1). An error without a question matches by its ID. */
enum wire_match wire_answers(const uint8_t *sent, size_t head, const uint8_t *packet, size_t size);
bool wire_truncated(const uint8_t *packet);
uint16_t wire_rcode(const uint8_t *packet); /* the header's part of it */

/* Makes an upstream's response, which wire_answers accepted, the one to query: its ID, the case of
 * its question, an OPT of ours with what may be passed on (opt.h), or none if the query has none;
 * TC instead of records if it is too long. *reply tells the options of ours that it gets; its flags
 * and rcode are set here. Result as wire_build. */
size_t wire_relay(struct wire *wire, const struct wire_query *query, const uint8_t *response,
		  size_t size, struct wire_reply *reply, uint8_t *out);

/* Reads a name as people write it, with or without a dot at the end; its size, 0 if it is none. */
size_t wire_name_read(const char *text, uint8_t out[WIRE_NAME_MAX]);
/* The size of the name in wire format at data, its root label included; 0 if it is none, is
 * compressed or is not whole. */
size_t wire_name_size(const uint8_t *data, size_t size);
/* As text, for the log; cut to the room there is. */
void wire_name_text(char *out, size_t room, const uint8_t *name);
/* Lower case; out may be name. */
void wire_name_fold(uint8_t *out, const uint8_t *name, size_t size);

#endif
