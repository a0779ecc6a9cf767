/* Help, the man page and the completion: nothing here but what the tables say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "jitsuctl/jitsuctl.h"
#include "proto/spec_kind.h"

#define WIDTH 79
#define LABEL 22

static const struct {
	const char *key;
	enum spec_kind kind;
	const char *help;
} spec_rows[] = {
#define SPEC_KEY(key, kind, min, max, help) { #key, SPEC_KIND_##kind, help },
#include "proto/spec.tbl.h"
#undef SPEC_KEY
};

static const struct {
	int status;
	const char *meaning;
} statuses[] = {
	{ STATUS_DONE, "done" },
	{ STATUS_FAILED, "refused by the daemon, or failed" },
	{ STATUS_USAGE, "the command line is wrong" },
	{ STATUS_NO_DAEMON, "no daemon on the socket, or it went away" },
};

/* A key's help, with its words in front if it is one of several words. The caller frees it. */
static char *spec_help(size_t i)
{
	char words[128], *text;

	spec_words_join(spec_rows[i].kind, words, sizeof words);
	if (asprintf(&text, "%s%s%s", words, *words ? ": " : "", spec_rows[i].help) < 0)
		abort();
	return text;
}

/* --- on the terminal --- */

/* Breaks the text between words; the first line starts at column `at`, the others at `indent`. */
static void write_wrapped(const char *text, size_t at, size_t indent)
{
	bool first = true;

	while (*text) {
		size_t size = strcspn(text, " ");

		if (!first && at + 1 + size > WIDTH) {
			printf("\n%*s", (int)indent, "");
			at = indent;
			first = true;
		}
		printf("%s%.*s", first ? "" : " ", (int)size, text);
		at += size + (first ? 0 : 1);
		first = false;
		text += size + (text[size] == ' ');
	}
	putchar('\n');
}

static void write_row(const char *label, const char *text)
{
	size_t size = strlen(label) + 2;

	if (size > LABEL - 2)
		printf("  %s\n%*s", label, LABEL, "");
	else
		printf("  %-*s", LABEL - 2, label);
	write_wrapped(text, LABEL, LABEL);
}

static void option_label(const struct option_row *option, char *label, size_t size)
{
	char letter[8] = "    ";

	if (option->letter)
		snprintf(letter, sizeof letter, "-%c, ", option->letter);
	snprintf(label, size, "%s--%s%s%s", letter, option->name, *option->argument ? " " : "",
		 option->argument);
}

/* Those that only this command takes; NULL: those that all take. */
static void write_options(const struct command *command)
{
	const char *of = command ? command->name : "";
	bool any = false;

	for (const struct option_row *o = option_rows; o->name; o++) {
		char label[80];

		if (strcmp(o->command, of) != 0)
			continue;
		if (!any)
			printf("\noptions:\n");
		any = true;
		option_label(o, label, sizeof label);
		write_row(label, o->help);
	}
}

/* Calls fn for each of the pieces between newlines. */
static void each_line(const char *text, void (*fn)(const char *line))
{
	while (*text) {
		size_t size = strcspn(text, "\n");
		cleanup_free char *line = strndup(text, size);

		if (!line)
			abort();
		fn(line);
		text += size + (text[size] == '\n');
	}
}

static void write_paragraph(const char *line)
{
	putchar('\n');
	write_wrapped(line, 0, 0);
}

static void write_example(const char *line)
{
	printf("  %s\n", line);
}

static void help_command(const struct command *command)
{
	printf("usage: jitsuctl [OPTION...] %s%s%s\n", command->name,
	       *command->arguments ? " " : "", command->arguments);
	each_line(command->text, write_paragraph);
	write_options(command);
	if (strcmp(command->name, "add") == 0) {
		printf("\nkeys of a service:\n");
		for (size_t i = 0; i < ARRAY_SIZE(spec_rows); i++) {
			cleanup_free char *text = spec_help(i);

			write_row(spec_rows[i].key, text);
		}
	}
	printf("\nexamples:\n");
	each_line(command->examples, write_example);
}

