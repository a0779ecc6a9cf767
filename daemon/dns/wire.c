#include "dns/wire.h"

#include <libknot/libknot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "dns/opt.h"
#include "dns/wire_cookie.h"

#define ARENA_SIZE     16384
#define EDE_TEXT_MAX   128
#define ADDRESS_RECORD 12u /* bytes before the address: name, type, class, TTL, length */

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

/* head covers the question too, if there is one that can be read. */
static void find_question(struct wire_query *query)
{
	const uint8_t *name = query->packet + WIRE_HEADER_SIZE;
	size_t size;

	if (knot_wire_get_qdcount(query->packet) != 1)
		return;
	size = wire_name_size(name, query->size - WIRE_HEADER_SIZE);
	if (size && query->size >= WIRE_HEADER_SIZE + size + 4)
		query->head = (uint16_t)(WIRE_HEADER_SIZE + size + 4);
}

static enum wire_verdict error(struct wire_query *query, uint16_t rcode)
{
	if (query->head == WIRE_HEADER_SIZE)
		find_question(query);
	query->rcode = rcode;
	return WIRE_ERROR;
}

static void read_options(const knot_pkt_t *pkt, struct wire_query *query)
{
	const uint8_t *cookie = knot_pkt_edns_option(pkt, KNOT_EDNS_OPTION_COOKIE);

	if (cookie) {
		query->cookie = knot_edns_opt_get_data((uint8_t *)(uintptr_t)cookie);
		query->cookie_size = knot_edns_opt_get_length(cookie);
	}
	query->nsid = knot_pkt_edns_option(pkt, KNOT_EDNS_OPTION_NSID);
	query->keepalive = knot_pkt_edns_option(pkt, KNOT_EDNS_OPTION_TCP_KEEPALIVE);
}

/* What is said to an operation that is not a query. */
static uint16_t refusal(uint8_t opcode)
{
	/* RFC 1996 and 2136: known here, and not for anybody. */
	return opcode == KNOT_OPCODE_NOTIFY || opcode == KNOT_OPCODE_UPDATE ? WIRE_REFUSED
									    : WIRE_NOTIMP;
}

enum wire_verdict wire_parse(struct wire *wire, uint8_t *packet, size_t size, bool stream,
			     struct wire_query *query)
{
	uint8_t opcode;
	uint16_t questions;
	knot_pkt_t *pkt;
	int rc;

	if (size < WIRE_HEADER_SIZE || size > WIRE_PACKET_MAX || knot_wire_get_qr(packet))
		return WIRE_DROP;
	*query = (struct wire_query){ .packet = packet,
				      .size = size,
				      .head = WIRE_HEADER_SIZE,
				      .id = knot_wire_get_id(packet),
				      .rd = knot_wire_get_rd(packet),
				      .stream = stream,
				      .limit = stream ? WIRE_PACKET_MAX : WIRE_UDP_MIN,
				      .rcode = WIRE_NOERROR };
	opcode = knot_wire_get_opcode(packet);
	questions = knot_wire_get_qdcount(packet);
	if (questions > 1) /* RFC 9619 */
		return error(query, opcode == KNOT_OPCODE_QUERY ? WIRE_FORMERR : refusal(opcode));

