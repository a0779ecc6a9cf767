/*
 * The event loop: timers, descriptors and signals of one process, on libevent, or on a fake clock
 * that a test turns by hand. Only this file's implementation includes libevent.
 *
 * Everything here belongs to one thread. Callbacks run from loop_run, loop_settle or loop_advance
 * only, never before the call that arms them returns. Times are microseconds.
 */
#ifndef JITSU_BASE_LOOP_H
#define JITSU_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC  UINT64_C(1000000)

enum loop_clock { LOOP_CLOCK_REAL, LOOP_CLOCK_FAKE };

struct loop;
struct timer;
struct watch;

enum watch_events { WATCH_READ = 1, WATCH_WRITE = 2 };

typedef void timer_fn(void *arg);
typedef void watch_fn(void *arg, unsigned events);

/* NULL if out of memory or descriptors. A fake clock starts at 1 s. */
struct loop *loop_new(enum loop_clock clock);
/* Timers and watches are to be freed first. */
void loop_free(struct loop *loop);

/* Runs until loop_quit. */
void loop_run(struct loop *loop);
void loop_quit(struct loop *loop);
/* loop_quit was called: what a fake clock, which nobody runs, cannot show otherwise. */
bool loop_quitting(const struct loop *loop);

/* CLOCK_MONOTONIC in µs, read afresh (or the fake time): comparable between processes. */
uint64_t loop_now(const struct loop *loop);
/* The real one in any case; for threads beside the loop's. */
uint64_t loop_monotonic(void);

/* Fake clock: handles what is readable or writable until nothing is. Time stands still. */
void loop_settle(struct loop *loop);
/* Fake clock: moves time on by `usec`, firing each timer at its own time and settling after each. */
void loop_advance(struct loop *loop, uint64_t usec);

/* A one-shot timer, unarmed. NULL if out of memory. */
struct timer *timer_new(struct loop *loop, timer_fn *fn, void *arg);
/* Fires once, `usec` from now; an armed timer is moved. */
void timer_set(struct timer *timer, uint64_t usec);
/* Fires once at `when` of loop_now's time (at once if that has passed). */
void timer_set_at(struct timer *timer, uint64_t when);
void timer_cancel(struct timer *timer);
bool timer_armed(const struct timer *timer);
/* NULL is allowed, also in watch_free; both may be called from their own callback. */
void timer_free(struct timer *timer);

/*
 * Calls fn while fd is ready for one of `events` (level-triggered). The descriptor stays the
 * caller's and must outlive the watch. NULL if out of memory or if fd cannot be polled (regular
 * files cannot: epoll says EPERM).
 */
struct watch *watch_new(struct loop *loop, int fd, unsigned events, watch_fn *fn, void *arg);
/* Changes the events waited for; 0 pauses. */
void watch_set(struct watch *watch, unsigned events);
/* A signal, handled in the loop; events is the signal's number. Real clock only. */
struct watch *watch_new_signal(struct loop *loop, int signal, watch_fn *fn, void *arg);
void watch_free(struct watch *watch);

#endif
