/* base/loop on both clocks. On the real one only order is asserted, never a duration. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/loop.h"

#define MS USEC_PER_MSEC
#define CLOCK(test, clock)                                                                         \
	{                                                                                          \
#test " " #clock, test, set_up, tear_down, &clocks[LOOP_CLOCK_##clock]             \
	}

static enum loop_clock clocks[] = {
	[LOOP_CLOCK_REAL] = LOOP_CLOCK_REAL, [LOOP_CLOCK_FAKE] = LOOP_CLOCK_FAKE
};

/* A loop, and the letters that callbacks have written. */
struct fixture {
	enum loop_clock clock;
	struct loop *loop;
	struct timer *timers[8], *end;
	char log[64];
	uint64_t at[64];
	unsigned turns;
};

struct mark {
	struct fixture *f;
	char letter;
	void (*then)(struct mark *mark);
	struct timer *timer;
	uint64_t again; /* µs */
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	f->clock = **(enum loop_clock **)state;
	f->loop = loop_new(f->clock);
	assert_non_null(f->loop);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(f->timers); i++)
		timer_free(f->timers[i]);
	timer_free(f->end);
	loop_free(f->loop);
	free(f);
	return 0;
}

static void put(struct fixture *f, char letter)
{
	size_t n = strlen(f->log);

	assert_true(n + 1 < sizeof f->log);
	f->at[n] = loop_now(f->loop);
	f->log[n] = letter;
}

static void on_mark(void *arg)
{
	struct mark *mark = arg;

	assert_false(timer_armed(mark->timer));
	put(mark->f, mark->letter);
	if (mark->then)
		mark->then(mark);
}

static struct timer *mark_at(struct fixture *f, size_t i, struct mark *mark, uint64_t usec)
{
	mark->f = f;
	f->timers[i] = mark->timer = timer_new(f->loop, on_mark, mark);
	assert_non_null(mark->timer);
	timer_set(mark->timer, usec);
	return mark->timer;
}

static void on_end(void *arg)
{
	struct fixture *f = arg;

	loop_quit(f->loop);
}

/* Lets that much time pass, on either clock. */
static void pass(struct fixture *f, uint64_t usec)
{
	if (f->clock == LOOP_CLOCK_FAKE) {
		loop_advance(f->loop, usec);
		return;
	}
	if (!f->end)
		f->end = timer_new(f->loop, on_end, f);
	timer_set(f->end, usec);
	loop_run(f->loop);
}

static void test_timer_order(void **state)
{
	struct fixture *f = *state;
	struct mark a = { .letter = 'a' }, b = { .letter = 'b' }, c = { .letter = 'c' };

	mark_at(f, 0, &c, 30 * MS);
	mark_at(f, 1, &a, 10 * MS);
	mark_at(f, 2, &b, 20 * MS);
	assert_true(timer_armed(a.timer));
	assert_string_equal(f->log, ""); /* never before the call that arms returns */
	pass(f, 60 * MS);
	assert_string_equal(f->log, "abc");
	assert_true(f->at[0] <= f->at[1] && f->at[1] <= f->at[2]);
}

static void test_timer_never_early(void **state)
{
	struct fixture *f = *state;
	struct mark a = { .letter = 'a' };
	uint64_t due = loop_now(f->loop) + 15 * MS;

	mark_at(f, 0, &a, 15 * MS);
	pass(f, 40 * MS);
	assert_string_equal(f->log, "a");
	assert_true(f->at[0] >= due);
}

static void test_timer_moved(void **state)
{
	struct fixture *f = *state;
	struct mark a = { .letter = 'a' }, b = { .letter = 'b' };

	mark_at(f, 0, &a, 5 * MS);
	mark_at(f, 1, &b, 10 * MS);
	timer_set(a.timer, 20 * MS);
	pass(f, 40 * MS);
	assert_string_equal(f->log, "ba");
}

static void test_timer_set_at(void **state)
{
	struct fixture *f = *state;
	struct mark a = { .letter = 'a' }, b = { .letter = 'b' };
	uint64_t now = loop_now(f->loop);

	mark_at(f, 0, &a, 0);
	mark_at(f, 1, &b, 0);
	timer_set_at(a.timer, now + 10 * MS);
	timer_set_at(b.timer, now - 10 * MS); /* has passed: at once */
	pass(f, 30 * MS);
	assert_string_equal(f->log, "ba");
}

