/* What the libxl backend needs no Xen for: suspend images, last words, keys, disks, CPUs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/loop.h"
#include "proto/spec.h"
#include "toolstack/backend.h"
#include "toolstack/libxl/console.h"
#include "toolstack/libxl/cpus.h"
#include "toolstack/libxl/disk.h"
#include "toolstack/libxl/images.h"
#include "toolstack/libxl/keys.h"
#include "toolstack/libxl/xen.h"

static const uint8_t one[16] = { 0xab, [15] = 1 }, two[16] = { [15] = 2 };

#define DIGEST 77
#define HEADER "LibxlFmt\0\0\0\2"

struct found {
	unsigned count;
	uint8_t last[16];
};

static int setup(void **state)
{
	char *dir = strdup("/tmp/test-images-XXXXXX");

	assert_non_null(mkdtemp(dir));
	*state = dir;
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf '%s'", (char *)*state);
	free(*state);
	return system(command);
}

static void count(void *arg, const uint8_t uuid[16])
{
	struct found *found = arg;

	found->count++;
	memcpy(found->last, uuid, 16);
}

static unsigned each(int images, struct found *found)
{
	struct error err;

	*found = (struct found){ 0 };
	assert_int_equal(images_each(images, count, found, &err), 0);
	return found->count;
}

static int open_or_fail(const char *path)
{
	struct error err;
	int images = images_open(path, &err);

	if (images < 0)
		fail_msg("%s", err.text);
	return images;
}

static void test_life_of_an_image(void **state)
{
	struct error err;
	struct found found;
	struct stat st;
	char path[128];
	int images, fd;

	snprintf(path, sizeof path, "%s/deep/down", (char *)*state);
	images = open_or_fail(path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(each(images, &found), 0);
	assert_int_equal(images_take(images, one, DIGEST, &err), -1);
	assert_int_equal(err.kind, ERROR_NONE);

	/* Not there before it is whole. */
	fd = images_create(images, one, &err);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, HEADER, sizeof HEADER), sizeof HEADER);
	assert_int_equal(images_take(images, one, DIGEST, &err), -1);
	assert_int_equal(err.kind, ERROR_NONE);
	assert_int_equal(each(images, &found), 0);
	assert_false(images_has(images, one));
	assert_int_equal(images_keep(images, one, DIGEST, fd, &err), 0);
	assert_true(images_has(images, one));
	assert_false(images_has(images, two));
	close(fd);
	assert_int_equal(each(images, &found), 1);
	assert_memory_equal(found.last, one, 16);

	/* A second one in its place, given up; neither is left. */
	fd = images_create(images, one, &err);
	close(fd);
	images_drop(images, two);
	assert_int_equal(each(images, &found), 1);
	images_drop(images, one);
	assert_int_equal(each(images, &found), 0);
	assert_int_equal(images_keep(images, one, DIGEST, STDIN_FILENO, &err), -1);
	close(images);
}

/* One that was taken twice and neither used nor given back is not taken a third time. */
static void test_attempts(void **state)
{
	struct error err;
	char header[4] = "";
	int images = open_or_fail(*state);
	int fd = images_create(images, one, &err);

	assert_int_equal(write(fd, HEADER, sizeof HEADER), sizeof HEADER);
	assert_int_equal(images_keep(images, one, DIGEST, fd, &err), 0);
	close(fd);
	for (int i = 0; i < 5; i++) {
		fd = images_take(images, one, DIGEST, &err);
		assert_true(fd >= 0);
		images_untouched(fd);
		close(fd);
	}
	fd = images_take(images, one, DIGEST, &err);
	assert_int_equal(read(fd, header, 3), 3);
	assert_string_equal(header, "Lib");
	close(fd);
	close(images);
	/* It survives who took it. */
	images = open_or_fail(*state);
	fd = images_take(images, one, DIGEST, &err);
	if (geteuid() == 0)
		assert_true(fd >= 0);
	close(fd);
	assert_int_equal(images_take(images, one, DIGEST, &err), -1);
	assert_int_equal(err.kind, ERROR_SYSTEM);
	images_drop(images, one);
	close(images);
}

