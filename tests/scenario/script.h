/*
 * A scenario: a text, a step a line, and a `#` starts a comment. The steps are in script.c's
 * table, with their arguments; README.md says more.
 */
#ifndef JITSU_TESTS_SCRIPT_H
#define JITSU_TESTS_SCRIPT_H

#include <stddef.h>

enum script_result { SCRIPT_PASSED, SCRIPT_FAILED, SCRIPT_SKIPPED };

/* Where a script is and what came of it; filled while it runs, so that it can be read by another
 * process when this one dies. */
struct script_report {
	int line;
	char step[256];
	char text[1024]; /* why it failed or was skipped */
	char trace[16384];
};

/* Runs the file with its store and sockets in `folder`. */
enum script_result script_run(const char *path, const char *folder, struct script_report *report);

/* Every step with its arguments, one a line. */
void script_usage(void);

#endif
