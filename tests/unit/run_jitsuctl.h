/* The built jitsuctl in a folder of its own, against the real server of the control socket, with
 * verbs that are not: fake_verbs.h. */
#ifndef JITSU_TESTS_RUN_JITSUCTL_H
#define JITSU_TESTS_RUN_JITSUCTL_H

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
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
#include "fake_verbs.h"

/* directory: where it runs; top: where the test was started */
static char binary[PATH_MAX], directory[64], top[PATH_MAX];
static pid_t server;

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static int start_server(void **state)
{
	int fd;

	(void)state;
	unlink("control.sock");
	fd = listen_at("control.sock");
	server = fork();
	if (server == 0) {
		struct loop *loop = loop_new(LOOP_CLOCK_REAL);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!control_new(loop, fd, NULL))
			_exit(1);
		loop_run(loop);
		_exit(0);
	}
	close(fd);
	return 0;
}

static int stop_server(void **state)
{
	(void)state;
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	return 0;
}

static char *slurp(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 1 << 20);

	assert_non_null(file);
	text[fread(text, 1, (1 << 20) - 1, file)] = '\0';
	fclose(file);
	return text;
}

static char *out, *err;

/* Runs a line of shell, in which $J is jitsuctl; its exit status, and out and err. */
static int shell(const char *line)
{
	cleanup_free char *command = NULL;
	int status;

	free(out);
	free(err);
	assert_true(asprintf(&command, "{ %s\n} >out 2>err </dev/null", line) > 0);
	status = system(command);
	out = slurp("out");
	err = slurp("err");
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define RUN(line, status)                                                                          \
	do {                                                                                       \
		int status_ = shell(line);                                                         \
		if (status_ != (status))                                                           \
			fail_msg("%s: exit status %d, expected %d\n%s%s", line, status_, status,   \
				 out, err);                                                        \
	} while (0)
#define HAS(text, part)                                                                            \
	do {                                                                                       \
		if (!strstr(text, part))                                                           \
			fail_msg("expected %s in: %s", part, text);                                \
	} while (0)

__attribute__((unused)) static size_t lines_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

__attribute__((unused)) static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int open_directory(void **state)
{
	cleanup_free char *socket_path = NULL;

	(void)state;
	assert_non_null(getcwd(top, sizeof top));
	assert_true(readlink("/proc/self/exe", binary, sizeof binary - 1) > 0);
	*strrchr(binary, '/') = '\0';
	strcat(binary, "/../../jitsuctl");
	if (access(binary, X_OK) < 0)
		fail_msg("%s is not built", binary);
	strcpy(directory, "/tmp/jitsuctl-XXXXXX");
	assert_non_null(mkdtemp(directory));
	assert_int_equal(chdir(directory), 0);
	assert_true(asprintf(&socket_path, "%s/control.sock", directory) > 0);
	setenv("J", binary, 1);
	setenv("JITSU_SOCKET", socket_path, 1);
	unsetenv("COLUMNS");
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	free(out);
	free(err);
	assert_int_equal(chdir("/"), 0);
	{
		cleanup_free char *command = NULL;

		assert_true(asprintf(&command, "rm -rf '%s'", directory) > 0);
		return system(command);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start_server, stop_server)

#endif
