#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/control.h"
#include "engine/dispatch.h"
#include "fake_verbs.h"
#include "sanitized.h"

#define MIB    (1024 * 1024)
#define STATUS "{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\",\"id\":1}\n"

static struct loop *loop;
static struct control *control;
static char directory[64], path[96];

static int setup(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	(void)state;
	strcpy(directory, "/tmp/jitsu-control-XXXXXX");
	assert_non_null(mkdtemp(directory));
	assert_int_equal(chmod(directory, 0755), 0);
	snprintf(path, sizeof path, "%s/control.sock", directory);
	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(listen(fd, 1024), 0);
	loop = loop_new(LOOP_CLOCK_FAKE);
	control = control_new(loop, fd, NULL);
	assert_non_null(control);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	control_free(control);
	control = NULL;
	fake_answer_slow();
	loop_free(loop);
	fake_reset();
	unlink(path);
	rmdir(directory);
	return 0;
}

static void pump(void)
{
	for (int i = 0; i < 20; i++)
		loop_advance(loop, 0);
}

static int client(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

/* Sends it all, unless the server stops reading. Returns what was sent. */
static size_t push(int fd, const char *data, size_t size)
{
	size_t sent = 0;

	for (int idle = 0; sent < size && idle < 3;) {
		ssize_t r = send(fd, data + sent, size - sent, MSG_NOSIGNAL);

		if (r < 0 && errno != EAGAIN)
			break;
		idle = r > 0 ? 0 : idle + 1;
		sent += r > 0 ? (size_t)r : 0;
		loop_advance(loop, 0);
	}
	return sent;
}

static void say(int fd, const char *text)
{
	assert_int_equal(push(fd, text, strlen(text)), strlen(text));
}

/* All that comes until the server is quiet; the caller frees it. *eof: the server has closed. */
static char *hear(int fd, size_t *size, bool *eof)
{
	size_t used = 0, room = 65536;
	char *text = malloc(room);

	*eof = false;
	for (int idle = 0; idle < 3;) {
		ssize_t r = recv(fd, text + used, room - used - 1, 0);

		if (r == 0 || (r < 0 && errno != EAGAIN)) {
			*eof = true;
			break;
		}
		idle = r > 0 ? 0 : idle + 1;
		used += r > 0 ? (size_t)r : 0;
		if (room - used < 32768)
			text = realloc(text, room *= 2);
		pump();
	}
	text[used] = '\0';
	*size = used;
	return text;
}

static size_t count_of(const char *text, const char *part)
{
	size_t n = 0;

	while ((text = strstr(text, part))) {
		n++;
		text += strlen(part);
	}
	return n;
}

/* Says it on a new connection, expects so many lines, the last of which holds `part`. */
static void expect(const char *text, size_t lines, const char *part)
{
	int fd = client();
	size_t size;
	bool eof;
	cleanup_free char *heard = NULL;

	say(fd, text);
	heard = hear(fd, &size, &eof);
	if (count_of(heard, "\n") != lines || (part && !strstr(heard, part)))
		fail_msg("to %s expected %zu lines with %s, came: %s", text, lines, part, heard);
	assert_false(eof);
	close(fd);
	pump();
}

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

/* --- the dispatcher alone --- */

static unsigned replies;
static char *last_reply;

static void on_reply(void *arg, const char *line, size_t size)
{
	assert_ptr_equal(arg, &replies);
	replies++;
	free(last_reply);
	last_reply = line ? strndup(line, size) : NULL;
	if (line) {
		struct json_object *value;

		assert_int_equal(strlen(last_reply), size);
		assert_int_equal(last_reply[size - 1], '\n');
		assert_ptr_equal(strchr(last_reply, '\n'), last_reply + size - 1);
		assert_int_equal(control_parse(line, size, &value, NULL), 0);
		json_object_put(value);
	}
}

static struct json_object *on_subscribe(void *arg, size_t recent, struct error *err)
{
	(void)arg;
	(void)recent;
	(void)err;
	return json_object_new_object();
}

static const struct dispatch_client dispatch_client = { on_reply, on_subscribe };

static void read_access(void **state)
{
	(void)state;
	for (size_t i = 0; i < CONTROL_METHODS; i++) {
		char text[200];
		bool denied;

		snprintf(text, sizeof text,
			 "{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"id\":1,\"params\":{}}",
			 control_methods[i].name);
		assert_null(dispatch_message(loop, NULL, CONTROL_READ, &dispatch_client, text,
					     strlen(text), &replies));
		denied = strstr(last_reply, "\"error\":{\"code\":-32006") != NULL;
		assert_int_equal(denied, control_methods[i].access == CONTROL_WRITE);
	}
	free(TAKE(last_reply));
}

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

static uint64_t random_state;

static uint32_t random_below(uint32_t limit)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(random_state >> 33) % limit;
}

