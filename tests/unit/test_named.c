/* base/named: a socket takes the place of a stale one, and of nothing else. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/named.h"

static char folder[] = "/tmp/jitsu-test-named-XXXXXX";
static char path[64];

static int listen_at(const char *at, struct error *err)
{
	*err = (struct error){ 0 };
	return named_listen(at, 0660, 4, "--control", err);
}

static void test_takes_a_free_name(void **state)
{
	struct error err;
	struct stat st;
	cleanup_close int fd = listen_at(path, &err);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0660);
	unlink(path);
}

static void test_replaces_a_stale_socket(void **state)
{
	struct error err;
	int fd = listen_at(path, &err);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	fd = listen_at(path, &err);
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
}

static void test_leaves_a_served_one(void **state)
{
	struct error err;
	cleanup_close int fd = listen_at(path, &err);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(listen_at(path, &err), -1);
	assert_non_null(strstr(err.text, "--control: \""));
	assert_non_null(strstr(err.text, "another daemon serves this socket"));
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
}

static void test_leaves_what_is_no_socket(void **state)
{
	struct error err;
	char content[8] = "";
	FILE *file = fopen(path, "we");

	(void)state;
	assert_non_null(file);
	fputs("kept", file);
	fclose(file);
	assert_int_equal(listen_at(path, &err), -1);
	assert_non_null(strstr(err.text, path));
	assert_non_null(strstr(err.text, "expected a socket or nothing"));
	file = fopen(path, "re");
	assert_non_null(file);
	assert_non_null(fgets(content, sizeof content, file));
	assert_string_equal(content, "kept");
	fclose(file);
	unlink(path);
	assert_int_equal(symlink("/nonexistent", path), 0);
	assert_int_equal(listen_at(path, &err), -1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(listen_at(folder, &err), -1);
}

static void test_length(void **state)
{
	struct error err = { 0 };
	char longest[109];

	(void)state;
	memset(longest, 'a', sizeof longest - 1);
	longest[108] = '\0';
	assert_false(named_fits(longest, "--control", &err));
	assert_non_null(strstr(err.text, "expected a path of at most 107 bytes"));
	longest[107] = '\0';
	assert_true(named_fits(longest, "--control", &err));
	assert_false(named_fits("", "--control", &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_takes_a_free_name),
		cmocka_unit_test(test_replaces_a_stale_socket),
		cmocka_unit_test(test_leaves_a_served_one),
		cmocka_unit_test(test_leaves_what_is_no_socket),
		cmocka_unit_test(test_length),
	};
	int r;

	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof path, "%s/s", folder);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return r;
}
