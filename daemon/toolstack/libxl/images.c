#include "toolstack/libxl/images.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/whole.h"
#include "toolstack/backend.h"

#define FIELD	    "suspend_dir"
#define SUFFIX	    ".save"
#define SUFFIX_HALF ".save.tmp"
#define NAME_SIZE   64

static void make_name(char out[NAME_SIZE], const uint8_t u[16], const char *suffix)
{
	snprintf(out, NAME_SIZE,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x%s", u[0],
		 u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13],
		 u[14], u[15], suffix);
}

/* False if the name is not that of an image, or of a half written one. */
static bool read_name(const char *name, const char *suffix, uint8_t uuid[16])
{
	char again[NAME_SIZE];
	int end = 0;
	uint8_t *u = uuid;

	return sscanf(name,
		      "%2hhx%2hhx%2hhx%2hhx-%2hhx%2hhx-%2hhx%2hhx-%2hhx%2hhx-%2hhx%2hhx%2hhx%2hhx"
		      "%2hhx%2hhx%n",
		      &u[0], &u[1], &u[2], &u[3], &u[4], &u[5], &u[6], &u[7], &u[8], &u[9], &u[10],
		      &u[11], &u[12], &u[13], &u[14], &u[15], &end) == 16 &&
	       (make_name(again, uuid, suffix), strcmp(again, name) == 0);
}

