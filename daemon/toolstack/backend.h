/*
 * What a backend is. One instance a process. Every call returns at once; what takes time is
 * reported through the sink, always from the loop, never from within the call.
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

struct backend_domain {
	uint32_t domid;
	uint8_t uuid[16];
	bool whole, running;
	char service[64]; /* the name in our mark; "" if it bears none */
};

struct backend_host {
	uint64_t memory_free, memory_total; /* KiB */
	char version[64];
};

struct backend_sink {
	void (*created)(void *arg, uint32_t id, uint32_t boot, uint32_t domid, uint64_t began,
			uint64_t at);
	void (*frame)(void *arg, uint32_t id, uint32_t boot, uint64_t at);
	void (*start_failed)(void *arg, uint32_t id, uint32_t boot, const struct error *err);
	void (*died)(void *arg, uint32_t domid, uint8_t reason);
	void (*stopped)(void *arg, uint32_t id, uint32_t domid, const struct error *err);
};

struct backend_table {
	const char *name;
	bool simulated;
	struct backend *(*open)(struct loop *loop, unsigned boots, const struct backend_sink *sink,
				void *arg, struct error *err);
	void (*close)(struct backend *backend);
	/* Could this be started here? Files, bridges, memory. 0, or -1 with an error. */
	int (*check)(struct backend *backend, const struct spec *spec, struct error *err);
	/* Builds and starts the domain; takes spec. Ends in created (then perhaps frame, died) or
	 * start_failed, after which nothing of it is left. */
	void (*start)(struct backend *backend, uint32_t id, uint32_t boot, struct spec *spec);
	/* Ends in stopped, its error NULL if it is gone (also if it was gone before). */
	void (*stop)(struct backend *backend, uint32_t id, uint32_t domid,
		     enum spec_stop_mode mode, uint32_t limit);
	/* Calls each() for every domain but domain 0, then returns; watches the deaths of those
	 * that bear our mark. 0, or -1 with an error. Only while no order is under way. */
	int (*survey)(struct backend *backend,
		      void (*each)(void *arg, const struct backend_domain *domain), void *arg,
		      struct backend_host *host, struct error *err);
	/* How many starts and stops are under way. */
	unsigned (*busy)(const struct backend *backend);
};

extern const struct backend_table backend_libxl, backend_sim;

#endif
