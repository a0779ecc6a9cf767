#include "engine/registry.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
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
	struct service **slots;
	uint32_t slot_count; /* allocated */
	uint32_t end;
	uint64_t *free_ids[LEVELS];
	struct index names, uuids, addresses, domains;
};

struct registry *registry_new(void)
{
	struct registry *registry = calloc(1, sizeof *registry);

	if (!registry)
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

int registry_check(const struct registry *registry, const struct spec *spec,
		   const struct service *self, struct error *err)
{
	const struct service *other = registry_by_name(registry, spec->name);
	char text[INET6_ADDRSTRLEN];

	if (other && other != self)
		return conflict(other, "name", spec->name, err);
	for (size_t i = 0; i < spec->ip.n; i++) {
		other = index_get(&registry->addresses, &spec->ip.v[i], sizeof spec->ip.v[i]);
		if (!other || other == self)
			continue;
		inet_ntop(spec->ip.v[i].family, spec->ip.v[i].bytes, text, sizeof text);
		return conflict(other, "ip", text, err);
	}
	other = spec->has_uuid ? registry_by_uuid(registry, spec->uuid) : NULL;
	if (other && other != self)
		return conflict(other, "uuid", NULL, err);
	return 0;
}

static void put_keys(struct registry *registry, struct service *service)
{
	struct registry_entry *entry = &service->entry;
	const struct spec *spec = service->spec;

	index_put(&registry->names, &entry->name, spec->name, strlen(spec->name), service);
	index_put(&registry->uuids, &entry->uuid, spec->uuid, sizeof spec->uuid, service);
	entry->addresses = calloc(spec->ip.n, sizeof *entry->addresses);
	if (!entry->addresses)
		abort();
	for (size_t i = 0; i < spec->ip.n; i++)
		index_put(&registry->addresses, &entry->addresses[i], &spec->ip.v[i],
			  sizeof spec->ip.v[i], service);
}

static void remove_keys(struct registry *registry, struct service *service)
{
	struct registry_entry *entry = &service->entry;

	index_remove(&registry->names, &entry->name);
	index_remove(&registry->uuids, &entry->uuid);
	for (size_t i = 0; i < service->spec->ip.n; i++)
		index_remove(&registry->addresses, &entry->addresses[i]);
	free(entry->addresses);
	entry->addresses = NULL;
}

void registry_put(struct registry *registry, struct service *service)
{
	uint32_t id = service->id;

	if (id >= registry->slot_count) {
		uint32_t count = registry->slot_count ? registry->slot_count : 64;

		while (count <= id)
			count *= 2;
		registry->slots = reallocarray(registry->slots, count, sizeof *registry->slots);
		if (!registry->slots)
			abort();
		memset(registry->slots + registry->slot_count, 0,
		       (count - registry->slot_count) * sizeof *registry->slots);
		registry->slot_count = count;
	}
	registry->slots[id] = service;
	if (id >= registry->end)
		registry->end = id + 1;
	mark_id(registry, id, false);
	put_keys(registry, service);
}

void registry_remove(struct registry *registry, struct service *service)
{
	registry_clear_domid(registry, service);
	remove_keys(registry, service);
	registry->slots[service->id] = NULL;
	mark_id(registry, service->id, true);
	while (registry->end && !registry->slots[registry->end - 1])
		registry->end--;
}

struct spec *registry_replace_spec(struct registry *registry, struct service *service,
				   struct spec *spec)
{
	struct spec *old = service->spec;

	remove_keys(registry, service);
	service->spec = spec;
	put_keys(registry, service);
	return old;
}

struct service *registry_by_id(const struct registry *registry, uint32_t id)
{
	return id < registry->end ? registry->slots[id] : NULL;
}

struct service *registry_by_name(const struct registry *registry, const char *name)
{
	return index_get(&registry->names, name, strlen(name));
}

struct service *registry_by_uuid(const struct registry *registry, const uint8_t uuid[16])
{
	return index_get(&registry->uuids, uuid, 16);
}

struct service *registry_by_domid(const struct registry *registry, uint32_t domid)
{
	return index_get(&registry->domains, &domid, sizeof domid);
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
	index_put(&registry->domains, &service->entry.domain, &service->domid,
		  sizeof service->domid, service);
	service->entry.has_domain = true;
}

void registry_clear_domid(struct registry *registry, struct service *service)
{
	if (!service->entry.has_domain)
		return;
	index_remove(&registry->domains, &service->entry.domain);
	service->entry.has_domain = false;
}

uint32_t registry_end(const struct registry *registry)
{
	return registry->end;
}
