#include "toolstack/image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <xen/elfnote.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/whole.h"

#define SEGMENTS_MAX 1024
#define SECTIONS_MAX 65536
#define NOTES_MAX    (1024 * 1024)

/* The owner and mode of one file or directory, or of one of its parents. */
static int check_trust(const char *field, const char *path, const char *part, const struct stat *st,
		       struct error *err)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return error_field(
			err, ERROR_INPUT, field, path,
			"%s belongs to user %u, expected root; mend it with: chown root %s", part,
			(unsigned)st->st_uid, part);
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return error_field(
			err, ERROR_INPUT, field, path,
			"%s can be written by others than root; mend it with: chmod go-w %s", part,
			part);
	return 0;
}

/* `real` is a path without symbolic links. */
static int check_way(const char *field, const char *path, const char *real, struct error *err)
{
	char part[PATH_MAX];
	const char *end = real;
	struct stat st;

	do {
		size_t length;

		end = strchr(end + 1, '/');
		length = end ? (size_t)(end - real) : strlen(real);
		/* The root directory itself is looked at first. */
		if (end == real || length == 0)
			length = 1;
		memcpy(part, real, length);
		part[length] = '\0';
		if (lstat(part, &st) < 0)
			return error_field(err, ERROR_INPUT, field, path, "%s: %s", part,
					   strerror(errno));
		if (check_trust(field, path, part, &st, err) < 0)
			return -1;
	} while (end);
	return 0;
}

