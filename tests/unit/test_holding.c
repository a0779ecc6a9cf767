/* engine: what Synjitsu is told to hold, in each state of a service's life. */
#include "tests/unit/test_engine.h"

static struct world *synjitsu_world(const char *keys)
{
	struct world *w;

	with_synjitsu = true;
	w = world(4);
	with_synjitsu = false;
	add(w, "a", keys);
	w->dns_log[0] = '\0';
	return w;
}

static void packet(struct world *w, uint32_t id)
{
	static const uint8_t source[] = { 10, 0, 0, 9 };

	SAY(toolstack, knock, .id = id, .at = loop_now(w->loop), .source = { source, 4 });
}

/* Only while it is on its way. */
static void test_use_synjitsu(void **state)
{
	struct world *w = synjitsu_world("\"nic\":\"br0\",\"use_synjitsu\":true");

	(void)state;
	TOOLSTACK("");
	want(w, 0);
	TOOLSTACK("hold 0 starting 0 0; start 0; "); /* before its domain is built */
	created(w, 0, 7);
	TOOLSTACK("hold 0 starting 7 0; ");
	frame(w, 0);
	TOOLSTACK("hold 0 ready 7 0; ");
	loop_advance(w->loop, 120 * SECOND);
	retired(w, 0);
	TOOLSTACK("hold 0 none 7 0; stop 0 7; ");
	stopped(w, 0, 7);
	w->dns_log[0] = '\0';
	packet(w, 0); /* it is not for packets to start it */
	end(w);
}

static void test_packet(void **state)
{
	struct world *w = synjitsu_world("\"nic\":\"br0\",\"wake\":\"packet\"");

	(void)state;
	TOOLSTACK("hold 0 asleep 0 0; ");
	packet(w, 0);
	packet(w, 0);
	TOOLSTACK("hold 0 starting 0 0; start 0; ");
	is(w, "a", "why", "packet from 10.0.0.9");
	created(w, 0, 7);
	frame(w, 0);
	TOOLSTACK("hold 0 starting 7 0; hold 0 ready 7 0; ");
	loop_advance(w->loop, 120 * SECOND);
	TOOLSTACK(""); /* it may be in use until dns has said retired */
	retired(w, 0);
	TOOLSTACK("hold 0 asleep 7 0; stop 0 7; ");
	packet(w, 0); /* while it is put away: it is started again */
	TOOLSTACK("hold 0 starting 7 0; ");
	stopped(w, 0, 7);
	TOOLSTACK("hold 0 starting 0 0; start 0; ");
	w->dns_log[0] = '\0';
	end(w);
}

static void test_removed(void **state)
{
	struct world *w = synjitsu_world("\"nic\":\"br0\",\"wake\":\"packet\"");
	struct answer answer;

	(void)state;
	w->toolstack_log[0] = '\0';
	call(w, verb_service_remove, "{\"name\":\"a\"}", &answer);
	TOOLSTACK("hold 0 none 0 0; ");
	clear(&answer);
	w->dns_log[0] = '\0';
	end(w);
}

/* A new toolstack knows of nothing. */
static void test_new_toolstack(void **state)
{
	struct world *w = synjitsu_world("\"nic\":\"br0\",\"wake\":[\"dns\",\"packet\"]");

	(void)state;
	w->toolstack_log[0] = '\0';
	lose_toolstack(w);
	connect_toolstack(w);
	TOOLSTACK("survey; ");
	survey_end(w);
	TOOLSTACK("hold 0 asleep 0 0; ");
	end(w);
}

static void test_without_synjitsu(void **state)
{
	struct world *w = world(4);
	struct answer answer;

	(void)state;
	add(w, "a", "\"nic\":\"br0\",\"use_synjitsu\":true");
	want(w, 0);
	TOOLSTACK("start 0; ");
	call(w, verb_service_add,
	     "{\"name\":\"b\",\"ip\":\"10.9.9.9\",\"nic\":\"br0\",\"wake\":\"packet\"}", &answer);
	assert_null(answer.result);
	assert_string_equal(answer.err.text,
			    "wake: \"packet\": expected a jitsud that was started with --synjitsu, "
			    "which hears of packets");
	clear(&answer);
	w->dns_log[0] = '\0';
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_use_synjitsu),	 cmocka_unit_test(test_packet),
		cmocka_unit_test(test_removed),		 cmocka_unit_test(test_new_toolstack),
		cmocka_unit_test(test_without_synjitsu),
	};

	return cmocka_run_group_tests_name("holding", tests, set_up, tear_down);
}
