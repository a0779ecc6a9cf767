/* The simulated backend, driven through its table on the fake clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/loop.h"
#include "toolstack/backend.h"

/* What happened, one word each with its numbers, e.g. "created 1/1 d1 @1020". */
struct world {
	struct loop *loop;
	struct backend *backend;
	char log[1024];
	size_t found;
	struct backend_domain last_found;
};

static void __attribute__((format(printf, 2, 3))) say(struct world *w, const char *fmt, ...)
{
	size_t used = strlen(w->log);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->log + used, sizeof w->log - used, fmt, ap);
	va_end(ap);
}

static unsigned now_ms(const struct world *w)
{
	return (unsigned)(loop_now(w->loop) / USEC_PER_MSEC);
}

static void created(void *arg, const struct backend_created *c)
{
	struct world *w = arg;

	assert_true(c->at == loop_now(w->loop));
	say(w, "created %u/%u d%u %u-%u%s%s%s; ", c->id, c->boot, c->domid,
	    (unsigned)(c->began / 1000), now_ms(w), c->restored ? " restored" : "",
	    c->note[0] ? " " : "", c->note);
}

static void key(void *arg, uint32_t id, uint32_t boot, uint64_t at)
{
	struct world *w = arg;

	assert_true(at == loop_now(w->loop));
	say(w, "key %u/%u %u; ", id, boot, now_ms(w));
}

static void woken(void *arg, uint32_t id, uint32_t boot, uint64_t at, const struct error *err)
{
	struct world *w = arg;

	assert_true(at == loop_now(w->loop));
	say(w, "woken %u/%u %u%s%s; ", id, boot, now_ms(w), err ? " " : "", err ? err->text : "");
}

static void frame(void *arg, uint32_t id, uint32_t boot, uint64_t at)
{
	struct world *w = arg;

	assert_true(at == loop_now(w->loop));
	say(w, "frame %u/%u %u; ", id, boot, now_ms(w));
}

static void start_failed(void *arg, uint32_t id, uint32_t boot, const struct error *err)
{
	say(arg, "failed %u/%u %s %s; ", id, boot, error_kind_name(err->kind), err->text);
}

static void died(void *arg, uint32_t domid, uint8_t reason, const char *console)
{
	say(arg, "died d%u %u %u%s%s; ", domid, reason, now_ms(arg), console[0] ? " " : "",
	    console);
}

static void stopped(void *arg, uint32_t id, uint32_t domid, enum backend_end end, uint64_t at,
		    const struct error *err)
{
	static const char *const ends[] = { "stopped", "paused", "suspended" };
	struct world *w = arg;

	assert_true(at == loop_now(w->loop));
	if (err)
		say(w, "stop failed %u d%u %u %s; ", id, domid, now_ms(w), err->text);
	else
		say(w, "%s %u d%u %u; ", ends[end], id, domid, now_ms(w));
}

static void happened(struct world *w, const char *expected)
{
	assert_string_equal(w->log, expected);
	w->log[0] = '\0';
}

static int setup(void **state)
{
	static const struct backend_sink sink = { created, frame, key,	  start_failed,
						  woken,   died,  stopped };
	static const struct backend_config config = { .boots = 1 };
	static struct world w;
	struct error err;

	w = (struct world){ .loop = loop_new(LOOP_CLOCK_FAKE) };
	w.backend = backend_sim.open(w.loop, &config, &sink, &w, &err);
	assert_non_null(w.backend);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	backend_sim.close(w->backend);
	loop_free(w->loop);
	return 0;
}

static void order_start(struct world *w, uint32_t id, uint32_t boot, bool restore,
			const char *extra)
{
	char text[512];
	struct error err = { .kind = ERROR_NONE };
	struct spec *spec;

	snprintf(text, sizeof text,
		 "{\"name\":\"s%u\",\"dns\":\"s%u.example.org\",\"ip\":\"10.0.0.%u\",\"uuid\":"
		 "\"00000000-0000-0000-0000-00000000000%u\"%s}",
		 id, id, id, id, extra);
	spec = spec_from_text(text, true, &err);
	if (!spec)
		fail_msg("%s", err.text);
	backend_sim.start(w->backend, id, boot, restore, spec);
}

static void start(struct world *w, uint32_t id, uint32_t boot, const char *extra)
{
	order_start(w, id, boot, false, extra);
}

static void restore(struct world *w, uint32_t id, uint32_t boot, const char *extra)
{
	order_start(w, id, boot, true, extra);
}

static void stop(struct world *w, uint32_t id, uint32_t domid, enum spec_stop_mode mode)
{
	backend_sim.stop(w->backend, id, domid, mode, 1000);
}

