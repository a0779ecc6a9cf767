#include "toolstack/libxl/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "proto/spec.h"
#include "toolstack/image.h"
#include "toolstack/libxl/cpus.h"
#include "toolstack/rumprun.h"
#include "toolstack/vif.h"

#define PAGE_KIB 4

static char *copy(const char *text)
{
	char *s = text ? strdup(text) : NULL;

	if (text && !s)
		abort();
	return s;
}

/* Check */

static int check_files(const struct spec *spec, struct plan *plan, struct error *err)
{
	bool hvm = spec->type == SPEC_TYPE_HVM;

	if (hvm && !disk_has_qemu())
		return error_field(
			err, ERROR_INPUT, "type", "hvm",
			"expected pv or pvh: this host has no device model; install " DISK_QEMU);
	if (!spec->kernel && !(hvm && spec->disk.n))
		return error_field(err, ERROR_INPUT, "kernel", NULL,
				   "expected the path of a kernel");
	if (!spec->kernel && (spec->ramdisk || spec->cmdline))
		return error_field(err, ERROR_INPUT, spec->ramdisk ? "ramdisk" : "cmdline",
				   spec->ramdisk ? spec->ramdisk : spec->cmdline,
				   "expected a kernel beside it: what a disk boots has its own");
	if ((spec->kernel &&
	     image_check_kernel(spec->kernel, spec->type, &plan->kernel, err) < 0) ||
	    (spec->ramdisk && image_check_ramdisk(spec->ramdisk, &plan->ramdisk, err) < 0))
		return -1;
	return disk_read(spec, &plan->disks, err);
}

/* Root's alone like a kernel, since root runs it. */
static int check_scripts(const struct spec *spec, struct plan *plan, struct error *err)
{
	for (size_t i = 0; i < spec->nic.n && i < PLAN_NICS_MAX; i++) {
		const char *script = spec_script(spec, i);

		if (!script)
			return 0;
		if (image_check_file("script", script, &plan->scripts[i], err) < 0)
			return -1;
		if (access(plan->scripts[i], X_OK) < 0)
			return error_field(err, ERROR_INPUT, "script", script,
					   "expected a file that can be executed");
	}
	return 0;
}

static int check_rumprun(const struct spec *spec, struct plan *plan, struct error *err)
{
	struct rumprun rumprun = { 0 };
	cleanup_free const char **names = NULL;
	cleanup_free char *text = NULL;
	struct spec_texts devices = { .n = plan->disks.n };
	size_t size;
	int r;

	if (!spec->rumprun_config)
		return 0;
	text = image_read("rumprun_config", spec->rumprun_config, RUMPRUN_FILE_MAX, &size, err);
	if (!text)
		return -1;
	names = calloc(plan->disks.n + 1, sizeof *names);
	if (!names)
		abort();
	for (size_t i = 0; i < plan->disks.n; i++)
		names[i] = plan->disks.v[i].vdev;
	devices.v = (char **)(uintptr_t)names;
	r = rumprun_read(text, size, spec->rumprun_config, spec, &devices, &rumprun, err);
	if (r == 0) {
		plan->addition = rumprun_addition(&rumprun, spec);
		plan->rumprun = rumprun.text;
		rumprun.text = NULL;
		rumprun_release(&rumprun);
	}
	return r;
}

static int check_cpus(struct xen *xen, const struct spec *spec, struct plan *plan,
		      const libxl_physinfo *host, struct error *err)
{
	uint32_t pool;

	if (spec->cpupool &&
	    libxl_cpupool_qualifier_to_cpupoolid(xen->ctx, spec->cpupool, &pool, NULL))
		return error_field(err, ERROR_INPUT, "cpupool", spec->cpupool,
				   "there is no such cpupool");
	if (!spec->cpus)
		return 0;
	if (libxl_cpu_bitmap_alloc(xen->ctx, &plan->cpus, 0))
		return error_set(err, ERROR_SYSTEM, "cannot ask Xen about its processors");
	return cpus_read(spec->cpus, host->nr_cpus, &plan->cpus, err);
}

