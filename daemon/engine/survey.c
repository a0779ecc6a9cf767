#include "engine/survey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/holding.h"
#include "engine/inside.h"
#include "engine/room.h"
#include "proto/message.h"
#include "proto/spec.h"

static void domains_add(struct engine_domains *domains, const struct engine_domain *domain)
{
	domains->v = reallocarray(domains->v, domains->n + 1, sizeof *domains->v);
	if (!domains->v)
		abort();
	domains->v[domains->n++] = *domain;
}

static void domains_remove(struct engine_domains *domains, size_t i)
{
	memmove(&domains->v[i], &domains->v[i + 1], (domains->n - i - 1) * sizeof *domains->v);
	domains->n--;
}

static void domains_clear(struct engine_domains *domains)
{
	free(domains->v);
	*domains = (struct engine_domains){ 0 };
}

void survey_gone(struct engine *engine, uint32_t domid)
{
	for (size_t i = 0; i < engine->orphans.n; i++) {
		if (engine->orphans.v[i].domid == domid) {
			domains_remove(&engine->orphans, i);
			return;
		}
	}
}

static enum service_found finding(const struct msg_found *m)
{
	return !m->whole    ? SERVICE_BROKEN
	       : m->paused  ? SERVICE_PAUSED
	       : m->running ? SERVICE_RUNNING
			    : SERVICE_SHUT_DOWN;
}

/* The image becomes the service's. True if there was one. */
static bool claim_image(struct engine *engine, struct service *service)
{
	struct engine_images *images = &engine->images;

	for (size_t i = 0; i < images->n; i++) {
		if (memcmp(images->v[i], service->spec->uuid, sizeof images->v[i]) != 0)
			continue;
		memmove(images->v[i], images->v[images->n - 1], sizeof images->v[i]);
		images->n--;
		service->image = true;
		return true;
	}
	return false;
}

/* Each image's service has it; what is left is of none. */
static void claim_images(struct engine *engine)
{
	struct engine_images *images = &engine->images;
	size_t left = 0;

	for (size_t i = 0; i < images->n; i++) {
		struct service *service = registry_by_uuid(engine->registry, images->v[i]);

		if (service)
			service->image = true;
		else
			memmove(images->v[left++], images->v[i], sizeof images->v[i]);
	}
	images->n = left;
}

bool survey_knows(const struct engine *engine, const uint8_t uuid[16])
{
	for (size_t i = 0; i < engine->orphans.n; i++)
		if (memcmp(engine->orphans.v[i].uuid, uuid, 16) == 0)
			return true;
	for (size_t i = 0; i < engine->images.n; i++)
		if (memcmp(engine->images.v[i], uuid, 16) == 0)
			return true;
	return false;
}

void survey_claim(struct engine *engine, struct service *service)
{
	bool image = claim_image(engine, service);

	for (size_t i = 0; i < engine->orphans.n; i++) {
		struct engine_domain domain = engine->orphans.v[i];

		if (memcmp(domain.uuid, service->spec->uuid, sizeof domain.uuid) != 0)
			continue;
		domains_remove(&engine->orphans, i);
		service_found(service, &domain);
		return;
	}
	if (image)
		service_absent(service);
}

void survey_found(struct engine *engine, const struct msg_found *m)
{
	struct engine_domain domain = {
		.domid = m->domid,
		.finding = finding(m),
		.restored = m->restored,
		.created = m->created,
	};

	if (m->uuid.size != sizeof domain.uuid) {
		log_error("toolstack: domain %u has a UUID of %u bytes", m->domid, m->uuid.size);
		return;
	}
	memcpy(domain.uuid, m->uuid.data, sizeof domain.uuid);
	snprintf(domain.service, sizeof domain.service, "%s", m->service);
	domains_add(&engine->found, &domain);
}

void survey_image(struct engine *engine, const struct msg_image *m)
{
	struct engine_images *images = &engine->images;

	if (m->uuid.size != sizeof *images->v) {
		log_error("toolstack: an image has a UUID of %u bytes", m->uuid.size);
		return;
	}
	images->v = reallocarray(images->v, images->n + 1, sizeof *images->v);
	if (!images->v)
		abort();
	memcpy(images->v[images->n++], m->uuid.data, sizeof *images->v);
}

static void images_clear(struct engine_images *images)
{
	free(images->v);
	*images = (struct engine_images){ 0 };
}

static bool domain_lives(const struct engine_domain *domain)
{
	return domain->finding == SERVICE_RUNNING || domain->finding == SERVICE_PAUSED;
}

static void found_one(struct engine *engine, const struct engine_domain *domain)
{
	struct service *service = registry_by_uuid(engine->registry, domain->uuid);

	if (service && service->survey != engine->survey) {
		service->survey = engine->survey;
		service_found(service, domain);
	} else if (service) {
		log_error("domain %u has the UUID of service %s, as domain %u has", domain->domid,
			  service->spec->name, service->domid);
		domains_add(&engine->orphans, domain);
	} else if (domain->service[0]) {
		log_warning("domain %u was started for service %s, which does not exist%s",
			    domain->domid, domain->service,
			    domain->finding != SERVICE_BROKEN ? ""
							      : "; half-built, it is destroyed");
		domains_add(&engine->orphans, domain);
		if (domain->finding == SERVICE_BROKEN)
			message_send_stop(engine->toolstack,
					  &(struct msg_stop){ .id = REGISTRY_NO_ID,
							      .domid = domain->domid,
							      .mode = SPEC_STOP_DESTROY });
	}
}

void survey_end(struct engine *engine, const struct msg_survey_end *m)
{
	room_memory(engine, m->memory_free, m->memory_total);
	free(engine->backend_version);
	engine->backend_version = strdup(m->version);
	if (!engine->backend_version)
		abort();
	engine->surveyed = true;
	engine->survey++;
	domains_clear(&engine->orphans);
	/* Nothing is started before each service knows what there is of it. */
	engine->pump_held = true;
	for (uint32_t id = 0; id < registry_end(engine->registry); id++) {
		struct service *service = registry_awake(engine->registry, id);

		if (service)
			service->image = false;
	}
	claim_images(engine);
	for (int pass = 0; pass < 2; pass++) { /* of two with one UUID the one that runs */
		for (size_t i = 0; i < engine->found.n; i++) {
			const struct engine_domain *domain = &engine->found.v[i];

			if (domain_lives(domain) == (pass == 0))
				found_one(engine, domain);
		}
	}
	domains_clear(&engine->found);
	for (uint32_t id = 0; id < registry_end(engine->registry); id++) {
		struct service *service = registry_awake(engine->registry, id);

		if (service && service->survey != engine->survey)
			service_absent(service);
	}
	if (engine->images.n)
		log_warning("%zu suspend images are of no service", engine->images.n);
	for (uint32_t id = 0; id < registry_end(engine->registry); id++) {
		struct service *service = registry_awake(engine->registry, id);

		if (service && service->spec->pinned && !service->parked)
			service_revive(service);
	}
	holding_begin(engine);
	engine->pump_held = false;
	log_info("toolstack: %s %s, %llu of %llu MiB free", m->backend, m->version,
		 (unsigned long long)(m->memory_free / 1024),
		 (unsigned long long)(m->memory_total / 1024));
	engine_pump(engine);
}

void survey_begin(struct engine *engine)
{
	domains_clear(&engine->found);
	images_clear(&engine->images);
}

void survey_free(struct engine *engine)
{
	survey_begin(engine);
	domains_clear(&engine->orphans);
}
