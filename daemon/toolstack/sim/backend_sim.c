/* A backend without any VM: timers stand for builds, frames, deaths and all that takes time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"
#include "toolstack/backend.h"

#define BOOT_MS	       20
#define FRAME_MS       30
#define STOP_MS	       5
#define WAKE_MS	       2
#define SUSPEND_MS     20
#define RESTORE_MS     10
#define MEMORY_KIB     (UINT64_C(64) * 1024 * 1024)
#define MEMORY_DEFAULT 1024
#define BUCKETS	       4096

enum phase { BUILDING, BOOTING, RUNNING, SHUT_DOWN, PAUSED, STOPPING };

/* A simulated domain: one timer, which ends the phase that it is in. */
struct sim {
	struct backend *backend;
	enum phase phase, before; /* before: the one that a pause or a stop has interrupted */
	uint32_t id, boot, domid;
	uint64_t began, created, heard, keyed; /* when; 0: not yet */
	bool restoring;
	const char *note; /* why it is booted although it was to be restored; "" if not */
	bool was_paused;  /* when its stop began */
	struct spec *spec;
	bool conflict; /* its name was taken */
	struct timer *timer, *key;
	uint64_t left, key_left;  /* µs of its timers when it was interrupted */
	uint64_t due, key_due;	  /* when they fire; 0: never */
	uint64_t ran, runs_since; /* µs that it ran before, and when it went on (0: it does not) */
	LIST_ENTRY(sim) by_name, by_domid;
};

LIST_HEAD(sims, sim);

/* A stop or wake that is under way; its domain may be gone already. */
struct deed {
	struct backend *backend;
	void (*end)(struct backend *backend, const struct deed *deed, struct sim *sim);
	uint32_t id, boot, domid;
	bool patient; /* it waits for a guest that does not hear */
	struct timer *timer;
	LIST_ENTRY(deed) entry;
};

/* A suspend image. */
struct image {
	uint8_t uuid[16];
	uint64_t digest; /* of the specification that its domain was made from */
	LIST_ENTRY(image) entry;
};

struct backend {
	struct loop *loop;
	struct backend_sink sink;
	void *arg;
	uint32_t last_domid;
	unsigned busy;
	uint64_t memory_used;
	struct sims names[BUCKETS], domids[BUCKETS];
	LIST_HEAD(, deed) deeds;
	LIST_HEAD(images, image) images[BUCKETS];
};

static uint64_t usec(int64_t msec, unsigned fallback)
{
	return (msec == SPEC_UNSET ? fallback : (uint64_t)msec) * USEC_PER_MSEC;
}

static struct backend *sim_open(struct loop *loop, const struct backend_config *config,
				const struct backend_sink *sink, void *arg, struct error *err)
{
	struct backend *backend = calloc(1, sizeof *backend);

	(void)config;
	if (!backend) {
		error_errno(err, "cannot open the simulated backend");
		return NULL;
	}
	*backend = (struct backend){ .loop = loop, .sink = *sink, .arg = arg };
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
	timer_free(sim->key);
	spec_free(sim->spec);
	free(sim);
}

static void deed_free(struct deed *deed)
{
	LIST_REMOVE(deed, entry);
	timer_free(deed->timer);
	free(deed);
}

/* Suspend images */

static struct images *images_of(struct backend *backend, const uint8_t uuid[16])
{
	uint32_t hash = 0;

	for (size_t i = 0; i < 16; i++)
		hash = hash * 31 + uuid[i];
	return &backend->images[hash % BUCKETS];
}

static struct image *find_image(struct backend *backend, const uint8_t uuid[16])
{
	struct image *image;

	LIST_FOREACH(image, images_of(backend, uuid), entry)
		if (memcmp(image->uuid, uuid, 16) == 0)
			return image;
	return NULL;
}

static void sim_discard(struct backend *backend, const uint8_t uuid[16])
{
	struct image *image = find_image(backend, uuid);

	if (image)
		LIST_REMOVE(image, entry);
	free(image);
}

static void keep_image(struct backend *backend, const struct spec *spec)
{
	struct image *image = calloc(1, sizeof *image);

	if (!image)
		abort();
	sim_discard(backend, spec->uuid);
	memcpy(image->uuid, spec->uuid, sizeof image->uuid);
	image->digest = spec_digest(spec);
	LIST_INSERT_HEAD(images_of(backend, spec->uuid), image, entry);
}