static void cancel_second(struct mark *mark)
{
	timer_cancel(mark->f->timers[1]);
	assert_false(timer_armed(mark->f->timers[1]));
}

static void test_timer_cancelled_by_another(void **state)
{
	struct fixture *f = *state;
	struct mark a = { .letter = 'a', .then = cancel_second }, b = { .letter = 'b' };

	/* Due at once, both: the loop may have seen b as due when a cancels it. */
	mark_at(f, 0, &a, 0);
	mark_at(f, 1, &b, 0);
	pass(f, 10 * MS);
	assert_string_equal(f->log, "a");
}

static void free_second(struct mark *mark)
{
	timer_free(TAKE(mark->f->timers[1]));
}

static void test_timer_freed_by_another(void **state)
{
	struct fixture *f = *state;
	struct mark a = { .letter = 'a', .then = free_second }, b = { .letter = 'b' };

	mark_at(f, 0, &a, 0);
	mark_at(f, 1, &b, 0);
	pass(f, 10 * MS);
	assert_string_equal(f->log, "a");
}

static void free_self(struct mark *mark)
{
	timer_free(TAKE(mark->f->timers[0]));
}

static void test_timer_frees_itself(void **state)
{
	struct fixture *f = *state;
	struct mark a = { .letter = 'a', .then = free_self }, b = { .letter = 'b' };

	mark_at(f, 0, &a, 1 * MS);
	mark_at(f, 1, &b, 2 * MS);
	pass(f, 10 * MS);
	assert_string_equal(f->log, "ab");
}

static void rearm(struct mark *mark)
{
	if (++mark->f->turns < 3)
		timer_set(mark->timer, mark->again);
}

static void test_timer_rearms_itself(void **state)
{
	struct fixture *f = *state;
	struct mark a = { .letter = 'a', .then = rearm, .again = 2 * MS };

	mark_at(f, 0, &a, 2 * MS);
	pass(f, 40 * MS);
	assert_string_equal(f->log, "aaa");
	assert_false(timer_armed(a.timer));
}

static void test_null_is_allowed(void **state)
{
	(void)state;
	timer_free(NULL);
	watch_free(NULL);
	loop_free(NULL);
}

/* Watches */

struct pipe_watch {
	struct fixture *f;
	int fds[2];
	struct watch *watch, *other;
	unsigned events;
	int take, feed; /* bytes to read in each call; writes to make to itself */
	bool free_self, free_other;
};

static void pipe_open(struct pipe_watch *p)
{
	assert_return_code(pipe2(p->fds, O_NONBLOCK | O_CLOEXEC), 0);
}

static void pipe_close(struct pipe_watch *p)
{
	watch_free(p->watch);
	close(p->fds[0]);
	close(p->fds[1]);
}

static void on_readable(void *arg, unsigned events)
{
	struct pipe_watch *p = arg;
	char byte;

	p->events |= events;
	put(p->f, 'r');
	if (p->take)
		assert_int_equal(read(p->fds[0], &byte, 1), 1);
	if (p->feed) {
		p->feed--;
		assert_int_equal(write(p->fds[1], "x", 1), 1);
	}
	if (p->free_other) {
		watch_free(TAKE(p->other));
		p->free_other = false;
	}
	if (p->free_self)
		watch_free(TAKE(p->watch));
}

static void test_watch_level_triggered(void **state)
{
	struct fixture *f = *state;
	struct pipe_watch p = { .f = f, .take = 1 };

	pipe_open(&p);
	p.watch = watch_new(f->loop, p.fds[0], WATCH_READ, on_readable, &p);
	assert_non_null(p.watch);
	assert_int_equal(write(p.fds[1], "xyz", 3), 3);
	assert_string_equal(f->log, "");
	pass(f, 5 * MS);
	assert_string_equal(f->log, "rrr"); /* as long as there is something to read */
	assert_int_equal(p.events, WATCH_READ);
	pipe_close(&p);
}

static void test_watch_paused(void **state)
{
	struct fixture *f = *state;
	struct pipe_watch p = { .f = f, .take = 1 };

	pipe_open(&p);
	p.watch = watch_new(f->loop, p.fds[0], WATCH_READ, on_readable, &p);
	watch_set(p.watch, 0);
	assert_int_equal(write(p.fds[1], "x", 1), 1);
	pass(f, 5 * MS);
	assert_string_equal(f->log, "");
	watch_set(p.watch, WATCH_READ);
	pass(f, 5 * MS);
	assert_string_equal(f->log, "r");
	pipe_close(&p);
}

