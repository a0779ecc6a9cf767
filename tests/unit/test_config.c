/* jitsud's settings: options, file, defaults; and that the manual and the example know them all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "config.h"
#include "declared.h"

static char conf_path[] = "/tmp/jitsu-test-conf-XXXXXX";

static void write_conf(const char *text)
{
	cleanup_file FILE *file = fopen(conf_path, "we");

	assert_non_null(file);
	fputs(text, file);
}

/* Reads with `--config conf_path` and up to three more arguments. */
static int read_with(struct config *config, struct error *err, const char *a, const char *b,
		     const char *c)
{
	const char *argv[] = { "jitsud", "--config", conf_path, a, b, c, NULL };
	int argc = 3 + (a != NULL) + (b != NULL) + (c != NULL);

	*err = (struct error){ 0 };
	return config_read(config, argc, (char **)(uintptr_t)argv, err);
}

static void assert_refused(const char *a, const char *b, const char *text)
{
	struct config config;
	struct error err;

	assert_int_equal(read_with(&config, &err, a, b, NULL), -1);
	if (!strstr(err.text, text))
		fail_msg("expected \"%s\" in \"%s\"", text, err.text);
}

static void test_defaults(void **state)
{
	struct config config;
	struct error err;

	(void)state;
	write_conf("");
	assert_int_equal(read_with(&config, &err, NULL, NULL, NULL), 0);
	assert_int_equal(config.bind.n, 1);
	assert_string_equal(config.bind.v[0], "127.0.0.1");
	assert_int_equal(config.listen, 53);
	assert_int_equal(config.forwarder.n, 0);
	assert_int_equal(config.response_delay, 100);
	assert_int_equal(config.ttl, 60);
	assert_int_equal(config.wait_limit, 700);
	assert_string_equal(config.backend, "libxl");
	assert_int_equal(config.foreground, 0);
	config_free(&config);
}

static void test_options_over_file(void **state)
{
	struct config config;
	struct error err;

	(void)state;
	write_conf("# a comment = with an equals sign\n"
		   "bind = [ \"10.0.0.1\",\n  \"::1\" ]\n"
		   "ttl = 5\nresponse_delay = \"0.25\"\nbackend = \"sim\"\n");
	assert_int_equal(read_with(&config, &err, "-t", "7", "dns=a.example,ip=10.0.0.9"), 0);
	assert_int_equal(config.bind.n, 2);
	assert_string_equal(config.bind.v[1], "::1");
	assert_int_equal(config.ttl, 7);
	assert_int_equal(config.response_delay, 250);
	assert_string_equal(config.backend, "sim");
	assert_int_equal(config.arguments.n, 1);
	config_free(&config);
	assert_int_equal(read_with(&config, &err, "-b", "127.0.0.2", NULL), 0);
	assert_int_equal(config.bind.n, 1);
	assert_string_equal(config.bind.v[0], "127.0.0.2");
	config_free(&config);
}

static void test_bad_values(void **state)
{
	(void)state;
	write_conf("");
	assert_refused("-l", "70000",
		       "--listen: \"70000\": expected a whole number from 1 to 65535");
	assert_refused("-l", "53x", "--listen: \"53x\"");
	assert_refused("-d", "soon", "--delay: \"soon\": expected seconds, from 0 to 60");
	assert_refused("-d", "nan", "--delay: \"nan\"");
	assert_refused("-t", "", "--ttl: \"\"");
	assert_refused("--unheard-of", NULL, "--unheard-of: unknown option");
	assert_refused("--persistdb", NULL, "--persistdb: the option needs a value");
	assert_refused("stray", NULL, "argument: \"stray\": expected a service");
	write_conf("bnid = \"127.0.0.1\"\n");
	assert_refused(NULL, NULL, "bnid: unknown key");
	write_conf("listen = \"many\"\n");
	assert_refused(NULL, NULL, "listen: \"many\": expected a whole number");
	write_conf("listen = [ 53\n");
	assert_refused(NULL, NULL, conf_path);
	unlink(conf_path);
	assert_refused(NULL, NULL, "No such file or directory");
}

