/* What jitsuctl prints and with which status it exits. */
#include "run_jitsuctl.h"

static void add_pairs(void **state)
{
	(void)state;
	RUN("$J add dns=www.example.org,\\\n ip=10.0.0.1,\\\n kernel=mirage-www.xen,\\\n "
	    "memory=64000,\\\nname=www,nic=br0",
	    0);
	assert_string_equal(out, "added www\n");
	assert_string_equal(err, "");
	RUN("$J add name=two, dns=a.org,dns=b.org, ip=10.0.0.2,ip=fe80::1", 0);
	RUN("$J show www", 0);
	HAS(out, "\nkernel            /");
	HAS(out, "/mirage-www.xen\n");
	HAS(out, "\nmemory            62.5M\n");
	RUN("cd / && $J --json add name=root,dns=r.org,ip=10.0.0.3,kernel=./k,ramdisk=/x//y", 0);
	HAS(out, "\"kernel\":\"/k\"");
	HAS(out, "\"ramdisk\":\"/x//y\"");
	assert_int_equal(lines_of(out), 1);
}

static void add_files(void **state)
{
	(void)state;
	write_file("one.json",
		   "{\n\"name\": \"one\", \"dns\": \"one.org\",\n\"ip\": \"10.0.0.1\"}\n");
	write_file("several.json", "[{\"name\":\"a\",\"dns\":\"a.org\",\"ip\":\"10.0.0.2\"},"
				   "{\"name\":\"b\",\"dns\":\"b.org\",\"ip\":\"10.0.0.300\"},5,"
				   "{\"name\":\"one\",\"dns\":\"c.org\",\"ip\":\"10.0.0.4\"},"
				   "{\"name\":\"d\",\"dns\":\"d.org\",\"ip\":\"10.0.0.5\"}]");
	RUN("$J add one.json", 0);
	assert_string_equal(out, "added one\n");
	RUN("$J add several.json", 1);
	assert_string_equal(out, "added a\nadded d\n");
	assert_int_equal(lines_of(err), 3);
	HAS(err, "jitsuctl: add: several.json[1] \"b\": ip: \"10.0.0.300\": expected");
	HAS(err, "jitsuctl: add: several.json[2]: expected a service's object\n");
	HAS(err, "jitsuctl: add: several.json[3] \"one\": name: \"one\": taken");
	RUN("$J remove a d one", 0);
	assert_string_equal(out, "removed a\nremoved d\nremoved one\n");
	RUN("$J add --stop several.json one.json", 1);
	assert_string_equal(out, "added a\n");
	assert_int_equal(lines_of(err), 1);
	RUN("$J add - <one.json", 0);
	assert_string_equal(out, "added one\n");
	RUN("printf '{\"name\":\"z\"' | $J add -", 1);
	HAS(err,
	    "jitsuctl: add: standard input: not JSON: unexpected end of data at line 1, column");
	write_file("bad.json", "{\n\"name\": 'x'\n}\n");
	RUN("$J add bad.json", 1);
	HAS(err, "bad.json: not JSON: ");
	HAS(err, "at line 2, column 9\n");
	write_file("twice.json",
		   "{\"name\":\"t\",\"dns\":\"a:b\\\"\",\"ip\":[\"10.0.0.9\"],\"dns\":\"b.org\"}");
	RUN("$J add twice.json", 1);
	HAS(err, "twice.json: \"dns\": this key is given twice in one object\n");
	RUN("$J add ./no-such.json", 1);
	assert_string_equal(err, "jitsuctl: add: ./no-such.json: No such file or directory\n");
	RUN("$J add .", 1);
	HAS(err, "Is a directory");
	RUN("echo 5 | $J add -", 1);
	HAS(err, "expected a service, or an array of services");
	assert_int_equal(lines_of(err), 1);
	RUN("$J add one.json name=x", 2);
	HAS(err, "not both");
}

static void refusals(void **state)
{
	(void)state;
	RUN("$J add name=www,dns=w.org,ip=10.0.0.256", 1);
	assert_string_equal(out, "");
	HAS(err, "jitsuctl: add: ip: \"10.0.0.256\": expected");
	assert_int_equal(lines_of(err), 1);
	RUN("$J --json add name=www,dns=w.org,ip=10.0.0.256", 1);
	HAS(out, "{\"error\":{\"code\":-32001,\"message\":\"ip: ");
	HAS(out, "\"field\":\"ip\"}}}\n");
	RUN("$J show nobody", 1);
	assert_string_equal(err, "jitsuctl: show: name: \"nobody\": no such service\n");
	RUN("$J add name=a,dns=a.org,ip=10.0.0.1 && $J remove x a y", 1);
	HAS(out, "removed a\n");
	assert_int_equal(lines_of(err), 2);
	RUN("$J add name=a,nonsense", 1);
	HAS(err, "expected key=value");
	RUN("printf '{\"name\":\"a\\\\u001b[2J\"}' | $J add -", 1);
	assert_null(strchr(err, 27));
}

