/* Synjitsu's protocol against the document's examples, and its core against a played network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"
#include "proto/synjitsu.h"
#include "synjitsu/core.h"
#include "synjitsu/frame.h"

#define PROTOCOL "proto/PROTOCOL.md"

/* --- the protocol -------------------------------------------------------------------------- */

static uint8_t examples[1024];
static size_t examples_size;

/* The bytes at the beginning of each line behind "Examples". */
static void read_examples(void)
{
	cleanup_file FILE *file = fopen(PROTOCOL, "re");
	bool there = false;
	char line[256];

	assert_non_null(file);
	examples_size = 0;
	while (fgets(line, sizeof line, file)) {
		if (strncmp(line, "has its guest named", 19) == 0)
			there = true;
		if (!there || line[0] != ' ')
			continue;
		for (char *save, *word = strtok_r(line, " \n", &save); word;
		     word = strtok_r(NULL, " \n", &save)) {
			char *end;
			unsigned long value = strtoul(word, &end, 16);

			if (strlen(word) != 2 || *end)
				break;
			examples[examples_size++] = (uint8_t)value;
		}
	}
}

static uint8_t again[1024];
static size_t again_size;

#define AGAIN(name)                                                                                \
	static void on_##name(void *arg, const struct synjitsu_##name *m)                          \
	{                                                                                          \
		(void)arg;                                                                         \
		again_size +=                                                                      \
			synjitsu_pack_##name(again + again_size, sizeof again - again_size, m);    \
	}
AGAIN(hello)
AGAIN(claim)
AGAIN(guest)
AGAIN(ready)
AGAIN(forget)
AGAIN(knock)
AGAIN(counters)
AGAIN(relay)
AGAIN(inject)
AGAIN(heard)

static const struct synjitsu_handlers all_handlers = {
	.hello = on_hello,
	.claim = on_claim,
	.guest = on_guest,
	.ready = on_ready,
	.forget = on_forget,
	.knock = on_knock,
	.counters = on_counters,
	.relay = on_relay,
	.inject = on_inject,
	.heard = on_heard,
};

static int read_stream(const uint8_t *data, size_t size, struct error *err)
{
	size_t done = 0;
	int r;

	again_size = 0;
	while ((r = synjitsu_dispatch(data + done, size - done, &all_handlers, NULL, err)) > 0)
		done += (size_t)r;
	return r < 0 ? r : (int)done;
}

static void test_examples(void **state)
{
	struct error err;

	(void)state;
	read_examples();
	assert_true(examples_size > 80);
	assert_int_equal(read_stream(examples, examples_size, &err), examples_size);
	assert_int_equal(again_size, examples_size);
	assert_memory_equal(again, examples, examples_size);
}

static void test_record(void **state)
{
	static const uint8_t mac[] = { 0, 0x16, 0x3e, 0x11, 0x22, 0x33 }, ip[] = { 10, 0, 0, 7 };
	static const uint8_t expected[] = { 0, 0x16, 0x3e, 0x11, 0x22, 0x33, 10, 0, 0, 7 };
	uint8_t out[SYNJITSU_RECORD];

	(void)state;
	synjitsu_pack_record(out, mac, ip);
	assert_memory_equal(out, expected, sizeof expected);
}

/* At every cut the reader waits for the rest; a message shortened inside is an error. */
static void test_cuts(void **state)
{
	uint8_t broken[64];
	struct error err;

	(void)state;
	read_examples();
	for (size_t cut = 0; cut < 9; cut++)
		assert_int_equal(read_stream(examples, cut, &err), 0);
	for (size_t length = 1; length < 0x24; length++) {
		memcpy(broken, examples + 9, 38);
		broken[1] = (uint8_t)length;
		assert_int_equal(read_stream(broken, 2 + length, &err), -1);
		assert_non_null(strstr(err.text, "message claim is malformed at its field"));
	}
	assert_int_equal(read_stream((const uint8_t[]){ 0, 0 }, 2, &err), -1);
	assert_int_equal(read_stream((const uint8_t[]){ 0xff, 0xff }, 2, &err), -1);
}