static void pass(struct world *w, unsigned ms)
{
	loop_advance(w->loop, ms * USEC_PER_MSEC);
}

static void found(void *arg, const struct backend_domain *domain)
{
	struct world *w = arg;

	w->found++;
	w->last_found = *domain;
}

static void image(void *arg, const uint8_t uuid[16])
{
	say(arg, "image %u; ", uuid[15]);
}

static size_t survey(struct world *w, struct backend_host *host)
{
	struct backend_host ignored;
	struct error err;

	w->found = 0;
	assert_int_equal(
		backend_sim.survey(w->backend, &(struct backend_survey){ found, image, w }, &err),
		0);
	assert_int_equal(backend_sim.host(w->backend, host ? host : &ignored, &err), 0);
	return w->found;
}

static void test_defaults(void **state)
{
	struct world *w = *state;

	start(w, 1, 7, ",\"nic\":\"br0\"");
	assert_int_equal(backend_sim.busy(w->backend), 1);
	happened(w, "");
	loop_advance(w->loop, 19 * USEC_PER_MSEC);
	happened(w, "");
	loop_advance(w->loop, 1 * USEC_PER_MSEC);
	happened(w, "created 1/7 d1 1000-1020; ");
	assert_int_equal(backend_sim.busy(w->backend), 0);
	loop_advance(w->loop, 30 * USEC_PER_MSEC);
	happened(w, "frame 1/7 1050; ");
	loop_advance(w->loop, 3600 * USEC_PER_SEC);
	happened(w, "");
	backend_sim.stop(w->backend, 1, 1, SPEC_STOP_UNSET, 0);
	assert_int_equal(backend_sim.busy(w->backend), 1);
	loop_advance(w->loop, 5 * USEC_PER_MSEC);
	happened(w, "stopped 1 d1 3601055; ");
	assert_int_equal(survey(w, NULL), 0);
}

static void test_no_nic_no_frame(void **state)
{
	struct world *w = *state;

	start(w, 1, 1, "");
	loop_advance(w->loop, USEC_PER_SEC);
	happened(w, "created 1/1 d1 1000-1020; ");
}

static void test_own_times(void **state)
{
	struct world *w = *state;

	start(w, 1, 1,
	      ",\"nic\":\"br0\",\"sim_boot\":100,\"sim_frame\":200,\"sim_death\":50,"
	      "\"sim_stop\":10");
	loop_advance(w->loop, USEC_PER_SEC);
	happened(w, "created 1/1 d1 1000-1100; frame 1/1 1300; died d1 0 1350; ");
	/* It has ended, and is there until it is destroyed. */
	assert_int_equal(survey(w, NULL), 1);
	assert_false(w->last_found.running);
	backend_sim.stop(w->backend, 1, 1, SPEC_STOP_DESTROY, 0);
	loop_advance(w->loop, USEC_PER_SEC);
	happened(w, "stopped 1 d1 2010; ");
}

static void test_failure_leaves_nothing(void **state)
{
	struct world *w = *state;
	struct backend_host before, after;

	survey(w, &before);
	start(w, 1, 3, ",\"sim_fail\":\"no luck today\",\"sim_boot\":5");
	loop_advance(w->loop, USEC_PER_SEC);
	happened(w, "failed 1/3 system no luck today; ");
	assert_int_equal(survey(w, &after), 0);
	assert_int_equal(after.memory_free, before.memory_free);
	assert_int_equal(backend_sim.busy(w->backend), 0);
}

static void test_name_is_taken(void **state)
{
	struct world *w = *state;

	start(w, 1, 1, "");
	start(w, 1, 2, "");
	loop_advance(w->loop, USEC_PER_SEC);
	happened(w, "failed 1/2 conflict name: \"s1\": a domain of that name is there already; "
		    "created 1/1 d1 1000-1020; ");
	assert_int_equal(survey(w, NULL), 1);
}

static void test_survey(void **state)
{
	struct world *w = *state;
	struct backend_host host;

	start(w, 1, 1, ",\"memory\":2048");
	start(w, 2, 2, ",\"memory\":4096");
	loop_advance(w->loop, USEC_PER_SEC);
	assert_int_equal(survey(w, &host), 2);
	assert_int_equal(host.memory_total - host.memory_free, 2048 + 4096);
	backend_sim.stop(w->backend, 1, 1, SPEC_STOP_DESTROY, 0);
	loop_advance(w->loop, USEC_PER_SEC);
	assert_int_equal(survey(w, &host), 1);
	assert_int_equal(host.memory_total - host.memory_free, 4096);
	assert_string_equal(w->last_found.service, "s2");
	assert_int_equal(w->last_found.uuid[15], 2);
	assert_int_equal(w->last_found.domid, 2);
	assert_true(w->last_found.running);
	assert_true(w->last_found.whole);
}

