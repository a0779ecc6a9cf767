#include "toolstack/libxl/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <libxlutil.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "toolstack/image.h"
#include "toolstack/libxl/device.h"

#define FIELD	      "disk"
#define TRIES	      100  /* for a loop device that others take, too */
#define OPEN_LIMIT_MS 5000 /* for blkback to open a disk */

/* Reading */

int disk_number(const char *vdev)
{
	static const struct {
		const char *prefix;
		int major, minors;
	} kinds[] = { { "xvd", 202, 16 }, { "sd", 8, 16 }, { "hd", 3, 64 } };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t n = strlen(kinds[i].prefix);
		int disk, part;
		char *end;

		if (strncmp(vdev, kinds[i].prefix, n) != 0 || vdev[n] < 'a' || vdev[n] > 'z')
			continue;
		disk = vdev[n] - 'a';
		if (vdev[++n] >= 'a' && vdev[n] <= 'z')
			disk = (disk + 1) * 26 + vdev[n++] - 'a';
		part = (int)strtol(vdev + n, &end, 10);
		if (*end || part < 0 || part > 255)
			return -1;
		if (kinds[i].major == 3) {
			static const int majors[] = { 3, 22 };

			return disk < 4 && part < 64
				       ? (majors[disk / 2] << 8) | ((disk % 2) << 6) | part
				       : -1;
		}
		if (disk < 16 && part < 16)
			return (kinds[i].major << 8) | (disk << 4) | part;
		return kinds[i].major == 202 ? (1 << 28) | (disk << 8) | part : -1;
	}
	return -1;
}

static bool ends_in(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n > m && strcasecmp(text + n - m, end) == 0;
}

/* The original's FILE@DEVICE. */
static void read_pair(const char *text, libxl_device_disk *disk)
{
	const char *at = strrchr(text, '@');

	disk->pdev_path = strndup(text, (size_t)(at - text));
	disk->vdev = strdup(at + 1);
	if (!disk->pdev_path || !disk->vdev)
		abort();
	disk->readwrite = !ends_in(disk->pdev_path, ".iso");
	disk->format = ends_in(disk->pdev_path, ".qcow2") ? LIBXL_DISK_FORMAT_QCOW2
							  : LIBXL_DISK_FORMAT_RAW;
}

static int read_xl(const char *text, libxl_device_disk *disk, struct error *err)
{
	cleanup_free char *said = NULL;
	size_t size;
	FILE *report = open_memstream(&said, &size);
	XLU_Config *config = report ? xlu_cfg_init(report, "disk") : NULL;
	int r;

	if (!config)
		abort();
	r = xlu_disk_parse(config, 1, &text, disk);
	xlu_cfg_destroy(config);
	fclose(report);
	if (r)
		return error_field(err, ERROR_INPUT, FIELD, text, "%.*s", (int)strcspn(said, "\n"),
				   *said ? said : strerror(r));
	return 0;
}

/* Its file, and whether it can be trusted; the path becomes the one without symbolic links. */
static int check_target(const char *text, libxl_device_disk *disk, struct error *err)
{
	char *real = NULL;
	struct stat st;

	if (!disk->pdev_path || disk->pdev_path[0] != '/')
		return error_field(err, ERROR_INPUT, FIELD, text,
				   "expected an absolute path of a file or block device");
	if (stat(disk->pdev_path, &st) == 0 && S_ISBLK(st.st_mode)) {
		if (st.st_uid != 0 || (st.st_mode & S_IWOTH))
			return error_field(err, ERROR_INPUT, FIELD, text,
					   "expected a device of root's that not everybody can "
					   "write");
		real = realpath(disk->pdev_path, NULL);
		if (!real)
			return error_field(err, ERROR_INPUT, FIELD, text, "%s", strerror(errno));
	} else if (image_check_file(FIELD, disk->pdev_path, &real, err) < 0) {
		return -1;
	}
	free(disk->pdev_path);
	disk->pdev_path = real;
	return 0;
}

static bool is_ours(const libxl_device_disk *disk)
{
	return disk->format == LIBXL_DISK_FORMAT_RAW &&
	       (disk->backend == LIBXL_DISK_BACKEND_UNKNOWN ||
		disk->backend == LIBXL_DISK_BACKEND_PHY);
}

