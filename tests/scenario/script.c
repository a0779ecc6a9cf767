#include "script.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "client.h"
#include "world.h"

#define STEP_MAX 4096
#define LABEL_MAX 32
#define SETTLE_EVERY 100 /* queries sent at once; the sockets' buffers hold more */

struct label {
	char name[LABEL_MAX];
	struct query *query; /* one of the two */
	struct call *call;
};

struct script {
	struct script_report *report;
	struct world_config config;
	struct world *world;
	struct label *labels;
	size_t label_count;
	unsigned unsettled;
	bool skipped;
	char allowed[256]; /* errors in the log with this text are expected; "" none are */
};

typedef int step_fn(struct script *script, char *args);

static int __attribute__((format(printf, 2, 3))) fail(struct script *script, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(script->report->text, sizeof script->report->text, fmt, ap);
	va_end(ap);
	return -1;
}

/* --- words ----------------------------------------------------------------------------------- */

/* The next word, "" at the end. */
static char *word(char **args)
{
	char *start = *args + strspn(*args, " \t"), *end = start + strcspn(start, " \t");

	*args = end + (*end != '\0');
	*end = '\0';
	*args += strspn(*args, " \t");
	return start;
}

static int number(struct script *script, const char *text, unsigned *value)
{
	char *end;

	errno = 0;
	*value = (unsigned)strtoul(text, &end, 10);
	if (errno || !isdigit((unsigned char)*text) || *end)
		return fail(script, "'%s': expected a number", text);
	return 0;
}

static int duration(struct script *script, const char *text, uint64_t *usec)
{
	static const struct {
		const char *unit;
		uint64_t usec;
	} units[] = { { "us", 1 }, { "ms", 1000 }, { "s", 1000000 }, { "m", 60000000 } };
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	for (size_t i = 0; isdigit((unsigned char)*text) && i < ARRAY_SIZE(units); i++) {
		if (strcmp(end, units[i].unit) != 0)
			continue;
		*usec = value * units[i].usec;
		return 0;
	}
	return fail(script, "'%s': expected a time such as 1500us, 200ms, 3s or 2m", text);
}

static int one_of(struct script *script, const char *text, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], text) == 0)
			return i;
	return fail(script, "'%s' is none of: %s, %s, …", text, names[0], names[1]);
}

static int equal(struct script *script, const char *what, unsigned expected, unsigned there)
{
	if (expected == there)
		return 0;
	return fail(script, "%s: expected %u, there is %u", what, expected, there);
}

static struct label *find(struct script *script, const char *name)
{
	for (size_t i = script->label_count; i-- > 0;)
		if (strcmp(script->labels[i].name, name) == 0)
			return &script->labels[i];
	return NULL;
}

static struct label *label_new(struct script *script, const char *name)
{
	struct label *label;

	if (find(script, name)) {
		fail(script, "label '%s' is taken", name);
		return NULL;
	}
	if (strlen(name) >= LABEL_MAX || !*name) {
		fail(script, "'%s' is no label", name);
		return NULL;
	}
	script->labels = reallocarray(script->labels, script->label_count + 1,
				      sizeof *script->labels);
	if (!script->labels)
		world_die("reallocarray");
	label = &script->labels[script->label_count++];
	*label = (struct label){ .query = NULL };
	strcpy(label->name, name);
	return label;
}

static struct world *world(struct script *script)
{
	if (!script->world)
		script->world = world_new(&script->config);
	return script->world;
}

static void settle(struct script *script)
{
	script->unsettled = 0;
	world_settle(world(script));
}

/* --- the world ------------------------------------------------------------------------------- */

static int step_config(struct script *script, char *args)
{
	struct {
		const char *key;
		int64_t *value;
	} keys[] = {
		{ "ttl", &script->config.ttl },
		{ "response_delay", &script->config.response_delay },
		{ "wait_limit", &script->config.wait_limit },
	};
	const char *key = word(&args);
	unsigned value;

	if (script->world)
		return fail(script, "config comes before everything else");
	if (strcmp(key, "service") == 0) {
		if (script->config.service_count == WORLD_SERVICES_MAX)
			return fail(script, "too many services");
		script->config.services[script->config.service_count++] = strdup(args);
		return 0;
	}
	if (strcmp(key, "forward") == 0) {
		script->config.forward = true;
		return 0;
	}
	if (number(script, word(&args), &value) < 0)
		return -1;
	if (strcmp(key, "boots") == 0) {
		script->config.boots = value;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(keys[i].key, key) != 0)
			continue;
		*keys[i].value = value;
		return 0;
	}
	return fail(script, "config %s: no such setting", key);
}

