/* events: what happened, and what happens. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "jitsuctl/client.h"
#include "jitsuctl/jitsuctl.h"
#include "jitsuctl/writer.h"

#define SHOWN	     256 /* as many as the daemon keeps */
#define SHOWN_BEFORE 10	 /* with --follow */

static const char *text_at(struct json_object *event, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(event, key, &value) ? json_object_get_string(value) : "";
}

/* A terminal gets the time of day, and a line for each new day; a pipe gets all in each line. */
static void write_time(double time, bool terminal, int *day)
{
	time_t seconds = (time_t)time;
	int msec = (int)((time - (double)seconds) * 1000 + 0.5);
	char text[64] = "?", zone[16] = "";
	struct tm tm;

	if (!localtime_r(&seconds, &tm))
		return;
	if (terminal) {
		if (tm.tm_yday != *day) {
			*day = tm.tm_yday;
			strftime(text, sizeof text, "%A, %Y-%m-%d", &tm);
			printf("%s\n", text);
		}
		strftime(text, sizeof text, "%H:%M:%S", &tm);
	} else {
		strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
		strftime(zone, sizeof zone, "%z", &tm);
	}
	printf("%s.%03d%s", text, msec > 999 ? 999 : msec, zone);
}

static void write_event(struct context *context, struct json_object *event, bool terminal, int *day)
{
	const char *from = text_at(event, "from"), *to = text_at(event, "to"),
		   *kind = text_at(event, "kind"), *name = text_at(event, "service"),
		   *why = text_at(event, "why");
	cleanup_free char *what = NULL;
	int pad;

	if (context->json) {
		writer_json(event);
		return;
	}
	if (asprintf(&what, "%s%s%s%s%s", strcmp(kind, "state") == 0 ? "" : kind,
		     strcmp(kind, "state") != 0 && *to ? ": " : "", from,
		     *from && *to ? terminal ? " → " : " -> " : "", to) < 0)
		abort();
	write_time(json_object_get_double(json_object_object_get(event, "time")), terminal, day);
	printf("  ");
	pad = 12 - writer_plain(stdout, *name ? name : "-");
	printf("%*s", (pad > 0 ? pad : 0) + 2, "");
	pad = 20 - writer_plain(stdout, what);
	if (*why) {
		printf("%*s", (pad > 0 ? pad : 0) + 2, "");
		writer_plain(stdout, why);
	}
	putchar('\n');
}

static bool is_drop(struct json_object *event)
{
	return strcmp(text_at(event, "kind"), "dropped") == 0;
}

enum status command_events(struct context *context)
{
	bool terminal = isatty(STDOUT_FILENO), dropped = false;
	struct json_object *params = json_object_new_object(), *answer, *events, *event;
	enum status status;
	struct error err;
	int day = -1;

	json_object_object_add(params, "recent",
			       json_object_new_int(context->follow ? SHOWN_BEFORE : SHOWN));
	status = context_call(context, "events.subscribe", params, NULL, &answer);
	if (status != STATUS_DONE)
		return status;
	if (json_object_object_get_ex(answer, "events", &events) &&
	    json_object_is_type(events, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(events); i++)
			write_event(context, json_object_array_get_idx(events, i), terminal, &day);
	}
	json_object_put(answer);
	/* A reader that went away ends it, too. */
	while (context->follow && !dropped && fflush(stdout) == 0) {
		status = client_next(context->client, &event, &err);
		if (status != STATUS_DONE) {
			complain(context, NULL, &err, NULL);
			return status;
		}
		write_event(context, event, terminal, &day);
		dropped = is_drop(event);
		json_object_put(event);
	}
	return dropped ? STATUS_FAILED : STATUS_DONE;
}
