#include "toolstack/libxl/deaths.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/time.h>

#include "base/error.h"
#include "base/loop.h"

/* A descriptor that libxl wants watched. */
struct descriptor {
	struct deaths *deaths;
	int fd;
	short events;
	void *for_libxl;
	struct watch *watch;
};

struct timeout {
	struct deaths *deaths;
	void *for_libxl;
	struct timer *timer;
	LIST_ENTRY(timeout) entry;
};

/* An event that waits for its turn in the loop: libxl may report from within any call. */
struct death {
	uint32_t domid;
	enum deaths_kind kind;
	uint8_t reason;
	STAILQ_ENTRY(death) entry;
};

struct deaths {
	struct loop *loop;
	struct xen *xen;
	deaths_fn *fn;
	void *arg;
	struct timer *turn;
	STAILQ_HEAD(, death) queue;
	LIST_HEAD(, timeout) timeouts;
};

/* libxl's descriptors and timeouts in our loop */

static unsigned to_loop(short events)
{
	return (events & POLLIN ? WATCH_READ : 0u) | (events & POLLOUT ? WATCH_WRITE : 0u);
}

static void on_descriptor(void *arg, unsigned events)
{
	struct descriptor *d = arg;
	struct pollfd pollfd = { .fd = d->fd, .events = d->events };

	(void)events;
	/* libxl may have dealt with it in another call meanwhile, and it wants poll's own flags. */
	if (poll(&pollfd, 1, 0) > 0)
		libxl_osevent_occurred_fd(d->deaths->xen->ctx, d->for_libxl, d->fd, d->events,
					  pollfd.revents);
}

static int fd_register(void *user, int fd, void **out, short events, void *for_libxl)
{
	struct deaths *deaths = user;
	struct descriptor *d = malloc(sizeof *d);

	if (!d)
		return ERROR_OSEVENT_REG_FAIL;
	*d = (struct descriptor){
		.deaths = deaths, .fd = fd, .events = events, .for_libxl = for_libxl
	};
	d->watch = watch_new(deaths->loop, fd, to_loop(events), on_descriptor, d);
	if (!d->watch) {
		free(d);
		return ERROR_OSEVENT_REG_FAIL;
	}
	*out = d;
	return 0;
}

static int fd_modify(void *user, int fd, void **registration, short events)
{
	struct descriptor *d = *registration;

	(void)user;
	(void)fd;
	d->events = events;
	watch_set(d->watch, to_loop(events));
	return 0;
}

static void fd_deregister(void *user, int fd, void *registration)
{
	struct descriptor *d = registration;

	(void)user;
	(void)fd;
	watch_free(d->watch);
	free(d);
}

static void on_timeout(void *arg)
{
	struct timeout *timeout = arg;
	libxl_ctx *ctx = timeout->deaths->xen->ctx;
	void *for_libxl = timeout->for_libxl;

	LIST_REMOVE(timeout, entry);
	timer_free(timeout->timer);
	free(timeout);
	libxl_osevent_occurred_timeout(ctx, for_libxl);
}

static int timeout_register(void *user, void **out, struct timeval when, void *for_libxl)
{
	struct deaths *deaths = user;
	struct timeout *timeout = malloc(sizeof *timeout);
	struct timeval now, left = { 0, 0 };

	if (!timeout)
		return ERROR_OSEVENT_REG_FAIL;
	*timeout = (struct timeout){ .deaths = deaths, .for_libxl = for_libxl };
	timeout->timer = timer_new(deaths->loop, on_timeout, timeout);
	if (!timeout->timer) {
		free(timeout);
		return ERROR_OSEVENT_REG_FAIL;
	}
	gettimeofday(&now, NULL);
	if (timercmp(&when, &now, >))
		timersub(&when, &now, &left);
	timer_set(timeout->timer, (uint64_t)left.tv_sec * USEC_PER_SEC + (uint64_t)left.tv_usec);
	LIST_INSERT_HEAD(&deaths->timeouts, timeout, entry);
	*out = timeout;
	return 0;
}

static int timeout_modify(void *user, void **registration, struct timeval when)
{
	struct timeout *timeout = *registration;

	(void)user;
	(void)when; /* always "as soon as possible" */
	timer_set(timeout->timer, 0);
	return 0;
}

static void timeout_deregister(void *user, void *registration)
{
	(void)user;
	(void)registration; /* never called */
}

/* Events */