static int step_skip(struct script *script, char *args)
{
	fail(script, "%s", args);
	script->skipped = true;
	return -1;
}

static int step_advance(struct script *script, char *args)
{
	uint64_t usec = 0;

	if (duration(script, word(&args), &usec) < 0)
		return -1;
	world_advance(world(script), usec);
	return 0;
}

/* What is done to rooms: bit 0 down, bit 1 settle in between, bit 2 up. */
static int change(struct script *script, char *args, unsigned what)
{
	int room = one_of(script, word(&args), world_room_names, WORLD_ROOMS);

	if (room < 0)
		return -1;
	if (world_is_up(world(script), (enum world_room)room) != (what & 1))
		return fail(script, "%s is %s already", world_room_names[room],
			    what & 1 ? "down" : "up");
	if (what & 1)
		world_down(script->world, (enum world_room)room);
	if (what & 2)
		world_settle(script->world);
	if (what & 4)
		world_up(script->world, (enum world_room)room);
	settle(script);
	return 0;
}

static int step_down(struct script *script, char *args)
{
	return change(script, args, 1);
}

static int step_up(struct script *script, char *args)
{
	return change(script, args, 4);
}

static int step_kill(struct script *script, char *args)
{
	return change(script, args, 1 | 2 | 4);
}

static int step_swap(struct script *script, char *args)
{
	return change(script, args, 1 | 4);
}

static int step_hold(struct script *script, char *args)
{
	int way = one_of(script, word(&args), world_way_names, WORLD_WAYS);

	if (way < 0)
		return -1;
	world_hold(world(script), (enum world_way)way);
	return 0;
}

static int step_release(struct script *script, char *args)
{
	int way = one_of(script, word(&args), world_way_names, WORLD_WAYS);
	unsigned n = 0;

	if (way < 0 || (*args && number(script, word(&args), &n) < 0))
		return -1;
	if (!world_release(world(script), (enum world_way)way, n))
		return fail(script, "%s holds fewer messages", world_way_names[way]);
	settle(script);
	return 0;
}

static int step_messages(struct script *script, char *args)
{
	int way = one_of(script, word(&args), world_way_names, WORLD_WAYS), seen;
	const char *name = word(&args);
	unsigned expected;

	if (way < 0 || number(script, word(&args), &expected) < 0)
		return -1;
	seen = world_messages(world(script), (enum world_way)way, name);
	if (seen < 0)
		return fail(script, "%s: no such message", name);
	return equal(script, name, expected, (unsigned)seen);
}

static int step_boots(struct script *script, char *args)
{
	const char *service = word(&args);
	unsigned expected;

	if (number(script, word(&args), &expected) < 0)
		return -1;
	return equal(script, "boots", expected, world_boots(world(script), service));
}

static int step_domains(struct script *script, char *args)
{
	unsigned expected;

	if (number(script, word(&args), &expected) < 0)
		return -1;
	return equal(script, "domains", expected, world_domains(world(script)));
}

static int step_upstream(struct script *script, char *args)
{
	static const char *const kinds[] = { "silent", "answers" };
	const char *kind = word(&args);
	unsigned expected;
	int i;

	if (isdigit((unsigned char)*kind))
		return number(script, kind, &expected) < 0 ?
			       -1 :
			       equal(script, "queries upstream", expected,
				     world_upstream_queries(world(script)));
	i = one_of(script, kind, kinds, 2);
	if (i < 0)
		return -1;
	world_upstream(world(script), i == 1);
	return 0;
}

/* --- the log --------------------------------------------------------------------------------- */

