/*
 * Xen, through libxl. What blocks is done by the crew; guests, their deaths and their first frames
 * are the loop's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "toolstack/backend.h"
#include "toolstack/libxl/build.h"
#include "toolstack/libxl/crew.h"
#include "toolstack/libxl/deaths.h"
#include "toolstack/vif.h"

#define WORKERS_MAX 4
#define DOMIDS	    0x7ff0 /* DOMID_FIRST_RESERVED, xen/include/public/xen.h */
#define PAGE_KIB    4

/* A packet socket on one nic of a guest that has not sent a frame yet. */
struct ear {
	struct guest *guest;
	int fd;
	struct watch *watch;
};

/* A domain of ours, from its creation or the survey to its end. */
struct guest {
	struct backend *backend;
	uint32_t domid, id, boot;
	bool dead;     /* its death was told, or is known */
	bool stopping; /* a stop is under way: its end is no news */
	libxl_evgen_domain_death *watch;
	struct ear ears[BUILD_NICS_MAX];
	size_t ear_count;
};

struct start {
	struct crew_job job; /* first */
	struct backend *backend;
	uint32_t id, boot;
	struct spec *spec;
	struct build build;
	int rc;
	struct error err;
};

struct stop {
	struct crew_job job; /* first */
	struct backend *backend;
	uint32_t id, domid;
	bool known; /* a guest of ours; of others the mark is looked for */
	int rc;
	struct error err;
	STAILQ_ENTRY(stop) entry;
};

STAILQ_HEAD(stops, stop);

struct backend {
	struct loop *loop;
	struct backend_sink sink;
	void *arg;
	struct deaths *deaths;
	struct crew *crew;
	bool closing;
	unsigned busy;
	struct stops stops; /* under way */
	struct guest *guests[DOMIDS];
};

/* Guests */

static void close_ears(struct guest *guest)
{
	for (size_t i = 0; i < guest->ear_count; i++) {
		watch_free(guest->ears[i].watch);
		close(guest->ears[i].fd);
	}
	guest->ear_count = 0;
}

static void guest_free(struct guest *guest)
{
	close_ears(guest);
	if (guest->watch)
		deaths_unwatch(guest->backend->deaths, guest->watch);
	guest->backend->guests[guest->domid] = NULL;
	free(guest);
}

static struct guest *find(const struct backend *backend, uint32_t domid)
{
	return domid < DOMIDS ? backend->guests[domid] : NULL;
}

/* NULL if its death cannot be watched, or if libxl gave a number that Xen does not give. */
static struct guest *guest_new(struct backend *backend, uint32_t domid, struct error *err)
{
	struct guest *guest = find(backend, domid);

	/* The one of before is gone, or Xen would not give its number again. */
	if (guest)
		guest_free(guest);
	guest = domid < DOMIDS ? calloc(1, sizeof *guest) : NULL;
	if (!guest) {
		error_errno(err, "cannot keep account of domain %u", domid);
		return NULL;
	}
	guest->backend = backend;
	guest->domid = domid;
	backend->guests[domid] = guest;
	if (deaths_watch(backend->deaths, domid, &guest->watch, err) < 0) {
		guest_free(guest);
		return NULL;
	}
	return guest;
}

static void on_frame(void *arg, unsigned events)
{
	const struct ear *ear = arg;
	struct guest *guest = ear->guest;
	struct backend *backend = guest->backend;

	(void)events;
	if (!vif_heard(ear->fd))
		return;
	close_ears(guest);
	backend->sink.frame(backend->arg, guest->id, guest->boot, loop_now(backend->loop));
}

/* Takes the descriptors. */
static void listen_for_frame(struct guest *guest, const struct build *build)
{
	for (size_t i = 0; i < build->frame_count; i++) {
		struct ear *ear = &guest->ears[i];

		ear->guest = guest;
		ear->fd = build->frames[i];
		ear->watch = watch_new(guest->backend->loop, ear->fd, WATCH_READ, on_frame, ear);
		if (!ear->watch)
			abort();
		guest->ear_count = i + 1;
	}
}

static void on_death(void *arg, uint32_t domid, enum deaths_kind kind, uint8_t reason)
{
	struct backend *backend = arg;
	struct guest *guest = find(backend, domid);
	bool news;

	if (!guest)
		return;
	news = !guest->dead && !guest->stopping;
	guest->dead = true;
	close_ears(guest);
	/* A guest that is being stopped is kept until then, so that it is not stopped twice. */
	if (kind == DEATHS_GONE && !guest->stopping)
		guest_free(guest);
	if (news)
		backend->sink.died(backend->arg, domid,
				   kind == DEATHS_GONE ? BACKEND_DESTROYED_BEHIND_US : reason, "");
}

/* Start */

