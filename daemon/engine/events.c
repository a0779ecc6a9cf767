#include "engine/events.h"

#include <json-c/json.h>

#include "engine/control.h"
#include "engine/inside.h"
#include "proto/spec.h"

static void publish(const struct service *service, const char *kind, const char *from,
		    const char *to, const char *why)
{
	const struct {
		const char *key, *text;
	} members[] = { { "kind", kind },
			{ "service", service->spec->name },
			{ "from", from },
			{ "to", to },
			{ "why", why } };
	struct json_object *event;

	if (!service->engine->control)
		return;
	event = json_object_new_object();
	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
		if (members[i].text)
			json_object_object_add(event, members[i].key,
					       json_object_new_string(members[i].text));
	control_publish(service->engine->control, event);
}

void event_state(const struct service *service, const char *from, const char *to, const char *why)
{
	publish(service, "state", from, to, why);
}

void event_failure(const struct service *service, const char *why)
{
	publish(service, "failure", NULL, NULL, why);
}

void event_added(const struct service *service)
{
	publish(service, "added", NULL, NULL, NULL);
}

void event_removed(const struct service *service)
{
	publish(service, "removed", NULL, NULL, NULL);
}

void event_changed(const struct service *service)
{
	publish(service, "changed", NULL, NULL, NULL);
}