/* What a later version may say. */
static void test_later_version(void **state)
{
	static const uint8_t unknown[] = { 0, 3, 99, 1, 2 };
	static const uint8_t longer[] = { 0, 7, 5, 0, 0, 0, 32, 0xaa, 0xbb };
	struct error err;

	(void)state;
	assert_int_equal(read_stream(unknown, sizeof unknown, &err), sizeof unknown);
	assert_int_equal(again_size, 0);
	assert_int_equal(read_stream(longer, sizeof longer, &err), sizeof longer);
	assert_int_equal(again_size, 7);
}

/* --- the core ------------------------------------------------------------------------------ */

static const uint8_t guest_mac[] = { 0, 0x16, 0x3e, 0, 0, 7 };
static const uint8_t client_mac[] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t our_mac[] = { 2, 0, 0, 0, 0, 0xff };
static const uint8_t host_mac[] = { 2, 0, 0, 0, 0, 0xfe };
static const struct address guest = { 4, { 10, 0, 0, 7 } };
static const struct address client = { 4, { 10, 0, 0, 1 } };
static const struct address host = { 4, { 10, 0, 0, 254 } };

struct port {
	int unused;
};
struct vif {
	int unused;
};

static struct port bridge;
static struct vif interface;
static struct loop *loop;
static struct core *core;
static bool has_host_address;
static struct frame last_sent, last_injected;
static uint8_t sent[FRAME_MADE_MAX], injected[2048];
static unsigned sent_count, injected_count, syns_injected, knocks;
static enum core_steer steered;

static struct port *io_find_port(void *arg, const char *name)
{
	(void)arg;
	return strcmp(name, "xenbr0") == 0 ? &bridge : NULL;
}

static const uint8_t *io_port_mac(void *arg, struct port *port)
{
	(void)arg;
	assert_ptr_equal(port, &bridge);
	return our_mac;
}

static bool io_port_address(void *arg, struct port *port, const struct address *peer,
			    struct address *out, uint8_t mac[FRAME_MAC])
{
	(void)arg;
	(void)port;
	(void)peer;
	*out = host;
	memcpy(mac, host_mac, FRAME_MAC);
	return has_host_address;
}

static void io_transmit(void *arg, struct port *port, const uint8_t *frame, size_t size)
{
	(void)arg;
	(void)port;
	memcpy(sent, frame, size);
	frame_parse(&last_sent, sent, size);
	sent_count++;
}

static void io_steer(void *arg, struct claim *claim, enum core_steer steer)
{
	(void)arg;
	(void)claim;
	steered = steer;
}

static struct vif *io_open_vif(void *arg, struct claim *claim, const char *name)
{
	(void)arg;
	(void)claim;
	assert_string_equal(name, "vif7.0");
	return &interface;
}

static void io_close_vif(void *arg, struct vif *vif)
{
	(void)arg;
	assert_ptr_equal(vif, &interface);
}

static struct claim *claimed;

static void io_inject(void *arg, struct claim *claim, const uint8_t *frame, size_t size)
{
	(void)arg;
	claimed = claim;
	memcpy(injected, frame, size);
	frame_parse(&last_injected, injected, size);
	injected_count++;
	syns_injected += last_injected.protocol == FRAME_TCP;
}

static void io_knock(void *arg, const struct synjitsu_knock *knock)
{
	(void)arg;
	assert_int_equal(knock->id, 32);
	knocks++;
}

