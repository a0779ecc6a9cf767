/*
 * Drives the libxl backend by hand, without engine or dns: for tests of the toolstack room in the
 * lab. Each line on standard input is a command, each event a line on standard output.
 *
 *   start ID JSON   restore ID JSON   check JSON   stop ID DOMID   pause ID DOMID   wake ID DOMID
 *   suspend ID DOMID   shutdown ID DOMID MS   measure DOMID   survey   sleep MS
 *   run COMMAND   wait EVENT [COUNT]   quit
 *
 * `wait` goes on when EVENT (a line's first word) has come COUNT times since the last `wait` of
 * it. Times are ms since the program began. Built by hand, after `make`:
 *
 *   cc -std=gnu11 -D_GNU_SOURCE -I. -Idaemon -o backend_driver tests/lab/backend_driver.c \
 *      build/libjitsu.a $(pkg-config --libs libevent json-c libmnl xenlight xenstore) \
 *      -lxentoollog -lm -lpthread
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "proto/spec.h"
#include "toolstack/backend.h"

#define EVENTS	   16
#define WAIT_LIMIT (120 * USEC_PER_SEC)

static struct {
	struct loop *loop;
	struct backend *backend;
	struct timer *next;
	uint64_t origin;
	struct {
		char name[24];
		unsigned count;
	} events[EVENTS];
	char wanted[24];
	unsigned wanted_count;
	uint64_t give_up;
} driver;

static double ms(uint64_t at)
{
	return (double)(at - driver.origin) / 1000;
}

static unsigned *counter(const char *name)
{
	for (size_t i = 0; i < EVENTS; i++) {
		if (!driver.events[i].name[0])
			snprintf(driver.events[i].name, sizeof driver.events[i].name, "%s", name);
		if (strcmp(driver.events[i].name, name) == 0)
			return &driver.events[i].count;
	}
	abort();
}

static void happened(const char *name)
{
	fflush(stdout);
	++*counter(name);
	if (driver.wanted[0] && *counter(driver.wanted) >= driver.wanted_count) {
		*counter(driver.wanted) -= driver.wanted_count;
		driver.wanted[0] = '\0';
		timer_set(driver.next, 0);
	}
}

static void on_created(void *arg, const struct backend_created *c)
{
	(void)arg;
	printf("created id %u boot %u domid %u restored %d began %.2f at %.2f took %.2f%s%s\n",
	       c->id, c->boot, c->domid, c->restored, ms(c->began), ms(c->at),
	       ms(c->at) - ms(c->began), c->note[0] ? " note: " : "", c->note);
	happened("created");
}

static void on_key(void *arg, uint32_t id, uint32_t boot, uint64_t at)
{
	(void)arg;
	printf("key id %u boot %u at %.2f\n", id, boot, ms(at));
	happened("key");
}

static uint64_t wake_began;

static void on_woken(void *arg, uint32_t id, uint32_t boot, uint64_t at, const struct error *err)
{
	(void)arg;
	printf("woken id %u boot %u at %.2f took %.2f%s%s\n", id, boot, ms(at),
	       ms(at) - ms(wake_began), err ? " error: " : "", err ? err->text : "");
	happened("woken");
}

static void on_frame(void *arg, uint32_t id, uint32_t boot, uint64_t at)
{
	(void)arg;
	printf("frame id %u boot %u at %.2f\n", id, boot, ms(at));
	happened("frame");
}

static void on_start_failed(void *arg, uint32_t id, uint32_t boot, const struct error *err)
{
	(void)arg;
	printf("start_failed id %u boot %u at %.2f kind %s field '%s': %s\n", id, boot,
	       ms(loop_now(driver.loop)), error_kind_name(err->kind), err->field, err->text);
	happened("start_failed");
}

static void on_died(void *arg, uint32_t domid, uint8_t reason, const char *console)
{
	(void)arg;
	printf("died domid %u reason %u at %.2f console %zu bytes:\n%s\n", domid, reason,
	       ms(loop_now(driver.loop)), strlen(console), console);
	happened("died");
}

static uint64_t stop_began;

static void on_stopped(void *arg, uint32_t id, uint32_t domid, enum backend_end end, uint64_t now,
		       const struct error *err)
{
	static const char *const ends[] = { "stopped", "paused", "suspended" };

	(void)arg;
	printf("%s id %u domid %u at %.2f took %.2f%s%s\n", err ? "stop_failed" : ends[end], id,
	       domid, ms(now), ms(now) - ms(stop_began), err ? " error: " : "",
	       err ? err->text : "");
	happened(err ? "stop_failed" : ends[end]);
}

static void on_domain(void *arg, const struct backend_domain *domain)
{
	(void)arg;
	printf("found domid %u uuid %02x%02x… whole %d running %d paused %d service '%s'\n",
	       domain->domid, domain->uuid[0], domain->uuid[1], domain->whole, domain->running,
	       domain->paused, domain->service);
	happened("found");
}

static void on_image(void *arg, const uint8_t uuid[16])
{
	(void)arg;
	printf("image uuid %02x%02x…\n", uuid[0], uuid[1]);
	happened("image");
}

static void measure(unsigned domid)
{
	struct backend_traffic traffic = { 0 };
	int rc = backend_libxl.measure(driver.backend, domid, &traffic);

	printf("measured domid %u rc %d rx %llu tx %llu\n", domid, rc,
	       (unsigned long long)traffic.rx, (unsigned long long)traffic.tx);
	happened("measured");
}

static void survey(void)
{
	struct backend_survey findings = { on_domain, on_image, NULL };
	struct backend_host host = { 0 };
	struct error err;
	uint64_t began = loop_now(driver.loop);

	if (backend_libxl.survey(driver.backend, &findings, &err) < 0 ||
	    backend_libxl.host(driver.backend, &host, &err) < 0)
		printf("survey_failed %s\n", err.text);
	else
		printf("survey_end free %llu total %llu version %s took %.2f\n",
		       (unsigned long long)host.memory_free, (unsigned long long)host.memory_total,
		       host.version, ms(loop_now(driver.loop)) - ms(began));
	happened("survey_end");
}

static struct spec *read_spec(const char *text)
{
	struct error err;
	struct spec *spec = spec_from_text(text, false, &err);

	if (!spec) {
		printf("bad_spec %s\n", err.text);
		happened("bad_spec");
	}
	return spec;
}

static void check(const char *text)
{
	struct error err = { .kind = ERROR_NONE };
	struct spec *spec = read_spec(text);
	char *addition = NULL;

	if (!spec)
		return;
	backend_libxl.check(driver.backend, spec, &addition, &err);
	printf("checked kind %s field '%s': %s; addition %s\n", error_kind_name(err.kind),
	       err.field, err.text, addition ? addition : "");
	free(addition);
	spec_free(spec);
	happened("checked");
}

/* True if the next command may follow at once. */
static bool obey(char *line)
{
	static unsigned boots;
	static const struct {
		const char *word;
		enum spec_stop_mode mode;
	} stops[] = {
		{ "stop", SPEC_STOP_DESTROY },
		{ "pause", SPEC_STOP_PAUSE },
		{ "suspend", SPEC_STOP_SUSPEND },
		{ "shutdown", SPEC_STOP_SHUTDOWN },
	};
	unsigned id, domid, count = 1;
	char name[24];
	int at;

	for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
		unsigned limit = 10000;

		if (sscanf(line, "%23s %u %u %u", name, &id, &domid, &limit) >= 3 &&
		    strcmp(name, stops[i].word) == 0) {
			stop_began = loop_now(driver.loop);
			backend_libxl.stop(driver.backend, id, domid, stops[i].mode, limit);
			return true;
		}
	}
	if (sscanf(line, "start %u %n", &id, &at) == 1 ||
	    sscanf(line, "restore %u %n", &id, &at) == 1) {
		struct spec *spec = read_spec(line + at);

		if (spec)
			backend_libxl.start(driver.backend, id, ++boots, line[0] == 'r', spec);
	} else if (sscanf(line, "wake %u %u", &id, &domid) == 2) {
		wake_began = loop_now(driver.loop);
		backend_libxl.wake(driver.backend, id, ++boots, domid);
	} else if (sscanf(line, "measure %u", &domid) == 1) {
		measure(domid);
	} else if (strncmp(line, "run ", 4) == 0) {
		fflush(stdout);
		if (system(line + 4) != 0)
			printf("run_failed %s\n", line + 4);
	} else if (strncmp(line, "check ", 6) == 0) {
		check(line + 6);
	} else if (strcmp(line, "survey") == 0) {
		survey();
	} else if (sscanf(line, "sleep %u", &count) == 1) {
		timer_set(driver.next, count * USEC_PER_MSEC);
		return false;
	} else if (sscanf(line, "wait %23s %u", name, &count) >= 1) {
		if (*counter(name) >= count) {
			*counter(name) -= count;
			return true;
		}
		snprintf(driver.wanted, sizeof driver.wanted, "%s", name);
		driver.wanted_count = count;
		timer_set(driver.next, WAIT_LIMIT);
		return false;
	} else if (strcmp(line, "quit") == 0) {
		loop_quit(driver.loop);
		return false;
	} else if (line[0]) {
		printf("unknown_command %s\n", line);
	}
	return true;
}

