/*
 * Services that rest. One that is off, that nobody has asked for since the engine began, and of
 * which nothing is left to remember is no struct service: its id and its keys are in the registry,
 * its specification is in the store. It is woken when somebody looks it up (see registry.h), and
 * goes to rest again when, in a later turn of the loop, there still is nothing to remember of it.
 * So who keeps a pointer to a service beyond the turn in which it was looked up must be among what
 * may_rest in rest.c asks for.
 */
#ifndef JITSU_ENGINE_REST_H
#define JITSU_ENGINE_REST_H

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct service;
struct spec;

/* What this specification asks for is to be seen to even if nobody asks for the service. */
bool rest_never(const struct spec *spec);
/* For registry_on_wake; the argument is the engine. */
struct service *rest_wake(void *arg, uint32_t id);
/* It may have nothing to remember: it is looked at in the next turn. */
void rest_consider(struct service *service);
/* It is about to be freed. */
void rest_forget(struct service *service);
void rest_end(struct engine *engine);

#endif