static void on_writable(void *arg, unsigned events)
{
	struct pipe_watch *p = arg;

	p->events |= events;
	put(p->f, 'w');
	watch_set(p->watch, 0);
}

static void test_watch_write(void **state)
{
	struct fixture *f = *state;
	struct pipe_watch p = { .f = f };

	pipe_open(&p);
	p.watch = watch_new(f->loop, p.fds[1], WATCH_WRITE, on_writable, &p);
	pass(f, 5 * MS);
	assert_string_equal(f->log, "w");
	assert_int_equal(p.events, WATCH_WRITE);
	pipe_close(&p);
}

static void test_watch_frees_itself(void **state)
{
	struct fixture *f = *state;
	struct pipe_watch p = { .f = f, .take = 1, .free_self = true };

	pipe_open(&p);
	p.watch = watch_new(f->loop, p.fds[0], WATCH_READ, on_readable, &p);
	assert_int_equal(write(p.fds[1], "xy", 2), 2);
	pass(f, 5 * MS);
	assert_string_equal(f->log, "r");
	pipe_close(&p);
}

static void test_watch_freed_by_another(void **state)
{
	struct fixture *f = *state;
	struct pipe_watch p = { .f = f, .take = 1 }, q = { .f = f, .take = 1 };

	/* Both are readable: whichever comes first frees the other, which is then not called. */
	pipe_open(&p);
	pipe_open(&q);
	p.watch = watch_new(f->loop, p.fds[0], WATCH_READ, on_readable, &p);
	q.watch = watch_new(f->loop, q.fds[0], WATCH_READ, on_readable, &q);
	p.other = q.watch;
	q.other = p.watch;
	p.free_other = q.free_other = true;
	assert_int_equal(write(p.fds[1], "x", 1), 1);
	assert_int_equal(write(q.fds[1], "x", 1), 1);
	pass(f, 5 * MS);
	assert_string_equal(f->log, "r");
	/* The one that was called took the other out; its own pointer to it is stale here. */
	*(p.other ? &p.watch : &q.watch) = NULL;
	pipe_close(&p);
	pipe_close(&q);
}

static void test_watch_regular_file(void **state)
{
	struct fixture *f = *state;
	FILE *file = tmpfile();

	assert_non_null(file);
	assert_null(watch_new(f->loop, fileno(file), WATCH_READ, on_readable, f));
	fclose(file);
}

/* The fake clock */

static void test_fake_time(void **state)
{
	struct fixture *f = *state;
	struct mark a = { .letter = 'a' }, b = { .letter = 'b' };
	uint64_t start = loop_now(f->loop);

	assert_int_equal(start, USEC_PER_SEC);
	mark_at(f, 0, &a, 10 * MS);
	mark_at(f, 1, &b, 25 * MS);
	loop_advance(f->loop, 10 * MS - 1);
	assert_string_equal(f->log, "");
	assert_int_equal(loop_now(f->loop), start + 10 * MS - 1);
	loop_advance(f->loop, 1);
	assert_string_equal(f->log, "a");
	loop_advance(f->loop, 100 * MS);
	assert_string_equal(f->log, "ab");
	assert_int_equal(f->at[0], start + 10 * MS); /* each at its own time */
	assert_int_equal(f->at[1], start + 25 * MS);
	assert_int_equal(loop_now(f->loop), start + 110 * MS);
}

static void test_fake_same_time_first_set_first(void **state)
{
	struct fixture *f = *state;
	struct mark marks[] = { { .letter = 'a' }, { .letter = 'b' }, { .letter = 'c' } };

	for (size_t i = 0; i < 3; i++)
		mark_at(f, i, &marks[i], 5 * MS);
	loop_advance(f->loop, 5 * MS);
	assert_string_equal(f->log, "abc");
}

