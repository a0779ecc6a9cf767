/*
 * How a service gets in: checks of its own are done (spec.h), then conflicts, then the toolstack is
 * asked whether it could start it, then conflicts again, then store, registry and dns. Until then
 * nothing of it is anywhere. A change of a service takes the same way.
 */
#ifndef JITSU_ENGINE_ADMIT_H
#define JITSU_ENGINE_ADMIT_H

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct error;
struct msg_checked;
struct service;
struct spec;

/* Called exactly once: with the new service, or NULL and an error. */
typedef void admit_done(void *arg, struct service *service, const struct error *err);

/* Takes spec. A UUID is made if it has none. May call back before it returns. */
void admit(struct engine *engine, struct spec *spec, admit_done *done, void *arg);

/* The same for another specification of a service: its name and UUID stay. Takes spec. `check`: the
 * toolstack is asked, which else is not needed. */
void admit_change(struct service *service, struct spec *spec, bool check, admit_done *done,
		  void *arg);

/* The same for one given at start, which may be there (what differs is changed if it is off), and
 * for which nobody waits: the toolstack takes as long as it takes. Takes spec, which has its UUID. */
void admit_given(struct engine *engine, struct spec *spec, admit_done *done, void *arg);

/* What is in the store's group is written to the disk in so many µs, and told. */
void admit_commit(struct engine *engine, uint64_t usec);

/* At once, before something is done to a service that may be among them. */
void admit_flush(struct engine *engine);

void admit_make_uuid(struct engine *engine, struct spec *spec);

/* A new toolstack: what it was not asked yet, or has not answered, it is asked (again). */
void admit_ask(struct engine *engine);
void admit_checked(struct engine *engine, const struct msg_checked *m);

/* Ends all with an error. */
void admit_end(struct engine *engine);

#endif