static void usage(void **state)
{
	static const char *const rows[][2] = {
		{ "$J", "jitsuctl: no command given (see 'jitsuctl help')\n" },
		{ "$J lst", "jitsuctl: lst: unknown command; did you mean 'list'? (see" },
		{ "$J summon www", "jitsuctl: summon: unknown command (see" },
		{ "$J documnt man", "jitsuctl: documnt: unknown command (see" },
		{ "$J add", "jitsuctl: add: expected KEY=VALUE" },
		{ "$J show", "jitsuctl: show: expected NAME (see" },
		{ "$J show a b", "jitsuctl: show: \"b\": one argument too many" },
		{ "$J list --jsn", "jitsuctl: list: --jsn: unknown option; did you mean --json?" },
		{ "$J list -x", "jitsuctl: list: -x: unknown option" },
		{ "$J --json=5 list", "--json: takes no value" },
		{ "$J list --stop", "--stop: only with 'add'" },
		{ "$J list --timeout", "--timeout: expected SECONDS" },
		{ "$J list --timeout never", "\"never\": expected seconds" },
		{ "$J list -t0", "\"0\": expected seconds" },
		{ "$J help lst", "did you mean 'list'?" },
		{ "$J -- --json", "jitsuctl: --json: unknown command" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		RUN(rows[i][0], 2);
		HAS(err, rows[i][1]);
		assert_int_equal(lines_of(err), 1);
		assert_string_equal(out, "");
	}
}

static void help(void **state)
{
	static const char *const names[] = { "add",    "remove",  "list", "show",
					     "status", "version", "help" };
	static const char *const keys[] = {
#define SPEC_KEY(key, kind, min, max, help) #key,
#include "proto/spec.tbl.h"
#undef SPEC_KEY
	};

	(void)state;
	RUN("$J --help", 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		HAS(out, names[i]);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char line[64];

		snprintf(line, sizeof line, "$J help %s >x; $J %s --help | cmp - x", names[i],
			 names[i]);
		RUN(line, 0);
	}
	RUN("$J add --help", 0);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		cleanup_free char *row = NULL;

		assert_true(asprintf(&row, "\n  %s  ", keys[i]) > 0);
		HAS(out, row);
	}
	RUN("$J --version", 0);
	assert_string_equal(out, "jitsuctl " JITSU_VERSION "\n");
	RUN("$J help add >/dev/full", 1);
	HAS(err, "standard output: ");
}

static void no_daemon(void **state)
{
	int fd;

	(void)state;
	RUN("$J --socket none.sock list", 3);
	assert_string_equal(
		err, "jitsuctl: list: none.sock: no daemon there: No such file or directory\n");
	RUN("JITSU_SOCKET=other.sock $J list", 3);
	HAS(err, "other.sock");
	RUN("$J --socket none.sock add name=a,dns=a.org,ip=10.0.0.1", 3);
	RUN("$J --socket none.sock remove a b c", 3);
	assert_int_equal(lines_of(err), 1);
	RUN("$J --socket none.sock version", 3);
	assert_string_equal(out, "jitsuctl " JITSU_VERSION "\n");
	RUN("$J -s $(printf %0200d 1) list", 2);
	/* One that listens and says nothing; then nobody listens any more. */
	unlink("quiet.sock");
	fd = listen_at("quiet.sock");
	RUN("$J --socket quiet.sock --timeout 0.2 list", 1);
	HAS(err, "did not answer within 0.2 s");
	close(fd);
	RUN("$J --socket quiet.sock list", 3);
	HAS(err, "Connection refused");
	/* A verb that does not answer. */
	RUN("$J -t 0.2 remove slow nobody", 1);
	HAS(err, "did not answer within 0.2 s");
	HAS(err, "no such service");
}

static void list(void **state)
{
	char *line, *rest;
	int rows = 0;

	(void)state;
	RUN("$J list", 0);
	assert_int_equal(lines_of(out), 1);
	RUN("$J add name=www,dns=www.example.org,dns=example.org,ip=10.0.0.1,memory=64M", 0);
	RUN("$J add name=a-very-long-name-for-a-service-indeed-it-is,"
	    "dns=a.very.long.name.for.a.service.example.org,ip=2001:db8:1234:5678:9abc:def0:1:2",
	    0);
	RUN("$J list", 0);
	assert_string_equal(err, "simulated: no virtual machine is behind these services\n");
	HAS(out, "www.example.org,example.org\n");
	HAS(out, "a.very.long.name.for.a.service.example.org\n");
	RUN("COLUMNS=80 $J list", 0);
	HAS(out, "…");
	for (rest = out; (line = strsep(&rest, "\n")) && *line; rows++) {
		size_t width = 0;

		for (const char *c = line; *c; c++)
			width += (*c & 0xc0) != 0x80;
		if (width > 80)
			fail_msg("%zu columns: %s", width, line);
	}
	assert_int_equal(rows, 3);
	RUN("$J remove a-very-long-name-for-a-service-indeed-it-is", 0);
	RUN("COLUMNS=80 $J list", 0);
	HAS(out, "NAME  STATE  DOMID  MEMORY  QUERIES  ASKED  IP        DNS\n"
		 "www   off        -     64M        0      -  10.0.0.1  www.example.org +1\n");
	RUN("$J list --json", 0);
	assert_string_equal(err, "");
	HAS(out, "{\"simulated\":true,\"services\":[{");
	assert_int_equal(lines_of(out), 1);
}

static void status(void **state)
{
	(void)state;
	RUN("$J status", 0);
	HAS(out, "version           9.9.9\n");
	HAS(out, "uptime            1h2m\n");
	HAS(out, "memory_free       3G\n");
	HAS(out, "states            off 0\n");
	HAS(out, "jitsuctl          is of version " JITSU_VERSION "\n");
	RUN("$J version", 0);
	assert_string_equal(out, "jitsuctl " JITSU_VERSION "\njitsud   9.9.9 (sim)\n");
	RUN("$J version -j", 0);
	assert_string_equal(out, "{\"jitsuctl\":\"" JITSU_VERSION "\",\"jitsud\":\"9.9.9\"}\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(add_pairs), TEST(add_files), TEST(refusals), TEST(usage),
		TEST(help),	 TEST(no_daemon), TEST(list),	  TEST(status),
	};

	log_open("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("jitsuctl", tests, open_directory, remove_directory);
}
