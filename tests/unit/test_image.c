/* Trust in files, and what is a kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xen/elfnote.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "toolstack/image.h"

static char dir[4096];
static bool trusted; /* everything above `dir` is as it must be, so files in it can be trusted */

static const char *in_dir(const char *name)
{
	static char path[2][4200];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
	return path[turn];
}

static const char *write_file(const char *name, const void *data, size_t size)
{
	const char *path = in_dir(name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, size, f), size);
	fclose(f);
	assert_int_equal(chmod(path, 0644), 0);
	return path;
}

/* An ELF file with one note in a segment (or, sections, in a section), of the given type. */
struct image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	Elf64_Shdr sh[3];
	Elf64_Nhdr note[2];
	char names[2][4];
	uint32_t value[2];
	char strings[24];
};

static struct image make_elf(uint32_t note, uint32_t other_note)
{
	struct image image = {
		.eh = { .e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_ehsize = sizeof(Elf64_Ehdr),
			.e_phoff = offsetof(struct image, ph),
			.e_phnum = 1,
			.e_phentsize = sizeof(Elf64_Phdr) },
		.ph = { .p_type = PT_NOTE, .p_offset = offsetof(struct image, note) },
	};
	uint8_t *at = (uint8_t *)image.note;
	uint32_t types[2] = { note, other_note };

	memcpy(image.eh.e_ident, ELFMAG, SELFMAG);
	image.eh.e_ident[EI_CLASS] = ELFCLASS64;
	image.eh.e_ident[EI_DATA] = ELFDATA2LSB;
	for (int i = 0; i < 2 && types[i]; i++) {
		struct {
			Elf64_Nhdr h;
			char name[4];
			uint32_t value;
		} n = { { 4, 4, types[i] }, "Xen", 0 };

		memcpy(at, &n, sizeof n);
		at += sizeof n;
	}
	image.ph.p_filesz = (Elf64_Xword)(at - (uint8_t *)image.note);
	return image;
}

static const char *unbootable(const void *data, size_t size, enum spec_type type)
{
	cleanup_close int fd = open(write_file("k", data, size), O_RDONLY);

	assert_true(fd >= 0);
	return image_unbootable(fd, type);
}

static void test_elf_notes(void **state)
{
	struct image both = make_elf(XEN_ELFNOTE_ENTRY, XEN_ELFNOTE_PHYS32_ENTRY);
	struct image pv = make_elf(XEN_ELFNOTE_HYPERCALL_PAGE, 0);
	struct image pvh = make_elf(XEN_ELFNOTE_PHYS32_ENTRY, 0);
	struct image none = make_elf(0, 0);
	struct image other = make_elf(XEN_ELFNOTE_ENTRY, 0);

	(void)state;
	assert_null(unbootable(&both, sizeof both, SPEC_TYPE_PV));
	assert_null(unbootable(&both, sizeof both, SPEC_TYPE_PVH));
	assert_null(unbootable(&pv, sizeof pv, SPEC_TYPE_PV));
	assert_non_null(strstr(unbootable(&pv, sizeof pv, SPEC_TYPE_PVH), "PHYS32_ENTRY"));
	assert_null(unbootable(&pvh, sizeof pvh, SPEC_TYPE_PVH));
	assert_non_null(strstr(unbootable(&pvh, sizeof pvh, SPEC_TYPE_PV), "pvh alone"));
	assert_non_null(
		strstr(unbootable(&none, sizeof none, SPEC_TYPE_PV), "without Xen's notes"));
	/* A note of that type by somebody else. */
	((char *)other.note)[sizeof(Elf64_Nhdr)] = 'Y';
	assert_non_null(unbootable(&other, sizeof other, SPEC_TYPE_PV));
}

