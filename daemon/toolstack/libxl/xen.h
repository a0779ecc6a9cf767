/*
 * A connection to Xen: a libxl context, a connection to xenstore, and what libxl had to say.
 * Each is used by one thread at a time. No other file includes libxl.h but by this header.
 */
#ifndef JITSU_TOOLSTACK_LIBXL_XEN_H
#define JITSU_TOOLSTACK_LIBXL_XEN_H

#define LIBXL_API_VERSION 0x041400
#include <libxl.h>
#include <libxl_event.h>
#include <libxl_utils.h>
#include <stdbool.h>
#include <xenstore.h>

struct error;

struct xen_log;

struct xen {
	libxl_ctx *ctx;
	/* Without watches, so without libxenstore's reader thread, which makes every call dearer. */
	struct xs_handle *store;
	struct xen_log *log;
	struct xc_interface_core *calls; /* NULL until it is needed */
};

/* Is this a Xen dom0? 0, or -1 with an error that names what is missing. */
int xen_present(struct error *err);

/*
 * Has libxenstore, here and in the programs that libxl starts, reach xenstored through the kernel's
 * device (XENSTORED_PATH, xenstore_lib.h), unless the environment has it another way. Into a socket
 * libxenstore writes a request in two or three parts, and xenstored runs for each; the device
 * passes it on when it is whole. Before there are threads and connections.
 */
void xen_prefer_device(void);

/* With hooks (which outlive it), libxl's descriptors are watched by who gives them; NULL for a
 * connection whose calls all block. NULL with an error. */
struct xen *xen_open(const libxl_osevent_hooks *hooks, void *hooks_arg, struct error *err);
void xen_close(struct xen *xen);

/* For libxl_event_hooks: libxl has lost track of its events. Logs and ends the process; the parent
 * starts it again and it adopts what runs. */
void xen_disaster(void *arg, libxl_event_type type, const char *message, int errnoval);

/* For what libxl does not offer, or NULL with errno; it is the connection's. */
struct xc_interface_core *xen_calls(struct xen *xen);

/* Lets a paused domain that has run before go on. libxl would also talk to an hvm guest's device
 * model, which has not stopped, and fork for that. 0, or -1 with errno. */
int xen_unpause(struct xen *xen, uint32_t domid);

/* Forgets libxl's messages; before an operation whose failure is to be told. */
void xen_begin(struct xen *xen);

/* Fills *err (ERROR_SYSTEM): the text, then libxl's error code and the errors that libxl, libxc
 * and libxenguest have logged since xen_begin. Returns -1. */
int xen_error(struct xen *xen, int rc, struct error *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Writes and reads below a domain's own folder in xenstore, or, where the key begins with a slash,
 * anywhere, outside any transaction. The text read is NULL if there is none; the caller frees
 * it. */
bool xen_write(struct xen *xen, uint32_t domid, const char *key, const char *value);
char *xen_read(struct xen *xen, uint32_t domid, const char *key);

#endif