static void start_work(struct crew_job *job, struct xen *xen)
{
	struct start *start = (struct start *)job;

	start->rc = build_start(xen, start->spec, &start->build, &start->err);
}

static void start_free(struct start *start)
{
	for (size_t i = 0; i < start->build.frame_count; i++)
		close(start->build.frames[i]);
	spec_free(start->spec);
	free(start);
}

static void start_done(struct crew_job *job)
{
	struct start *start = (struct start *)job;
	struct backend *backend = start->backend;
	struct build *build = &start->build;
	struct guest *guest;

	backend->busy--;
	if (backend->closing) {
		start_free(start); /* who comes after us adopts it */
		return;
	}
	if (start->rc < 0) {
		backend->sink.start_failed(backend->arg, start->id, start->boot, &start->err);
		start_free(start);
		return;
	}
	guest = guest_new(backend, build->domid, &start->err);
	if (!guest)
		abort(); /* a domain that runs unwatched: begin anew and adopt it */
	guest->id = start->id;
	guest->boot = start->boot;
	listen_for_frame(guest, build);
	build->frame_count = 0;
	backend->sink.created(backend->arg, &(struct backend_created){ .id = start->id,
								       .boot = start->boot,
								       .domid = build->domid,
								       .began = build->began,
								       .at = build->at,
								       .note = "" });
	start_free(start);
}

static void libxl_start(struct backend *backend, uint32_t id, uint32_t boot, bool restore,
			struct spec *spec)
{
	struct start *start = calloc(1, sizeof *start);

	(void)restore;

	if (!start)
		abort();
	*start = (struct start){ .job = { .work = start_work, .done = start_done },
				 .backend = backend,
				 .id = id,
				 .boot = boot,
				 .spec = spec };
	backend->busy++;
	crew_push(backend->crew, &start->job);
}

/* Stop */

static void stop_work(struct crew_job *job, struct xen *xen)
{
	struct stop *stop = (struct stop *)job;

	stop->rc = build_destroy(xen, stop->domid, !stop->known, &stop->err);
}

static bool is_stopping(const struct backend *backend, uint32_t domid)
{
	const struct stop *stop;

	STAILQ_FOREACH(stop, &backend->stops, entry)
		if (stop->domid == domid)
			return true;
	return false;
}

/* Every stop of that domain has its answer: one worked, the others waited for it. */
static void answer_stops(struct backend *backend, const struct stop *worked)
{
	struct stops others = STAILQ_HEAD_INITIALIZER(others);
	struct error copy = worked->err; /* it is freed on the way */
	const struct error *err = worked->rc < 0 ? &copy : NULL;
	uint32_t domid = worked->domid;
	struct stop *stop;

	STAILQ_CONCAT(&others, &backend->stops);
	while ((stop = STAILQ_FIRST(&others))) {
		STAILQ_REMOVE_HEAD(&others, entry);
		if (stop->domid != domid) {
			STAILQ_INSERT_TAIL(&backend->stops, stop, entry);
			continue;
		}
		backend->busy--;
		if (!backend->closing)
			backend->sink.stopped(backend->arg, stop->id, domid, BACKEND_GONE,
					      loop_now(backend->loop), err);
		free(stop);
	}
}

static void stop_done(struct crew_job *job)
{
	struct stop *stop = (struct stop *)job;
	struct guest *guest = find(stop->backend, stop->domid);

	if (guest && stop->rc < 0)
		guest->stopping = false;
	else if (guest)
		guest_free(guest);
	answer_stops(stop->backend, stop);
}

static void libxl_stop(struct backend *backend, uint32_t id, uint32_t domid,
		       enum spec_stop_mode mode, uint32_t limit)
{
	struct stop *stop = calloc(1, sizeof *stop);
	struct guest *guest = find(backend, domid);
	bool wait = is_stopping(backend, domid);

	(void)mode;
	(void)limit;
	if (!stop)
		abort();
	*stop = (struct stop){ .job = { .work = stop_work, .done = stop_done },
			       .backend = backend,
			       .id = id,
			       .domid = domid,
			       .known = guest != NULL };
	if (guest)
		guest->stopping = true;
	backend->busy++;
	STAILQ_INSERT_TAIL(&backend->stops, stop, entry);
	if (!wait)
		crew_push(backend->crew, &stop->job);
}

/* Survey and check */

static int libxl_check(struct backend *backend, const struct spec *spec, char **addition,
		       struct error *err)
{
	cleanup_free char *kernel = NULL, *ramdisk = NULL;

	(void)addition;

	return build_check(deaths_xen(backend->deaths), spec, &kernel, &ramdisk, err);
}

static int adopt(struct backend *backend, uint32_t domid, bool dead, struct error *err)
{
	struct guest *guest = find(backend, domid);

	if (!guest)
		guest = guest_new(backend, domid, err);
	if (!guest)
		return -1;
	guest->dead = dead;
	return 0;
}

