/* base/error: one sentence, whatever the values are, that names field, value and what is expected. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Valid UTF-8 without control characters: what may be shown to a terminal and put into JSON. */
static bool printable(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;

	while (*c) {
		unsigned more = *c < 0x80 ? 0 : *c < 0xc2 ? 9 : *c < 0xe0 ? 1 : *c < 0xf0 ? 2 : 3;

		if (more == 9 || *c < 0x20 || *c == 0x7f || *c > 0xf4)
			return false;
		if (c[0] == 0xc2 && c[1] < 0xa0)
			return false; /* C1 */
		for (c++; more; more--, c++)
			if ((*c & 0xc0) != 0x80)
				return false;
	}
	return true;
}

static void test_set(void **state)
{
	struct error err;

	(void)state;
	memset(&err, 0xff, sizeof err);
	assert_int_equal(error_set(&err, ERROR_BUSY, "%s is %d", "it", 7), -1);
	assert_int_equal(err.kind, ERROR_BUSY);
	assert_string_equal(err.field, "");
	assert_string_equal(err.text, "it is 7");
}

static void test_nobody_asks(void **state)
{
	(void)state;
	assert_int_equal(error_set(NULL, ERROR_INPUT, "x"), -1);
	assert_int_equal(error_errno(NULL, "x"), -1);
	assert_int_equal(error_field(NULL, ERROR_INPUT, "f", "v", "x"), -1);
	assert_int_equal(error_wrap(NULL, "x"), -1);
}

static void test_errno(void **state)
{
	struct error err;

	(void)state;
	errno = ENOENT;
	assert_int_equal(error_errno(&err, "opening %s", "/x"), -1);
	assert_int_equal(err.kind, ERROR_SYSTEM);
	assert_string_equal(err.text, "opening /x: No such file or directory");
	assert_int_equal(errno, ENOENT);
}

static void test_field(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(error_field(&err, ERROR_INPUT, "memory", "64Q", "expected %s", "a size"),
			 -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_string_equal(err.field, "memory");
	assert_string_equal(err.text, "memory: \"64Q\": expected a size");
	error_field(&err, ERROR_INPUT, "name", NULL, "missing");
	assert_string_equal(err.text, "name: missing");
	error_field(&err, ERROR_INPUT, "name", "", "empty");
	assert_string_equal(err.text, "name: \"\": empty");
}

static void test_value_is_cut(void **state)
{
	char value[66], *expected = NULL;
	struct error err;

	(void)state;
	memset(value, 'x', sizeof value);
	value[64] = '\0';
	error_field(&err, ERROR_INPUT, "f", value, "e");
	assert_int_equal(strlen(err.text), strlen("f: \"\": e") + 64);
	value[64] = 'x';
	value[65] = '\0';
	error_field(&err, ERROR_INPUT, "f", value, "e");
	expected = strstr(err.text, "x…\": e");
	assert_non_null(expected);
	assert_int_equal(strlen(err.text), strlen("f: \"…\": e") + 64);
}

static void test_value_is_cut_between_characters(void **state)
{
	struct error err;

	(void)state;
	/* The 64th byte is in the midst of a character, at each place of it. */
	for (unsigned lead = 60; lead < 68; lead++) {
		char value[128] = "";

		memset(value, 'x', lead);
		strcat(value, "\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9zzzzzz");
		error_field(&err, ERROR_INPUT, "f", value, "e");
		assert_true(printable(err.text));
		assert_non_null(strstr(err.text, "x"));
	}
}

static void test_value_is_made_printable(void **state)
{
	struct error err;

	(void)state;
	error_field(&err, ERROR_INPUT, "f", "a\nb\x1b[31m\x7f\tc", "e");
	assert_string_equal(err.text, "f: \"a?b?[31m??c\": e");
	error_field(&err, ERROR_INPUT, "f", "caf\xc3\xa9 \xe2\x82\xac", "e");
	assert_string_equal(err.text, "f: \"caf\xc3\xa9 \xe2\x82\xac\": e");
}

static void test_value_that_is_no_text(void **state)
{
	static const char *const values[] = {
		"\xff",
		"\xc3",
		"a\xc3(",
		"\xe2\x82",
		"\xed\xa0\x80",
		"\xc0\xaf",
		"\xf5\x80\x80\x80",
		"\x80\x81",
		("\xc2\x9b"
		 "31m"),
		"\xf0\x9f\x98",
	};
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		error_field(&err, ERROR_INPUT, "f", values[i], "e");
		assert_true(printable(err.text));
		assert_non_null(strchr(err.text, '?'));
	}
	/* Every byte there is. */
	for (unsigned b = 1; b < 256; b++) {
		char value[] = { 'a', (char)b, 'z', '\0' };

		error_field(&err, ERROR_INPUT, "f", value, "e");
		assert_true(printable(err.text));
		assert_int_equal(strlen(err.text), strlen("f: \"a?z\": e"));
	}
}

