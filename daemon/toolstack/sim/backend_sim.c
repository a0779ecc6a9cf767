/* A backend without any VM: timers stand for builds, frames, deaths and stops. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/error.h"
#include "base/loop.h"
#include "toolstack/backend.h"

#define BOOT_MS		20
#define FRAME_MS	30
#define STOP_MS		5
#define MEMORY_KIB	(UINT64_C(64) * 1024 * 1024)
#define MEMORY_DEFAULT	1024
#define REASON_POWEROFF 0 /* as libxl_shutdown_reason */
#define BUCKETS		4096

enum phase { BUILDING, BOOTING, RUNNING, SHUT_DOWN, STOPPING };

/* A simulated domain: one timer, which ends the phase that it is in. */
struct sim {
	struct backend *backend;
	enum phase phase;
	uint32_t id, boot, domid;
	uint64_t began;
	struct spec *spec;
	bool conflict; /* its name was taken */
	struct timer *timer;
	LIST_ENTRY(sim) by_name, by_domid;
};

LIST_HEAD(sims, sim);

/* A stop that is under way; its domain may be gone already. */
struct stop {
	struct backend *backend;
	uint32_t id, domid;
	struct timer *timer;
	LIST_ENTRY(stop) entry;
};

struct backend {
	struct loop *loop;
	struct backend_sink sink;
	void *arg;
	uint32_t last_domid;
	unsigned busy;
	uint64_t memory_used;
	struct sims names[BUCKETS], domids[BUCKETS];
	LIST_HEAD(, stop) stops;
};

static int64_t or_default(int64_t value, int64_t fallback)
{
	return value == SPEC_UNSET ? fallback : value;
}

static struct backend *sim_open(struct loop *loop, unsigned boots, const struct backend_sink *sink,
				void *arg, struct error *err)
{
	struct backend *backend = calloc(1, sizeof *backend);

	(void)boots;
	if (!backend) {
		error_errno(err, "cannot open the simulated backend");
		return NULL;
	}
	*backend = (struct backend){ .loop = loop, .sink = *sink, .arg = arg };
	LIST_INIT(&backend->stops);
	return backend;
}

static uint64_t memory_of(const struct spec *spec)
{
	return spec->memory ? spec->memory : MEMORY_DEFAULT;
}

static struct sims *names_of(struct backend *backend, const char *name)
{
	uint32_t hash = 5381;

	for (; *name; name++)
		hash = hash * 33 + (unsigned char)*name;
	return &backend->names[hash % BUCKETS];
}

static bool name_is_taken(struct backend *backend, const char *name)
{
	const struct sim *sim;

	LIST_FOREACH(sim, names_of(backend, name), by_name)
		if (strcmp(sim->spec->name, name) == 0)
			return true;
	return false;
}

static struct sim *find(struct backend *backend, uint32_t domid)
{
	struct sim *sim;

	LIST_FOREACH(sim, &backend->domids[domid % BUCKETS], by_domid)
		if (sim->domid == domid)
			return sim;
	return NULL;
}

static void sim_free(struct sim *sim)
{
	LIST_REMOVE(sim, by_name);
	if (sim->domid)
		LIST_REMOVE(sim, by_domid);
	sim->backend->memory_used -= memory_of(sim->spec);
	timer_free(sim->timer);
	spec_free(sim->spec);
	free(sim);
}

static void stop_free(struct stop *stop)
{
	LIST_REMOVE(stop, entry);
	timer_free(stop->timer);
	free(stop);
}

static void sim_close(struct backend *backend)
{
	struct sim *sim;
	struct stop *stop;

	for (size_t i = 0; i < BUCKETS; i++)
		while ((sim = LIST_FIRST(&backend->names[i])))
			sim_free(sim);
	while ((stop = LIST_FIRST(&backend->stops)))
		stop_free(stop);
	free(backend);
}

static int sim_check(struct backend *backend, const struct spec *spec, struct error *err)
{
	(void)backend;
	(void)spec;
	(void)err;
	return 0;
}

static void arm_death(struct sim *sim)
{
	sim->phase = RUNNING;
	if (sim->spec->sim_death != SPEC_UNSET)
		timer_set(sim->timer, (uint64_t)sim->spec->sim_death * USEC_PER_MSEC);
}

