/* top: the services that are used, drawn again and again. */
#include <json-c/json.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "jitsuctl/jitsuctl.h"
#include "jitsuctl/rates.h"
#include "jitsuctl/writer.h"

#define SCREEN_ENTER	 "\033[?1049h\033[?25l"
#define SCREEN_LEAVE	 "\033[?25h\033[?1049l"
#define SCREEN_HOME	 "\033[H"
#define SCREEN_LINE_REST "\033[K"
#define SCREEN_REST	 "\033[J"
#define MEASURE_TIME	 0.1 /* s: what the daemon needs for that */
#define HEIGHT		 24  /* where it is not known */

enum top_column { NAME, STATE, DOMID, MEMORY, WAKE, QUERIES, RX, TX, ASKED, TOP_COLUMNS };

static const struct column top_columns[TOP_COLUMNS] = {
	[NAME] = { "NAME", false, 8, 1 },   [STATE] = { "STATE", false, 0, 0 },
	[DOMID] = { "DOMID", true, 0, 0 },  [MEMORY] = { "MEMORY", true, 0, 0 },
	[WAKE] = { "WAKE ms", true, 0, 0 }, [QUERIES] = { "QUERIES/s", true, 0, 0 },
	[RX] = { "RX B/s", true, 0, 0 },    [TX] = { "TX B/s", true, 0, 0 },
	[ASKED] = { "ASKED", true, 0, 0 },
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* --- the terminal --- */

static struct termios terminal_before;

static void leave_screen(void)
{
	(void)!write(STDOUT_FILENO, SCREEN_LEAVE, sizeof SCREEN_LEAVE - 1);
	tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
}

/* Wherever it is: the terminal is as before, then the signal does what it does. */
static void on_end(int signal)
{
	leave_screen();
	raise(signal);
}

static void on_resize(int signal)
{
	(void)signal; /* it has ended the wait: that is all */
}

static void enter_screen(void)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
	struct sigaction end = { .sa_handler = on_end, .sa_flags = (int)SA_RESETHAND },
			 resize = { .sa_handler = on_resize };
	struct termios raw;

	tcgetattr(STDIN_FILENO, &terminal_before);
	raw = terminal_before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		sigaction(ends[i], &end, NULL);
	sigaction(SIGWINCH, &resize, NULL);
	signal(SIGTSTP, SIG_IGN);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	(void)!write(STDOUT_FILENO, SCREEN_ENTER, sizeof SCREEN_ENTER - 1);
}

static int screen_height(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row ? size.ws_row : HEIGHT;
}

/* The first lines of the text, as many as there is room for. */
static void draw(const char *text)
{
	int left = screen_height();

	fputs(SCREEN_HOME, stdout);
	while (*text && left-- > 0) {
		size_t size = strcspn(text, "\n");

		printf("%.*s" SCREEN_LINE_REST "%s", (int)size, text, left ? "\r\n" : "");
		text += size + (text[size] == '\n');
	}
	fputs(SCREEN_REST, stdout);
	fflush(stdout);
}

enum waited { WAITED, WAIT_RESIZED, WAIT_QUIT };

/* Until `when` of now(). */
static enum waited wait_until(double when)
{
	for (double left = when - now(); left > 0; left = when - now()) {
		struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
		int r = poll(&p, 1, (int)(left * 1000) + 1);
		char key = 0;

		if (r < 0)
			return WAIT_RESIZED;
		if (r > 0 && (read(STDIN_FILENO, &key, 1) <= 0 || strchr("qQ\004", key)))
			return WAIT_QUIT;
	}
	return WAITED;
}

/* --- the table --- */

static struct json_object *json_rate(double rate)
{
	return isnan(rate) ? NULL : json_object_new_double(rate);
}

static void write_rows_json(const struct rate *rows, size_t count)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < count; i++) {
		struct json_object *row = rows[i].service;

		json_object_object_add(row, "queries_per_second", json_rate(rows[i].queries));
		json_object_object_add(row, "rx_per_second", json_rate(rows[i].rx));
		json_object_object_add(row, "tx_per_second", json_rate(rows[i].tx));
		json_object_array_add(list, json_object_get(row));
	}
	writer_json(list);
	json_object_put(list);
}

static void add_row(struct table *table, const struct rate *row)
{
	static const struct {
		const char *key;
		enum control_kind kind;
	} keys[TOP_COLUMNS] = {
		[NAME] = { "name", CONTROL_TEXT },
		[DOMID] = { "domid", CONTROL_NUMBER },
		[MEMORY] = { "memory", CONTROL_KIB },
		[ASKED] = { "asked", CONTROL_SECONDS },
	};
	char *cells[TOP_COLUMNS] = { 0 };
	struct json_object *wake;

	for (size_t i = 0; i < TOP_COLUMNS; i++) {
		if (keys[i].key)
			cells[i] = writer_value(json_object_object_get(row->service, keys[i].key),
						keys[i].kind, true);
	}
	cells[STATE] = writer_state(row->service, true);
	if (json_object_object_get_ex(row->service, "wake", &wake) &&
	    asprintf(&cells[WAKE], "%.1f", json_object_get_double(wake)) < 0)
		abort();
	cells[QUERIES] = writer_rate(row->queries);
	cells[RX] = writer_rate(row->rx);
	cells[TX] = writer_rate(row->tx);
	table_add(table, (const char *const *)cells);
	for (size_t i = 0; i < TOP_COLUMNS; i++)
		free(cells[i]);
}

