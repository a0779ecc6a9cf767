/* Runs scenarios, each in a process of its own: what one breaks is not another's. */
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "script.h"

#define TIME_LIMIT 60 /* s, of real time: only what never settles takes so long */

static const char *folder_root(void)
{
	const char *tmp = getenv("TMPDIR");

	return tmp && *tmp ? tmp : "/tmp";
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* NAME of the path DIR/NAME.scn. */
static const char *name_of(const char *path, char *name, size_t room)
{
	const char *slash = strrchr(path, '/');
	size_t length;

	snprintf(name, room, "%s", slash ? slash + 1 : path);
	length = strlen(name);
	if (length > 4 && strcmp(name + length - 4, ".scn") == 0)
		name[length - 4] = '\0';
	return name;
}

static void show_log(FILE *log)
{
	char line[4096];

	rewind(log);
	while (fgets(line, sizeof line, log))
		printf("    | %s", line);
}

/* What came of the child that ran the script. */
static enum script_result judge(int status, struct script_report *report)
{
	size_t used = strlen(report->text), room = sizeof report->text - used;
	const char *colon = used ? "; then " : "";

	if (WIFEXITED(status) && WEXITSTATUS(status) <= SCRIPT_SKIPPED)
		return (enum script_result)WEXITSTATUS(status);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		snprintf(report->text + used, room, "%sit was not done after %d s", colon,
			 TIME_LIMIT);
	else if (WIFSIGNALED(status))
		snprintf(report->text + used, room, "%sthe process died: %s", colon,
			 strsignal(WTERMSIG(status)));
	else
		snprintf(report->text + used, room, "%sthe process ended with status %d", colon,
			 WEXITSTATUS(status));
	return SCRIPT_FAILED;
}

static enum script_result run(const char *path, bool verbose, struct script_report *report)
{
	char folder[256], name[128];
	enum script_result result;
	FILE *log = tmpfile();
	int status;
	pid_t pid;

	memset(report, 0, sizeof *report);
	snprintf(folder, sizeof folder, "%s/jitsu-scenario-XXXXXX", folder_root());
	if (!log || !mkdtemp(folder)) {
		perror("scenario: a temporary folder");
		exit(2);
	}
	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		perror("scenario: fork");
		exit(2);
	}
	if (pid == 0) {
		dup2(fileno(log), STDERR_FILENO);
		log_open("scenario", verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
		alarm(TIME_LIMIT);
		exit((int)script_run(path, folder, report)); /* exit: to have leaks looked for */
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	result = judge(status, report);
	name_of(path, name, sizeof name);
	if (result == SCRIPT_PASSED)
		printf("ok %s\n", name);
	else if (result == SCRIPT_SKIPPED)
		printf("ok %s # SKIP %s\n", name, report->text);
	else
		printf("not ok %s: %s:%d: %s\n", name, path, report->line, report->text);
	if (result == SCRIPT_FAILED)
		printf("    in: %s\n%s", report->step, report->trace);
	if (result == SCRIPT_FAILED || verbose)
		show_log(log);
	fclose(log);
	nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return result;
}

int main(int argc, char **argv)
{
	unsigned counts[3] = { 0 };
	struct rlimit limit;
	struct script_report *report;
	bool verbose = argc > 1 && strcmp(argv[1], "-v") == 0;

	if (argc < 2 + verbose || strcmp(argv[1], "--help") == 0) {
		printf("usage: scenario [-v] FILE…\n\nsteps:\n");
		script_usage();
		return argc < 2 + verbose ? 2 : 0;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (report == MAP_FAILED) {
		perror("scenario: mmap");
		return 2;
	}
	for (int i = 1 + verbose; i < argc; i++)
		counts[run(argv[i], verbose, report)]++;
	printf("%u passed, %u failed, %u skipped\n", counts[SCRIPT_PASSED], counts[SCRIPT_FAILED],
	       counts[SCRIPT_SKIPPED]);
	return counts[SCRIPT_FAILED] ? 1 : 0;
}