static void sim_close(struct backend *backend)
{
	struct sim *sim;
	struct deed *deed;
	struct image *image;

	for (size_t i = 0; i < BUCKETS; i++) {
		while ((sim = LIST_FIRST(&backend->names[i])))
			sim_free(sim);
		while ((image = LIST_FIRST(&backend->images[i]))) {
			LIST_REMOVE(image, entry);
			free(image);
		}
	}
	while ((deed = LIST_FIRST(&backend->deeds)))
		deed_free(deed);
	free(backend);
}

static int sim_check(struct backend *backend, const struct spec *spec, char **addition,
		     struct error *err)
{
	(void)backend;
	(void)addition;
	if (spec->ip.n == 0)
		return error_field(err, ERROR_INPUT, "ip", NULL,
				   "missing; expected, since the backend sim does not read "
				   "rumprun_config");
	return 0;
}

/* A domain's time: its timers, which a pause or a stop interrupts, and how long it ran */

static void set_due(struct sim *sim, uint64_t wait)
{
	sim->due = loop_now(sim->backend->loop) + wait;
	timer_set(sim->timer, wait);
}

static void set_key_due(struct sim *sim, uint64_t wait)
{
	sim->key_due = loop_now(sim->backend->loop) + wait;
	timer_set(sim->key, wait);
}

static void interrupt(struct sim *sim, enum phase phase)
{
	uint64_t now = loop_now(sim->backend->loop);

	if (sim->phase == BOOTING || sim->phase == RUNNING || sim->phase == SHUT_DOWN)
		sim->before = sim->phase;
	sim->phase = phase;
	if (timer_armed(sim->timer))
		sim->left = sim->due > now ? sim->due - now : 0;
	if (timer_armed(sim->key))
		sim->key_left = sim->key_due > now ? sim->key_due - now : 0;
	timer_cancel(sim->timer);
	timer_cancel(sim->key);
	if (sim->runs_since)
		sim->ran += now - sim->runs_since;
	sim->runs_since = 0;
}

static void go_on(struct sim *sim)
{
	sim->phase = sim->before;
	sim->runs_since = loop_now(sim->backend->loop);
	if (sim->due)
		set_due(sim, sim->left);
	if (sim->key_due)
		set_key_due(sim, sim->key_left);
}

/* Start */

static void arm_death(struct sim *sim)
{
	sim->phase = RUNNING;
	sim->due = 0;
	if (sim->spec->sim_death != SPEC_UNSET)
		set_due(sim, usec(sim->spec->sim_death, 0));
}

/* The end of the build: it fails, or the domain is there. */
static void end_build(struct sim *sim)
{
	struct backend *backend = sim->backend;
	const struct spec *spec = sim->spec;
	struct backend_created created = { .note = sim->note };
	struct error err;

	if (sim->restoring && spec->sim_restore_fail && !sim->conflict) {
		/* Once more, afresh. */
		sim->restoring = false;
		sim->note = spec->sim_restore_fail;
		set_due(sim, usec(spec->sim_boot, BOOT_MS));
		return;
	}
	backend->busy--;
	if (sim->conflict || spec->sim_fail) {
		uint32_t id = sim->id, boot = sim->boot;

		if (sim->conflict)
			error_field(&err, ERROR_CONFLICT, "name", spec->name,
				    "a domain of that name is there already");
		else
			error_set(&err, ERROR_SYSTEM, "%s", spec->sim_fail);
		sim_free(sim);
		backend->sink.start_failed(backend->arg, id, boot, &err);
		return;
	}
	sim_discard(backend, spec->uuid);
	sim->domid = ++backend->last_domid;
	LIST_INSERT_HEAD(&backend->domids[sim->domid % BUCKETS], sim, by_domid);
	sim->runs_since = loop_now(backend->loop);
	if (spec->nic.n == 0) {
		arm_death(sim);
	} else {
		sim->phase = BOOTING;
		set_due(sim, sim->restoring ? 0 : usec(spec->sim_frame, FRAME_MS));
	}
	if (spec->wait_for_key && spec->sim_key != SPEC_UNSET && !sim->restoring)
		set_key_due(sim, usec(spec->sim_key, 0));
	created.id = sim->id;
	created.boot = sim->boot;
	created.domid = sim->domid;
	created.restored = sim->restoring;
	created.began = sim->began;
	created.at = sim->created = loop_now(backend->loop);
	backend->sink.created(backend->arg, &created);
}

/* As libxl_shutdown_reason. */
static uint8_t reason_of(enum spec_death death)
{
	return death == SPEC_DEATH_CRASH ? 3 : death == SPEC_DEATH_REBOOT ? 1 : 0;
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
		sim->heard = loop_now(backend->loop);
		backend->sink.frame(backend->arg, sim->id, sim->boot, sim->heard);
		break;
	case RUNNING:
		interrupt(sim, SHUT_DOWN);
		backend->sink.died(backend->arg, sim->domid, reason_of(sim->spec->sim_reason),
				   sim->spec->sim_console ? sim->spec->sim_console : "");
		break;
	case SHUT_DOWN:
	case PAUSED:
	case STOPPING:
		break;
	}
}

