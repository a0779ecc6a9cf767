#include "toolstack/libxl/build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "proto/spec.h"
#include "toolstack/image.h"
#include "toolstack/libxl/nic.h"
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

static char *copy(const char *text)
{
	char *s = text ? strdup(text) : NULL;

	if (text && !s)
		abort();
	return s;
}

/* Check */

static int check_files(const struct spec *spec, char **kernel, char **ramdisk, struct error *err)
{
	cleanup_free char *real = NULL;

	if (!spec->kernel)
		return error_field(err, ERROR_INPUT, "kernel", NULL,
				   "expected the path of a kernel");
	if (image_check_kernel(spec->kernel, spec->type, &real, err) < 0 ||
	    (spec->ramdisk && image_check_ramdisk(spec->ramdisk, ramdisk, err) < 0))
		return -1;
	*kernel = TAKE(real);
	return 0;
}

static int check_host(struct xen *xen, const struct spec *spec, struct error *err)
{
	libxl_physinfo host; /* neither of the two owns memory of what is asked here */
	libxl_dominfo dom0;
	uint64_t guests;
	char value[32];
	int rc;

	libxl_physinfo_init(&host);
	libxl_dominfo_init(&dom0);
	rc = libxl_get_physinfo(xen->ctx, &host);
	if (!rc)
		rc = libxl_domain_info(xen->ctx, &dom0, 0);
	guests = host.total_pages * PAGE_KIB;
	guests -= guests < dom0.current_memkb ? guests : dom0.current_memkb;
	if (rc)
		return xen_error(xen, rc, err, "cannot ask Xen about the host");
	if (spec->type == SPEC_TYPE_PVH && !host.cap_hvm)
		return error_field(err, ERROR_INPUT, "type", "pvh",
				   "this host's processor or firmware does not offer what pvh "
				   "needs; expected pv");
	if (spec->type == SPEC_TYPE_PV && !host.cap_pv)
		return error_field(err, ERROR_INPUT, "type", "pv",
				   "this Xen is built without pv; expected pvh");
	if (spec->memory > guests) {
		snprintf(value, sizeof value, "%llu", (unsigned long long)spec->memory);
		return error_field(err, ERROR_INPUT, "memory", value,
				   "expected at most %llu KiB: the host has %llu KiB and domain 0 "
				   "uses %llu KiB of them",
				   (unsigned long long)guests,
				   (unsigned long long)host.total_pages * PAGE_KIB,
				   (unsigned long long)host.total_pages * PAGE_KIB - guests);
	}
	if (spec->vcpus != SPEC_UNSET && spec->vcpus > (int64_t)host.nr_cpus) {
		snprintf(value, sizeof value, "%lld", (long long)spec->vcpus);
		return error_field(err, ERROR_INPUT, "vcpus", value,
				   "expected at most %u, which the host has", host.nr_cpus);
	}
	return 0;
}

static int check_bridges(const struct spec *spec, struct error *err)
{
	for (size_t i = 0; i < spec->nic.n; i++)
		if (vif_check_bridge(spec->nic.v[i], err) < 0)
			return -1;
	return 0;
}

int build_check(struct xen *xen, const struct spec *spec, char **kernel, char **ramdisk,
		struct error *err)
{
	cleanup_free char *kernel_path = NULL, *ramdisk_path = NULL;

	xen_begin(xen);
	if (check_files(spec, &kernel_path, &ramdisk_path, err) < 0 ||
	    check_bridges(spec, err) < 0 || check_host(xen, spec, err) < 0)
		return -1;
	*kernel = TAKE(kernel_path);
	*ramdisk = TAKE(ramdisk_path);
	return 0;
}

/* Start */

static void set_pairs(libxl_key_value_list *list, const char *const *pairs, size_t count)
{
	*list = calloc(count + 1, sizeof **list);
	if (!*list)
		abort();
	for (size_t i = 0; i < count; i++)
		(*list)[i] = copy(pairs[i]);
}

