/*
 * How a service gets in: checks of its own are done (spec.h), then conflicts, then the toolstack is
 * asked whether it could start it, then conflicts again, then store, registry and dns. Until then
 * nothing of it is anywhere. A change of a service takes the same way.
 */
#ifndef JITSU_ENGINE_ADMIT_H
#define JITSU_ENGINE_ADMIT_H

#include <stdbool.h>

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

/* The services given at start, in the background: what is there already stays, what differs is
 * changed if it is off, what is wrong is logged. */
void admit_declared(struct engine *engine);

/* A new toolstack: what it was not asked yet, or has not answered, it is asked (again). */
void admit_ask(struct engine *engine);
void admit_checked(struct engine *engine, const struct msg_checked *m);

/* Ends all with an error. */
void admit_end(struct engine *engine);

#endif
