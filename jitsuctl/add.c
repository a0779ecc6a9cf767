/* The commands that change something: they take several, and go on after one that is refused. */
#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "jitsuctl/jitsuctl.h"
#include "jitsuctl/writer.h"
#include "proto/spec.h"

#define FILE_MAX (64u * 1024 * 1024)

/* Is it an argument of the KEY=VALUE form? A file of such a name can be written ./NAME. */
static bool is_pair(const char *argument)
{
	const char *c = argument + strspn(argument, " \t\n,");

	while (islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_')
		c++;
	return *c == '=';
}

/* `service` stays the caller's. */
static enum status add_one(struct context *context, struct json_object *service, const char *where)
{
	struct json_object *answer, *name;
	struct error err;
	enum status status;

	if (make_paths_absolute(service, &err) < 0) {
		complain(context, where, &err, NULL);
		return STATUS_FAILED;
	}
	status = context_call(context, "service.add", json_object_get(service), where, &answer);
	if (status != STATUS_DONE)
		return status;
	if (context->json)
		writer_json(answer);
	else if (json_object_object_get_ex(answer, "name", &name))
		printf("added %s\n", json_object_get_string(name));
	json_object_put(answer);
	return STATUS_DONE;
}

static enum status add_pairs(struct context *context)
{
	struct json_object *service;
	enum status status = STATUS_DONE;
	struct error err;

	service = spec_pairs_to_json((const char *const *)context->arguments,
				     (size_t)context->count, &err);
	if (!service) {
		complain(context, NULL, &err, NULL);
		return STATUS_FAILED;
	}
	if (context->xl_cfg)
		status = xlcfg_merge(context, context->xl_cfg, service);
	if (status == STATUS_DONE)
		status = add_one(context, service, context->xl_cfg);
	json_object_put(service);
	return status;
}

static char *read_all(FILE *file, size_t *size, struct error *err)
{
	size_t room = 65536, used = 0;
	char *text = malloc(room);

	while (text) {
		used += fread(text + used, 1, room - used, file);
		if (used < room)
			break;
		if (room >= FILE_MAX) {
			error_set(err, ERROR_INPUT, "expected at most %u MiB", FILE_MAX >> 20);
			free(text);
			return NULL;
		}
		text = realloc(text, room *= 2);
	}
	if (!text)
		abort();
	if (ferror(file)) {
		error_set(err, ERROR_SYSTEM, "%s", strerror(errno));
		free(text);
		return NULL;
	}
	text[used] = '\0'; /* there is room, or it had gone on */
	*size = used;
	return text;
}

char *read_text(const char *path, size_t *size, struct error *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	cleanup_file FILE *file = is_stdin ? NULL : fopen(path, "re");

	if (!file && !is_stdin) {
		error_set(err, ERROR_INPUT, "%s", strerror(errno));
		return NULL;
	}
	return read_all(file ? file : stdin, size, err);
}

static struct json_object *read_file(const char *path, struct error *err)
{
	struct json_object *value = NULL;
	size_t size;
	cleanup_free char *text = read_text(path, &size, err);

	if (!text || control_parse(text, size, &value, err) < 0)
		return NULL;
	if (!json_object_is_type(value, json_type_object) &&
	    !json_object_is_type(value, json_type_array)) {
		json_object_put(value);
		error_set(err, ERROR_INPUT, "expected a service, or an array of services");
		return NULL;
	}
	return value;
}

/* One of a file's services; index -1 if it is the only one. */
static enum status add_entry(struct context *context, const char *file, int index,
			     struct json_object *service)
{
	cleanup_free char *where = NULL;
	struct json_object *name = NULL;
	char place[16] = "";
	struct error err;

	if (index >= 0)
		snprintf(place, sizeof place, "[%d]", index);
	if (json_object_is_type(service, json_type_object))
		json_object_object_get_ex(service, "name", &name);
	if (asprintf(&where, "%s%s%s%.64s%s", file, place, name ? " \"" : "",
		     name ? json_object_get_string(name) : "", name ? "\"" : "") < 0)
		abort();
	if (!json_object_is_type(service, json_type_object)) {
		error_set(&err, ERROR_INPUT, "expected a service's object");
		complain(context, where, &err, NULL);
		return STATUS_FAILED;
	}
	return add_one(context, service, where);
}

static enum status add_file(struct context *context, const char *path)
{
	const char *shown = strcmp(path, "-") == 0 ? "standard input" : path;
	struct error err;
	struct json_object *value = read_file(path, &err);
	enum status worst = STATUS_DONE;

	if (!value) {
		complain(context, shown, &err, NULL);
		return STATUS_FAILED;
	}
	if (json_object_is_type(value, json_type_object))
		worst = add_entry(context, shown, -1, value);
	else
		for (size_t i = 0; i < json_object_array_length(value); i++) {
			worst = worse(worst, add_entry(context, shown, (int)i,
						       json_object_array_get_idx(value, i)));
			if (worst == STATUS_NO_DAEMON || (worst && context->stop))
				break;
		}
	json_object_put(value);
	return worst;
}

enum status command_add(struct context *context)
{
	enum status worst = STATUS_DONE;
	int pairs = 0;

	for (int i = 0; i < context->count; i++)
		pairs += is_pair(context->arguments[i]);
	if (context->xl_cfg && pairs < context->count)
		return complain_usage(context, "expected KEY=VALUE pairs with --xl-cfg");
	if (is_pair(context->arguments[0]))
		return add_pairs(context);
	if (pairs)
		return complain_usage(context,
				      "\"%.64s\": expected KEY=VALUE pairs or files, not both",
				      context->arguments[0]);
	for (int i = 0; i < context->count; i++) {
		worst = worse(worst, add_file(context, context->arguments[i]));
		if (worst == STATUS_NO_DAEMON || (worst && context->stop))
			break;
	}
	return worst;
}
