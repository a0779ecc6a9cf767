#include "engine/registry.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "engine/index.h"
#include "engine/service.h"
#include "proto/spec.h"
#include "proto/usage.h"

/* Free ids as a tree of bits, 64 to a word: a set bit says that there is one free below. */
#define LEVELS	  4
#define WORD_BITS 64

static const uint32_t level_words[LEVELS] = {
	USAGE_SLOTS / WORD_BITS,
	USAGE_SLOTS / WORD_BITS / WORD_BITS,
	USAGE_SLOTS / WORD_BITS / WORD_BITS / WORD_BITS,
	1,
};

struct registry {
	struct service *
		*slots; /* all that there can be: of those that rest the memory is never touched */
	uint32_t end;
	uint64_t *free_ids[LEVELS];
	struct index names, uuids, addresses, domains;
	registry_wake_fn *wake;
	void *wake_arg;
};

struct registry *registry_new(void)
{
	struct registry *registry = calloc(1, sizeof *registry);

	if (!registry)
		abort();
	registry->slots = calloc(USAGE_SLOTS, sizeof *registry->slots);
	if (!registry->slots)
		abort();
	for (int level = 0; level < LEVELS; level++) {
		registry->free_ids[level] = malloc(level_words[level] * sizeof(uint64_t));
		if (!registry->free_ids[level])
			abort();
		memset(registry->free_ids[level], 0xff, level_words[level] * sizeof(uint64_t));
	}
	registry->free_ids[LEVELS - 1][0] =
		(UINT64_C(1) << level_words[LEVELS - 2]) - 1; /* the top has fewer than 64 */
	return registry;
}

void registry_free(struct registry *registry)
{
	if (!registry)
		return;
	for (int level = 0; level < LEVELS; level++)
		free(registry->free_ids[level]);
	index_clear(&registry->names);
	index_clear(&registry->uuids);
	index_clear(&registry->addresses);
	index_clear(&registry->domains);
	free(registry->slots);
	free(registry);
}

uint32_t registry_free_id(const struct registry *registry)
{
	uint32_t at = 0;

	for (int level = LEVELS - 1; level >= 0; level--) {
		uint64_t word = registry->free_ids[level][at];

		if (!word)
			return REGISTRY_NO_ID;
		at = at * WORD_BITS + (uint32_t)__builtin_ctzll(word);
	}
	return at;
}

static void mark_id(struct registry *registry, uint32_t id, bool is_free)
{
	for (int level = 0; level < LEVELS; level++) {
		uint64_t *word = &registry->free_ids[level][id / WORD_BITS];
		uint64_t before = *word, bit = UINT64_C(1) << id % WORD_BITS;

		*word = is_free ? *word | bit : *word & ~bit;
		if (!before == !*word)
			return; /* nothing new for the level above */
		id /= WORD_BITS;
	}
}

static int conflict(const struct service *other, const char *field, const char *value,
		    struct error *err)
{
	if (service_removed(other) && !other->staged)
		return error_field(err, ERROR_BUSY, field, value,
				   "service \"%s\", which has it, is just being removed; "
				   "expected again in a moment",
				   other->spec->name);
	if (strcmp(field, "name") == 0)
		return error_field(err, ERROR_CONFLICT, field, value,
				   "there is a service of this name; expected another");
	return error_field(err, ERROR_CONFLICT, field, value,
			   "service \"%s\" has it; expected another", other->spec->name);
}

/* The service that is meant by a key: index_next gives candidates, `is` compares. */
typedef bool is_fn(const struct service *service, const void *key, size_t size);

static struct service *find(const struct registry *registry, const struct index *index,
			    const void *key, size_t size, is_fn *is)
{
	uint64_t hash = index_hash(key, size);
	size_t at = 0;
	uint32_t id;

	while ((id = index_next(index, hash, &at)) != INDEX_NONE) {
		struct service *service = registry_by_id(registry, id);

		if (service && is(service, key, size))
			return service;
	}
	return NULL;
}

static bool is_named(const struct service *service, const void *key, size_t size)
{
	return strlen(service->spec->name) == size && memcmp(service->spec->name, key, size) == 0;
}

static bool is_at(const struct service *service, const void *key, size_t size)
{
	for (size_t i = 0; i < service->spec->ip.n; i++)
		if (memcmp(&service->spec->ip.v[i], key, size) == 0)
			return true;
	return false;
}

static bool is_uuid(const struct service *service, const void *key, size_t size)
{
	return memcmp(service->spec->uuid, key, size) == 0;
}

static bool is_domain(const struct service *service, const void *key, size_t size)
{
	return service->entry.has_domain && memcmp(&service->domid, key, size) == 0;
}

int registry_check_unnamed(const struct registry *registry, const struct spec *spec,
			   const struct service *self, bool made, struct error *err)
{
	const struct service *other;
	char text[INET6_ADDRSTRLEN];

	for (size_t i = 0; i < spec->ip.n; i++) {
		other = find(registry, &registry->addresses, &spec->ip.v[i], sizeof spec->ip.v[i],
			     is_at);
		if (!other || other == self)
			continue;
		inet_ntop(spec->ip.v[i].family, spec->ip.v[i].bytes, text, sizeof text);
		return conflict(other, "ip", text, err);
	}
	other = spec->has_uuid && !made ? registry_by_uuid(registry, spec->uuid) : NULL;
	if (other && other != self)
		return conflict(other, "uuid", NULL, err);
	return 0;
}

