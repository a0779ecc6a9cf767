/* A network namespace of the test's own, with a bridge br0. */
#ifndef JITSU_TEST_NAMESPACE_H
#define JITSU_TEST_NAMESPACE_H

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>

#include <cmocka.h>

static const char *lacking; /* why there is no namespace */

static bool run(const char *command)
{
	char line[256];

	snprintf(line, sizeof line, "{ %s; } >/dev/null 2>&1", command);
	return system(line) == 0;
}

static void need_namespace(void)
{
	if (lacking) {
		print_message("skipped: %s\n", lacking);
		skip();
	}
}

/* Of the group. */
static int make_namespace(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
		lacking = "network namespaces need root";
	else if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		 mount("sysfs", "/sys", "sysfs", 0, NULL) < 0)
		lacking = "cannot mount sysfs for the namespace";
	else if (!run("ip link add br0 type bridge mcast_snooping 0 && ip link add x0 type veth && "
		      "ip link del x0"))
		lacking = "no bridges or veth pairs here, or no iproute2";
	/* IPv6 would send frames of its own. */
	run("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6");
	return 0;
}

#endif