/* The end of the build: it fails, or the domain is there. */
static void end_build(struct sim *sim)
{
	struct backend *backend = sim->backend;
	struct error err;

	backend->busy--;
	if (sim->conflict || sim->spec->sim_fail) {
		uint32_t id = sim->id, boot = sim->boot;

		if (sim->conflict)
			error_field(&err, ERROR_CONFLICT, "name", sim->spec->name,
				    "a domain of that name is there already");
		else
			error_set(&err, ERROR_SYSTEM, "%s", sim->spec->sim_fail);
		sim_free(sim);
		backend->sink.start_failed(backend->arg, id, boot, &err);
		return;
	}
	sim->domid = ++backend->last_domid;
	LIST_INSERT_HEAD(&backend->domids[sim->domid % BUCKETS], sim, by_domid);
	if (sim->spec->nic.n > 0) {
		sim->phase = BOOTING;
		timer_set(sim->timer,
			  (uint64_t)or_default(sim->spec->sim_frame, FRAME_MS) * USEC_PER_MSEC);
	} else {
		arm_death(sim);
	}
	backend->sink.created(backend->arg, sim->id, sim->boot, sim->domid, sim->began,
			      loop_now(backend->loop));
}

static void on_sim(void *arg)
{
	struct sim *sim = arg;
	struct backend *backend = sim->backend;

	switch (sim->phase) {
	case BUILDING:
		end_build(sim);
		break;
	case BOOTING:
		arm_death(sim);
		backend->sink.frame(backend->arg, sim->id, sim->boot, loop_now(backend->loop));
		break;
	case RUNNING:
		sim->phase = SHUT_DOWN;
		backend->sink.died(backend->arg, sim->domid, REASON_POWEROFF);
		break;
	case SHUT_DOWN:
	case STOPPING:
		break;
	}
}

static void sim_start(struct backend *backend, uint32_t id, uint32_t boot, struct spec *spec)
{
	struct sim *sim = calloc(1, sizeof *sim);

	if (!sim)
		abort();
	*sim = (struct sim){ .backend = backend, .id = id, .boot = boot, .spec = spec };
	sim->conflict = name_is_taken(backend, spec->name);
	sim->began = loop_now(backend->loop);
	sim->timer = timer_new(backend->loop, on_sim, sim);
	if (!sim->timer)
		abort();
	timer_set(sim->timer,
		  sim->conflict ? 0
				: (uint64_t)or_default(spec->sim_boot, BOOT_MS) * USEC_PER_MSEC);
	LIST_INSERT_HEAD(names_of(backend, spec->name), sim, by_name);
	backend->memory_used += memory_of(spec);
	backend->busy++;
}

static void on_stop(void *arg)
{
	struct stop *stop = arg;
	struct backend *backend = stop->backend;
	struct sim *sim = find(backend, stop->domid);
	uint32_t id = stop->id, domid = stop->domid;

	if (sim)
		sim_free(sim);
	stop_free(stop);
	backend->busy--;
	backend->sink.stopped(backend->arg, id, domid, NULL);
}

static void sim_stop(struct backend *backend, uint32_t id, uint32_t domid, enum spec_stop_mode mode,
		     uint32_t limit)
{
	struct stop *stop = calloc(1, sizeof *stop);
	struct sim *sim = domid ? find(backend, domid) : NULL;
	int64_t wait = sim ? or_default(sim->spec->sim_stop, STOP_MS) : 0;

	(void)mode;
	(void)limit;
	if (!stop)
		abort();
	*stop = (struct stop){ .backend = backend, .id = id, .domid = domid };
	stop->timer = timer_new(backend->loop, on_stop, stop);
	if (!stop->timer)
		abort();
	timer_set(stop->timer, (uint64_t)wait * USEC_PER_MSEC);
	LIST_INSERT_HEAD(&backend->stops, stop, entry);
	backend->busy++;
	if (sim) {
		sim->phase = STOPPING;
		timer_cancel(sim->timer);
	}
}

static int sim_survey(struct backend *backend,
		      void (*each)(void *arg, const struct backend_domain *domain), void *arg,
		      struct backend_host *host, struct error *err)
{
	uint64_t used = backend->memory_used < MEMORY_KIB ? backend->memory_used : MEMORY_KIB;
	const struct sim *sim;

	(void)err;
	for (size_t i = 0; i < BUCKETS; i++) {
		LIST_FOREACH(sim, &backend->domids[i], by_domid) {
			struct backend_domain domain = { .domid = sim->domid, .whole = true };

			domain.running = sim->phase == BOOTING || sim->phase == RUNNING;
			memcpy(domain.uuid, sim->spec->uuid, sizeof domain.uuid);
			snprintf(domain.service, sizeof domain.service, "%s", sim->spec->name);
			each(arg, &domain);
		}
	}
	*host = (struct backend_host){ .memory_free = MEMORY_KIB - used,
				       .memory_total = MEMORY_KIB,
				       .version = "simulated" };
	return 0;
}

static unsigned sim_busy(const struct backend *backend)
{
	return backend->busy;
}

const struct backend_table backend_sim = {
	.name = "sim",
	.simulated = true,
	.open = sim_open,
	.close = sim_close,
	.check = sim_check,
	.start = sim_start,
	.stop = sim_stop,
	.survey = sim_survey,
	.busy = sim_busy,
};
