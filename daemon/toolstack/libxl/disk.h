/*
 * Disks. Raw files (through a loop device) and block devices are given to blkback by us, in
 * xenstore, as the nics are: no script, no qemu. Other formats (qcow2, vhd, …) need qemu: then all
 * disks of the service are libxl's to do. So are those of an hvm guest, whose device model shows
 * them to its BIOS; it also serves them to the guest's own drivers, unless a disk says otherwise.
 *
 * `FILE@DEVICE` is a raw file or block device that the guest can write; FILE.iso one that it can
 * only read; FILE.qcow2 (.qcow, .vhd, .vdi no) that format. All else is
 * xl-disk-configuration(5), read by libxlutil; a block-* script, a driver domain and cdrom devices
 * other than for reading are refused by name.
 */
#ifndef JITSU_TOOLSTACK_LIBXL_DISK_H
#define JITSU_TOOLSTACK_LIBXL_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/spec.h"
#include "toolstack/libxl/xen.h"

struct error;

struct disks {
	libxl_device_disk *v;
	size_t n;
	bool by_libxl;
};

/*
 * Reads and checks: the syntax, that files and devices are there and are root's to write alone (a
 * device: root's, and not everybody's), that no virtual device is given twice, that what needs qemu
 * finds one. 0 and *out, to be released; or -1 with an error, *out untouched.
 */
int disk_read(const struct spec *spec, struct disks *out, struct error *err);
void disk_release(struct disks *disks);

/* Is Xen's qemu there, which serves such disks and is the device model of hvm guests? */
bool disk_has_qemu(void);
#define DISK_QEMU "Xen's qemu (Debian: qemu-system-xen)"

/* Gives a domain that has not run yet the disks that are ours to do; blocks until blkback has
 * opened them. 0, or -1 with an error. */
int disk_add(struct xen *xen, uint32_t domid, const struct disks *disks, struct error *err);

/* The number that frontend and backend know a virtual device by (xen/docs/man/
 * xen-vbd-interface.7.pandoc): xvda is 51712. -1 if it is no device's name. */
int disk_number(const char *vdev);

#endif
