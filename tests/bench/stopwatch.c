/* stopwatch COMMAND [ARGUMENT]...: runs it and prints the milliseconds from its exec to its exit. */
#include "common.h"

#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
	posix_spawn_file_actions_t actions;
	uint64_t began, ended;
	int status, r;
	pid_t pid;

	if (argc < 2)
		errx(2, "usage: stopwatch COMMAND [ARGUMENT]...");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	began = now_ns();
	r = posix_spawnp(&pid, argv[1], &actions, NULL, argv + 1, environ);
	if (r != 0)
		errx(127, "%s: %s", argv[1], strerror(r));
	if (waitpid(pid, &status, 0) < 0)
		err(1, "waitpid");
	ended = now_ns();
	printf("%.3f\n", (double)(ended - began) / 1e6);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
