/* The control socket on a fake clock, with verbs that only look like the engine's. */
#ifndef JITSU_TESTS_TEST_CONTROL_H
#define JITSU_TESTS_TEST_CONTROL_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/control.h"
#include "fake_verbs.h"

#define STATUS "{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\",\"id\":1}\n"

static struct loop *loop;
static struct control *control;
static char directory[64], path[96];

static inline int setup(void **state)
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

static inline int teardown(void **state)
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

static inline void pump(void)
{
	for (int i = 0; i < 20; i++)
		loop_advance(loop, 0);
}

static inline int client(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

/* Sends it all, unless the server stops reading. Returns what was sent. */
static inline size_t push(int fd, const char *data, size_t size)
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

static inline void say(int fd, const char *text)
{
	assert_int_equal(push(fd, text, strlen(text)), strlen(text));
}

/* All that comes until the server is quiet; the caller frees it. *eof: the server has closed. */
static inline char *hear(int fd, size_t *size, bool *eof)
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

static inline size_t count_of(const char *text, const char *part)
{
	size_t n = 0;

	while ((text = strstr(text, part))) {
		n++;
		text += strlen(part);
	}
	return n;
}

/* Says it on a new connection, expects so many lines, the last of which holds `part`. */
static inline void expect(const char *text, size_t lines, const char *part)
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
