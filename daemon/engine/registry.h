/*
 * The services in memory: by id, name, address, UUID and domain. Each look-up and each change has
 * a constant cost. A DNS name may be shared by several services; all the rest belongs to one.
 *
 * A service that is being removed keeps its id, name, addresses and UUID until its domain is gone.
 *
 * Most services rest: nobody has asked for them, and nothing is known of them but what the store
 * has. Such a one has its id and its keys here, and no struct service. Whatever looks one up gets
 * it woken: made from the store.
 */
#ifndef JITSU_ENGINE_REGISTRY_H
#define JITSU_ENGINE_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct registry;
struct service;
struct spec;

#define REGISTRY_NO_ID UINT32_MAX

/* What a service carries for the registry. */
struct registry_entry {
	bool has_domain;
};

/* Makes the service of a resting one's id and calls registry_woken; NULL if that fails. */
typedef struct service *registry_wake_fn(void *arg, uint32_t id);

struct registry *registry_new(void);
void registry_on_wake(struct registry *registry, registry_wake_fn *wake, void *arg);
/* The services stay the caller's. */
void registry_free(struct registry *registry);

/* Would this specification be in the way of another service than `self` (NULL: of any)? 0, or -1
 * with a conflict that names the other one, or busy if that one is just being removed. */
int registry_check(const struct registry *registry, const struct spec *spec,
		   const struct service *self, struct error *err);
/* The same where no other service has its name, and its UUID was just made, if so. */
int registry_check_unnamed(const struct registry *registry, const struct spec *spec,
			   const struct service *self, bool made, struct error *err);

/* The lowest id that is free, REGISTRY_NO_ID if none is. */
uint32_t registry_free_id(const struct registry *registry);

/* service->id must be free and its specification checked. */
void registry_put(struct registry *registry, struct service *service);
void registry_remove(struct registry *registry, struct service *service);
/* The same of one that rests. */
void registry_put_resting(struct registry *registry, uint32_t id, const struct spec *spec);
void registry_remove_resting(struct registry *registry, uint32_t id, const struct spec *spec);
/* It goes to rest, and the service stays the caller's; it is awake again. */
void registry_rest(struct registry *registry, struct service *service);
void registry_woken(struct registry *registry, struct service *service);

/* The ids that may have that name, one after the other, without waking any: *at begins as 0.
 * REGISTRY_NO_ID at the end. No service may come or go meanwhile. */
uint32_t registry_maybe_named(const struct registry *registry, const char *name, size_t *at);

/* One that is awake; NULL if it rests, or there is none. */
struct service *registry_awake(const struct registry *registry, uint32_t id);
bool registry_has(const struct registry *registry, uint32_t id);
/* Exchanges the specification, which must have been checked; returns the old one. */
struct spec *registry_replace_spec(struct registry *registry, struct service *service,
				   struct spec *spec);

struct service *registry_by_id(const struct registry *registry, uint32_t id);
struct service *registry_by_name(const struct registry *registry, const char *name);
struct service *registry_by_uuid(const struct registry *registry, const uint8_t uuid[16]);
struct service *registry_by_domid(const struct registry *registry, uint32_t domid);

/* Its domain, from here on; service->domid is set. An earlier one is forgotten. */
void registry_set_domid(struct registry *registry, struct service *service, uint32_t domid);
void registry_clear_domid(struct registry *registry, struct service *service);

/* Every id is below this: for loops with registry_awake, which may remove as they go. */
uint32_t registry_end(const struct registry *registry);

#endif
