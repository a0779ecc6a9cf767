/* Services that jitsud is told of at start: files, a folder, arguments. Read before any fork. */
#ifndef JITSU_DECLARED_H
#define JITSU_DECLARED_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"
#include "engine/engine.h"

struct error;

/* Specifications as JSON texts, unchecked but for being objects. */
struct declared {
	char **v;
	char **from; /* the file of each, "argument" for one given on the command line */
	size_t n;
	struct engine_source *sources; /* large files, which the engine reads */
	size_t source_count;
};

/* 0, or -1 with an error that names the file. A folder that is missing is no error. Of a file over
 * 1 MiB only the outline is looked at (proto/entries.h); what is wrong in an entry the engine logs.
 */
int declared_read(struct declared *declared, const struct config *config, struct error *err);
/* Are those of the command line services, each on its own? 0, or -1 with an error. */
int declared_check_arguments(const struct declared *declared, bool simulated, struct error *err);
/* Are all, and is none there twice (large files apart)? 0, or -1 with an error that names file and
 * service. */
int declared_check(const struct declared *declared, bool simulated, struct error *err);
void declared_free(struct declared *declared);

#endif