static void test_damaged(void **state)
{
	struct error err;
	int images = open_or_fail(*state);
	int fd = images_create(images, one, &err);

	assert_int_equal(images_keep(images, one, DIGEST, fd, &err), 0);
	assert_int_equal(images_take(images, one, DIGEST, &err), -1);
	assert_int_equal(err.kind, ERROR_SYSTEM);
	assert_non_null(strstr(err.text, "damaged"));
	assert_int_equal(write(fd, "nothing that libxl has written", 30), 30);
	assert_int_equal(images_take(images, one, DIGEST, &err), -1);
	assert_non_null(strstr(err.text, "damaged"));
	close(fd);
	images_drop(images, one);
	/* Without what is written last. */
	fd = images_create(images, one, &err);
	assert_int_equal(write(fd, HEADER, sizeof HEADER), sizeof HEADER);
	assert_int_equal(images_keep(images, one, DIGEST, fd, &err), 0);
	assert_int_equal(ftruncate(fd, sizeof HEADER + 15), 0);
	assert_int_equal(images_take(images, one, DIGEST, &err), -1);
	assert_non_null(strstr(err.text, "cut short"));
	close(fd);
	close(images);
}

/* Of another specification: it is not tried, and is good for the one that it is of. */
static void test_changed(void **state)
{
	struct error err;
	int images = open_or_fail(*state);
	int fd = images_create(images, one, &err);

	assert_int_equal(write(fd, HEADER, sizeof HEADER), sizeof HEADER);
	assert_int_equal(images_keep(images, one, DIGEST, fd, &err), 0);
	close(fd);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(images_take(images, one, DIGEST + 1, &err), -1);
		assert_string_equal(err.text, BACKEND_CHANGED);
	}
	fd = images_take(images, one, DIGEST, &err);
	assert_true(fd >= 0);
	close(fd);
	images_drop(images, one);
	close(images);
}

static void test_half_ones_are_deleted(void **state)
{
	struct error err;
	struct found found;
	char path[160];
	int images = open_or_fail(*state), fd;

	fd = images_create(images, one, &err);
	assert_int_equal(images_keep(images, one, DIGEST, fd, &err), 0);
	close(fd);
	close(images_create(images, two, &err));
	close(images);
	snprintf(path, sizeof path, "%s/notes.save.tmp", (char *)*state);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	images = open_or_fail(*state);
	assert_int_equal(each(images, &found), 1);
	assert_int_equal(
		faccessat(images, "00000000-0000-0000-0000-000000000002.save.tmp", F_OK, 0), -1);
	/* What bears no name of ours is left alone, and found by nobody. */
	assert_int_equal(access(path, F_OK), 0);
	close(images);
}

static void test_folders_that_are_refused(void **state)
{
	struct error err;
	char path[128];

	assert_int_equal(images_open("relative", &err), -1);
	assert_string_equal(err.field, "suspend_dir");
	assert_int_equal(chmod(*state, 0755), 0);
	assert_int_equal(images_open(*state, &err), -1);
	assert_non_null(strstr(err.text, "chmod 700"));
	assert_int_equal(chmod(*state, 0700), 0);
	snprintf(path, sizeof path, "%s/link", (char *)*state);
	assert_int_equal(symlink(*state, path), 0);
	assert_int_equal(images_open(path, &err), -1);
	if (geteuid() == 0) {
		assert_int_equal(chown(*state, 1, 1), 0);
		assert_int_equal(images_open(*state, &err), -1);
		assert_non_null(strstr(err.text, "chown root"));
	}
}

static void tidied(const char *raw, size_t room, const char *expected)
{
	char out[64];
	size_t n = console_tidy(raw, strlen(raw), out, room);

	assert_string_equal(out, expected);
	assert_int_equal(n, strlen(expected));
}

static void test_last_words(void **state)
{
	(void)state;
	tidied("", 64, "");
	tidied("one\r\ntwo\t3\r\n", 64, "one\ntwo\t3\n");
	tidied("\033[1;31mred\033[0m \033Mup\a\xc3\xa9", 64, "red up???");
	tidied("cut short \033[", 64, "cut short ");
	tidied("cut short \033", 64, "cut short ");
	/* From the end, whole lines where there are any. */
	tidied("first line\nsecond\nthird\n", 15, "second\nthird\n");
	tidied("0123456789", 5, "6789");
	tidied("01234\n", 4, "34\n");
}

static void keep_words(void *arg, const char *text)
{
	snprintf(arg, 64, "%s", text);
}

