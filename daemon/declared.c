#include "declared.h"

#include <fcntl.h>
#include <glob.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "proto/control.h"
#include "proto/entries.h"
#include "proto/spec.h"

#define ARGUMENT  "argument"
#define SMALL_MAX (1024 * 1024) /* bytes of a file that is read whole */

static void add(struct declared *declared, const char *from, struct json_object *object)
{
	char *text = strdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));

	declared->v = reallocarray(declared->v, declared->n + 1, sizeof *declared->v);
	declared->from = reallocarray(declared->from, declared->n + 1, sizeof *declared->from);
	if (!declared->v || !declared->from || !text)
		abort();
	declared->from[declared->n] = strdup(from);
	if (!declared->from[declared->n])
		abort();
	declared->v[declared->n++] = text;
}

static int add_entries(struct declared *declared, const char *path, struct json_object *read,
		       struct error *err)
{
	if (json_object_is_type(read, json_type_object)) {
		add(declared, path, read);
		return 0;
	}
	if (!json_object_is_type(read, json_type_array))
		return error_set(err, ERROR_INPUT,
				 "%s: expected a service object or an array of them", path);
	for (size_t i = 0; i < json_object_array_length(read); i++) {
		struct json_object *entry = json_object_array_get_idx(read, i);

		if (!json_object_is_type(entry, json_type_object))
			return error_set(err, ERROR_INPUT,
					 "%s: entry %zu: expected a service object", path, i);
		add(declared, path, entry);
	}
	return 0;
}

static int add_text(struct declared *declared, const char *path, const char *text, size_t size,
		    struct error *err)
{
	struct json_object *read = NULL;
	int r;

	if (control_parse(text, size, &read, err) < 0)
		return error_wrap(err, "%s", path);
	r = add_entries(declared, path, read, err);
	json_object_put(read);
	return r;
}

/* A file of its own with what was read already and what comes still. -1 with errno. */
static int spool(int fd, const char *text, size_t size)
{
	cleanup_close int copy = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char buffer[65536];
	ssize_t r = (ssize_t)size;

	if (copy < 0)
		copy = memfd_create("services", MFD_CLOEXEC);
	if (copy < 0)
		return -1;
	for (; r > 0; text = buffer) {
		for (ssize_t done = 0, w; done < r; done += w)
			if ((w = write(copy, text + done, (size_t)(r - done))) <= 0)
				return -1;
		r = read(fd, buffer, sizeof buffer);
	}
	return r < 0 ? -1 : TAKE_FD(copy);
}

/* A large file is not kept in memory: its outline is looked at, and the engine reads it. Takes fd. */
static int add_source(struct declared *declared, const char *path, int fd, struct error *err)
{
	struct entries *entries = entries_new(fd, false);
	const char *text;
	size_t size;
	int r;

	while ((r = entries_next(entries, &text, &size, err)) > 0)
		;
	entries_free(entries);
	declared->sources = reallocarray(declared->sources, declared->source_count + 1,
					 sizeof *declared->sources);
	if (!declared->sources)
		abort();
	declared->sources[declared->source_count++] =
		(struct engine_source){ .fd = fd, .path = strdup(path) };
	return r < 0 ? error_wrap(err, "%s", path) : 0;
}

static int add_file(struct declared *declared, const char *path, struct error *err)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	cleanup_free char *text = malloc(SMALL_MAX + 1);
	size_t size = 0;
	struct stat st;
	ssize_t r = 1;

	if (!text)
		abort();
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, "%s", path);
	while (size <= SMALL_MAX && (r = read(fd, text + size, SMALL_MAX + 1 - size)) > 0)
		size += (size_t)r;
	if (r < 0)
		return error_errno(err, "%s", path);
	if (size <= SMALL_MAX)
		return add_text(declared, path, text, size, err);
	if (!S_ISREG(st.st_mode)) {
		int copy = spool(fd, text, size);

		if (copy < 0)
			return error_errno(err, "%s: keeping it", path);
		return add_source(declared, path, copy, err);
	}
	return add_source(declared, path, TAKE_FD(fd), err);
}

