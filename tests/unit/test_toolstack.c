/* The room, with the simulated backend: orders and reports over the link, surveys, lost engines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/link.h"
#include "base/log.h"
#include "base/loop.h"
#include "proto/message.h"
#include "proto/spec.h"
#include "toolstack/toolstack.h"

struct world {
	struct loop *loop;
	struct toolstack *toolstack;
	struct link *engine;
	char log[4096];
	uint64_t used; /* memory */
	unsigned memory_count;
};

static void __attribute__((format(printf, 2, 3))) say(struct world *w, const char *fmt, ...)
{
	size_t used = strlen(w->log);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->log + used, sizeof w->log - used, fmt, ap);
	va_end(ap);
}

static void happened(struct world *w, const char *expected)
{
	loop_settle(w->loop);
	assert_string_equal(w->log, expected);
	w->log[0] = '\0';
}

static void take_found(void *arg, const struct msg_found *m)
{
	assert_int_equal(m->uuid.size, 16);
	say(arg, "found d%u uuid%u %s%s%s%s; ", m->domid, m->uuid.data[15], m->service,
	    m->whole ? " whole" : "", m->running ? " running" : "", m->paused ? " paused" : "");
}

static void take_image(void *arg, const struct msg_image *m)
{
	assert_int_equal(m->uuid.size, 16);
	say(arg, "image uuid%u; ", m->uuid.data[15]);
}

/* Told by the amount that guests use: the host's is the simulation's. */
static void take_memory(void *arg, const struct msg_memory *m)
{
	struct world *w = arg;

	w->used = m->total - m->free;
	w->memory_count++;
}

static void take_survey_end(void *arg, const struct msg_survey_end *m)
{
	say(arg, "survey_end %s; ", m->backend);
}

static void take_checked(void *arg, const struct msg_checked *m)
{
	say(arg, "checked %u %s '%s'%s; ", m->request, error_kind_name((enum error_kind)m->kind),
	    m->field, m->addition);
}

static void take_created(void *arg, const struct msg_created *m)
{
	say(arg, "created %u/%u d%u%s%s; ", m->id, m->boot, m->domid,
	    m->restored ? " restored" : "", m->note);
}

static void take_key(void *arg, const struct msg_key *m)
{
	say(arg, "key %u/%u; ", m->id, m->boot);
}

static void take_woken(void *arg, const struct msg_woken *m)
{
	say(arg, "woken %u/%u; ", m->id, m->boot);
}

static void take_wake_failed(void *arg, const struct msg_wake_failed *m)
{
	say(arg, "wake_failed %u/%u %s; ", m->id, m->boot, m->text);
}

static void take_paused(void *arg, const struct msg_paused *m)
{
	say(arg, "paused %u d%u; ", m->id, m->domid);
}

static void take_suspended(void *arg, const struct msg_suspended *m)
{
	say(arg, "suspended %u d%u; ", m->id, m->domid);
}

static void take_measured(void *arg, const struct msg_measured *m)
{
	say(arg, "measured %u d%u %u %u; ", m->id, m->domid, (unsigned)m->rx, (unsigned)m->tx);
}

static void take_frame(void *arg, const struct msg_frame *m)
{
	say(arg, "frame %u/%u; ", m->id, m->boot);
}

static void take_start_failed(void *arg, const struct msg_start_failed *m)
{
	say(arg, "start_failed %u/%u %s '%s'; ", m->id, m->boot,
	    error_kind_name((enum error_kind)m->kind), m->field);
}

static void take_died(void *arg, const struct msg_died *m)
{
	say(arg, "died d%u %u%s%s; ", m->domid, m->reason, m->console[0] ? " " : "", m->console);
}

static void take_stopped(void *arg, const struct msg_stopped *m)
{
	say(arg, "stopped %u d%u; ", m->id, m->domid);
}

static void take_stop_failed(void *arg, const struct msg_stop_failed *m)
{
	say(arg, "stop_failed %u d%u %s; ", m->id, m->domid, m->text);
}

