#include "engine/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/link.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/admit.h"
#include "engine/control.h"
#include "engine/index.h"
#include "engine/inside.h"
#include "engine/rest.h"
#include "engine/store.h"
#include "engine/survey.h"
#include "engine/tell.h"
#include "proto/entries.h"
#include "proto/message.h"
#include "proto/spec.h"
#include "proto/usage.h"

#define PIECE	   256		 /* entries a turn */
#define GROUP_MAX  8192		 /* services with one write to the disk */
#define ASKED_MAX  256		 /* questions to the toolstack under way */
#define KINDS	   1024		 /* whose answers are known */
#define SHOWN_MAX  100		 /* refusals that are logged one by one */
#define QUEUED_MAX (1024 * 1024) /* to dns: with more it is let to catch up */
#define CATCH_UP   (1 * USEC_PER_MSEC)

/* Where an entry stands. */
struct place {
	const char *path; /* NULL: in no file */
	size_t entry;
};

/* An entry that was read. */
struct given {
	struct load *load;
	struct spec *spec;
	char *json;
	uint64_t kind;
	bool made; /* its UUID was */
	char name[64];
	struct place place;
};

struct staged {
	uint32_t id;
	char *json;
};

struct load {
	struct engine *engine;
	struct timer *timer;
	bool stopped;
	/* Where they come from. */
	char **texts;
	size_t text_count, text;
	const struct engine_source *sources;
	size_t source_count, source;
	struct entries *entries; /* of the source */
	/* What waits for the toolstack. */
	struct given *held; /* read, and of the kind that was asked for last */
	uint64_t asked_kind, known[KINDS];
	unsigned asked;
	/* Stored together, and not on disk yet. */
	struct staged *group;
	size_t group_count;
	struct tell_bundle bundle;

	size_t taken, there, refused;
};

/* name: NULL if it is not known. */
static void refuse(struct load *load, struct place place, const char *name, const char *why)
{
	char where[512] = "";

	if (load->refused++ >= SHOWN_MAX) {
		if (load->refused == SHOWN_MAX + 1)
			log_error("more services that are given at start are refused");
		return;
	}
	if (place.path)
		snprintf(where, sizeof where, "%.400s: entry %zu: ", place.path, place.entry);
	if (name)
		log_error("%sservice %s, given at start: %s", where, name, why);
	else
		log_error("%sa service given at start: %s", where, why);
}

static void given_free(struct given *given)
{
	if (!given)
		return;
	spec_free(given->spec);
	free(given->json);
	free(given);
}

/* Reading */

/* 1 and the next text, with where it stands; 0 if there is none. */
static int next_text(struct load *load, const char **text, struct place *place)
{
	const struct engine_source *source;
	struct error err;
	size_t size;
	int r;

	*place = (struct place){ 0 };
	if (load->text < load->text_count) {
		*text = load->texts[load->text++];
		return 1;
	}
	for (; load->source < load->source_count; load->source++) {
		source = &load->sources[load->source];
		if (!load->entries)
			load->entries = entries_new(source->fd, false);
		r = entries_next(load->entries, text, &size, &err);
		if (r > 0) {
			*place = (struct place){ source->path, entries_count(load->entries) - 1 };
			return 1;
		}
		if (r < 0)
			log_error("%s: %s; what follows is not read", source->path, err.text);
		entries_free(TAKE(load->entries));
	}
	return 0;
}

/* NULL: refused. */
static struct given *read_one(struct load *load, const char *text, struct place place)
{
	struct given *given;
	struct error err;
	struct spec *spec = spec_from_text(text, load->engine->config.simulated, &err);

	if (!spec) {
		cleanup_free char *name = spec_text_name(text);

		refuse(load, place, name, err.text);
		return NULL;
	}
	given = malloc(sizeof *given);
	if (!given)
		abort();
	*given = (struct given){ .load = load, .spec = spec, .place = place };
	strcpy(given->name, spec->name); /* at most 63 bytes, see spec.tbl.h */
	return given;
}

/* Taking */

static uint64_t *known(struct load *load, uint64_t kind)
{
	return &load->known[kind % KINDS];
}

static void on_timer(void *arg);

static void go_on(struct load *load, uint64_t usec)
{
	if (!load->stopped && !timer_armed(load->timer))
		timer_set(load->timer, usec);
}

