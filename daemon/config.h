/* What jitsud was told: options over jitsud.conf over defaults, from config.tbl.h. */
#ifndef JITSU_CONFIG_H
#define JITSU_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct error;

struct config_texts {
	char **v;
	size_t n;
};

#define CONFIG_TEXT    char *
#define CONFIG_PATH    char *
#define CONFIG_TEXTS   struct config_texts
#define CONFIG_NUMBER  int64_t
#define CONFIG_SECONDS int64_t
#define CONFIG_FLAG    int64_t

struct config {
#define CONFIG(member, letter, option, key, kind, min, max, preset, value, help)                   \
	CONFIG_##kind member;
#include "config.tbl.h"
#undef CONFIG
	struct config_texts arguments; /* the original's dns=…,ip=…: services */
	bool help, version;
};

/* Reads options, then the file they name. Strings are the config's. 0, or -1 with an error that
 * names option or key, value and what is expected. */
int config_read(struct config *config, int argc, char **argv, struct error *err);
void config_free(struct config *config);

/* The text of --help. */
void config_usage(FILE *out);

#endif
