#include "engine/holding.h"

#include <arpa/inet.h>

#include "base/log.h"
#include "engine/inside.h"
#include "proto/message.h"
#include "proto/spec.h"

/* By state; ASLEEP only where packets wake. A guest that retires may be in use yet. */
static enum message_hold hold_of(const struct service *service)
{
	const struct spec *spec = service->spec;
	bool packet = spec_wakes_by(spec, SPEC_WAKE_PACKET);

	if (!packet && !spec->use_synjitsu)
		return MESSAGE_HOLD_NONE;
	switch (service->state) {
	case LIFECYCLE_READY:
	case LIFECYCLE_RETIRING:
		return MESSAGE_HOLD_READY;
	case LIFECYCLE_KEPT:
		return MESSAGE_HOLD_NONE;
	default:
		break;
	}
	switch (lifecycle_public(service->state)) {
	case LIFECYCLE_PUBLIC_STARTING:
		return MESSAGE_HOLD_STARTING;
	case LIFECYCLE_PUBLIC_REMOVED:
		return MESSAGE_HOLD_NONE;
	default:
		return packet ? MESSAGE_HOLD_ASLEEP : MESSAGE_HOLD_NONE;
	}
}

/* A port that is known to take connections; 0 if none is. */
static uint16_t known_port(const struct service *service)
{
	return service->spec->ready_port != SPEC_UNSET && service->record.port
		       ? (uint16_t)service->spec->ready_port
		       : 0;
}

void holding_update(struct service *service)
{
	struct engine *engine = service->engine;
	enum message_hold hold = hold_of(service);
	uint32_t domid = service->entry.has_domain ? service->domid : 0;

	if (!engine->surveyed || !engine->config.synjitsu)
		return;
	if (hold == service->hold && (hold == MESSAGE_HOLD_NONE || hold == MESSAGE_HOLD_ASLEEP ||
				      domid == service->hold_domid))
		return;
	service->hold = (uint8_t)hold;
	service->hold_domid = domid;
	message_send_hold(engine->toolstack, &(struct msg_hold){ .id = service->id,
								 .how = (uint8_t)hold,
								 .domid = domid,
								 .port = known_port(service),
								 .spec = service->json });
}

void holding_begin(struct engine *engine)
{
	for (uint32_t id = 0; id < registry_end(engine->registry); id++) {
		struct service *service = registry_awake(engine->registry, id);

		if (!service)
			continue;
		service->hold = MESSAGE_HOLD_NONE;
		holding_update(service);
	}
}

void holding_knock(struct engine *engine, const struct msg_knock *m)
{
	struct service *service = registry_by_id(engine->registry, m->id);
	char source[INET6_ADDRSTRLEN] = "an unknown address";

	if (!service || !spec_wakes_by(service->spec, SPEC_WAKE_PACKET))
		return;
	if (m->source.size == 4 || m->source.size == 16)
		inet_ntop(m->source.size == 4 ? AF_INET : AF_INET6, m->source.data, source,
			  sizeof source);
	cause_say(service, CAUSE_PACKET, source);
	service_knock(service, m->at);
}
