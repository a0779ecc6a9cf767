/* Relays, with a real bridge: guests' interfaces are veth pairs, vif5.0 a guest's, vif9.0 that of
 * Synjitsu's domain. */
#include "tests/unit/namespace.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/packet.h"
#include "toolstack/relay.h"

#define LIMIT 5000 /* ms; a test that waits so long has failed */
#define ID    80
#define PEER  9

static const uint8_t mac[6] = { 0, 0x16, 0x3e, 0, 0, 5 };
static struct loop *loop;
static struct relays *relays;
static int guest = -1, peer = -1; /* the far ends */
static unsigned heard;
static uint8_t last[128];

static void on_heard(void *arg, uint32_t id, struct bytes frame)
{
	(void)arg;
	assert_int_equal(id, ID);
	assert_true(frame.size <= sizeof last);
	memcpy(last, frame.data, frame.size);
	heard++;
}

static void new_relays(void)
{
	struct error err;

	relays = relays_new(loop, on_heard, NULL, &err);
	assert_non_null(relays);
	relays_meet(relays, PEER);
}

static int set_up(void **state)
{
	struct error err;

	(void)state;
	if (lacking)
		return 0;
	assert_true(run("ip link set br0 up"));
	assert_true(run("ip link add vif5.0 type veth peer name g0"));
	assert_true(run("ip link add vif9.0 type veth peer name p0"));
	assert_true(run("for i in vif5.0 vif9.0; do ip link set $i master br0 up; done"));
	assert_true(run("ip link set g0 up; ip link set p0 up"));
	/* A port learns once it has its carrier. */
	assert_true(run("for n in $(seq 250); do bridge link show dev vif5.0 | grep forwarding && "
			"break; sleep 0.02; done"));
	guest = packet_open(if_nametoindex("g0"), true, &err);
	peer = packet_open(if_nametoindex("p0"), true, &err);
	assert_true(guest >= 0 && peer >= 0);
	loop = loop_new(LOOP_CLOCK_REAL);
	heard = 0;
	new_relays();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (lacking)
		return 0;
	relays_free(relays);
	loop_free(loop);
	close(guest);
	close(peer);
	run("ip link del vif5.0; ip link del vif9.0");
	return 0;
}

/* Of 60 bytes, from `from`, of that Ethernet type. The rest as the caller will have it. */
static void send_from(int fd, const uint8_t to[6], const uint8_t from[6], uint16_t type,
		      uint8_t protocol, uint8_t flags)
{
	uint8_t frame[60] = { 0 };

	memcpy(frame, to, 6);
	memcpy(frame + 6, from, 6);
	frame[12] = (uint8_t)(type >> 8);
	frame[13] = (uint8_t)type;
	frame[14] = 0x45;
	frame[23] = protocol;
	frame[14 + 20 + 13] = flags;
	assert_int_equal(send(fd, frame, sizeof frame, 0), sizeof frame);
}

static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t client[6] = { 2, 0, 0, 0, 0, 1 };

/* A frame of that type for `to` has come there; others are left out. */
static bool comes(int fd, const uint8_t to[6], uint16_t type, int ms)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	uint8_t frame[2048];

	while (poll(&pollfd, 1, ms) > 0) {
		if (recv(fd, frame, sizeof frame, 0) > 14 && memcmp(frame, to, 6) == 0 &&
		    frame[12] == type >> 8 && frame[13] == (type & 0xff))
			return true;
	}
	return false;
}

/* Where the bridge sends what is for the guest's MAC: asked by the peer's side or the guest's. */
static void leads_to(const char *interface)
{
	char command[160];

	snprintf(command, sizeof command,
		 "bridge fdb show br br0 | grep -qi '^00:16:3e:00:00:05 dev %s '", interface);
	assert_true(run(command));
}

static void hear(unsigned count)
{
	for (int i = 0; i < LIMIT && heard < count; i++) {
		loop_settle(loop);
		usleep(1000);
	}
	assert_int_equal(heard, count);
}