static const struct message_handlers handlers = {
	.found = take_found,
	.image = take_image,
	.memory = take_memory,
	.survey_end = take_survey_end,
	.checked = take_checked,
	.created = take_created,
	.frame = take_frame,
	.key = take_key,
	.woken = take_woken,
	.wake_failed = take_wake_failed,
	.paused = take_paused,
	.suspended = take_suspended,
	.measured = take_measured,
	.start_failed = take_start_failed,
	.died = take_died,
	.stopped = take_stopped,
	.stop_failed = take_stop_failed,
};

static void on_message(void *arg, const uint8_t *data, size_t size, int fd)
{
	struct error err;

	assert_int_equal(fd, -1);
	if (message_dispatch(data, size, &handlers, arg, &err) < 0)
		fail_msg("%s", err.text);
}

static void on_closed(void *arg)
{
	say(arg, "closed; ");
}

/* A new engine, in place of the one of before. */
static void connect(struct world *w)
{
	static const struct link_callbacks callbacks = { on_message, on_closed };
	int fds[2];

	link_free(w->engine);
	assert_int_equal(link_pair(fds), 0);
	w->engine = link_new(w->loop, fds[0], &callbacks, w);
	assert_non_null(w->engine);
	toolstack_connect_engine(w->toolstack, fds[1]);
}

static int setup(void **state)
{
	static struct world w;
	struct toolstack_config config = { .backend = "sim", .boots = 4 };
	struct error err;

	w = (struct world){ .loop = loop_new(LOOP_CLOCK_FAKE) };
	w.toolstack = toolstack_new(w.loop, &config, &err);
	assert_non_null(w.toolstack);
	connect(&w);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	link_free(w->engine);
	toolstack_free(w->toolstack);
	loop_free(w->loop);
	return 0;
}

static void send_survey(struct world *w)
{
	message_send_survey(w->engine, &(struct msg_survey){ 0 });
}

static void send_start(struct world *w, uint32_t id, uint32_t boot, const char *extra)
{
	char text[512];

	snprintf(text, sizeof text,
		 "{\"name\":\"s%u\",\"dns\":\"s%u.example.org\",\"ip\":\"10.0.0.%u\",\"uuid\":"
		 "\"00000000-0000-0000-0000-00000000000%u\"%s}",
		 id, id, id, id, extra);
	message_send_start(w->engine, &(struct msg_start){ id, boot, 0, text });
}

static void send_stop(struct world *w, uint32_t id, uint32_t domid)
{
	message_send_stop(w->engine, &(struct msg_stop){
					     .id = id, .domid = domid, .mode = SPEC_STOP_DESTROY });
}

static void send_stop_mode(struct world *w, uint32_t id, uint32_t domid, enum spec_stop_mode mode,
			   uint32_t limit)
{
	message_send_stop(w->engine, &(struct msg_stop){ id, domid, (uint8_t)mode, limit });
}

static void send_wake(struct world *w, uint32_t id, uint32_t boot, uint32_t domid)
{
	message_send_wake(w->engine, &(struct msg_wake){ id, boot, domid });
}

static void send_restore(struct world *w, uint32_t id, uint32_t boot, const char *extra)
{
	char text[512];

	snprintf(text, sizeof text,
		 "{\"name\":\"s%u\",\"dns\":\"s%u.example.org\",\"ip\":\"10.0.0.%u\",\"uuid\":"
		 "\"00000000-0000-0000-0000-00000000000%u\"%s}",
		 id, id, id, id, extra);
	message_send_start(w->engine, &(struct msg_start){ id, boot, 1, text });
}

static void send_discard(struct world *w, uint32_t id)
{
	uint8_t uuid[16] = { [15] = (uint8_t)id };

	message_send_discard(w->engine, &(struct msg_discard){ id, { uuid, sizeof uuid } });
}

static void pass(struct world *w, unsigned ms)
{
	loop_advance(w->loop, ms * USEC_PER_MSEC);
}

static void test_life(void **state)
{
	struct world *w = *state;

	send_survey(w);
	happened(w, "");
	pass(w, 0);
	happened(w, "survey_end sim; ");
	send_start(w, 1, 1, ",\"nic\":\"br0\",\"sim_death\":100");
	pass(w, 20);
	happened(w, "created 1/1 d1; ");
	pass(w, 30);
	happened(w, "frame 1/1; ");
	pass(w, 100);
	happened(w, "died d1 0; ");
	send_stop(w, 1, 1);
	pass(w, 5);
	happened(w, "stopped 1 d1; ");
}