/* What the rooms have logged: standard error is a file. NULL-terminated; the caller frees it. */
static char *read_log(void)
{
	off_t size = lseek(STDERR_FILENO, 0, SEEK_END);
	char *text = calloc(1, size > 0 ? (size_t)size + 1 : 1);

	if (!text || (size > 0 && pread(STDERR_FILENO, text, (size_t)size, 0) != (ssize_t)size))
		world_die("reading the log");
	return text;
}

static int step_log(struct script *script, char *args)
{
	cleanup_free char *text = NULL;

	world(script);
	text = read_log();
	return strstr(text, args) ? 0 : fail(script, "the log has nothing of \"%s\"", args);
}

static int step_allow(struct script *script, char *args)
{
	snprintf(script->allowed, sizeof script->allowed, "%s", args);
	return 0;
}

/* An error that a room logs is a fault, unless the script allows for it. */
static int check_log(struct script *script)
{
	cleanup_free char *text = read_log();
	char *rest = text, *line;

	while ((line = strsep(&rest, "\n"))) {
		const char *error = strstr(line, " error: ");

		if (error && (!script->allowed[0] || !strstr(error, script->allowed)))
			return fail(script, "a room logged an%s", error);
	}
	return 0;
}

/* --- DNS ------------------------------------------------------------------------------------- */

static int step_query(struct script *script, char *args)
{
	struct label *label = label_new(script, word(&args));
	struct query_options options = { .tcp = false };
	const struct sockaddr_in *server;
	const char *name = word(&args), *type = word(&args);

	if (!label)
		return -1;
	if (client_type(type) < 0)
		return fail(script, "'%s': no type that is known here", type);
	while (*args) {
		const char *option = word(&args);

		if (strcmp(option, "tcp") == 0) {
			options.tcp = true;
		} else if (strcmp(option, "edns") == 0) {
			options.edns = true;
		} else if (strcmp(option, "on") == 0) {
			const struct label *other = find(script, word(&args));

			if (!other || !other->query)
				return fail(script, "on: no such query");
			options.on = other->query;
			options.tcp = true;
		} else {
			return fail(script, "'%s': expected tcp, edns or on LABEL", option);
		}
	}
	server = (options.tcp ? world_dns_tcp : world_dns_udp)(world(script));
	label->query = query_new(server, name, client_type(type), &options);
	if (++script->unsettled >= SETTLE_EVERY)
		settle(script);
	return 0;
}

/* As query_answer, for a label. */
static int take(struct script *script, const char *name, struct answer *answer)
{
	const struct label *label = find(script, name);
	const char *why;
	int r;

	if (!label || !label->query)
		return fail(script, "'%s': no such query", name);
	r = query_answer(label->query, answer, &why);
	if (r < 0)
		fail(script, "the answer to %s is malformed: %s", name, why);
	return r;
}

/* What an answer says, as `expect` writes it. */
static const char *shown(const struct answer *answer, char *text, size_t room)
{
	size_t used = (size_t)snprintf(text, room, "%s", client_rcode(answer->rcode));

	for (size_t i = 0; i < answer->address_count && used < room; i++)
		used += (size_t)snprintf(text + used, room - used, " %s", answer->addresses[i]);
	if (used < room)
		snprintf(text + used, room - used, " (ttl=%u ede=%d tc=%d aa=%d records=%u)",
			 answer->ttl, answer->info_code, answer->truncated, answer->authoritative,
			 answer->answers);
	return text;
}

static bool take_address(struct answer *answer, const char *address)
{
	for (size_t i = 0; i < answer->address_count; i++) {
		if (strcmp(answer->addresses[i], address) != 0)
			continue;
		answer->address_count--;
		memmove(answer->addresses[i], answer->addresses[answer->address_count],
			sizeof answer->addresses[i]);
		return true;
	}
	return false;
}

