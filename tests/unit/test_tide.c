/* base/tide: what was held for a while goes back to the kernel. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/tide.h"
#include "sanitized.h"

#define MIB    ((size_t)1024 * 1024)
#define PIECE  ((size_t)4096)
#define PIECES (32 * MIB / PIECE)

static size_t resident(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*u %lu", &pages), 1);
	fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void test_tide(void **state)
{
	static void *pieces[PIECES];
	size_t before = resident(), high;
	struct tide tide = { 0 };

	(void)state;
	if (SANITIZED) {
		print_message("skipped: a sanitizer's malloc keeps what is freed, to watch it\n");
		skip();
	}
	for (size_t i = 0; i < PIECES; i++) {
		pieces[i] = malloc(PIECE);
		assert_non_null(pieces[i]);
		memset(pieces[i], 1, PIECE);
		tide_set(&tide, (i + 1) * PIECE);
	}
	high = resident();
	assert_true(high >= before + 31 * MIB);
	/* But the last: below it free() gives nothing back by itself. */
	for (size_t i = PIECES - 1; i-- > 0;) {
		free(pieces[i]);
		tide_set(&tide, i * PIECE);
	}
	assert_true(resident() <= before + 4 * MIB);
	free(pieces[PIECES - 1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
