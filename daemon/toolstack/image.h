/*
 * Kernels, ramdisks and other files: whether one can be trusted, and whether it is something Xen
 * boots. Safe to call from any thread.
 */
#ifndef JITSU_TOOLSTACK_IMAGE_H
#define JITSU_TOOLSTACK_IMAGE_H

#include <stddef.h>

#include "proto/spec.h"

struct error;

/*
 * Trust is as sshd's StrictModes: symbolic links are resolved, and then the file and every
 * directory above it belong to root (or to whom we run as) and only their owner can write them.
 * So nobody else can change what was checked, and *resolved is the path to open, the caller's to
 * free. 0, or -1 with an error that names the field, what is wrong and what mends it; then
 * *resolved is untouched.
 */
int image_check_kernel(const char *path, enum spec_type type, char **resolved, struct error *err);
int image_check_file(const char *field, const char *path, char **resolved, struct error *err);
int image_check_ramdisk(const char *path, char **resolved, struct error *err);

/* A file's text, at most `size` bytes of it, the caller's to free; *used without the NUL at its
 * end. NULL with an error; one that is larger is an error, too. */
char *image_read(const char *field, const char *path, size_t size, size_t *used, struct error *err);

/*
 * What an open file is: NULL if Xen can boot it as a guest of that type, otherwise what it lacks
 * (a constant). ELF files are searched for Xen's notes (xen/include/public/elfnote.h) as libxc
 * does; a bzImage or a gzip-compressed file is taken at its magic. An hvm guest's kernel is loaded
 * by qemu, which knows only the bzImage.
 */
const char *image_unbootable(int fd, enum spec_type type);

#endif
