/*
 * The client of jitsud's control socket.
 *
 * command.tbl.h commands and options; main.c reads them
 * client.c      a connection to the daemon
 * add.c         add: pairs, files
 * paths.c       relative paths made absolute
 * xlcfg.c       an xl configuration made a service (the only includer of libxlutil)
 * order.c       remove, start, stop, pause, restart, pin, unpin, set
 * report.c      list, show, status, version
 * events.c      events             console.c  console
 * trace.c       trace              chart.c    its bars
 * top.c         top                rates.c    its numbers
 * writer.c      aligned columns, units
 * help.c        help, the man page, the completion: all from the tables
 */
#ifndef JITSU_JITSUCTL_H
#define JITSU_JITSUCTL_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "proto/control.h"

struct client;
struct json_object;

#define MANY INT_MAX

/* Exit statuses; the worst of several is the highest. */
enum status { STATUS_DONE, STATUS_FAILED, STATUS_USAGE, STATUS_NO_DAEMON };

enum option_id {
#define OPTION(id, letter, name, argument, command, help) OPTION_##id,
#include "jitsuctl/command.tbl.h"
	OPTIONS
};

struct option_row {
	char letter;
	const char *name, *argument, *command, *help;
};

/* What the command line says. */
struct context {
	const struct command *command;
	const char *socket;
	double timeout; /* s */
	bool json, stop, follow, once;
	double interval;    /* s */
	const char *mode;   /* NULL if not given */
	const char *xl_cfg; /* NULL if not given */
	char **arguments;
	int count;
	struct client *client; /* opened by the first call */
};

struct command {
	const char *name, *arguments;
	int least, most;
	const char *summary, *text, *examples;
	enum status (*run)(struct context *context);
};

#define COMMAND(id, arguments, least, most, summary, text, examples)                               \
	enum status command_##id(struct context *context);
#include "jitsuctl/command.tbl.h"

/* These end with a row whose name is NULL. */
extern const struct command commands[];
extern const struct option_row option_rows[];

/* NULL if there is none of that name. */
const struct command *command_find(const char *name);

/* The nearest of the names that `next` gives (NULL at the end) to a mistyped one, or NULL. */
const char *nearest(const char *name, const char *(*next)(size_t i));
const char *command_name(size_t i);

/* One line on standard error: `jitsuctl: COMMAND: [where: ]text`. With --json the error on
 * standard output as well; raw is the daemon's error object, NULL if it is our own. */
void complain(const struct context *context, const char *where, const struct error *err,
	      struct json_object *raw);
/* A usage error, with a hint to the help. Returns STATUS_USAGE. */
enum status complain_usage(const struct context *context, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static inline enum status worse(enum status a, enum status b)
{
	return a > b ? a : b;
}

struct json_object *params_of_name(const char *name);

/* Calls the method, params taken over. STATUS_DONE and *result, to be put; else an error was
 * shown, with `where` (may be NULL) in front. */
enum status context_call(struct context *context, const char *method, struct json_object *params,
			 const char *where, struct json_object **result);

/* Says on standard error that an answer is of simulated services, if it is. */
void warn_simulated(struct json_object *answer);

/* The whole of a file, with a NUL behind it; `-` is standard input. The caller frees it. NULL with
 * an error. */
char *read_text(const char *path, size_t *size, struct error *err);

/* The paths in a service's object: kernel, ramdisk, script, rumprun_config, and the file of a
 * disk. 0, or -1 with an error. */
int make_paths_absolute(struct json_object *service, struct error *err);

/* Adds to the service what the xl configuration says, keys that it has already excepted. All that
 * cannot be honoured was shown when it fails. */
enum status xlcfg_merge(struct context *context, const char *path, struct json_object *service);

#endif
