/* The phases of a wake, and the bars that jitsuctl trace makes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/cleanup.h"
#include "jitsuctl/chart.c"

#define BOOTED                                                                                     \
	"{\"want\":1,\"how\":\"booted\",\"began\":20,\"created\":120,\"key\":150,\"frame\":160,"   \
	"\"ready\":260,\"answered\":260.4,\"waiters\":1,\"late\":false}"

static char *plain(const char *boot)
{
	struct json_object *object = json_tokener_parse(boot);
	struct phase phases[CHART_PHASES];
	size_t size, count;
	char *text;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(object);
	count = chart_read(object, phases);
	chart_write_plain(out, phases, count);
	fclose(out);
	json_object_put(object);
	return text;
}

static void phases(void **state)
{
	static const struct {
		const char *boot, *expected;
	} rows[] = {
		{ BOOTED, "queue\t0.000\t20.000\nbuild\t20.000\t120.000\nkey\t120.000\t150.000\n"
			  "frame\t120.000\t160.000\nsettle\t160.000\t260.000\n"
			  "answer\t260.000\t260.400\n" },
		{ "{\"how\":\"woken\",\"began\":0.1,\"created\":2,\"ready\":2,\"answered\":2.1}",
		  "queue\t0.000\t0.100\nwake\t0.100\t2.000\nsettle\t2.000\t2.000\n"
		  "answer\t2.000\t2.100\n" },
		/* a frame after it was ready was not waited for */
		{ "{\"how\":\"restored\",\"began\":1,\"created\":40,\"port\":45,\"ready\":50,"
		  "\"frame\":70}",
		  "queue\t0.000\t1.000\nrestore\t1.000\t40.000\nport\t40.000\t45.000\n"
		  "frame\t40.000\t70.000\nsettle\t45.000\t50.000\n" },
		/* late: answered before it was ready */
		{ "{\"began\":1,\"created\":900,\"missed\":[\"key\"],\"ready\":1000,"
		  "\"answered\":700,\"late\":true}",
		  "queue\t0.000\t1.000\nbuild\t1.000\t900.000\nkey\t900.000\t1000.000\tmissed\n"
		  "settle\t900.000\t1000.000\nanswer\t700.000\t700.000\n" },
		{ "{\"want\":1}", "" },
		{ "{\"began\":5}", "queue\t0.000\t5.000\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *text = plain(rows[i].boot);

		assert_string_equal(text, rows[i].expected);
	}
}

static char *bars(const char *boot, int width)
{
	struct json_object *object = json_tokener_parse(boot);
	struct phase found[CHART_PHASES];
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	chart_write(out, found, chart_read(object, found), width);
	fclose(out);
	json_object_put(object);
	return text;
}

static void chart(void **state)
{
	cleanup_free char *text = bars(BOOTED, 60);

	(void)state;
	assert_string_equal(text, "queue   ███                                          20.0 ms\n"
				  "build      ████████████████                         100.0 ms\n"
				  "key                        █████                     30.0 ms\n"
				  "frame                      ██████                    40.0 ms\n"
				  "settle                           ████████████████   100.0 ms\n"
				  "answer                                          ▏     0.4 ms\n"
				  "        0                                260.4 ms\n");
}

/* Whatever the times, no line is wider, and each phase is to be seen. */
static void widths(void **state)
{
	static const char *const boots[] = {
		BOOTED,
		"{\"began\":0,\"created\":0,\"ready\":0,\"answered\":0}",
		("{\"began\":0.1,\"created\":99999,\"missed\":[\"key\"],\"ready\":100000,"
		 "\"answered\":9}"),
		"{\"began\":50,\"created\":50.001,\"ready\":50.002,\"answered\":50.003}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(boots); i++) {
		for (int width = 10; width <= 200; width++) {
			cleanup_free char *text = bars(boots[i], width);
			char *rest = text, *line;

			while ((line = strsep(&rest, "\n")) && *line) {
				int used = 0;
				/* The last is the scale. */
				int bar = strstr(line, "█") || strstr(line, "░") ||
					  strstr(line, "▏") || !rest || !*rest;

				for (const char *c = line; *c; c++)
					used += (*c & 0xc0) != 0x80;
				if (used > (width < 40 ? 40 : width) || !bar)
					fail_msg("%d columns of %d: %s", used, width, line);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(phases),
		cmocka_unit_test(chart),
		cmocka_unit_test(widths),
	};

	return cmocka_run_group_tests_name("chart", tests, NULL, NULL);
}