static int add_folder(struct declared *declared, const char *folder, struct error *err)
{
	char pattern[4096 + 8];
	glob_t found;
	int r = 0;

	snprintf(pattern, sizeof pattern, "%s/*.json", folder);
	if (glob(pattern, 0, NULL, &found) != 0)
		return 0;
	for (size_t i = 0; i < found.gl_pathc && r == 0; i++)
		r = add_file(declared, found.gl_pathv[i], err);
	globfree(&found);
	return r;
}

int declared_read(struct declared *declared, const struct config *config, struct error *err)
{
	*declared = (struct declared){ 0 };
	if (add_folder(declared, config->services_dir, err) < 0)
		goto fail;
	for (size_t i = 0; i < config->services.n; i++)
		if (add_file(declared, config->services.v[i], err) < 0)
			goto fail;
	for (size_t i = 0; i < config->arguments.n; i++) {
		const char *argument = config->arguments.v[i];
		struct json_object *object = spec_pairs_to_json(&argument, 1, err);

		if (!object)
			goto fail;
		add(declared, ARGUMENT, object);
		json_object_put(object);
	}
	return 0;
fail:
	declared_free(declared);
	return -1;
}

static int check_source(const struct engine_source *source, bool simulated, struct error *err)
{
	struct entries *entries = entries_new(source->fd, false);
	const char *text;
	size_t size;
	int r;

	while ((r = entries_next(entries, &text, &size, err)) > 0) {
		cleanup_spec struct spec *spec = spec_from_text(text, simulated, err);

		if (spec)
			continue;
		r = error_wrap(err, "entry %zu", entries_count(entries) - 1);
		break;
	}
	entries_free(entries);
	return r;
}

static int check_text(const struct declared *declared, size_t i, bool simulated, struct error *err)
{
	cleanup_spec struct spec *spec = spec_from_text(declared->v[i], simulated, err);
	cleanup_free char *name = spec ? NULL : spec_text_name(declared->v[i]);

	if (spec)
		return 0;
	if (!name)
		return error_wrap(err, "%s", declared->from[i]);
	return error_wrap(err, "%s: service \"%s\"", declared->from[i], name);
}

struct named {
	char *name;
	const char *from;
};

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

/* Each has passed check_text, so each has a name. */
static int check_twice(const struct declared *declared, struct error *err)
{
	struct named *named = calloc(declared->n + 1, sizeof *named);
	int r = 0;

	if (!named)
		abort();
	for (size_t i = 0; i < declared->n; i++)
		named[i] = (struct named){ spec_text_name(declared->v[i]), declared->from[i] };
	qsort(named, declared->n, sizeof *named, compare);
	for (size_t i = 1; i < declared->n && r == 0; i++)
		if (compare(&named[i - 1], &named[i]) == 0)
			r = error_set(err, ERROR_INPUT,
				      "%s: service \"%s\": expected once, it is in %s too",
				      named[i].from, named[i].name, named[i - 1].from);
	for (size_t i = 0; i < declared->n; i++)
		free(named[i].name);
	free(named);
	return r;
}

int declared_check_arguments(const struct declared *declared, bool simulated, struct error *err)
{
	for (size_t i = 0; i < declared->n; i++)
		if (strcmp(declared->from[i], ARGUMENT) == 0 &&
		    check_text(declared, i, simulated, err) < 0)
			return -1;
	return 0;
}

int declared_check(const struct declared *declared, bool simulated, struct error *err)
{
	for (size_t i = 0; i < declared->n; i++)
		if (check_text(declared, i, simulated, err) < 0)
			return -1;
	if (check_twice(declared, err) < 0)
		return -1;
	for (size_t i = 0; i < declared->source_count; i++)
		if (check_source(&declared->sources[i], simulated, err) < 0)
			return error_wrap(err, "%s", declared->sources[i].path);
	return 0;
}

void declared_free(struct declared *declared)
{
	for (size_t i = 0; i < declared->n; i++) {
		free(declared->v[i]);
		free(declared->from[i]);
	}
	for (size_t i = 0; i < declared->source_count; i++) {
		close(declared->sources[i].fd);
		free((char *)(uintptr_t)declared->sources[i].path);
	}
	free(declared->sources);
	free(declared->v);
	free(declared->from);
	*declared = (struct declared){ 0 };
}
