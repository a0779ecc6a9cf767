/* engine/control: clients of the control socket, good and bad. */
#include "tests/unit/test_control.h"

#include <fcntl.h>
#include <grp.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "sanitized.h"

#define MIB (1024 * 1024)

static void requests(void **state)
{
	static const struct {
		const char *request, *part;
	} rows[] = {
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\",\"id\":7}",
		  "\"version\":\"9.9.9\"" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\",\"id\":7}", ",\"id\":7}\n" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\",\"id\":\"a\\u00e9\"}\r",
		  ",\"id\":\"a\u00e9\"}\n" },
		{ " {\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\",\"id\":null} ",
		  ",\"id\":null}\n" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\",\"params\":[],\"id\":1}",
		  "\"result\":{" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"service.add\",\"id\":1,\"params\":"
		  "{\"name\":\"w\",\"dns\":\"w.org\",\"ip\":\"10.0.0.1\"}}",
		  "\"result\":{\"state\":\"off\"" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"service.add\",\"id\":1,\"params\":"
		  "{\"name\":\"w\",\"dns\":\"w.org\",\"ip\":\"10.0.0.1\"}}",
		  "{\"code\":-32002,\"message\":\"name: \\\"w\\\": taken by another service\","
		  "\"data\":{\"kind\":\"conflict\",\"field\":\"name\"}}" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"service.add\",\"id\":1,\"params\":"
		  "{\"name\":\"x\",\"dns\":\"w.org\",\"ip\":\"10.0.0.256\"}}",
		  "\"code\":-32001,\"message\":\"ip: \\\"10.0.0.256\\\": expected" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"service.get\",\"id\":1,"
		  "\"params\":{\"name\":\"no\"}}",
		  "\"code\":-32003" },
		/* what is no request, or none of ours */
		{ "[", "{\"code\":-32700" },
		{ "nonsense", "{\"code\":-32700" },
		{ "{\"jsonrpc\":\"2.0\"} {}", "{\"code\":-32700" },
		{ "{'jsonrpc':\"2.0\"}", "{\"code\":-32700" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\",\"id\":1", "-32700" },
		{ "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
		  "-32700" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\",\"id\":1,\"id\":2}",
		  "\\\"id\\\": this key is given twice" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"service.get\",\"id\":1,"
		  "\"params\":{\"name\":\"a\\u0000b\"}}",
		  "-32700" },
		{ "17", "\"code\":-32600" },
		{ "null", "\"code\":-32600" },
		{ "{}", "\"message\":\"jsonrpc: missing\"" },
		{ "{\"jsonrpc\":\"1.0\",\"method\":\"a\",\"id\":1}", "\"code\":-32600" },
		{ "{\"jsonrpc\":2.0,\"method\":\"a\",\"id\":1}", "\"code\":-32600" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":5,\"id\":1}", "\"field\":\"method\"" },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1}", "\"message\":\"method: missing\"" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\",\"id\":{}}",
		  "\"data\":{\"kind\":\"request\",\"field\":\"id\"}},\"id\":null}" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\",\"param\":{},\"id\":1}",
		  "\"field\":\"param\"" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"service.summon\",\"id\":1}",
		  "\"code\":-32601,\"message\":\"method: \\\"service.summon\\\": no such" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"service.get\",\"id\":1}",
		  "\"code\":-32602,\"message\":\"name: missing" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"service.get\",\"params\":[\"w\"],\"id\":1}",
		  "\"field\":\"params\"" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"service.get\",\"params\":{\"name\":5},\"id\":"
		  "1}",
		  "\"message\":\"name: \\\"5\\\": expected the service's name\"" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"service.get\",\"params\":"
		  "{\"name\":\"w\",\"nam\":1},\"id\":1}",
		  "\"field\":\"nam\"" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"service.list\",\"params\":{\"a\":1},\"id\":1}",
		  "\"code\":-32602" },
		{ "{\"jsonrpc\":\"2.0\",\"method\":\"service.add\",\"id\":1}", "\"code\":-32602" },
		{ "[]", "\"code\":-32600,\"message\":\"an empty batch\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char line[1024];

		snprintf(line, sizeof line, "%s\n", rows[i].request);
		expect(line, 1, rows[i].part);
	}
}