static void on_given(void *arg, struct service *service, const struct error *err)
{
	struct given *given = arg;
	struct load *load = given->load;

	load->asked--;
	if (service) {
		load->taken++;
		*known(load, given->kind) = given->kind;
	} else if (!load->stopped) {
		refuse(load, given->place, given->name, err->text);
	}
	given_free(given);
	go_on(load, 0);
}

static void write_out(struct given *given)
{
	size_t size, common;

	given->json = spec_to_text(given->spec, &size, &common);
	given->kind = index_hash(given->json + common, size - common) | 1;
}

/* Looks at the one that is there, whose text that is; without a UUID of its own it gets that one's.
 */
static bool is_same(struct given *given, const char *text)
{
	if (!given->spec->has_uuid)
		spec_take_uuid(given->spec, text);
	admit_make_uuid(given->load->engine, given->spec);
	write_out(given);
	return strcmp(given->json, text) == 0;
}

struct namesake {
	struct given *given;
	bool found, same;
};

static int on_namesake(void *arg, uint32_t id, const char *name, const char *text, int64_t added,
		       bool doomed, struct error *err)
{
	struct namesake *namesake = arg;

	(void)id, (void)added, (void)doomed, (void)err;
	namesake->found = strcmp(name, namesake->given->name) == 0;
	namesake->same = namesake->found && is_same(namesake->given, text);
	return 0;
}

/* *named: one of this name is, be it that it is just being removed. One that rests is not woken for
 * that. */
static bool is_there(struct engine *engine, struct given *given, bool *named)
{
	struct namesake namesake = { .given = given };
	struct error err;
	size_t at = 0;
	uint32_t id;

	while (!namesake.found &&
	       (id = registry_maybe_named(engine->registry, given->name, &at)) != REGISTRY_NO_ID) {
		struct service *service = registry_awake(engine->registry, id);

		if (!service) {
			if (store_get(engine->store, id, on_namesake, &namesake, &err) < 0)
				log_error("%s", err.text);
			continue;
		}
		namesake.found = strcmp(service->spec->name, given->name) == 0;
		if (namesake.found && !service_removed(service))
			namesake.same = is_same(given, service->json);
	}
	*named = namesake.found;
	if (!given->json) {
		given->made = !given->spec->has_uuid;
		admit_make_uuid(engine, given->spec);
		write_out(given);
	}
	return namesake.same;
}

/* Into the store, the registry, and what dns will be told; none is there of its name. Takes given. */
static void stage(struct load *load, struct given *given)
{
	struct engine *engine = load->engine;
	uint32_t id = registry_free_id(engine->registry);
	struct error err;

	if (registry_check_unnamed(engine->registry, given->spec, NULL, given->made, &err) < 0) {
		refuse(load, given->place, given->name, err.text);
	} else if (id == REGISTRY_NO_ID) {
		refuse(load, given->place, given->name, "there is no room for more services");
	} else if (store_begin(engine->store, &err) < 0 ||
		   store_add(engine->store, id, given->name, given->json, (int64_t)time(NULL),
			     &err) < 0) {
		refuse(load, given->place, given->name, err.text);
	} else {
		registry_put_resting(engine->registry, id, given->spec);
		engine->states[LIFECYCLE_OFF]++;
		tell_add(&load->bundle, engine, id, given->spec, false);
		load->group[load->group_count++] = (struct staged){ id, TAKE(given->json) };
	}
	given_free(given);
}

/* What needs to be seen to beyond being stored takes the way of a service.add, and all does while
 * somebody is to hear of each. */
static bool is_simple(const struct engine *engine, const struct given *given)
{
	return given->place.path && !control_watched(engine->control) && !rest_never(given->spec) &&
	       !given->spec->rumprun_config && !survey_knows(engine, given->spec->uuid);
}

/* False: it is held until the toolstack has answered. Takes given. */
static bool take(struct load *load, struct given *given)
{
	struct engine *engine = load->engine;
	bool named;

	if (given->json) {
		named = registry_by_name(engine->registry, given->name) != NULL;
	} else if (is_there(engine, given, &named)) {
		load->there++;
		given_free(given);
		return true;
	}
	if (!named && *known(load, given->kind) == given->kind && is_simple(engine, given)) {
		stage(load, given);
		return true;
	}
	if (load->asked && (load->asked_kind == given->kind || load->asked == ASKED_MAX)) {
		load->held = given;
		return false;
	}
	load->asked++;
	load->asked_kind = given->kind;
	free(TAKE(given->json));
	admit_given(engine, TAKE(given->spec), on_given, given);
	return true;
}

