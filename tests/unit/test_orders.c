/* jitsuctl's commands that put services into another state or change them, and what each says to
 * somebody who uses it wrongly. */
#include "run_jitsuctl.h"

static void orders(void **state)
{
	(void)state;
	RUN("$J add name=a,dns=a.org,ip=10.0.0.1 && $J add name=b,dns=b.org,ip=10.0.0.2", 0);
	RUN("$J start a b", 0);
	assert_string_equal(out, "a is ready\nb is ready\n");
	RUN("$J stop a", 0);
	assert_string_equal(out, "a is off\n");
	RUN("$J stop --mode suspend a b", 0);
	assert_string_equal(out, "a is suspended\nb is suspended\n");
	RUN("$J stop -mpause a", 0);
	assert_string_equal(out, "a is paused\n");
	RUN("$J restart a && $J pause a && $J pin a && $J unpin a", 0);
	assert_string_equal(out, "a is ready\na is paused\na is paused\na is paused\n");
	RUN("$J --json start b", 0);
	HAS(out, "\"state\":\"ready\"");
	assert_int_equal(lines_of(out), 1);
	RUN("$J add name=torn,dns=t.org,ip=10.0.0.3 && $J start torn && $J remove torn", 0);
	HAS(out, "torn is ready\nbooted afresh: its image is torn\n");
	/* One that is refused does not keep the others from it. */
	RUN("$J start nobody a broken", 1);
	assert_string_equal(out, "a is ready\n");
	assert_string_equal(err, "jitsuctl: start: nobody: name: \"nobody\": no such service\n"
				 "jitsuctl: start: broken: no kernel in it\n");
}

static void set(void **state)
{
	(void)state;
	RUN("$J set a ttl=30", 0);
	assert_string_equal(out, "a: ttl=\"30\": in force now\n");
	RUN("$J set a memory=64M idle=pause:2m,destroy:1h cmdline= dns=a.org dns=b.org dns=c.org",
	    0);
	assert_string_equal(out, "a: idle=\"pause:2m,destroy:1h\",cmdline=null,"
				 "dns=[ \"a.org\", \"b.org\", \"c.org\" ]: in force now\n"
				 "a: memory=\"64M\": in force from its next boot on\n");
	RUN("cd / && $J set a kernel=./k cmdline=a=b", 0);
	HAS(out, "kernel=\"\\/k\",cmdline=\"a=b\"");
	RUN("$J set a same=1", 0);
	assert_string_equal(out, "a: all is as it was\n");
	RUN("$J --json set a ttl=30", 0);
	HAS(out, "{\"name\":\"a\",\"now\":[\"ttl=");
}

static void set_wrong(void **state)
{
	static const char *const rows[][2] = {
		{ "$J set", "jitsuctl: set: expected NAME KEY=VALUE... (see" },
		{ "$J set a", "expected NAME KEY=VALUE..." },
		{ "$J set a ttl", "\"ttl\": expected KEY=VALUE" },
		{ "$J set a =5", "\"=5\": expected KEY=VALUE" },
		{ "$J set a dns=x dns=", "\"dns\": given with a value and without one" },
		{ "$J set a dns= dns=x", "\"dns\": given with a value and without one" },
		{ "$J set a dns= dns=", "\"dns\": given with a value and without one" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		RUN(rows[i][0], 2);
		HAS(err, rows[i][1]);
		assert_string_equal(out, "");
		assert_int_equal(lines_of(err), 1);
	}
}

static void wrong(void **state)
{
	static const char *const named[] = { "start", "stop",  "pause", "restart",
					     "pin",   "unpin", "remove" };
	static const char *const of_one[] = { "show", "trace", "console" };
	static const struct {
		const char *line, *said;
	} rows[] = {
		{ "$J start --mode pause a", "--mode: only with 'stop'" },
		{ "$J stop --mode", "--mode: expected MODE" },
		{ "$J list --follow", "--follow: only with 'events'" },
		{ "$J events now", "\"now\": one argument too many" },
		{ "$J top 5", "\"5\": one argument too many" },
		{ "$J top --interval soon", "--interval: \"soon\": expected seconds" },
		{ "$J top --interval 0", "--interval: \"0\": expected seconds" },
		{ "$J top --interval 1e300", "--interval: \"1e300\": expected at most 86400" },
		{ "$J trace --once a", "--once: only with 'top'" },
		{ "$J stat a", "did you mean 'start'?" },
		{ "$J pasue a", "did you mean 'pause'?" },
	};
	char line[128], said[128];

	(void)state;
	RUN("$J add name=a,dns=a.org,ip=10.0.0.1", 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		RUN(rows[i].line, 2);
		HAS(err, rows[i].said);
		assert_int_equal(lines_of(err), 1);
	}
	for (size_t i = 0; i < ARRAY_SIZE(named) + ARRAY_SIZE(of_one); i++) {
		bool one = i >= ARRAY_SIZE(named);
		const char *name = one ? of_one[i - ARRAY_SIZE(named)] : named[i];

		snprintf(line, sizeof line, "$J %s", name);
		RUN(line, 2);
		snprintf(said, sizeof said,
			 "jitsuctl: %s: expected NAME%s (see 'jitsuctl help %s')\n", name,
			 one ? "" : "...", name);
		assert_string_equal(err, said);
		snprintf(line, sizeof line, "$J %s nobody", name);
		RUN(line, 1);
		snprintf(said, sizeof said, "jitsuctl: %s: name: \"nobody\": no such service\n",
			 name);
		assert_string_equal(err, said);
		assert_string_equal(out, "");
		snprintf(line, sizeof line, "$J %s -s none.sock x", name);
		RUN(line, 3);
		snprintf(said, sizeof said,
			 "jitsuctl: %s: none.sock: no daemon there: No such file or directory\n",
			 name);
		assert_string_equal(err, said);
	}
	RUN("$J -s none.sock events --follow", 3);
	RUN("$J -s none.sock top", 3);
	RUN("$J -s none.sock set a ttl=1", 3);
	assert_string_equal(
		err, "jitsuctl: set: none.sock: no daemon there: No such file or directory\n");
	RUN("$J console a", 1);
	assert_string_equal(err,
			    "jitsuctl: console: a: it is simulated: no domain, and no console\n");
	RUN("$J trace a", 1);
	assert_string_equal(err,
			    "jitsuctl: trace: a: nobody has woken it since the daemon started, "
			    "or it was found running\n");
	if (geteuid() == 0 && access("/usr/bin/setpriv", X_OK) == 0) {
		RUN("chmod 755 . && setpriv --reuid 65534 --regid 65534 --clear-groups $J list", 1);
		HAS(err,
		    "control.sock: Permission denied; it is for root and the socket's group\n");
		RUN("chmod 666 control.sock && setpriv --reuid 65534 --regid 65534 --clear-groups "
		    "$J stop a",
		    1);
		HAS(err, "jitsuctl: stop: service.stop is for root and the socket's group\n");
	}
}

/* Nothing happened yet. */
static void events(void **state)
{
	(void)state;
	RUN("$J events", 0);
	assert_string_equal(out, "");
	RUN("$J --json events", 0);
	assert_string_equal(out, "");
	RUN("timeout 1 $J events --follow", 124);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(orders), TEST(set), TEST(set_wrong), TEST(wrong), TEST(events),
	};

	log_open("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("orders", tests, open_directory, remove_directory);
}