static void enqueue(struct deaths *deaths, uint32_t domid, enum deaths_kind kind, uint8_t reason)
{
	struct death *death = malloc(sizeof *death);

	if (!death)
		abort();
	*death = (struct death){ .domid = domid, .kind = kind, .reason = reason };
	STAILQ_INSERT_TAIL(&deaths->queue, death, entry);
	timer_set(deaths->turn, 0);
}

static void on_turn(void *arg)
{
	struct deaths *deaths = arg;
	struct death *death;

	while ((death = STAILQ_FIRST(&deaths->queue))) {
		struct death d = *death;

		STAILQ_REMOVE_HEAD(&deaths->queue, entry);
		free(death);
		deaths->fn(deaths->arg, d.domid, d.kind, d.reason);
	}
}

static void on_event(void *user, libxl_event *event)
{
	struct deaths *deaths = user;

	if (event->type == LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN)
		enqueue(deaths, event->domid, DEATHS_SHUTDOWN,
			event->u.domain_shutdown.shutdown_reason);
	else if (event->type == LIBXL_EVENT_TYPE_DOMAIN_DEATH)
		enqueue(deaths, event->domid, DEATHS_GONE, 0);
	libxl_event_free(deaths->xen->ctx, event);
}

/* Life cycle */

struct deaths *deaths_new(struct loop *loop, deaths_fn *fn, void *arg, struct error *err)
{
	static const libxl_osevent_hooks hooks = {
		.fd_register = fd_register,
		.fd_modify = fd_modify,
		.fd_deregister = fd_deregister,
		.timeout_register = timeout_register,
		.timeout_modify = timeout_modify,
		.timeout_deregister = timeout_deregister,
	};
	static const libxl_event_hooks events = {
		.event_occurs_mask = LIBXL_EVENTMASK_ALL,
		.event_occurs = on_event,
		.disaster = xen_disaster,
	};
	struct deaths *deaths = calloc(1, sizeof *deaths);

	if (!deaths) {
		error_errno(err, "cannot watch domains");
		return NULL;
	}
	*deaths = (struct deaths){ .loop = loop, .fn = fn, .arg = arg };
	STAILQ_INIT(&deaths->queue);
	LIST_INIT(&deaths->timeouts);
	deaths->turn = timer_new(loop, on_turn, deaths);
	if (!deaths->turn) {
		error_errno(err, "cannot watch domains");
		goto fail;
	}
	deaths->xen = xen_open(&hooks, deaths, err);
	if (!deaths->xen)
		goto fail;
	libxl_event_register_callbacks(deaths->xen->ctx, &events, deaths);
	return deaths;
fail:
	deaths_free(deaths);
	return NULL;
}

struct xen *deaths_xen(const struct deaths *deaths)
{
	return deaths->xen;
}

void deaths_free(struct deaths *deaths)
{
	struct death *death;
	struct timeout *timeout;

	if (!deaths)
		return;
	/* First: it gives back its descriptors. */
	xen_close(deaths->xen);
	while ((death = STAILQ_FIRST(&deaths->queue))) {
		STAILQ_REMOVE_HEAD(&deaths->queue, entry);
		free(death);
	}
	while ((timeout = LIST_FIRST(&deaths->timeouts))) {
		LIST_REMOVE(timeout, entry);
		timer_free(timeout->timer);
		free(timeout);
	}
	timer_free(deaths->turn);
	free(deaths);
}

int deaths_watch(struct deaths *deaths, uint32_t domid, libxl_evgen_domain_death **out,
		 struct error *err)
{
	struct xen *xen = deaths->xen;
	libxl_dominfo info;
	int rc;

	xen_begin(xen);
	rc = libxl_evenable_domain_death(xen->ctx, domid, 0, out);
	if (rc)
		return xen_error(xen, rc, err, "cannot watch domain %u", domid);
	/* What happened before the watch was there is seen by looking once, after it is. */
	libxl_dominfo_init(&info);
	rc = libxl_domain_info(xen->ctx, &info, domid);
	if (rc || info.dying)
		enqueue(deaths, domid, DEATHS_GONE, 0);
	else if (info.shutdown)
		enqueue(deaths, domid, DEATHS_SHUTDOWN, (uint8_t)info.shutdown_reason);
	libxl_dominfo_dispose(&info);
	return 0;
}

void deaths_unwatch(struct deaths *deaths, libxl_evgen_domain_death *watch)
{
	libxl_evdisable_domain_death(deaths->xen->ctx, watch);
}
