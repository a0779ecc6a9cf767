/*
 * What the engine is told of domains: the sink of the backend's reports (backend.h), and of
 * Synjitsu's. Inside of toolstack.c.
 */
#ifndef JITSU_TOOLSTACK_REPORT_H
#define JITSU_TOOLSTACK_REPORT_H

#include <stdint.h>

#include "proto/bytes.h"
#include "toolstack/backend.h"

struct error;
struct toolstack;

/* Its argument is the toolstack. */
extern const struct backend_sink report_sink;

/* A synjitsu_knock_fn; its argument is the toolstack. */
void report_knock(void *arg, uint32_t id, struct bytes source);

/* These are sent whatever the state: there has to be an engine. */
void report_start_failed(struct toolstack *toolstack, uint32_t id, uint32_t boot,
			 const struct error *err);
void report_memory(struct toolstack *toolstack, const struct backend_host *host);

#endif