static void test_orders_wait_for_survey(void **state)
{
	struct world *w = *state;

	send_start(w, 1, 1, "");
	send_stop(w, 5, 77);
	pass(w, 1000);
	happened(w, "");
	send_survey(w);
	pass(w, 1000);
	happened(w, "survey_end sim; stopped 5 d77; created 1/1 d1; ");
}

static void test_survey_waits_for_orders(void **state)
{
	struct world *w = *state;

	send_survey(w);
	pass(w, 0);
	happened(w, "survey_end sim; ");
	send_start(w, 1, 1, "");
	send_survey(w);
	send_start(w, 2, 2, "");
	pass(w, 19);
	happened(w, "");
	/* The order before it has ended, the one after it has not begun. */
	pass(w, 1);
	happened(w, "created 1/1 d1; found d1 uuid1 s1 whole running; survey_end sim; ");
	pass(w, 20);
	happened(w, "created 2/2 d2; ");
	send_survey(w);
	pass(w, 0);
	happened(w, "found d1 uuid1 s1 whole running; found d2 uuid2 s2 whole running; "
		    "survey_end sim; ");
}

static void test_engine_is_lost(void **state)
{
	struct world *w = *state;

	send_survey(w);
	pass(w, 0);
	send_start(w, 1, 1, ",\"nic\":\"br0\"");
	send_start(w, 2, 2, ",\"nic\":\"br0\",\"sim_boot\":60,\"sim_death\":10000");
	send_start(w, 3, 3, ",\"sim_fail\":\"no\"");
	pass(w, 10);
	happened(w, "survey_end sim; ");
	link_free(w->engine);
	w->engine = NULL;
	pass(w, 20);
	/* Both ways: lost for a while, and replaced while one order is still under way. The new
	 * engine hears of both guests by the survey, and of nothing that it did not order. */
	connect(w);
	send_survey(w);
	send_start(w, 4, 1, "");
	pass(w, 29);
	happened(w, "");
	pass(w, 1);
	happened(w, "found d1 uuid1 s1 whole running; found d2 uuid2 s2 whole running; "
		    "survey_end sim; ");
	pass(w, 5000);
	happened(w, "created 4/1 d3; ");
	/* What it has adopted dies like its own. */
	pass(w, 10000);
	happened(w, "died d2 0; ");
}

static void test_orders_of_a_lost_engine_are_dropped(void **state)
{
	struct world *w = *state;

	send_start(w, 1, 1, "");
	loop_settle(w->loop);
	connect(w);
	send_survey(w);
	pass(w, 1000);
	happened(w, "survey_end sim; ");
}

static void test_bad_orders(void **state)
{
	struct world *w = *state;

	send_survey(w);
	pass(w, 0);
	happened(w, "survey_end sim; ");
	message_send_start(w->engine, &(struct msg_start){ 1, 1, 0, "{" });
	happened(w, "start_failed 1/1 input ''; ");
	message_send_start(w->engine,
			   &(struct msg_start){ 1, 2, 0,
						"{\"name\":\"a\",\"dns\":\"a.example.org\","
						"\"ip\":\"10.0.0.1\"}" });
	happened(w, "start_failed 1/2 input 'uuid'; ");
	send_stop(w, 1, 0);
	happened(w, "stop_failed 1 d0 domain 0 is no guest; ");
	message_send_stop(w->engine, &(struct msg_stop){ .id = 1, .domid = 3, .mode = 200 });
	happened(w, "stop_failed 1 d3 unknown stop mode; ");
}

static void test_check(void **state)
{
	struct world *w = *state;

	/* Also before the survey: somebody waits for the answer. */
	message_send_check(w->engine,
			   &(struct msg_check){ 5, "{\"name\":\"a\",\"dns\":\"a.example.org\","
						   "\"ip\":\"10.0.0.1\"}" });
	happened(w, "checked 5 none ''; ");
	message_send_check(w->engine,
			   &(struct msg_check){ 6, "{\"name\":\"a\",\"dns\":\"a.example.org\","
						   "\"ip\":\"10.0.0.1\",\"memory\":\"lots\"}" });
	happened(w, "checked 6 input 'memory'; ");
	/* Nobody would find the address that it leaves to a file. */
	message_send_check(w->engine,
			   &(struct msg_check){ 7, "{\"name\":\"a\",\"dns\":\"a.example.org\","
						   "\"rumprun_config\":\"/srv/json.cfg\"}" });
	happened(w, "checked 7 input 'ip'; ");
}

