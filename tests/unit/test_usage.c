/* proto/usage: one process writes, another reads, and it outlives either. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/usage.h"

#define SIZE USAGE_BYTES

static void test_sealed(void **state)
{
	int fd = usage_create(), seals;
	struct stat st;

	(void)state;
	assert_return_code(fd, errno);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_return_code(fstat(fd, &st), errno);
	assert_int_equal(st.st_size, SIZE);
	seals = fcntl(fd, F_GET_SEALS);
	assert_int_equal(seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
			 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	/* A reader of a slot beyond a cut would die of SIGBUS. */
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, (off_t)SIZE * 2), -1);
	close(fd);
}

static void test_starts_at_zero_and_sparse(void **state)
{
	int fd = usage_create();
	struct usage *usage = usage_map(fd);
	struct stat st;

	(void)state;
	assert_non_null(usage);
	assert_int_equal(usage[0].last_query, 0);
	assert_int_equal(usage[USAGE_SLOTS - 1].queries, 0);
	usage[USAGE_SLOTS - 1].queries = 1;
	assert_return_code(fstat(fd, &st), errno);
	assert_true((uint64_t)st.st_blocks * 512 < SIZE / 8);
	munmap(usage, SIZE);
	close(fd);
}

/* Waits for the child that does its part and exits with the number of what went wrong. */
static void wait_for(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void writer(int fd)
{
	struct usage *usage = usage_map(fd);

	if (!usage)
		_exit(1);
	for (uint64_t i = 0; i < 10000; i++)
		atomic_fetch_add(&usage[7].queries, 1);
	atomic_store(&usage[7].last_query, 123456789);
	atomic_store(&usage[USAGE_SLOTS - 1].last_query, 42);
	_exit(0);
}

static void reader(int fd)
{
	struct usage *usage = usage_map(fd);

	if (!usage)
		_exit(1);
	if (atomic_load(&usage[7].queries) != 20000)
		_exit(2);
	if (atomic_load(&usage[7].last_query) != 123456789)
		_exit(3);
	if (atomic_load(&usage[USAGE_SLOTS - 1].last_query) != 42)
		_exit(4);
	if (atomic_load(&usage[6].queries) || atomic_load(&usage[8].queries))
		_exit(5);
	_exit(0);
}

static pid_t child(void (*fn)(int fd), int fd)
{
	pid_t pid = fork();

	assert_return_code(pid, errno);
	if (pid == 0)
		fn(fd);
	return pid;
}

/* As with dns and engine: each maps it after the fork; one ends, another comes, values stay. */
static void test_across_processes(void **state)
{
	int fd = usage_create();

	(void)state;
	assert_return_code(fd, errno);
	wait_for(child(writer, fd));
	wait_for(child(writer, fd));
	wait_for(child(reader, fd));
	close(fd);
}

static void test_two_maps_are_one(void **state)
{
	int fd = usage_create();
	struct usage *a = usage_map(fd), *b = usage_map(fd);

	(void)state;
	close(fd); /* the maps stay */
	assert_ptr_not_equal(a, b);
	atomic_store(&a[3].last_query, 5);
	assert_int_equal(atomic_load(&b[3].last_query), 5);
	munmap(a, SIZE);
	munmap(b, SIZE);
}

static void test_no_descriptor(void **state)
{
	(void)state;
	assert_null(usage_map(-1));
	assert_int_equal(errno, EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sealed),
		cmocka_unit_test(test_starts_at_zero_and_sparse),
		cmocka_unit_test(test_across_processes),
		cmocka_unit_test(test_two_maps_are_one),
		cmocka_unit_test(test_no_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
