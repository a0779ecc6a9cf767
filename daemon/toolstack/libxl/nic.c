#include "toolstack/libxl/nic.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <xen/io/xenbus.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "proto/spec.h"
#include "toolstack/libxl/xen.h"

#define PATH_SIZE 128
/* For libxl, should somebody destroy the domain with it: it insists on a script. */
#define NO_SCRIPT "/bin/true"
#define TRIES	  100 /* of a transaction that others get in the way of */

/* A folder that is being filled: the first failure is remembered. */
struct folder {
	struct xs_handle *store;
	xs_transaction_t transaction;
	char path[PATH_SIZE];
	int failed; /* errno */
};

/* Its children inherit the permissions: `owner` and domain 0 do all, `reader` reads. */
static void make(struct folder *f, uint32_t owner, uint32_t reader)
{
	struct xs_permissions permissions[] = { { owner, XS_PERM_NONE }, { reader, XS_PERM_READ } };

	if (!f->failed && (!xs_mkdir(f->store, f->transaction, f->path) ||
			   !xs_set_permissions(f->store, f->transaction, f->path, permissions,
					       ARRAY_SIZE(permissions))))
		f->failed = errno;
}

__attribute__((format(printf, 3, 4))) static void put(struct folder *f, const char *key,
						      const char *fmt, ...)
{
	char path[PATH_SIZE + 32], value[PATH_SIZE];
	va_list ap;

	if (f->failed)
		return;
	va_start(ap, fmt);
	vsnprintf(value, sizeof value, fmt, ap);
	va_end(ap);
	snprintf(path, sizeof path, "%s/%s", f->path, key);
	if (!xs_write(f->store, f->transaction, path, value, (unsigned)strlen(value)))
		f->failed = errno;
}

/* 0 or errno. */
static int write_nic(struct xen *xen, xs_transaction_t transaction, uint32_t domid,
		     const struct spec *spec, size_t i)
{
	struct folder front = { .store = xen->store, .transaction = transaction };
	struct folder back = front, libxl = front;
	char mac_text[18];
	uint8_t mac[6];

	spec_mac(spec, i, mac);
	snprintf(mac_text, sizeof mac_text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	snprintf(front.path, PATH_SIZE, "/local/domain/%u/device/vif/%zu", domid, i);
	snprintf(back.path, PATH_SIZE, "/local/domain/0/backend/vif/%u/%zu", domid, i);
	snprintf(libxl.path, PATH_SIZE, "/libxl/%u/device/vif/%zu", domid, i);

	make(&front, domid, 0);
	put(&front, "backend", "%s", back.path);
	put(&front, "backend-id", "0");
	put(&front, "handle", "%zu", i);
	put(&front, "mac", "%s", mac_text);
	put(&front, "state", "%d", XenbusStateInitialising);

	make(&back, 0, domid);
	put(&back, "frontend", "%s", front.path);
	put(&back, "frontend-id", "%u", domid);
	put(&back, "online", "1");
	put(&back, "handle", "%zu", i);
	put(&back, "mac", "%s", mac_text);
	put(&back, "bridge", "%s", spec->nic.v[i]);
	put(&back, "script", NO_SCRIPT);
	put(&back, "type", "vif");
	/* The guest runs only after its interfaces are plugged: netback need not wait for it. */
	put(&back, "hotplug-status", "connected");
	put(&back, "state", "%d", XenbusStateInitialising);

	/* So that `xl network-list` and `xl destroy` know of it. */
	put(&libxl, "backend", "%s", back.path);
	put(&libxl, "handle", "%zu", i);
	put(&libxl, "mac", "%s", mac_text);
	return front.failed ? front.failed : back.failed ? back.failed : libxl.failed;
}

/* 0 or errno. */
static int write_all(struct xen *xen, uint32_t domid, const struct spec *spec)
{
	xs_transaction_t transaction = xs_transaction_start(xen->store);
	int failed = 0;

	if (transaction == XBT_NULL)
		return errno;
	for (size_t i = 0; i < spec->nic.n && !failed; i++)
		failed = write_nic(xen, transaction, domid, spec, i);
	if (!xs_transaction_end(xen->store, transaction, failed != 0) && !failed)
		failed = errno;
	return failed;
}

int nic_add(struct xen *xen, uint32_t domid, const struct spec *spec, struct error *err)
{
	int failed = spec->nic.n > 0 ? EAGAIN : 0;

	for (unsigned i = 0; i < TRIES && failed == EAGAIN; i++)
		failed = write_all(xen, domid, spec);
	if (failed) {
		errno = failed;
		return error_errno(err, "cannot write the nics of domain %u to xenstore", domid);
	}
	return 0;
}

void nic_remove(struct xen *xen, uint32_t domid)
{
	char path[PATH_SIZE];

	/* libxl's first, so that it does not wait for a backend that is gone. */
	snprintf(path, sizeof path, "/libxl/%u/device/vif", domid);
	xs_rm(xen->store, XBT_NULL, path);
	snprintf(path, sizeof path, "/local/domain/0/backend/vif/%u", domid);
	xs_rm(xen->store, XBT_NULL, path);
}