static void notifications(void **state)
{
	(void)state;
	expect("{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\"}\n", 0, NULL);
	assert_int_equal(fake_calls, 1);
	expect("{\"jsonrpc\":\"2.0\",\"method\":\"no.such\"}\n", 0, NULL);
	expect("{\"jsonrpc\":\"2.0\",\"method\":\"service.get\"}\n", 0, NULL);
	expect("[{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\"},"
	       "{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\"}]\n",
	       0, NULL);
	assert_int_equal(fake_calls, 3);
	expect("\n \n\r\n", 0, NULL);
}

static void batches(void **state)
{
	cleanup_free char *many = malloc(3 * 1002);
	size_t size;
	bool eof;
	int fd;
	cleanup_free char *heard = NULL;

	(void)state;
	expect("[{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\",\"id\":1},5,"
	       "{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\"},"
	       "{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"id\":2}]\n",
	       1, "\"id\":1},{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600");
	assert_int_equal(fake_calls, 2);
	strcpy(many, "[0");
	for (int i = 0; i < 999; i++)
		strcat(many, ",0");
	strcat(many, "]\n");
	expect(many, 1, "},{");
	many[strlen(many) - 2] = '\0';
	strcat(many, ",0]\n");
	expect(many, 1, "at most 1000");

	/* One after the other: what comes after a slow one is not done before it. */
	fake_reset();
	fd = client();
	say(fd,
	    "[{\"jsonrpc\":\"2.0\",\"method\":\"service.remove\",\"params\":{\"name\":\"slow\"},"
	    "\"id\":1},{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\",\"id\":2}]\n");
	pump();
	assert_int_equal(fake_slow_count, 1);
	assert_int_equal(fake_calls, 1);
	fake_answer_slow();
	assert_int_equal(fake_calls, 1); /* not from within the verb's answer */
	heard = hear(fd, &size, &eof);
	assert_int_equal(fake_calls, 2);
	assert_int_equal(count_of(heard, "\n"), 1);
	assert_true(strstr(heard, "\"id\":1}") < strstr(heard, "\"id\":2}"));
	close(fd);
}

static void a_byte_at_a_time(void **state)
{
	int fd = client();
	size_t size;
	bool eof;
	cleanup_free char *heard = NULL;

	(void)state;
	for (const char *c = STATUS STATUS; *c; c++)
		assert_int_equal(push(fd, c, 1), 1);
	heard = hear(fd, &size, &eof);
	assert_int_equal(count_of(heard, "\n"), 2);
	close(fd);
}

static void half_closed(void **state)
{
	static const char *const texts[] = {
		STATUS,
		"{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\",\"id\":1}",
		"{\"jsonrpc\":\"2.0\",\"method\":\"service.get\",\"params\":{\"name\":\"slow\"},"
		"\"id\":1}",
		STATUS "{\"jsonrpc\":",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		int fd = client();
		size_t size;
		bool eof;
		cleanup_free char *heard = NULL;

		assert_int_equal(send(fd, texts[i], strlen(texts[i]), 0), strlen(texts[i]));
		shutdown(fd, SHUT_WR);
		pump();
		fake_answer_slow();
		heard = hear(fd, &size, &eof);
		assert_int_equal(count_of(heard, "\n"), i == 3 ? 2 : 1);
		assert_non_null(strstr(heard, "\"result\""));
		assert_true(eof);
		close(fd);
	}
}

/* More lines than are taken in one turn, and nobody who sends more. */
static void many_then_half_closed(void **state)
{
	int fd = client();
	size_t size;
	bool eof;
	cleanup_free char *heard = NULL;

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(send(fd, STATUS, strlen(STATUS), 0), strlen(STATUS));
	shutdown(fd, SHUT_WR);
	heard = hear(fd, &size, &eof);
	assert_int_equal(count_of(heard, "\n"), 100);
	assert_true(eof);
	close(fd);
}