static int check_host(struct xen *xen, const struct spec *spec, struct plan *plan,
		      struct error *err)
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
	if (spec->type != SPEC_TYPE_PV && !host.cap_hvm)
		return error_field(err, ERROR_INPUT, "type",
				   spec->type == SPEC_TYPE_PVH ? "pvh" : "hvm",
				   "this host's processor or firmware does not offer what it "
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
	return check_cpus(xen, spec, plan, &host, err);
}

static int check_bridges(const struct spec *spec, struct error *err)
{
	for (size_t i = 0; i < spec->nic.n; i++)
		if (vif_check_bridge(spec->nic.v[i], err) < 0)
			return -1;
	return 0;
}

void plan_release(struct plan *plan)
{
	free(plan->kernel);
	free(plan->ramdisk);
	free(plan->rumprun);
	free(plan->addition);
	for (size_t i = 0; i < PLAN_NICS_MAX; i++)
		free(plan->scripts[i]);
	disk_release(&plan->disks);
	libxl_bitmap_dispose(&plan->cpus);
	*plan = (struct plan){ 0 };
}

int plan_make(struct xen *xen, const struct spec *spec, struct plan *out, struct error *err)
{
	struct plan plan = { 0 };

	xen_begin(xen);
	libxl_bitmap_init(&plan.cpus);
	if (check_files(spec, &plan, err) < 0 || check_scripts(spec, &plan, err) < 0 ||
	    check_rumprun(spec, &plan, err) < 0 || check_bridges(spec, err) < 0 ||
	    check_host(xen, spec, &plan, err) < 0) {
		plan_release(&plan);
		return -1;
	}
	*out = plan;
	return 0;
}

/* Configuration */

static void set_pairs(libxl_key_value_list *list, const char *const *pairs, size_t count)
{
	*list = calloc(count + 1, sizeof **list);
	if (!*list)
		abort();
	for (size_t i = 0; i < count; i++)
		(*list)[i] = copy(pairs[i]);
}

/* Devices that are libxl's to do: those with a script, and those that need qemu. */
static void configure_devices(libxl_ctx *ctx, libxl_domain_config *config, const struct spec *spec,
			      const struct plan *plan)
{
	if (plan->disks.by_libxl && plan->disks.n > 0) {
		config->disks = calloc(plan->disks.n, sizeof *config->disks);
		if (!config->disks)
			abort();
		config->num_disks = (int)plan->disks.n;
		for (size_t i = 0; i < plan->disks.n; i++)
			libxl_device_disk_copy(ctx, &config->disks[i], &plan->disks.v[i]);
	}
	if (!plan->scripts[0])
		return;
	config->nics = calloc(spec->nic.n, sizeof *config->nics);
	if (!config->nics)
		abort();
	for (size_t i = 0; i < spec->nic.n && i < PLAN_NICS_MAX; i++) {
		libxl_device_nic *nic = &config->nics[i];

		libxl_device_nic_init(nic);
		nic->devid = (int)i;
		nic->nictype = LIBXL_NIC_TYPE_VIF;
		nic->bridge = copy(spec->nic.v[i]);
		nic->script = copy(plan->scripts[i]);
		spec_mac(spec, i, nic->mac);
		config->num_nics = (int)i + 1;
	}
}

static void configure_cpus(libxl_ctx *ctx, libxl_domain_build_info *b_info, const struct spec *spec,
			   const struct plan *plan, int vcpus)
{
	if (!spec->cpus)
		return;
	b_info->vcpu_hard_affinity = calloc((size_t)vcpus, sizeof *b_info->vcpu_hard_affinity);
	if (!b_info->vcpu_hard_affinity)
		abort();
	b_info->num_vcpu_hard_affinity = vcpus;
	for (int i = 0; i < vcpus; i++) {
		libxl_bitmap_init(&b_info->vcpu_hard_affinity[i]);
		if (libxl_cpu_bitmap_alloc(ctx, &b_info->vcpu_hard_affinity[i], 0))
			abort();
		libxl_bitmap_copy(ctx, &b_info->vcpu_hard_affinity[i], &plan->cpus);
	}
}

