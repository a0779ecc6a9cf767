#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "step.h"

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
	return step_fail(script, "'%s': expected a time such as 1500us, 200ms, 3s or 2m", text);
}

static int one_of(struct script *script, const char *text, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], text) == 0)
			return i;
	return step_fail(script, "'%s' is none of: %s, %s, …", text, names[0], names[1]);
}

static int equal(struct script *script, const char *what, unsigned expected, unsigned there)
{
	if (expected == there)
		return 0;
	return step_fail(script, "%s: expected %u, there is %u", what, expected, there);
}

int step_config(struct script *script, char *args)
{
	struct {
		const char *key;
		int64_t *value;
	} keys[] = {
		{ "ttl", &script->config.ttl },
		{ "response_delay", &script->config.response_delay },
		{ "wait_limit", &script->config.wait_limit },
	};
	struct {
		const char *key;
		unsigned *value;
	} counts[] = { { "boots", &script->config.boots }, { "file", &script->config.filed } };
	const char *key = step_word(&args);
	unsigned value;

	if (script->world)
		return step_fail(script, "config comes before everything else");
	if (strcmp(key, "service") == 0) {
		if (script->config.service_count == WORLD_SERVICES_MAX)
			return step_fail(script, "too many services");
		script->config.services[script->config.service_count++] = strdup(args);
		return 0;
	}
	if (strcmp(key, "forward") == 0) {
		script->config.forward = true;
		return 0;
	}
	if (step_number(script, step_word(&args), &value) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		if (strcmp(counts[i].key, key) != 0)
			continue;
		*counts[i].value = value;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(keys[i].key, key) != 0)
			continue;
		*keys[i].value = value;
		return 0;
	}
	return step_fail(script, "config %s: no such setting", key);
}

int step_skip(struct script *script, char *args)
{
	step_fail(script, "%s", args);
	script->skipped = true;
	return -1;
}

int step_advance(struct script *script, char *args)
{
	uint64_t usec = 0;

	if (duration(script, step_word(&args), &usec) < 0)
		return -1;
	world_advance(step_world(script), usec);
	return 0;
}

/* What is done to rooms: bit 0 down, bit 1 settle in between, bit 2 up. */
static int change(struct script *script, char *args, unsigned what)
{
	int room = one_of(script, step_word(&args), world_room_names, WORLD_ROOMS);

	if (room < 0)
		return -1;
	if (world_is_up(step_world(script), (enum world_room)room) != (what & 1))
		return step_fail(script, "%s is %s already", world_room_names[room],
				 what & 1 ? "down" : "up");
	if (what & 1)
		world_down(script->world, (enum world_room)room);
	if (what & 2)
		world_settle(script->world);
	if (what & 4)
		world_up(script->world, (enum world_room)room);
	step_settle(script);
	return 0;
}

int step_down(struct script *script, char *args)
{
	return change(script, args, 1);
}

int step_up(struct script *script, char *args)
{
	return change(script, args, 4);
}

int step_kill(struct script *script, char *args)
{
	return change(script, args, 1 | 2 | 4);
}

int step_swap(struct script *script, char *args)
{
	return change(script, args, 1 | 4);
}

int step_hold(struct script *script, char *args)
{
	int way = one_of(script, step_word(&args), world_way_names, WORLD_WAYS);

	if (way < 0)
		return -1;
	world_hold(step_world(script), (enum world_way)way);
	return 0;
}

int step_release(struct script *script, char *args)
{
	int way = one_of(script, step_word(&args), world_way_names, WORLD_WAYS);
	unsigned n = 0;

	if (way < 0 || (*args && step_number(script, step_word(&args), &n) < 0))
		return -1;
	if (!world_release(step_world(script), (enum world_way)way, n))
		return step_fail(script, "%s holds fewer messages", world_way_names[way]);
	step_settle(script);
	return 0;
}

int step_messages(struct script *script, char *args)
{
	int way = one_of(script, step_word(&args), world_way_names, WORLD_WAYS), seen;
	const char *name = step_word(&args);
	unsigned expected;

	if (way < 0 || step_number(script, step_word(&args), &expected) < 0)
		return -1;
	seen = world_messages(step_world(script), (enum world_way)way, name);
	if (seen < 0)
		return step_fail(script, "%s: no such message", name);
	return equal(script, name, expected, (unsigned)seen);
}

int step_boots(struct script *script, char *args)
{
	const char *service = step_word(&args);
	unsigned expected;

	if (step_number(script, step_word(&args), &expected) < 0)
		return -1;
	return equal(script, "boots", expected, world_boots(step_world(script), service));
}

int step_domains(struct script *script, char *args)
{
	unsigned expected;

	if (step_number(script, step_word(&args), &expected) < 0)
		return -1;
	return equal(script, "domains", expected, world_domains(step_world(script)));
}

int step_upstream(struct script *script, char *args)
{
	static const char *const kinds[] = { "silent", "answers" };
	const char *kind = step_word(&args);
	unsigned expected;
	int i;

	if (isdigit((unsigned char)*kind))
		return step_number(script, kind, &expected) < 0
			       ? -1
			       : equal(script, "queries upstream", expected,
				       world_upstream_queries(step_world(script)));
	i = one_of(script, kind, kinds, 2);
	if (i < 0)
		return -1;
	world_upstream(step_world(script), i == 1);
	return 0;
}