static void test_relay(void **state)
{
	(void)state;
	need_namespace();
	relay_set(relays, ID, "vif5.0", mac, SYNJITSU_RELAY_HERE);
	leads_to("vif9.0");
	/* Whatever the guest says. What is of no use is not told. */
	send_from(guest, all, mac, 0x0806, 0, 0);
	send_from(guest, client, mac, 0x0800, IPPROTO_UDP, 0);
	send_from(guest, client, mac, 0x0800, IPPROTO_TCP, 0x10);
	send_from(guest, client, mac, 0x0800, IPPROTO_TCP, 0x12);
	send_from(guest, client, mac, 0x0800, IPPROTO_TCP, 0x14);
	send_from(guest, client, mac, 0x0800, IPPROTO_ICMP, 0);
	hear(4);
	assert_int_equal(last[23], IPPROTO_ICMP);
	leads_to("vif9.0");
	/* To the guest: by its interface, past the bridge, and not back to us. */
	memcpy(last, mac, 6);
	memcpy(last + 12, "\x88\xb5", 2);
	relay_inject(relays, ID, (struct bytes){ last, 60 });
	assert_true(comes(guest, mac, 0x88b5, LIMIT));
	relay_inject(relays, ID + 1, (struct bytes){ last, 60 });
	assert_false(comes(guest, mac, 0x88b5, 50));
	hear(4);
	relay_set(relays, ID, "vif5.0", mac, SYNJITSU_RELAY_GUEST);
	leads_to("vif5.0");
	relay_set(relays, ID, "vif5.0", mac, SYNJITSU_RELAY_HERE);
	leads_to("vif9.0");
	relay_set(relays, ID, "", mac, SYNJITSU_RELAY_OFF);
	leads_to("vif5.0");
	send_from(guest, all, mac, 0x0806, 0, 0);
	usleep(10000);
	hear(4);
	/* It is not fixed: the MAC may move. */
	send_from(peer, all, mac, 0x0806, 0, 0);
	assert_true(comes(guest, all, 0x0806, LIMIT));
	leads_to("vif9.0");
}

static void test_guest_is_gone(void **state)
{
	(void)state;
	need_namespace();
	relay_set(relays, ID, "vif5.1", mac, SYNJITSU_RELAY_HERE); /* there never was one */
	assert_false(run("bridge fdb show br br0 | grep -i 00:16:3e:00:00:05"));
	relay_set(relays, ID, "vif5.0", mac, SYNJITSU_RELAY_HERE);
	run("ip link del vif5.0");
	for (int i = 0; i < 20; i++) {
		loop_settle(loop);
		usleep(1000);
	}
	relay_inject(relays, ID, (struct bytes){ mac, 6 });
	relay_set(relays, ID, "", mac, SYNJITSU_RELAY_OFF);
	assert_false(run("bridge fdb show br br0 | grep -i 00:16:3e:00:00:05"));
}

/* What a jitsud that was killed has left is loose when the next one meets Synjitsu; what somebody
 * has fixed elsewhere stays. */
static void test_after_a_kill(void **state)
{
	(void)state;
	need_namespace();
	assert_true(run("bridge fdb replace 00:16:3e:00:00:05 dev vif9.0 master static sticky"));
	assert_true(run("bridge fdb replace 00:16:3e:00:00:06 dev vif9.0 master static"));
	assert_true(run("bridge fdb replace 00:16:3e:00:00:07 dev vif5.0 master static sticky"));
	relays_meet(relays, PEER);
	assert_false(run("bridge fdb show br br0 | grep -i 00:16:3e:00:00:05"));
	assert_true(run("bridge fdb show br br0 | grep -i 00:16:3e:00:00:06"));
	assert_true(run("bridge fdb show br br0 | grep -i 00:16:3e:00:00:07"));
}

/* Synjitsu is lost: nobody is led there any more. */
static void test_end(void **state)
{
	(void)state;
	need_namespace();
	relay_set(relays, ID, "vif5.0", mac, SYNJITSU_RELAY_HERE);
	relays_end(relays);
	leads_to("vif5.0");
	relay_inject(relays, ID, (struct bytes){ mac, 6 });
	send_from(guest, all, mac, 0x0806, 0, 0);
	usleep(10000);
	hear(0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_relay, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_guest_is_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_after_a_kill, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_end, set_up, tear_down),
	};

	log_open("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("relay", tests, make_namespace, NULL);
}
