#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", LOG_ERR },
	[LOG_LEVEL_WARNING] = { "warning", LOG_WARNING },
	[LOG_LEVEL_INFO] = { "info", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "debug", LOG_DEBUG },
};

static const char *room_name = "jitsud";
static enum log_level highest = LOG_LEVEL_INFO;
static int syslog_too;

void log_open(const char *room, enum log_level level)
{
	room_name = room;
	highest = level;
}

void log_to_syslog(void)
{
	openlog("jitsud", LOG_PID, LOG_DAEMON);
	syslog_too = 1;
}

int log_enabled(enum log_level level)
{
	return level <= highest;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char line[2048];
	int used;
	va_list ap;
	ssize_t written;

	if (level > highest)
		return;
	if (getenv("JOURNAL_STREAM")) {
		used = snprintf(line, sizeof line, "<%d>%s: ", levels[level].priority, room_name);
	} else {
		struct timespec now;
		struct tm tm;
		char when[32];

		clock_gettime(CLOCK_REALTIME, &now);
		localtime_r(&now.tv_sec, &tm);
		strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
		used = snprintf(line, sizeof line, "%s.%03ld %s %s: ", when, now.tv_nsec / 1000000,
				room_name, levels[level].name);
	}
	va_start(ap, fmt);
	vsnprintf(line + used, sizeof line - (size_t)used - 1, fmt, ap);
	va_end(ap);
	for (char *c = line; *c; c++) /* a value from outside must not make a line of its own */
		if (*c == '\n' || *c == '\r')
			*c = ' ';
	if (syslog_too)
		syslog(levels[level].priority, "%s", strstr(line, room_name));
	strcat(line, "\n");
	/* One write a line: the processes share the descriptor. */
	written = write(STDERR_FILENO, line, strlen(line));
	(void)written;
}