static size_t mutate(char *text, size_t size, size_t room)
{
	static const char *const tokens[] = {
		"\"",
		"{",
		"}",
		"[",
		"]",
		",",
		":",
		"null",
		"true",
		"-1e999",
		"\\u0000",
		"\\ud800",
		"\"id\"",
		"\"jsonrpc\"",
		"\"2.0\"",
		"\"params\":",
		"\xff",
		"\xc3\xa9",
		"\xed\xa0\x80",
		"99999999999999999999",
		"\"service.add\"",
		"\"name\":\"slow\"",
		"NaN",
		"/*",
		"\n",
		"",
	};

	for (uint32_t n = 1 + random_below(4); n; n--) {
		size_t at = random_below((uint32_t)size + 1), length;
		const char *token = tokens[random_below(ARRAY_SIZE(tokens))];

		switch (random_below(4)) {
		case 0:
			if (at < size)
				text[at] = (char)random_below(256);
			break;
		case 1:
			length = strlen(token);
			if (size + length > room)
				break;
			memmove(text + at + length, text + at, size - at);
			memcpy(text + at, token, length);
			size += length;
			break;
		case 2:
			length = random_below(8);
			if (length > size - at)
				length = size - at;
			memmove(text + at, text + at + length, size - at - length);
			size -= length;
			break;
		default:
			length = random_below(32);
			if (length > size - at || size + length > room)
				break;
			memmove(text + at + length, text + at, size - at);
			size += length;
		}
	}
	return size;
}

static void fuzz(void **state)
{
	static const char *const seeds[] = {
		STATUS,
		"{\"jsonrpc\":\"2.0\",\"method\":\"service.add\",\"id\":1,\"params\":{\"name\":"
		"\"w\","
		"\"dns\":[\"w.org\",\"v.org\"],\"ip\":\"10.0.0.1\",\"memory\":\"64M\",\"ttl\":60}}",
		"{\"jsonrpc\":\"2.0\",\"method\":\"service.get\",\"params\":{\"name\":\"w\"},"
		"\"id\":\"x\"}",
		"[{\"jsonrpc\":\"2.0\",\"method\":\"service.list\",\"id\":1},{\"jsonrpc\":\"2.0\","
		"\"method\":\"service.remove\",\"params\":{\"name\":\"w\"},\"id\":2}]",
	};
	const char *given = getenv("JITSU_FUZZ_SEED"), *rounds = getenv("JITSU_FUZZ_ROUNDS");
	unsigned long count = rounds ? strtoul(rounds, NULL, 10) : 20000;

	(void)state;
	random_state = given ? strtoull(given, NULL, 10) : 42;
	for (unsigned long i = 0; i < count; i++) {
		char text[1024];
		size_t size;
		unsigned before = replies;
		struct dispatch *d;
		char *exact;

		if (random_below(8) == 0) {
			size = random_below(200);
			for (size_t k = 0; k < size; k++)
				text[k] = (char)random_below(256);
		} else {
			const char *seed = seeds[random_below(ARRAY_SIZE(seeds))];

			size = strlen(seed);
			memcpy(text, seed, size);
			size = mutate(text, size, sizeof text);
		}
		exact = malloc(size ? size : 1); /* so that ASan sees a read past its end */
		memcpy(exact, text, size);
		d = dispatch_message(loop, NULL, CONTROL_WRITE, &dispatch_client, exact, size,
				     &replies);
		free(exact);
		assert_int_equal(replies, before + (d ? 0 : 1));
		if (d && random_below(2)) {
			dispatch_abandon(d);
			before--;
		}
		for (int turn = 0; turn < 4; turn++) {
			fake_answer_slow();
			loop_advance(loop, 0);
		}
		assert_int_equal(replies, before + 1);
		if (fake_count > 100)
			fake_reset();
	}
	free(TAKE(last_reply));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
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
		TEST(read_access),
		TEST(fuzz),
		TEST(many_then_half_closed),
		TEST(events),
		TEST(slow_subscriber),
		TEST(many_subscribers),
	};

	log_open("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
