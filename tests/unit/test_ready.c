/* engine: what is waited for until a guest is ready, in which order and how long. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/unit/test_engine.h"

static void key(struct world *w)
{
	SAY(toolstack, key, .id = 0, .boot = w->boots[0], .at = loop_now(w->loop));
}

static struct world *booting_world(const char *keys)
{
	struct world *w = world(4);

	add(w, "a", keys);
	want(w, 0);
	created(w, 0, 7);
	w->dns_log[0] = w->toolstack_log[0] = '\0';
	return w;
}

static void test_key(void **state)
{
	struct world *w = booting_world(
		"\"nic\":\"br0\",\"wait_for_key\":\"data/up=1\",\"response_delay\":0.1");

	(void)state;
	is(w, "a", "awaits", "key");
	loop_advance(w->loop, 20 * MS);
	frame(w, 0); /* is no sign where there is another */
	is(w, "a", "phase", "booting");
	loop_advance(w->loop, 30 * MS);
	key(w);
	is(w, "a", "phase", "settling");
	loop_advance(w->loop, 100 * MS);
	DNS("ready 0; ");
	is(w, "a", "boot/key", "50.000");
	is(w, "a", "boot/frame", "20.000");
	is(w, "a", "boot/ready", "150.000");
	is(w, "a", "boot/missed", "none");
	key(w);
	is(w, "a", "boot/key", "50.000");
	end(w);
}

static void test_limits(void **state)
{
	struct world *w = booting_world("\"nic\":\"br0\",\"wait_for_key\":\"up\"");

	(void)state;
	loop_advance(w->loop, 10 * SECOND - 1);
	DNS("");
	loop_advance(w->loop, 1);
	DNS("ready 0; ");
	is(w, "a", "boot/missed", "[ \"key\" ]");
	is(w, "a", "boot/key", "none");
	end(w);
	w = booting_world("\"nic\":\"br0\",\"frame_limit\":2");
	is(w, "a", "awaits", "frame");
	loop_advance(w->loop, 2 * SECOND);
	DNS("ready 0; ");
	is(w, "a", "boot/missed", "[ \"frame\" ]");
	end(w);
	/* The port's time counts from where the key's ended. */
	w = booting_world("\"wait_for_key\":\"up\",\"wait_for_key_limit\":1,\"ready_port\":80,"
			  "\"ready_port_limit\":2,\"sim_port\":60000");
	loop_advance(w->loop, SECOND);
	is(w, "a", "awaits", "port");
	loop_advance(w->loop, 2 * SECOND - 1);
	DNS("");
	loop_advance(w->loop, 1);
	DNS("ready 0; ");
	is(w, "a", "boot/missed", "[ \"key\", \"port\" ]");
	end(w);
}

static void test_key_then_port(void **state)
{
	struct world *w =
		booting_world("\"wait_for_key\":\"up\",\"ready_port\":80,\"sim_port\":70");

	(void)state;
	loop_advance(w->loop, 30 * MS);
	key(w);
	loop_advance(w->loop, 70 * MS);
	DNS("ready 0; ");
	is(w, "a", "boot/key", "30.000");
	is(w, "a", "boot/port", "100.000");
	end(w);
}

/* Died, removed and lost while it is awaited: nothing of the wait is left. */
static void test_given_up(void **state)
{
	struct world *w = booting_world("\"ready_port\":80,\"sim_port\":70");
	struct answer answer;

	(void)state;
	died(w, 7, 3);
	DNS("failed 0; ");
	TOOLSTACK("stop 0 7; ");
	loop_advance(w->loop, 20 * SECOND);
	stopped(w, 0, 7);
	is(w, "a", "state", "failed");
	want(w, 0);
	TOOLSTACK("start 0; ");
	created(w, 0, 8);
	call(w, verb_service_remove, "{\"name\":\"a\"}", &answer);
	stopped(w, 0, 8);
	clear(&answer);
	DNS("forget 0; ");
	TOOLSTACK("stop 0 8; ");
	loop_advance(w->loop, 20 * SECOND);
	end(w);
}

