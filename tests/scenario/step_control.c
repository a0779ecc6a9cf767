#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "step.h"

int step_rpc(struct script *script, char *args)
{
	struct label *label = step_label_new(script, step_word(&args));
	const char *method = step_word(&args);

	if (!label)
		return -1;
	label->call = call_new(world_control(step_world(script)), method, *args ? args : NULL);
	if (!label->call)
		return step_fail(script, "'%s' is no JSON", args);
	step_settle(script);
	return 0;
}

/* The response to a call, by member: result or error. NULL after step_fail(). The caller puts it. */
static struct json_object *member_of(struct script *script, struct call *call, const char *what,
				     const char *member)
{
	struct json_object *response, *value = NULL;
	bool closed;

	response = call_response(call, &closed);
	if (!response) {
		step_fail(script, "%s: expected its %s, %s", what, member,
			  closed ? "the connection was closed" : "there is no answer");
		return NULL;
	}
	if (json_object_object_get_ex(response, member, &value))
		json_object_get(value);
	else
		step_fail(script, "%s: expected its %s, there is %s", what, member,
			  json_object_to_json_string_ext(response, JSON_C_TO_STRING_PLAIN));
	json_object_put(response);
	return value;
}

/* Asks, and takes the answer that has to come while time stands still. */
static struct json_object *ask(struct script *script, const char *method, const char *params,
			       const char *member)
{
	struct call *call = call_new(world_control(step_world(script)), method, params);
	struct json_object *value;

	if (!call) {
		step_fail(script, "'%s' is no JSON", params);
		return NULL;
	}
	step_settle(script);
	value = member_of(script, call, method, member);
	call_free(call);
	return value;
}

static struct json_object *ask_named(struct script *script, const char *method, const char *name)
{
	char params[256];

	snprintf(params, sizeof params, "{\"name\":\"%s\"}", name);
	return ask(script, method, params, "result");
}

/* The value at a path such as boot.waiters or ip.0; NULL if there is none. */
static struct json_object *at_path(struct json_object *object, char *path)
{
	char *rest = path;

	while (object && rest) {
		char *key = strsep(&rest, ".");
		struct json_object *value = NULL;

		if (json_object_is_type(object, json_type_array))
			value = json_object_array_get_idx(object, strtoul(key, NULL, 10));
		else
			json_object_object_get_ex(object, key, &value);
		object = value;
	}
	return object;
}

/* Checks `key=value` words, where the value `-` means that there is none. */
static int check_values(struct script *script, struct json_object *object, char *args)
{
	while (*args) {
		char *key = step_word(&args), *sign = strchr(key, '='), path[128];
		struct json_object *value;
		const char *there;

		if (!sign)
			return step_fail(script, "'%s': expected key=value", key);
		*sign = '\0';
		snprintf(path, sizeof path, "%s", key);
		value = at_path(object, path);
		there = value ? json_object_get_string(value) : "-";
		if (strcmp(there, sign + 1) != 0)
			return step_fail(script, "%s: expected %s, there is %s", key, sign + 1,
					 there);
	}
	return 0;
}

static int check_and_put(struct script *script, struct json_object *object, char *args)
{
	int r;

	if (!object)
		return -1;
	r = check_values(script, object, args);
	json_object_put(object);
	return r;
}

int step_add(struct script *script, char *args)
{
	return check_and_put(script, ask(script, "service.add", args, "result"), (char[]){ "" });
}

int step_remove(struct script *script, char *args)
{
	return check_and_put(script, ask_named(script, "service.remove", step_word(&args)),
			     (char[]){ "" });
}

int step_get(struct script *script, char *args)
{
	const char *name = step_word(&args);

	return check_and_put(script, ask_named(script, "service.get", name), args);
}

int step_state(struct script *script, char *args)
{
	const char *name = step_word(&args);
	char expected[64];

	snprintf(expected, sizeof expected, "state=%s", step_word(&args));
	return check_and_put(script, ask_named(script, "service.get", name), expected);
}