static int set_up(void **state)
{
	static const struct core_io io = {
		.find_port = io_find_port,
		.port_mac = io_port_mac,
		.port_address = io_port_address,
		.transmit = io_transmit,
		.steer = io_steer,
		.open_vif = io_open_vif,
		.close_vif = io_close_vif,
		.inject = io_inject,
		.knock = io_knock,
	};
	static const struct core_config config = { .udp = true, .wakes = 20, .wakes_each = 5 };

	(void)state;
	sent_count = injected_count = syns_injected = knocks = 0;
	steered = CORE_STEER_FREE;
	has_host_address = true;
	claimed = NULL;
	loop = loop_new(LOOP_CLOCK_FAKE);
	core = core_new(loop, &config, &io, NULL);
	return loop && core ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	core_free(core);
	loop_free(loop);
	return 0;
}

static void say_claim(bool awake, uint16_t port)
{
	static const uint8_t address[] = { 4, 10, 0, 0, 7 };
	uint8_t ports[] = { (uint8_t)(port >> 8), (uint8_t)port };
	struct synjitsu_claim m = { .id = 32,
				    .awake = awake,
				    .bridge = synjitsu_text("xenbr0"),
				    .addresses = { address, sizeof address },
				    .ports = { ports, port ? 2 : 0 },
				    .service = synjitsu_text("www") };

	memcpy(m.mac, guest_mac, 6);
	core_handlers()->claim(core, &m);
}

static void say_guest(void)
{
	core_handlers()->guest(core, &(struct synjitsu_guest){ 32, synjitsu_text("vif7.0") });
}

static void say_ready(uint16_t port)
{
	core_handlers()->ready(core, &(struct synjitsu_ready){ 32, port });
}

static void receive_syn_of(const struct address *from, uint16_t from_port, uint16_t port,
			   uint32_t number)
{
	uint8_t frame[FRAME_MADE_MAX];
	size_t size =
		frame_make_syn(frame, client_mac, guest_mac, from, from_port, &guest, port, number);

	core_received(core, &bridge, frame, size);
}

static void receive_syn(uint16_t from_port, uint16_t port)
{
	receive_syn_of(&client, from_port, port, 1);
}

/* An ARP request, to everybody. */
static size_t to_all(uint8_t *frame, size_t size)
{
	memset(frame, 0xff, FRAME_MAC);
	return size;
}

static void receive_question(void)
{
	uint8_t frame[FRAME_MADE_MAX];
	size_t size = frame_make_question(frame, client_mac, guest_mac, &client, &guest);

	core_received(core, &bridge, frame, to_all(frame, size));
}

/* The guest answers a probe's SYN: listening or not. */
static void answer(uint16_t port, bool listens)
{
	uint8_t frame[FRAME_MADE_MAX];
	size_t size = frame_make_syn(frame, guest_mac, host_mac, &guest, port, &host,
				     last_injected.from_port, 1);

	frame[size - 20 + 13] = listens ? TCP_SYN | TCP_ACK : TCP_RST | TCP_ACK;
	frame_finish_sums(frame, size);
	assert_non_null(claimed);
	core_heard(core, claimed, frame, size);
}

static struct synjitsu_counters counters(void)
{
	struct synjitsu_counters out;

	core_counters(core, &out);
	return out;
}

static void test_questions(void **state)
{
	(void)state;
	receive_question();
	assert_int_equal(sent_count, 0);
	say_claim(true, 0);
	assert_int_equal(steered, CORE_STEER_HERE);
	loop_advance(loop, 20 * USEC_PER_MSEC);
	/* Announced: RFC 5227's form, under the guest's MAC. */
	assert_int_equal(sent_count, 1);
	assert_true(last_sent.request);
	assert_memory_equal(last_sent.source, guest_mac, 6);
	assert_true(address_equal(&last_sent.from, &guest) && address_equal(&last_sent.to, &guest));
	receive_question();
	assert_int_equal(sent_count, 2);
	assert_false(last_sent.request);
	assert_memory_equal(last_sent.source, our_mac, 6);
	assert_memory_equal(last_sent.link, guest_mac, 6);
	assert_memory_equal(last_sent.destination, client_mac, 6);
	loop_advance(loop, 3 * USEC_PER_SEC);
	assert_int_equal(sent_count, 3); /* the second announcement */
}

