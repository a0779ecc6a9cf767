/*
 * Drives the libxl backend by hand, without engine or dns: for tests of the toolstack room in the
 * lab. Each line on standard input is a command, each event a line on standard output.
 *
 *   start ID JSON   check JSON   stop ID DOMID   survey   sleep MS   wait EVENT [COUNT]   quit
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
#define WAIT_LIMIT (60 * USEC_PER_SEC)

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

static void on_created(void *arg, uint32_t id, uint32_t boot, uint32_t domid, uint64_t began,
		       uint64_t at)
{
	(void)arg;
	printf("created id %u boot %u domid %u began %.2f at %.2f took %.2f\n", id, boot, domid,
	       ms(began), ms(at), ms(at) - ms(began));
	happened("created");
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

static void on_died(void *arg, uint32_t domid, uint8_t reason)
{
	(void)arg;
	printf("died domid %u reason %u at %.2f\n", domid, reason, ms(loop_now(driver.loop)));
	happened("died");
}

static uint64_t stop_began;

static void on_stopped(void *arg, uint32_t id, uint32_t domid, const struct error *err)
{
	uint64_t now = loop_now(driver.loop);

	(void)arg;
	printf("stopped id %u domid %u at %.2f took %.2f%s%s\n", id, domid, ms(now),
	       ms(now) - ms(stop_began), err ? " error: " : "", err ? err->text : "");
	happened("stopped");
}

static void on_domain(void *arg, const struct backend_domain *domain)
{
	(void)arg;
	printf("found domid %u uuid %02x%02x… whole %d running %d service '%s'\n", domain->domid,
	       domain->uuid[0], domain->uuid[1], domain->whole, domain->running, domain->service);
	happened("found");
}

static void survey(void)
{
	struct backend_host host;
	struct error err;
	uint64_t began = loop_now(driver.loop);

	if (backend_libxl.survey(driver.backend, on_domain, NULL, &host, &err) < 0)
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

	if (!spec)
		return;
	backend_libxl.check(driver.backend, spec, &err);
	printf("checked kind %s field '%s': %s\n", error_kind_name(err.kind), err.field, err.text);
	spec_free(spec);
	happened("checked");
}

/* True if the next command may follow at once. */
static bool obey(char *line)
{
	static unsigned boots;
	unsigned id, domid, count = 1;
	char name[24];
	int at;

	if (sscanf(line, "start %u %n", &id, &at) == 1) {
		struct spec *spec = read_spec(line + at);

		if (spec)
			backend_libxl.start(driver.backend, id, ++boots, spec);
	} else if (strncmp(line, "check ", 6) == 0) {
		check(line + 6);
	} else if (sscanf(line, "stop %u %u", &id, &domid) == 2) {
		stop_began = loop_now(driver.loop);
		backend_libxl.stop(driver.backend, id, domid, SPEC_STOP_DESTROY, 0);
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
	static const struct backend_sink sink = { on_created, on_frame, on_start_failed, on_died,
						  on_stopped };
	struct error err;

	log_open("driver",
		 argc > 1 && strcmp(argv[1], "-v") == 0 ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	driver.loop = loop_new(LOOP_CLOCK_REAL);
	driver.origin = loop_now(driver.loop);
	driver.next = timer_new(driver.loop, on_next, NULL);
	driver.backend = backend_libxl.open(driver.loop, 4, &sink, NULL, &err);
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