static int check_disk(const char *text, const libxl_device_disk *disk, struct error *err)
{
	if (disk->script)
		return error_field(err, ERROR_INPUT, FIELD, text, "scripts are not supported");
	if (disk->backend_domname || disk->backend_domid)
		return error_field(err, ERROR_INPUT, FIELD, text,
				   "backends in other domains are not supported");
	if (!disk->vdev || disk_number(disk->vdev) < 0)
		return error_field(err, ERROR_INPUT, FIELD, text,
				   "expected a virtual device such as xvda, hda or sda");
	return 0;
}

static int read_one(const char *text, libxl_device_disk *disk, struct error *err)
{
	if (strpbrk(text, ",=") || !strchr(text, '@')) {
		if (read_xl(text, disk, err) < 0)
			return -1;
	} else {
		read_pair(text, disk);
	}
	return check_disk(text, disk, err) < 0 || check_target(text, disk, err) < 0 ? -1 : 0;
}

/* Where Xen's build and the distributions put it. */
bool disk_has_qemu(void)
{
	static const char *const places[] = {
		"/usr/libexec/xen-qemu-system-i386",
		"/usr/lib/xen-4.17/bin/qemu-system-i386",
		"/usr/lib/xen/bin/qemu-system-i386",
		"/usr/libexec/xen/bin/qemu-system-i386",
		"/usr/local/lib/xen/bin/qemu-system-i386",
		"/usr/libexec/qemu-system-i386",
		"/usr/bin/qemu-system-i386",
	};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (access(places[i], X_OK) == 0)
			return true;
	return false;
}

void disk_release(struct disks *disks)
{
	for (size_t i = 0; i < disks->n; i++)
		libxl_device_disk_dispose(&disks->v[i]);
	free(disks->v);
	*disks = (struct disks){ 0 };
}

int disk_read(const struct spec *spec, struct disks *out, struct error *err)
{
	struct disks disks = { .v = calloc(spec->disk.n + 1, sizeof *disks.v) };

	if (!disks.v)
		abort();
	for (size_t i = 0; i < spec->disk.n; i++) {
		const char *text = spec->disk.v[i];
		libxl_device_disk *disk = &disks.v[i];

		libxl_device_disk_init(disk);
		disks.n = i + 1;
		if (read_one(text, disk, err) < 0)
			goto fail;
		for (size_t j = 0; j < i; j++)
			if (strcmp(disks.v[j].vdev, disk->vdev) == 0) {
				error_field(err, ERROR_INPUT, FIELD, text,
					    "%s is the virtual device of another disk, too",
					    disk->vdev);
				goto fail;
			}
		if (spec->type == SPEC_TYPE_HVM && disk->backend == LIBXL_DISK_BACKEND_UNKNOWN)
			disk->backend = LIBXL_DISK_BACKEND_QDISK;
		else if (spec->type != SPEC_TYPE_HVM && is_ours(disk))
			continue;
		disks.by_libxl = true;
		/* Xen's qemu 7.2 tries for ever ("Block node is read-only"), and the guest waits. */
		if (!disk->readwrite && !disk->is_cdrom &&
		    disk->backend != LIBXL_DISK_BACKEND_PHY) {
			error_field(
				err, ERROR_INPUT, FIELD, text,
				"Xen's qemu serves no disk that is only read; expected one that "
				"can be written, a cdrom, or a raw one with backendtype=phy");
			goto fail;
		}
		if (!disk_has_qemu()) {
			error_field(err, ERROR_INPUT, FIELD, text,
				    "only raw files and block devices work without qemu, which is "
				    "not there; install " DISK_QEMU);
			goto fail;
		}
	}
	*out = disks;
	return 0;
fail:
	disk_release(&disks);
	return -1;
}

/* Loop devices */

