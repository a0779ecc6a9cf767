/* engine/control: who subscribes to events. */
#include "tests/unit/test_control.h"

#include <sys/resource.h>

#define SUBSCRIBE(n)                                                                               \
	"{\"jsonrpc\":\"2.0\",\"method\":\"events.subscribe\",\"params\":{\"recent\":" #n          \
	"},\"id\":1}\n"

static void publish(unsigned number, size_t padding)
{
	struct json_object *event = json_object_new_object();
	cleanup_free char *text = NULL;

	assert_true(asprintf(&text, "number %u%*s", number, (int)padding, "") > 0);
	json_object_object_add(event, "kind", json_object_new_string("state"));
	json_object_object_add(event, "service", json_object_new_string("w"));
	json_object_object_add(event, "why", json_object_new_string(text));
	control_publish(control, event);
}

static void events(void **state)
{
	int fd = client(), other = client();
	size_t size;
	bool eof;
	char *heard;

	(void)state;
	control_publish(NULL, json_object_new_object());
	for (unsigned i = 0; i < 300; i++)
		publish(i, 0);
	say(other, STATUS);
	say(fd, SUBSCRIBE(2));
	publish(300, 0);
	publish(301, 0);
	heard = hear(fd, &size, &eof);
	assert_false(eof);
	assert_int_equal(count_of(heard, "\n"), 3);
	assert_non_null(strstr(heard,
			       "\"result\":{\"events\":[{\"kind\":\"state\",\"service\":\"w\","
			       "\"why\":\"number 298\",\"time\":"));
	assert_non_null(strstr(heard, "\"number 299\""));
	assert_non_null(strstr(
		heard, "}]},\"id\":1}\n{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{"
		       "\"kind\":\"state\",\"service\":\"w\",\"why\":\"number 300\""));
	assert_non_null(strstr(heard, "\"number 301\""));
	free(heard);

	/* Subscribed twice, still one line each; and it may ask on. */
	say(fd, SUBSCRIBE(9999));
	heard = hear(fd, &size, &eof);
	assert_int_equal(count_of(heard, "\"why\""), 256);
	assert_null(strstr(heard, "\"number 45\""));
	assert_non_null(strstr(heard, "\"number 46\""));
	free(heard);
	publish(302, 0);
	say(fd, STATUS);
	heard = hear(fd, &size, &eof);
	assert_int_equal(count_of(heard, "number 302"), 1);
	assert_int_equal(count_of(heard, "\n"), 2);
	free(heard);

	heard = hear(other, &size, &eof);
	assert_int_equal(count_of(heard, "\n"), 1);
	free(heard);

	/* It is gone: nobody is told, and no harm done. */
	close(fd);
	publish(303, 0);
	pump();
	publish(304, 0);
	pump();
	close(other);

	expect("{\"jsonrpc\":\"2.0\",\"method\":\"events.subscribe\",\"params\":{\"recent\":-1},"
	       "\"id\":1}\n",
	       1, "recent: \\\"-1\\\": expected");
	expect("[{\"jsonrpc\":\"2.0\",\"method\":\"events.subscribe\",\"id\":1}]\n", 1,
	       "[{\"jsonrpc\":\"2.0\",\"result\":{\"events\":[]},\"id\":1}]\n");
}

/* One that does not read is let go, with a last word; the others go on. */
static void slow_subscriber(void **state)
{
	int slow = client(), quick = client();
	unsigned sent = 0, got = 0;
	size_t size;
	bool eof;
	char *heard;

	(void)state;
	say(slow, SUBSCRIBE(0));
	say(quick, SUBSCRIBE(0));
	free(hear(quick, &size, &eof));
	for (; sent < 4000; sent++) {
		publish(sent, 1000);
		if (sent % 50 != 0)
			continue;
		heard = hear(quick, &size, &eof);
		got += (unsigned)count_of(heard, "number");
		free(heard);
		assert_false(eof);
	}
	heard = hear(quick, &size, &eof);
	got += (unsigned)count_of(heard, "number");
	free(heard);
	assert_int_equal(got, sent);
	heard = hear(slow, &size, &eof);
	assert_true(eof);
	assert_in_range(count_of(heard, "number"), 900, 3000);
	assert_int_equal(count_of(heard, "\"kind\":\"dropped\""), 1);
	assert_int_equal(strstr(strstr(heard, "dropped"), "\n")[1], '\0');
	free(heard);
	close(slow);
	close(quick);
	pump();
}

static void many_subscribers(void **state)
{
	struct rlimit limit, wide;
	int fds[64], others[1200];
	size_t size;
	bool eof;
	char *heard;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = client();
		say(fds[i], SUBSCRIBE(0));
	}
	expect(SUBSCRIBE(0), 1, "-32004,\"message\":\"64 clients are subscribed");
	close(fds[0]);
	pump();
	fds[0] = client();
	say(fds[0], SUBSCRIBE(0));
	pump();

	/* They are quiet, but they are not those that make room. */
	getrlimit(RLIMIT_NOFILE, &limit);
	wide = limit;
	wide.rlim_cur = wide.rlim_max < 8192 ? wide.rlim_max : 8192;
	if (wide.rlim_cur >= 5000) {
		setrlimit(RLIMIT_NOFILE, &wide);
		for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
			others[i] = client();
			say(others[i], STATUS);
		}
		for (size_t i = 0; i < ARRAY_SIZE(others); i++)
			close(others[i]);
		pump();
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	publish(1, 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		heard = hear(fds[i], &size, &eof);
		assert_false(eof);
		assert_int_equal(count_of(heard, "number 1"), 1);
		free(heard);
		close(fds[i]);
	}
	pump();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(events),
		TEST(slow_subscriber),
		TEST(many_subscribers),
	};

	log_open("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("subscribers", tests, NULL, NULL);
}