static void test_wrap(void **state)
{
	struct error err;

	(void)state;
	error_field(&err, ERROR_CONFLICT, "ip", "10.0.0.1", "taken");
	assert_int_equal(error_wrap(&err, "service %s", "www"), -1);
	assert_string_equal(err.text, "service www: ip: \"10.0.0.1\": taken");
	assert_string_equal(err.field, "ip");
	assert_int_equal(err.kind, ERROR_CONFLICT);
}

static void test_wrap_its_own_text(void **state)
{
	struct error err;

	(void)state;
	error_set(&err, ERROR_INPUT, "inner");
	error_wrap(&err, "line %d", 3);
	error_wrap(&err, "file.json");
	assert_string_equal(err.text, "file.json: line 3: inner");
}

static void test_overlong(void **state)
{
	char *long_text = malloc(5000);
	struct error err;

	(void)state;
	memset(long_text, 'y', 4999);
	long_text[4999] = '\0';
	error_set(&err, ERROR_INPUT, "%s", long_text);
	assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
	error_wrap(&err, "front");
	assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
	assert_int_equal(strncmp(err.text, "front: yyy", 10), 0);
	error_field(&err, ERROR_INPUT, long_text, long_text, "%s", long_text);
	assert_int_equal(strlen(err.field), ERROR_FIELD_MAX - 1);
	assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
	error_wrap(&err, "%s", long_text);
	assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
	errno = EIO;
	error_errno(&err, "%s", long_text);
	assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
	free(long_text);
}

static void test_text_is_cut_between_characters(void **state)
{
	struct error err;
	char text[ERROR_TEXT_MAX + 64];

	(void)state;
	for (unsigned lead = ERROR_TEXT_MAX - 8; lead < ERROR_TEXT_MAX; lead++) {
		memset(text, 'x', sizeof text);
		strcpy(text + lead, "\xf0\x9f\x98\x80\xe2\x82\xac\xc3\xa9\xc3\xa9");
		error_set(&err, ERROR_INPUT, "%s", text);
		assert_true(printable(err.text));
		assert_true(strlen(err.text) >= ERROR_TEXT_MAX - 4);
	}
}

static void test_kind_names(void **state)
{
	(void)state;
	for (enum error_kind kind = ERROR_NONE; kind <= ERROR_SYSTEM; kind++)
		for (enum error_kind other = ERROR_NONE; other < kind; other++)
			assert_string_not_equal(error_kind_name(kind), error_kind_name(other));
	assert_string_equal(error_kind_name(ERROR_INPUT), "input");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_nobody_asks),
		cmocka_unit_test(test_errno),
		cmocka_unit_test(test_field),
		cmocka_unit_test(test_value_is_cut),
		cmocka_unit_test(test_value_is_cut_between_characters),
		cmocka_unit_test(test_value_is_made_printable),
		cmocka_unit_test(test_value_that_is_no_text),
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_wrap_its_own_text),
		cmocka_unit_test(test_overlong),
		cmocka_unit_test(test_text_is_cut_between_characters),
		cmocka_unit_test(test_kind_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