static void on_key(void *arg)
{
	struct sim *sim = arg;
	struct backend *backend = sim->backend;

	sim->key_due = 0;
	sim->keyed = loop_now(backend->loop);
	backend->sink.key(backend->arg, sim->id, sim->boot, sim->keyed);
}

static void sim_start(struct backend *backend, uint32_t id, uint32_t boot, bool restore,
		      struct spec *spec)
{
	const struct image *image = restore ? find_image(backend, spec->uuid) : NULL;
	struct sim *sim = calloc(1, sizeof *sim);
	uint64_t wait;

	if (!sim)
		abort();
	*sim = (struct sim){ .backend = backend, .id = id, .boot = boot, .spec = spec };
	sim->conflict = name_is_taken(backend, spec->name);
	sim->restoring = image && image->digest == spec_digest(spec);
	sim->note = image && !sim->restoring ? BACKEND_CHANGED : "";
	sim->began = loop_now(backend->loop);
	sim->timer = timer_new(backend->loop, on_sim, sim);
	sim->key = timer_new(backend->loop, on_key, sim);
	if (!sim->timer || !sim->key)
		abort();
	wait = sim->restoring ? usec(spec->sim_restore, RESTORE_MS) : usec(spec->sim_boot, BOOT_MS);
	set_due(sim, sim->conflict ? 0 : wait);
	LIST_INSERT_HEAD(names_of(backend, spec->name), sim, by_name);
	backend->memory_used += memory_of(spec);
	backend->busy++;
}

/* Wake and stop */

static void on_deed(void *arg)
{
	struct deed *deed = arg;
	struct deed d = *deed;

	deed_free(deed);
	d.backend->busy--;
	d.end(d.backend, &d, find(d.backend, d.domid));
}

static void begin(struct backend *backend, const struct deed *what, uint64_t wait)
{
	struct deed *deed = malloc(sizeof *deed);

	if (!deed)
		abort();
	*deed = *what;
	deed->backend = backend;
	deed->timer = timer_new(backend->loop, on_deed, deed);
	if (!deed->timer)
		abort();
	timer_set(deed->timer, wait);
	LIST_INSERT_HEAD(&backend->deeds, deed, entry);
	backend->busy++;
}

static void end_wake(struct backend *backend, const struct deed *deed, struct sim *sim)
{
	struct error err = { .kind = ERROR_NONE };

	if (!sim || sim->phase != PAUSED) {
		error_set(&err, ERROR_CONFLICT, "domain %u is not paused", deed->domid);
	} else if (sim->spec->sim_wake_fail) {
		error_set(&err, ERROR_SYSTEM, "%s", sim->spec->sim_wake_fail);
	} else {
		sim->id = deed->id;
		sim->boot = deed->boot;
		go_on(sim);
	}
	backend->sink.woken(backend->arg, deed->id, deed->boot, loop_now(backend->loop),
			    err.kind ? &err : NULL);
}

static void sim_wake(struct backend *backend, uint32_t id, uint32_t boot, uint32_t domid)
{
	const struct sim *sim = find(backend, domid);

	begin(backend, &(struct deed){ .end = end_wake, .id = id, .boot = boot, .domid = domid },
	      sim ? usec(sim->spec->sim_wake, WAKE_MS) : 0);
}

static void sim_adopt(struct backend *backend, uint32_t id, uint32_t boot, uint32_t domid,
		      const char *key)
{
	struct sim *sim = find(backend, domid);

	if (!sim)
		return;
	sim->id = id;
	sim->boot = boot;
	if (sim->heard)
		backend->sink.frame(backend->arg, id, boot, sim->heard);
	if (*key && sim->keyed)
		backend->sink.key(backend->arg, id, boot, sim->keyed);
}

static void tell_stopped(struct backend *backend, const struct deed *deed, enum backend_end end,
			 const struct error *err)
{
	backend->sink.stopped(backend->arg, deed->id, deed->domid, end, loop_now(backend->loop),
			      err);
}

static void end_pause(struct backend *backend, const struct deed *deed, struct sim *sim)
{
	tell_stopped(backend, deed, sim ? BACKEND_PAUSED : BACKEND_GONE, NULL);
}

static void end_destroy(struct backend *backend, const struct deed *deed, struct sim *sim)
{
	if (sim)
		sim_free(sim);
	tell_stopped(backend, deed, BACKEND_GONE, NULL);
}