static void test_terminal(void **state)
{
	struct loop *loop = loop_new(LOOP_CLOCK_FAKE);
	struct console *console;
	char path[128], said[64] = "nothing yet";
	int fd;

	/* A guest of that name has no log; a pipe stands for its terminal. */
	snprintf(path, sizeof path, "%s/tty", (char *)*state);
	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDWR);
	assert_int_equal(write(fd, "Kernel panic\r\n", 14), 14);
	assert_int_equal(console_begin("no-such-guest-at-all"), 0);
	console_read(loop, "no-such-guest-at-all", 0, path, keep_words, said);
	loop_advance(loop, 5 * USEC_PER_MSEC);
	assert_int_equal(write(fd, "so long\r\n", 9), 9);
	assert_string_equal(said, "nothing yet");
	loop_advance(loop, USEC_PER_SEC);
	assert_string_equal(said, "Kernel panic\nso long\n");
	/* Neither log nor terminal; and one that nobody waits for any more. */
	console_read(loop, "no-such-guest-at-all", 0, NULL, keep_words, said);
	loop_advance(loop, USEC_PER_SEC);
	assert_string_equal(said, "");
	console = console_read(loop, "no-such-guest-at-all", 0, path, keep_words, NULL);
	console_free(console);
	loop_advance(loop, USEC_PER_SEC);
	close(fd);
	loop_free(loop);
}

static void test_keys(void **state)
{
	char name[KEYS_NAME_MAX];

	(void)state;
	assert_true(keys_match("data/up", ""));
	assert_true(keys_match("data/up", "anything"));
	assert_false(keys_match("data/up", NULL));
	assert_true(keys_match("data/up=1", "1"));
	assert_false(keys_match("data/up=1", "10"));
	assert_false(keys_match("data/up=1", ""));
	assert_false(keys_match("data/up=", NULL));
	assert_true(keys_match("data/up=", ""));
	assert_true(keys_match("data/up=a=b", "a=b"));
	keys_name(name, "data/up=a=b");
	assert_string_equal(name, "data/up");
	keys_name(name, "data/up");
	assert_string_equal(name, "data/up");
}

