#include "engine/rest.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/feed.h"
#include "engine/inside.h"
#include "engine/orders.h"
#include "engine/store.h"
#include "proto/spec.h"

bool rest_never(const struct spec *spec)
{
	return spec->pinned || spec_wakes_by(spec, SPEC_WAKE_PACKET);
}

static bool may_rest(const struct service *service)
{
	const struct failure *failure = &service->failure;

	return service->state == LIFECYCLE_OFF && !service->staged && !service->doomed &&
	       !service->image && !service->revive && !service->parked && !service->boot_ordered &&
	       !service->failures && !service->record.want && !service->cause.now &&
	       !service->entry.has_domain && !service->notice && !service->gone &&
	       !failure->error && !failure->death && !failure->console && !failure->in_row &&
	       !failure->retry_at && !(service->timer && timer_armed(service->timer)) &&
	       !rest_never(service->spec) && !orders_waited(service);
}

static void consider_all(void *arg)
{
	struct engine *engine = arg;
	struct service *service;

	while ((service = TAILQ_FIRST(&engine->considered))) {
		rest_forget(service);
		if (may_rest(service))
			service_rest(service);
	}
}

void rest_consider(struct service *service)
{
	struct engine *engine = service->engine;

	if (service->considered)
		return;
	if (!engine->rest_timer)
		engine->rest_timer = timer_new(engine->loop, consider_all, engine);
	if (!engine->rest_timer)
		abort();
	service->considered = true;
	TAILQ_INSERT_TAIL(&engine->considered, service, rest);
	if (!timer_armed(engine->rest_timer))
		timer_set(engine->rest_timer, 0);
}

void rest_forget(struct service *service)
{
	if (service->considered)
		TAILQ_REMOVE(&service->engine->considered, service, rest);
	service->considered = false;
}

static int wake(void *arg, uint32_t id, const char *name, const char *text, int64_t added,
		bool doomed, struct error *err)
{
	struct engine *engine = arg;
	struct spec *spec = spec_from_text(text, true, err);

	(void)doomed;
	if (!spec)
		return error_wrap(err, "service %s in the store", name);
	service_wake(engine, id, spec, text, added);
	return 0;
}

struct service *rest_wake(void *arg, uint32_t id)
{
	struct engine *engine = arg;
	struct service *service;
	struct error err;

	if (store_get(engine->store, id, wake, engine, &err) < 0) {
		log_error("%s", err.text);
		return NULL;
	}
	service = registry_awake(engine->registry, id);
	feed_woken(service);
	rest_consider(service);
	return service;
}

void rest_end(struct engine *engine)
{
	timer_free(TAKE(engine->rest_timer));
}
