#include "step.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "client.h"

int step_fail(struct script *script, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(script->report->text, sizeof script->report->text, fmt, ap);
	va_end(ap);
	return -1;
}

/* --- words ----------------------------------------------------------------------------------- */

char *step_word(char **args)
{
	char *start = *args + strspn(*args, " \t"), *end = start + strcspn(start, " \t");

	*args = end + (*end != '\0');
	*end = '\0';
	*args += strspn(*args, " \t");
	return start;
}

int step_number(struct script *script, const char *text, unsigned *value)
{
	char *end;

	errno = 0;
	*value = (unsigned)strtoul(text, &end, 10);
	if (errno || !isdigit((unsigned char)*text) || *end)
		return step_fail(script, "'%s': expected a number", text);
	return 0;
}

struct label *step_label(struct script *script, const char *name)
{
	for (size_t i = script->label_count; i-- > 0;)
		if (strcmp(script->labels[i].name, name) == 0)
			return &script->labels[i];
	return NULL;
}

struct label *step_label_new(struct script *script, const char *name)
{
	struct label *label;

	if (step_label(script, name)) {
		step_fail(script, "label '%s' is taken", name);
		return NULL;
	}
	if (strlen(name) >= LABEL_MAX || !*name) {
		step_fail(script, "'%s' is no label", name);
		return NULL;
	}
	script->labels =
		reallocarray(script->labels, script->label_count + 1, sizeof *script->labels);
	if (!script->labels)
		world_die("reallocarray");
	label = &script->labels[script->label_count++];
	*label = (struct label){ .query = NULL };
	strcpy(label->name, name);
	return label;
}

struct world *step_world(struct script *script)
{
	if (!script->world)
		script->world = world_new(&script->config);
	return script->world;
}

void step_settle(struct script *script)
{
	script->unsettled = 0;
	world_settle(step_world(script));
}

int step_close(struct script *script, char *args)
{
	const char *name = step_word(&args);
	struct label *label = step_label(script, name);

	if (!label || (!label->query && !label->call))
		return step_fail(script, "'%s': no such query or call", name);
	if (label->query)
		query_free(TAKE(label->query));
	else
		call_free(TAKE(label->call));
	step_settle(script);
	return 0;
}

/* --- the log --------------------------------------------------------------------------------- */

/* What the rooms have logged: standard error is a file. NULL-terminated; the caller frees it. */
static char *read_log(void)
{
	off_t size = lseek(STDERR_FILENO, 0, SEEK_END);
	char *text = calloc(1, size > 0 ? (size_t)size + 1 : 1);

	if (!text || (size > 0 && pread(STDERR_FILENO, text, (size_t)size, 0) != (ssize_t)size))
		world_die("reading the log");
	return text;
}

int step_log(struct script *script, char *args)
{
	cleanup_free char *text = NULL;

	step_world(script);
	text = read_log();
	return strstr(text, args) ? 0 : step_fail(script, "the log has nothing of \"%s\"", args);
}

int step_allow(struct script *script, char *args)
{
	snprintf(script->allowed, sizeof script->allowed, "%s", args);
	return 0;
}

int step_check_log(struct script *script)
{
	cleanup_free char *text = read_log();
	char *rest = text, *line;

	while ((line = strsep(&rest, "\n"))) {
		const char *error = strstr(line, " error: ");

		if (error && (!script->allowed[0] || !strstr(error, script->allowed)))
			return step_fail(script, "a room logged an%s", error);
	}
	return 0;
}