/* A loop device over the file, gone when its last user has closed it: its descriptor. */
static int open_loop(const char *path, bool writable, char *name, size_t size, struct error *err)
{
	cleanup_close int file =
		open(path, (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC);
	cleanup_close int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	struct loop_config config = { .info = { .lo_flags = LO_FLAGS_AUTOCLEAR } };

	if (file < 0)
		return error_errno(err, "cannot open %s", path);
	if (control < 0)
		return error_errno(err,
				   "cannot open /dev/loop-control; is the module loop loaded?");
	config.fd = (uint32_t)file;
	if (!writable)
		config.info.lo_flags |= LO_FLAGS_READ_ONLY;
	memccpy(config.info.lo_file_name, path, '\0', LO_NAME_SIZE - 1);
	for (unsigned i = 0; i < TRIES; i++) {
		cleanup_close int loop = -1;
		int number = ioctl(control, LOOP_CTL_GET_FREE);

		if (number < 0)
			break;
		snprintf(name, size, "/dev/loop%d", number);
		loop = open(name, O_RDWR | O_CLOEXEC);
		if (loop >= 0 && ioctl(loop, LOOP_CONFIGURE, &config) == 0)
			return TAKE_FD(loop);
		/* Somebody else has taken it meanwhile. */
		if (loop >= 0 && errno != EBUSY)
			break;
	}
	return error_errno(err, "cannot make a loop device of %s", path);
}

/* The device to give to blkback. */
static int open_device(const libxl_device_disk *disk, char *name, size_t size, struct error *err)
{
	cleanup_close int fd = open(disk->pdev_path, (disk->readwrite ? O_RDWR : O_RDONLY) |
							     O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, "cannot open %s", disk->pdev_path);
	if (!S_ISBLK(st.st_mode))
		return open_loop(disk->pdev_path, disk->readwrite, name, size, err);
	snprintf(name, size, "%s", disk->pdev_path);
	return TAKE_FD(fd);
}

/* blkback */

struct order {
	struct xen *xen;
	uint32_t domid;
	const libxl_device_disk *disk;
	int number;
	const char *name;
	dev_t device;
};

static int write_disk(xs_transaction_t transaction, void *arg)
{
	const struct order *order = arg;
	const libxl_device_disk *disk = order->disk;
	const char *type = disk->is_cdrom ? "cdrom" : "disk";
	struct device d;

	device_begin(&d, order->xen, transaction, order->domid, "vbd", (unsigned)order->number);
	device_front(&d, "virtual-device", "%d", order->number);
	device_front(&d, "device-type", "%s", type);
	device_back(&d, "physical-device", "%x:%x", major(order->device), minor(order->device));
	/* libxl reads them in its own folder, too. */
	for (unsigned i = 0; i < 2; i++) {
		void (*put)(struct device *, const char *, const char *, ...) =
			i == 0 ? device_back : device_libxl;

		put(&d, "params", "%s", order->name);
		put(&d, "mode", "%s", disk->readwrite ? "w" : "r");
		put(&d, "device-type", "%s", type);
		put(&d, "dev", "%s", disk->vdev);
		put(&d, "type", "phy");
		put(&d, "removable", "%d", disk->removable ? 1 : 0);
		put(&d, "bootable", "1");
	}
	return d.failed;
}

/* Its folder in sysfs gets its files when the device is open. */
static int wait_until_open(uint32_t domid, int number, const char *name, struct error *err)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	char path[96];

	snprintf(path, sizeof path, "/sys/bus/xen-backend/devices/vbd-%u-%d/physical_device", domid,
		 number);
	for (unsigned i = 0; i < OPEN_LIMIT_MS; i++) {
		if (access(path, F_OK) == 0)
			return 0;
		nanosleep(&pause, NULL);
	}
	return error_set(err, ERROR_SYSTEM,
			 "blkback did not open %s within %u ms; is xen-blkback loaded, and is the "
			 "device in use?",
			 name, OPEN_LIMIT_MS);
}

static int add_one(struct xen *xen, uint32_t domid, const libxl_device_disk *disk,
		   struct error *err)
{
	char name[4096];
	cleanup_close int fd = open_device(disk, name, sizeof name, err);
	int number = disk_number(disk->vdev);
	struct order order = { xen, domid, disk, number, name, 0 };
	struct stat st;

	if (fd < 0)
		return error_wrap(err, "disk %s", disk->vdev);
	if (fstat(fd, &st) < 0)
		return error_errno(err, "cannot look at %s", name);
	order.device = st.st_rdev;
	if (device_write(xen, write_disk, &order) < 0)
		return error_errno(err, "cannot write disk %s of domain %u to xenstore", disk->vdev,
				   domid);
	if (wait_until_open(domid, number, name, err) < 0)
		return error_wrap(err, "disk %s", disk->vdev);
	return 0;
}

int disk_add(struct xen *xen, uint32_t domid, const struct disks *disks, struct error *err)
{
	if (disks->by_libxl)
		return 0;
	for (size_t i = 0; i < disks->n; i++)
		if (add_one(xen, domid, &disks->v[i], err) < 0)
			return -1;
	return 0;
}
