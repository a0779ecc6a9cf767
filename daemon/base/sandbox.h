/* Confining a process to the system calls that it makes (seccomp(2)). */
#ifndef JITSU_BASE_SANDBOX_H
#define JITSU_BASE_SANDBOX_H

struct error;

enum sandbox {
	SANDBOX_NONE,
	SANDBOX_DNS = 1,
	SANDBOX_ENGINE = 2,
	SANDBOX_SYNJITSU = 4,
};

/*
 * From here on this process and its threads make the calls of sandbox.tbl.h only; others fail with
 * EPERM. It can start no thread and no program. For good, after PR_SET_NO_NEW_PRIVS. Does nothing
 * for SANDBOX_NONE, and in a build with sanitizers, which make calls of their own. 0, or -1 with an
 * error.
 */
int sandbox_enter(enum sandbox who, struct error *err);

#endif