/* The toolstack is lost while a guest boots: the next one is asked for what is awaited still. */
static void test_adopted(void **state)
{
	struct world *w = booting_world(
		"\"nic\":\"br0\",\"wait_for_key\":\"up\",\"ready_port\":80,\"sim_port\":70");

	(void)state;
	learn_uuid(w, "a", 0);
	is(w, "a", "awaits", "key");
	lose_toolstack(w);
	connect_toolstack(w);
	found(w, w->uuids[0], 7, true, true, "a");
	survey_end(w);
	TOOLSTACK("survey; adopt 0 7 up; ");
	is(w, "a", "awaits", "key");
	key(w);
	is(w, "a", "awaits", "port");
	loop_advance(w->loop, 70 * MS);
	DNS("ready 0; ");
	end(w);
}

/* What another engine has started is ready when it would be had that engine lived, as far as that
 * can be known. */
static void test_taken_over(void **state)
{
	static const struct {
		const char *keys;
		uint64_t age, frame; /* ms ago; 0: not yet */
		bool restored;
		uint64_t left; /* ms until it is ready; one that sent no frame sends it at once */
	} cases[] = {
		{ "\"nic\":\"br0\",\"response_delay\":0.3", 500, 100, false, 200 },
		{ "\"nic\":\"br0\",\"response_delay\":0.3", 500, 400, false, 0 },
		{ "\"nic\":\"br0\",\"response_delay\":0.3", 500, 0, false, 300 },
		{ "\"nic\":\"br0\",\"response_delay\":0.3", 60299, 0, false, 300 },
		{ "\"nic\":\"br0\",\"response_delay\":0.3", 60300, 0, false, 0 },
		{ "\"nic\":\"br0\",\"response_delay\":0.3", 0, 0, false, 0 },
		{ "\"nic\":\"br0\",\"response_delay\":0.3", 10, 0, true, 0 },
		{ "\"response_delay\":0.3", 100, 0, false, 200 },
		{ "\"ready_port\":80,\"sim_port\":70", 50, 0, false, 20 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world *w = world(4);

		loop_advance(w->loop, 100 * SECOND);
		add(w, "a", cases[i].keys);
		learn_uuid(w, "a", 0);
		lose_toolstack(w);
		connect_toolstack(w);
		w->dns_log[0] = w->toolstack_log[0] = '\0';
		SAY(toolstack, found, .domid = 7, .uuid = { w->uuids[0], 16 }, .whole = true,
		    .running = true, .restored = cases[i].restored,
		    .created = cases[i].age ? loop_now(w->loop) - cases[i].age * MS : 0,
		    .service = "a");
		survey_end(w);
		if (strcmp(w->toolstack_log, "") != 0) {
			TOOLSTACK("adopt 0 7; ");
			SAY(toolstack, frame, .id = 0, .boot = w->boots[0],
			    .at = loop_now(w->loop) - cases[i].frame * MS);
		}
		if (cases[i].left) {
			DNS("");
			loop_advance(w->loop, cases[i].left * MS - 1);
			DNS("");
			loop_advance(w->loop, 1);
		}
		DNS("ready 0; ");
		TOOLSTACK("");
		end(w);
	}
}

static int listener(int family, uint16_t *port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET,
				  .sin_port = htons(*port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof v4;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	assert_int_equal(bind(fd, (struct sockaddr *)&v4, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&v4, &size), 0);
	*port = ntohs(v4.sin_port);
	return fd;
}

/* A real port, which is closed at first. */
static void test_real_port(void **state)
{
	uint16_t port = 0;
	int fd = listener(AF_INET, &port);
	char keys[128];
	struct world *w;

	(void)state;
	snprintf(keys, sizeof keys, "\"ip\":\"127.0.0.1\",\"ready_port\":%u", port);
	w = booting_world(keys);
	loop_advance(w->loop, 3 * SECOND);
	is(w, "a", "awaits", "port");
	DNS("");
	assert_int_equal(listen(fd, 8), 0);
	/* The kernel may take its real time. */
	for (int i = 0; i < 500 && !*w->dns_log; i++) {
		loop_advance(w->loop, 10 * MS);
		usleep(1000);
	}
	DNS("ready 0; ");
	is(w, "a", "boot/missed", "none");
	end(w);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key),	      cmocka_unit_test(test_limits),
		cmocka_unit_test(test_key_then_port), cmocka_unit_test(test_given_up),
		cmocka_unit_test(test_adopted),	      cmocka_unit_test(test_real_port),
		cmocka_unit_test(test_taken_over),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