int step_why(struct script *script, char *args)
{
	struct json_object *result = ask_named(script, "service.get", step_word(&args)), *why;
	int r = 0;

	if (!result)
		return -1;
	if (!json_object_object_get_ex(result, "why", &why) ||
	    strcmp(json_object_get_string(why), args) != 0)
		r = step_fail(script, "why: expected '%s', there is '%s'", args,
			      json_object_get_string(json_object_object_get(result, "why")));
	json_object_put(result);
	return r;
}

int step_status(struct script *script, char *args)
{
	return check_and_put(script, ask(script, "daemon.status", NULL, "result"), args);
}

int step_list(struct script *script, char *args)
{
	struct json_object *result = ask(script, "service.list", NULL, "result"), *services = NULL;
	char there[1024] = "", expected[1024] = "";
	size_t used = 0;

	if (!result)
		return -1;
	json_object_object_get_ex(result, "services", &services);
	for (size_t i = 0; services && i < json_object_array_length(services); i++) {
		struct json_object *name = NULL;

		json_object_object_get_ex(json_object_array_get_idx(services, i), "name", &name);
		used += (size_t)snprintf(there + used, sizeof there - used, " %s",
					 json_object_get_string(name));
		if (used >= sizeof there)
			break;
	}
	json_object_put(result);
	for (used = 0; *args && used < sizeof expected;)
		used += (size_t)snprintf(expected + used, sizeof expected - used, " %s",
					 step_word(&args));
	if (strcmp(there, expected) != 0)
		return step_fail(script, "services: expected%s, there are%s",
				 *expected ? expected : " none", *there ? there : " none");
	return 0;
}

static struct call *call_of(struct script *script, const char *name)
{
	const struct label *label = step_label(script, name);

	if (label && label->call)
		return label->call;
	step_fail(script, "'%s': no such call", name);
	return NULL;
}

int step_result(struct script *script, char *args)
{
	const char *name = step_word(&args);
	struct call *call = call_of(script, name);

	return call ? check_and_put(script, member_of(script, call, name, "result"), args) : -1;
}

/* An error: its field (`-` for none), and what its text has in it. */
static int check_error(struct script *script, struct json_object *error, const char *field,
		       const char *part)
{
	struct json_object *message = NULL;
	const char *there, *text;
	int r = 0;

	if (!error)
		return -1;
	there = json_object_get_string(at_path(error, (char[]){ "data.field" }));
	json_object_object_get_ex(error, "message", &message);
	text = json_object_get_string(message);
	if (strcmp(there && *there ? there : "-", field) != 0)
		r = step_fail(script, "error: expected field %s, there is %s, text %s", field,
			      there ? there : "-", text);
	else if (!text || !strstr(text, part))
		r = step_fail(script, "error: expected a text with \"%s\", there is \"%s\"", part,
			      text);
	json_object_put(error);
	return r;
}

int step_error(struct script *script, char *args)
{
	const char *name = step_word(&args), *field = step_word(&args);
	struct call *call = call_of(script, name);

	if (!call)
		return -1;
	return check_error(script, member_of(script, call, name, "error"), field, args);
}

int step_refused(struct script *script, char *args)
{
	const char *field = step_word(&args), *method = step_word(&args);

	return check_error(script, ask(script, method, *args ? args : NULL, "error"), field, "");
}

int step_pending(struct script *script, char *args)
{
	const char *name = step_word(&args);
	struct call *call = call_of(script, name);
	struct json_object *response;
	bool closed;

	if (!call)
		return -1;
	response = call_response(call, &closed);
	if (!response && !closed)
		return 0;
	step_fail(script, "%s: expected no answer yet, there is %s", name,
		  response ? json_object_get_string(response) : "the end of the connection");
	json_object_put(response);
	return -1;
}
