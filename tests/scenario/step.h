/*
 * The steps of a scenario, and what they share. Each takes the rest of its line, which it may cut
 * to pieces, and returns 0, or -1 after step_fail.
 *
 * step.c          labels, words, the log
 * step_world.c    configuration, time, rooms, messages
 * step_dns.c      queries and answers
 * step_control.c  the control socket
 */
#ifndef JITSU_TESTS_STEP_H
#define JITSU_TESTS_STEP_H

#include <stdbool.h>
#include <stddef.h>

#include "script.h"
#include "world.h"

#define LABEL_MAX 32

struct call;
struct query;

struct label {
	char name[LABEL_MAX];
	struct query *query; /* one of the two; none once it is closed */
	struct call *call;
};

struct script {
	struct script_report *report;
	struct world_config config;
	struct world *world;
	struct label *labels;
	size_t label_count;
	unsigned unsettled; /* queries sent and not looked at by the rooms */
	bool skipped;
	char allowed[256]; /* errors in the log with this text are expected; "" none are */
};

#define STEP(id, name, arguments) int step_##id(struct script *script, char *args);
#include "step.tbl.h"
#undef STEP

/* Says what was expected and what was there. Returns -1. */
int step_fail(struct script *script, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The next word, "" at the end. */
char *step_word(char **args);
int step_number(struct script *script, const char *text, unsigned *value);

/* NULL if there is none. Valid until the next step_label_new. */
struct label *step_label(struct script *script, const char *name);
/* NULL after step_fail. */
struct label *step_label_new(struct script *script, const char *name);

/* The world, which begins here if it has not yet. */
struct world *step_world(struct script *script);
void step_settle(struct script *script);

/* At the end: an error that a room logged is a fault, unless the script allows for it. */
int step_check_log(struct script *script);

#endif