static void write_title(FILE *out, struct json_object *answer, const struct rate *rows,
			size_t count, double interval)
{
	struct json_object *simulated;
	time_t seconds = time(NULL);
	struct tm tm;
	char clock[16] = "";
	size_t up = 0;

	for (size_t i = 0; i < count; i++)
		up += json_object_object_get_ex(rows[i].service, "domid", NULL);
	if (localtime_r(&seconds, &tm))
		strftime(clock, sizeof clock, "%H:%M:%S", &tm);
	fprintf(out, "%s  %zu service%s, %zu with a domain%s; every %g s, q ends\n\n", clock, count,
		count == 1 ? "" : "s", up,
		json_object_object_get_ex(answer, "simulated", &simulated) &&
				json_object_get_boolean(simulated)
			? " (simulated)"
			: "",
		interval);
}

/* The answer of service.list, which has the traffic measured for the next one. */
static enum status ask(struct context *context, struct json_object **answer,
		       struct json_object **services)
{
	struct json_object *params = json_object_new_object();
	enum status status;

	json_object_object_add(params, "measure", json_object_new_boolean(true));
	status = context_call(context, "service.list", params, NULL, answer);
	if (status != STATUS_DONE)
		return status;
	if (!json_object_object_get_ex(*answer, "services", services) ||
	    !json_object_is_type(*services, json_type_array)) {
		json_object_object_add(*answer, "services", json_object_new_array());
		json_object_object_get_ex(*answer, "services", services);
	}
	return STATUS_DONE;
}

static void show(struct context *context, struct json_object *answer, const struct rate *rows,
		 size_t count, bool on_screen)
{
	struct table table = { .columns = top_columns, .column_count = TOP_COLUMNS };
	cleanup_free char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	if (on_screen)
		write_title(out, answer, rows, count, context->interval);
	else
		warn_simulated(answer);
	for (size_t i = 0; i < count; i++)
		add_row(&table, &rows[i]);
	table_write(out, &table, writer_width());
	table_free(&table);
	fclose(out);
	if (on_screen)
		draw(text);
	else
		fputs(text, stdout);
}

enum look { LOOK_ASK, LOOK_COUNT, LOOK_SHOW, LOOK_DRAW };

/* Asks; counts what came; shows that. */
static enum status look(struct context *context, struct rates *rates, enum look how)
{
	struct json_object *answer, *services;
	cleanup_free struct rate *rows = NULL;
	enum status status = ask(context, &answer, &services);
	size_t count;

	if (status != STATUS_DONE)
		return status;
	if (how >= LOOK_COUNT) {
		count = rates_take(rates, services, now(), &rows);
		if (how >= LOOK_SHOW && context->json)
			write_rows_json(rows, count);
		else if (how >= LOOK_SHOW)
			show(context, answer, rows, count, how == LOOK_DRAW);
	}
	json_object_put(answer);
	return STATUS_DONE;
}

static void pause_for(double seconds)
{
	struct timespec pause = { .tv_sec = (time_t)seconds };

	pause.tv_nsec = (long)((seconds - (double)pause.tv_sec) * 1e9);
	while (nanosleep(&pause, &pause) < 0)
		;
}

/* What is to be measured is in the answer after the next: so each end of the interval asks twice. */
static enum status once(struct context *context, struct rates *rates)
{
	static const enum look looks[] = { LOOK_ASK, LOOK_COUNT, LOOK_ASK, LOOK_SHOW };
	enum status status = STATUS_DONE;

	for (size_t i = 0; i < ARRAY_SIZE(looks) && status == STATUS_DONE; i++) {
		if (i)
			pause_for(i == 2 ? context->interval : MEASURE_TIME);
		status = look(context, rates, looks[i]);
	}
	return status;
}

static enum status live(struct context *context, struct rates *rates)
{
	enum waited waited = WAITED;
	enum status status;

	/* An error is to be seen where the shell goes on, so the first look is without the screen;
	 * and the one after a failure, too, which finds a daemon that was started again. */
	while ((status = look(context, rates, LOOK_ASK)) == STATUS_DONE) {
		pause_for(MEASURE_TIME);
		enter_screen();
		do {
			status = look(context, rates, LOOK_DRAW);
			if (status == STATUS_DONE)
				waited = wait_until(now() + context->interval);
		} while (status == STATUS_DONE && waited != WAIT_QUIT);
		leave_screen();
		if (status == STATUS_DONE)
			break;
	}
	return status;
}

enum status command_top(struct context *context)
{
	struct rates rates = { .last = NULL };
	bool is_live = !context->once && !context->json && isatty(STDOUT_FILENO) &&
		       isatty(STDIN_FILENO);
	enum status status = is_live ? live(context, &rates) : once(context, &rates);

	rates_free(&rates);
	return status;
}
