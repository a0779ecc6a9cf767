#include "dns/hot.h"

#include <endian.h>
#include <string.h>
#include <time.h>

#include "dns/acl.h"
#include "dns/hash.h"
#include "dns/limit.h"
#include "dns/table.h"
#include "dns/wire.h"
#include "dns/wire_cookie.h"
#include "proto/usage.h"

#define RECORD_FIXED                                                                               \
	12u /* of an address record: a pointer to the question's name, up to its data */
#define OPT_SIZE     11u
#define OPTION_FIXED 4u

/* The second byte of flags; the first one's only bit in a plain query is RD. */
enum { QR = 0x80, AA = 0x04, RD = 0x01, RA = 0x80, AD = 0x20, CD = 0x10 };

/* One packet on its way through the stages. */
struct work {
	struct hot_packet *packet;
	uint32_t hash, ref;
	uint16_t end; /* of the question */
	uint16_t limit;
	uint8_t name_size, cookie_size;
	const uint8_t *cookie; /* in the packet; NULL: none */
	bool v6, edns, dnssec_ok;
	union {
		struct table_name *found;
		uint64_t folded[WIRE_NAME_MAX / 8 + 1];
	};
	/* Of the only service, or of several. */
	struct table_service *service;
	uint32_t ttl;
	unsigned count;
};

static inline uint16_t get16(const uint8_t *p)
{
	uint16_t value;

	memcpy(&value, p, sizeof value);
	return be16toh(value);
}

static inline void put16(uint8_t *p, uint16_t value)
{
	value = htobe16(value);
	memcpy(p, &value, sizeof value);
}

static inline void put32(uint8_t *p, uint32_t value)
{
	value = htobe32(value);
	memcpy(p, &value, sizeof value);
}

/* Eight bytes to lower case at once. The length bytes of a name are under 'A'. */
static inline uint64_t fold(uint64_t word)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t low = word & ones * 0x7f;
	uint64_t from_a = low + ones * (0x80 - 'A'), over_z = low + ones * (0x80 - 'Z' - 1);

	return word | (from_a & ~over_z & ~word & ones * 0x80) >> 2;
}

/* The first `count` bytes in memory of a word. */
static inline uint64_t first_bytes(uint64_t word, unsigned count)
{
	uint64_t mask = (UINT64_C(1) << 8 * count) - 1;

	return word & (BYTE_ORDER == LITTLE_ENDIAN ? mask : htobe64(htole64(mask)));
}

/* The name in lower case, and its hash: the same as hash_bytes of it. */
static inline void fold_and_hash(struct work *work, const uint8_t *name, uint64_t key)
{
	uint64_t hash = hash_begin(key, work->name_size), word, *out = work->folded;
	unsigned left = work->name_size;

	for (; left >= sizeof word; left -= (unsigned)sizeof word, name += sizeof word) {
		memcpy(&word, name, sizeof word);
		*out++ = word = fold(word);
		hash = hash_word(hash, word);
	}
	memcpy(&word, name, sizeof word);
	*out = word = first_bytes(fold(word), left);
	work->hash = (uint32_t)hash_end(key, hash, word);
}

/* A cookie, and options that an answer would not show. */
static bool read_options(struct work *work, const uint8_t *option, size_t size)
{
	enum { CLIENT_SUBNET = 8, COOKIE = 10, PADDING = 12 };

	while (size) {
		size_t length;

		if (size < OPTION_FIXED)
			return false;
		length = get16(option + 2);
		if (OPTION_FIXED + length > size)
			return false;
		switch (get16(option)) {
		case COOKIE:
			if (work->cookie || !wire_cookie_sound(length))
				return false;
			work->cookie = option + OPTION_FIXED;
			work->cookie_size = (uint8_t)length;
			break;
		case CLIENT_SUBNET:
		case PADDING:
			break;
		default:
			return false;
		}
		option += OPTION_FIXED + length;
		size -= OPTION_FIXED + length;
	}
	return true;
}

static inline bool read_opt(struct work *work, const uint8_t *opt, size_t size)
{
	static const uint8_t start[] = { 0, 0, 41 };
	uint16_t payload;

	/* No extended code, version 0. */
	if (size < OPT_SIZE || memcmp(opt, start, sizeof start) != 0 || get16(opt + 5) != 0 ||
	    size != OPT_SIZE + (size_t)get16(opt + 9) ||
	    !read_options(work, opt + OPT_SIZE, size - OPT_SIZE))
		return false;
	work->edns = true;
	work->dnssec_ok = opt[7] & 0x80;
	/* Nobody sane says less than the minimum; libknot takes some of these for malformed. */
	payload = get16(opt + 3);
	work->limit = payload > WIRE_UDP_MAX ? WIRE_UDP_MAX : payload;
	return payload >= WIRE_UDP_MIN;
}

