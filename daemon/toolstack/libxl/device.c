#include "toolstack/libxl/device.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/xenbus.h>

#include "base/cleanup.h"
#include "toolstack/libxl/xen.h"

/* For libxl, should somebody destroy the domain with it: it insists on a script. */
#define NO_SCRIPT  "/bin/true"
#define TRIES	   100 /* of a transaction that others get in the way of */
#define VALUE_SIZE 4096

/* Its children inherit the permissions: `owner` and domain 0 do all, `reader` reads. */
static void make(struct device *d, const char *path, uint32_t owner, uint32_t reader)
{
	struct xs_permissions permissions[] = { { owner, XS_PERM_NONE }, { reader, XS_PERM_READ } };

	if (!d->failed && (!xs_mkdir(d->store, d->transaction, path) ||
			   !xs_set_permissions(d->store, d->transaction, path, permissions,
					       ARRAY_SIZE(permissions))))
		d->failed = errno;
}

__attribute__((format(printf, 4, 0))) static void put(struct device *d, const char *folder,
						      const char *key, const char *fmt, va_list ap)
{
	char path[DEVICE_PATH_SIZE + 32], value[VALUE_SIZE];

	if (d->failed)
		return;
	vsnprintf(value, sizeof value, fmt, ap);
	snprintf(path, sizeof path, "%s/%s", folder, key);
	if (!xs_write(d->store, d->transaction, path, value, (unsigned)strlen(value)))
		d->failed = errno;
}

#define PUT(folder)                                                                                \
	do {                                                                                       \
		va_list ap;                                                                        \
                                                                                                   \
		va_start(ap, fmt);                                                                 \
		put(device, device->folder, key, fmt, ap);                                         \
		va_end(ap);                                                                        \
	} while (0)

void device_front(struct device *device, const char *key, const char *fmt, ...)
{
	PUT(front);
}

void device_back(struct device *device, const char *key, const char *fmt, ...)
{
	PUT(back);
}

void device_libxl(struct device *device, const char *key, const char *fmt, ...)
{
	PUT(libxl);
}

void device_begin(struct device *device, struct xen *xen, xs_transaction_t transaction,
		  uint32_t domid, const char *kind, unsigned number)
{
	*device =
		(struct device){ .store = xen->store, .transaction = transaction, .domid = domid };
	snprintf(device->front, DEVICE_PATH_SIZE, "/local/domain/%u/device/%s/%u", domid, kind,
		 number);
	snprintf(device->back, DEVICE_PATH_SIZE, "/local/domain/0/backend/%s/%u/%u", kind, domid,
		 number);
	snprintf(device->libxl, DEVICE_PATH_SIZE, "/libxl/%u/device/%s/%u", domid, kind, number);

	make(device, device->front, domid, 0);
	device_front(device, "backend", "%s", device->back);
	device_front(device, "backend-id", "0");
	device_front(device, "state", "%d", XenbusStateInitialising);
	make(device, device->back, 0, domid);
	device_back(device, "frontend", "%s", device->front);
	device_back(device, "frontend-id", "%u", domid);
	device_back(device, "online", "1");
	device_back(device, "script", NO_SCRIPT);
	/* The guest runs only after its devices are there: the backend need not wait for a script. */
	device_back(device, "hotplug-status", "connected");
	device_back(device, "state", "%d", XenbusStateInitialising);
	/* So that `xl network-list`, `xl block-list` and `xl destroy` know of it. */
	device_libxl(device, "frontend", "%s", device->front);
	device_libxl(device, "backend", "%s", device->back);
}

int device_write(struct xen *xen, int (*fill)(xs_transaction_t transaction, void *arg), void *arg)
{
	int failed = EAGAIN;

	for (unsigned i = 0; i < TRIES && failed == EAGAIN; i++) {
		xs_transaction_t transaction = xs_transaction_start(xen->store);

		if (transaction == XBT_NULL)
			return -1;
		failed = fill(transaction, arg);
		if (!xs_transaction_end(xen->store, transaction, failed != 0) && !failed)
			failed = errno;
	}
	errno = failed;
	return failed ? -1 : 0;
}

void device_remove(struct xen *xen, uint32_t domid, const char *kind)
{
	char path[DEVICE_PATH_SIZE];

	/* libxl's first, so that it does not wait for a backend that is gone. */
	snprintf(path, sizeof path, "/libxl/%u/device/%s", domid, kind);
	xs_rm(xen->store, XBT_NULL, path);
	snprintf(path, sizeof path, "/local/domain/0/backend/%s/%u", kind, domid);
	xs_rm(xen->store, XBT_NULL, path);
}

/* It is, or will not be any more. */
static bool is_connected(struct xen *xen, const char *path)
{
	cleanup_free char *state = xs_read(xen->store, XBT_NULL, path, NULL);

	return state && atoi(state) >= XenbusStateConnected;
}

bool device_connected(struct xen *xen, uint32_t domid, const char *kind)
{
	char path[DEVICE_PATH_SIZE];
	unsigned count = 0;
	cleanup_free char **numbers = NULL;

	snprintf(path, sizeof path, "/local/domain/%u/device/%s", domid, kind);
	numbers = xs_directory(xen->store, XBT_NULL, path, &count);
	for (unsigned i = 0; numbers && i < count; i++) {
		cleanup_free char *backend = NULL;

		snprintf(path, sizeof path, "/local/domain/%u/device/%s/%s/state", domid, kind,
			 numbers[i]);
		if (!is_connected(xen, path))
			return false;
		/* A vbd's may be qdisk. */
		snprintf(path, sizeof path, "/local/domain/%u/device/%s/%s/backend", domid, kind,
			 numbers[i]);
		backend = xs_read(xen->store, XBT_NULL, path, NULL);
		snprintf(path, sizeof path, "%s/state", backend ? backend : "");
		if (!is_connected(xen, path))
			return false;
	}
	return true;
}
