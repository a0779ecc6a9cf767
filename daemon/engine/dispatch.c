#include "engine/dispatch.h"

#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/verbs.h"

#define BATCH_ANSWER_MAX (16u * 1024 * 1024)

struct dispatch {
	struct engine *engine;
	enum control_access access;
	const struct dispatch_client *client; /* NULL: abandoned */
	void *arg;
	struct json_object *message;
	size_t next, count; /* requests in the message */
	bool batch;
	/* The request under way. */
	bool waiting, running;
	const struct control_method *method;
	struct json_object *id;
	bool notification;
	/* A verb may answer from the midst of the engine's work, so the next one of a batch is
	 * started from the loop. */
	struct timer *turn;
	char *out;
	size_t out_size, out_room;
};

static verb_fn *const verbs[CONTROL_METHODS] = {
#define METHOD(id, name, access, params, result, help) verb_##id,
#include "proto/control.tbl.h"
};

static bool run(struct dispatch *d);

static void dispatch_free(struct dispatch *d)
{
	timer_free(d->turn);
	json_object_put(d->id);
	json_object_put(d->message);
	free(d->out);
	free(d);
}

static void append(struct dispatch *d, const char *text, size_t size)
{
	if (d->out_size + size + 1 > d->out_room) {
		d->out_room = 2 * (d->out_size + size + 1);
		d->out = realloc(d->out, d->out_room);
		if (!d->out)
			abort();
	}
	memcpy(d->out + d->out_size, text, size);
	d->out_size += size;
	d->out[d->out_size] = '\0';
}

/* Ends the request under way with its answer, which is taken over. */
static void answer(struct dispatch *d, struct json_object *response)
{
	cleanup_free char *line = NULL;
	size_t size;

	d->waiting = false;
	json_object_put(TAKE(d->id));
	if (d->client && !d->notification) {
		line = control_line(response, &size);
		if (d->batch)
			append(d, d->out_size ? "," : "[", 1);
		append(d, line, d->batch ? size - 1 : size);
	}
	json_object_put(response);
}

static void fail(struct dispatch *d, enum control_error code, const struct error *err)
{
	log_debug("control: %s: %s", d->method ? d->method->name : "request", err->text);
	answer(d, control_failure(d->id, code, err->field, err->text));
}

static void on_done(void *arg, struct json_object *result, const struct error *err)
{
	struct dispatch *d = arg;
	struct error internal;

	if (result) {
		answer(d, control_success(d->id, result));
	} else {
		if (!err || err->kind == ERROR_NONE) {
			error_set(&internal, ERROR_SYSTEM, "%s gave no result", d->method->name);
			fail(d, CONTROL_ERROR_INTERNAL, &internal);
		} else {
			fail(d, control_error_of(err->kind), err);
		}
	}
	if (d->running)
		return;
	if (d->client && d->next < d->count)
		timer_set(d->turn, 0);
	else
		run(d);
}

static int read_member(struct json_object *request, const char *key, struct json_object **member,
		       struct error *err)
{
	if (!json_object_object_get_ex(request, key, member))
		return error_field(err, ERROR_INPUT, key, NULL, "missing");
	return 0;
}

/* The envelope of a request: who asks what. 0, or -1 with the error's code and text. */
static int read_request(struct dispatch *d, struct json_object *request, const char **method,
			struct json_object **params, struct error *err)
{
	static const char *const known[] = { "jsonrpc", "method", "params", "id" };
	struct json_object *id = NULL, *version = NULL, *name = NULL;

	if (!json_object_is_type(request, json_type_object))
		return error_set(err, ERROR_INPUT, "a request is an object");
	d->notification = !json_object_object_get_ex(request, "id", &id);
	if (id && !json_object_is_type(id, json_type_string) &&
	    !json_object_is_type(id, json_type_int)) {
		return error_field(err, ERROR_INPUT, "id", json_object_to_json_string(id),
				   "expected a text, a whole number or null");
	}
	d->id = json_object_get(id);
	if (read_member(request, "jsonrpc", &version, err) < 0)
		return -1;
	if (!json_object_is_type(version, json_type_string) ||
	    strcmp(json_object_get_string(version), "2.0") != 0)
		return error_field(err, ERROR_INPUT, "jsonrpc", json_object_get_string(version),
				   "expected the text 2.0");
	if (read_member(request, "method", &name, err) < 0)
		return -1;
	if (!json_object_is_type(name, json_type_string))
		return error_field(err, ERROR_INPUT, "method", json_object_to_json_string(name),
				   "expected a text");
	json_object_object_foreach(request, key, value)
	{
		size_t i = 0;

		(void)value;
		while (i < ARRAY_SIZE(known) && strcmp(key, known[i]) != 0)
			i++;
		if (i == ARRAY_SIZE(known))
			return error_field(err, ERROR_INPUT, key, NULL,
					   "a request has jsonrpc, method, params and id only");
	}
	*method = json_object_get_string(name);
	json_object_object_get_ex(request, "params", params);
	return 0;
}

