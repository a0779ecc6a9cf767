/* Lines on standard error: `2026-11-21T10:00:00.123 engine info: …`. Under systemd the time is the
 * journal's and each line carries its priority (sd-daemon(3)). */
#ifndef JITSU_BASE_LOG_H
#define JITSU_BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Names the process in every line from here on; `room` must live as long as the process. */
void log_open(const char *room, enum log_level level);

/* Writes to syslog(3) as well; standard error may then go away. */
void log_to_syslog(void);

/* True if a line of that level would be written: for lines that are costly to make. */
int log_enabled(enum log_level level);

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)	 log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)	 log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_enabled(LOG_LEVEL_DEBUG))                                                  \
			log_line(LOG_LEVEL_DEBUG, __VA_ARGS__);                                    \
	} while (0)

#endif