int registry_check(const struct registry *registry, const struct spec *spec,
		   const struct service *self, struct error *err)
{
	const struct service *other = registry_by_name(registry, spec->name);

	if (other && other != self)
		return conflict(other, "name", spec->name, err);
	return registry_check_unnamed(registry, spec, self, false, err);
}

static void change_keys(struct registry *registry, uint32_t id, const struct spec *spec,
			void change(struct index *index, uint64_t hash, uint32_t id))
{
	change(&registry->names, index_hash(spec->name, strlen(spec->name)), id);
	change(&registry->uuids, index_hash(spec->uuid, sizeof spec->uuid), id);
	for (size_t i = 0; i < spec->ip.n; i++)
		change(&registry->addresses, index_hash(&spec->ip.v[i], sizeof spec->ip.v[i]), id);
}

static void take_id(struct registry *registry, uint32_t id)
{
	if (id >= registry->end)
		registry->end = id + 1;
	mark_id(registry, id, false);
}

static void give_id(struct registry *registry, uint32_t id)
{
	if (registry->slots[id])
		registry->slots[id] = NULL;
	mark_id(registry, id, true);
	while (registry->end && !registry_has(registry, registry->end - 1))
		registry->end--;
}

void registry_put(struct registry *registry, struct service *service)
{
	take_id(registry, service->id);
	registry->slots[service->id] = service;
	change_keys(registry, service->id, service->spec, index_put);
}

void registry_remove(struct registry *registry, struct service *service)
{
	registry_clear_domid(registry, service);
	change_keys(registry, service->id, service->spec, index_remove);
	give_id(registry, service->id);
}

void registry_put_resting(struct registry *registry, uint32_t id, const struct spec *spec)
{
	take_id(registry, id);
	change_keys(registry, id, spec, index_put);
}

void registry_remove_resting(struct registry *registry, uint32_t id, const struct spec *spec)
{
	change_keys(registry, id, spec, index_remove);
	give_id(registry, id);
}

void registry_rest(struct registry *registry, struct service *service)
{
	registry->slots[service->id] = NULL;
}

void registry_woken(struct registry *registry, struct service *service)
{
	registry->slots[service->id] = service;
}

struct spec *registry_replace_spec(struct registry *registry, struct service *service,
				   struct spec *spec)
{
	struct spec *old = service->spec;

	change_keys(registry, service->id, old, index_remove);
	service->spec = spec;
	change_keys(registry, service->id, spec, index_put);
	return old;
}

void registry_on_wake(struct registry *registry, registry_wake_fn *wake, void *arg)
{
	registry->wake = wake;
	registry->wake_arg = arg;
}

bool registry_has(const struct registry *registry, uint32_t id)
{
	return id < registry->end &&
	       !(registry->free_ids[0][id / WORD_BITS] & UINT64_C(1) << id % WORD_BITS);
}

struct service *registry_awake(const struct registry *registry, uint32_t id)
{
	return id < registry->end ? registry->slots[id] : NULL;
}

struct service *registry_by_id(const struct registry *registry, uint32_t id)
{
	struct service *service = registry_awake(registry, id);

	if (service || !registry->wake || !registry_has(registry, id))
		return service;
	return registry->wake(registry->wake_arg, id);
}

struct service *registry_by_name(const struct registry *registry, const char *name)
{
	return find(registry, &registry->names, name, strlen(name), is_named);
}

uint32_t registry_maybe_named(const struct registry *registry, const char *name, size_t *at)
{
	_Static_assert(INDEX_NONE == REGISTRY_NO_ID, "the end of both");
	return index_next(&registry->names, index_hash(name, strlen(name)), at);
}

struct service *registry_by_uuid(const struct registry *registry, const uint8_t uuid[16])
{
	return find(registry, &registry->uuids, uuid, 16, is_uuid);
}

struct service *registry_by_domid(const struct registry *registry, uint32_t domid)
{
	return find(registry, &registry->domains, &domid, sizeof domid, is_domain);
}

void registry_set_domid(struct registry *registry, struct service *service, uint32_t domid)
{
	struct service *other = registry_by_domid(registry, domid);

	if (other == service)
		return;
	/* Xen gave the number anew: what we knew of it is out of date. */
	if (other)
		registry_clear_domid(registry, other);
	registry_clear_domid(registry, service);
	service->domid = domid;
	index_put(&registry->domains, index_hash(&domid, sizeof domid), service->id);
	service->entry.has_domain = true;
}

void registry_clear_domid(struct registry *registry, struct service *service)
{
	if (!service->entry.has_domain)
		return;
	index_remove(&registry->domains, index_hash(&service->domid, sizeof service->domid),
		     service->id);
	service->entry.has_domain = false;
}

uint32_t registry_end(const struct registry *registry)
{
	return registry->end;
}
