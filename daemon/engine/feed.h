/*
 * How dns gets the whole table after a connect. table_begin and the services that are awake go out
 * at once; those that rest follow in pieces, by id, as fast as dns takes them; then table_end. What
 * happens to a service meanwhile is told as ever, for dns knows it by then: one that wakes before
 * its turn is told first.
 */
#ifndef JITSU_ENGINE_FEED_H
#define JITSU_ENGINE_FEED_H

struct engine;
struct service;

/* There is a new connection to dns. */
void feed_begin(struct engine *engine);
/* The connection is gone, or the engine ends. */
void feed_end(struct engine *engine);
/* It rested a moment ago. */
void feed_woken(struct service *service);

#endif