/* A descriptor of a regular file that nobody else can change, or -1. */
static int open_trusted(const char *field, const char *path, char **resolved, struct error *err)
{
	cleanup_free char *real = NULL;
	cleanup_close int fd = -1;
	struct stat st;

	if (path[0] != '/')
		return error_field(err, ERROR_INPUT, field, path, "expected an absolute path");
	real = realpath(path, NULL);
	if (!real)
		return error_field(err, ERROR_INPUT, field, path, "%s",
				   errno == ENOENT ? "there is no such file" : strerror(errno));
	if (lstat("/", &st) < 0 || check_trust(field, path, "/", &st, err) < 0 ||
	    check_way(field, path, real, err) < 0)
		return -1;
	if (lstat(real, &st) < 0)
		return error_field(err, ERROR_INPUT, field, path, "%s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_field(err, ERROR_INPUT, field, path, "expected a regular file");
	fd = open(real, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return error_field(err, ERROR_INPUT, field, path, "cannot be read: %s",
				   strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_field(err, ERROR_INPUT, field, path, "expected a regular file");
	*resolved = TAKE(real);
	return TAKE_FD(fd);
}

struct elf {
	int fd;
	bool wide;
	uint64_t phoff, shoff;
	unsigned phnum, shnum, shstrndx;
	bool pv, pvh; /* what was found */
};

/* A program header or a section header, of either class. */
struct part {
	uint32_t type, name;
	uint64_t offset, size;
};

#define FILL_ELF(elf, eh)                                                                          \
	do {                                                                                       \
		(elf)->phoff = (eh).e_phoff;                                                       \
		(elf)->shoff = (eh).e_shoff;                                                       \
		(elf)->phnum = (eh).e_phnum;                                                       \
		(elf)->shnum = (eh).e_shnum;                                                       \
		(elf)->shstrndx = (eh).e_shstrndx;                                                 \
	} while (0)

static bool read_header(struct elf *elf, int fd)
{
	unsigned char ident[EI_NIDENT];
	Elf32_Ehdr eh32;
	Elf64_Ehdr eh64;

	*elf = (struct elf){ .fd = fd };
	if (!whole_read(fd, ident, sizeof ident, 0) || ident[EI_DATA] != ELFDATA2LSB)
		return false;
	elf->wide = ident[EI_CLASS] == ELFCLASS64;
	if (elf->wide) {
		if (!whole_read(fd, &eh64, sizeof eh64, 0) ||
		    eh64.e_phentsize != sizeof(Elf64_Phdr))
			return false;
		FILL_ELF(elf, eh64);
	} else {
		if (!whole_read(fd, &eh32, sizeof eh32, 0) ||
		    eh32.e_phentsize != sizeof(Elf32_Phdr))
			return false;
		FILL_ELF(elf, eh32);
	}
	return elf->phnum <= SEGMENTS_MAX && elf->shnum < SECTIONS_MAX;
}

static bool read_segment(const struct elf *elf, unsigned i, struct part *out)
{
	Elf32_Phdr ph32;
	Elf64_Phdr ph64;

	if (elf->wide) {
		if (!whole_read(elf->fd, &ph64, sizeof ph64, elf->phoff + i * sizeof ph64))
			return false;
		*out = (struct part){ ph64.p_type, 0, ph64.p_offset, ph64.p_filesz };
	} else {
		if (!whole_read(elf->fd, &ph32, sizeof ph32, elf->phoff + i * sizeof ph32))
			return false;
		*out = (struct part){ ph32.p_type, 0, ph32.p_offset, ph32.p_filesz };
	}
	return true;
}

static bool read_section(const struct elf *elf, unsigned i, struct part *out)
{
	Elf32_Shdr sh32;
	Elf64_Shdr sh64;

	if (elf->wide) {
		if (!whole_read(elf->fd, &sh64, sizeof sh64, elf->shoff + i * sizeof sh64))
			return false;
		*out = (struct part){ sh64.sh_type, sh64.sh_name, sh64.sh_offset, sh64.sh_size };
	} else {
		if (!whole_read(elf->fd, &sh32, sizeof sh32, elf->shoff + i * sizeof sh32))
			return false;
		*out = (struct part){ sh32.sh_type, sh32.sh_name, sh32.sh_offset, sh32.sh_size };
	}
	return true;
}

static void read_notes(struct elf *elf, const struct part *part)
{
	cleanup_free uint8_t *data = NULL;
	uint64_t at = 0;

	if (part->size > NOTES_MAX || part->size < sizeof(Elf32_Nhdr))
		return;
	data = malloc(part->size);
	if (!data || !whole_read(elf->fd, data, part->size, part->offset))
		return;
	while (part->size - at >= sizeof(Elf32_Nhdr)) {
		Elf32_Nhdr note;
		uint64_t name = at + sizeof note, next;

		memcpy(&note, data + at, sizeof note);
		next = name + ((uint64_t)note.n_namesz + 3) / 4 * 4;
		next += ((uint64_t)note.n_descsz + 3) / 4 * 4;
		if (next > part->size)
			return;
		if (note.n_namesz == 4 && memcmp(data + name, "Xen", 4) == 0) {
			switch (note.n_type) {
			case XEN_ELFNOTE_PHYS32_ENTRY:
				elf->pvh = true;
				break;
			case XEN_ELFNOTE_ENTRY:
			case XEN_ELFNOTE_HYPERCALL_PAGE:
			case XEN_ELFNOTE_XEN_VERSION:
				elf->pv = true;
				break;
			}
		}
		at = next;
	}
}

/* Notes in segments, or else in sections, or else the section that came before there were notes. */
static void search(struct elf *elf)
{
	struct part part, names = { 0 };

	for (unsigned i = 0; i < elf->phnum; i++)
		if (read_segment(elf, i, &part) && part.type == PT_NOTE)
			read_notes(elf, &part);
	if (elf->pv || elf->pvh)
		return;
	for (unsigned i = 0; i < elf->shnum; i++)
		if (read_section(elf, i, &part) && part.type == SHT_NOTE)
			read_notes(elf, &part);
	if (elf->pv || elf->pvh || elf->shstrndx >= elf->shnum ||
	    !read_section(elf, elf->shstrndx, &names))
		return;
	for (unsigned i = 0; i < elf->shnum && !elf->pv; i++) {
		static const char wanted[] = "__xen_guest";
		char name[sizeof wanted];

		elf->pv = read_section(elf, i, &part) && part.name < names.size &&
			  whole_read(elf->fd, name, sizeof name, names.offset + part.name) &&
			  memcmp(name, wanted, sizeof wanted) == 0;
	}
}

const char *image_unbootable(int fd, enum spec_type type)
{
	static const uint8_t gzip[] = { 0x1f, 0x8b };
	uint8_t magic[SELFMAG] = { 0 }, setup[4] = { 0 }, flag[2] = { 0 };
	struct elf elf;

	if (!whole_read(fd, magic, sizeof magic, 0))
		return "no kernel: it is shorter than 4 bytes";
	if (type != SPEC_TYPE_HVM && memcmp(magic, gzip, sizeof gzip) == 0)
		return NULL;
	/* Linux Documentation/arch/x86/boot.rst: boot_flag and header. */
	if (whole_read(fd, flag, sizeof flag, 0x1fe) && flag[0] == 0x55 && flag[1] == 0xaa &&
	    whole_read(fd, setup, sizeof setup, 0x202) && memcmp(setup, "HdrS", sizeof setup) == 0)
		return NULL;
	if (type == SPEC_TYPE_HVM)
		return "no kernel for type hvm: expected a bzImage, which the device model boots";
	if (memcmp(magic, ELFMAG, SELFMAG) != 0)
		return "no kernel: neither ELF nor bzImage, nor one of them compressed by gzip";
	if (!read_header(&elf, fd))
		return "no kernel: its ELF header is damaged or of another machine";
	search(&elf);
	if (!elf.pv && !elf.pvh)
		return "no kernel for Xen: an ELF file without Xen's notes";
	if (type == SPEC_TYPE_PVH && !elf.pvh)
		return "no kernel for type pvh: an ELF file without the note PHYS32_ENTRY";
	if (type == SPEC_TYPE_PV && !elf.pv)
		return "no kernel for type pv: an ELF file with the notes of pvh alone";
	return NULL;
}

int image_check_kernel(const char *path, enum spec_type type, char **resolved, struct error *err)
{
	cleanup_free char *real = NULL;
	cleanup_close int fd = open_trusted("kernel", path, &real, err);
	const char *lack;

	if (fd < 0)
		return -1;
	lack = image_unbootable(fd, type);
	if (lack)
		return error_field(err, ERROR_INPUT, "kernel", path, "%s", lack);
	*resolved = TAKE(real);
	return 0;
}

int image_check_file(const char *field, const char *path, char **resolved, struct error *err)
{
	cleanup_close int fd = open_trusted(field, path, resolved, err);

	return fd < 0 ? -1 : 0;
}

int image_check_ramdisk(const char *path, char **resolved, struct error *err)
{
	return image_check_file("ramdisk", path, resolved, err);
}

char *image_read(const char *field, const char *path, size_t size, size_t *used, struct error *err)
{
	cleanup_free char *real = NULL, *text = NULL;
	cleanup_close int fd = open_trusted(field, path, &real, err);
	struct stat st;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size > size) {
		error_field(err, ERROR_INPUT, field, path, "expected at most %zu bytes", size);
		return NULL;
	}
	size = (size_t)st.st_size;
	text = malloc(size + 1);
	if (!text || !whole_read(fd, text, size, 0)) {
		error_field(err, ERROR_INPUT, field, path, "cannot be read");
		return NULL;
	}
	text[size] = '\0';
	*used = size;
	return TAKE(text);
}
