#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "jitsuctl/client.h"
#include "jitsuctl/jitsuctl.h"

#define NAME_MAX_NEAR 32 /* longer ones resemble nothing */
#define TIMEOUT	      60
#define INTERVAL      2
#define INTERVAL_MAX  86400

const struct command commands[] = {
#define COMMAND(id, arguments, least, most, summary, text, examples)                               \
	{ #id, arguments, least, most, summary, text, examples, command_##id },
#include "jitsuctl/command.tbl.h"
	{ .name = NULL },
};

const struct option_row option_rows[] = {
#define OPTION(id, letter, name, argument, command, help) { letter, name, argument, command, help },
#include "jitsuctl/command.tbl.h"
	{ .name = NULL },
};

const struct command *command_find(const char *name)
{
	for (const struct command *c = commands; c->name; c++) {
		if (strcmp(c->name, name) == 0)
			return c;
	}
	return NULL;
}

const char *command_name(size_t i)
{
	return commands[i].name && !*commands[i].summary ? command_name(i + 1) : commands[i].name;
}

static const char *option_name(size_t i)
{
	return option_rows[i].name;
}

/* Levenshtein's distance. */
static size_t distance(const char *a, const char *b)
{
	size_t row[NAME_MAX_NEAR + 1], width = strlen(b);

	for (size_t j = 0; j <= width; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		size_t corner = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < width; j++) {
			size_t best = corner + (a[i] != b[j]);

			corner = row[j + 1];
			if (corner + 1 < best)
				best = corner + 1;
			if (row[j] + 1 < best)
				best = row[j] + 1;
			row[j + 1] = best;
		}
	}
	return row[width];
}

const char *nearest(const char *name, const char *(*next)(size_t i))
{
	const char *found = NULL, *candidate;
	size_t best = strlen(name) < 4 ? 2 : 3; /* what is less is near */

	for (size_t i = 0; (candidate = next(i)); i++) {
		size_t d = strlen(candidate) <= NAME_MAX_NEAR ? distance(name, candidate) : best;

		if (d < best) {
			best = d;
			found = candidate;
		}
	}
	return found;
}