#if !SANITIZED
static size_t in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}
#endif

static void long_line(void **state)
{
	cleanup_free char *line = malloc(10 * MIB);
	int fd = client();
	size_t size, most = 0;
	bool eof;
	cleanup_free char *heard = NULL;

	(void)state;
	memset(line, 'a', 10 * MIB);
#if !SANITIZED
	size_t before = in_use();

	for (size_t at = 0; at < 10 * MIB; at += 65536) {
		assert_int_equal(push(fd, line + at, 65536), 65536);
		if (in_use() - before > most && in_use() > before)
			most = in_use() - before;
	}
	assert_in_range(most, 1, 5 * MIB / 2);
#else
	(void)most;
	assert_int_equal(push(fd, line, 10 * MIB), 10 * MIB);
#endif
	heard = hear(fd, &size, &eof);
	assert_int_equal(count_of(heard, "\n"), 1);
	assert_non_null(strstr(heard, "at most 1 MiB"));
	assert_true(eof);
	close(fd);

	/* The longest that is allowed. */
	memset(line, ' ', MIB);
	memcpy(line, STATUS, strlen(STATUS) - 1);
	memcpy(line + MIB, "\n", 2);
	expect(line, 1, "\"result\"");
}

static void noise(void **state)
{
	unsigned char bytes[100000];
	unsigned seed = 1;
	int fd = client();
	size_t size;
	bool eof;
	cleanup_free char *heard = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (unsigned char)((seed = seed * 1103515245 + 12345) >> 16);
	push(fd, (char *)bytes, sizeof bytes);
	heard = hear(fd, &size, &eof);
	assert_int_equal(count_of(heard, "\n"), 1);
	assert_non_null(strstr(heard, "\"code\":-32700"));
	assert_true(eof);
	close(fd);
	expect("not\nJSON\n" STATUS, 3, "\"result\"");
	expect(STATUS, 1, "\"result\"");
}

static void silent_clients(void **state)
{
	struct rlimit limit, wide;
	int fds[2000], fd;
	size_t size;
	bool eof;
	cleanup_free char *heard = NULL;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &limit);
	wide = limit;
	wide.rlim_cur = wide.rlim_max < 8192 ? wide.rlim_max : 8192;
	if (wide.rlim_cur < 5000) {
		print_message("SKIPPED: descriptors are limited to %llu\n",
			      (unsigned long long)wide.rlim_max);
		skip();
	}
	setrlimit(RLIMIT_NOFILE, &wide);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = client();
		/* The first asks, so it is known, and the last to go. */
		if (i == 0)
			say(fds[i], STATUS);
		if (i % 100 == 0)
			pump();
	}
	pump();
	expect(STATUS, 1, "\"result\"");
	fd = client();
	say(fd, STATUS);
	heard = hear(fd, &size, &eof);
	assert_non_null(strstr(heard, "\"result\""));
	close(fd);
	free(heard);
	heard = hear(fds[0], &size, &eof);
	assert_false(eof);
	free(heard);
	heard = hear(fds[1], &size, &eof);
	assert_true(eof);
	assert_non_null(strstr(heard, "\"kind\":\"busy\""));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	pump();
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void no_descriptors(void **state)
{
	struct rlimit limit, tight;
	int fds[10], fd, next;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &limit);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = client();
	pump();
	fd = client();
	next = dup(fd);
	close(next);
	tight = limit;
	tight.rlim_cur = (rlim_t)next;
	setrlimit(RLIMIT_NOFILE, &tight);
	say(fd, STATUS);
	pump();
	{
		size_t size;
		bool eof;
		cleanup_free char *heard = hear(fd, &size, &eof);

		assert_non_null(strstr(heard, "\"result\""));
	}
	setrlimit(RLIMIT_NOFILE, &limit);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	close(fd);
	pump();
}