/* Stage 1: is it plain, and which name? */
static inline bool parse(struct work *work, uint64_t key)
{
	const uint8_t *data = work->packet->data;
	uint32_t size = work->packet->size, at = WIRE_HEADER_SIZE;
	uint64_t counts;
	uint16_t type;

	if (size < WIRE_HEADER_SIZE + 5 || (data[2] & ~RD) || (data[3] & ~(AD | CD)))
		return false;
	memcpy(&counts, data + 4, sizeof counts);
	counts = be64toh(counts);
	if (counts >> 1 != UINT64_C(1)
				   << 47) /* one question; one record at most, the last section's */
		return false;
	while (data[at]) {
		if (data[at] > 63)
			return false;
		at += data[at] + 1u;
		if (at >= size || at >= WIRE_HEADER_SIZE + WIRE_NAME_MAX)
			return false;
	}
	if (at == WIRE_HEADER_SIZE || size < at + 5)
		return false;
	work->name_size = (uint8_t)(at + 1 - WIRE_HEADER_SIZE);
	type = get16(data + at + 1);
	if ((type != WIRE_A && type != WIRE_AAAA) || get16(data + at + 3) != WIRE_IN)
		return false;
	work->v6 = type == WIRE_AAAA;
	work->end = (uint16_t)(at + 5);
	work->edns = work->dnssec_ok = false;
	work->cookie = NULL;
	work->limit = WIRE_UDP_MIN;
	if (counts & 1 ? !read_opt(work, data + work->end, size - work->end) : size != work->end)
		return false;
	fold_and_hash(work, data + WIRE_HEADER_SIZE, key);
	return true;
}

/* Stage 3: is it that name? */
static inline bool match(struct work *work, const struct table *table)
{
	struct table_name *name = slab_at(&table->slab, work->ref);

	if (name->size != work->name_size || name->service_count == 0 ||
	    memcmp(name->wire, work->folded, work->name_size) != 0)
		return false;
	work->found = name;
	work->service = table_nth(table, name, 0);
	__builtin_prefetch(work->service, 1);
	return true;
}

static inline unsigned addresses(const struct table_service *service, bool v6)
{
	return v6 ? service->v6_count : service->v4_count;
}

static inline unsigned opt_size(const struct work *work, const struct hot *hot)
{
	return !work->edns		      ? 0
	       : work->cookie && hot->cookies ? OPT_SIZE + OPTION_FIXED + WIRE_COOKIE_SIZE
					      : OPT_SIZE;
}

/* Stage 4: are all its services ready, and how long is the answer? */
static inline bool measure(struct work *work, const struct table *table, const struct hot *hot)
{
	size_t size;

	work->count = 0;
	work->ttl = UINT32_MAX;
	for (uint32_t i = 0; i < work->found->service_count; i++) {
		const struct table_service *service = table_nth(table, work->found, i);
		unsigned count = addresses(service, work->v6);

		if (count && !service->ready)
			return false;
		work->count += count;
		if (service->ttl < work->ttl)
			work->ttl = service->ttl;
		size = work->end + work->count * (RECORD_FIXED + (work->v6 ? 16u : 4u)) +
		       opt_size(work, hot);
		if (size > work->limit)
			return false;
		__builtin_prefetch(&hot->usage[service->id], 1);
	}
	return work->count;
}

/* Of several threads one may set the time back by what its batch took. */
static inline void stamp(struct usage *usage, uint64_t now, bool shared)
{
	if (shared) {
		atomic_fetch_add_explicit(&usage->queries, 1, memory_order_relaxed);
	} else {
		uint64_t queries = atomic_load_explicit(&usage->queries, memory_order_relaxed);

		atomic_store_explicit(&usage->queries, queries + 1, memory_order_relaxed);
	}
	atomic_store_explicit(&usage->last_query, now, memory_order_relaxed);
}

static inline uint8_t *put_record(uint8_t *out, const struct work *work, const uint8_t *address)
{
	unsigned size = work->v6 ? 16 : 4;

	put32(out, UINT32_C(0xc00c0000) | (work->v6 ? WIRE_AAAA : WIRE_A));
	put16(out + 4, WIRE_IN);
	put32(out + 6, work->ttl);
	put16(out + 10, (uint16_t)size);
	if (work->v6)
		memcpy(out + RECORD_FIXED, address, 16);
	else
		memcpy(out + RECORD_FIXED, address, 4);
	return out + RECORD_FIXED + size;
}

static inline const uint8_t *address_data(const struct table_service *service, bool v6)
{
	return v6 ? table_v6(service) : table_v4(service);
}

/* All addresses, beginning at one that is another each time. */
static uint8_t *put_rotated(uint8_t *out, const struct work *work, const struct table *table)
{
	unsigned size = work->v6 ? 16 : 4, at = 0,
		 turn = table_turn(work->found, work->v6) % work->count;
	uint8_t *wrap = out + (work->count - turn) * (RECORD_FIXED + size), *p = wrap;

	for (uint32_t i = 0; i < work->found->service_count; i++) {
		const struct table_service *service = table_nth(table, work->found, i);
		const uint8_t *address = address_data(service, work->v6);

		for (unsigned k = addresses(service, work->v6); k; k--, address += size) {
			if (at++ == turn)
				p = out;
			p = put_record(p, work, address);
		}
	}
	return out + work->count * (RECORD_FIXED + size);
}