static void on_next(void *arg)
{
	static char line[SPEC_JSON_MAX];

	(void)arg;
	if (driver.wanted[0]) {
		printf("timeout: no %s came\n", driver.wanted);
		exit(1);
	}
	do {
		fflush(stdout);
		if (!fgets(line, sizeof line, stdin)) {
			loop_quit(driver.loop);
			return;
		}
		line[strcspn(line, "\n")] = '\0';
	} while (obey(line));
}

int main(int argc, char **argv)
{
	static const struct backend_sink sink = { on_created, on_frame, on_key,	   on_start_failed,
						  on_woken,   on_died,	on_stopped };
	static const struct backend_config config = { .boots = 4,
						      .suspend_dir = "/run/jitsu-suspend" };
	struct error err;

	log_open("driver",
		 argc > 1 && strcmp(argv[1], "-v") == 0 ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	driver.loop = loop_new(LOOP_CLOCK_REAL);
	driver.origin = loop_now(driver.loop);
	driver.next = timer_new(driver.loop, on_next, NULL);
	driver.backend = backend_libxl.open(driver.loop, &config, &sink, NULL, &err);
	if (!driver.backend) {
		printf("open_failed %s\n", err.text);
		return 1;
	}
	printf("open took %.2f\n", ms(loop_now(driver.loop)));
	timer_set(driver.next, 0);
	loop_run(driver.loop);
	backend_libxl.close(driver.backend);
	timer_free(driver.next);
	loop_free(driver.loop);
	return 0;
}
