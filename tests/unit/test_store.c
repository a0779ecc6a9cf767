/* engine/store: what was acknowledged is there, and what is no store is refused by name. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "engine/store.h"

static char directory[] = "/tmp/jitsu-store-XXXXXX";
static char path[64];

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(directory) && snprintf(path, sizeof path, "%s/services.db", directory) > 0
		       ? 0
		       : -1;
}

static void clear(void)
{
	static const char *const ends[] = { "", "-wal", "-journal", "-shm" };
	char name[96];

	for (size_t i = 0; i < 4; i++) {
		snprintf(name, sizeof name, "%s%s", path, ends[i]);
		unlink(name);
	}
}

static int tear_down(void **state)
{
	(void)state;
	clear();
	return rmdir(directory);
}

static struct store *must_open(void)
{
	struct error err = { 0 };
	struct store *store = store_open(path, &err);

	if (!store)
		fail_msg("%s", err.text);
	return store;
}

static void refused(const char *words)
{
	struct error err = { 0 };

	assert_null(store_open(path, &err));
	if (!strstr(err.text, words) || !strstr(err.text, path))
		fail_msg("\"%s\" lacks \"%s\" or the path", err.text, words);
}

static int list(void *arg, uint32_t id, const char *name, const char *spec, int64_t added,
		bool doomed, struct error *err)
{
	char *out = arg;

	(void)err;
	sprintf(out + strlen(out), "%u %s %s %lld%s;", id, name, spec, (long long)added,
		doomed ? " doomed" : "");
	return 0;
}

static void holds(struct store *store, const char *expected)
{
	char all[1024] = "";

	assert_int_equal(store_each(store, list, all, NULL), 0);
	assert_string_equal(all, expected);
}

static void test_keeps(void **state)
{
	struct error err = { 0 };
	struct store *store;

	(void)state;
	clear();
	store = must_open();
	assert_int_equal(store_add(store, 1, "b", "{}", 7, &err), 0);
	assert_int_equal(store_add(store, 0, "a", "{\"x\":1}", 8, &err), 0);
	assert_int_equal(store_add(store, 1, "c", "{}", 9, &err), -1);
	assert_int_equal(store_remove(store, 5, &err), -1);
	holds(store, "0 a {\"x\":1} 8;1 b {} 7;");
	store_close(store);
	store = must_open();
	assert_int_equal(store_update(store, 1, "{\"y\":2}", &err), 0);
	assert_int_equal(store_remove(store, 0, &err), 0);
	store_close(store);
	store = must_open();
	holds(store, "1 b {\"y\":2} 7;");
	assert_int_equal(store_doom(store, 0, &err), -1);
	assert_int_equal(store_doom(store, 1, &err), 0);
	store_close(store);
	store = must_open();
	holds(store, "1 b {\"y\":2} 7 doomed;");
	assert_int_equal(store_remove(store, 1, &err), 0);
	holds(store, "");
	store_close(store);
}

static void test_survives_kill(void **state)
{
	struct store *store;
	int status;
	pid_t pid;

	(void)state;
	clear();
	pid = fork();
	if (pid == 0) {
		store = store_open(path, NULL);
		for (uint32_t i = 0; i < 3; i++) {
			char name[2] = { (char)('a' + i), 0 };

			if (store_add(store, i, name, "{}", 1, NULL) < 0)
				_exit(1);
		}
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	store = must_open();
	holds(store, "0 a {} 1;1 b {} 1;2 c {} 1;");
	store_close(store);
}

static void test_alone(void **state)
{
	struct store *store;

	(void)state;
	clear();
	store = must_open();
	assert_int_equal(store_add(store, 0, "a", "{}", 1, NULL), 0);
	refused("in use by another process");
	store_close(store);
}

static void write_file(const char *data, size_t size, off_t at, int flags)
{
	int fd = open(path, O_WRONLY | O_CREAT | flags, 0600);

	assert_true(fd >= 0 && pwrite(fd, data, size, at) == (ssize_t)size);
	close(fd);
}

static void test_foreign(void **state)
{
	char text[4096];

	(void)state;
	clear();
	memset(text, 'x', sizeof text);
	write_file(text, sizeof text, 0, O_TRUNC);
	refused("not a store of jitsud's");
	/* A newer version: its number is at byte 60 of the header (SQLite's file format, 1.3). */
	clear();
	store_close(must_open());
	write_file("\0\0\0\2", 4, 60, 0);
	refused("made by a newer jitsud");
	write_file("\0\0\0\1", 4, 60, 0);
	/* Another program's: application id at byte 68. */
	write_file("abcd", 4, 68, 0);
	refused("of another program");
	clear();
	snprintf(path, sizeof path, "%s/none/services.db", directory);
	refused("cannot open the store: unable to open database file (No such file or directory)");
	snprintf(path, sizeof path, "%s/services.db", directory);
}

