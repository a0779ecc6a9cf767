/*
 * The signs that a booting guest is ready: wait_for_key, then ready_port, then the first frame out
 * of a vif, each only if asked for and no longer than its own limit. The frame is awaited where
 * there is a nic and neither of the others is asked for. A sign that does not come within its
 * limit is written down and taken as given. Of a restored guest its port is awaited, or else,
 * in place of the frame, that its first nic is connected again.
 *
 * A guest that a survey found is looked at in the same way, its limits and its delay counting from
 * when it was created; what must be ready by now is not.
 */
#ifndef JITSU_ENGINE_READY_H
#define JITSU_ENGINE_READY_H

#include <stdint.h>

struct probe;
struct service;

enum ready_sign { READY_KEY, READY_PORT, READY_FRAME, READY_SIGNS };

/* What a service carries for it. */
struct ready {
	enum ready_sign awaited; /* in state BOOTING; READY_SIGNS none */
	struct probe *probe;
};

const char *ready_sign_name(enum ready_sign sign);

/* Its response_delay in µs, and the time from which on that counts. */
uint64_t ready_delay(const struct service *service);
uint64_t ready_serving(const struct service *service);

/* It runs: LIFECYCLE_EVENT_SERVING comes, perhaps by way of service->then. */
void ready_begin(struct service *service);
/* A sign has come: its time is in the record. */
void ready_look(struct service *service);
/* The state's timer. */
void ready_limit(struct service *service);
/* It is no longer awaited. */
void ready_end(struct service *service);

#endif
