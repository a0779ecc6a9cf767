/*
 * What a child that libxl forks must not inherit. libxl destroys a domain in a child that does not
 * exec, and which takes the lock of its list of recent domids (libxl_domain.c, devices_destroy_cb
 * and libxl__mark_domid_recent; libxl_internal.c, libxl__lock_file). If another thread of ours has
 * that lock at the time, for a domain that it builds, the child inherits its descriptor, and with
 * it the lock: it waits for itself for ever, and its domain is never destroyed.
 */
#ifndef JITSU_TOOLSTACK_LIBXL_FORK_H
#define JITSU_TOOLSTACK_LIBXL_FORK_H

#include <sys/types.h>

#define FORK_LOCK "/run/xen/domid-history.lock"

/* From now on children of this process close at their birth what they have of the file `path`,
 * which must stay. Again: another path. Before there are threads. */
void fork_init(const char *path);

/*
 * As fork(2), for libxl_childproc_hooks.fork_replacement. A child that does not exec deadlocks with
 * a mutex that another thread has at the fork, and libxl's opens a new connection to Xen, which
 * takes those of libxentoolcore and libxencall (handles.c, buffer.c). `probe` takes them; it is
 * called in the child, and the child is given out once it has come back. One in which it does not
 * come back soon is killed, and another one made. Blocks until then: not for the loop. -1 with
 * errno.
 */
pid_t fork_usable(void (*probe)(void));

/*
 * After a fork for libxl, with what it gave, which it returns. A device model outlives us: children
 * are not of our terminal's group, and they hear signals, which our workers do not (libxl ends a
 * device model by SIGHUP). It is the child of one that waits for it, also when we are killed; from
 * there on that one has none of our locks, for which who comes after us waits.
 */
pid_t fork_apart(pid_t pid);

#endif