static void test_elf_sections(void **state)
{
	struct image image = make_elf(XEN_ELFNOTE_ENTRY, 0);

	(void)state;
	image.eh.e_phnum = 0;
	assert_non_null(unbootable(&image, sizeof image, SPEC_TYPE_PV));
	image.eh.e_shoff = offsetof(struct image, sh);
	image.eh.e_shnum = 3;
	image.eh.e_shstrndx = 2;
	image.eh.e_shentsize = sizeof(Elf64_Shdr);
	image.sh[1].sh_type = SHT_NOTE;
	image.sh[1].sh_offset = image.ph.p_offset;
	image.sh[1].sh_size = image.ph.p_filesz;
	assert_null(unbootable(&image, sizeof image, SPEC_TYPE_PV));
	/* Before there were notes: a section of that name. */
	image.sh[1].sh_type = SHT_PROGBITS;
	assert_non_null(unbootable(&image, sizeof image, SPEC_TYPE_PV));
	memcpy(image.strings, "\0__xen_guest", 13);
	image.sh[1].sh_name = 1;
	image.sh[2].sh_offset = offsetof(struct image, strings);
	image.sh[2].sh_size = sizeof image.strings;
	assert_null(unbootable(&image, sizeof image, SPEC_TYPE_PV));
}

static void test_damaged_elf(void **state)
{
	struct image good = make_elf(XEN_ELFNOTE_ENTRY, XEN_ELFNOTE_PHYS32_ENTRY), image;

	(void)state;
	/* Cut anywhere, and with any byte of its headers changed, it is refused or taken, and
	 * nothing is read that is not there: that is for the sanitizers to see. */
	for (size_t size = 0; size < sizeof good; size++)
		unbootable(&good, size, SPEC_TYPE_PV);
	assert_non_null(unbootable(&good, sizeof good.eh, SPEC_TYPE_PV));
	for (size_t i = 0; i < offsetof(struct image, names); i++) {
		image = good;
		((uint8_t *)&image)[i] ^= 0xff;
		unbootable(&image, sizeof image, SPEC_TYPE_PV);
	}
	image = good;
	image.note[0].n_namesz = image.note[0].n_descsz = UINT32_MAX;
	assert_non_null(unbootable(&image, sizeof image, SPEC_TYPE_PV));
	image = good;
	image.ph.p_filesz = UINT64_MAX;
	assert_non_null(unbootable(&image, sizeof image, SPEC_TYPE_PV));
	image = good;
	image.eh.e_phnum = UINT16_MAX;
	assert_non_null(unbootable(&image, sizeof image, SPEC_TYPE_PV));
}

static void test_other_kinds(void **state)
{
	uint8_t bzimage[0x400] = { 'M', 'Z' };
	static const uint8_t gzip[] = { 0x1f, 0x8b, 8, 0 };
	static const char text[] = "#!/bin/sh\necho no kernel\n";

	(void)state;
	memset(bzimage + 2, 0x90, 64);
	assert_non_null(unbootable(bzimage, sizeof bzimage, SPEC_TYPE_PV));
	memcpy(bzimage + 0x1fe, "\x55\xaa", 2);
	memcpy(bzimage + 0x202, "HdrS", 4);
	assert_null(unbootable(bzimage, sizeof bzimage, SPEC_TYPE_PV));
	assert_null(unbootable(bzimage, sizeof bzimage, SPEC_TYPE_PVH));
	assert_null(unbootable(gzip, sizeof gzip, SPEC_TYPE_PV));
	assert_non_null(strstr(unbootable(gzip, sizeof gzip, SPEC_TYPE_HVM), "bzImage"));
	assert_null(unbootable(bzimage, sizeof bzimage, SPEC_TYPE_HVM));
	assert_non_null(
		strstr(unbootable(text, sizeof text, SPEC_TYPE_PV), "neither ELF nor bzImage"));
	assert_non_null(strstr(unbootable("", 0, SPEC_TYPE_PV), "shorter"));
}

static void refused(const char *path, const char *why)
{
	char *resolved = NULL;
	struct error err;

	assert_int_equal(image_check_ramdisk(path, &resolved, &err), -1);
	assert_null(resolved);
	assert_string_equal(err.field, "ramdisk");
	assert_int_equal(err.kind, ERROR_INPUT);
	if (!strstr(err.text, why))
		fail_msg("expected \"%s\" in: %s", why, err.text);
}

