/*
 * Paravirtual devices in xenstore, written by us: libxl adds a device at the price of a fork, a
 * script and three times as many calls. The folders of frontend and backend and what belongs into
 * each: xen/docs/misc/xenstore-paths.pandoc.
 */
#ifndef JITSU_TOOLSTACK_LIBXL_DEVICE_H
#define JITSU_TOOLSTACK_LIBXL_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <xenstore.h>

struct error;
struct xen;

#define DEVICE_PATH_SIZE 128

/* A device that is being written, within one transaction: the first failure is remembered. */
struct device {
	struct xs_handle *store;
	xs_transaction_t transaction;
	uint32_t domid;
	char front[DEVICE_PATH_SIZE], back[DEVICE_PATH_SIZE], libxl[DEVICE_PATH_SIZE];
	int failed; /* errno */
};

/* The three folders of a device of that kind (`vif`, `vbd`) with what all kinds have. */
void device_begin(struct device *device, struct xen *xen, xs_transaction_t transaction,
		  uint32_t domid, const char *kind, unsigned number);
/* One key, for the guest, for the backend, and for what libxl and xl look up. */
void device_front(struct device *device, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void device_back(struct device *device, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void device_libxl(struct device *device, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Runs `fill` in a transaction, again when others got in its way. fill calls the functions above
 * and gives the device's `failed`. 0, or -1 with errno.
 */
int device_write(struct xen *xen, int (*fill)(xs_transaction_t transaction, void *arg), void *arg);

/* Takes away all of a kind that were written so, also from a domain that is gone; the backend lets
 * go of the guest. */
void device_remove(struct xen *xen, uint32_t domid, const char *kind);

/* Whether all of a kind that the guest has are connected, at both ends. False also for one that the
 * guest has no driver for. */
bool device_connected(struct xen *xen, uint32_t domid, const char *kind);

#endif
