#include "script.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "client.h"
#include "step.h"

#define STEP_MAX 4096

static const struct {
	const char *name;
	int (*fn)(struct script *script, char *args);
	const char *arguments;
} steps[] = {
#define STEP(id, name, arguments) { name, step_##id, arguments },
#include "step.tbl.h"
#undef STEP
};

void script_usage(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		printf("  %-12s %s\n", steps[i].name, steps[i].arguments);
}

static int step(struct script *script, char *text)
{
	const char *name = step_word(&text);

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (strcmp(steps[i].name, name) == 0)
			return steps[i].fn(script, text);
	return step_fail(script, "'%s': no such step", name);
}

/* The step with its number put in. */
static int fill_in(struct script *script, char *out, size_t room, const char *text, unsigned i)
{
	size_t used = 0;

	for (; *text && used < room - 16; text++) {
		if (text[0] == '%' && text[1] == 'i')
			used += (size_t)snprintf(out + used, room - used, "%u", i);
		else if (text[0] == '%' && text[1] == 'a')
			used += (size_t)snprintf(out + used, room - used, "10.%u.%u.%u",
						 1 + i / 62500, i / 250 % 250, 1 + i % 250);
		else {
			out[used++] = *text;
			continue;
		}
		text++;
	}
	out[used] = '\0';
	return *text ? step_fail(script, "the step is too long") : 0;
}

int step_repeat(struct script *script, char *args)
{
	char *range = step_word(&args), *dots = strstr(range, ".."), text[STEP_MAX];
	unsigned from = 1, to;

	if (dots) {
		*dots = '\0';
		if (step_number(script, range, &from) < 0)
			return -1;
		range = dots + 2;
	}
	if (step_number(script, range, &to) < 0)
		return -1;
	for (unsigned i = from; i <= to; i++) {
		if (fill_in(script, text, sizeof text, args, i) < 0 || step(script, text) < 0)
			return -1;
	}
	return 0;
}

/* Cuts the comment and the white space at both ends. */
static char *trim(char *line)
{
	bool quoted = false;
	char *end;

	line += strspn(line, " \t");
	for (end = line; *end && *end != '\n'; end++) {
		if (*end == '"')
			quoted = !quoted;
		if (*end == '#' && !quoted && (end == line || isspace((unsigned char)end[-1])))
			break;
	}
	while (end > line && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return line;
}

static int run_line(struct script *script, char *text)
{
	const char *broken;

	snprintf(script->report->step, sizeof script->report->step, "%s", text);
	if (step(script, text) < 0)
		return -1;
	if (script->unsettled)
		step_settle(script);
	broken = script->world ? world_broken(script->world) : NULL;
	return broken ? step_fail(script, "%s", broken) : 0;
}

static void script_clear(struct script *script)
{
	for (size_t i = 0; i < script->label_count; i++) {
		if (script->labels[i].query)
			query_free(script->labels[i].query);
		if (script->labels[i].call)
			call_free(script->labels[i].call);
	}
	free(script->labels);
	world_free(script->world);
	for (size_t i = 0; i < script->config.service_count; i++)
		free((char *)(uintptr_t)script->config.services[i]);
}

enum script_result script_run(const char *path, const char *folder, struct script_report *report)
{
	struct script script = {
		.report = report,
		.config = { .folder = folder, .ttl = 60, .wait_limit = 700, .boots = 8 },
	};
	cleanup_file FILE *file = fopen(path, "re");
	char line[STEP_MAX];
	int r = 0;

	if (!file)
		r = step_fail(&script, "%s", strerror(errno));
	while (r == 0 && fgets(line, sizeof line, file)) {
		char *text = trim(line);

		report->line++;
		if (*text)
			r = run_line(&script, text);
	}
	if (r == 0)
		r = step_check_log(&script);
	if (r < 0 && script.world)
		snprintf(report->trace, sizeof report->trace, "%s", world_trace(script.world));
	script_clear(&script);
	if (r == 0)
		return SCRIPT_PASSED;
	return script.skipped ? SCRIPT_SKIPPED : SCRIPT_FAILED;
}