static void help_all(void)
{
	printf("usage: jitsuctl [OPTION...] COMMAND [ARGUMENT...]\n\n");
	write_wrapped("Adds, removes and shows the services of jitsud, which boots a virtual "
		      "machine when its DNS name is asked for.",
		      0, 0);
	printf("\ncommands:\n");
	for (const struct command *c = commands; c->name; c++) {
		if (*c->summary)
			write_row(c->name, c->summary);
	}
	write_options(NULL);
	printf("\nexit status:\n");
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		char label[16];

		snprintf(label, sizeof label, "%d", statuses[i].status);
		write_row(label, statuses[i].meaning);
	}
	printf("\n'jitsuctl help COMMAND' and 'jitsuctl COMMAND --help' explain a command.\n");
}

enum status command_help(struct context *context)
{
	const struct command *command = NULL;

	if (context->count) {
		const char *name = context->arguments[0];
		const char *near = nearest(name, command_name);

		command = command_find(name);
		if (!command && near)
			return complain_usage(context, "%.64s: unknown command; did you mean '%s'?",
					      name, near);
		if (!command)
			return complain_usage(context, "%.64s: unknown command", name);
	}
	if (command && *command->summary)
		help_command(command);
	else
		help_all();
	return STATUS_DONE;
}

/* --- jitsuctl.1 --- */

static void roff(const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", stdout);
	for (; *text; text++) {
		if (*text == '\\')
			fputs("\\e", stdout);
		else if (*text == '-')
			fputs("\\-", stdout);
		else if (*text == '\'')
			fputs("\\(aq", stdout);
		else
			putchar(*text);
	}
}

static void roff_row(const char *label, const char *text)
{
	printf(".TP\n.B ");
	roff(label);
	putchar('\n');
	roff(text);
	putchar('\n');
}

static void roff_paragraph(const char *line)
{
	printf(".PP\n");
	roff(line);
	putchar('\n');
}

static void roff_example(const char *line)
{
	roff(line);
	putchar('\n');
}

static void roff_options(const char *of)
{
	for (const struct option_row *o = option_rows; o->name; o++) {
		char label[80];

		if (strcmp(o->command, of) != 0)
			continue;
		option_label(o, label, sizeof label);
		roff_row(label + strspn(label, " "), o->help);
	}
}

static void man_command(const struct command *c)
{
	printf(".SS \"");
	roff(c->name);
	printf("%s", *c->arguments ? " " : "");
	roff(c->arguments);
	printf("\"\n");
	each_line(c->text, roff_paragraph);
	roff_options(c->name);
	printf(".PP\n.nf\n.RS\n");
	each_line(c->examples, roff_example);
	printf(".RE\n.fi\n");
}

static void document_man(void)
{
	printf(".\\\" Made by: jitsuctl document man\n"
	       ".TH JITSUCTL 1 \"\" \"Jitsu\" \"User commands\"\n"
	       ".SH NAME\njitsuctl \\- control the services of jitsud\n"
	       ".SH SYNOPSIS\n.B jitsuctl\n.RI [ OPTION ...]\n.I COMMAND\n.RI [ ARGUMENT ...]\n"
	       ".SH DESCRIPTION\n"
	       "Adds, removes and shows the services of\n.BR jitsud (8),\n"
	       "which boots a virtual machine when its DNS name is asked for.\n"
	       "It speaks JSON\\-RPC 2.0 with the daemon over a Unix socket; scripts may do the "
	       "same,\nsee PROTOCOL.md.\n"
	       ".SH OPTIONS\n");
	roff_options("");
	printf(".SH COMMANDS\n");
	for (const struct command *c = commands; c->name; c++) {
		if (*c->summary)
			man_command(c);
	}
	printf(".SH KEYS OF A SERVICE\n"
	       "In the KEY=VALUE form as well as in JSON; name is needed, dns unless only packets\n"
	       "wake it, ip unless the rumprun_config has it (which sim does not read), kernel "
	       "and\n"
	       "memory unless the daemon's backend is sim.\n");
	for (size_t i = 0; i < ARRAY_SIZE(spec_rows); i++) {
		cleanup_free char *text = spec_help(i);

		roff_row(spec_rows[i].key, text);
	}
	printf(".SH EXIT STATUS\n");
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		char label[16];

		snprintf(label, sizeof label, "%d", statuses[i].status);
		roff_row(label, statuses[i].meaning);
	}
	printf(".PP\nOf several failures the one with the highest number.\n"
	       ".SH ENVIRONMENT\n");
	roff_row("JITSU_SOCKET", "the daemon's control socket, unless --socket is given");
	roff_row("COLUMNS", "the width that 'list', 'trace' and 'top' keep to; else the "
			    "terminal's; no limit in a pipe");
	printf(".SH FILES\n");
	roff_row(CONTROL_SOCKET, "the daemon's control socket");
	printf(".SH SEE ALSO\n.BR jitsud (8)\n");
}

