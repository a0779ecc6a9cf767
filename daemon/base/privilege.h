/* Giving up what a process does not need. */
#ifndef JITSU_BASE_PRIVILEGE_H
#define JITSU_BASE_PRIVILEGE_H

#include <sys/types.h>

struct error;

struct privilege_user {
	uid_t uid;
	gid_t gid;
};

/* Looks a user up by name. 0, or -1 with an error. */
int privilege_find(const char *name, struct privilege_user *user, struct error *err);

/*
 * Becomes that user, with no supplementary group, no capability, and no way to gain any
 * (PR_SET_NO_NEW_PRIVS). For good. A process that is not root only gives up the last. 0, or -1 with
 * an error, after which the process must end.
 */
int privilege_drop(const struct privilege_user *user, struct error *err);

#endif
