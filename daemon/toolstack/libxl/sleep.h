/*
 * How guests are put to sleep and woken. Pause and wake are one hypercall and for the loop's
 * thread; a suspend blocks and is a worker's.
 */
#ifndef JITSU_TOOLSTACK_LIBXL_SLEEP_H
#define JITSU_TOOLSTACK_LIBXL_SLEEP_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct xen;

/* There in xenstore from before a domain is suspended until it is gone or runs again: one that a
 * survey finds so was left by a toolstack that was killed. */
#define SLEEP_MARK "jitsu/suspending"

/* 0, or -1 with an error. Xen counts pauses: never pause one that is paused. */
int sleep_pause(struct xen *xen, uint32_t domid, struct error *err);
int sleep_wake(struct xen *xen, uint32_t domid, struct error *err);
/* Tells it to power off, if it listens. */
int sleep_shut_down(struct xen *xen, uint32_t domid, struct error *err);

enum sleep_end { SLEEP_FAILED = -1, SLEEP_SUSPENDED, SLEEP_DIED };

/*
 * Writes its image into the folder `images`, once its devices are connected, and destroys it.
 * SLEEP_DIED: it ended by itself meanwhile, or was gone, and is destroyed. SLEEP_FAILED, with an
 * error: it goes on as before, and there is no image.
 */
enum sleep_end sleep_suspend(struct xen *xen, uint32_t domid, bool paused, int images,
			     const uint8_t uuid[16], struct error *err);

/* Of one that was told to suspend, and nobody waits for it any more: it goes on, if it waits to be
 * saved, and bears no mark. False, and nothing is done, if it has ended. */
bool sleep_undo(struct xen *xen, uint32_t domid);

#endif