/* The guest tries whether its own address is free: nobody says no. */
static void test_guest_probes_its_address(void **state)
{
	uint8_t frame[FRAME_MADE_MAX];
	static const struct address nobody = { 4, { 0 } };
	size_t size = frame_make_question(frame, guest_mac, guest_mac, &nobody, &guest);

	(void)state;
	say_claim(true, 0);
	loop_advance(loop, 5 * USEC_PER_SEC);
	sent_count = 0;
	core_received(core, &bridge, frame, to_all(frame, size));
	assert_int_equal(sent_count, 0);
}

static void test_syn_waits_for_its_port(void **state)
{
	(void)state;
	say_claim(true, 0);
	receive_syn(1000, 80);
	receive_syn_of(&client, 1000, 80, 1); /* sent again */
	receive_syn(1001, 80);
	receive_syn(1002, 81);
	assert_int_equal(counters().held, 3);
	assert_int_equal(counters().folded, 1);
	loop_advance(loop, 100 * USEC_PER_MSEC);
	assert_int_equal(injected_count, 0); /* no guest yet */
	say_guest();
	loop_advance(loop, 20 * USEC_PER_MSEC);
	assert_true(injected_count >= 4); /* asked for its address, and port by port */
	assert_memory_equal(last_injected.source, host_mac, 6);
	answer(80, false);
	assert_int_equal(counters().held, 3);
	loop_advance(loop, 10 * USEC_PER_MSEC);
	syns_injected = 0;
	answer(80, true);
	assert_int_equal(syns_injected, 2);
	assert_memory_equal(last_injected.source, client_mac, 6);
	assert_int_equal(last_injected.from_port, 1001);
	assert_int_equal(counters().held, 1);
	receive_syn(1003, 80); /* known: goes on at once */
	assert_int_equal(syns_injected, 3);
	say_ready(0);
	assert_int_equal(steered, CORE_STEER_HERE); /* one still waits */
	answer(81, true);
	assert_int_equal(counters().held, 0);
	assert_int_equal(steered, CORE_STEER_GUEST);
}

static void test_ready_port_is_known(void **state)
{
	(void)state;
	say_claim(true, 0);
	say_guest();
	receive_syn(1000, 80);
	say_ready(80);
	assert_int_equal(last_injected.from_port, 1000);
	assert_int_equal(steered, CORE_STEER_GUEST);
	loop_advance(loop, 11 * USEC_PER_SEC);
	assert_int_equal(counters().claims, 0);
}

/* A port that never listens is refused by the guest, not by silence. */
static void test_closed_port(void **state)
{
	(void)state;
	say_claim(true, 0);
	say_guest();
	receive_syn(1000, 99);
	say_ready(0);
	loop_advance(loop, 9 * USEC_PER_SEC);
	assert_int_equal(counters().held, 1);
	loop_advance(loop, 2 * USEC_PER_SEC);
	assert_int_equal(counters().held, 0);
	assert_int_equal(last_injected.from_port, 1000);
	assert_int_equal(steered, CORE_STEER_GUEST);
}

static void test_client_gives_up(void **state)
{
	uint8_t frame[FRAME_MADE_MAX];
	size_t size = frame_make_syn(frame, client_mac, guest_mac, &client, 1000, &guest, 80, 1);

	(void)state;
	say_claim(true, 0);
	receive_syn(1000, 80);
	frame[size - 20 + 13] = TCP_RST;
	core_received(core, &bridge, frame, size);
	assert_int_equal(counters().held, 0);
}

static void test_without_an_address_of_ours(void **state)
{
	(void)state;
	has_host_address = false;
	say_claim(true, 0);
	receive_syn(1000, 80);
	say_guest();
	loop_advance(loop, 10 * USEC_PER_MSEC);
	assert_memory_equal(last_injected.source, client_mac, 6);
	assert_int_not_equal(last_injected.from_port, 1000);
	assert_true(address_equal(&last_injected.from, &client));
}

