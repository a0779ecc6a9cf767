#include "toolstack/libxl/xen.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xencall.h>
#include <xenctrl.h>
#include <xentoollog.h>

#include "base/error.h"
#include "base/log.h"
#include "toolstack/libxl/fork.h"

#define DEVELOP "for development without Xen use -x sim"

/* The first error is the cause, and the last what came of it; those between say less. */
#define LINE_MAX_SIZE 300
struct xen_log {
	xentoollog_logger table; /* first: libxl hands it back to us */
	char first[LINE_MAX_SIZE], last[LINE_MAX_SIZE];
};

/* libxl puts "file:line:function: " in front. */
static const char *without_place(const char *line)
{
	const char *dot = strstr(line, ".c:"), *end;

	if (!dot || strcspn(line, " ") < (size_t)(dot - line))
		return line;
	end = strstr(dot, ": ");
	return end ? end + 2 : line;
}

__attribute__((format(printf, 5, 0))) static void log_message(xentoollog_logger *logger,
							      xentoollog_level level, int errnoval,
							      const char *context,
							      const char *format, va_list ap)
{
	struct xen_log *log = (struct xen_log *)(void *)logger;
	char line[LINE_MAX_SIZE];
	const char *text;
	size_t used;

	if (level < XTL_WARN && !log_enabled(LOG_LEVEL_DEBUG))
		return;
	vsnprintf(line, sizeof line, format, ap);
	if (errnoval >= 0) {
		used = strlen(line);
		snprintf(line + used, sizeof line - used, ": %s", strerror(errnoval));
	}
	line[strcspn(line, "\n")] = '\0';
	log_debug("%s %s: %s", context ? context : "xen",
		  level >= XTL_ERROR  ? "error"
		  : level >= XTL_WARN ? "warning"
				      : "says",
		  line);
	if (level < XTL_ERROR)
		return;
	text = without_place(line);
	if (!log->first[0])
		memccpy(log->first, text, '\0', sizeof log->first);
	else
		memccpy(log->last, text, '\0', sizeof log->last);
}

static void log_destroy(xentoollog_logger *logger)
{
	free(logger);
}

void xen_disaster(void *arg, libxl_event_type type, const char *message, int errnoval)
{
	(void)arg;
	(void)type;
	log_error("libxl gives up: %s: %s", message, strerror(errnoval));
	_exit(EXIT_FAILURE);
}

int xen_present(struct error *err)
{
	static const char *const files[] = { "/proc/xen/privcmd", "/dev/xen/privcmd" };
	struct stat st;

	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		if (stat(files[i], &st) == 0)
			return 0;
	return error_set(err, ERROR_SYSTEM,
			 "this is not a Xen dom0: neither %s nor %s is there; " DEVELOP, files[0],
			 files[1]);
}

void xen_prefer_device(void)
{
	static const char device[] = "/dev/xen/xenbus";

	if (access(device, R_OK | W_OK) == 0)
		setenv("XENSTORED_PATH", device, 0);
}

/* Opens what libxl's child opens, and takes a hypercall's buffer. */
static void probe(void)
{
	xencall_handle *call = xencall_open(NULL, 0);

	if (!call)
		return;
	xencall_free_buffer(call, xencall_alloc_buffer(call, 1));
	xencall_close(call);
}

static pid_t fork_child(void *arg)
{
	(void)arg;
	return fork_apart(fork_usable(probe));
}

struct xen *xen_open(const libxl_osevent_hooks *hooks, void *hooks_arg, struct error *err)
{
	static const libxl_event_hooks events = { .event_occurs_mask = 0,
						  .disaster = xen_disaster };
	static const libxl_childproc_hooks children = {
		.chldowner = libxl_sigchld_owner_libxl_always_selective_reap,
		.fork_replacement = fork_child,
	};
	struct xen *xen = calloc(1, sizeof *xen);
	int rc;

	if (!xen || !(xen->log = calloc(1, sizeof *xen->log))) {
		error_errno(err, "cannot open Xen");
		goto fail;
	}
	xen->log->table.vmessage = log_message;
	xen->log->table.destroy = log_destroy;
	rc = libxl_ctx_alloc(&xen->ctx, LIBXL_VERSION, 0, &xen->log->table);
	if (rc) {
		xen->ctx = NULL;
		xen_error(xen, rc, err,
			  "this is not a Xen dom0, or its xenstored does not run: libxl cannot be "
			  "opened");
		goto fail;
	}
	/* Before all else: setting the mode registers a descriptor. */
	if (hooks)
		libxl_osevent_register_hooks(xen->ctx, hooks, hooks_arg);
	libxl_childproc_setmode(xen->ctx, &children, NULL);
	libxl_event_register_callbacks(xen->ctx, &events, NULL);
	xen->store = xs_open(0);
	if (!xen->store) {
		error_errno(err, "cannot connect to xenstored");
		goto fail;
	}
	return xen;
fail:
	xen_close(xen);
	return NULL;
}

void xen_close(struct xen *xen)
{
	if (!xen)
		return;
	if (xen->store)
		xs_close(xen->store);
	if (xen->ctx)
		libxl_ctx_free(xen->ctx);
	if (xen->calls)
		xc_interface_close(xen->calls);
	free(xen->log);
	free(xen);
}

struct xc_interface_core *xen_calls(struct xen *xen)
{
	if (!xen->calls)
		xen->calls = xc_interface_open(&xen->log->table, NULL, 0);
	return xen->calls;
}

int xen_unpause(struct xen *xen, uint32_t domid)
{
	return xen_calls(xen) ? xc_domain_unpause(xen->calls, domid) : -1;
}

void xen_begin(struct xen *xen)
{
	xen->log->first[0] = xen->log->last[0] = '\0';
}

int xen_error(struct xen *xen, int rc, struct error *err, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	const struct xen_log *log = xen->log;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return error_set(err, ERROR_SYSTEM, "%s (%s)%s%s%s%s", text, libxl_error_to_string(rc),
			 log->first[0] ? ": " : "", log->first, log->last[0] ? "; " : "",
			 log->last);
}

#define PATH_SIZE 1152 /* a key is up to 1,023 bytes */

static void make_path(char out[PATH_SIZE], uint32_t domid, const char *key)
{
	if (*key == '/')
		snprintf(out, PATH_SIZE, "%s", key);
	else
		snprintf(out, PATH_SIZE, "/local/domain/%u/%s", domid, key);
}

bool xen_write(struct xen *xen, uint32_t domid, const char *key, const char *value)
{
	char path[PATH_SIZE];

	make_path(path, domid, key);
	return xs_write(xen->store, XBT_NULL, path, value, (unsigned)strlen(value));
}

char *xen_read(struct xen *xen, uint32_t domid, const char *key)
{
	char path[PATH_SIZE];

	make_path(path, domid, key);
	return xs_read(xen->store, XBT_NULL, path, NULL);
}
