/*
 * Xen, through libxl. What blocks is done by the crews; guests, their deaths, first frames and keys
 * are the loop's, and what is one hypercall.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "toolstack/libxl/crew.h"
#include "toolstack/libxl/fork.h"
#include "toolstack/libxl/images.h"
#include "toolstack/libxl/inside.h"
#include "toolstack/libxl/keys.h"
#include "toolstack/libxl/sleep.h"
#include "toolstack/vif.h"

#define WORKERS_MAX 4
#define SLEEPERS    2
#define PAGE_KIB    4

/* Survey and check */

static int libxl_check(struct backend *backend, const struct spec *spec, char **addition,
		       struct error *err)
{
	struct plan plan;

	if (plan_make(deaths_xen(backend->deaths), spec, &plan, err) < 0)
		return -1;
	if (plan.addition)
		*addition = TAKE(plan.addition);
	plan_release(&plan);
	return 0;
}

/*
 * A toolstack that suspended it was killed. It goes on, unless its image is whole: then it was
 * being destroyed, and what it is to go on from is the image. True if it goes on.
 */
static bool undo_suspend(struct backend *backend, libxl_dominfo *info)
{
	const uint8_t *uuid = libxl_uuid_bytearray_const(&info->uuid);

	if ((backend->images >= 0 && images_has(backend->images, uuid)) ||
	    !sleep_undo(deaths_xen(backend->deaths), info->domid))
		return false;
	info->shutdown = false;
	return true;
}

static int adopt(struct backend *backend, const libxl_dominfo *info,
		 const struct backend_domain *domain, bool undone, struct error *err)
{
	struct guest *guest = guest_find(backend, info->domid);

	if (!guest)
		guest = guest_new(backend, info->domid, domain->uuid, domain->service, err);
	if (!guest)
		return -1;
	guest->dead = info->shutdown;
	guest->undone = undone;
	guest->paused = info->paused;
	return 0;
}

static int survey_domain(struct backend *backend, libxl_dominfo *info, struct backend_domain *out,
			 struct error *err)
{
	struct xen *xen = deaths_xen(backend->deaths);
	cleanup_free char *service = xen_read(xen, info->domid, BUILD_MARK_SERVICE);
	cleanup_free char *suspending = xen_read(xen, info->domid, SLEEP_MARK);
	struct build_mark mark;
	bool whole = build_read_mark(xen, info->domid, &mark);
	bool undone = whole && suspending && undo_suspend(backend, info);

	*out = (struct backend_domain){
		.domid = info->domid,
		.whole = whole && (!suspending || undone),
		.running = !info->paused && !info->shutdown,
		.restored = mark.restored,
		.created = mark.created,
	};
	out->paused = out->whole && info->paused && !info->shutdown;
	memcpy(out->uuid, libxl_uuid_bytearray_const(&info->uuid), sizeof out->uuid);
	snprintf(out->service, sizeof out->service, "%s", service ? service : "");
	return service ? adopt(backend, info, out, undone, err) : 0;
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
	if (rc == 0 && backend->images >= 0)
		rc = images_each(backend->images, survey->image, survey->arg, err);
	return rc;
}

static void libxl_discard(struct backend *backend, const uint8_t uuid[16])
{
	if (backend->images >= 0)
		images_drop(backend->images, uuid);
}

static int libxl_measure(struct backend *backend, uint32_t domid, struct backend_traffic *out)
{
	struct backend_traffic sum = { 0 };
	char interface[VIF_NAME_MAX];
	uint64_t rx, tx;

	if (!guest_find(backend, domid))
		return -1;
	for (unsigned i = 0; i < BUILD_NICS_MAX; i++) {
		vif_name(interface, domid, i);
		if (vif_traffic(interface, &rx, &tx) < 0)
			break;
		sum.rx += rx;
		sum.tx += tx;
	}
	*out = sum;
	return 0;
}

/* Life cycle */

static void libxl_close(struct backend *backend)
{
	backend->closing = true;
	crew_free(backend->crew);
	crew_free(backend->sleepers);
	spent_drop_all(backend);
	stop_drop_all(backend);
	for (size_t i = 0; i < DOMIDS; i++)
		if (backend->guests[i])
			guest_free(backend->guests[i]);
	keys_free(backend->keys);
	deaths_free(backend->deaths);
	if (backend->images >= 0)
		close(backend->images);
	free(backend);
}

static int open_all(struct backend *backend, const struct backend_config *config, struct error *err)
{
	unsigned workers = config->boots < WORKERS_MAX ? config->boots : WORKERS_MAX;
	struct loop *loop = backend->loop;

	fork_init(FORK_LOCK);
	if (config->suspend_dir && (backend->images = images_open(config->suspend_dir, err)) < 0)
		return -1;
	if (!(backend->deaths = deaths_new(loop, guest_on_death, backend, err)) ||
	    !(backend->keys = keys_new(loop, guest_on_key, backend, err)) ||
	    !(backend->crew = crew_new(loop, workers ? workers : 1, err)) ||
	    !(backend->sleepers = crew_new(loop, SLEEPERS, err)))
		return -1;
	return 0;
}

static struct backend *libxl_open(struct loop *loop, const struct backend_config *config,
				  const struct backend_sink *sink, void *arg, struct error *err)
{
	struct backend *backend;

	if (xen_present(err) < 0)
		return NULL;
	xen_prefer_device();
	backend = calloc(1, sizeof *backend);
	if (!backend) {
		error_errno(err, "cannot open Xen");
		return NULL;
	}
	backend->loop = loop;
	backend->sink = *sink;
	backend->arg = arg;
	backend->images = -1;
	STAILQ_INIT(&backend->stops);
	LIST_INIT(&backend->spents);
	if (open_all(backend, config, err) < 0) {
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
	.start = start_order,
	.wake = stop_wake,
	.adopt = guest_adopt,
	.stop = stop_order,
	.let_go = stop_let_go,
	.discard = libxl_discard,
	.measure = libxl_measure,
	.host = libxl_host,
	.survey = libxl_survey,
	.busy = libxl_busy,
};
