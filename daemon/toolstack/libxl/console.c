#include "toolstack/libxl/console.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/loop.h"
#include "toolstack/backend.h"

#define LOG	  "/var/log/xen/console/guest-%s.log"
#define TICK	  (10 * USEC_PER_MSEC)
#define TICKS_MAX 10
#define RAW_MAX	  (2 * BACKEND_CONSOLE_MAX) /* escape sequences fall away */

struct console {
	int log, tty; /* -1: none */
	off_t from, seen;
	unsigned ticks, quiet;
	struct timer *timer;
	void (*fn)(void *arg, const char *text);
	void *arg;
	char raw[RAW_MAX]; /* the terminal's last bytes */
	size_t size;
};

static void log_path(char out[PATH_MAX], const char *name)
{
	snprintf(out, PATH_MAX, LOG, name);
}

off_t console_begin(const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	log_path(path, name);
	return stat(path, &st) < 0 ? 0 : st.st_size;
}

/* Past an escape sequence (ECMA-48, 5.4), if there is one at `at`. */
static size_t skip_escape(const char *raw, size_t size, size_t at)
{
	if (raw[at] != '\033')
		return at;
	if (++at < size && raw[at] == '[') {
		for (at++; at < size && (raw[at] < 0x40 || raw[at] > 0x7e);)
			at++;
	}
	return at < size ? at + 1 : size;
}

size_t console_tidy(const char *raw, size_t size, char *out, size_t room)
{
	char *text = malloc(size + 1);
	size_t n = 0, from = 0;

	if (!text)
		abort();
	for (size_t i = 0; i < size;) {
		size_t next = skip_escape(raw, size, i);

		if (next == i) {
			char c = raw[next++];

			if (c == '\n' || c == '\t' || (c >= ' ' && c <= '~'))
				text[n++] = c;
			else if (c != '\r' && c != '\0')
				text[n++] = '?';
		}
		i = next;
	}
	text[n] = '\0';
	if (n >= room) {
		const char *line = memchr(text + n - room + 1, '\n', room - 1);

		from = line && line[1] ? (size_t)(line + 1 - text) : n - room + 1;
	}
	memcpy(out, text + from, n - from + 1);
	free(text);
	return n - from;
}

/* True if there was anything new. */
static bool look(struct console *console)
{
	struct stat st;
	bool news = false;
	ssize_t r;

	if (console->log >= 0) {
		if (fstat(console->log, &st) < 0)
			return false;
		news = st.st_size != console->seen;
		console->seen = st.st_size;
		return news;
	}
	for (;;) {
		if (console->size == RAW_MAX) {
			memmove(console->raw, console->raw + RAW_MAX / 2, RAW_MAX / 2);
			console->size = RAW_MAX / 2;
		}
		r = console->tty < 0 ? -1
				     : read(console->tty, console->raw + console->size,
					    RAW_MAX - console->size);
		if (r <= 0)
			return news;
		console->size += (size_t)r;
		news = true;
	}
}

static void finish(struct console *console)
{
	char text[BACKEND_CONSOLE_MAX];
	void (*fn)(void *, const char *) = console->fn;
	void *arg = console->arg;

	if (console->log >= 0) {
		/* A log that is shorter than it was has been begun anew. */
		off_t from = console->from <= console->seen ? console->from : 0;
		ssize_t r;

		if (console->seen - from > RAW_MAX)
			from = console->seen - RAW_MAX;
		r = pread(console->log, console->raw, RAW_MAX, from);
		console->size = r < 0 ? 0 : (size_t)r;
	}
	console_tidy(console->raw, console->size, text, sizeof text);
	console_free(console);
	fn(arg, text);
}

static void on_tick(void *arg)
{
	struct console *console = arg;

	console->quiet = look(console) ? 0 : console->quiet + 1;
	/* Nothing within two looks, one of them after it had time to write. */
	if (console->quiet >= 2 || ++console->ticks >= TICKS_MAX)
		finish(console);
	else
		timer_set(console->timer, TICK);
}

struct console *console_read(struct loop *loop, const char *name, off_t from, const char *tty,
			     void (*fn)(void *arg, const char *text), void *arg)
{
	struct console *console = calloc(1, sizeof *console);
	char path[PATH_MAX];

	if (!console || !(console->timer = timer_new(loop, on_tick, console)))
		abort();
	log_path(path, name);
	console->log = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	console->tty = console->log < 0 && tty
			       ? open(tty, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
			       : -1;
	console->from = from;
	console->seen = -1;
	console->fn = fn;
	console->arg = arg;
	timer_set(console->timer, 0);
	return console;
}

void console_free(struct console *console)
{
	if (!console)
		return;
	timer_free(console->timer);
	if (console->log >= 0)
		close(console->log);
	if (console->tty >= 0)
		close(console->tty);
	free(console);
}