static void test_disk_numbers(void **state)
{
	static const struct {
		const char *vdev;
		int number;
	} rows[] = {
		{ "xvda", 51712 },
		{ "xvda1", 51713 },
		{ "xvdb", 51728 },
		{ "xvdp15", 51967 },
		{ "xvdq", (1 << 28) + (16 << 8) },
		{ "xvda16", (1 << 28) + 16 },
		{ "xvdaa", (1 << 28) + (26 << 8) },
		{ "hda", 768 },
		{ "hdb", 832 },
		{ "hdc1", 5633 },
		{ "sda", 2048 },
		{ "sdb1", 2065 },
		{ "hde", -1 },
		{ "sdq", -1 },
		{ "xvda256", -1 },
		{ "xvdA", -1 },
		{ "xvd", -1 },
		{ "xvda-1", -1 },
		{ "vda", -1 },
		{ "", -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (disk_number(rows[i].vdev) != rows[i].number)
			fail_msg("%s: %d", rows[i].vdev, disk_number(rows[i].vdev));
}

/* Its disks, or NULL with what is wrong in *err; a %s in a text becomes the folder. */
static int read_disks(struct disks *disks, struct error *err, const char *dir, size_t n,
		      const char *const *formats)
{
	struct spec spec = { .disk = { .v = calloc(n, sizeof(char *)), .n = n } };
	int r;

	for (size_t i = 0; i < n; i++) {
		const char *percent = strstr(formats[i], "DIR");

		assert_true(asprintf(&spec.disk.v[i], "%.*s%s%s", (int)(percent - formats[i]),
				     formats[i], dir, percent + 3) > 0);
	}
	r = disk_read(&spec, disks, err);
	for (size_t i = 0; i < n; i++)
		free(spec.disk.v[i]);
	free(spec.disk.v);
	return r;
}

static void refused(const char *dir, const char *text, const char *why)
{
	struct disks disks;
	struct error err;

	assert_int_equal(read_disks(&disks, &err, dir, 1, &text), -1);
	assert_string_equal(err.field, "disk");
	if (!strstr(err.text, why))
		fail_msg("%s: %s", text, err.text);
}

static void test_disks(void **state)
{
	static const char *const good[] = { "DIR/a.img@xvda", "DIR/b.ISO@hdc",
					    "DIR/a.img,raw,xvdb,r",
					    "format=raw,vdev=xvdc,access=rw,target=DIR/a.img" };
	static const char *const twice[] = { "DIR/a.img@xvda", "DIR/b.ISO@xvda" };
	char *dir = mkdtemp(strdup("/root/test-disks-XXXXXX"));
	struct disks disks;
	struct error err;
	char path[160];

	(void)state;
	if (!dir) {
		print_message("skipped: not root, and files of others are not trusted\n");
		skip();
	}
	snprintf(path, sizeof path, "%s/a.img", dir);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	snprintf(path, sizeof path, "%s/b.ISO", dir);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	if (read_disks(&disks, &err, dir, 4, good) < 0)
		fail_msg("%s", err.text);
	assert_false(disks.by_libxl);
	assert_int_equal(disks.n, 4);
	assert_string_equal(disks.v[0].vdev, "xvda");
	assert_true(disks.v[0].readwrite && disks.v[3].readwrite);
	assert_false(disks.v[1].readwrite || disks.v[2].readwrite);
	assert_string_equal(disks.v[3].vdev, "xvdc");
	disk_release(&disks);

	assert_int_equal(read_disks(&disks, &err, dir, 2, twice), -1);
	assert_non_null(strstr(err.text, "xvda is the virtual device of another disk"));
	refused(dir, "DIR/none.img@xvda", "no such file");
	refused(dir, "DIR/a.img,raw,nonsense=1", "nonsense");
	refused(dir, "DIR/a.img,raw,vda,w", "virtual device");
	refused(dir, "DIR/a.img,qcow2,xvda,r", "only read");
	refused(dir, "backendtype=qdisk,format=raw,access=ro,vdev=xvda,target=DIR/a.img",
		"only read");
	refused(dir, "script=block-nbd,vdev=xvda,target=DIR/a.img", "scripts");
	refused(dir, "backend=storage,vdev=xvda,target=DIR/a.img", "other domains");
	assert_int_equal(chmod(path, 0666), 0);
	refused(dir, "DIR/b.ISO@xvda", "chmod go-w");
	refused(dir, "DIR@xvda", "regular file");
	snprintf(path, sizeof path, "rm -rf '%s'", dir);
	assert_int_equal(system(path), 0);
	free(dir);
}

static void read_cpus(const char *text, uint8_t expected, const char *why)
{
	uint8_t bits = 0;
	libxl_bitmap bitmap = { .size = 1, .map = &bits };
	struct error err;

	if (cpus_read(text, 8, &bitmap, &err) < 0) {
		assert_string_equal(err.field, "cpus");
		if (!why || !strstr(err.text, why))
			fail_msg("%s: %s", text, err.text);
		return;
	}
	assert_null(why);
	assert_int_equal(bits, expected);
}

static void test_cpus(void **state)
{
	(void)state;
	read_cpus("0", 0x01, NULL);
	read_cpus("0-3,^1", 0x0d, NULL);
	read_cpus("all", 0xff, NULL);
	read_cpus("all,^0,^7", 0x7e, NULL);
	read_cpus("^0-1", 0xfc, NULL);
	read_cpus("5,2", 0x24, NULL);
	read_cpus("8", 0, "up to 7");
	read_cpus("3-1", 0, "ranges");
	read_cpus("1-", 0, "ranges");
	read_cpus("1,,2", 0, "ranges");
	read_cpus("1,", 0, "ranges");
	read_cpus("nodes:0", 0, "ranges");
	read_cpus("1,^1", 0, "at least one");
	read_cpus("99999999999999999999", 0, "up to 7");
}

/* What the administrator says about the way to xenstored holds. */
static void test_way_to_xenstored(void **state)
{
	(void)state;
	setenv("XENSTORED_PATH", "/run/elsewhere", 1);
	xen_prefer_device();
	assert_string_equal(getenv("XENSTORED_PATH"), "/run/elsewhere");
	unsetenv("XENSTORED_PATH");
	xen_prefer_device();
	if (access("/dev/xen/xenbus", R_OK | W_OK) == 0)
		assert_string_equal(getenv("XENSTORED_PATH"), "/dev/xen/xenbus");
	else
		assert_null(getenv("XENSTORED_PATH"));
	unsetenv("XENSTORED_PATH");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life_of_an_image, setup, teardown),
		cmocka_unit_test_setup_teardown(test_attempts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_ones_are_deleted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_folders_that_are_refused, setup, teardown),
		cmocka_unit_test(test_last_words),
		cmocka_unit_test_setup_teardown(test_terminal, setup, teardown),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_disk_numbers),
		cmocka_unit_test(test_disks),
		cmocka_unit_test(test_cpus),
		cmocka_unit_test(test_way_to_xenstored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