static void start(struct dispatch *d, struct json_object *request)
{
	struct json_object *params = NULL;
	const char *name = NULL;
	enum control_method_id id;
	struct error err;

	d->waiting = true;
	d->method = NULL;
	if (read_request(d, request, &name, &params, &err) < 0) {
		d->notification = false; /* what is no request is told so, under a null id */
		fail(d, CONTROL_ERROR_REQUEST, &err);
		return;
	}
	if (d->out_size > BATCH_ANSWER_MAX) {
		error_set(&err, ERROR_BUSY,
			  "not done: the answer to this batch is over %u MiB already",
			  BATCH_ANSWER_MAX / (1024 * 1024));
		fail(d, CONTROL_ERROR_BUSY, &err);
		return;
	}
	id = control_method_find(name);
	if (id == CONTROL_METHODS) {
		error_field(&err, ERROR_INPUT, "method", name, "no such method, see rpc.discover");
		fail(d, CONTROL_ERROR_METHOD, &err);
		return;
	}
	d->method = &control_methods[id];
	if (d->method->access == CONTROL_WRITE && d->access != CONTROL_WRITE) {
		error_set(&err, ERROR_INPUT, "%s is for root and the socket's group", name);
		fail(d, CONTROL_ERROR_DENIED, &err);
		return;
	}
	if (control_bind(d->method, params, &err) < 0)
		fail(d, CONTROL_ERROR_PARAMS, &err);
	else
		verbs[id](d->engine, params, on_done, d);
}

/* The one verb that is about the connection: arg is the dispatch itself. */
void verb_events_subscribe(struct engine *engine, struct json_object *params, verb_done *done,
			   void *arg)
{
	struct dispatch *d = arg;
	struct json_object *value = NULL, *result;
	struct error err = { 0 };
	int64_t recent = 0;

	(void)engine;
	if (params && json_object_object_get_ex(params, "recent", &value))
		recent = json_object_get_int64(value);
	if (recent < 0) {
		error_field(&err, ERROR_INPUT, "recent", json_object_get_string(value),
			    "expected how many events, 0 or more");
		done(arg, NULL, &err);
		return;
	}
	result = d->client->subscribe(d->arg, (size_t)recent, &err);
	done(arg, result, &err);
}

/* Goes on until a request is under way, or to the end. True if it came to the end: then d is
 * freed. */
static bool run(struct dispatch *d)
{
	d->running = true;
	while (!d->waiting && d->next < d->count && (d->client || d->next == 0)) {
		start(d, d->batch ? json_object_array_get_idx(d->message, d->next) : d->message);
		d->next++;
	}
	d->running = false;
	if (d->waiting)
		return false;
	if (d->batch && d->out_size)
		append(d, "]\n", 2);
	if (d->client)
		d->client->reply(d->arg, d->out, d->out_size);
	dispatch_free(d);
	return true;
}

static void on_turn(void *arg)
{
	run(arg);
}

static void refuse(const struct dispatch_client *client, void *arg, enum control_error code,
		   const char *text)
{
	size_t size;
	cleanup_free char *line = dispatch_error_line(code, text, &size);

	client->reply(arg, line, size);
}

struct dispatch *dispatch_message(struct loop *loop, struct engine *engine,
				  enum control_access access, const struct dispatch_client *client,
				  const char *text, size_t size, void *arg)
{
	struct json_object *message = NULL;
	struct dispatch *d;
	struct error err;

	if (control_parse(text, size, &message, &err) < 0) {
		refuse(client, arg, CONTROL_ERROR_PARSE, err.text);
		return NULL;
	}
	d = calloc(1, sizeof *d);
	if (!d)
		abort();
	*d = (struct dispatch){ .engine = engine,
				.access = access,
				.client = client,
				.arg = arg,
				.message = message,
				.count = 1 };
	if (json_object_is_type(message, json_type_array)) {
		d->batch = true;
		d->count = json_object_array_length(message);
		d->turn = timer_new(loop, on_turn, d);
		if (!d->turn)
			abort();
	}
	if (d->count == 0 || d->count > CONTROL_BATCH_MAX) {
		refuse(client, arg, CONTROL_ERROR_REQUEST,
		       d->count ? "a batch has at most 1000 requests" : "an empty batch");
		dispatch_free(d);
		return NULL;
	}
	return run(d) ? NULL : d;
}

void dispatch_abandon(struct dispatch *d)
{
	d->client = NULL;
	/* Between two requests of a batch nothing is under way that would end it. */
	if (!d->waiting && !d->running)
		dispatch_free(d);
}

char *dispatch_error_line(enum control_error code, const char *text, size_t *size)
{
	struct json_object *response = control_failure(NULL, code, NULL, text);
	char *line = control_line(response, size);

	json_object_put(response);
	return line;
}
