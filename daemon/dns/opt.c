#include "dns/opt.h"

#include <string.h>

#define HEADER	12
#define RECORD	10 /* type, class, TTL, size */
#define OPTION	4
#define POINTER 0xc0

enum { TYPE_SIG = 24, TYPE_OPT = 41, TYPE_TSIG = 250 };
enum { NSID = 3, COOKIE = 10, KEEPALIVE = 11, PADDING = 12 };

static unsigned get16(const uint8_t *at)
{
	return (unsigned)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, size_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* Behind the name at `at`; 0 if it is not whole. Whether a pointer leads anywhere is no matter. */
static size_t skip_name(const uint8_t *packet, size_t size, size_t at)
{
	while (at < size) {
		uint8_t label = packet[at];

		if (label >= POINTER)
			return at + 2 <= size ? at + 2 : 0;
		if (label == 0)
			return at + 1;
		if (label > 63)
			return 0;
		at += label + 1u;
	}
	return 0;
}

int opt_find(const uint8_t *packet, size_t size, struct opt *opt)
{
	size_t at = HEADER;
	unsigned records;

	*opt = (struct opt){ 0 };
	if (size < HEADER)
		return -1;
	for (unsigned i = get16(packet + 4); i > 0; i--) {
		at = skip_name(packet, size, at);
		if (!at || at + 4 > size)
			return -1;
		at += 4;
	}
	records = get16(packet + 6) + get16(packet + 8) + get16(packet + 10);
	for (unsigned i = 0; i < records; i++) {
		size_t begin = at, end;
		unsigned type;

		at = skip_name(packet, size, at);
		if (!at || at + RECORD > size)
			return -1;
		type = get16(packet + at);
		end = at + RECORD + get16(packet + at + 8);
		if (end > size)
			return -1;
		if (type == TYPE_TSIG || (type == TYPE_SIG && end - at >= RECORD + 2 &&
					  get16(packet + at + RECORD) == 0))
			opt->sealed = true;
		if (type == TYPE_OPT) {
			if (opt->at || packet[begin] != 0 ||
			    records - i > get16(packet + 10)) /* not in the additional section */
				return -1;
			opt->at = begin;
			opt->size = end - begin;
		}
		at = end;
	}
	if (at != size)
		return -1;
	opt->last = opt->at && opt->at + opt->size == size;
	return 0;
}

static bool is_of_the_hop(unsigned code)
{
	return code == NSID || code == COOKIE || code == KEEPALIVE || code == PADDING;
}

size_t opt_clean(uint8_t *packet, size_t size, const struct opt *opt, uint16_t payload)
{
	uint8_t *in = packet + opt->at + OPT_SIZE, *out = in;
	const uint8_t *end = packet + opt->at + opt->size;

	if (!opt->at || opt->sealed)
		return size;
	put16(packet + opt->at + 3, payload);
	while (end - in >= OPTION) {
		size_t whole = OPTION + get16(in + 2);

		if (whole > (size_t)(end - in))
			break; /* malformed: as it is */
		if (!is_of_the_hop(get16(in))) {
			memmove(out, in, whole);
			out += whole;
		} else if (!opt->last) {
			put16(in, PADDING);
			memset(in + OPTION, 0, whole - OPTION);
			out += whole;
		}
		in += whole;
	}
	memmove(out, in, (size_t)(end - in));
	out += end - in;
	if (!opt->last)
		return size;
	put16(packet + opt->at + 9, (size_t)(out - packet) - opt->at - OPT_SIZE);
	return (size_t)(out - packet);
}

size_t opt_drop(uint8_t *packet, size_t size, const struct opt *opt)
{
	if (!opt->at || !opt->last || opt->sealed)
		return size;
	put16(packet + 10, get16(packet + 10) - 1);
	return opt->at;
}

size_t opt_add(uint8_t *packet, size_t size, uint16_t payload, bool dnssec_ok)
{
	uint8_t *opt = packet + size;

	memset(opt, 0, OPT_SIZE);
	opt[2] = TYPE_OPT;
	put16(opt + 3, payload);
	opt[7] = dnssec_ok ? 0x80 : 0;
	put16(packet + 10, get16(packet + 10) + 1);
	return size + OPT_SIZE;
}

size_t opt_append(uint8_t *packet, size_t size, size_t room, uint16_t code, const void *data,
		  uint16_t data_size)
{
	struct opt opt;

	if (opt_find(packet, size, &opt) < 0 || !opt.last || opt.sealed ||
	    size + OPTION + data_size > room)
		return size;
	put16(packet + size, code);
	put16(packet + size + 2, data_size);
	memcpy(packet + size + OPTION, data, data_size);
	put16(packet + opt.at + 9, opt.size - OPT_SIZE + OPTION + data_size);
	return size + OPTION + data_size;
}
