#include "base/loop.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <time.h>

#define FAKE_EPOCH USEC_PER_SEC

struct loop {
	struct event_base *base;
	enum loop_clock clock;
	uint64_t fake_now;
	bool active;		   /* a descriptor's callback ran in this turn */
	LIST_HEAD(, timer) timers; /* armed ones, fake clock only, earliest first */
	bool quitting;
};

struct timer {
	struct loop *loop;
	struct event *event; /* real clock only */
	timer_fn *fn;
	void *arg;
	uint64_t when;
	bool armed;
	LIST_ENTRY(timer) entry;
};

struct watch {
	struct loop *loop;
	struct event *event;
	watch_fn *fn;
	void *arg;
	int fd;
	bool is_signal;
};

struct loop *loop_new(enum loop_clock clock)
{
	struct loop *loop = calloc(1, sizeof *loop);
	struct event_config *config = event_config_new();

	if (!loop || !config)
		goto fail;
	/* Without its cached time a timer armed after a blocking call does not fire early. */
	event_config_set_flag(config,
			      EVENT_BASE_FLAG_NO_CACHE_TIME | EVENT_BASE_FLAG_PRECISE_TIMER);
	loop->base = event_base_new_with_config(config);
	if (!loop->base)
		goto fail;
	event_config_free(config);
	loop->clock = clock;
	loop->fake_now = FAKE_EPOCH;
	LIST_INIT(&loop->timers);
	return loop;
fail:
	if (config)
		event_config_free(config);
	free(loop);
	return NULL;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	event_base_free(loop->base);
	free(loop);
}

void loop_run(struct loop *loop)
{
	event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

void loop_quit(struct loop *loop)
{
	loop->quitting = true;
	event_base_loopbreak(loop->base);
}

bool loop_quitting(const struct loop *loop)
{
	return loop->quitting;
}

uint64_t loop_monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

uint64_t loop_now(const struct loop *loop)
{
	return loop->clock == LOOP_CLOCK_FAKE ? loop->fake_now : loop_monotonic();
}

void loop_settle(struct loop *loop)
{
	do {
		loop->active = false;
		event_base_loop(loop->base, EVLOOP_NONBLOCK);
	} while (loop->active);
}

void loop_advance(struct loop *loop, uint64_t usec)
{
	uint64_t end = loop->fake_now + usec;
	struct timer *timer;

	loop_settle(loop);
	while ((timer = LIST_FIRST(&loop->timers)) && timer->when <= end) {
		if (timer->when > loop->fake_now)
			loop->fake_now = timer->when;
		timer_cancel(timer);
		timer->fn(timer->arg);
		loop_settle(loop);
	}
	loop->fake_now = end;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct timer *timer = arg;

	(void)fd;
	(void)what;
	timer->armed = false;
	timer->fn(timer->arg);
}

struct timer *timer_new(struct loop *loop, timer_fn *fn, void *arg)
{
	struct timer *timer = calloc(1, sizeof *timer);

	if (!timer)
		return NULL;
	timer->loop = loop;
	timer->fn = fn;
	timer->arg = arg;
	if (loop->clock == LOOP_CLOCK_REAL) {
		timer->event = evtimer_new(loop->base, on_timer, timer);
		if (!timer->event) {
			free(timer);
			return NULL;
		}
	}
	return timer;
}

static void fake_insert(struct loop *loop, struct timer *timer)
{
	struct timer *other, *last = NULL;

	LIST_FOREACH(other, &loop->timers, entry) {
		if (other->when > timer->when)
			break;
		last = other;
	}
	if (last)
		LIST_INSERT_AFTER(last, timer, entry);
	else
		LIST_INSERT_HEAD(&loop->timers, timer, entry);
}

void timer_set(struct timer *timer, uint64_t usec)
{
	timer_cancel(timer);
	timer->when = loop_now(timer->loop) + usec;
	timer->armed = true;
	if (timer->event) {
		struct timeval tv = { .tv_sec = (time_t)(usec / USEC_PER_SEC),
				      .tv_usec = (suseconds_t)(usec % USEC_PER_SEC) };

		evtimer_add(timer->event, &tv);
	} else {
		fake_insert(timer->loop, timer);
	}
}

void timer_set_at(struct timer *timer, uint64_t when)
{
	uint64_t now = loop_now(timer->loop);

	timer_set(timer, when > now ? when - now : 0);
}

void timer_cancel(struct timer *timer)
{
	if (!timer->armed)
		return;
	timer->armed = false;
	if (timer->event)
		evtimer_del(timer->event);
	else
		LIST_REMOVE(timer, entry);
}

bool timer_armed(const struct timer *timer)
{
	return timer->armed;
}

void timer_free(struct timer *timer)
{
	if (!timer)
		return;
	timer_cancel(timer);
	if (timer->event)
		event_free(timer->event);
	free(timer);
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct watch *watch = arg;
	unsigned events = 0;

	(void)fd;
	watch->loop->active = true;
	if (watch->is_signal)
		events = (unsigned)watch->fd;
	if (what & EV_READ)
		events |= WATCH_READ;
	if (what & EV_WRITE)
		events |= WATCH_WRITE;
	watch->fn(watch->arg, events);
}

static int assign(struct watch *watch, unsigned events)
{
	short what = EV_PERSIST;

	if (events & WATCH_READ)
		what |= EV_READ;
	if (events & WATCH_WRITE)
		what |= EV_WRITE;
	if (event_assign(watch->event, watch->loop->base, watch->fd, what, on_watch, watch) < 0)
		return -1;
	return events ? event_add(watch->event, NULL) : 0;
}

struct watch *watch_new(struct loop *loop, int fd, unsigned events, watch_fn *fn, void *arg)
{
	struct watch *watch = calloc(1, sizeof *watch);

	if (!watch)
		return NULL;
	*watch = (struct watch){ .loop = loop, .fn = fn, .arg = arg, .fd = fd };
	watch->event = event_new(loop->base, fd, 0, on_watch, watch);
	if (!watch->event || assign(watch, events) < 0) {
		watch_free(watch);
		return NULL;
	}
	return watch;
}

void watch_set(struct watch *watch, unsigned events)
{
	event_del(watch->event);
	assign(watch, events);
}

struct watch *watch_new_signal(struct loop *loop, int signal, watch_fn *fn, void *arg)
{
	struct watch *watch = calloc(1, sizeof *watch);

	if (!watch)
		return NULL;
	*watch = (struct watch){
		.loop = loop, .fn = fn, .arg = arg, .fd = signal, .is_signal = true
	};
	watch->event = evsignal_new(loop->base, signal, on_watch, watch);
	if (!watch->event || event_add(watch->event, NULL) < 0) {
		watch_free(watch);
		return NULL;
	}
	return watch;
}

void watch_free(struct watch *watch)
{
	if (!watch)
		return;
	if (watch->event)
		event_free(watch->event);
	free(watch);
}