static void test_stop_of_nothing_and_twice(void **state)
{
	struct world *w = *state;

	backend_sim.stop(w->backend, 4, 99, SPEC_STOP_DESTROY, 0);
	happened(w, "");
	loop_advance(w->loop, 0);
	happened(w, "stopped 4 d99 1000; ");
	start(w, 1, 1, ",\"sim_death\":3");
	loop_advance(w->loop, 20 * USEC_PER_MSEC);
	w->log[0] = '\0';
	backend_sim.stop(w->backend, 1, 1, SPEC_STOP_DESTROY, 0);
	backend_sim.stop(w->backend, 1, 1, SPEC_STOP_DESTROY, 0);
	loop_advance(w->loop, USEC_PER_SEC);
	/* One that is being stopped does not die. */
	happened(w, "stopped 1 d1 1025; stopped 1 d1 1025; ");
	assert_int_equal(backend_sim.busy(w->backend), 0);
}

static void test_pause_and_wake(void **state)
{
	struct world *w = *state;
	struct backend_traffic traffic;

	start(w, 1, 1,
	      ",\"nic\":\"br0\",\"sim_frame\":100,\"sim_death\":200,\"sim_traffic\":1000,"
	      "\"wait_for_key\":\"data/a\",\"sim_key\":150,\"sim_wake\":7");
	pass(w, 70);
	happened(w, "created 1/1 d1 1000-1020; ");
	/* Its time stands still: 50 ms of each of its timers are over. */
	stop(w, 1, 1, SPEC_STOP_PAUSE);
	pass(w, 0);
	happened(w, "paused 1 d1 1070; ");
	pass(w, 10000);
	happened(w, "");
	assert_int_equal(survey(w, NULL), 1);
	assert_true(w->last_found.paused);
	assert_false(w->last_found.running);
	stop(w, 1, 1, SPEC_STOP_PAUSE);
	pass(w, 0);
	happened(w, "paused 1 d1 11070; ");
	backend_sim.wake(w->backend, 1, 2, 1);
	assert_int_equal(backend_sim.busy(w->backend), 1);
	pass(w, 7);
	happened(w, "woken 1/2 11077; ");
	pass(w, 1000);
	happened(w, "frame 1/2 11127; key 1/2 11177; died d1 0 11327; ");
	assert_int_equal(backend_sim.measure(w->backend, 1, &traffic), 0);
	assert_int_equal(traffic.tx, 300);
	assert_int_equal(backend_sim.measure(w->backend, 2, &traffic), -1);
	/* What is dead is not put to sleep. */
	stop(w, 1, 1, SPEC_STOP_PAUSE);
	pass(w, 5);
	happened(w, "stopped 1 d1 12082; ");
}

static void test_wake_fails(void **state)
{
	struct world *w = *state;

	start(w, 1, 1, ",\"sim_wake_fail\":\"Xen is tired\"");
	pass(w, 20);
	stop(w, 1, 1, SPEC_STOP_PAUSE);
	pass(w, 0);
	w->log[0] = '\0';
	backend_sim.wake(w->backend, 1, 2, 1);
	pass(w, 2);
	happened(w, "woken 1/2 1022 Xen is tired; ");
	assert_int_equal(survey(w, NULL), 1);
	assert_true(w->last_found.paused);
	stop(w, 1, 1, SPEC_STOP_DESTROY);
	pass(w, 5);
	happened(w, "stopped 1 d1 1027; ");
	backend_sim.wake(w->backend, 1, 3, 1);
	pass(w, 2);
	happened(w, "woken 1/3 1027 domain 1 is not paused; ");
}

static void test_suspend_and_restore(void **state)
{
	struct world *w = *state;
	struct backend_host host;

	start(w, 1, 1, ",\"memory\":4096,\"nic\":\"br0\",\"sim_suspend\":40");
	pass(w, 100);
	w->log[0] = '\0';
	stop(w, 1, 1, SPEC_STOP_SUSPEND);
	pass(w, 40);
	happened(w, "suspended 1 d1 1140; ");
	assert_int_equal(survey(w, &host), 0);
	happened(w, "image 1; ");
	assert_int_equal(host.memory_free, host.memory_total);
	restore(w, 1, 2, ",\"memory\":4096,\"nic\":\"br0\",\"sim_restore\":33");
	pass(w, 1000);
	happened(w, "created 1/2 d2 1140-1173 restored; frame 1/2 1173; ");
	assert_int_equal(survey(w, NULL), 1);
	happened(w, "");
	/* From its pause, too; and it is restored once only. */
	stop(w, 1, 2, SPEC_STOP_PAUSE);
	pass(w, 0);
	stop(w, 1, 2, SPEC_STOP_SUSPEND);
	pass(w, 20);
	happened(w, "paused 1 d2 2140; suspended 1 d2 2160; ");
	start(w, 1, 3, "");
	pass(w, 20);
	happened(w, "created 1/3 d3 2160-2180; ");
	survey(w, NULL);
	happened(w, "");
	/* What it was made of has changed. */
	stop(w, 1, 3, SPEC_STOP_SUSPEND);
	pass(w, 20);
	w->log[0] = '\0';
	restore(w, 1, 4, ",\"memory\":8192");
	pass(w, 20);
	happened(w, "created 1/4 d4 2200-2220 " BACKEND_CHANGED "; ");
	survey(w, NULL);
	happened(w, "");
}

