#include "toolstack/libxl/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#include "base/error.h"
#include "base/loop.h"

#define PATH_SIZE  1152
#define TOKEN_SIZE 16

struct keys {
	struct xs_handle *store;
	struct watch *watch;
	keys_fn *fn;
	void *arg;
};

static void make_watch(char path[PATH_SIZE], char token[TOKEN_SIZE], uint32_t domid,
		       const char *key)
{
	int size = (int)strcspn(key, "=");

	if (*key == '/')
		snprintf(path, PATH_SIZE, "%.*s", size, key);
	else
		snprintf(path, PATH_SIZE, "/local/domain/%u/%.*s", domid, size, key);
	snprintf(token, TOKEN_SIZE, "%u", domid);
}

static void on_readable(void *arg, unsigned events)
{
	struct keys *keys = arg;
	char **event;

	(void)events;
	while ((event = xs_check_watch(keys->store))) {
		uint32_t domid = (uint32_t)strtoul(event[XS_WATCH_TOKEN], NULL, 10);

		free(event);
		keys->fn(keys->arg, domid);
	}
}

struct keys *keys_new(struct loop *loop, keys_fn *fn, void *arg, struct error *err)
{
	struct keys *keys = calloc(1, sizeof *keys);

	if (!keys) {
		error_errno(err, "cannot watch xenstore");
		return NULL;
	}
	*keys = (struct keys){ .store = xs_open(0), .fn = fn, .arg = arg };
	if (keys->store)
		keys->watch =
			watch_new(loop, xs_fileno(keys->store), WATCH_READ, on_readable, keys);
	if (!keys->watch) {
		error_errno(err, "cannot watch xenstore");
		keys_free(keys);
		return NULL;
	}
	return keys;
}

void keys_free(struct keys *keys)
{
	if (!keys)
		return;
	watch_free(keys->watch);
	if (keys->store)
		xs_close(keys->store);
	free(keys);
}

int keys_watch(struct keys *keys, uint32_t domid, const char *key, struct error *err)
{
	char path[PATH_SIZE], token[TOKEN_SIZE];

	make_watch(path, token, domid, key);
	if (!xs_watch(keys->store, path, token))
		return error_errno(err, "cannot watch %s in xenstore", path);
	return 0;
}

void keys_unwatch(struct keys *keys, uint32_t domid, const char *key)
{
	char path[PATH_SIZE], token[TOKEN_SIZE];

	make_watch(path, token, domid, key);
	xs_unwatch(keys->store, path, token);
}

bool keys_match(const char *key, const char *value)
{
	const char *wanted = strchr(key, '=');

	return value && (!wanted || strcmp(wanted + 1, value) == 0);
}

void keys_name(char out[KEYS_NAME_MAX], const char *key)
{
	snprintf(out, KEYS_NAME_MAX, "%.*s", (int)strcspn(key, "="), key);
}