static int step_expect(struct script *script, char *args)
{
	const char *name = word(&args), *rcode = word(&args);
	struct answer answer;
	char text[512], expected[512];
	int r = take(script, name, &answer);
	bool right;

	if (r < 0)
		return -1;
	snprintf(expected, sizeof expected, "%s%s%s", rcode, *args ? " " : "", args);
	if (r == 0)
		return fail(script, "query %s: expected %s, there is no answer", name, expected);
	shown(&answer, text, sizeof text);
	right = strcmp(client_rcode(answer.rcode), rcode) == 0;
	while (*args) {
		const char *thing = word(&args);
		unsigned value = 0;
		const char *sign = strchr(thing, '=');

		if (sign && number(script, sign + 1, &value) < 0)
			return -1;
		if (!sign)
			right = take_address(&answer, thing) && right;
		else if (strncmp(thing, "ttl=", 4) == 0)
			right = answer.ttl == value && right;
		else if (strncmp(thing, "ede=", 4) == 0)
			right = answer.info_code == (int)value && right;
		else if (strncmp(thing, "tc=", 3) == 0)
			right = answer.truncated == value && right;
		else if (strncmp(thing, "aa=", 3) == 0)
			right = answer.authoritative == value && right;
		else
			return fail(script, "'%s': expected an address, ttl=, ede=, tc= or aa=",
				    thing);
	}
	if (!right || answer.address_count)
		return fail(script, "query %s: expected %s, there is %s", name, expected, text);
	return 0;
}

static int step_expect_none(struct script *script, char *args)
{
	const char *name = word(&args);
	struct answer answer;
	char text[512];
	int r = take(script, name, &answer);

	if (r < 0)
		return -1;
	if (r > 0)
		return fail(script, "query %s: expected no answer, there is %s", name,
			    shown(&answer, text, sizeof text));
	return 0;
}

/* --- the control socket ---------------------------------------------------------------------- */

static int step_rpc(struct script *script, char *args)
{
	struct label *label = label_new(script, word(&args));
	const char *method = word(&args);

	if (!label)
		return -1;
	label->call = call_new(world_control(world(script)), method, *args ? args : NULL);
	if (!label->call)
		return fail(script, "'%s' is no JSON", args);
	settle(script);
	return 0;
}

/* The response to a call, by member: result or error. NULL after fail(). The caller puts it. */
static struct json_object *member_of(struct script *script, struct call *call, const char *what,
				     const char *member)
{
	struct json_object *response, *value = NULL;
	bool closed;

	response = call_response(call, &closed);
	if (!response) {
		fail(script, "%s: expected its %s, %s", what, member,
		     closed ? "the connection was closed" : "there is no answer");
		return NULL;
	}
	if (json_object_object_get_ex(response, member, &value))
		json_object_get(value);
	else
		fail(script, "%s: expected its %s, there is %s", what, member,
		     json_object_to_json_string_ext(response, JSON_C_TO_STRING_PLAIN));
	json_object_put(response);
	return value;
}

/* Asks, and takes the answer that has to come while time stands still. */
static struct json_object *ask(struct script *script, const char *method, const char *params,
			       const char *member)
{
	struct call *call = call_new(world_control(world(script)), method, params);
	struct json_object *value;

	if (!call) {
		fail(script, "'%s' is no JSON", params);
		return NULL;
	}
	settle(script);
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
		char *key = word(&args), *sign = strchr(key, '='), path[128];
		struct json_object *value;
		const char *there;

		if (!sign)
			return fail(script, "'%s': expected key=value", key);
		*sign = '\0';
		snprintf(path, sizeof path, "%s", key);
		value = at_path(object, path);
		there = value ? json_object_get_string(value) : "-";
		if (strcmp(there, sign + 1) != 0)
			return fail(script, "%s: expected %s, there is %s", key, sign + 1, there);
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

static int step_add(struct script *script, char *args)
{
	return check_and_put(script, ask(script, "service.add", args, "result"), (char[]){ "" });
}

static int step_remove(struct script *script, char *args)
{
	return check_and_put(script, ask_named(script, "service.remove", word(&args)),
			     (char[]){ "" });
}

static int step_get(struct script *script, char *args)
{
	const char *name = word(&args);

	return check_and_put(script, ask_named(script, "service.get", name), args);
}

static int step_state(struct script *script, char *args)
{
	const char *name = word(&args);
	char expected[64];

	snprintf(expected, sizeof expected, "state=%s", word(&args));
	return check_and_put(script, ask_named(script, "service.get", name), expected);
}

static int step_status(struct script *script, char *args)
{
	return check_and_put(script, ask(script, "daemon.status", NULL, "result"), args);
}

static int step_list(struct script *script, char *args)
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
					 word(&args));
	if (strcmp(there, expected) != 0)
		return fail(script, "services: expected%s, there are%s",
			    *expected ? expected : " none", *there ? there : " none");
	return 0;
}

