/*
 * What a backend is. One instance a process. Every call returns at once; what takes time is
 * reported through the sink, from the loop. Only what a hypercall does at once, a wake and a stop
 * with mode pause, may be reported before the call returns.
 */
#ifndef JITSU_TOOLSTACK_BACKEND_H
#define JITSU_TOOLSTACK_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/spec.h"

struct error;
struct loop;
struct backend;

#define BACKEND_DESTROYED_BEHIND_US 255
/* The note of one that was booted although it has an image. */
#define BACKEND_CHANGED	    "its specification has changed since it was suspended"
#define BACKEND_CONSOLE_MAX 2048 /* bytes of a guest's last words, with the NUL */

struct backend_config {
	unsigned boots;		 /* at most so many builds at once */
	const char *suspend_dir; /* for suspend images; NULL: guests cannot be suspended */
};

struct backend_domain {
	uint32_t domid;
	uint8_t uuid[16];
	/* whole: built to the end, and not left in the middle of a suspend. */
	bool whole, running, paused;
	bool restored;	  /* made from its suspend image */
	uint64_t created; /* when it began to run, CLOCK_MONOTONIC in µs; 0: not known */
	char service[64]; /* the name in our mark; "" if it bears none */
};

struct backend_host {
	uint64_t memory_free, memory_total; /* KiB */
	char version[64];
};

struct backend_traffic {
	uint64_t rx, tx; /* bytes since its creation: to the guest, from the guest */
};

struct backend_created {
	uint32_t id, boot, domid;
	bool restored;
	uint64_t began, at;
	const char *note; /* why it was booted although it was to be restored; "" if not */
};

/* What a stop has made of a domain. */
enum backend_end { BACKEND_GONE, BACKEND_PAUSED, BACKEND_SUSPENDED };

struct backend_sink {
	void (*created)(void *arg, const struct backend_created *created);
	void (*frame)(void *arg, uint32_t id, uint32_t boot, uint64_t at);
	void (*key)(void *arg, uint32_t id, uint32_t boot, uint64_t at);
	void (*start_failed)(void *arg, uint32_t id, uint32_t boot, const struct error *err);
	/* err is NULL if it runs again. */
	void (*woken)(void *arg, uint32_t id, uint32_t boot, uint64_t at, const struct error *err);
	void (*died)(void *arg, uint32_t domid, uint8_t reason, const char *console);
	/* With an error, it is as it was before, and `end` says nothing. */
	void (*stopped)(void *arg, uint32_t id, uint32_t domid, enum backend_end end, uint64_t at,
			const struct error *err);
};

/* A survey's findings: every domain but domain 0, and every suspend image. */
struct backend_survey {
	void (*domain)(void *arg, const struct backend_domain *domain);
	void (*image)(void *arg, const uint8_t uuid[16]);
	void *arg;
};

struct backend_table {
	const char *name;
	bool simulated;
	struct backend *(*open)(struct loop *loop, const struct backend_config *config,
				const struct backend_sink *sink, void *arg, struct error *err);
	void (*close)(struct backend *backend);
	/* Could this be started here? Files, bridges, memory. 0, or -1 with an error. *addition is
	 * a JSON object of keys that were found out, the caller's to free, or stays as it is. */
	int (*check)(struct backend *backend, const struct spec *spec, char **addition,
		     struct error *err);
	/* Builds and starts the domain; takes spec. With `restore`, from its suspend image if there
	 * is one that works and is of that specification (spec_digest). Ends in created (then
	 * perhaps frame, key, died; of a restored one, frame says that its nics are connected
	 * again), and there is no image any more, or in start_failed, after which nothing of it is
	 * left but an unused image. */
	void (*start)(struct backend *backend, uint32_t id, uint32_t boot, bool restore,
		      struct spec *spec);
	/* Lets a paused domain run. Ends in woken. */
	void (*wake)(struct backend *backend, uint32_t id, uint32_t boot, uint32_t domid);
	/* Reports the first frame of a running domain and its `key` ("": none) as after a start.
	 * What came before is reported too, perhaps before this returns, with its time if that is
	 * known. */
	void (*adopt)(struct backend *backend, uint32_t id, uint32_t boot, uint32_t domid,
		      const char *key);
	/* Ends in stopped; a domain that is or was gone anyway is BACKEND_GONE in any mode. limit
	 * in ms: after that, one that does not shut down is destroyed. */
	void (*stop)(struct backend *backend, uint32_t id, uint32_t domid, enum spec_stop_mode mode,
		     uint32_t limit);
	/* The engine is gone, and the next one's survey shall not wait for guests that take their
	 * time to shut down: those orders end here, without a report; the guests were told. */
	void (*let_go)(struct backend *backend);
	/* Deletes that service's suspend image, if there is one. */
	void (*discard)(struct backend *backend, const uint8_t uuid[16]);
	/* 0 and *out; -1 if there is no such domain. */
	int (*measure)(struct backend *backend, uint32_t domid, struct backend_traffic *out);
	/* 0 and *out, or -1 with an error. */
	int (*host)(struct backend *backend, struct backend_host *out, struct error *err);
	/* Calls back for each finding, then returns; watches the deaths of the domains that bear
	 * our mark. 0, or -1 with an error. Only while no order is under way. */
	int (*survey)(struct backend *backend, const struct backend_survey *survey,
		      struct error *err);
	/* How many starts, wakes and stops are under way. */
	unsigned (*busy)(const struct backend *backend);
};

extern const struct backend_table backend_libxl, backend_sim;

#endif
