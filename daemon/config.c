#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <libxlutil.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

enum kind { KIND_TEXT, KIND_PATH, KIND_TEXTS, KIND_NUMBER, KIND_SECONDS, KIND_FLAG };

static const struct key {
	size_t offset;
	int letter;
	const char *option, *file_key;
	enum kind kind;
	int64_t min, max;
	const char *preset, *value, *help;
} keys[] = {
#define CONFIG(member, letter, option, key, kind, min, max, preset, value, help)                   \
	{ offsetof(struct config, member),                                                         \
	  letter,                                                                                  \
	  option,                                                                                  \
	  key,                                                                                     \
	  KIND_##kind,                                                                             \
	  min,                                                                                     \
	  max,                                                                                     \
	  preset,                                                                                  \
	  value,                                                                                   \
	  help },
#include "config.tbl.h"
#undef CONFIG
};

#define KEYS	    ARRAY_SIZE(keys)
#define OPTION_BASE 256 /* getopt_long's value of the key at index 0; letters are below */

static char *copy(const char *text)
{
	char *made = strdup(text);

	if (!made)
		abort();
	return made;
}

/* jitsud leaves the folder it was started in. ":memory:" is no path. */
static char *absolute(const char *path)
{
	cleanup_free char *here = *path == '/' || *path == ':' ? NULL : getcwd(NULL, 0);
	char *made;

	if (!here)
		return copy(path);
	if (asprintf(&made, "%s/%s", here, path) < 0)
		abort();
	return made;
}

static void texts_add(struct config_texts *texts, const char *text)
{
	texts->v = reallocarray(texts->v, texts->n + 1, sizeof *texts->v);
	if (!texts->v)
		abort();
	texts->v[texts->n++] = copy(text);
}

static void texts_clear(struct config_texts *texts)
{
	for (size_t i = 0; i < texts->n; i++)
		free(texts->v[i]);
	free(texts->v);
	*texts = (struct config_texts){ 0 };
}

static int read_number(const struct key *key, const char *name, const char *text, int64_t *out,
		       struct error *err)
{
	char *end;
	int64_t n;

	errno = 0;
	if (key->kind == KIND_SECONDS) {
		double seconds = strtod(text, &end);

		if (end == text || *end || errno || !(seconds * 1000 >= (double)key->min) ||
		    !(seconds * 1000 <= (double)key->max))
			return error_field(err, ERROR_INPUT, name, text,
					   "expected seconds, from %g to %g",
					   (double)key->min / 1000, (double)key->max / 1000);
		*out = (int64_t)(seconds * 1000 + 0.5);
		return 0;
	}
	n = strtoll(text, &end, 10);
	if (end == text || *end || errno || n < key->min || n > key->max)
		return error_field(err, ERROR_INPUT, name, text,
				   "expected a whole number from %lld to %lld", (long long)key->min,
				   (long long)key->max);
	*out = n;
	return 0;
}

/* One value for a key; for TEXTS one more. */
static int set(struct config *config, const struct key *key, const char *name, const char *text,
	       struct error *err)
{
	void *member = (char *)config + key->offset;

	switch (key->kind) {
	case KIND_TEXT:
	case KIND_PATH:
		if (!*text)
			return error_field(err, ERROR_INPUT, name, text, "expected a value");
		if (key->max && strlen(text) > (size_t)key->max)
			return error_field(err, ERROR_INPUT, name, text,
					   "expected at most %lld bytes, not %zu",
					   (long long)key->max, strlen(text));
		free(*(char **)member);
		*(char **)member = key->kind == KIND_PATH ? absolute(text) : copy(text);
		return 0;
	case KIND_TEXTS:
		if (!*text)
			return error_field(err, ERROR_INPUT, name, text, "expected a value");
		if (((struct config_texts *)member)->n == (size_t)key->max)
			return error_field(err, ERROR_INPUT, name, text, "expected at most %lld",
					   (long long)key->max);
		texts_add(member, text);
		return 0;
	case KIND_NUMBER:
	case KIND_SECONDS:
	case KIND_FLAG:
		return read_number(key, name, text, member, err);
	}
	return -1;
}

