/* proto/entries: services out of a file, piece by piece. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "proto/entries.h"
#include "proto/spec.h"

static int file_of(const char *text, size_t size)
{
	char path[] = "/tmp/jitsu-entries-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(write(fd, text, size), size);
	return fd;
}

/* The entries with a bar between, or the error. */
static void reads(const char *text, const char *expected)
{
	cleanup_close int fd = file_of(text, strlen(text));
	struct entries *entries = entries_new(fd, false);
	char got[1024] = "";
	struct error err = { 0 };
	const char *entry;
	size_t size;
	int r;

	while ((r = entries_next(entries, &entry, &size, &err)) > 0) {
		assert_int_equal(size, strlen(entry));
		snprintf(got + strlen(got), sizeof got - strlen(got), "%s|", entry);
	}
	if (r < 0) {
		snprintf(got, sizeof got, "%s", err.text);
		assert_int_equal(entries_next(entries, &entry, &size, &err), -1);
	} else {
		assert_int_equal(entries_next(entries, &entry, &size, &err), 0);
	}
	entries_free(entries);
	assert_string_equal(got, expected);
}

static void test_outline(void **state)
{
	(void)state;
	reads("[]", "");
	reads(" [ ] \n", "");
	reads("{\"a\":1}", "{\"a\":1}|");
	reads(" [ {\"a\":[1,{}]} ,\n{} ]\n", "{\"a\":[1,{}]}|{}|");
	reads("[{\"a\":\"}\\\"]{\",\"b\\\\\":\"\\\\\"},{}]",
	      "{\"a\":\"}\\\"]{\",\"b\\\\\":\"\\\\\"}|{}|");
	reads("", "expected a service object or an array of them");
	reads("7", "expected a service object or an array of them");
	reads("[{},7]", "line 1: entry 1: expected a service object");
	reads("[{}\n,\n]", "line 3: entry 1: expected a service object");
	reads("[,{}]", "line 1: entry 0: expected a service object");
	reads("[{}{}]", "line 1: behind entry 0: expected a comma or the end of the array");
	reads("[{}", "line 1: behind entry 0: expected a comma or the end of the array");
	reads("[", "line 1: entry 0: expected the end of the array");
	reads("[{\"a\":\"x}]", "line 1: entry 0: expected its end; it has none");
	reads("[{\n\"a\":1}]\n]", "line 3: something follows the end");
	reads("{} {}", "line 1: something follows the end");
}

static void test_long(void **state)
{
	enum { N = 20000 };
	char *text = malloc(N * 100 + SPEC_JSON_MAX + 16), *out = text;
	struct entries *entries;
	struct error err = { 0 };
	const char *entry;
	char expected[100];
	size_t size;
	int fd;

	(void)state;
	out += sprintf(out, "[");
	for (unsigned i = 0; i < N; i++)
		out += sprintf(out, "%s{\"n\":%u,\"x\":\"%*s\"}", i ? ",\n" : "", i, (int)(i % 50),
			       "");
	out += sprintf(out, ",{\"x\":\"%*s\"}]", SPEC_JSON_MAX, "");
	fd = file_of(text, (size_t)(out - text));
	entries = entries_new(fd, false);
	for (unsigned i = 0; i < N; i++) {
		snprintf(expected, sizeof expected, "{\"n\":%u,\"x\":\"%*s\"}", i, (int)(i % 50),
			 "");
		assert_int_equal(entries_next(entries, &entry, &size, &err), 1);
		assert_string_equal(entry, expected);
	}
	assert_int_equal(entries_count(entries), N);
	assert_int_equal(entries_next(entries, &entry, &size, &err), -1);
	assert_string_equal(err.text, "line 20000: entry 20000: expected at most 64 KiB");
	entries_free(entries);
	/* Whoever reads it next begins at its beginning. */
	entries = entries_new(fd, false);
	assert_int_equal(entries_next(entries, &entry, &size, &err), 1);
	entries_free(entries);
	close(fd);
	free(text);
}

static void test_pipe(void **state)
{
	struct entries *entries;
	struct error err = { 0 };
	const char *entry;
	size_t size;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "[{},{\"a\":1}]", 12), 12);
	close(fds[1]);
	entries = entries_new(fds[0], true);
	assert_int_equal(entries_next(entries, &entry, &size, &err), 1);
	assert_int_equal(entries_next(entries, &entry, &size, &err), 1);
	assert_string_equal(entry, "{\"a\":1}");
	assert_int_equal(entries_next(entries, &entry, &size, &err), 0);
	entries_free(entries);
	close(fds[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outline),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_pipe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
