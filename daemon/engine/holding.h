/* What Synjitsu is to do for each service, which follows from its state alone. */
#ifndef JITSU_ENGINE_HOLDING_H
#define JITSU_ENGINE_HOLDING_H

struct engine;
struct service;

/* Its state, its domain or its specification may be another: what changed of its hold is told. */
void holding_update(struct service *service);
/* A new toolstack, surveyed, knows of no hold: all are told again. */
void holding_begin(struct engine *engine);
/* A packet came for it while it sleeps. */
struct msg_knock;
void holding_knock(struct engine *engine, const struct msg_knock *m);

#endif
