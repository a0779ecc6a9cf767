/* dns/wire: an answer of very many addresses, whole, turned and in no more than its share of time. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "dns/wire.h"

#define HEAD 19 /* header, the name "a", type, class */
#define FEW  (WIRE_ADDRESSES_MAX / 16)

static uint8_t addresses[WIRE_ADDRESSES_MAX * 16], out[WIRE_PACKET_MAX];

static size_t build(struct wire *wire, uint16_t type, unsigned count, unsigned rotate,
		    uint16_t limit)
{
	static uint8_t packet[] = "\1\2\1\0\0\1\0\0\0\0\0\0\1a\0\0\0\0\1";
	struct wire_query query;
	struct wire_reply reply = { .authoritative = true,
				    .addresses = addresses,
				    .address_count = count,
				    .rotate = rotate,
				    .ttl = 0x01020304,
				    .ede = WIRE_EDE_NONE };

	packet[HEAD - 3] = (uint8_t)type;
	assert_int_equal(wire_parse(wire, packet, sizeof packet - 1, true, &query), WIRE_QUERY);
	query.limit = limit;
	return wire_build(wire, &query, &reply, out);
}

static void fill(size_t size)
{
	for (unsigned i = 0; i < WIRE_ADDRESSES_MAX; i++) {
		memset(addresses + i * size, 0x20, size);
		addresses[i * size] = (uint8_t)(i >> 8);
		addresses[i * size + size - 1] = (uint8_t)i;
	}
}

static void test_every_address(void **state)
{
	static const struct {
		uint16_t type;
		size_t size;
	} kinds[] = { { WIRE_A, 4 }, { WIRE_AAAA, 16 } };
	struct wire *wire = wire_new();

	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		size_t size = kinds[k].size, step = 12 + size;
		uint8_t head[12] = { 0xc0, 12, 0, (uint8_t)kinds[k].type, 0, 1, 1, 2,
				     3,	   4,  0, (uint8_t)size };

		fill(size);
		assert_int_equal(build(wire, kinds[k].type, WIRE_ADDRESSES_MAX, 5, WIRE_PACKET_MAX),
				 HEAD + WIRE_ADDRESSES_MAX * step);
		assert_int_equal(out[6] << 8 | out[7], WIRE_ADDRESSES_MAX);
		for (unsigned i = 0; i < WIRE_ADDRESSES_MAX; i++) {
			unsigned turned = (i + 5) % WIRE_ADDRESSES_MAX;

			assert_memory_equal(out + HEAD + i * step, head, 12);
			assert_memory_equal(out + HEAD + i * step + 12, addresses + turned * size,
					    size);
		}
	}
	wire_free(wire);
}

static void test_all_or_none(void **state)
{
	struct wire *wire = wire_new();
	size_t whole = HEAD + 100 * 16;

	(void)state;
	assert_int_equal(build(wire, WIRE_A, 100, 0, (uint16_t)whole), whole);
	assert_false(wire_truncated(out));
	assert_int_equal(build(wire, WIRE_A, 100, 0, (uint16_t)(whole - 1)), HEAD);
	assert_true(wire_truncated(out));
	assert_int_equal(out[6] << 8 | out[7], 0);
	wire_free(wire);
}

static uint64_t cost(struct wire *wire, unsigned count)
{
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < 50; i++) {
		struct timespec a, b;
		uint64_t took;

		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
		build(wire, WIRE_A, count, 0, WIRE_PACKET_MAX);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
		took = (uint64_t)(b.tv_sec - a.tv_sec) * 1000000000u + (uint64_t)b.tv_nsec -
		       (uint64_t)a.tv_nsec;
		if (took < least)
			least = took;
	}
	return least;
}

/* Once each address cost as much as all before it: 200 times as much for 16 times as many. */
static void test_cost(void **state)
{
	struct wire *wire = wire_new();

	(void)state;
	assert_true(cost(wire, WIRE_ADDRESSES_MAX) < 50 * cost(wire, FEW));
	wire_free(wire);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_address),
		cmocka_unit_test(test_all_or_none),
		cmocka_unit_test(test_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
