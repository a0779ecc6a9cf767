/*
 * Memory that went with a high tide: free() keeps what it may need again, and after an attack that
 * is tens of megabytes. Whoever holds much at times says how much, whenever that has changed.
 */
#ifndef JITSU_BASE_TIDE_H
#define JITSU_BASE_TIDE_H

#include <stddef.h>

#define TIDE_MIN ((size_t)4 * 1024 * 1024) /* less is not worth the work */

struct tide {
	size_t most; /* bytes; {0} at first */
};

/* After a fall by TIDE_MIN at least, to a quarter or less, gives what is free to the kernel: some
 * milliseconds' work then, and next to none else. */
void tide_set(struct tide *tide, size_t held);

#endif
