/*
 * The services given at start are read in the background, a piece a turn of the loop, entry by
 * entry. What is there already stays; what differs is changed if it is off; what is wrong is
 * logged.
 *
 * A new one takes the way of a service.add. But of a large file only the first of its kind is
 * checked by the toolstack: of those that follow and are the same but for name, dns, ip and uuid,
 * the answer is known. Those go straight to rest (rest.h), many with one write to the disk, and are
 * told to dns together when they are on it. Nothing is logged of each; a line at the end says how
 * many there were. While somebody has subscribed to events, each takes the long way, with its
 * event.
 */
#ifndef JITSU_ENGINE_LOAD_H
#define JITSU_ENGINE_LOAD_H

#include <stdbool.h>

struct engine;
struct engine_config;
struct error;

void load_begin(struct engine *engine, const struct engine_config *config);
/* What was stored is on disk, or nothing of it is (err). */
void load_committed(struct engine *engine, const struct error *err);
/* There is something that is stored and not on disk yet. */
bool load_staged(const struct engine *engine);
/* Nothing more is read; then, when there are no admissions any more, the end. */
void load_stop(struct engine *engine);
void load_end(struct engine *engine);

#endif