static void slow_reader(void **state)
{
	int fd = client();
	cleanup_free char *many = malloc(100000);
	size_t size;
	bool eof;
	cleanup_free char *heard = NULL;

	(void)state;
	fake_padding = MIB;
	many[0] = '\0';
	for (int i = 0; i < 100; i++)
		strcat(many, "{\"jsonrpc\":\"2.0\",\"method\":\"service.list\",\"id\":1}\n");
	say(fd, many);
	pump();
	/* Two answers are over what may wait, so the others are not even asked for. */
	assert_in_range(fake_calls, 1, 3);
	expect(STATUS, 1, "\"result\"");
	heard = hear(fd, &size, &eof);
	assert_int_equal(count_of(heard, "\n"), 100);
	assert_int_equal(fake_calls, 101);
	close(fd);
}

static void many_under_way(void **state)
{
	static const char slow[] = "{\"jsonrpc\":\"2.0\",\"method\":\"service.get\","
				   "\"params\":{\"name\":\"slow\"},\"id\":1}\n";
	int fd = client();
	size_t size, lines = 0;
	bool eof;

	(void)state;
	for (int i = 0; i < 200; i++)
		assert_int_equal(push(fd, slow, strlen(slow)), strlen(slow));
	pump();
	assert_int_equal(fake_slow_count, 64);
	expect(STATUS, 1, "\"result\"");
	for (int i = 0; i < 4; i++) {
		cleanup_free char *heard = NULL;

		fake_answer_slow();
		heard = hear(fd, &size, &eof);
		lines += count_of(heard, "\n");
	}
	assert_int_equal(lines, 200);
	close(fd);
}

static void gone_before_the_answer(void **state)
{
	static const char slow[] = "[{\"jsonrpc\":\"2.0\",\"method\":\"service.get\",\"id\":1,"
				   "\"params\":{\"name\":\"slow\"}}," STATUS "]\n";
	cleanup_free char *flat = strdup(slow);
	int fd = client();

	(void)state;
	*strchr(flat, '\n') = ' ';
	say(fd, flat);
	say(fd, flat);
	close(fd);
	pump();
	assert_int_equal(fake_slow_count, 2);
	fake_answer_slow();
	pump();
	expect(STATUS, 1, "\"result\"");
	/* And the server before the verb. */
	fd = client();
	say(fd, flat);
	pump();
	assert_int_equal(fake_slow_count, 1);
	control_free(control);
	control = NULL;
	fake_answer_slow();
	close(fd);
}

static void strangers_may_read(void **state)
{
	static const char texts[] =
		"{\"jsonrpc\":\"2.0\",\"method\":\"service.remove\",\"params\":{\"name\":\"w\"},"
		"\"id\":1}\n" STATUS;
	pid_t pid;
	int status;

	(void)state;
	if (geteuid() != 0) {
		print_message("SKIPPED: becoming another user takes root\n");
		skip();
	}
	pid = fork();
	if (pid == 0) {
		size_t size;
		bool eof;
		char *heard;
		int fd;

		if (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
		    setresuid(65534, 65534, 65534) < 0)
			_exit(2);
		fd = client();
		_exit(send(fd, texts, strlen(texts), 0) < 0 || fcntl(fd, F_SETFL, 0) < 0 ||
		      !(heard = calloc(1, 65536)) ||
		      /* the parent serves */
		      (size = (size_t)recv(fd, heard, 65535, MSG_WAITALL), eof = !size, eof) ||
		      !strstr(heard, "\"code\":-32006") || !strstr(heard, "9.9.9"));
	}
	/* The child shuts nothing, so it is let go by closing from here. */
	for (int i = 0; i < 2000 && fake_calls == 0; i++) {
		usleep(1000);
		pump();
	}
	control_free(control);
	control = NULL;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests),
		TEST(notifications),
		TEST(batches),
		TEST(a_byte_at_a_time),
		TEST(half_closed),
		TEST(long_line),
		TEST(noise),
		TEST(silent_clients),
		TEST(no_descriptors),
		TEST(slow_reader),
		TEST(many_under_way),
		TEST(gone_before_the_answer),
		TEST(strangers_may_read),
		TEST(many_then_half_closed),
	};

	log_open("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
