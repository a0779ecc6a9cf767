/* The commands that only look. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "jitsuctl/jitsuctl.h"
#include "jitsuctl/writer.h"

void warn_simulated(struct json_object *answer)
{
	struct json_object *simulated;

	if (json_object_object_get_ex(answer, "simulated", &simulated) &&
	    json_object_get_boolean(simulated))
		fprintf(stderr, "simulated: no virtual machine is behind these services\n");
}

static const char *text_at(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_string(value)
							      : NULL;
}

static enum control_kind kind_of(const char *result, const char *key)
{
	for (const struct control_field *f = control_fields; f->key; f++) {
		if (strcmp(f->result, result) == 0 && strcmp(f->key, key) == 0)
			return f->kind;
	}
	return CONTROL_TEXT;
}

/* --- list --- */

enum list_column { NAME, STATE, DOMID, MEMORY, QUERIES, ASKED, IP, DNS, LIST_COLUMNS };

static const struct column list_columns[LIST_COLUMNS] = {
	[NAME] = { "NAME", false, 10, 3 },     [STATE] = { "STATE", false, 9, 4 },
	[DOMID] = { "DOMID", true, 0, 0 },     [MEMORY] = { "MEMORY", true, 0, 0 },
	[QUERIES] = { "QUERIES", true, 0, 0 }, [ASKED] = { "ASKED", true, 0, 0 },
	[IP] = { "IP", false, 10, 2 },	       [DNS] = { "DNS", false, 8, 1 },
};

static const char *const list_keys[LIST_COLUMNS] = {
	[NAME] = "name",       [STATE] = "state", [DOMID] = "domid", [MEMORY] = "memory",
	[QUERIES] = "queries", [ASKED] = "asked", [IP] = "ip",	     [DNS] = "dns",
};

static void add_row(struct table *table, struct json_object *service, bool one)
{
	char *cells[LIST_COLUMNS];

	for (size_t i = 0; i < LIST_COLUMNS; i++)
		cells[i] = writer_value(json_object_object_get(service, list_keys[i]),
					kind_of("service", list_keys[i]), one);
	free(cells[STATE]);
	cells[STATE] = writer_state(service, false);
	table_add(table, (const char *const *)cells);
	for (size_t i = 0; i < LIST_COLUMNS; i++)
		free(cells[i]);
}

static void list_page(struct json_object *answer, bool first, int width)
{
	struct table table = { .columns = list_columns,
			       .column_count = LIST_COLUMNS,
			       .headless = !first };
	struct json_object *services;

	if (!json_object_object_get_ex(answer, "services", &services) ||
	    !json_object_is_type(services, json_type_array))
		services = NULL;
	for (size_t i = 0; services && i < json_object_array_length(services); i++)
		add_row(&table, json_object_array_get_idx(services, i), width > 0);
	if (first)
		warn_simulated(answer);
	table_write(stdout, &table, width);
	table_free(&table);
}

/* Very many come in several answers, each written before the next is asked for. */
enum status command_list(struct context *context)
{
	struct json_object *answer, *params = NULL, *next;
	int width = writer_width();

	for (bool first = true;; first = false) {
		enum status status = context_call(context, "service.list", params, NULL, &answer);

		if (status != STATUS_DONE)
			return status;
		params = NULL;
		if (json_object_object_get_ex(answer, "next", &next)) {
			params = json_object_new_object();
			json_object_object_add(params, "from", json_object_get(next));
		}
		if (context->json)
			writer_json(answer);
		else
			list_page(answer, first, width);
		json_object_put(answer);
		if (!params)
			return STATUS_DONE;
	}
}

/* --- show, status: a line a field --- */

#define LABEL_WIDTH 16

static void write_field(const char *indent, const char *key, const char *value)
{
	int label = LABEL_WIDTH - (int)strlen(indent);

	printf("%s%-*s  ", indent, label, key);
	writer_plain(stdout, value);
	putchar('\n');
}