static int survey_domain(struct backend *backend, const libxl_dominfo *info,
			 struct backend_domain *out, struct error *err)
{
	struct xen *xen = deaths_xen(backend->deaths);
	cleanup_free char *service = xen_read(xen, info->domid, BUILD_MARK_SERVICE);
	cleanup_free char *whole = xen_read(xen, info->domid, BUILD_MARK_WHOLE);

	*out = (struct backend_domain){
		.domid = info->domid,
		.whole = whole != NULL,
		.running = !info->paused && !info->shutdown,
	};
	memcpy(out->uuid, libxl_uuid_bytearray_const(&info->uuid), sizeof out->uuid);
	snprintf(out->service, sizeof out->service, "%s", service ? service : "");
	return service ? adopt(backend, info->domid, info->shutdown, err) : 0;
}

static int libxl_host(struct backend *backend, struct backend_host *host, struct error *err)
{
	struct xen *xen = deaths_xen(backend->deaths);
	const libxl_version_info *version = libxl_get_version_info(xen->ctx);
	libxl_physinfo info;
	int rc;

	libxl_physinfo_init(&info);
	rc = libxl_get_physinfo(xen->ctx, &info);
	host->memory_total = info.total_pages * PAGE_KIB;
	host->memory_free = info.free_pages * PAGE_KIB;
	libxl_physinfo_dispose(&info);
	if (rc || !version)
		return xen_error(xen, rc, err, "cannot ask Xen about the host");
	snprintf(host->version, sizeof host->version, "%d.%d%s", version->xen_version_major,
		 version->xen_version_minor,
		 version->xen_version_extra ? version->xen_version_extra : "");
	return 0;
}

static int libxl_survey(struct backend *backend, const struct backend_survey *survey,
			struct error *err)
{
	struct xen *xen = deaths_xen(backend->deaths);
	libxl_dominfo *list;
	int count = 0, rc = 0;

	xen_begin(xen);
	list = libxl_list_domain(xen->ctx, &count);
	if (!list)
		return xen_error(xen, ERROR_FAIL, err, "cannot list the domains");
	for (int i = 0; i < count && rc == 0; i++) {
		struct backend_domain domain;

		/* One that is dying is gone but for its memory. */
		if (list[i].domid == 0 || list[i].dying)
			continue;
		rc = survey_domain(backend, &list[i], &domain, err);
		if (rc == 0)
			survey->domain(survey->arg, &domain);
	}
	libxl_dominfo_list_free(list, count);
	return rc;
}

static void libxl_wake(struct backend *backend, uint32_t id, uint32_t boot, uint32_t domid)
{
	struct error err;

	error_set(&err, ERROR_CONFLICT, "domain %u is not paused", domid);
	backend->sink.woken(backend->arg, id, boot, loop_now(backend->loop), &err);
}

static void libxl_discard(struct backend *backend, const uint8_t uuid[16])
{
	(void)backend;
	(void)uuid;
}

static int libxl_measure(struct backend *backend, uint32_t domid, struct backend_traffic *out)
{
	(void)backend;
	(void)domid;
	(void)out;
	return -1;
}

/* Life cycle */

static void libxl_close(struct backend *backend)
{
	backend->closing = true;
	crew_free(backend->crew);
	for (size_t i = 0; i < DOMIDS; i++)
		if (backend->guests[i])
			guest_free(backend->guests[i]);
	deaths_free(backend->deaths);
	free(backend);
}

static struct backend *libxl_open(struct loop *loop, const struct backend_config *config,
				  const struct backend_sink *sink, void *arg, struct error *err)
{
	struct backend *backend;
	unsigned workers = config->boots < WORKERS_MAX ? config->boots : WORKERS_MAX;

	if (xen_present(err) < 0)
		return NULL;
	backend = calloc(1, sizeof *backend);
	if (!backend) {
		error_errno(err, "cannot open Xen");
		return NULL;
	}
	backend->loop = loop;
	backend->sink = *sink;
	backend->arg = arg;
	STAILQ_INIT(&backend->stops);
	backend->deaths = deaths_new(loop, on_death, backend, err);
	if (backend->deaths)
		backend->crew = crew_new(loop, workers ? workers : 1, err);
	if (!backend->crew) {
		libxl_close(backend);
		return NULL;
	}
	return backend;
}

static unsigned libxl_busy(const struct backend *backend)
{
	return backend->busy;
}

const struct backend_table backend_libxl = {
	.name = "libxl",
	.simulated = false,
	.open = libxl_open,
	.close = libxl_close,
	.check = libxl_check,
	.start = libxl_start,
	.wake = libxl_wake,
	.stop = libxl_stop,
	.discard = libxl_discard,
	.measure = libxl_measure,
	.host = libxl_host,
	.survey = libxl_survey,
	.busy = libxl_busy,
};
