/* What dns is told of services: their message `service`, alone or many together. */
#ifndef JITSU_ENGINE_TELL_H
#define JITSU_ENGINE_TELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine;
struct link;
struct service;
struct spec;

/* Descriptions that wait to be sent together. Zeros are an empty one. */
struct tell_bundle {
	uint8_t *data;
	size_t size, room;
};

void tell_add(struct tell_bundle *bundle, const struct engine *engine, uint32_t id,
	      const struct spec *spec, bool ready);
void tell_add_service(struct tell_bundle *bundle, const struct service *service);
/* Sends them, and empties it. Without a link they are dropped. */
void tell_send(struct tell_bundle *bundle, struct link *dns);
void tell_free(struct tell_bundle *bundle);

#endif