/* Several lines, each under the other. */
static void write_lines(const char *key, const char *text)
{
	cleanup_free char *copy = strdup(text);
	char *rest = copy, *line;

	if (!copy)
		abort();
	printf("%s\n", key);
	while ((line = strsep(&rest, "\n"))) {
		line[strcspn(line, "\r")] = '\0';
		if (!*line && !rest)
			break;
		printf("  ");
		writer_plain(stdout, line);
		putchar('\n');
	}
}

/* Its fields, those that `but` has as well left out; objects within come last. */
static void write_object(struct json_object *object, const char *result, const char *indent,
			 struct json_object *but)
{
	json_object_object_foreach(object, key, value)
	{
		enum control_kind kind = kind_of(result, key);
		cleanup_free char *text = NULL;

		if (kind == CONTROL_SPEC || kind == CONTROL_BOOT || strcmp(key, "console") == 0 ||
		    (but && json_object_object_get_ex(but, key, NULL)))
			continue;
		text = writer_value(value, kind, false);
		write_field(indent, key, text);
	}
}

/* The query that woke it is a time of the host's clock, which is ours. */
static void write_boot(struct json_object *boot)
{
	struct json_object *want;
	struct timespec ts;

	printf("last wake\n");
	if (json_object_object_get_ex(boot, "want", &want)) {
		cleanup_free char *ago = NULL, *text = NULL;

		clock_gettime(CLOCK_MONOTONIC, &ts);
		ago = writer_duration((double)ts.tv_sec + (double)ts.tv_nsec / 1e9 -
				      json_object_get_double(want) / 1e6);
		if (asprintf(&text, "%s ago", ago) < 0)
			abort();
		write_field("  ", "want", text);
		json_object_object_del(boot, "want");
	}
	write_object(boot, "boot", "  ", NULL);
}

enum status command_show(struct context *context)
{
	struct json_object *answer, *part;
	enum status status = context_call(context, "service.get",
					  params_of_name(context->arguments[0]), NULL, &answer);

	if (status != STATUS_DONE)
		return status;
	if (context->json) {
		writer_json(answer);
	} else {
		warn_simulated(answer);
		write_object(answer, "service", "", NULL);
		if (json_object_object_get_ex(answer, "spec", &part))
			write_object(part, "spec", "", answer);
		if (json_object_object_get_ex(answer, "boot", &part))
			write_boot(part);
		if (text_at(answer, "console"))
			write_lines("console", text_at(answer, "console"));
	}
	json_object_put(answer);
	return STATUS_DONE;
}

enum status command_status(struct context *context)
{
	struct json_object *answer;
	enum status status = context_call(context, "daemon.status", NULL, NULL, &answer);
	const char *version;

	if (status != STATUS_DONE)
		return status;
	version = text_at(answer, "version");
	if (context->json) {
		writer_json(answer);
	} else {
		warn_simulated(answer);
		write_object(answer, "status", "", NULL);
		if (version && strcmp(version, JITSU_VERSION) != 0)
			write_field("", "jitsuctl", "is of version " JITSU_VERSION);
	}
	json_object_put(answer);
	return STATUS_DONE;
}

enum status command_version(struct context *context)
{
	struct json_object *answer = NULL, *shown;
	enum status status;
	const char *version, *backend;

	if (!context->json)
		printf("jitsuctl %s\n", JITSU_VERSION);
	status = context_call(context, "daemon.status", NULL, NULL, &answer);
	if (status != STATUS_DONE)
		return status;
	version = text_at(answer, "version");
	backend = text_at(answer, "backend");
	if (context->json) {
		shown = json_object_new_object();
		json_object_object_add(shown, "jitsuctl", json_object_new_string(JITSU_VERSION));
		json_object_object_add(shown, "jitsud",
				       version ? json_object_new_string(version) : NULL);
		writer_json(shown);
		json_object_put(shown);
	} else {
		printf("jitsud   %s (%s)\n", version ? version : "?", backend ? backend : "?");
	}
	json_object_put(answer);
	return STATUS_DONE;
}