static void test_malformed_message(void **state)
{
	struct world *w = *state;

	send_survey(w);
	pass(w, 0);
	happened(w, "survey_end sim; ");
	send_start(w, 1, 1, "");
	link_send(w->engine, "\377nonsense", 9);
	pass(w, 1000);
	happened(w, "closed; ");
	connect(w);
	send_survey(w);
	pass(w, 0);
	happened(w, "found d1 uuid1 s1 whole running; survey_end sim; ");
	/* A message that is well formed, and not the toolstack's to take. */
	message_send_forget(w->engine, &(struct msg_forget){ 1 });
	happened(w, "closed; ");
}

static void test_sleep_and_wake(void **state)
{
	struct world *w = *state;

	send_survey(w);
	pass(w, 0);
	send_start(w, 1, 1, ",\"wait_for_key\":\"data/up=1\",\"sim_key\":5");
	pass(w, 100);
	happened(w, "survey_end sim; created 1/1 d1; key 1/1; ");
	send_stop_mode(w, 1, 1, SPEC_STOP_PAUSE, 0);
	pass(w, 0);
	happened(w, "paused 1 d1; ");
	send_survey(w);
	pass(w, 0);
	happened(w, "found d1 uuid1 s1 whole paused; survey_end sim; ");
	send_wake(w, 1, 2, 1);
	pass(w, 1);
	happened(w, "");
	pass(w, 1);
	happened(w, "woken 1/2; ");
	send_wake(w, 1, 3, 1);
	pass(w, 100);
	happened(w, "wake_failed 1/3 domain 1 is not paused; ");
	send_stop_mode(w, 1, 1, SPEC_STOP_SUSPEND, 0);
	pass(w, 19);
	happened(w, "");
	pass(w, 1);
	happened(w, "suspended 1 d1; ");
	send_survey(w);
	pass(w, 0);
	happened(w, "image uuid1; survey_end sim; ");
	send_restore(w, 1, 4, "");
	pass(w, 10);
	happened(w, "created 1/4 d2 restored; ");
	/* Used once. */
	send_survey(w);
	pass(w, 0);
	happened(w, "found d2 uuid1 s1 whole running; survey_end sim; ");
	send_stop_mode(w, 1, 2, SPEC_STOP_SHUTDOWN, 1000);
	pass(w, 5);
	happened(w, "stopped 1 d2; ");
}

static void test_images_are_discarded(void **state)
{
	struct world *w = *state;

	send_survey(w);
	send_start(w, 1, 1, "");
	pass(w, 100);
	send_stop_mode(w, 1, 1, SPEC_STOP_SUSPEND, 0);
	pass(w, 100);
	happened(w, "survey_end sim; created 1/1 d1; suspended 1 d1; ");
	send_discard(w, 1);
	send_discard(w, 2);
	send_survey(w);
	pass(w, 0);
	happened(w, "survey_end sim; ");
	/* Without one it boots, and that is no failure. */
	send_restore(w, 1, 2, "");
	pass(w, 100);
	happened(w, "created 1/2 d2; ");
	message_send_discard(w->engine,
			     &(struct msg_discard){ 1, { (const uint8_t *)"short", 5 } });
	pass(w, 0);
	happened(w, "closed; ");
}

static void test_all_orders_wait_for_survey(void **state)
{
	struct world *w = *state;

	send_survey(w);
	send_start(w, 1, 1, "");
	pass(w, 100);
	send_stop_mode(w, 1, 1, SPEC_STOP_PAUSE, 0);
	pass(w, 100);
	happened(w, "survey_end sim; created 1/1 d1; paused 1 d1; ");
	connect(w);
	send_wake(w, 1, 2, 1);
	send_discard(w, 1);
	pass(w, 100);
	happened(w, "");
	send_survey(w);
	pass(w, 100);
	happened(w, "found d1 uuid1 s1 whole paused; survey_end sim; woken 1/2; ");
}

