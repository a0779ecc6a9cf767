#include "declared.h"

#include <glob.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "proto/control.h"
#include "proto/spec.h"

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
		return error_set(err, ERROR_INPUT, "%s: expected a service object or an array of them",
				 path);
	for (size_t i = 0; i < json_object_array_length(read); i++) {
		struct json_object *entry = json_object_array_get_idx(read, i);

		if (!json_object_is_type(entry, json_type_object))
			return error_set(err, ERROR_INPUT, "%s: entry %zu: expected a service object",
					 path, i);
		add(declared, path, entry);
	}
	return 0;
}

static int add_file(struct declared *declared, const char *path, struct error *err)
{
	cleanup_file FILE *file = fopen(path, "re");
	cleanup_free char *text = NULL;
	struct json_object *read = NULL;
	size_t room = 0;
	ssize_t size;
	int r;

	if (!file)
		return error_errno(err, "%s", path);
	size = getdelim(&text, &room, '\0', file); /* all of it: JSON holds no NUL */
	if (ferror(file))
		return error_errno(err, "%s", path);
	if (control_parse(size < 0 ? "" : text, size < 0 ? 0 : (size_t)size, &read, err) < 0)
		return error_wrap(err, "%s", path);
	r = add_entries(declared, path, read, err);
	json_object_put(read);
	return r;
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
		add(declared, "argument", object);
		json_object_put(object);
	}
	return 0;
fail:
	declared_free(declared);
	return -1;
}

int declared_check(const struct declared *declared, bool simulated, struct error *err)
{
	for (size_t i = 0; i < declared->n; i++) {
		cleanup_spec struct spec *spec = spec_from_text(declared->v[i], simulated, err);

		if (!spec)
			return error_wrap(err, "%s", declared->from[i]);
	}
	return 0;
}

void declared_free(struct declared *declared)
{
	for (size_t i = 0; i < declared->n; i++) {
		free(declared->v[i]);
		free(declared->from[i]);
	}
	free(declared->v);
	free(declared->from);
	*declared = (struct declared){ 0 };
}