static inline bool is_offered(const struct hot *hot, const struct sockaddr *peer)
{
	return hot->recursion && acl_has(hot->recursion, peer);
}

/* Stage 5: the answer, around the question. */
static inline void answer(const struct work *work, const struct table *table, const struct hot *hot,
			  uint64_t now)
{
	uint8_t *data = work->packet->data, *out = data + work->end, cookie[WIRE_COOKIE_SIZE];
	unsigned opt = opt_size(work, hot);

	if (opt > OPT_SIZE) /* the query's is about to be written over */
		wire_cookie_make(hot->cookies, work->cookie, work->packet->peer,
				 (uint64_t)time(NULL), cookie);

	for (uint32_t i = 0; i < work->found->service_count; i++)
		stamp(&hot->usage[table_nth(table, work->found, i)->id], now, hot->shared);
	data[2] |= QR | AA;
	data[3] = is_offered(hot, work->packet->peer) ? RA : 0;
	put16(data + 6, (uint16_t)work->count);
	if (work->count == 1 && work->found->service_count == 1) {
		out = put_record(out, work, address_data(work->service, work->v6));
		table_turn(work->found, work->v6);
	} else {
		out = put_rotated(out, work, table);
	}
	if (work->edns) {
		put32(out, 41u << 8 | WIRE_UDP_MAX >> 8);
		put32(out + 4, (WIRE_UDP_MAX & 0xffu) << 24 | (work->dnssec_ok ? 0x80u : 0));
		put16(out + 8, 0);
		out[10] = (uint8_t)(opt - OPT_SIZE);
		if (opt > OPT_SIZE) {
			put32(out + OPT_SIZE, 10u << 16 | WIRE_COOKIE_SIZE);
			memcpy(out + OPT_SIZE + OPTION_FIXED, cookie, sizeof cookie);
		}
		out += opt;
	}
	work->packet->answer = (uint32_t)(out - data);
}

/* A valid cookie proves the address: what is not forged is not limited. */
static bool is_allowed(const struct hot *hot, const struct work *work, uint64_t now)
{
	const struct sockaddr *peer = work->packet->peer;

	return (work->cookie && hot->cookies &&
		wire_cookie_check(hot->cookies, work->cookie, work->cookie_size, peer,
				  (uint64_t)time(NULL))) ||
	       rate_pass(hot->rate, peer, now);
}

/* In stages, each for all packets: what the next one needs of memory is under way meanwhile. */
void hot_answer(struct hot *hot, struct hot_packet *packets, unsigned count, uint64_t now)
{
	const struct table *table = *hot->table;
	struct work works[HOT_BATCH], *todo[HOT_BATCH];
	unsigned left = 0, kept;

	for (unsigned i = 0; i < count; i++) {
		struct work *work = &works[left];

		packets[i].answer = 0;
		work->packet = &packets[i];
		if (!parse(work, table->key))
			continue;
		slots_prefetch(&table->names, work->hash);
		todo[left++] = work;
	}
	kept = 0;
	for (unsigned i = 0; i < left; i++) {
		struct slots_at at;
		const uint8_t *name;

		todo[i]->ref = slots_first(&table->names, todo[i]->hash, &at);
		if (!todo[i]->ref)
			continue;
		name = slab_at(&table->slab, todo[i]->ref);
		__builtin_prefetch(name, 1);
		__builtin_prefetch(name + sizeof(struct table_name) + 24);
		todo[kept++] = todo[i];
	}
	left = kept;
	kept = 0;
	for (unsigned i = 0; i < left; i++)
		if (match(todo[i], table))
			todo[kept++] = todo[i];
	left = kept;
	kept = 0;
	for (unsigned i = 0; i < left; i++)
		if (measure(todo[i], table, hot))
			todo[kept++] = todo[i];
	left = kept;
	kept = 0;
	for (unsigned i = 0; i < left; i++)
		if (is_allowed(hot, todo[i], now)) {
			answer(todo[i], table, hot, now);
			kept++;
		}
	atomic_fetch_add_explicit(&hot->answered, kept, memory_order_relaxed);
}

/* Changes come first: they are short, and what waits for them is what makes answers right. */
void hot_share(struct hot *hot)
{
	pthread_rwlockattr_t attributes;

	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&hot->lock, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	hot->shared = true;
}

void hot_enter(struct hot *hot)
{
	pthread_rwlock_rdlock(&hot->lock);
}

void hot_leave(struct hot *hot)
{
	pthread_rwlock_unlock(&hot->lock);
}

void hot_lock(struct hot *hot)
{
	if (hot->shared)
		pthread_rwlock_wrlock(&hot->lock);
}

void hot_unlock(struct hot *hot)
{
	if (hot->shared)
		pthread_rwlock_unlock(&hot->lock);
}
