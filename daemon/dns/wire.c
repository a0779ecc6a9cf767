#include "dns/wire.h"

#include <libknot/libknot.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define ARENA_SIZE 16384
#define EDE_TEXT_MAX 128

/* The SOA that negative answers carry: its zone is made up, nobody transfers it. */
#define SOA_SERIAL 1
#define SOA_REFRESH 3600
#define SOA_RETRY 900
#define SOA_EXPIRE 604800

_Static_assert(WIRE_NAME_MAX == KNOT_DNAME_MAXLEN, "libknot's longest name");

/* What libknot allocates for one packet is given back all at once. */
struct chunk {
	struct chunk *next;
	max_align_t data[];
};

struct wire {
	knot_mm_t mm;
	size_t used;
	struct chunk *overflow; /* what the arena had no room for: packets of very many records */
	_Alignas(max_align_t) uint8_t arena[ARENA_SIZE];
	uint16_t rdata[WIRE_ADDRESSES_MAX * (sizeof(uint16_t) + 16) / sizeof(uint16_t)];
};

static void *allocate(void *ctx, size_t size)
{
	struct wire *wire = ctx;
	struct chunk *chunk;
	void *data;

	size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	if (size <= ARENA_SIZE - wire->used) {
		data = wire->arena + wire->used;
		wire->used += size;
		return data;
	}
	chunk = malloc(sizeof *chunk + size);
	if (!chunk)
		return NULL;
	chunk->next = wire->overflow;
	wire->overflow = chunk;
	return chunk->data;
}

static void reset(struct wire *wire)
{
	struct chunk *chunk;

	wire->used = 0;
	while ((chunk = wire->overflow)) {
		wire->overflow = chunk->next;
		free(chunk);
	}
}

struct wire *wire_new(void)
{
	struct wire *wire = calloc(1, sizeof *wire);

	if (wire)
		wire->mm = (knot_mm_t){ .ctx = wire, .alloc = allocate };
	return wire;
}

void wire_free(struct wire *wire)
{
	if (!wire)
		return;
	reset(wire);
	free(wire);
}

static enum wire_verdict error(struct wire_query *query, uint16_t rcode)
{
	query->rcode = rcode;
	return WIRE_ERROR;
}

enum wire_verdict wire_parse(struct wire *wire, uint8_t *packet, size_t size, bool stream,
			     struct wire_query *query)
{
	knot_pkt_t *pkt;
	int rc;

	if (size < WIRE_HEADER_SIZE || size > WIRE_PACKET_MAX || knot_wire_get_qr(packet))
		return WIRE_DROP;
	query->packet = packet;
	query->size = size;
	query->head = WIRE_HEADER_SIZE;
	query->id = knot_wire_get_id(packet);
	query->rd = knot_wire_get_rd(packet);
	query->edns = query->dnssec_ok = false;
	query->limit = stream ? WIRE_PACKET_MAX : WIRE_UDP_MIN;
	query->name_size = 0;
	query->rcode = WIRE_NOERROR;
	if (knot_wire_get_opcode(packet) != KNOT_OPCODE_QUERY)
		return error(query, WIRE_NOTIMP);
	if (knot_wire_get_qdcount(packet) != 1) /* RFC 9619 */
		return error(query, WIRE_FORMERR);

	reset(wire);
	pkt = knot_pkt_new(packet, (uint16_t)size, &wire->mm);
	if (!pkt)
		return error(query, WIRE_SERVFAIL);
	rc = knot_pkt_parse(pkt, KNOT_PF_KEEPWIRE | KNOT_PF_NOCANON);
	if (rc != KNOT_EOK)
		return error(query, rc == KNOT_ENOMEM ? WIRE_SERVFAIL : WIRE_FORMERR);
	query->head = (uint16_t)(WIRE_HEADER_SIZE + knot_pkt_question_size(pkt));
	query->type = knot_pkt_qtype(pkt);
	query->class = knot_pkt_qclass(pkt);
	query->name_size = pkt->qname_size;
	memcpy(query->name, pkt->lower_qname, pkt->qname_size);
	if (!knot_pkt_has_edns(pkt))
		return WIRE_QUERY;
	query->edns = true;
	query->dnssec_ok = knot_pkt_has_dnssec(pkt);
	if (!stream) {
		uint16_t payload = knot_edns_get_payload(pkt->opt_rr);

		if (payload > query->limit)
			query->limit = payload < WIRE_UDP_MAX ? payload : WIRE_UDP_MAX;
	}
	if (knot_edns_get_version(pkt->opt_rr) != KNOT_EDNS_VERSION)
		return error(query, WIRE_BADVERS);
	return WIRE_QUERY;
}

