#include "toolstack/libxl/sleep.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "toolstack/libxl/build.h"
#include "toolstack/libxl/device.h"
#include "toolstack/libxl/images.h"
#include "toolstack/libxl/pages.h"
#include "toolstack/libxl/xen.h"

#define CONNECT_LIMIT 3000 /* ms: there may be no driver for a device */
#define CONNECT_STEP  5

int sleep_pause(struct xen *xen, uint32_t domid, struct error *err)
{
	int rc;

	xen_begin(xen);
	rc = libxl_domain_pause(xen->ctx, domid, NULL);
	return rc ? xen_error(xen, rc, err, "cannot pause domain %u", domid) : 0;
}

int sleep_wake(struct xen *xen, uint32_t domid, struct error *err)
{
	return xen_unpause(xen, domid) < 0 ? error_errno(err, "cannot unpause domain %u", domid)
					   : 0;
}

int sleep_shut_down(struct xen *xen, uint32_t domid, struct error *err)
{
	/* xen/docs/misc/xenstore-paths.pandoc, ~/control/shutdown */
	if (!xen_write(xen, domid, "control/shutdown", "poweroff"))
		return error_errno(err, "cannot tell domain %u to shut down", domid);
	return 0;
}

enum state { RUNS, WAITS /* for its suspend to be completed */, ENDED };

static enum state look(struct xen *xen, uint32_t domid)
{
	libxl_dominfo info;
	enum state state = RUNS;
	int rc;

	libxl_dominfo_init(&info);
	rc = libxl_domain_info(xen->ctx, &info, domid);
	if (rc == ERROR_DOMAIN_NOTFOUND || (!rc && info.dying))
		state = ENDED;
	else if (!rc && info.shutdown)
		state = info.shutdown_reason == LIBXL_SHUTDOWN_REASON_SUSPEND ? WAITS : ENDED;
	libxl_dominfo_dispose(&info);
	return state;
}

static void set_mark(struct xen *xen, uint32_t domid, bool on)
{
	char path[64];

	if (on) {
		xen_write(xen, domid, SLEEP_MARK, "1");
		return;
	}
	snprintf(path, sizeof path, "/local/domain/%u/" SLEEP_MARK, domid);
	xs_rm(xen->store, XBT_NULL, path);
}

/* Without it, it is restored all the same, only slower. */
static void index_pages(struct xen *xen, uint32_t domid, int fd)
{
	cleanup_free char *type = NULL;
	char path[32];
	struct error err;

	snprintf(path, sizeof path, "/libxl/%u/type", domid);
	type = xen_read(xen, domid, path);
	if (type && strcmp(type, "pvh") == 0 && pages_index(fd, &err) < 0)
		log_warning("the suspend image of domain %u is restored slowly: %s", domid,
			    err.text);
}

static int save(struct xen *xen, uint32_t domid, int images, const uint8_t uuid[16],
		struct error *err)
{
	cleanup_close int fd = images_create(images, uuid, err);
	struct build_mark mark;
	int rc;

	if (fd < 0)
		return -1;
	build_read_mark(xen, domid, &mark);
	rc = libxl_domain_suspend(xen->ctx, domid, fd, 0, NULL);
	if (rc)
		return xen_error(xen, rc, err, "cannot suspend domain %u", domid);
	index_pages(xen, domid, fd);
	return images_keep(images, uuid, mark.digest, fd, err);
}

/* A Linux guest that is told to suspend while its drivers resume from the last time may come back
 * without its network, or not at all. */
static void await_devices(struct xen *xen, uint32_t domid)
{
	struct timespec pause = { .tv_nsec = CONNECT_STEP * 1000000 };

	for (unsigned past = 0;
	     past < CONNECT_LIMIT && look(xen, domid) == RUNS &&
	     !(device_connected(xen, domid, "vif") && device_connected(xen, domid, "vbd"));
	     past += CONNECT_STEP)
		nanosleep(&pause, NULL);
}

/* As it was before. */
static void undo(struct xen *xen, uint32_t domid, bool paused)
{
	if (look(xen, domid) == WAITS)
		libxl_domain_resume(xen->ctx, domid, 1, NULL);
	if (paused)
		libxl_domain_pause(xen->ctx, domid, NULL);
	set_mark(xen, domid, false);
}

bool sleep_undo(struct xen *xen, uint32_t domid)
{
	if (look(xen, domid) == ENDED)
		return false;
	undo(xen, domid, false);
	return true;
}

enum sleep_end sleep_suspend(struct xen *xen, uint32_t domid, bool paused, int images,
			     const uint8_t uuid[16], struct error *err)
{
	if (images < 0) {
		error_set(err, ERROR_SYSTEM,
			  "domain %u cannot be suspended: there is no suspend_dir", domid);
		return SLEEP_FAILED;
	}
	xen_begin(xen);
	set_mark(xen, domid, true);
	/* It takes part in its own suspend. */
	if (paused && sleep_wake(xen, domid, err) < 0) {
		set_mark(xen, domid, false);
		return SLEEP_FAILED;
	}
	await_devices(xen, domid);
	if (save(xen, domid, images, uuid, err) < 0) {
		enum state state = look(xen, domid);

		images_drop(images, uuid);
		if (state == ENDED && build_destroy(xen, domid, false, err) == 0)
			return SLEEP_DIED;
		if (state != ENDED)
			undo(xen, domid, paused);
		return SLEEP_FAILED;
	}
	if (build_destroy(xen, domid, false, err) < 0) {
		/* Two of it must not be. */
		images_drop(images, uuid);
		undo(xen, domid, paused);
		return SLEEP_FAILED;
	}
	return SLEEP_SUSPENDED;
}