static int each_of(int images, const char *suffix, void (*each)(void *arg, const uint8_t uuid[16]),
		   void *arg, struct error *err)
{
	int fd = openat(images, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	uint8_t uuid[16];

	if (!dir) {
		error_errno(err, "cannot list the suspend images");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while ((entry = readdir(dir)))
		if (read_name(entry->d_name, suffix, uuid))
			each(arg, uuid);
	closedir(dir);
	return 0;
}

static void drop_half(void *arg, const uint8_t uuid[16])
{
	char name[NAME_SIZE];

	make_name(name, uuid, SUFFIX_HALF);
	unlinkat(*(int *)arg, name, 0);
}

/* Its parents as others' folders are, itself ours alone. */
static int make_folder(const char *path, struct error *err)
{
	cleanup_free char *part = strdup(path);

	if (!part)
		return error_errno(err, "%s", path);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return error_field(err, ERROR_SYSTEM, FIELD, path, "cannot make %s: %s",
					   part, strerror(errno));
		*slash = '/';
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_field(err, ERROR_SYSTEM, FIELD, path, "cannot make it: %s",
				   strerror(errno));
	return 0;
}

int images_open(const char *path, struct error *err)
{
	cleanup_close int fd = -1;
	struct stat st;
	int images;

	if (path[0] != '/')
		return error_field(err, ERROR_INPUT, FIELD, path, "expected an absolute path");
	if (make_folder(path, err) < 0)
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_field(err, ERROR_INPUT, FIELD, path, "expected a folder: %s",
				   strerror(errno));
	/* Who can write there can have root restore what he likes; who can read, reads guests. */
	if (st.st_uid != geteuid() || (st.st_mode & 077))
		return error_field(
			err, ERROR_INPUT, FIELD, path,
			"expected a folder of root's alone; mend it with: chown root %s && "
			"chmod 700 %s",
			path, path);
	images = fd;
	if (each_of(images, SUFFIX_HALF, drop_half, &images, err) < 0)
		return -1;
	return TAKE_FD(fd);
}

int images_create(int images, const uint8_t uuid[16], struct error *err)
{
	char name[NAME_SIZE];
	int fd;

	make_name(name, uuid, SUFFIX_HALF);
	unlinkat(images, name, 0);
	fd = openat(images, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? error_errno(err, "cannot make suspend image %s", name) : fd;
}

/* Behind the stream, which knows its own end: what its domain was made from. */
struct trailer {
	char magic[8];
	uint64_t digest;
};

_Static_assert(sizeof(struct trailer) == IMAGES_TAIL, "an image's end");

static const char magic[8] = "jitsu 1";

static bool write_trailer(int fd, uint64_t digest)
{
	struct trailer trailer = { .digest = digest };

	memcpy(trailer.magic, magic, sizeof magic);
	return lseek(fd, 0, SEEK_END) >= 0 &&
	       write(fd, &trailer, sizeof trailer) == (ssize_t)sizeof trailer;
}

/* 0 if there is none. */
static uint64_t read_trailer(int fd)
{
	struct trailer trailer;
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof trailer ||
	    !whole_read(fd, &trailer, sizeof trailer, (uint64_t)st.st_size - sizeof trailer) ||
	    memcmp(trailer.magic, magic, sizeof magic) != 0)
		return 0;
	return trailer.digest;
}

int images_keep(int images, const uint8_t uuid[16], uint64_t digest, int fd, struct error *err)
{
	char half[NAME_SIZE], whole[NAME_SIZE];

	make_name(half, uuid, SUFFIX_HALF);
	make_name(whole, uuid, SUFFIX);
	/* Costs nothing on a tmpfs. */
	if (!write_trailer(fd, digest) || fdatasync(fd) < 0 ||
	    renameat(images, half, images, whole) < 0 || fsync(images) < 0)
		return error_errno(err, "cannot keep suspend image %s", whole);
	return 0;
}

/* xen/docs/specs/libxl-migration-stream.pandoc, "Stream Header"; big endian. */
static bool has_header(int fd)
{
	static const uint8_t expected[] = { 'L', 'i', 'b', 'x', 'l', 'F', 'm', 't', 0, 0, 0, 2 };
	uint8_t header[sizeof expected];

	return whole_read(fd, header, sizeof header, 0) &&
	       memcmp(header, expected, sizeof header) == 0;
}

/* How often it was taken lies in its mode, which outlives us. */
static const mode_t attempts[] = { 0600, 0400, 0000 };

static bool count_attempt(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	for (size_t i = 0; i + 1 < ARRAY_SIZE(attempts); i++)
		if ((st.st_mode & 0777) == attempts[i])
			return fchmod(fd, attempts[i + 1]) == 0;
	return false;
}

int images_take(int images, const uint8_t uuid[16], uint64_t digest, struct error *err)
{
	cleanup_close int fd = -1;
	char name[NAME_SIZE];
	uint64_t made;

	err->kind = ERROR_NONE;
	make_name(name, uuid, SUFFIX);
	fd = openat(images, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return -1;
	if (fd < 0)
		return error_errno(err, "cannot open suspend image %s", name);
	if (!has_header(fd))
		return error_set(err, ERROR_SYSTEM, "suspend image %s is damaged", name);
	made = read_trailer(fd);
	if (!made)
		return error_set(err, ERROR_SYSTEM, "suspend image %s is cut short", name);
	if (made != digest)
		return error_set(err, ERROR_CONFLICT, BACKEND_CHANGED);
	if (!count_attempt(fd))
		return error_set(err, ERROR_SYSTEM, "suspend image %s could not be restored twice",
				 name);
	return TAKE_FD(fd);
}

void images_untouched(int fd)
{
	fchmod(fd, attempts[0]);
}

bool images_has(int images, const uint8_t uuid[16])
{
	char name[NAME_SIZE];

	make_name(name, uuid, SUFFIX);
	return faccessat(images, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void images_drop(int images, const uint8_t uuid[16])
{
	char name[NAME_SIZE];

	make_name(name, uuid, SUFFIX);
	unlinkat(images, name, 0);
	make_name(name, uuid, SUFFIX_HALF);
	unlinkat(images, name, 0);
}

int images_each(int images, void (*each)(void *arg, const uint8_t uuid[16]), void *arg,
		struct error *err)
{
	return each_of(images, SUFFIX, each, arg, err);
}