/* All that can be said to somebody whose question cannot be read. */
static size_t build_header(const struct wire_query *query, uint16_t rcode, uint8_t *out)
{
	memset(out, 0, WIRE_HEADER_SIZE);
	knot_wire_set_id(out, query->id);
	knot_wire_set_flags1(out, knot_wire_get_flags1(query->packet) &
					  (KNOT_WIRE_OPCODE_MASK | KNOT_WIRE_RD_MASK));
	knot_wire_set_qr(out);
	knot_wire_set_rcode(out, (short)KNOT_EDNS_RCODE_LO(rcode));
	return WIRE_HEADER_SIZE;
}

static int make_opt(struct wire *wire, const struct wire_query *query,
		    const struct wire_reply *reply, knot_rrset_t *opt)
{
	uint8_t ede[sizeof(uint16_t) + EDE_TEXT_MAX];
	size_t text;
	int rc;

	rc = knot_edns_init(opt, WIRE_UDP_MAX, (uint8_t)KNOT_EDNS_RCODE_HI(reply->rcode),
			    KNOT_EDNS_VERSION, &wire->mm);
	if (rc != KNOT_EOK)
		return rc;
	if (query->dnssec_ok)
		knot_edns_set_do(opt);
	if (reply->ede == WIRE_EDE_NONE)
		return KNOT_EOK;
	text = reply->ede_text ? strnlen(reply->ede_text, EDE_TEXT_MAX) : 0;
	knot_wire_write_u16(ede, (uint16_t)reply->ede);
	if (text)
		memcpy(ede + sizeof(uint16_t), reply->ede_text, text);
	return knot_edns_add_option(opt, KNOT_EDNS_OPTION_EDE, (uint16_t)(sizeof(uint16_t) + text),
				    ede, &wire->mm);
}

/* The record set is made in our own memory: libknot would sort the addresses one by one. */
static int put_addresses(struct wire *wire, knot_pkt_t *pkt, const struct wire_query *query,
			 const struct wire_reply *reply)
{
	uint16_t size = query->type == WIRE_A ? 4 : 16;
	knot_rdata_t *rdata = (knot_rdata_t *)wire->rdata;
	knot_rrset_t set;
	unsigned count = reply->address_count;

	if (count > WIRE_ADDRESSES_MAX)
		count = WIRE_ADDRESSES_MAX;
	for (unsigned i = 0; i < count; i++) {
		knot_rdata_init(rdata, size, reply->addresses + (size_t)i * size);
		rdata = (knot_rdata_t *)((uint8_t *)rdata + knot_rdata_size(size));
	}
	knot_rrset_init(&set, pkt->lower_qname, query->type, KNOT_CLASS_IN, reply->ttl);
	set.rrs = (knot_rdataset_t){ .count = (uint16_t)count,
				     .size = count * (uint32_t)knot_rdata_size(size),
				     .rdata = (knot_rdata_t *)wire->rdata };
	return knot_pkt_put_rotate(pkt, KNOT_COMPR_HINT_QNAME, &set,
				   (uint16_t)(reply->rotate % count), 0);
}

static int put_soa(struct wire *wire, knot_pkt_t *pkt, const struct wire_reply *reply)
{
	static const uint8_t hostmaster[] = "\012hostmaster";
	static const uint32_t numbers[] = { SOA_SERIAL, SOA_REFRESH, SOA_RETRY, SOA_EXPIRE };
	size_t zone = knot_dname_size(reply->zone);
	uint8_t data[2 * WIRE_NAME_MAX + sizeof hostmaster + 20], *p = data;
	knot_dname_t owner[WIRE_NAME_MAX];
	knot_rrset_t soa;
	int rc;

	memcpy(owner, reply->zone, zone);
	memcpy(p, owner, zone);
	p += zone;
	if (zone + sizeof hostmaster - 1 <= WIRE_NAME_MAX) {
		memcpy(p, hostmaster, sizeof hostmaster - 1);
		p += sizeof hostmaster - 1;
	}
	memcpy(p, owner, zone);
	p += zone;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++, p += 4)
		knot_wire_write_u32(p, numbers[i]);
	knot_wire_write_u32(p, reply->ttl); /* RFC 2308: how long the negative answer holds */
	p += 4;
	knot_rrset_init(&soa, owner, KNOT_RRTYPE_SOA, KNOT_CLASS_IN, reply->ttl);
	rc = knot_rrset_add_rdata(&soa, data, (uint16_t)(p - data), &wire->mm);
	if (rc != KNOT_EOK)
		return rc;
	return knot_pkt_put(pkt, KNOT_COMPR_HINT_NONE, &soa, 0);
}

