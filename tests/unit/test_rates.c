/* What jitsuctl top makes of what service.list counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/cleanup.h"
#include "jitsuctl/rates.c"

static struct rates rates;
static struct json_object *list;
static struct rate *rows;

static int teardown(void **state)
{
	(void)state;
	rates_free(&rates);
	json_object_put(TAKE(list));
	free(TAKE(rows));
	return 0;
}

static void take(double now, const char *services)
{
	json_object_put(list);
	free(rows);
	list = json_tokener_parse(services);
	assert_non_null(list);
	assert_int_equal(rates_take(&rates, list, now, &rows), json_object_array_length(list));
}

static void check(size_t i, const char *name, double queries, double rx, double tx)
{
	const double expected[] = { queries, rx, tx },
		     got[] = { rows[i].queries, rows[i].rx, rows[i].tx };

	assert_string_equal(name_of(&rows[i]), name);
	for (size_t k = 0; k < ARRAY_SIZE(got); k++) {
		if (isnan(expected[k]) ? !isnan(got[k]) : !(fabs(expected[k] - got[k]) < 1e-6))
			fail_msg("%s: value %zu is %g, not %g", name, k, got[k], expected[k]);
	}
}

static void counts(void **state)
{
	(void)state;
	take(100, "[{\"name\":\"a\",\"queries\":5,\"rx\":1000,\"tx\":0,\"measured\":1}]");
	check(0, "a", NAN, NAN, NAN);
	/* Measured at 99 and at 103: 4 s apart. */
	take(104, "[{\"name\":\"a\",\"queries\":25,\"rx\":3000,\"tx\":400,\"measured\":1}]");
	check(0, "a", 5, 500, 100);
	/* Nothing new was measured: as before. */
	take(106, "[{\"name\":\"a\",\"queries\":25,\"rx\":3000,\"tx\":400,\"measured\":3}]");
	check(0, "a", 0, 500, 100);
	/* Measured at 108: 5 s after the last. */
	take(108, "[{\"name\":\"a\",\"queries\":26,\"rx\":3500,\"tx\":400,\"measured\":0}]");
	check(0, "a", 0.5, 100, 0);
	/* Too long ago to say anything. */
	take(140, "[{\"name\":\"a\",\"queries\":26,\"rx\":3500,\"tx\":400,\"measured\":32}]");
	check(0, "a", 0, NAN, NAN);
}

/* Another domain, another daemon, a service added again: a counter begins anew. */
static void anew(void **state)
{
	(void)state;
	take(10, "[{\"name\":\"a\",\"queries\":50,\"rx\":9000,\"tx\":9000,\"measured\":0}]");
	take(12, "[{\"name\":\"a\",\"queries\":1,\"rx\":10,\"tx\":9100,\"measured\":0}]");
	check(0, "a", NAN, NAN, 50);
	take(14, "[{\"name\":\"a\",\"queries\":3}]");
	check(0, "a", 1, NAN, NAN);
	take(16, "[]");
	take(18, "[{\"name\":\"a\",\"queries\":100}]");
	check(0, "a", NAN, NAN, NAN);
	take(18, "[{\"name\":\"a\",\"queries\":100}]");
	check(0, "a", NAN, NAN, NAN);
}

static void order(void **state)
{
	static const char *const names[] = { "busy", "asked", "late", "a", "b" };

	(void)state;
	take(1, "[{\"name\":\"b\"},{\"name\":\"a\"},{\"name\":\"late\",\"queries\":9,\"asked\":60},"
		"{\"name\":\"asked\",\"queries\":1},{\"name\":\"busy\",\"rx\":0,\"tx\":0,"
		"\"measured\":0}]");
	take(2, "[{\"name\":\"b\"},{\"name\":\"a\"},{\"name\":\"late\",\"queries\":9,\"asked\":61},"
		"{\"name\":\"asked\",\"queries\":2,\"asked\":0.1},{\"name\":\"busy\",\"rx\":150,"
		"\"tx\":51,\"measured\":0}]");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_string_equal(name_of(&rows[i]), names[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(counts, NULL, teardown),
		cmocka_unit_test_setup_teardown(anew, NULL, teardown),
		cmocka_unit_test_setup_teardown(order, NULL, teardown),
	};

	return cmocka_run_group_tests_name("rates", tests, NULL, NULL);
}