static void end_suspend(struct backend *backend, const struct deed *deed, struct sim *sim)
{
	struct error err;

	if (!sim) {
		tell_stopped(backend, deed, BACKEND_GONE, NULL);
		return;
	}
	if (sim->spec->sim_suspend_fail) {
		error_set(&err, ERROR_SYSTEM, "%s", sim->spec->sim_suspend_fail);
		if (sim->was_paused)
			sim->phase = PAUSED;
		else
			go_on(sim);
		tell_stopped(backend, deed, BACKEND_GONE, &err);
		return;
	}
	keep_image(backend, sim->spec);
	sim_free(sim);
	tell_stopped(backend, deed, BACKEND_SUSPENDED, NULL);
}

static void sim_stop(struct backend *backend, uint32_t id, uint32_t domid, enum spec_stop_mode mode,
		     uint32_t limit)
{
	struct deed deed = { .end = end_destroy, .id = id, .domid = domid };
	struct sim *sim = domid ? find(backend, domid) : NULL;
	uint64_t wait = sim ? usec(sim->spec->sim_stop, STOP_MS) : 0;

	if (sim && (sim->phase == SHUT_DOWN || sim->phase == STOPPING))
		mode = SPEC_STOP_DESTROY;
	if (sim && mode == SPEC_STOP_PAUSE) {
		deed.end = end_pause;
		wait = 0;
	} else if (sim && mode == SPEC_STOP_SUSPEND) {
		deed.end = end_suspend;
		wait = usec(sim->spec->sim_suspend, SUSPEND_MS);
	} else if (sim && mode == SPEC_STOP_SHUTDOWN && sim->spec->sim_deaf) {
		wait += limit * USEC_PER_MSEC;
		deed.patient = true;
	}
	begin(backend, &deed, wait);
	if (sim) {
		sim->was_paused = sim->phase == PAUSED;
		interrupt(sim, mode == SPEC_STOP_PAUSE ? PAUSED : STOPPING);
	}
}

static void sim_let_go(struct backend *backend)
{
	struct deed *deed = LIST_FIRST(&backend->deeds), *next;

	for (; deed; deed = next) {
		struct sim *sim = find(backend, deed->domid);

		next = LIST_NEXT(deed, entry);
		if (!deed->patient)
			continue;
		deed_free(deed);
		backend->busy--;
		if (sim)
			go_on(sim);
	}
}

/* Traffic and survey */

static int sim_measure(struct backend *backend, uint32_t domid, struct backend_traffic *out)
{
	const struct sim *sim = find(backend, domid);
	uint64_t ran;

	if (!sim)
		return -1;
	ran = sim->ran + (sim->runs_since ? loop_now(backend->loop) - sim->runs_since : 0);
	*out = (struct backend_traffic){ 0 };
	if (sim->spec->sim_traffic != SPEC_UNSET)
		out->tx = (uint64_t)((double)sim->spec->sim_traffic * (double)ran / USEC_PER_SEC);
	return 0;
}

static int sim_host(struct backend *backend, struct backend_host *out, struct error *err)
{
	uint64_t used = backend->memory_used < MEMORY_KIB ? backend->memory_used : MEMORY_KIB;

	(void)err;
	*out = (struct backend_host){ .memory_free = MEMORY_KIB - used,
				      .memory_total = MEMORY_KIB,
				      .version = "simulated" };
	return 0;
}

static int sim_survey(struct backend *backend, const struct backend_survey *survey,
		      struct error *err)
{
	const struct sim *sim;
	const struct image *image;

	(void)err;
	for (size_t i = 0; i < BUCKETS; i++) {
		LIST_FOREACH(sim, &backend->domids[i], by_domid) {
			struct backend_domain domain = { .domid = sim->domid, .whole = true };

			domain.running = sim->phase == BOOTING || sim->phase == RUNNING;
			domain.paused = sim->phase == PAUSED;
			domain.restored = sim->restoring;
			domain.created = sim->created;
			memcpy(domain.uuid, sim->spec->uuid, sizeof domain.uuid);
			snprintf(domain.service, sizeof domain.service, "%s", sim->spec->name);
			survey->domain(survey->arg, &domain);
		}
		LIST_FOREACH(image, &backend->images[i], entry)
			survey->image(survey->arg, image->uuid);
	}
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
	.wake = sim_wake,
	.adopt = sim_adopt,
	.stop = sim_stop,
	.let_go = sim_let_go,
	.discard = sim_discard,
	.measure = sim_measure,
	.host = sim_host,
	.survey = sim_survey,
	.busy = sim_busy,
};
