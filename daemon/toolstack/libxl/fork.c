#include "toolstack/libxl/fork.h"

#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

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
