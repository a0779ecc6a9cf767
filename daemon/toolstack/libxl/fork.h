/*
 * What a child that libxl forks must not inherit. libxl destroys a domain in a child that does not
 * exec, and which takes the lock of its list of recent domids (libxl_domain.c, devices_destroy_cb
 * and libxl__mark_domid_recent; libxl_internal.c, libxl__lock_file). If another thread of ours has
 * that lock at the time, for a domain that it builds, the child inherits its descriptor, and with
 * it the lock: it waits for itself for ever, and its domain is never destroyed.
 */
#ifndef JITSU_TOOLSTACK_LIBXL_FORK_H
#define JITSU_TOOLSTACK_LIBXL_FORK_H

#define FORK_LOCK "/run/xen/domid-history.lock"

/* From now on children of this process close at their birth what they have of the file `path`,
 * which must stay. Again: another path. Before there are threads. */
void fork_init(const char *path);

#endif