static void need_trust(void)
{
	if (!trusted) {
		print_message("skipped: %s is below a directory that others can write\n", dir);
		skip();
	}
}

static void test_paths(void **state)
{
	(void)state;
	refused("kernel", "expected an absolute path");
	refused("", "expected an absolute path");
	refused("/no/such/file", "no such file");
	refused("/etc/passwd/x", "Not a directory");
	refused("/etc", "expected a regular file");
}

static void test_trust(void **state)
{
	struct image image = make_elf(XEN_ELFNOTE_ENTRY, 0);
	cleanup_free char *resolved = NULL;
	const char *path = write_file("ramdisk", &image, sizeof image);
	struct error err;

	(void)state;
	need_trust();
	assert_int_equal(image_check_ramdisk(path, &resolved, &err), 0);
	assert_string_equal(resolved, path);
	assert_int_equal(chmod(path, 0664), 0);
	refused(path, "chmod go-w");
	refused(path, path);
	assert_int_equal(chmod(path, 0646), 0);
	refused(path, "can be written by others");
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(chmod(dir, 0777), 0);
	refused(path, dir);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	refused(in_dir("fifo"), "expected a regular file");
	refused(dir, "expected a regular file");
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 65534, 65534), 0);
		refused(path, "belongs to user 65534");
		refused(path, "chown root");
		assert_int_equal(chown(path, 0, 0), 0);
	}
}

static void test_symbolic_link(void **state)
{
	struct image image = make_elf(XEN_ELFNOTE_ENTRY, 0);
	cleanup_free char *resolved = NULL;
	const char *path = write_file("kernel", &image, sizeof image);
	char link[] = "/tmp/jitsu-image-XXXXXX";
	struct error err = { .kind = ERROR_NONE };

	(void)state;
	need_trust();
	close(mkstemp(link));
	unlink(link);
	/* A link that others could change is harmless: what is opened is where it led when the
	 * way there was checked. */
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(image_check_kernel(link, SPEC_TYPE_PV, &resolved, &err), 0);
	assert_string_equal(resolved, path);
	unlink(link);
}

static void test_kernel(void **state)
{
	struct image image = make_elf(XEN_ELFNOTE_ENTRY, 0);
	cleanup_free char *resolved = NULL;
	const char *path = write_file("kernel", &image, sizeof image);
	struct error err;

	(void)state;
	need_trust();
	assert_int_equal(image_check_kernel(path, SPEC_TYPE_PV, &resolved, &err), 0);
	assert_string_equal(resolved, path);
	free(TAKE(resolved));
	assert_int_equal(image_check_kernel(path, SPEC_TYPE_PVH, &resolved, &err), -1);
	assert_null(resolved);
	assert_string_equal(err.field, "kernel");
}

static bool is_trusted(void)
{
	char *resolved = NULL;
	struct error err;
	bool good = image_check_ramdisk(write_file("probe", "x", 1), &resolved, &err) == 0;

	free(resolved);
	return good;
}

/* In the folder of the build, because /tmp is everybody's. */
static int setup(void **state)
{
	char template[] = "test-image-XXXXXX";
	cleanup_free char *real = NULL;

	(void)state;
	umask(022);
	if (!mkdtemp(template) || !(real = realpath(template, NULL)))
		return -1;
	snprintf(dir, sizeof dir, "%s", real);
	chmod(dir, 0755);
	trusted = is_trusted();
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "k", "ramdisk", "kernel", "fifo", "probe" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unlink(in_dir(names[i]));
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_elf_notes),     cmocka_unit_test(test_elf_sections),
		cmocka_unit_test(test_damaged_elf),   cmocka_unit_test(test_other_kinds),
		cmocka_unit_test(test_paths),	      cmocka_unit_test(test_trust),
		cmocka_unit_test(test_symbolic_link), cmocka_unit_test(test_kernel),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
