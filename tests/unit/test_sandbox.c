/* A confined process does what the table has, and nothing else; nor do threads it had before. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/sandbox.h"

static int go[2];

static bool denied(long r)
{
	return r == -1 && errno == EPERM;
}

static void *other_thread(void *arg)
{
	char c;

	(void)arg;
	if (read(go[0], &c, 1) != 1)
		return NULL;
	return denied(unshare(CLONE_NEWUTS)) ? arg : NULL;
}

static void *nothing(void *arg)
{
	return arg;
}

/* Exit status: the number of what went wrong, 0 for nothing. */
static int confined(enum sandbox who)
{
	pthread_t thread, another;
	struct error err;
	void *result;
	int fd;

	if (pipe(go) < 0 || pthread_create(&thread, NULL, other_thread, &err) != 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || sandbox_enter(who, &err) < 0)
		return 1;
	if (!denied(execl("/bin/true", "true", (char *)NULL)))
		return 2;
	if (!denied(fork()))
		return 3;
	if (pthread_create(&another, NULL, nothing, NULL) == 0)
		return 4;
	if (!denied(setuid(getuid())))
		return 5;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0 || close(fd) < 0)
		return 6;
	if (write(go[1], "", 1) != 1 || pthread_join(thread, &result) != 0 || !result)
		return 7;
	return 0;
}

static void expect(enum sandbox who)
{
	int status;
	pid_t pid;

#if defined(__SANITIZE_ADDRESS__)
	print_message("skipped: a sanitizer makes system calls of its own\n");
	skip();
#endif
	pid = fork();
	if (pid == 0)
		_exit(confined(who));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_dns(void **state)
{
	(void)state;
	expect(SANDBOX_DNS);
}

static void test_engine(void **state)
{
	(void)state;
	expect(SANDBOX_ENGINE);
}

static void test_synjitsu(void **state)
{
	(void)state;
	expect(SANDBOX_SYNJITSU);
}

static void test_none(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(sandbox_enter(SANDBOX_NONE, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dns),
		cmocka_unit_test(test_engine),
		cmocka_unit_test(test_synjitsu),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
