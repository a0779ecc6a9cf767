#include "toolstack/libxl/build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "proto/spec.h"
#include "toolstack/libxl/device.h"
#include "toolstack/libxl/images.h"
#include "toolstack/libxl/load.h"
#include "toolstack/libxl/nic.h"
#include "toolstack/libxl/pages.h"
#include "toolstack/libxl/xen.h"
#include "toolstack/vif.h"

#define VIF_LIMIT 5000 /* ms for netback to make the interface */
#define PAGE_KIB  4
#define NO_DOMAIN UINT32_MAX /* libxl's INVALID_DOMID */

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Start */

/* Why libxl has refused, where there is more to say than libxl does. */
static void explain(struct xen *xen, const struct spec *spec, int rc, struct error *err)
{
	libxl_physinfo host;
	uint32_t other;
	char value[32];
	bool known;

	xen_error(xen, rc, err, "cannot build the domain");
	if (libxl_name_to_domid(xen->ctx, spec->name, &other) == 0) {
		error_field(err, ERROR_CONFLICT, "name", spec->name,
			    "domain %u, which this service does not own, has that name", other);
		return;
	}
	libxl_physinfo_init(&host);
	known = libxl_get_physinfo(xen->ctx, &host) == 0;
	if (known && host.free_pages * PAGE_KIB < spec->memory) {
		snprintf(value, sizeof value, "%llu", (unsigned long long)spec->memory);
		error_field(err, ERROR_BUSY, "memory", value,
			    "only %llu KiB are free on this host now",
			    (unsigned long long)host.free_pages * PAGE_KIB);
	}
	libxl_physinfo_dispose(&host);
}

/* From its image, or (-1) afresh. */
static int create(struct xen *xen, const struct spec *spec, const struct plan *plan, int image,
		  uint32_t *domid, struct error *err)
{
	libxl_domain_config config;
	libxl_domain_restore_params params;
	uint32_t made = NO_DOMAIN;
	int rc;

	libxl_domain_config_init(&config);
	plan_configure(xen, &config, spec, plan);
	if (image < 0) {
		rc = libxl_domain_create_new(xen->ctx, &config, &made, NULL, NULL);
	} else {
		libxl_domain_restore_params_init(&params);
		params.stream_version = 2; /* what libxl_domain_suspend writes */
		rc = libxl_domain_create_restore(xen->ctx, &config, &made, image, -1, &params, NULL,
						 NULL);
		libxl_domain_restore_params_dispose(&params);
	}
	libxl_domain_config_dispose(&config);
	if (rc) {
		explain(xen, spec, rc, err);
		/* libxl has taken it down again, unless that failed too. */
		if (made != NO_DOMAIN)
			build_destroy(xen, made, false, NULL);
		return -1;
	}
	*domid = made;
	return 0;
}

/* With shadow page tables, Xen looks up the guest's own when it takes the processors' state: its
 * memory must be there before. */
static bool may_load_late(struct xen *xen, const struct spec *spec)
{
	libxl_physinfo host;
	bool may;

	libxl_physinfo_init(&host);
	may = spec->type == SPEC_TYPE_PVH && libxl_get_physinfo(xen->ctx, &host) == 0 &&
	      host.cap_hap;
	libxl_physinfo_dispose(&host);
	return may;
}

static int restore(struct xen *xen, const struct spec *spec, const struct plan *plan, int image,
		   uint32_t *domid, struct error *err)
{
	struct pages pages;
	int r = -1;

	if (pages_open(image, IMAGES_TAIL, &pages, err) < 0)
		return -1;
	if (!pages.count || !may_load_late(xen, spec)) {
		r = create(xen, spec, plan, image, domid, err);
	} else if (lseek(image, pages.head, SEEK_SET) < 0) {
		error_errno(err, "cannot read the suspend image");
	} else if (create(xen, spec, plan, image, domid, err) == 0) {
		r = load_pages(xen, *domid, image, &pages, err);
		if (r < 0)
			build_destroy(xen, *domid, false, NULL);
	}
	pages_release(&pages);
	return r;
}

/* The image first, if there is one; what is wrong with it becomes the note. */
static int make(struct xen *xen, const struct spec *spec, const struct plan *plan, int image,
		struct build *build, struct error *err)
{
	if (image >= 0) {
		build->restored = restore(xen, spec, plan, image, &build->domid, err) == 0;
		if (build->restored)
			return 0;
		snprintf(build->note, sizeof build->note, "%s", err->text);
		xen_begin(xen);
	}
	return create(xen, spec, plan, -1, &build->domid, err);
}

static int plug(const struct spec *spec, const struct plan *plan, struct build *build,
		struct error *err)
{
	for (size_t i = 0; i < spec->nic.n && i < BUILD_NICS_MAX; i++) {
		char interface[VIF_NAME_MAX];

		vif_name(interface, build->domid, (unsigned)i);
		if (!plan->scripts[i] && vif_plug(interface, spec->nic.v[i], VIF_LIMIT, err) < 0)
			return -1;
		build->frames[i] = vif_listen(interface, err);
		if (build->frames[i] < 0)
			return -1;
		build->frame_count = i + 1;
	}
	return 0;
}

#define RESTORED "restored"

bool build_read_mark(struct xen *xen, uint32_t domid, struct build_mark *out)
{
	cleanup_free char *mark = xen_read(xen, domid, BUILD_MARK_WHOLE);
	unsigned long long created, digest;
	char how[16];

	*out = (struct build_mark){ 0 };
	if (mark && sscanf(mark, "%15s %llu %llx", how, &created, &digest) == 3)
		*out = (struct build_mark){ strcmp(how, RESTORED) == 0, created, digest };
	return mark != NULL;
}