static void test_knocks(void **state)
{
	(void)state;
	say_claim(false, 80);
	receive_question();
	assert_int_equal(knocks, 0); /* only its port wakes it, but it is to be found */
	assert_int_equal(sent_count, 1);
	receive_syn(1000, 22);
	assert_int_equal(knocks, 0);
	assert_int_equal(counters().held, 0);
	receive_syn(1000, 80);
	assert_int_equal(knocks, 1);
	assert_int_equal(counters().held, 1);
	receive_syn(1001, 80);
	assert_int_equal(knocks, 1); /* not again at once */
	loop_advance(loop, USEC_PER_SEC);
	receive_syn(1002, 80);
	assert_int_equal(knocks, 2);
	/* It is started: what was held still is. */
	say_claim(true, 80);
	say_guest();
	loop_advance(loop, 10 * USEC_PER_MSEC);
	syns_injected = 0;
	answer(80, true);
	assert_int_equal(syns_injected, 3);
}

static void test_knocks_are_bounded(void **state)
{
	(void)state;
	say_claim(false, 0);
	/* Five a second for one source: each 0.5 s one is asked for, but here all at once. */
	for (int i = 0; i < 40; i++) {
		receive_syn((uint16_t)(1000 + i), 80);
		loop_advance(loop, 100 * USEC_PER_MSEC);
	}
	assert_true(knocks <= 9 && knocks >= 7);
	assert_int_equal(counters().refused_knocks, 0);
	for (uint8_t i = 0; i < 100; i++) {
		struct address scanner = { 4, { 10, 0, 1, i } };

		say_claim(false, 0); /* may knock again */
		receive_syn_of(&scanner, 1, 80, 1);
	}
	assert_true(counters().refused_knocks >= 75);
	loop_advance(loop, 120 * USEC_PER_SEC);
	assert_int_equal(counters().held, 0); /* nobody came for them */
}

static void test_bounds(void **state)
{
	(void)state;
	say_claim(true, 0);
	for (unsigned c = 0; c < 40; c++)
		for (unsigned p = 0; p < 100; p++) {
			struct address from = { 4, { 10, 0, 2, (uint8_t)c } };

			receive_syn_of(&from, (uint16_t)(1000 + p), 80, 1);
		}
	assert_int_equal(counters().held, HOLD_PER_GUEST);
	assert_int_equal(counters().dropped, 4000 - HOLD_PER_GUEST);
}

static void test_defence(void **state)
{
	uint8_t frame[FRAME_MADE_MAX];
	size_t size = frame_make_announcement(frame, &guest, client_mac, client_mac);

	(void)state;
	say_claim(true, 0);
	loop_advance(loop, 5 * USEC_PER_SEC);
	sent_count = 0;
	for (int i = 0; i < 100; i++)
		core_received(core, &bridge, frame, size);
	assert_int_equal(sent_count, 1);
	assert_memory_equal(last_sent.source, guest_mac, 6);
	/* Again, when those who heard the other one take another word. */
	loop_advance(loop, 1500 * USEC_PER_MSEC);
	assert_int_equal(sent_count, 1);
	loop_advance(loop, USEC_PER_SEC);
	assert_int_equal(sent_count, 2);
	core_received(core, &bridge, frame, size);
	assert_int_equal(sent_count, 3);
	assert_int_equal(counters().defended, 2);
}