/* One line, and nothing in it that a terminal would obey. */
static void write_plain(const char *text)
{
	for (; *text; text++)
		fputc((unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text, stderr);
}

static void complain_text(const struct context *context, const char *where, const char *text)
{
	fputs("jitsuctl: ", stderr);
	if (context->command)
		fprintf(stderr, "%s: ", context->command->name);
	if (where) {
		write_plain(where);
		fputs(": ", stderr);
	}
	write_plain(text);
	fputc('\n', stderr);
}

void complain(const struct context *context, const char *where, const struct error *err,
	      struct json_object *raw)
{
	complain_text(context, where, err->text);
	if (context->json) {
		struct json_object *own = NULL, *error = raw, *shown = json_object_new_object();
		cleanup_free char *line = NULL;
		size_t size;

		if (!error) {
			own = control_failure(NULL, control_error_of(err->kind), err->field,
					      err->text);
			error = json_object_object_get(own, "error");
		}
		json_object_object_add(shown, "error", json_object_get(error));
		line = control_line(shown, &size);
		fputs(line, stdout);
		json_object_put(shown);
		json_object_put(own);
	}
}

enum status complain_usage(const struct context *context, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	size_t used;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	used = strlen(text);
	snprintf(text + used, sizeof text - used, " (see 'jitsuctl help%s%s')",
		 context->command ? " " : "", context->command ? context->command->name : "");
	complain_text(context, NULL, text);
	return STATUS_USAGE;
}

enum status context_call(struct context *context, const char *method, struct json_object *params,
			 const char *where, struct json_object **result)
{
	struct json_object *refusal = NULL;
	struct error err;
	enum status status = STATUS_DONE;

	if (!context->client)
		status = client_open(context->socket, context->timeout, &context->client, &err);
	if (status == STATUS_DONE)
		status = client_call(context->client, method, params, result, &refusal, &err);
	else
		json_object_put(params);
	if (status != STATUS_DONE) {
		/* Without a daemon it does not matter which service it was about. */
		complain(context, status == STATUS_NO_DAEMON ? NULL : where, &err, refusal);
		/* An answer may still come: it must not be taken for the next one's. */
		if (!refusal) {
			client_free(context->client);
			context->client = NULL;
		}
	}
	json_object_put(refusal);
	return status;
}

struct json_object *params_of_name(const char *name)
{
	struct json_object *params = json_object_new_object();

	json_object_object_add(params, "name", json_object_new_string(name));
	return params;
}

/* --- the command line --- */

struct line {
	struct context context;
	bool help, version;
	const struct option_row *limited; /* an option that only one command takes */
};

static enum status set_seconds(const struct context *context, enum option_id id, const char *value,
			       double *seconds)
{
	char *end;

	*seconds = strtod(value, &end);
	if (!*value || *end || !(*seconds > 0) || !isfinite(*seconds))
		return complain_usage(context, "--%s: \"%.64s\": expected seconds",
				      option_rows[id].name, value);
	return STATUS_DONE;
}

static enum status set_option(struct line *line, enum option_id id, const char *value)
{
	struct context *context = &line->context;

	switch (id) {
	case OPTION_socket:
		context->socket = value;
		break;
	case OPTION_json:
		context->json = true;
		break;
	case OPTION_timeout:
		return set_seconds(context, id, value, &context->timeout);
	case OPTION_mode:
		context->mode = value;
		break;
	case OPTION_follow:
		context->follow = true;
		break;
	case OPTION_once:
		context->once = true;
		break;
	case OPTION_interval:
		if (set_seconds(context, id, value, &context->interval) != STATUS_DONE)
			return STATUS_USAGE;
		if (context->interval > INTERVAL_MAX)
			return complain_usage(context, "--interval: \"%.64s\": expected at most %d",
					      value, INTERVAL_MAX);
		break;
	case OPTION_stop:
		context->stop = true;
		break;
	case OPTION_xl_cfg:
		context->xl_cfg = value;
		break;
	case OPTION_help:
		line->help = true;
		break;
	case OPTION_version:
		line->version = true;
		break;
	case OPTIONS:
		break;
	}
	if (*option_rows[id].command)
		line->limited = &option_rows[id];
	return STATUS_DONE;
}

static enum status unknown_option(const struct context *context, const char *name)
{
	const char *near = nearest(name, option_name);

	if (near)
		return complain_usage(context, "--%s: unknown option; did you mean --%s?", name,
				      near);
	return complain_usage(context, "--%s: unknown option", name);
}

static enum status read_long(struct line *line, const char *text, char ***next)
{
	const char *equals = strchr(text, '=');
	size_t size = equals ? (size_t)(equals - text) : strlen(text);
	char name[NAME_MAX_NEAR + 1] = "";
	enum option_id id = 0;

	memcpy(name, text, size < sizeof name ? size : sizeof name - 1);
	while (id < OPTIONS && strcmp(option_rows[id].name, name) != 0)
		id++;
	if (id == OPTIONS)
		return unknown_option(&line->context, name);
	if (!*option_rows[id].argument)
		return equals ? complain_usage(&line->context, "--%s: takes no value", name)
			      : set_option(line, id, NULL);
	if (equals)
		return set_option(line, id, equals + 1);
	if (!**next)
		return complain_usage(&line->context, "--%s: expected %s", name,
				      option_rows[id].argument);
	return set_option(line, id, *(*next)++);
}

/* `-j`, `-jh`, `-t 5`, `-t5`. */
static enum status read_short(struct line *line, const char *letters, char ***next)
{
	for (; *letters; letters++) {
		enum option_id id = 0;
		enum status status;

		while (id < OPTIONS && option_rows[id].letter != *letters)
			id++;
		if (id == OPTIONS)
			return complain_usage(&line->context, "-%.1s: unknown option", letters);
		if (!*option_rows[id].argument) {
			status = set_option(line, id, NULL);
			if (status != STATUS_DONE)
				return status;
			continue;
		}
		if (letters[1])
			return set_option(line, id, letters + 1);
		if (!**next)
			return complain_usage(&line->context, "-%c: expected %s", *letters,
					      option_rows[id].argument);
		return set_option(line, id, *(*next)++);
	}
	return STATUS_DONE;
}

static enum status read_command(struct context *context, const char *name)
{
	const char *near;

	context->command = command_find(name);
	if (context->command)
		return STATUS_DONE;
	near = nearest(name, command_name);
	if (near)
		return complain_usage(context, "%.64s: unknown command; did you mean '%s'?", name,
				      near);
	return complain_usage(context, "%.64s: unknown command", name);
}

/* Options may stand anywhere up to "--"; the arguments are gathered in place. */
static enum status read_line(struct line *line, char **argv)
{
	char **out = argv + 1, **next = argv + 1;
	bool options = true;

	line->context.arguments = out;
	while (*next) {
		char *argument = *next++;
		enum status status = STATUS_DONE;

		if (options && strcmp(argument, "--") == 0)
			options = false;
		else if (options && strncmp(argument, "--", 2) == 0)
			status = read_long(line, argument + 2, &next);
		else if (options && argument[0] == '-' && argument[1])
			status = read_short(line, argument + 1, &next);
		else if (!line->context.command)
			status = read_command(&line->context, argument);
		else
			out[line->context.count++] = argument;
		if (status != STATUS_DONE)
			return status;
	}
	return STATUS_DONE;
}

static enum status check_line(struct context *context, const struct option_row *limited)
{
	const struct command *command = context->command;

	if (!command)
		return complain_usage(context, "no command given");
	if (limited && strcmp(limited->command, command->name) != 0)
		return complain_usage(context, "--%s: only with '%s'", limited->name,
				      limited->command);
	if (context->count < command->least)
		return complain_usage(context, "expected %s", command->arguments);
	if (context->count > command->most)
		return complain_usage(context, "\"%.64s\": one argument too many",
				      context->arguments[command->most]);
	return STATUS_DONE;
}

static enum status run(struct line *line)
{
	struct context *context = &line->context;
	enum status status;

	if (line->version) {
		printf("jitsuctl %s\n", JITSU_VERSION);
		return STATUS_DONE;
	}
	if (line->help) {
		context->arguments[0] = context->command ? (char *)context->command->name : NULL;
		context->count = context->command ? 1 : 0;
		return command_help(context);
	}
	status = check_line(context, line->limited);
	return status == STATUS_DONE ? context->command->run(context) : status;
}

int main(int argc, char **argv)
{
	const char *from_environment = getenv("JITSU_SOCKET");
	struct line line = { .context = { .timeout = TIMEOUT, .interval = INTERVAL } };
	enum status status;

	(void)argc;
	line.context.socket = from_environment && *from_environment ? from_environment
								    : CONTROL_SOCKET;
	status = read_line(&line, argv);
	if (status == STATUS_DONE)
		status = run(&line);
	client_free(line.context.client);
	if (fflush(stdout) == EOF || ferror(stdout)) {
		fprintf(stderr, "jitsuctl: standard output: %s\n", strerror(errno));
		if (status == STATUS_DONE)
			status = STATUS_FAILED;
	}
	return (int)status;
}
