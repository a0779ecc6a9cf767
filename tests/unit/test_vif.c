/* Plugging, with real interfaces in a network namespace of this test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "tests/unit/namespace.h"
#include "toolstack/vif.h"

#define LIMIT 5000 /* ms; a test that waits so long has failed */

/* One line of a file of /sys/class/net. */
static const char *sys(const char *file)
{
	static char line[64];
	char path[128];
	cleanup_file FILE *f = NULL;

	snprintf(path, sizeof path, "/sys/class/net/%s", file);
	f = fopen(path, "r");
	if (!f || !fgets(line, sizeof line, f))
		return "";
	line[strcspn(line, "\n")] = '\0';
	return line;
}

static void test_name(void **state)
{
	char name[VIF_NAME_MAX];

	(void)state;
	vif_name(name, 32751, 15);
	assert_string_equal(name, "vif32751.15");
}

static void test_check_bridge(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(vif_check_bridge("../../etc", &err), -1);
	assert_int_equal(vif_check_bridge("a-name-that-is-too-long", &err), -1);
	assert_int_equal(vif_check_bridge("", &err), -1);
	assert_int_equal(vif_check_bridge("nosuchbr0", &err), -1);
	assert_string_equal(err.field, "nic");
	assert_non_null(strstr(err.text, "no such bridge"));
	need_namespace(); /* from here on /sys is read */
	assert_int_equal(vif_check_bridge("lo", &err), -1);
	assert_non_null(strstr(err.text, "expected a bridge"));
	assert_int_equal(vif_check_bridge("br0", &err), 0);
}

static void test_plug(void **state)
{
	char target[256];
	ssize_t r;
	struct error err;

	(void)state;
	need_namespace();
	assert_true(run("ip link add v0 type veth peer name p0"));
	assert_int_equal(vif_plug("v0", "br0", LIMIT, &err), 0);
	assert_string_equal(sys("v0/address"), "fe:ff:ff:ff:ff:ff");
	assert_int_equal(strtoul(sys("v0/flags"), NULL, 16) & 1, 1);
	r = readlink("/sys/class/net/v0/master", target, sizeof target - 1);
	assert_true(r > 0);
	target[r] = '\0';
	assert_string_equal(strrchr(target, '/'), "/br0");
	/* Again: nothing to do, and no error. */
	assert_int_equal(vif_plug("v0", "br0", LIMIT, &err), 0);
	run("ip link del v0");
}

static void test_plug_fails(void **state)
{
	struct error err;

	(void)state;
	need_namespace();
	assert_int_equal(vif_plug("nosuch0", "br0", 10, &err), -1);
	assert_non_null(strstr(err.text, "nosuch0 did not appear"));
	assert_int_equal(vif_plug("v0", "nosuchbr0", 10, &err), -1);
	assert_string_equal(err.field, "nic");
	/* The kernel's own words: a bridge cannot be a bridge's port. */
	assert_true(run("ip link add br1 type bridge"));
	assert_int_equal(vif_plug("br1", "br0", LIMIT, &err), -1);
	assert_non_null(strstr(err.text, "cannot add br1 to bridge br0"));
	assert_non_null(strstr(err.text, "bridge to a bridge"));
	run("ip link del br1");
}

static void *make_late(void *arg)
{
	(void)arg;
	usleep(50000);
	run("ip link add late0 type veth peer name late1");
	return NULL;
}

static void test_interface_comes_late(void **state)
{
	struct error err = { .kind = ERROR_NONE };
	pthread_t thread;

	(void)state;
	need_namespace();
	assert_int_equal(pthread_create(&thread, NULL, make_late, NULL), 0);
	if (vif_plug("late0", "br0", LIMIT, &err) < 0)
		fail_msg("%s", err.text);
	pthread_join(thread, NULL);
	run("ip link del late0");
}

/* A frame that leaves by an interface. */
static void send_by(const char *interface)
{
	static const uint8_t frame[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,
					   0,	 0,    0,    0,	   1,	 0x88, 0xb5 };
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = (int)if_nametoindex(interface) };
	cleanup_close int fd = socket(AF_PACKET, SOCK_RAW, 0);

	assert_int_equal(sendto(fd, frame, sizeof frame, 0, (struct sockaddr *)&to, sizeof to),
			 sizeof frame);
}

static bool heard_within(int fd, unsigned ms)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	return poll(&pollfd, 1, (int)ms) > 0 && vif_heard(fd);
}

static void test_listen(void **state)
{
	cleanup_close int fd = -1;
	struct error err;

	(void)state;
	need_namespace();
	assert_int_equal(vif_listen("nosuch0", &err), -1);
	assert_non_null(strstr(err.text, "nosuch0"));
	assert_true(run("ip link add v0 type veth peer name p0"));
	assert_true(run("ip link set v0 up && ip link set p0 up"));
	fd = vif_listen("v0", &err);
	assert_true(fd >= 0);
	/* To the guest: not heard. */
	send_by("v0");
	assert_false(heard_within(fd, 100));
	/* From the guest: heard. */
	send_by("p0");
	assert_true(heard_within(fd, LIMIT));
	close(TAKE_FD(fd));
	/* The interface ends: the socket is readable, and it is no frame. */
	fd = vif_listen("v0", &err);
	assert_true(fd >= 0);
	assert_true(run("ip link del v0"));
	assert_false(heard_within(fd, LIMIT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_check_bridge),
		cmocka_unit_test(test_plug),
		cmocka_unit_test(test_plug_fails),
		cmocka_unit_test(test_interface_comes_late),
		cmocka_unit_test(test_listen),
	};

	return cmocka_run_group_tests(tests, make_namespace, NULL);
}
