#include "engine/feed.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/link.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/inside.h"
#include "engine/store.h"
#include "engine/tell.h"
#include "proto/message.h"
#include "proto/spec.h"

#define PIECE	   1000u	/* services a turn */
#define QUEUED_MAX (256 * 1024) /* with more before it, dns is let to catch up */
#define CATCH_UP   (1 * USEC_PER_MSEC)

struct feed {
	struct timer *timer;
	struct tell_bundle bundle;
	uint32_t next; /* id; all below have been told */
	unsigned told; /* in this turn */
};

static int one(void *arg, uint32_t id, const char *name, const char *text, int64_t added,
	       bool doomed, struct error *err)
{
	struct engine *engine = arg;
	struct feed *feed = engine->feed;
	cleanup_spec struct spec *spec = NULL;

	(void)added;
	(void)doomed;
	feed->next = id + 1;
	feed->told++;
	if (registry_awake(engine->registry, id))
		return 0;
	spec = spec_from_text(text, true, err);
	if (!spec) { /* it was read before: the store is damaged since */
		log_error("service %s in the store: %s", name, err->text);
		return 0;
	}
	tell_add(&feed->bundle, engine, id, spec, false);
	return 0;
}

static void finish(struct engine *engine)
{
	message_send_table_end(engine->dns, &(struct msg_table_end){ 0 });
	feed_end(engine);
	/* The table said that these are not ready, which is what `retire` asked for. */
	for (uint32_t id = 0; id < registry_end(engine->registry); id++) {
		struct service *service = registry_awake(engine->registry, id);

		if (service && service->state == LIFECYCLE_RETIRING)
			service_retired(service);
	}
}

static void go_on(void *arg)
{
	struct engine *engine = arg;
	struct feed *feed = engine->feed;
	struct error err;

	if (link_queued(engine->dns) > QUEUED_MAX) {
		timer_set(feed->timer, CATCH_UP);
		return;
	}
	feed->told = 0;
	if (store_from(engine->store, feed->next, PIECE, one, engine, &err) < 0) {
		log_error("dns does not get all services: %s", err.text);
		feed->told = 0;
	}
	tell_send(&feed->bundle, engine->dns);
	if (feed->told == PIECE)
		timer_set(feed->timer, 0);
	else
		finish(engine);
}

void feed_begin(struct engine *engine)
{
	struct feed *feed;
	uint32_t count = 0;

	feed_end(engine);
	feed = engine->feed = calloc(1, sizeof *feed);
	if (!feed || !(feed->timer = timer_new(engine->loop, go_on, engine)))
		abort();
	for (enum lifecycle_state state = 0; state < LIFECYCLE_STATES; state++)
		if (lifecycle_public(state) != LIFECYCLE_PUBLIC_REMOVED)
			count += (uint32_t)engine->states[state];
	message_send_table_begin(engine->dns, &(struct msg_table_begin){ .count = count });
	for (uint32_t id = 0; id < registry_end(engine->registry); id++) {
		const struct service *service = registry_awake(engine->registry, id);

		if (service && !service_removed(service))
			tell_add_service(&feed->bundle, service);
	}
	tell_send(&feed->bundle, engine->dns);
	go_on(engine);
}

void feed_end(struct engine *engine)
{
	struct feed *feed = engine->feed;

	if (!feed)
		return;
	timer_free(feed->timer);
	tell_free(&feed->bundle);
	free(feed);
	engine->feed = NULL;
}

void feed_woken(struct service *service)
{
	struct engine *engine = service->engine;

	if (engine->feed && service->id >= engine->feed->next)
		service_tell(service, engine->dns);
}