static struct call *call_of(struct script *script, const char *name)
{
	const struct label *label = find(script, name);

	if (label && label->call)
		return label->call;
	fail(script, "'%s': no such call", name);
	return NULL;
}

static int step_result(struct script *script, char *args)
{
	const char *name = word(&args);
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
		r = fail(script, "error: expected field %s, there is %s, text %s", field,
			 there ? there : "-", text);
	else if (!text || !strstr(text, part))
		r = fail(script, "error: expected a text with \"%s\", there is \"%s\"", part, text);
	json_object_put(error);
	return r;
}

static int step_error(struct script *script, char *args)
{
	const char *name = word(&args), *field = word(&args);
	struct call *call = call_of(script, name);

	if (!call)
		return -1;
	return check_error(script, member_of(script, call, name, "error"), field, args);
}

static int step_refused(struct script *script, char *args)
{
	const char *field = word(&args), *method = word(&args);

	return check_error(script, ask(script, method, *args ? args : NULL, "error"), field, "");
}

static int step_pending(struct script *script, char *args)
{
	const char *name = word(&args);
	struct call *call = call_of(script, name);
	struct json_object *response;
	bool closed;

	if (!call)
		return -1;
	response = call_response(call, &closed);
	if (!response && !closed)
		return 0;
	fail(script, "%s: expected no answer yet, there is %s", name,
	     response ? json_object_get_string(response) : "the end of the connection");
	json_object_put(response);
	return -1;
}

static int step_close(struct script *script, char *args)
{
	const char *name = word(&args);
	struct label *label = find(script, name);

	if (!label || (!label->query && !label->call))
		return fail(script, "'%s': no such query or call", name);
	if (label->query)
		query_free(TAKE(label->query));
	else
		call_free(TAKE(label->call));
	settle(script);
	return 0;
}

/* --- steps ----------------------------------------------------------------------------------- */

static int step_repeat(struct script *script, char *args);

static const struct {
	const char *name;
	step_fn *fn;
	const char *arguments;
} steps[] = {
	{ "config", step_config, "ttl S | response_delay MS | wait_limit MS | boots N | forward | service JSON" },
	{ "skip", step_skip, "REASON" },
	{ "advance", step_advance, "TIME" },
	{ "repeat", step_repeat, "N | FROM..TO STEP  (%i: the number, %a: an address of its own)" },
	{ "down", step_down, "ROOM" },
	{ "up", step_up, "ROOM" },
	{ "kill", step_kill, "ROOM  (down, all notice, up)" },
	{ "swap", step_swap, "ROOM  (down and up before anybody notices)" },
	{ "hold", step_hold, "ROOM->ROOM" },
	{ "release", step_release, "ROOM->ROOM [N]" },
	{ "messages", step_messages, "ROOM->ROOM MESSAGE N" },
	{ "boots", step_boots, "SERVICE N" },
	{ "domains", step_domains, "N" },
	{ "upstream", step_upstream, "silent | answers | N" },
	{ "query", step_query, "LABEL NAME TYPE [tcp] [edns] [on LABEL]" },
	{ "expect", step_expect, "LABEL RCODE [ADDRESS | ttl=N | ede=N | tc=N | aa=N]…" },
	{ "expect-none", step_expect_none, "LABEL" },
	{ "add", step_add, "JSON" },
	{ "remove", step_remove, "SERVICE" },
	{ "get", step_get, "SERVICE [KEY=VALUE]…" },
	{ "state", step_state, "SERVICE STATE" },
	{ "status", step_status, "[KEY=VALUE]…" },
	{ "list", step_list, "[SERVICE]…" },
	{ "rpc", step_rpc, "LABEL METHOD [JSON]" },
	{ "result", step_result, "LABEL [KEY=VALUE]…" },
	{ "error", step_error, "LABEL FIELD [TEXT]" },
	{ "refused", step_refused, "FIELD METHOD [JSON]" },
	{ "pending", step_pending, "LABEL" },
	{ "close", step_close, "LABEL  (its client goes away)" },
	{ "log", step_log, "TEXT" },
	{ "allow", step_allow, "TEXT  (errors in the log with this text are expected)" },
};

