/* The original's users write kernel=mirage-www.xen; the daemon takes absolute paths only. */
#include <ctype.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "jitsuctl/jitsuctl.h"

/* Where the path stands in a value. */
struct span {
	size_t at, size;
	bool device; /* relative to /dev */
};

static struct span whole(const char *text)
{
	return (struct span){ .size = strlen(text) };
}

/*
 * The target of a disk: in the original's FILE@DEVICE all before the last '@'; in Xen's syntax
 * (xl-disk-configuration(5)) all behind `target=`, or the first field, what old prefixes such as
 * `file:` and `tap:aio:` are in front of left out. Nothing where it is not a path: with a script
 * or with a prefix that is none of those.
 */
static struct span disk_target(const char *text)
{
	static const char *const prefixes[] = {
		"file", "phy",	"tap",	 "tap2", "tapdisk", "aio",
		"raw",	"qcow", "qcow2", "vhd",	 "qed",	    "ioemu"
	};
	struct span span = { 0 };
	const char *target = strstr(text, "target=");

	if (!strpbrk(text, ",=")) {
		const char *at = strrchr(text, '@');

		span.size = at ? (size_t)(at - text) : 0;
		return span;
	}
	if (strstr(text, "script="))
		return span;
	while (target && target != text && !strchr(", ", target[-1]))
		target = strstr(target + 1, "target=");
	if (target) {
		span.at = (size_t)(target - text) + strlen("target=");
		span.size = strlen(text + span.at);
		return span;
	}
	if (strcspn(text, "=") < strcspn(text, ","))
		return span;
	for (;;) {
		size_t n = strcspn(text + span.at, ":,"), i = 0;

		if (text[span.at + n] != ':')
			break;
		while (i < ARRAY_SIZE(prefixes) &&
		       (strlen(prefixes[i]) != n || memcmp(prefixes[i], text + span.at, n) != 0))
			i++;
		if (i == ARRAY_SIZE(prefixes))
			return span;
		span.device = strcmp(prefixes[i], "phy") == 0;
		span.at += n + 1;
	}
	span.size = strcspn(text + span.at, ",");
	return span;
}

/* The value with its path made absolute; NULL if it is as it should be. The caller frees it. */
static char *absolute(const char *text, const char *directory, struct span span)
{
	const char *path = text + span.at;
	size_t before = span.at;
	char *out;

	if (span.size == 0 || *path == '/')
		return NULL;
	while (span.size > 2 && strncmp(path, "./", 2) == 0) {
		path += 2;
		span.size -= 2;
	}
	if (asprintf(&out, "%.*s%s/%s", (int)before, text, span.device ? "/dev" : directory, path) <
	    0)
		abort();
	return out;
}

int make_paths_absolute(struct json_object *service, struct error *err)
{
	static const struct {
		const char *key;
		struct span (*find)(const char *text);
	} keys[] = { { "kernel", whole },
		     { "ramdisk", whole },
		     { "script", whole },
		     { "rumprun_config", whole },
		     { "disk", disk_target } };
	cleanup_free char *directory = getcwd(NULL, 0);

	if (!directory)
		return error_errno(err, "the current directory");
	if (strcmp(directory, "/") == 0)
		*directory = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		struct json_object *value;
		bool list;
		size_t n = 1;

		if (!json_object_object_get_ex(service, keys[i].key, &value))
			continue;
		list = json_object_is_type(value, json_type_array);
		if (list)
			n = json_object_array_length(value);
		for (size_t k = 0; k < n; k++) {
			struct json_object *entry = list ? json_object_array_get_idx(value, k)
							 : value;
			cleanup_free char *made = NULL;
			const char *text = json_object_get_string(entry);

			if (json_object_is_type(entry, json_type_string))
				made = absolute(text, directory, keys[i].find(text));
			if (made)
				json_object_set_string(entry, made);
		}
	}
	return 0;
}