/* getopt_long tells an option too many from an unknown one by optopt. */
static int bad_option(int opt, const char *given, struct error *err)
{
	if (opt == ':')
		return error_set(err, ERROR_INPUT, "%s: the option needs a value", given);
	if (optopt >= OPTION_BASE || (optopt && strncmp(given, "--", 2) == 0))
		return error_set(err, ERROR_INPUT, "%s: the option takes no value", given);
	return error_set(err, ERROR_INPUT, "%s: unknown option; see jitsud --help", given);
}

static int read_options(struct config *config, int argc, char **argv, bool *given,
			struct error *err)
{
	struct option options[KEYS + 3] = { 0 };
	char letters[2 * KEYS + 4] = ":h";
	int opt;

	for (size_t i = 0; i < KEYS; i++) {
		options[i] = (struct option){ keys[i].option,
					      keys[i].kind == KIND_FLAG ? no_argument
									: required_argument,
					      NULL, OPTION_BASE + (int)i };
		if (keys[i].letter)
			sprintf(letters + strlen(letters), "%c:", keys[i].letter);
	}
	options[KEYS] = (struct option){ "help", no_argument, NULL, 'h' };
	options[KEYS + 1] = (struct option){ "version", no_argument, NULL, 'V' };

	opterr = 0;
	optind = 0;
	while ((opt = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		const struct key *key = NULL;
		char name[64];

		if (opt == 'h' || opt == 'V') {
			*(opt == 'h' ? &config->help : &config->version) = true;
			continue;
		}
		if (opt == '?' || opt == ':')
			return bad_option(opt, argv[optind - 1], err);
		for (size_t i = 0; i < KEYS; i++)
			if (opt == keys[i].letter || opt == OPTION_BASE + (int)i)
				key = &keys[i];
		if (!key)
			abort();
		snprintf(name, sizeof name, "--%s", key->option);
		if (set(config, key, name, key->kind == KIND_FLAG ? "1" : optarg, err) < 0)
			return -1;
		given[key - keys] = true;
	}
	for (; optind < argc; optind++) {
		if (!strchr(argv[optind], '='))
			return error_field(err, ERROR_INPUT, "argument", argv[optind],
					   "expected a service such as dns=www.example.org,ip=…");
		texts_add(&config->arguments, argv[optind]);
	}
	return 0;
}

static int read_file_key(struct config *config, XLU_Config *file, const struct key *key,
			 struct error *err)
{
	XLU_ConfigList *list;
	const char *text;
	int count;

