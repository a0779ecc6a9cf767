/*
 * The room that touches Xen. Root; it takes its orders from the engine, checks them again, and
 * opens only files that root owns and nobody else can write.
 *
 * toolstack.c the room itself: link to the engine, orders, surveys
 * report.c    what the engine is told of domains
 * backend.h   what a backend is: a table of functions
 * libxl/      the real one; sim/ one without any VM
 * vif.c       network interfaces: bridges, plugging, the first frame
 * image.c     kernels and ramdisks: trust in the file, what it is
 * rumprun.c   rumprun configurations: read, checked, made into the guest's text
 */
#ifndef JITSU_TOOLSTACK_TOOLSTACK_H
#define JITSU_TOOLSTACK_TOOLSTACK_H

struct error;
struct loop;

struct toolstack_config {
	const char *backend;	 /* a name from toolstack_backends */
	unsigned boots;		 /* at most so many builds at once */
	const char *suspend_dir; /* for suspend images: root's alone; made if it is not there; NULL:
				  * guests cannot be suspended */
	const char *synjitsu;	 /* a domain's UUID, name or number; NULL: none */
};

/* Starts the backend. NULL with an error. */
struct toolstack *toolstack_new(struct loop *loop, const struct toolstack_config *config,
				struct error *err);
/* A new connection to the engine, in place of the old one. Takes fd. Orders under way go on; a
 * survey is answered when none is. */
void toolstack_connect_engine(struct toolstack *toolstack, int fd);
/* Waits for what is under way. Domains are left as they are. */
void toolstack_free(struct toolstack *toolstack);

/* Names of the backends built in, ended by NULL. */
const char *const *toolstack_backends(void);

#endif