static void test_declared(void **state)
{
	struct config config;
	struct declared declared;
	struct error err;
	const char *argv[] = { "jitsud",
			       "--services",
			       conf_path,
			       "--services-dir",
			       "/nonexistent",
			       "name=c,dns=c.example,ip=10.0.0.1",
			       NULL };

	(void)state;
	write_conf("[ { \"name\": \"a\" }, { \"name\": \"b\" } ]");
	assert_int_equal(config_read(&config, 6, (char **)(uintptr_t)argv, &err), 0);
	assert_int_equal(declared_read(&declared, &config, &err), 0);
	assert_int_equal(declared.n, 3);
	assert_non_null(strstr(declared.v[1], "\"b\""));
	assert_non_null(strstr(declared.v[2], "c.example"));
	assert_int_equal(declared_check(&declared, true, &err), -1);
	assert_non_null(strstr(err.text, conf_path));
	assert_non_null(strstr(err.text, "service \"a\": dns: missing"));
	assert_int_equal(declared_check_arguments(&declared, true, &err), 0);
	assert_int_equal(declared_check_arguments(&declared, false, &err), -1);
	assert_non_null(strstr(err.text, "argument: service \"c\": kernel: missing"));
	declared_free(&declared);
	write_conf("[ { \"name\": \"c\", \"dns\": \"d.example\", \"ip\": \"10.0.0.2\" } ]");
	assert_int_equal(declared_read(&declared, &config, &err), 0);
	assert_int_equal(declared_check(&declared, true, &err), -1);
	assert_non_null(strstr(err.text, "service \"c\": expected once"));
	declared_free(&declared);
	write_conf("[ { \"name\": \"a\" }, 7 ]");
	assert_int_equal(declared_read(&declared, &config, &err), -1);
	assert_non_null(strstr(err.text, "entry 1: expected a service object"));
	write_conf("[ { \"name\": ");
	assert_int_equal(declared_read(&declared, &config, &err), -1);
	assert_non_null(strstr(err.text, conf_path));
	write_conf("\"text\"");
	assert_int_equal(declared_read(&declared, &config, &err), -1);
	assert_non_null(strstr(err.text, "expected a service object or an array"));
	config_free(&config);
}

static char *slurp(const char *path)
{
	cleanup_file FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t room = 0;

	if (!file || getdelim(&text, &room, '\0', file) < 0)
		fail_msg("cannot read %s", path);
	return text;
}

/* Run from the project's root, as tests/run does. */
static void test_documents(void **state)
{
	static const struct {
		const char *option, *key;
	} all[] = {
#define CONFIG(member, letter, option, key, kind, min, max, preset, value, help) { option, key },
#include "config.tbl.h"
#undef CONFIG
	};
	cleanup_free char *manual = slurp("daemon/jitsud.8");
	cleanup_free char *example = slurp("xen-config/jitsud.conf");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		char shown[64] = "\\-\\-", *out = shown + 4;

		for (const char *c = all[i].option; *c; c++) {
			if (*c == '-')
				*out++ = '\\';
			*out++ = *c;
		}
		*out = '\0';
		if (!strstr(manual, shown))
			fail_msg("daemon/jitsud.8 does not have --%s", all[i].option);
		snprintf(shown, sizeof shown, "#%s = ", all[i].key);
		if (*all[i].key && !strstr(example, shown))
			fail_msg("xen-config/jitsud.conf does not have %s", all[i].key);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),   cmocka_unit_test(test_options_over_file),
		cmocka_unit_test(test_bad_values), cmocka_unit_test(test_declared),
		cmocka_unit_test(test_documents),
	};
	int fd = mkstemp(conf_path), r;

	if (fd < 0)
		return 1;
	close(fd);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(conf_path);
	return r;
}
