/* trace: where the time of the last wake went. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "jitsuctl/chart.h"
#include "jitsuctl/jitsuctl.h"
#include "jitsuctl/writer.h"

#define WIDTH 80

static double number_at(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_double(value) : 0;
}

/* `www was restored in 50.1 ms; 2 queries waited`. */
static void write_title(const char *name, struct json_object *service, struct json_object *boot)
{
	struct json_object *how, *ready, *answered, *notice;
	long long waiters = (long long)number_at(boot, "waiters");
	bool has_ready = json_object_object_get_ex(boot, "ready", &ready);

	writer_plain(stdout, name);
	printf(" was %s", json_object_object_get_ex(boot, "how", &how) ? json_object_get_string(how)
								       : "booted");
	if (has_ready)
		printf(" in %.1f ms", json_object_get_double(ready));
	else
		printf(", but is not ready (%s)",
		       json_object_get_string(json_object_object_get(service, "state")));
	if (json_object_object_get_ex(boot, "answered", &answered))
		printf("; %lld quer%s waited%s", waiters, waiters == 1 ? "y" : "ies",
		       json_object_get_boolean(json_object_object_get(boot, "late"))
			       ? " and got the answer at the wait limit"
			       : "");
	putchar('\n');
	if (json_object_object_get_ex(service, "notice", &notice)) {
		printf("booted afresh: ");
		writer_plain(stdout, json_object_get_string(notice));
		putchar('\n');
	}
}

enum status command_trace(struct context *context)
{
	const char *name = context->arguments[0];
	struct phase phases[CHART_PHASES];
	struct json_object *answer, *boot;
	enum status status =
		context_call(context, "service.get", params_of_name(name), NULL, &answer);
	struct error err;
	size_t count;
	int width = writer_width();

	if (status != STATUS_DONE)
		return status;
	if (!json_object_object_get_ex(answer, "boot", &boot)) {
		error_set(&err, ERROR_ABSENT,
			  "%.64s: nobody has woken it since the daemon started, or it was found "
			  "running",
			  name);
		complain(context, NULL, &err, NULL);
		json_object_put(answer);
		return STATUS_FAILED;
	}
	if (context->json) {
		writer_json(boot);
		json_object_put(answer);
		return STATUS_DONE;
	}
	warn_simulated(answer);
	count = chart_read(boot, phases);
	if (width) {
		write_title(name, answer, boot);
		if (count)
			chart_write(stdout, phases, count, width < WIDTH ? width : WIDTH);
	} else {
		chart_write_plain(stdout, phases, count);
	}
	json_object_put(answer);
	return STATUS_DONE;
}