void script_usage(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		printf("  %-12s %s\n", steps[i].name, steps[i].arguments);
}

static int step(struct script *script, char *text)
{
	const char *name = word(&text);

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (strcmp(steps[i].name, name) == 0)
			return steps[i].fn(script, text);
	return fail(script, "'%s': no such step", name);
}

/* The step with its number put in. */
static int fill_in(struct script *script, char *out, size_t room, const char *text, unsigned i)
{
	size_t used = 0;

	for (; *text && used < room - 16; text++) {
		if (text[0] == '%' && text[1] == 'i')
			used += (size_t)snprintf(out + used, room - used, "%u", i);
		else if (text[0] == '%' && text[1] == 'a')
			used += (size_t)snprintf(out + used, room - used, "10.%u.%u.%u",
						 1 + i / 62500, i / 250 % 250, 1 + i % 250);
		else {
			out[used++] = *text;
			continue;
		}
		text++;
	}
	out[used] = '\0';
	return *text ? fail(script, "the step is too long") : 0;
}

static int step_repeat(struct script *script, char *args)
{
	char *range = word(&args), *dots = strstr(range, ".."), text[STEP_MAX];
	unsigned from = 1, to;

	if (dots) {
		*dots = '\0';
		if (number(script, range, &from) < 0)
			return -1;
		range = dots + 2;
	}
	if (number(script, range, &to) < 0)
		return -1;
	for (unsigned i = from; i <= to; i++) {
		if (fill_in(script, text, sizeof text, args, i) < 0 || step(script, text) < 0)
			return -1;
	}
	return 0;
}

/* Cuts the comment and the white space at both ends. */
static char *trim(char *line)
{
	bool quoted = false;
	char *end;

	line += strspn(line, " \t");
	for (end = line; *end && *end != '\n'; end++) {
		if (*end == '"')
			quoted = !quoted;
		if (*end == '#' && !quoted && (end == line || isspace((unsigned char)end[-1])))
			break;
	}
	while (end > line && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return line;
}

static int run_line(struct script *script, char *text)
{
	const char *broken;

	snprintf(script->report->step, sizeof script->report->step, "%s", text);
	if (step(script, text) < 0)
		return -1;
	if (script->unsettled)
		settle(script);
	broken = script->world ? world_broken(script->world) : NULL;
	return broken ? fail(script, "%s", broken) : 0;
}

static void script_clear(struct script *script)
{
	for (size_t i = 0; i < script->label_count; i++) {
		if (script->labels[i].query)
			query_free(script->labels[i].query);
		if (script->labels[i].call)
			call_free(script->labels[i].call);
	}
	free(script->labels);
	world_free(script->world);
	for (size_t i = 0; i < script->config.service_count; i++)
		free((char *)(uintptr_t)script->config.services[i]);
}

enum script_result script_run(const char *path, const char *folder, struct script_report *report)
{
	struct script script = {
		.report = report,
		.config = { .folder = folder, .ttl = 60, .wait_limit = 700, .boots = 8 },
	};
	cleanup_file FILE *file = fopen(path, "re");
	char line[STEP_MAX];
	int r = 0;

	if (!file)
		r = fail(&script, "%s", strerror(errno));
	while (r == 0 && fgets(line, sizeof line, file)) {
		char *text = trim(line);

		report->line++;
		if (*text)
			r = run_line(&script, text);
	}
	if (r == 0)
		r = check_log(&script);
	if (r < 0 && script.world)
		snprintf(report->trace, sizeof report->trace, "%s", world_trace(script.world));
	script_clear(&script);
	if (r == 0)
		return SCRIPT_PASSED;
	return script.skipped ? SCRIPT_SKIPPED : SCRIPT_FAILED;
}