	if (key->kind == KIND_TEXTS &&
	    xlu_cfg_get_list(file, key->file_key, &list, &count, 1) == 0) {
		for (int i = 0; i < count; i++) {
			text = xlu_cfg_get_listitem(list, i);
			if (!text)
				return error_field(err, ERROR_INPUT, key->file_key, NULL,
						   "expected a list of strings");
			if (set(config, key, key->file_key, text, err) < 0)
				return -1;
		}
		return 0;
	}
	if (xlu_cfg_get_string(file, key->file_key, &text, 1) == 0)
		return set(config, key, key->file_key, text, err);
	return 0;
}

/* libxlutil tells which keys it was asked for, not which there are: unknown ones are found by
 * reading the lines' beginnings. */
static int check_file_keys(FILE *file, struct error *err)
{
	cleanup_free char *line = NULL;
	size_t room = 0;
	int depth = 0;

	while (getline(&line, &room, file) >= 0) {
		char *name = line + strspn(line, " \t"), *end = name + strcspn(name, " \t=#\n");
		bool known = depth > 0 || end == name || *(end + strspn(end, " \t")) != '=';

		for (const char *c = line; *c && *c != '#'; c++)
			depth += (*c == '[') - (*c == ']');
		*end = '\0';
		for (size_t i = 0; i < KEYS && !known; i++)
			known = *keys[i].file_key && strcmp(name, keys[i].file_key) == 0;
		if (!known)
			return error_field(err, ERROR_INPUT, name, NULL,
					   "unknown key; see jitsud --help");
	}
	return 0;
}

static int read_file(struct config *config, bool must_exist, const bool *given, struct error *err)
{
	cleanup_free char *text = NULL,
			  *said = NULL; /* closing the stream writes to it once more */
	cleanup_file FILE *file = fopen(config->config, "re"), *messages = NULL;
	size_t size = 0, said_size;
	XLU_Config *parsed;
	int r = -1;

	if (!file && errno == ENOENT && !must_exist)
		return 0;
	if (!file)
		return error_errno(err, "%s", config->config);
	if (check_file_keys(file, err) < 0)
		return error_wrap(err, "%s", config->config);
	rewind(file);
	if (getdelim(&text, &size, '\0', file) < 0)
		return ferror(file) ? error_errno(err, "%s", config->config) : 0; /* empty */
	messages = open_memstream(&said, &said_size);
	if (!messages)
		abort();
	parsed = xlu_cfg_init(messages, config->config);
	if (!parsed)
		abort();
	if (xlu_cfg_readdata(parsed, text, (int)strlen(text)) != 0) {
		fflush(messages);
		said[strcspn(said, "\n")] = '\0';
		error_set(err, ERROR_INPUT, "%s", said);
		goto out;
	}
	for (size_t i = 0; i < KEYS; i++) {
		if (!*keys[i].file_key || given[i])
			continue;
		if (read_file_key(config, parsed, &keys[i], err) < 0) {
			error_wrap(err, "%s", config->config);
			goto out;
		}
	}
	r = 0;
out:
	xlu_cfg_destroy(parsed);
	return r;
}

int config_read(struct config *config, int argc, char **argv, struct error *err)
{
	bool given[KEYS] = { false };

	*config = (struct config){ 0 };
	/* Numbers and texts have their defaults before; a list's default is for when it stays
	 * empty. */
	for (size_t i = 0; i < KEYS; i++)
		if (keys[i].preset && keys[i].kind != KIND_TEXTS &&
		    set(config, &keys[i], keys[i].option, keys[i].preset, err) < 0)
			goto fail;
	if (read_options(config, argc, argv, given, err) < 0)
		goto fail;
	if (config->help || config->version)
		return 0;
	for (size_t i = 0; i < KEYS; i++)
		if (strcmp(keys[i].option, "config") == 0 &&
		    read_file(config, given[i], given, err) < 0)
			goto fail;
	for (size_t i = 0; i < KEYS; i++) {
		struct config_texts *texts = (void *)((char *)config + keys[i].offset);

		if (keys[i].kind == KIND_TEXTS && keys[i].preset && texts->n == 0)
			texts_add(texts, keys[i].preset);
	}
	return 0;
fail:
	config_free(config);
	return -1;
}

void config_free(struct config *config)
{
	for (size_t i = 0; i < KEYS; i++) {
		void *member = (char *)config + keys[i].offset;

		if (keys[i].kind == KIND_TEXT || keys[i].kind == KIND_PATH)
			free(*(char **)member);
		else if (keys[i].kind == KIND_TEXTS)
			texts_clear(member);
	}
	texts_clear(&config->arguments);
	*config = (struct config){ 0 };
}

void config_usage(FILE *out)
{
	fprintf(out,
		"usage: jitsud [OPTION]... [SERVICE]...\n"
		"\n"
		"Answers DNS for services and starts each one's virtual machine when its name is\n"
		"asked for. SERVICE is a service in the form dns=www.example.org,ip=10.0.0.1,…; "
		"see\n"
		"`jitsuctl help add` for its keys, and jitsuctl to add services while it runs.\n"
		"\n");
	for (size_t i = 0; i < KEYS; i++) {
		const struct key *key = &keys[i];
		int used = key->letter ? fprintf(out, "  -%c, ", key->letter)
				       : fprintf(out, "      ");

		used += fprintf(out, "--%s%s%s", key->option, key->value ? " " : "",
				key->value ? key->value : "");
		fprintf(out, "%*s%s", used < 28 ? 28 - used : 1, "", key->help);
		if (key->preset && key->kind != KIND_FLAG)
			fprintf(out, " [%s]", key->preset);
		fputc('\n', out);
	}
	fprintf(out, "  -h, --help                show this\n"
		     "      --version             show the version\n"
		     "\n"
		     "Each option but --config, --foreground and --check-config is also a key of\n"
		     "jitsud.conf, with '_' for '-' (bind, listen, forwarder, forward_port, "
		     "response_delay,\n"
		     "ttl, …); options win over the file.\n");
}