static int release(struct xen *xen, const struct spec *spec, const struct build *build,
		   struct error *err)
{
	uint32_t domid = build->domid;
	char mark[64];
	int rc;

	snprintf(mark, sizeof mark, "%s %llu %llx", build->restored ? RESTORED : "booted",
		 (unsigned long long)now(), (unsigned long long)spec_digest(spec));
	if (!xen_write(xen, domid, BUILD_MARK_WHOLE, mark))
		return error_errno(err, "cannot write the mark of domain %u to xenstore", domid);
	rc = libxl_domain_unpause(xen->ctx, domid, NULL);
	return rc ? xen_error(xen, rc, err, "cannot let domain %u run", domid) : 0;
}

static int add_devices(struct xen *xen, const struct spec *spec, const struct plan *plan,
		       uint32_t domid, struct error *err)
{
	if (!plan->scripts[0] && nic_add(xen, domid, spec, err) < 0)
		return -1;
	return disk_add(xen, domid, &plan->disks, err);
}

static int finish(struct xen *xen, const struct spec *spec, const struct plan *plan, int images,
		  struct build *build, struct error *err)
{
	uint64_t made = now(), told, plugged;

	if (add_devices(xen, spec, plan, build->domid, err) < 0)
		return -1;
	told = now();
	if (plug(spec, plan, build, err) < 0)
		return -1;
	plugged = now();
	if (plan->rumprun && !xen_write(xen, build->domid, "rumprun/cfg", plan->rumprun))
		return error_errno(err, "cannot write the rumprun configuration to xenstore");
	if (images >= 0)
		images_drop(images, spec->uuid);
	if (release(xen, spec, build, err) < 0)
		return -1;
	build->at = now();
	log_debug("domain %u: checked and made in %u µs, devices written in %u, plugged in %u, "
		  "released in %u",
		  build->domid, (unsigned)(made - build->began), (unsigned)(told - made),
		  (unsigned)(plugged - told), (unsigned)(build->at - plugged));
	return 0;
}

static int build(struct xen *xen, const struct spec *spec, const struct plan *plan, int images,
		 int image, struct build *out, struct error *err)
{
	if (make(xen, spec, plan, image, out, err) < 0)
		return -1;
	if (finish(xen, spec, plan, images, out, err) < 0) {
		for (size_t i = 0; i < out->frame_count; i++)
			close(out->frames[i]);
		build_destroy(xen, out->domid, false, NULL);
		return -1;
	}
	return 0;
}

int build_start(struct xen *xen, const struct spec *spec, int images, bool restore,
		struct build *out, struct error *err)
{
	struct build made = { .began = now(), .image = -1 };
	struct plan plan;
	cleanup_close int image = -1;
	int r;

	if (plan_make(xen, spec, &plan, err) < 0)
		return -1;
	if (restore && images >= 0) {
		struct error damage;

		image = images_take(images, spec->uuid, spec_digest(spec), &damage);
		if (damage.kind)
			snprintf(made.note, sizeof made.note, "%s", damage.text);
	}
	r = build(xen, spec, &plan, images, image, &made, err);
	plan_release(&plan);
	if (r == 0) {
		*out = made;
		out->image = TAKE_FD(image);
	} else if (image >= 0) {
		images_untouched(image);
	}
	return r;
}

/* Stop */

static bool is_there(struct xen *xen, uint32_t domid)
{
	return libxl_domain_info(xen->ctx, NULL, domid) != ERROR_DOMAIN_NOTFOUND;
}

/* What a toolstack that was killed has left: Xen has the domain, and xenstore nothing of it yet. */
static bool is_half_made(struct xen *xen, uint32_t domid)
{
	cleanup_free char *name = xen_read(xen, domid, "name");
	libxl_dominfo info;
	bool never_ran;

	libxl_dominfo_init(&info);
	never_ran = libxl_domain_info(xen->ctx, &info, domid) == 0 && info.paused &&
		    info.cpu_time == 0;
	libxl_dominfo_dispose(&info);
	return !name && never_ran;
}

/* What libxl does not do itself. */
static void remove_devices(struct xen *xen, uint32_t domid)
{
	cleanup_free char *scripts = xen_read(xen, domid, PLAN_MARK_SCRIPTS);
	cleanup_free char *disks = xen_read(xen, domid, PLAN_MARK_DISKS);

	if (!scripts)
		device_remove(xen, domid, "vif");
	if (!disks)
		device_remove(xen, domid, "vbd");
}

int build_destroy(struct xen *xen, uint32_t domid, bool marked, struct error *err)
{
	cleanup_free char *service = marked ? xen_read(xen, domid, BUILD_MARK_SERVICE) : NULL;
	int rc;

	xen_begin(xen);
	if (!is_there(xen, domid)) {
		remove_devices(xen, domid); /* who destroyed it may not know of them */
		return 0;
	}
	if (marked && !service && !is_half_made(xen, domid))
		return error_set(err, ERROR_CONFLICT,
				 "domain %u was not started by jitsud: it is not ours to destroy",
				 domid);
	remove_devices(xen, domid);
	rc = libxl_domain_destroy(xen->ctx, domid, NULL);
	if (!rc || !is_there(xen, domid))
		return 0;
	return xen_error(xen, rc, err, "cannot destroy domain %u", domid);
}
