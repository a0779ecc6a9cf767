#include "toolstack/libxl/fork.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

/* A probe takes far below one; it doubles with each child that was given up. */
#define PROBE_MS  250
#define TRIES_MAX 8

static const char *lock_path;

/* Once its owner has unlinked it, a child makes a new one and waits for nobody. */
static void leave_lock(void)
{
	struct stat lock, file;
	struct dirent *entry;
	DIR *folder;

	if (stat(lock_path, &lock) < 0 || !(folder = opendir("/proc/self/fd")))
		return;
	while ((entry = readdir(folder))) {
		int fd = atoi(entry->d_name);

		if (*entry->d_name != '.' && fstat(fd, &file) == 0 && file.st_dev == lock.st_dev &&
		    file.st_ino == lock.st_ino)
			close(fd);
	}
	closedir(folder);
}

void fork_init(const char *path)
{
	static bool registered;

	lock_path = path;
	if (!registered && pthread_atfork(NULL, NULL, leave_lock) != 0)
		abort();
	registered = true;
}

static bool comes_up(int fd, int limit)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	char c;
	int r;

	do
		r = poll(&ready, 1, limit);
	while (r < 0 && errno == EINTR);
	return r == 1 && read(fd, &c, 1) == 1;
}

/* Returns in both, as fork does; to the parent only if the child came up within `limit` ms, else
 * with 0 for `*up` and no child. */
static pid_t fork_once(void (*probe)(void), int limit, bool *up)
{
	int ends[2], error;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		probe();
		if (write(ends[1], "", 1) != 1)
			_exit(1);
		close(ends[1]);
		return 0;
	}
	error = errno;
	close(ends[1]);
	*up = pid > 0 && comes_up(ends[0], limit);
	close(ends[0]);
	if (pid > 0 && !*up) {
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	errno = error;
	return pid;
}

pid_t fork_usable(void (*probe)(void))
{
	int limit = PROBE_MS;

	for (unsigned i = 0; i < TRIES_MAX; i++, limit *= 2) {
		bool up = false;
		pid_t pid = fork_once(probe, limit, &up);

		if (pid <= 0 || up)
			return pid;
		log_warning(
			"a child inherited a lock that it would have waited for; another is made");
	}
	errno = EAGAIN;
	return -1;
}

/* proc_pid_fdinfo(5) */
static bool has_lock(int fd)
{
	char path[64], line[256];
	bool found = false;
	FILE *file;

	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	while (file && !found && fgets(line, sizeof line, file))
		found = strncmp(line, "lock:", 5) == 0;
	if (file)
		fclose(file);
	return found;
}

static void close_locks(void)
{
	DIR *folder = opendir("/proc/self/fd");
	struct dirent *entry;

	while (folder && (entry = readdir(folder)))
		if (*entry->d_name != '.' && has_lock(atoi(entry->d_name)))
			close(atoi(entry->d_name));
	if (folder)
		closedir(folder);
}

pid_t fork_apart(pid_t pid)
{
	static bool is_child;
	sigset_t none;

	if (pid > 0 && is_child)
		close_locks();
	if (pid != 0)
		return pid;
	is_child = true;
	setsid();
	for (int i = 1; i < SIGRTMIN; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	return 0;
}
