/*
 * What the control methods do, without a word about transport or envelope: one function for each
 * line of proto/control.tbl.h.
 */
#ifndef JITSU_ENGINE_VERBS_H
#define JITSU_ENGINE_VERBS_H

struct engine;
struct error;
struct json_object;

/* Called exactly once: with a result, which it takes over, or with an error (result NULL). May be
 * called before the verb returns. */
typedef void verb_done(void *arg, struct json_object *result, const struct error *err);

/* params has been checked against the method's table and stays the caller's. */
typedef void verb_fn(struct engine *engine, struct json_object *params, verb_done *done, void *arg);

/* verb_rpc_discover is discover.c's, verb_events_subscribe dispatch.c's, those
 * that move or change a service orders.c's, the others verbs.c's. The objects that they answer with
 * are described by the FIELD lines. */
#define METHOD(id, name, access, params, result, help) verb_fn verb_##id;
#include "proto/control.tbl.h"

/* Answers those who still wait for the end of a removal. */
void verbs_end(struct engine *engine);

#endif
