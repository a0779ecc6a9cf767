#include "engine/tell.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "engine/inside.h"
#include "proto/message.h"
#include "proto/spec.h"

#define NAMES_MAX     (64 * 256) /* see spec.tbl.h */
#define ADDRESSES_MAX (64 * 17)
#define ONE_MAX	      (NAMES_MAX + ADDRESSES_MAX + 64)
#define MESSAGE_FILL  (48 * 1024) /* several of them fit the socket */

static uint32_t wire_name(const char *name, uint8_t *out)
{
	uint8_t *label = out, *at = out + 1;

	for (; *name; name++) {
		if (*name == '.') {
			*label = (uint8_t)(at - label - 1);
			label = at++;
		} else {
			*at++ = (uint8_t)*name;
		}
	}
	*label = (uint8_t)(at - label - 1);
	*at++ = 0;
	return (uint32_t)(at - out);
}

static uint8_t flags_of(const struct engine *engine, const struct spec *spec)
{
	uint8_t flags = 0;

	if (service_given(spec->ptr, engine->config.ptr))
		flags |= MESSAGE_SERVICE_PTR;
	if (spec->wake_any)
		flags |= MESSAGE_SERVICE_WAKE_ANY;
	if (!spec_wakes_by(spec, SPEC_WAKE_DNS))
		flags |= MESSAGE_SERVICE_ALWAYS;
	return flags;
}

/* names and addresses hold NAMES_MAX and ADDRESSES_MAX bytes, and are pointed into. */
static struct msg_service describe(const struct engine *engine, uint32_t id,
				   const struct spec *spec, bool ready, uint8_t *names,
				   uint8_t *addresses)
{
	uint32_t names_size = 0, addresses_size = 0;

	for (size_t i = 0; i < spec->dns.n; i++)
		names_size += wire_name(spec->dns.v[i], names + names_size);
	for (size_t i = 0; i < spec->ip.n; i++) {
		bool v4 = spec->ip.v[i].family == AF_INET;

		addresses[addresses_size++] = v4 ? 4 : 6;
		memcpy(addresses + addresses_size, spec->ip.v[i].bytes, v4 ? 4 : 16);
		addresses_size += v4 ? 4 : 16;
	}
	return (struct msg_service){
		.id = id,
		.ttl = (uint32_t)service_given(spec->ttl, engine->config.ttl),
		.wait_limit = (uint32_t)service_given(spec->wait_limit, engine->config.wait_limit),
		.ready = ready,
		.flags = flags_of(engine, spec),
		.names = { names, names_size },
		.addresses = { addresses, addresses_size },
	};
}

void tell_add(struct tell_bundle *bundle, const struct engine *engine, uint32_t id,
	      const struct spec *spec, bool ready)
{
	uint8_t names[NAMES_MAX], addresses[ADDRESSES_MAX];
	struct msg_service m = describe(engine, id, spec, ready, names, addresses);
	uint32_t size;

	if (bundle->room - bundle->size < ONE_MAX) {
		bundle->room = 2 * bundle->room + ONE_MAX;
		bundle->data = realloc(bundle->data, bundle->room);
		if (!bundle->data)
			abort();
	}
	size = (uint32_t)message_pack_service(bundle->data + bundle->size + sizeof size,
					      bundle->room - bundle->size - sizeof size, &m);
	memcpy(bundle->data + bundle->size, &size, sizeof size);
	bundle->size += sizeof size + size;
}

void tell_add_service(struct tell_bundle *bundle, const struct service *service)
{
	tell_add(bundle, service->engine, service->id, service->spec,
		 service->state == LIFECYCLE_READY);
}

void tell_send(struct tell_bundle *bundle, struct link *dns)
{
	size_t at = 0;

	while (dns && at < bundle->size) {
		size_t start = at;
		uint32_t size;

		do {
			memcpy(&size, bundle->data + at, sizeof size);
			at += sizeof size + size;
		} while (at < bundle->size && at - start < MESSAGE_FILL);
		message_send_services(dns,
				      &(struct msg_services){ .list = { bundle->data + start,
									(uint32_t)(at - start) } });
	}
	bundle->size = 0;
}

void tell_free(struct tell_bundle *bundle)
{
	free(bundle->data);
	*bundle = (struct tell_bundle){ 0 };
}

void service_tell(const struct service *service, struct link *dns)
{
	uint8_t names[NAMES_MAX], addresses[ADDRESSES_MAX];
	struct msg_service m = describe(service->engine, service->id, service->spec,
					service->state == LIFECYCLE_READY, names, addresses);

	message_send_service(dns, &m);
}
