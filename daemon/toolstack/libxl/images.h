/*
 * Suspend images: UUID.save in a folder that is root's (or whose we run as) alone. While one is
 * written it is UUID.save.tmp, so that what bears the other name is whole. Safe to call from any
 * thread; two never write one image at the same time.
 */
#ifndef JITSU_TOOLSTACK_LIBXL_IMAGES_H
#define JITSU_TOOLSTACK_LIBXL_IMAGES_H

#include <stdbool.h>
#include <stdint.h>

struct error;

/* Makes the folder with its parents if it is not there, deletes what was left half written. A
 * descriptor of the folder: whatever becomes of its name, images stay there. -1 with an error. */
int images_open(const char *path, struct error *err);

/* A new file to write an image to, in place of an old one that is half written. -1 with an error. */
int images_create(int images, const uint8_t uuid[16], struct error *err);
/* It is complete: on disk, and from here on the service's image, of a domain that was made from a
 * specification of this digest. 0, or -1 with an error. */
int images_keep(int images, const uint8_t uuid[16], uint64_t digest, int fd, struct error *err);

/*
 * To restore from, if it is of this digest. What comes of it is told by images_drop, or by
 * images_untouched if the image is still good: one whose restore has twice ended without either
 * (libxl 4.17 dies of some broken streams) is not given out a third time. -1 with errno ENOENT if
 * there is none, or with *err filled (else its kind is ERROR_NONE) if there is one that is no good.
 */
int images_take(int images, const uint8_t uuid[16], uint64_t digest, struct error *err);
void images_untouched(int fd);
/* So many bytes at an image's end are not its writer's. */
#define IMAGES_TAIL 16
/* There is a whole one. */
bool images_has(int images, const uint8_t uuid[16]);
/* Deletes it, whole or half written, if there is one. */
void images_drop(int images, const uint8_t uuid[16]);

/* Every whole one. 0, or -1 with an error. */
int images_each(int images, void (*each)(void *arg, const uint8_t uuid[16]), void *arg,
		struct error *err);

#endif
