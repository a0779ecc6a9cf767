/* toolstack: a child of ours does not inherit a lock that libxl takes. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "toolstack/libxl/fork.h"

#define LOCKED 2

/* As libxl's child: opens the lock, waits for it, and has it when its owner lets go. */
static void child(const char *path, int ready, int go)
{
	int fd = open(path, O_RDWR | O_CREAT, 0666);
	char c = 0;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0) /* it is the parent's */
		_exit(LOCKED);
	if (write(ready, &c, 1) != 1 || read(go, &c, 1) != 1)
		_exit(LOCKED + 1);
	_exit(flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : 1);
}

static void test_lock(void **state)
{
	char path[] = "/tmp/jitsu-test-fork-XXXXXX", c = 0;
	int lock = mkstemp(path), ready[2], go[2], status;
	pid_t pid;

	(void)state;
	assert_true(lock >= 0);
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(go), 0);
	fork_init(path);
	assert_int_equal(flock(lock, LOCK_EX), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(path, ready[1], go[0]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	unlink(path); /* as libxl does */
	close(lock);
	assert_int_equal(write(go[1], &c, 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(go[i]);
	}
}

/* Nothing else is closed, and no file of that name is no matter. */
static void test_others(void **state)
{
	int fd = open("/dev/null", O_RDONLY), status;
	pid_t pid;

	(void)state;
	for (int i = 0; i < 2; i++) {
		fork_init(i == 0 ? "/nowhere/lock" : "/dev/zero");
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			_exit(fcntl(fd, F_GETFD) < 0 || fcntl(STDERR_FILENO, F_GETFD) < 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	close(fd);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int held[2];

/* Another thread, in the middle of what takes a lock. */
static void *hold_for_a_while(void *arg)
{
	pthread_mutex_lock(&mutex);
	assert_int_equal(write(held[1], "", 1), 1);
	usleep(400 * 1000);
	pthread_mutex_unlock(&mutex);
	return arg;
}

static void take(void)
{
	pthread_mutex_lock(&mutex);
	pthread_mutex_unlock(&mutex);
}

/* The first children deadlock; who is given out does not, and nothing of the others is left. */
static void test_usable(void **state)
{
	pthread_t thread;
	int status;
	pid_t pid;
	char c;

	(void)state;
	log_open("test", LOG_LEVEL_ERROR);
	alarm(60);
	assert_int_equal(pipe(held), 0);
	assert_int_equal(pthread_create(&thread, NULL, hold_for_a_while, NULL), 0);
	assert_int_equal(read(held[0], &c, 1), 1);
	pid = fork_usable(take);
	assert_true(pid >= 0);
	if (pid == 0) {
		take();
		_exit(7);
	}
	assert_int_equal(waitpid(-1, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	assert_int_equal(waitpid(-1, &status, 0), -1);
	pthread_join(thread, NULL);
	alarm(0);
}

/* As libxl's child that waits for a device model, and the device model. */
static void wait_for_child(int lock, int ready, int go)
{
	pid_t pid = fork_apart(fork());
	sigset_t blocked;
	char fine = 0;

	if (pid > 0) {
		waitpid(pid, NULL, 0);
		_exit(0);
	}
	close(lock); /* as exec does */
	sigprocmask(SIG_BLOCK, NULL, &blocked);
	fine = !sigismember(&blocked, SIGHUP) && signal(SIGINT, SIG_DFL) == SIG_DFL &&
	       getsid(0) == getpid();
	if (write(ready, &fine, 1) != 1 || read(go, &fine, 1) != 1)
		_exit(1);
	_exit(0);
}

static void test_apart(void **state)
{
	char path[] = "/tmp/jitsu-test-fork-XXXXXX", c = 0;
	int lock = mkstemp(path), again = open(path, O_RDWR | O_CLOEXEC), ready[2], go[2], r = -1;
	sigset_t all, before;
	pid_t pid;

	(void)state;
	assert_true(lock >= 0 && again >= 0);
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(go), 0);
	assert_int_equal(flock(lock, LOCK_EX), 0);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	signal(SIGINT, SIG_IGN);
	pid = fork_apart(fork());
	assert_true(pid >= 0);
	if (pid == 0)
		wait_for_child(lock, ready[1], go[0]);
	sigprocmask(SIG_SETMASK, &before, NULL);
	signal(SIGINT, SIG_DFL);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_true(c);
	close(lock);
	/* It may still be about to. */
	for (int i = 0; i < 10000 && r < 0; i++) {
		r = flock(again, LOCK_EX | LOCK_NB);
		usleep(1000);
	}
	assert_int_equal(r, 0);
	assert_int_equal(write(go[1], &c, 1), 1);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(go[i]);
	}
	close(again);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lock),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_usable),
		cmocka_unit_test(test_apart),
	};

	return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