/* --- completion --- */

static void document_bash(void)
{
	const char *separator = "";

	printf("# bash completion for jitsuctl(1), made by: jitsuctl document bash\n"
	       "_jitsuctl()\n{\n"
	       "\tlocal current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} "
	       "command= word\n"
	       "\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
	       "\t\tcase $word in\n\t\t");
	for (const struct command *c = commands; c->name; c++) {
		if (*c->summary)
			printf("%s%s", c == commands ? "" : "|", c->name);
	}
	printf(") command=$word; break ;;\n\t\tesac\n\tdone\n\tCOMPREPLY=()\n"
	       "\tcase $previous in\n"
	       "\t-s|--socket|--xl-cfg) COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n"
	       "\t-m|--mode) COMPREPLY=($(compgen -W 'destroy shutdown suspend pause' -- "
	       "\"$current\")); return ;;\n"
	       "\t-t|--timeout|-i|--interval) return ;;\n\tesac\n"
	       "\tcase $current in\n\t-*) COMPREPLY=($(compgen -W '");
	for (const struct option_row *o = option_rows; o->name; o++)
		printf("%s--%s", o == option_rows ? "" : " ", o->name);
	printf("' -- \"$current\")); return ;;\n\tesac\n\tcase $command in\n"
	       "\tadd)\n\t\tcompopt -o nospace 2>/dev/null\n"
	       "\t\tCOMPREPLY=($(compgen -S = -W '");
	for (size_t i = 0; i < ARRAY_SIZE(spec_rows); i++)
		printf("%s%s", i ? " " : "", spec_rows[i].key);
	printf("' -- \"$current\") $(compgen -f -- \"$current\")) ;;\n"
	       "\t");
	for (const struct command *c = commands; c->name; c++) {
		if (strncmp(c->arguments, "NAME", 4) != 0)
			continue;
		printf("%s%s", separator, c->name);
		separator = "|";
	}
	printf(")\n"
	       "\t\tCOMPREPLY=($(compgen -W \"$(jitsuctl --timeout 2 list 2>/dev/null |\n"
	       "\t\t\tawk 'NR > 1 { print $1 }')\" -- \"$current\")) ;;\n"
	       "\thelp|'')\n\t\tCOMPREPLY=($(compgen -W '");
	for (const struct command *c = commands; c->name; c++) {
		if (*c->summary)
			printf("%s%s", c == commands ? "" : " ", c->name);
	}
	printf("' -- \"$current\")) ;;\n\tesac\n}\ncomplete -F _jitsuctl jitsuctl\n");
}

enum status command_document(struct context *context)
{
	static const struct {
		const char *name;
		void (*write)(void);
	} documents[] = { { "man", document_man }, { "bash", document_bash } };

	for (size_t i = 0; i < ARRAY_SIZE(documents); i++) {
		if (strcmp(documents[i].name, context->arguments[0]) == 0) {
			documents[i].write();
			return STATUS_DONE;
		}
	}
	return complain_usage(context, "expected %s", context->command->arguments);
}
