/* The verbs that move a service or change it, and who waits for the end of that. */
#ifndef JITSU_ENGINE_ORDERS_H
#define JITSU_ENGINE_ORDERS_H

#include <stdbool.h>

struct engine;
struct service;

/* It may be in another state: those whose wait is over get their answer. */
void orders_changed(struct service *service);
/* Does anybody wait for it? */
bool orders_waited(const struct service *service);
/* Answers those who still wait. */
void orders_end(struct engine *engine);

#endif