static void test_traffic(void **state)
{
	struct world *w = *state;

	send_survey(w);
	send_start(w, 1, 1, ",\"sim_traffic\":5000");
	pass(w, 1020);
	message_send_measure(w->engine, &(struct msg_measure){ 1, 1 });
	message_send_measure(w->engine, &(struct msg_measure){ 2, 44 });
	message_send_measure(w->engine, &(struct msg_measure){ 2, 0 });
	happened(w, "survey_end sim; created 1/1 d1; measured 1 d1 0 5000; measured 2 d44 0 0; "
		    "measured 2 d0 0 0; ");
}

static void test_memory(void **state)
{
	struct world *w = *state;

	send_survey(w);
	pass(w, 0);
	assert_int_equal(w->memory_count, 1);
	assert_int_equal(w->used, 0);
	send_start(w, 1, 1, ",\"memory\":4096");
	send_start(w, 2, 2, ",\"memory\":2048");
	pass(w, 100);
	assert_int_equal(w->used, 4096 + 2048);
	send_stop_mode(w, 2, 2, SPEC_STOP_SUSPEND, 0);
	pass(w, 100);
	assert_int_equal(w->used, 4096);
	send_stop(w, 1, 1);
	pass(w, 100);
	assert_int_equal(w->used, 0);
	assert_int_equal(w->memory_count, 5);
	send_start(w, 2, 3, ",\"sim_fail\":\"no\"");
	pass(w, 100);
	assert_int_equal(w->memory_count, 6);
	message_send_weigh(w->engine, &(struct msg_weigh){ 0 });
	loop_settle(w->loop);
	assert_int_equal(w->memory_count, 7);
}

static void test_unknown_backend(void **state)
{
	struct toolstack_config config = { .backend = "vmware", .boots = 1 };
	struct world *w = *state;
	struct error err;

	assert_null(toolstack_new(w->loop, &config, &err));
	assert_string_equal(err.field, "backend");
	assert_string_equal(toolstack_backends()[0], "libxl");
	assert_string_equal(toolstack_backends()[1], "sim");
	assert_null(toolstack_backends()[2]);
}

static void test_no_xen(void **state)
{
	struct toolstack_config config = { .backend = "libxl", .boots = 1 };
	struct world *w = *state;
	struct error err;

	if (access("/proc/xen/privcmd", F_OK) == 0 || access("/dev/xen/privcmd", F_OK) == 0) {
		print_message("skipped: this machine is a Xen dom0\n");
		skip();
	}
	assert_null(toolstack_new(w->loop, &config, &err));
	assert_non_null(strstr(err.text, "not a Xen dom0"));
	assert_non_null(strstr(err.text, "-x sim"));
}

/* A link that nobody mends is mended by a new toolstack. */
static void test_alone(void **state)
{
	struct world *w = *state;

	link_free(TAKE(w->engine));
	loop_settle(w->loop);
	loop_advance(w->loop, LINK_ALONE_LIMIT - 1);
	assert_false(loop_quitting(w->loop));
	connect(w);
	loop_advance(w->loop, 2 * LINK_ALONE_LIMIT);
	assert_false(loop_quitting(w->loop));
	link_free(TAKE(w->engine));
	loop_settle(w->loop);
	loop_advance(w->loop, LINK_ALONE_LIMIT);
	assert_true(loop_quitting(w->loop));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, setup, teardown),
		cmocka_unit_test_setup_teardown(test_orders_wait_for_survey, setup, teardown),
		cmocka_unit_test_setup_teardown(test_survey_waits_for_orders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_engine_is_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_orders_of_a_lost_engine_are_dropped, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_bad_orders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_check, setup, teardown),
		cmocka_unit_test_setup_teardown(test_malformed_message, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sleep_and_wake, setup, teardown),
		cmocka_unit_test_setup_teardown(test_images_are_discarded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_orders_wait_for_survey, setup, teardown),
		cmocka_unit_test_setup_teardown(test_traffic, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown_backend, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_xen, setup, teardown),
	};

	/* Their warnings are what is tested, and no news. */
	log_open("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