/*
 * A machine without a screen, keyboard or network card: the guest has paravirtual drivers, as the
 * others. What its BIOS and boot loader say goes to the serial line, which is what `xl console`
 * shows.
 */
static void configure_hvm(libxl_domain_build_info *b_info)
{
	b_info->device_model_version = LIBXL_DEVICE_MODEL_VERSION_QEMU_XEN;
	b_info->u.hvm.vga.kind = LIBXL_VGA_INTERFACE_TYPE_NONE;
	libxl_defbool_set(&b_info->u.hvm.vnc.enable, false);
	libxl_defbool_set(&b_info->u.hvm.sdl.enable, false);
	libxl_defbool_set(&b_info->u.hvm.spice.enable, false);
	libxl_defbool_set(&b_info->u.hvm.usb, false);
	libxl_defbool_set(&b_info->u.hvm.xen_platform_pci, true);
	b_info->u.hvm.boot = copy("c");
	b_info->u.hvm.serial = copy("pty");
}

void plan_configure(struct xen *xen, libxl_domain_config *config, const struct spec *spec,
		    const struct plan *plan)
{
	const char *marks[] = { PLAN_MARK_SERVICE, spec->name, NULL, "1", NULL, "1" };
	size_t count = 2;
	static const libxl_domain_type types[] = {
		[SPEC_TYPE_PV] = LIBXL_DOMAIN_TYPE_PV,
		[SPEC_TYPE_PVH] = LIBXL_DOMAIN_TYPE_PVH,
		[SPEC_TYPE_HVM] = LIBXL_DOMAIN_TYPE_HVM,
	};
	libxl_domain_type type = types[spec->type];
	libxl_domain_create_info *c_info = &config->c_info;
	libxl_domain_build_info *b_info = &config->b_info;
	int vcpus = spec->vcpus == SPEC_UNSET ? 1 : (int)spec->vcpus;

	c_info->type = type;
	c_info->name = copy(spec->name);
	c_info->pool_name = copy(spec->cpupool);
	memcpy(libxl_uuid_bytearray(&c_info->uuid), spec->uuid, sizeof spec->uuid);
	if (plan->scripts[0])
		marks[count] = PLAN_MARK_SCRIPTS, count += 2;
	if (plan->disks.by_libxl)
		marks[count] = PLAN_MARK_DISKS, count += 2;
	set_pairs(&c_info->xsdata, marks, count);
	c_info->passthrough = LIBXL_PASSTHROUGH_DISABLED;

	libxl_domain_build_info_init_type(b_info, type);
	if (type == LIBXL_DOMAIN_TYPE_HVM)
		configure_hvm(b_info);
	b_info->kernel = copy(plan->kernel);
	b_info->ramdisk = copy(plan->ramdisk);
	b_info->cmdline = copy(spec->cmdline);
	b_info->max_memkb = b_info->target_memkb = spec->memory;
	b_info->max_vcpus = vcpus;
	if (libxl_cpu_bitmap_alloc(xen->ctx, &b_info->avail_vcpus, vcpus))
		abort();
	libxl_bitmap_set_any(&b_info->avail_vcpus);
	configure_cpus(xen->ctx, b_info, spec, plan, vcpus);
	configure_devices(xen->ctx, config, spec, plan);
	/* Placement asks about every domain and every processor, for each guest anew. */
	libxl_defbool_set(&b_info->numa_placement, false);
	libxl_defbool_set(&b_info->claim_mode, false);

	/* A domain that ends stays, until the engine has had its say. */
	config->on_poweroff = config->on_reboot = config->on_watchdog = config->on_crash =
		config->on_soft_reset = LIBXL_ACTION_ON_SHUTDOWN_PRESERVE;
}