static void finish(struct load *load)
{
	if (load->taken + load->there + load->refused)
		log_info("services given at start: %zu taken, %zu were there, %zu refused",
			 load->taken, load->there, load->refused);
	load_end(load->engine);
}

/* A piece; the rest from the loop. */
static void on_timer(void *arg)
{
	struct load *load = arg;
	struct engine *engine = load->engine;
	struct given *given;
	const char *text;
	struct place place;

	for (unsigned i = 0; i < PIECE && load->group_count < GROUP_MAX; i++) {
		if (load->held)
			given = TAKE(load->held);
		else if (next_text(load, &text, &place))
			given = read_one(load, text, place);
		else
			break;
		if (!given || take(load, given))
			continue;
		if (load->group_count) /* the answer may be long in coming */
			admit_commit(engine, 0);
		return;
	}
	if (load->group_count == GROUP_MAX) {
		admit_commit(engine, 0);
	} else if (load->text < load->text_count || load->source < load->source_count) {
		go_on(load, engine->dns && link_queued(engine->dns) > QUEUED_MAX ? CATCH_UP : 0);
	} else if (load->group_count) {
		admit_commit(engine, 0);
	} else if (!load->asked) {
		finish(load);
	}
}

/* The disk */

/* It is nowhere any more. */
static void undo(struct engine *engine, const struct staged *staged)
{
	struct service *service = registry_awake(engine->registry, staged->id);

	if (engine->dns)
		message_send_forget(engine->dns, &(struct msg_forget){ .id = staged->id });
	usage_clear(&engine->config.usage[staged->id]);
	if (service) {
		service_free(service);
	} else {
		cleanup_spec struct spec *spec = spec_from_text(staged->json, true, NULL);

		registry_remove_resting(engine->registry, staged->id, spec);
		engine->states[LIFECYCLE_OFF]--;
	}
}

bool load_staged(const struct engine *engine)
{
	return engine->load && engine->load->group_count;
}

void load_committed(struct engine *engine, const struct error *err)
{
	struct load *load = engine->load;

	if (!load || !load->group_count)
		return;
	if (err) {
		log_error(
			"%zu services given at start are not stored, and what follows is not read: "
			"%s",
			load->group_count, err->text);
		load->text = load->text_count;
		load->source = load->source_count;
		load->bundle.size = 0;
	}
	for (size_t i = 0; i < load->group_count; i++) {
		if (err)
			undo(engine, &load->group[i]);
		free(load->group[i].json);
	}
	*(err ? &load->refused : &load->taken) += load->group_count;
	load->group_count = 0;
	tell_send(&load->bundle, engine->dns);
	go_on(load, 0);
}

/* Begin and end */

void load_begin(struct engine *engine, const struct engine_config *config)
{
	struct load *load = calloc(1, sizeof *load);

	if (!load)
		abort();
	engine->load = load;
	*load = (struct load){ .engine = engine,
			       .timer = timer_new(engine->loop, on_timer, load),
			       .texts = calloc(config->service_count + 1, sizeof *load->texts),
			       .text_count = config->service_count,
			       .sources = config->sources,
			       .source_count = config->source_count,
			       .group = calloc(GROUP_MAX, sizeof *load->group) };
	if (!load->timer || !load->texts || !load->group)
		abort();
	for (size_t i = 0; i < config->service_count; i++)
		if (!(load->texts[i] = strdup(config->services[i])))
			abort();
	on_timer(load);
}

void load_stop(struct engine *engine)
{
	if (!engine->load)
		return;
	engine->load->stopped = true;
	timer_cancel(engine->load->timer);
}

void load_end(struct engine *engine)
{
	struct load *load = TAKE(engine->load);

	if (!load)
		return;
	timer_free(load->timer);
	for (size_t i = 0; i < load->text_count; i++)
		free(load->texts[i]);
	free(load->texts);
	entries_free(load->entries);
	given_free(load->held);
	free(load->group);
	tell_free(&load->bundle);
	free(load);
}
