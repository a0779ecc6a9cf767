/* A part of a file, whole or not at all; the file's own offset is neither used nor moved. Nothing
 * but system calls. */
#ifndef JITSU_BASE_WHOLE_H
#define JITSU_BASE_WHOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False with errno, or where the file ends before. */
bool whole_read(int fd, void *to, size_t size, uint64_t at);
bool whole_write(int fd, const void *from, size_t size, uint64_t at);

#endif