/* An echo request stays until its reply: a guest that has just come up may lose the first. */
static void test_echo_until_its_reply(void **state)
{
	/* 10.0.0.1 asks 10.0.0.7; its sums are not looked at. */
	uint8_t ping[14 + 20 + 8] = { 0, 0x16, 0x3e, 0, 0, 7,  2,  0, 0, 0, 0,	1,
				      8, 0,    0x45, 0, 0, 28, 0,  0, 0, 0, 64, 1,
				      0, 0,    10,   0, 0, 1,  10, 0, 0, 7, 8 };
	uint8_t pong[sizeof ping];

	(void)state;
	say_claim(true, 0);
	core_received(core, &bridge, ping, sizeof ping);
	assert_int_equal(counters().held, 1);
	say_guest();
	loop_advance(loop, 20 * USEC_PER_MSEC);
	assert_false(last_injected.echo); /* it has not spoken */
	say_ready(80);
	assert_non_null(claimed);
	memcpy(pong, ping, sizeof ping);
	memcpy(pong, ping + 6, 6);
	memcpy(pong + 6, ping, 6);
	memcpy(pong + 26, ping + 30, 4);
	memcpy(pong + 30, ping + 26, 4);
	pong[34] = 3; /* something else than a reply */
	core_heard(core, claimed, pong, sizeof pong);
	assert_true(last_injected.echo);
	assert_int_equal(counters().handed, 1);
	for (int i = 0; i < 3; i++) {
		memset(&last_injected, 0, sizeof last_injected);
		loop_advance(loop, 210 * USEC_PER_MSEC);
		assert_true(last_injected.echo);
	}
	assert_int_equal(counters().handed, 1);
	assert_int_equal(steered, CORE_STEER_HERE);
	pong[34] = 0;
	core_heard(core, claimed, pong, sizeof pong);
	assert_int_equal(counters().held, 0);
	assert_int_equal(steered, CORE_STEER_GUEST);
}

/* By jitsud, of a guest whose interface is in another domain. */
static void test_heard_by_relay(void **state)
{
	uint8_t frame[FRAME_MADE_MAX];
	size_t size = frame_make_syn(frame, guest_mac, host_mac, &guest, 80, &host, 1, 1);
	struct synjitsu_heard m = { .id = 32, .frame = { frame, (uint32_t)size } };

	(void)state;
	frame[size - 20 + 13] = TCP_SYN | TCP_ACK;
	core_handlers()->heard(core, &m);
	say_claim(true, 0);
	receive_syn(1000, 80);
	core_handlers()->heard(core, &m); /* nobody has named its guest */
	assert_int_equal(counters().held, 1);
	say_guest();
	core_handlers()->heard(core, &m);
	assert_int_equal(counters().held, 0);
	assert_int_equal(last_injected.from_port, 1000);
}

static void test_stale_claims(void **state)
{
	(void)state;
	say_claim(false, 0);
	core_alone(core);
	loop_advance(loop, 50 * USEC_PER_SEC);
	assert_int_equal(counters().claims, 1);
	core_handlers()->hello(core, &(struct synjitsu_hello){ SYNJITSU_MAGIC, 1 });
	say_claim(false, 0);
	loop_advance(loop, 20 * USEC_PER_SEC);
	assert_int_equal(counters().claims, 1);
	core_handlers()->hello(core, &(struct synjitsu_hello){ SYNJITSU_MAGIC, 1 });
	loop_advance(loop, 20 * USEC_PER_SEC);
	assert_int_equal(counters().claims, 0);
	assert_int_equal(steered, CORE_STEER_FREE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_later_version),
#define CORE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		CORE_TEST(test_questions),
		CORE_TEST(test_guest_probes_its_address),
		CORE_TEST(test_syn_waits_for_its_port),
		CORE_TEST(test_ready_port_is_known),
		CORE_TEST(test_closed_port),
		CORE_TEST(test_client_gives_up),
		CORE_TEST(test_without_an_address_of_ours),
		CORE_TEST(test_knocks),
		CORE_TEST(test_knocks_are_bounded),
		CORE_TEST(test_bounds),
		CORE_TEST(test_defence),
		CORE_TEST(test_echo_until_its_reply),
		CORE_TEST(test_heard_by_relay),
		CORE_TEST(test_stale_claims),
	};

	return cmocka_run_group_tests_name("synjitsu", tests, NULL, NULL);
}