	reset(wire);
	pkt = knot_pkt_new(packet, (uint16_t)size, &wire->mm);
	if (!pkt)
		return error(query, WIRE_SERVFAIL);
	rc = knot_pkt_parse(pkt, KNOT_PF_KEEPWIRE | KNOT_PF_NOCANON);
	if (rc != KNOT_EOK)
		return error(query, rc == KNOT_ENOMEM		  ? WIRE_SERVFAIL
				    : opcode == KNOT_OPCODE_QUERY ? WIRE_FORMERR
								  : refusal(opcode));
	if (knot_pkt_has_edns(pkt)) {
		query->edns = true;
		query->dnssec_ok = knot_pkt_has_dnssec(pkt);
		read_options(pkt, query);
		if (!stream) {
			uint16_t payload = knot_edns_get_payload(pkt->opt_rr);

			if (payload > query->limit)
				query->limit = payload < WIRE_UDP_MAX ? payload : WIRE_UDP_MAX;
		}
	}
	if (questions == 1) {
		query->head = (uint16_t)(WIRE_HEADER_SIZE + knot_pkt_question_size(pkt));
		query->type = knot_pkt_qtype(pkt);
		query->class = knot_pkt_qclass(pkt);
		query->name_size = pkt->qname_size;
		memcpy(query->name, pkt->lower_qname, pkt->qname_size);
	}
	if (query->edns && knot_edns_get_version(pkt->opt_rr) != KNOT_EDNS_VERSION)
		return error(query, WIRE_BADVERS);
	if (opcode != KNOT_OPCODE_QUERY)
		return error(query, refusal(opcode));
	if (query->cookie && !wire_cookie_sound(query->cookie_size))
		return error(query, WIRE_FORMERR);
	if (questions == 0) /* RFC 7873, 5.4: asks for a cookie, no more */
		return error(query, query->cookie ? WIRE_NOERROR : WIRE_FORMERR);
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

static int add_ede(struct wire *wire, knot_rrset_t *opt, const struct wire_reply *reply)
{
	uint8_t ede[sizeof(uint16_t) + EDE_TEXT_MAX];
	size_t text = reply->ede_text ? strnlen(reply->ede_text, EDE_TEXT_MAX) : 0;

	if (reply->ede == WIRE_EDE_NONE)
		return KNOT_EOK;
	knot_wire_write_u16(ede, (uint16_t)reply->ede);
	if (text)
		memcpy(ede + sizeof(uint16_t), reply->ede_text, text);
	return knot_edns_add_option(opt, KNOT_EDNS_OPTION_EDE, (uint16_t)(sizeof(uint16_t) + text),
				    ede, &wire->mm);
}

static int make_opt(struct wire *wire, const struct wire_query *query,
		    const struct wire_reply *reply, knot_rrset_t *opt)
{
	uint8_t keepalive[sizeof(uint16_t)];
	int rc;

	rc = knot_edns_init(opt, WIRE_UDP_MAX, (uint8_t)KNOT_EDNS_RCODE_HI(reply->rcode),
			    KNOT_EDNS_VERSION, &wire->mm);
	if (rc == KNOT_EOK && query->dnssec_ok)
		knot_edns_set_do(opt);
	if (rc == KNOT_EOK && reply->nsid)
		rc = knot_edns_add_option(opt, KNOT_EDNS_OPTION_NSID, (uint16_t)strlen(reply->nsid),
					  (const uint8_t *)reply->nsid, &wire->mm);
	if (rc == KNOT_EOK && reply->cookie)
		rc = knot_edns_add_option(opt, KNOT_EDNS_OPTION_COOKIE, WIRE_COOKIE_SIZE,
					  reply->cookie, &wire->mm);
	if (rc == KNOT_EOK && reply->keepalive) {
		knot_wire_write_u16(keepalive, reply->keepalive);
		rc = knot_edns_add_option(opt, KNOT_EDNS_OPTION_TCP_KEEPALIVE, sizeof keepalive,
					  keepalive, &wire->mm);
	}
	return rc == KNOT_EOK ? add_ede(wire, opt, reply) : rc;
}

/* By hand: to libknot an address is as much work as the number of those before it. All or none. */
static int put_addresses(knot_pkt_t *pkt, const struct wire_query *query,
			 const struct wire_reply *reply)
{
	uint16_t size = query->type == WIRE_A ? 4 : 16;
	unsigned count = reply->address_count;
	uint8_t *at = pkt->wire + pkt->size;

	if (count > WIRE_ADDRESSES_MAX)
		count = WIRE_ADDRESSES_MAX;
	if (pkt->size + pkt->reserved + count * (ADDRESS_RECORD + size) > pkt->max_size)
		return KNOT_ESPACE;
	for (unsigned i = 0; i < count; i++) {
		unsigned turned = (i + reply->rotate) % count;

		knot_wire_put_pointer(at, WIRE_HEADER_SIZE); /* the question's name */
		knot_wire_write_u16(at + 2, query->type);
		knot_wire_write_u16(at + 4, KNOT_CLASS_IN);
		knot_wire_write_u32(at + 6, reply->ttl);
		knot_wire_write_u16(at + 10, size);
		memcpy(at + ADDRESS_RECORD, reply->addresses + (size_t)turned * size, size);
		at += ADDRESS_RECORD + size;
	}
	pkt->size += count * (ADDRESS_RECORD + size);
	knot_wire_add_ancount(pkt->wire, (int16_t)count);
	return KNOT_EOK;
}

static int put_records(struct wire *wire, knot_pkt_t *pkt, const struct wire_records *records,
		       uint16_t flags)
{
	for (unsigned i = 0; i < records->n; i++) {
		const struct wire_record *record = &records->v[i];
		const knot_dname_t *owner = record->owner ? record->owner : pkt->lower_qname;
		knot_rrset_t set;
		int rc;

		/* libknot does not write to the owner. */
		knot_rrset_init(&set, (knot_dname_t *)(uintptr_t)owner, record->type, record->class,
				record->ttl);
		rc = knot_rrset_add_rdata(&set, record->data, record->size, &wire->mm);
		if (rc == KNOT_EOK)
			rc = knot_pkt_put(
				pkt, record->owner ? KNOT_COMPR_HINT_NONE : KNOT_COMPR_HINT_QNAME,
				&set, flags);
		if (rc != KNOT_EOK)
			return rc;
	}
	return KNOT_EOK;
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
		rc = put_addresses(pkt, query, reply);
	if (rc == KNOT_EOK)
		rc = put_records(wire, pkt, &reply->answer, 0);
	knot_pkt_begin(pkt, KNOT_AUTHORITY);
	if (rc == KNOT_EOK)
		rc = put_records(wire, pkt, &reply->authority, 0);
	if (rc != KNOT_EOK && rc != KNOT_ESPACE)
		return rc;
	if (rc == KNOT_ESPACE)
		knot_wire_set_tc(pkt->wire);
	knot_pkt_begin(pkt, KNOT_ADDITIONAL);
	/* RFC 2181, 9: what is missing here is no truncation. */
	if (rc == KNOT_EOK)
		rc = put_records(wire, pkt, &reply->additional, KNOT_PF_NOTRUNC);
	if (rc != KNOT_EOK && rc != KNOT_ESPACE)
		return rc;
	if (!query->edns)
		return KNOT_EOK;
	knot_pkt_reclaim(pkt, opt_size);
	return knot_pkt_put(pkt, KNOT_COMPR_HINT_NONE, &opt, 0);
}

/* The answer to somebody without a question, or whose question cannot be read. */
static size_t build_bare(struct wire *wire, const struct wire_query *query,
			 const struct wire_reply *reply, uint8_t *out)
{
	knot_pkt_t *pkt;

	if (!query->edns)
		return build_header(query, reply->rcode, out);
	pkt = knot_pkt_new(out, query->limit, &wire->mm);
	if (!pkt)
		return build_header(query, WIRE_SERVFAIL, out);
	knot_pkt_clear(pkt);
	build_header(query, reply->rcode, out);
	if (put_sections(wire, pkt, query, reply) != KNOT_EOK)
		return build_header(query, WIRE_SERVFAIL, out);
	return pkt->size;
}

size_t wire_build(struct wire *wire, const struct wire_query *query, const struct wire_reply *reply,
		  uint8_t *out)
{
	knot_pkt_t *question, *pkt;

	reset(wire);
	if (query->head == WIRE_HEADER_SIZE)
		return build_bare(wire, query, reply, out);
	question = knot_pkt_new(query->packet, query->head, &wire->mm);
	pkt = knot_pkt_new(out, query->limit, &wire->mm);
	if (!question || !pkt || knot_pkt_parse_question(question) != KNOT_EOK ||
	    knot_pkt_init_response(pkt, question) != KNOT_EOK)
		return build_header(query, WIRE_SERVFAIL, out);
	knot_wire_set_id(out, query->id); /* the forwarder's packet bears another */
	/* RFC 4035: cleared in what is authoritative (3.1.6), copied by a recursive server (3.2.2).
	 */
	if (!reply->recursion || reply->authoritative)
		knot_wire_clear_cd(out);
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

enum wire_match wire_answers(const uint8_t *sent, size_t head, const uint8_t *packet, size_t size)
{
	size_t name = head - WIRE_HEADER_SIZE - 2 * sizeof(uint16_t);
	uint8_t folded[2][WIRE_NAME_MAX];

	if (size < WIRE_HEADER_SIZE || !knot_wire_get_qr(packet) ||
	    knot_wire_get_id(packet) != knot_wire_get_id(sent) ||
	    knot_wire_get_opcode(packet) != KNOT_OPCODE_QUERY)
		return WIRE_MATCH_NOT;
	if (knot_wire_get_qdcount(packet) == 0)
		return knot_wire_get_rcode(packet) ? WIRE_MATCH : WIRE_MATCH_NOT;
	if (knot_wire_get_qdcount(packet) != 1 || size < head || name > WIRE_NAME_MAX ||
	    memcmp(packet + WIRE_HEADER_SIZE + name, sent + WIRE_HEADER_SIZE + name,
		   2 * sizeof(uint16_t)) != 0)
		return WIRE_MATCH_NOT;
	if (memcmp(packet + WIRE_HEADER_SIZE, sent + WIRE_HEADER_SIZE, name) == 0)
		return WIRE_MATCH;
	wire_name_fold(folded[0], packet + WIRE_HEADER_SIZE, name);
	wire_name_fold(folded[1], sent + WIRE_HEADER_SIZE, name);
	return memcmp(folded[0], folded[1], name) == 0 ? WIRE_MATCH_CASE : WIRE_MATCH_NOT;
}

bool wire_truncated(const uint8_t *packet)
{
	return knot_wire_get_tc(packet);
}

uint16_t wire_rcode(const uint8_t *packet)
{
	return knot_wire_get_rcode(packet);
}

/* Behind those that came from upstream. */
static size_t add_own_options(uint8_t *out, size_t size, const struct wire_reply *reply)
{
	uint8_t keepalive[sizeof(uint16_t)];

	knot_wire_write_u16(keepalive, reply->keepalive);
	if (reply->cookie)
		size = opt_append(out, size, WIRE_PACKET_MAX, KNOT_EDNS_OPTION_COOKIE,
				  reply->cookie, WIRE_COOKIE_SIZE);
	if (reply->nsid)
		size = opt_append(out, size, WIRE_PACKET_MAX, KNOT_EDNS_OPTION_NSID, reply->nsid,
				  (uint16_t)strlen(reply->nsid));
	if (reply->keepalive)
		size = opt_append(out, size, WIRE_PACKET_MAX, KNOT_EDNS_OPTION_TCP_KEEPALIVE,
				  keepalive, sizeof keepalive);
	return size;
}

size_t wire_relay(struct wire *wire, const struct wire_query *query, const uint8_t *response,
		  size_t size, struct wire_reply *reply, uint8_t *out)
{
	struct opt opt;

	memcpy(out, response, size);
	if (opt_find(out, size, &opt) == 0 && !opt.sealed) {
		if (!query->edns)
			size = opt_drop(out, size, &opt);
		else if (opt.at)
			size = opt_clean(out, size, &opt, WIRE_UDP_MAX);
		else if (size + OPT_SIZE <= WIRE_PACKET_MAX)
			size = opt_add(out, size, WIRE_UDP_MAX, query->dnssec_ok);
		if (query->edns)
			size = add_own_options(out, size, reply);
	}
	if (size > query->limit) {
		reply->truncated = true;
		reply->rcode = knot_wire_get_rcode(response);
		reply->authoritative = knot_wire_get_aa(response);
		reply->recursion = knot_wire_get_ra(response);
		return wire_build(wire, query, reply, out);
	}
	knot_wire_set_id(out, query->id);
	memcpy(out + WIRE_HEADER_SIZE, query->packet + WIRE_HEADER_SIZE,
	       query->head - WIRE_HEADER_SIZE);
	return size;
}

size_t wire_name_read(const char *text, uint8_t out[WIRE_NAME_MAX])
{
	uint8_t made[WIRE_NAME_MAX];
	int rc;

	/* libknot takes "a..b", and "" for the root. */
	if (!*text || strstr(text, "..") || (*text == '.' && text[1]))
		return 0;
	if (!knot_dname_from_str(made, text, sizeof made))
		return 0;
	rc = knot_dname_wire_check(made, made + sizeof made, NULL);
	if (rc <= 0)
		return 0;
	memcpy(out, made, (size_t)rc);
	return (size_t)rc;
}

void wire_name_text(char *out, size_t room, const uint8_t *name)
{
	char text[KNOT_DNAME_TXT_MAXLEN + 1];

	if (!knot_dname_to_str(text, name, sizeof text))
		text[0] = '\0';
	snprintf(out, room, "%s", text);
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