static void test_fake_settle_stands_still(void **state)
{
	struct fixture *f = *state;
	struct pipe_watch p = { .f = f, .take = 1, .feed = 5 };
	struct mark a = { .letter = 'a' };

	pipe_open(&p);
	p.watch = watch_new(f->loop, p.fds[0], WATCH_READ, on_readable, &p);
	mark_at(f, 0, &a, 0);
	assert_int_equal(write(p.fds[1], "x", 1), 1);
	loop_settle(f->loop);
	assert_string_equal(f->log, "rrrrrr"); /* also what the callbacks themselves caused */
	assert_int_equal(loop_now(f->loop), USEC_PER_SEC);
	loop_advance(f->loop, 0);
	assert_string_equal(f->log, "rrrrrra");
	pipe_close(&p);
}

static void write_pipe(struct mark *mark)
{
	assert_int_equal(write((int)mark->again, "x", 1), 1);
}

static void test_fake_settles_after_each_timer(void **state)
{
	struct fixture *f = *state;
	struct pipe_watch p = { .f = f, .take = 1 };
	struct mark a = { .letter = 'a', .then = write_pipe }, b = { .letter = 'b' };

	pipe_open(&p);
	p.watch = watch_new(f->loop, p.fds[0], WATCH_READ, on_readable, &p);
	a.again = (uint64_t)p.fds[1];
	mark_at(f, 0, &a, 1 * MS);
	mark_at(f, 1, &b, 1 * MS);
	loop_advance(f->loop, 10 * MS);
	assert_string_equal(f->log, "arb");
	assert_int_equal(f->at[1], USEC_PER_SEC + 1 * MS);
	pipe_close(&p);
}

/* The real clock */

static void on_signal(void *arg, unsigned events)
{
	struct fixture *f = arg;

	assert_int_equal(events, SIGUSR1);
	put(f, 's');
	loop_quit(f->loop);
}

static void test_real_signal(void **state)
{
	struct fixture *f = *state;
	struct watch *watch = watch_new_signal(f->loop, SIGUSR1, on_signal, f);

	assert_non_null(watch);
	raise(SIGUSR1);
	assert_string_equal(f->log, "");
	loop_run(f->loop);
	assert_string_equal(f->log, "s");
	watch_free(watch);
}

static void test_real_after_blocking(void **state)
{
	struct fixture *f = *state;
	struct mark a = { .letter = 'a' };
	uint64_t due;

	pass(f, 1 * MS);
	usleep(30000);
	due = loop_now(f->loop) + 20 * MS;
	mark_at(f, 0, &a, 20 * MS); /* the loop's idea of now is old */
	pass(f, 60 * MS);
	assert_string_equal(f->log, "a");
	assert_true(f->at[0] >= due);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLOCK(test_timer_order, REAL),
		CLOCK(test_timer_order, FAKE),
		CLOCK(test_timer_never_early, REAL),
		CLOCK(test_timer_never_early, FAKE),
		CLOCK(test_timer_moved, REAL),
		CLOCK(test_timer_moved, FAKE),
		CLOCK(test_timer_set_at, REAL),
		CLOCK(test_timer_set_at, FAKE),
		CLOCK(test_timer_cancelled_by_another, REAL),
		CLOCK(test_timer_cancelled_by_another, FAKE),
		CLOCK(test_timer_freed_by_another, REAL),
		CLOCK(test_timer_freed_by_another, FAKE),
		CLOCK(test_timer_frees_itself, REAL),
		CLOCK(test_timer_frees_itself, FAKE),
		CLOCK(test_timer_rearms_itself, REAL),
		CLOCK(test_timer_rearms_itself, FAKE),
		CLOCK(test_null_is_allowed, REAL),
		CLOCK(test_watch_level_triggered, REAL),
		CLOCK(test_watch_level_triggered, FAKE),
		CLOCK(test_watch_paused, REAL),
		CLOCK(test_watch_paused, FAKE),
		CLOCK(test_watch_write, REAL),
		CLOCK(test_watch_write, FAKE),
		CLOCK(test_watch_frees_itself, REAL),
		CLOCK(test_watch_frees_itself, FAKE),
		CLOCK(test_watch_freed_by_another, REAL),
		CLOCK(test_watch_freed_by_another, FAKE),
		CLOCK(test_watch_regular_file, REAL),
		CLOCK(test_watch_regular_file, FAKE),
		CLOCK(test_fake_time, FAKE),
		CLOCK(test_fake_same_time_first_set_first, FAKE),
		CLOCK(test_fake_settle_stands_still, FAKE),
		CLOCK(test_fake_settles_after_each_timer, FAKE),
		CLOCK(test_real_signal, REAL),
		CLOCK(test_real_after_blocking, REAL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