static void test_damaged(void **state)
{
	struct error err = { 0 };
	struct store *store;
	char junk[2048], name[32];

	(void)state;
	clear();
	store = must_open();
	for (uint32_t i = 0; i < 200; i++) {
		snprintf(name, sizeof name, "service-%u", i);
		assert_int_equal(
			store_add(store, i, name, "{\"some\":\"text to fill pages\"}", 1, &err), 0);
	}
	store_close(store);
	memset(junk, 0x5a, sizeof junk);
	write_file(junk, sizeof junk, 4096, 0);
	refused("damaged");
}

static void test_disk_full(void **state)
{
	struct rlimit old, small = { 64 * 1024, 64 * 1024 };
	struct error err = { 0 };
	struct store *store;
	uint32_t n = 0;
	char big[9000], name[16];

	(void)state;
	clear();
	store = must_open();
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	do
		snprintf(name, sizeof name, "s%u", n);
	while (store_add(store, n, name, big, 1, &err) == 0 && ++n < 100);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_in_range(n, 1, 99);
	assert_int_equal(err.kind, ERROR_SYSTEM);
	/* The failed one left nothing, and there is life afterwards. */
	assert_int_equal(store_add(store, n, name, "{}", 1, &err), 0);
	store_close(store);
	store = must_open();
	assert_int_equal(store_add(store, n, name, "{}", 1, &err), -1);
	assert_int_equal(store_remove(store, n, &err), 0);
	store_close(store);
}

static void test_memory(void **state)
{
	struct error err = { 0 };
	struct store *store = store_open(":memory:", &err);

	(void)state;
	assert_non_null(store);
	assert_int_equal(store_add(store, 0, "a", "{}", 1, &err), 0);
	holds(store, "0 a {} 1;");
	store_close(store);
	assert_null(store_open("", &err));
}

/* Several at once: on disk together, or not at all. */
static void test_group(void **state)
{
	struct error err = { 0 };
	struct store *store;

	(void)state;
	clear();
	store = must_open();
	assert_int_equal(store_begin(store, &err), 0);
	assert_int_equal(store_add(store, 0, "a", "{}", 1, &err), 0);
	assert_int_equal(store_begin(store, &err), 0);
	/* One that is refused leaves the others. */
	assert_int_equal(store_add(store, 0, "b", "{}", 1, &err), -1);
	assert_int_equal(store_add(store, 1, "b", "{}", 1, &err), 0);
	assert_int_equal(store_commit(store, &err), 0);
	assert_int_equal(store_commit(store, &err), 0);
	/* Not committed: as if it had not been. */
	assert_int_equal(store_begin(store, &err), 0);
	assert_int_equal(store_add(store, 2, "c", "{}", 1, &err), 0);
	store_close(store);
	store = must_open();
	holds(store, "0 a {} 1;1 b {} 1;");
	/* What else is changed in between is on disk when that returns, with the group. */
	assert_int_equal(store_begin(store, &err), 0);
	assert_int_equal(store_add(store, 2, "c", "{}", 1, &err), 0);
	assert_int_equal(store_remove(store, 0, &err), 0);
	store_close(store);
	store = must_open();
	holds(store, "1 b {} 1;2 c {} 1;");
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keeps),	cmocka_unit_test(test_survives_kill),
		cmocka_unit_test(test_alone),	cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_damaged), cmocka_unit_test(test_disk_full),
		cmocka_unit_test(test_memory),	cmocka_unit_test(test_group),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