static void test_restore_fails(void **state)
{
	struct world *w = *state;

	start(w, 1, 1, "");
	pass(w, 20);
	stop(w, 1, 1, SPEC_STOP_SUSPEND);
	pass(w, 20);
	w->log[0] = '\0';
	/* It boots afresh, with the time of both; the image is gone. */
	restore(w, 1, 2, ",\"sim_restore_fail\":\"torn\",\"sim_restore\":5");
	pass(w, 100);
	happened(w, "created 1/2 d2 1040-1065 torn; ");
	survey(w, NULL);
	happened(w, "");
	stop(w, 1, 2, SPEC_STOP_SUSPEND);
	pass(w, 20);
	happened(w, "suspended 1 d2 1160; ");
	/* A start that fails leaves it alone. */
	restore(w, 1, 3, ",\"sim_restore_fail\":\"torn\",\"sim_fail\":\"no\"");
	pass(w, 100);
	happened(w, "failed 1/3 system no; ");
	survey(w, NULL);
	happened(w, "image 1; ");
}

static void test_suspend_fails(void **state)
{
	struct world *w = *state;

	start(w, 1, 1, ",\"sim_suspend_fail\":\"disk full\",\"sim_death\":500");
	pass(w, 100);
	stop(w, 1, 1, SPEC_STOP_SUSPEND);
	pass(w, 20);
	happened(w, "created 1/1 d1 1000-1020; stop failed 1 d1 1120 disk full; ");
	/* As it was before: running, and when it was paused, paused. */
	survey(w, NULL);
	assert_true(w->last_found.running);
	stop(w, 1, 1, SPEC_STOP_PAUSE);
	pass(w, 0);
	stop(w, 1, 1, SPEC_STOP_SUSPEND);
	pass(w, 1000);
	happened(w, "paused 1 d1 1120; stop failed 1 d1 1140 disk full; ");
	survey(w, NULL);
	assert_true(w->last_found.paused);
	backend_sim.wake(w->backend, 1, 2, 1);
	pass(w, 1000);
	happened(w, "woken 1/2 2122; died d1 0 2542; ");
}

static void test_shutdown(void **state)
{
	struct world *w = *state;

	start(w, 1, 1, "");
	start(w, 2, 2, ",\"sim_deaf\":true");
	pass(w, 20);
	w->log[0] = '\0';
	stop(w, 1, 1, SPEC_STOP_SHUTDOWN);
	stop(w, 2, 2, SPEC_STOP_SHUTDOWN);
	pass(w, 5);
	happened(w, "stopped 1 d1 1025; ");
	pass(w, 999);
	happened(w, "");
	pass(w, 1);
	happened(w, "stopped 2 d2 2025; ");
}

static void test_last_words(void **state)
{
	struct world *w = *state;

	start(w, 1, 1, ",\"sim_death\":1,\"sim_reason\":\"crash\",\"sim_console\":\"panic!\"");
	start(w, 2, 2, ",\"sim_death\":2,\"sim_reason\":\"reboot\"");
	pass(w, 22);
	happened(w, "created 1/1 d1 1000-1020; created 2/2 d2 1000-1020; died d1 3 1021 panic!; "
		    "died d2 1 1022; ");
}

static void test_many(void **state)
{
	struct world *w = *state;
	char extra[32] = "";

	for (uint32_t i = 1; i < 10; i++) {
		start(w, i, i, extra);
		loop_advance(w->loop, 20 * USEC_PER_MSEC);
	}
	assert_int_equal(survey(w, NULL), 9);
	/* Closing with builds, deaths and stops under way is teardown's. */
	backend_sim.stop(w->backend, 2, 2, SPEC_STOP_DESTROY, 0);
	w->log[0] = '\0';
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_nic_no_frame, setup, teardown),
		cmocka_unit_test_setup_teardown(test_own_times, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure_leaves_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_name_is_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_survey, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_of_nothing_and_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pause_and_wake, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wake_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_suspend_and_restore, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restore_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_suspend_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shutdown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_words, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