/* The paths become the configuration's. */
static void configure(struct xen *xen, libxl_domain_config *config, const struct spec *spec,
		      char *kernel, char *ramdisk)
{
	const char *const mark[] = { BUILD_MARK_SERVICE, spec->name };
	libxl_domain_type type = spec->type == SPEC_TYPE_PVH ? LIBXL_DOMAIN_TYPE_PVH
							     : LIBXL_DOMAIN_TYPE_PV;
	libxl_domain_create_info *c_info = &config->c_info;
	libxl_domain_build_info *b_info = &config->b_info;
	int vcpus = spec->vcpus == SPEC_UNSET ? 1 : (int)spec->vcpus;

	c_info->type = type;
	c_info->name = copy(spec->name);
	memcpy(libxl_uuid_bytearray(&c_info->uuid), spec->uuid, sizeof spec->uuid);
	set_pairs(&c_info->xsdata, mark, ARRAY_SIZE(mark));
	c_info->passthrough = LIBXL_PASSTHROUGH_DISABLED;

	libxl_domain_build_info_init_type(b_info, type);
	b_info->kernel = kernel;
	b_info->ramdisk = ramdisk;
	b_info->cmdline = copy(spec->cmdline);
	b_info->max_memkb = b_info->target_memkb = spec->memory;
	b_info->max_vcpus = vcpus;
	if (libxl_cpu_bitmap_alloc(xen->ctx, &b_info->avail_vcpus, vcpus))
		abort();
	libxl_bitmap_set_any(&b_info->avail_vcpus);
	/* Placement asks about every domain and every processor, for each guest anew. */
	libxl_defbool_set(&b_info->numa_placement, false);
	libxl_defbool_set(&b_info->claim_mode, false);

	/* A domain that ends stays, until the engine has had its say. */
	config->on_poweroff = config->on_reboot = config->on_watchdog = config->on_crash =
		config->on_soft_reset = LIBXL_ACTION_ON_SHUTDOWN_PRESERVE;
}

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

static int create(struct xen *xen, const struct spec *spec, char *kernel, char *ramdisk,
		  uint32_t *domid, struct error *err)
{
	libxl_domain_config config;
	uint32_t made = NO_DOMAIN;
	int rc;

	libxl_domain_config_init(&config);
	configure(xen, &config, spec, kernel, ramdisk);
	rc = libxl_domain_create_new(xen->ctx, &config, &made, NULL, NULL);
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

static int plug(const struct spec *spec, struct build *build, struct error *err)
{
	for (size_t i = 0; i < spec->nic.n && i < BUILD_NICS_MAX; i++) {
		char interface[VIF_NAME_MAX];

		vif_name(interface, build->domid, (unsigned)i);
		if (vif_plug(interface, spec->nic.v[i], VIF_LIMIT, err) < 0)
			return -1;
		build->frames[i] = vif_listen(interface, err);
		if (build->frames[i] < 0)
			return -1;
		build->frame_count = i + 1;
	}
	return 0;
}

static int release(struct xen *xen, uint32_t domid, struct error *err)
{
	int rc;

	if (!xen_write(xen, domid, BUILD_MARK_WHOLE, "1"))
		return error_errno(err, "cannot write the mark of domain %u to xenstore", domid);
	rc = libxl_domain_unpause(xen->ctx, domid, NULL);
	return rc ? xen_error(xen, rc, err, "cannot let domain %u run", domid) : 0;
}

static int finish(struct xen *xen, const struct spec *spec, struct build *build, struct error *err)
{
	uint64_t made = now(), told, plugged;

	if (nic_add(xen, build->domid, spec, err) < 0)
		return -1;
	told = now();
	if (plug(spec, build, err) < 0)
		return -1;
	plugged = now();
	if (release(xen, build->domid, err) < 0)
		return -1;
	build->at = now();
	log_debug("domain %u: checked and made in %u µs, nics written in %u, plugged in %u, "
		  "released in %u",
		  build->domid, (unsigned)(made - build->began), (unsigned)(told - made),
		  (unsigned)(plugged - told), (unsigned)(build->at - plugged));
	return 0;
}

int build_start(struct xen *xen, const struct spec *spec, struct build *out, struct error *err)
{
	struct build build = { .began = now() };
	char *kernel = NULL, *ramdisk = NULL;

	if (build_check(xen, spec, &kernel, &ramdisk, err) < 0 ||
	    create(xen, spec, kernel, ramdisk, &build.domid, err) < 0)
		return -1;
	if (finish(xen, spec, &build, err) < 0) {
		for (size_t i = 0; i < build.frame_count; i++)
			close(build.frames[i]);
		build_destroy(xen, build.domid, false, NULL);
		return -1;
	}
	*out = build;
	return 0;
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

int build_destroy(struct xen *xen, uint32_t domid, bool marked, struct error *err)
{
	cleanup_free char *service = marked ? xen_read(xen, domid, BUILD_MARK_SERVICE) : NULL;
	int rc;

	xen_begin(xen);
	if (!is_there(xen, domid)) {
		nic_remove(xen, domid); /* who destroyed it may not know of them */
		return 0;
	}
	if (marked && !service && !is_half_made(xen, domid))
		return error_set(err, ERROR_CONFLICT,
				 "domain %u was not started by jitsud: it is not ours to destroy",
				 domid);
	nic_remove(xen, domid);
	rc = libxl_domain_destroy(xen->ctx, domid, NULL);
	if (!rc || !is_there(xen, domid))
		return 0;
	return xen_error(xen, rc, err, "cannot destroy domain %u", domid);
}