static int put_sections(struct wire *wire, knot_pkt_t *pkt, const struct wire_query *query,
			const struct wire_reply *reply)
{
	knot_rrset_t opt;
	uint16_t opt_size = 0;
	int rc = KNOT_EOK;

	if (query->edns) {
		rc = make_opt(wire, query, reply, &opt);
		if (rc != KNOT_EOK)
			return rc;
		opt_size = (uint16_t)knot_edns_wire_size(&opt);
		rc = knot_pkt_reserve(pkt, opt_size);
		if (rc != KNOT_EOK)
			return rc;
	}
	knot_pkt_begin(pkt, KNOT_ANSWER);
	if (reply->address_count)
		rc = put_addresses(wire, pkt, query, reply);
	knot_pkt_begin(pkt, KNOT_AUTHORITY);
	if (rc == KNOT_EOK && reply->zone)
		rc = put_soa(wire, pkt, reply);
	if (rc != KNOT_EOK && rc != KNOT_ESPACE)
		return rc;
	if (rc == KNOT_ESPACE)
		knot_wire_set_tc(pkt->wire);
	if (!query->edns)
		return KNOT_EOK;
	knot_pkt_begin(pkt, KNOT_ADDITIONAL);
	knot_pkt_reclaim(pkt, opt_size);
	return knot_pkt_put(pkt, KNOT_COMPR_HINT_NONE, &opt, 0);
}

size_t wire_build(struct wire *wire, const struct wire_query *query,
		  const struct wire_reply *reply, uint8_t *out)
{
	knot_pkt_t *question, *pkt;

	if (query->head == WIRE_HEADER_SIZE)
		return build_header(query, reply->rcode, out);
	reset(wire);
	question = knot_pkt_new(query->packet, query->head, &wire->mm);
	pkt = knot_pkt_new(out, query->limit, &wire->mm);
	if (!question || !pkt || knot_pkt_parse_question(question) != KNOT_EOK ||
	    knot_pkt_init_response(pkt, question) != KNOT_EOK)
		return build_header(query, WIRE_SERVFAIL, out);
	knot_wire_set_id(out, query->id); /* the forwarder's packet bears another */
	if (knot_wire_get_cd(query->packet)) /* RFC 4035, 3.1.6 */
		knot_wire_set_cd(out);
	if (reply->authoritative)
		knot_wire_set_aa(out);
	if (reply->recursion)
		knot_wire_set_ra(out);
	if (reply->truncated)
		knot_wire_set_tc(out);
	knot_wire_set_rcode(out, (short)KNOT_EDNS_RCODE_LO(reply->rcode));
	if (put_sections(wire, pkt, query, reply) != KNOT_EOK)
		return build_header(query, WIRE_SERVFAIL, out);
	return pkt->size;
}

bool wire_answers(const struct wire_query *query, uint16_t id, const uint8_t *packet, size_t size)
{
	size_t name = WIRE_HEADER_SIZE + query->name_size;
	uint8_t folded[WIRE_NAME_MAX];

	if (size < query->head || !knot_wire_get_qr(packet) || knot_wire_get_id(packet) != id ||
	    knot_wire_get_opcode(packet) != KNOT_OPCODE_QUERY ||
	    knot_wire_get_qdcount(packet) != 1)
		return false;
	wire_name_fold(folded, packet + WIRE_HEADER_SIZE, query->name_size);
	return memcmp(folded, query->name, query->name_size) == 0 &&
	       memcmp(packet + name, query->packet + name, query->head - name) == 0;
}

bool wire_truncated(const uint8_t *packet)
{
	return knot_wire_get_tc(packet);
}

size_t wire_relay(struct wire *wire, const struct wire_query *query, const uint8_t *response,
		  size_t size, uint8_t *out)
{
	struct wire_reply reply = { .truncated = true, .ede = WIRE_EDE_NONE };

	if (size > query->limit) {
		reply.rcode = knot_wire_get_rcode(response);
		reply.authoritative = knot_wire_get_aa(response);
		reply.recursion = knot_wire_get_ra(response);
		return wire_build(wire, query, &reply, out);
	}
	memcpy(out, response, size);
	knot_wire_set_id(out, query->id);
	memcpy(out + WIRE_HEADER_SIZE, query->packet + WIRE_HEADER_SIZE,
	       query->head - WIRE_HEADER_SIZE);
	return size;
}

size_t wire_name_size(const uint8_t *data, size_t size)
{
	int rc;

	if (size == 0)
		return 0;
	rc = knot_dname_wire_check(data, data + size, NULL);
	return rc > 0 ? (size_t)rc : 0;
}

void wire_name_fold(uint8_t *out, const uint8_t *name, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		uint8_t c = name[i];

		out[i] = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
	}
}
