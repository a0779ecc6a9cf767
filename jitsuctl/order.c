/* The commands that put services into another state, or change them: those that take several go on
 * after one that is refused. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "jitsuctl/jitsuctl.h"
#include "jitsuctl/writer.h"

static bool is_false(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) && !json_object_get_boolean(value);
}

static void say_removed(const char *name, struct json_object *answer)
{
	printf("removed %s%s\n", name,
	       is_false(answer, "destroyed") ? "; its domain is still being destroyed" : "");
}

/* `www is ready`, and below it why it was not restored; the answer is the service. */
static void say_state(const char *name, struct json_object *answer)
{
	struct json_object *state, *pinned, *notice;
	bool is_pinned = json_object_object_get_ex(answer, "pinned", &pinned) &&
			 json_object_get_boolean(pinned);

	printf("%s is %s%s\n", name,
	       json_object_object_get_ex(answer, "state", &state) ? json_object_get_string(state)
								  : "?",
	       is_pinned ? ", pinned" : "");
	if (json_object_object_get_ex(answer, "notice", &notice)) {
		printf("booted afresh: ");
		writer_plain(stdout, json_object_get_string(notice));
		putchar('\n');
	}
}

/* Calls the method for each of the services. */
static enum status each_service(struct context *context, const char *method,
				void (*say)(const char *name, struct json_object *answer))
{
	enum status worst = STATUS_DONE;

	for (int i = 0; i < context->count && worst != STATUS_NO_DAEMON; i++) {
		const char *name = context->arguments[i];
		struct json_object *params = params_of_name(name), *answer;
		enum status status;

		if (context->mode)
			json_object_object_add(params, "mode",
					       json_object_new_string(context->mode));
		status = context_call(context, method, params, context->count > 1 ? name : NULL,
				      &answer);
		worst = worse(worst, status);
		if (status != STATUS_DONE)
			continue;
		if (context->json)
			writer_json(answer);
		else
			say(name, answer);
		fflush(stdout);
		json_object_put(answer);
	}
	return worst;
}

enum status command_remove(struct context *context)
{
	return each_service(context, "service.remove", say_removed);
}

enum status command_start(struct context *context)
{
	return each_service(context, "service.start", say_state);
}

enum status command_stop(struct context *context)
{
	return each_service(context, "service.stop", say_state);
}

enum status command_pause(struct context *context)
{
	return each_service(context, "service.pause", say_state);
}

enum status command_restart(struct context *context)
{
	return each_service(context, "service.restart", say_state);
}

enum status command_pin(struct context *context)
{
	return each_service(context, "service.pin", say_state);
}

enum status command_unpin(struct context *context)
{
	return each_service(context, "service.unpin", say_state);
}

/* --- set --- */

/* One argument is one pair, so that a value may have commas; a key comes again for several values,
 * and `key=` takes it away. */
static int add_pair(struct json_object *values, const char *pair, struct error *err)
{
	const char *equals = strchr(pair, '=');
	cleanup_free char *key = equals ? strndup(pair, (size_t)(equals - pair)) : NULL;
	struct json_object *value, *old, *array;

	if (!equals || !*key)
		return error_set(err, ERROR_INPUT, "\"%.64s\": expected KEY=VALUE", pair);
	value = equals[1] ? json_object_new_string(equals + 1) : NULL;
	if (!json_object_object_get_ex(values, key, &old)) {
		json_object_object_add(values, key, value);
		return 0;
	}
	if (!value || !old) {
		json_object_put(value);
		return error_set(err, ERROR_INPUT, "\"%.64s\": given with a value and without one",
				 key);
	}
	if (json_object_is_type(old, json_type_array)) {
		json_object_array_add(old, value);
		return 0;
	}
	array = json_object_new_array();
	json_object_array_add(array, json_object_get(old));
	json_object_array_add(array, value);
	json_object_object_add(values, key, array);
	return 0;
}

/* False if there are none. */
static bool say_keys(const char *name, struct json_object *answer, const char *field,
		     const char *when)
{
	struct json_object *keys = json_object_object_get(answer, field);
	cleanup_free char *text = NULL;

	if (!keys || json_object_array_length(keys) == 0)
		return false;
	text = writer_value(keys, CONTROL_TEXTS, false);
	printf("%s: %s: %s\n", name, text, when);
	return true;
}

enum status command_set(struct context *context)
{
	const char *name = context->arguments[0];
	struct json_object *params = params_of_name(name), *values = json_object_new_object(),
			   *answer;
	struct error err;
	enum status status;

	json_object_object_add(params, "values", values);
	for (int i = 1; i < context->count; i++) {
		if (add_pair(values, context->arguments[i], &err) < 0) {
			json_object_put(params);
			return complain_usage(context, "%s", err.text);
		}
	}
	if (make_paths_absolute(values, &err) < 0) {
		json_object_put(params);
		complain(context, NULL, &err, NULL);
		return STATUS_FAILED;
	}
	status = context_call(context, "service.set", params, NULL, &answer);
	if (status != STATUS_DONE)
		return status;
	if (context->json) {
		writer_json(answer);
	} else {
		bool now = say_keys(name, answer, "now", "in force now");

		if (!say_keys(name, answer, "later", "in force from its next boot on") && !now)
			printf("%s: all is as it was\n", name);
	}
	json_object_put(answer);
	return STATUS_DONE;
}
