/*
 * The room that decides: which services there are, what state each is in, what is to be done.
 *
 * engine.c    the room itself: life cycle, links, messages to and from dns and toolstack
 * registry.c  services in memory, by name, id, address, domain; conflicts
 * store.c     services on disk (SQLite)
 * lifecycle.c state x event -> state x action: pure, from lifecycle.tbl.h
 * service.c   one service at run time: its timers, its boot record, carrying out actions; with
 *             ready.c, idle.c, failure.c and room.c for the policies
 * rest.c      services that nobody has asked for, kept on disk only
 * tell.c      what dns is told of services; feed.c the whole table, after a connect
 * survey.c    what a new toolstack says that there is
 * admit.c     how a service, or a change of one, gets in; load.c those given at start
 * verbs.c     what the control methods do; orders.c those that move a service
 * control.c   JSON-RPC over the control socket: connections, envelope, dispatch by table
 */
#ifndef JITSU_ENGINE_ENGINE_H
#define JITSU_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/spec.h"

struct error;
struct loop;
struct usage;

struct engine_source {
	int fd; /* can be read from any offset; stays the caller's */
	const char *path;
};

struct engine_config {
	const char *store; /* path of the database; ":memory:" keeps nothing */
	int control_fd;	   /* listening, non-blocking, taken; -1: none */
	/* To be there at start: specifications as JSON texts, then those of files
	 * (proto/entries.h). */
	const char *const *services;
	size_t service_count;
	const struct engine_source *sources; /* kept by reference until they are read */
	size_t source_count;
	struct usage *usage;
	bool simulated; /* the backend is sim */
	bool ptr;
	bool synjitsu;			    /* there is one to be told of addresses */
	int64_t ttl;			    /* s; defaults for services that do not say */
	int64_t response_delay, wait_limit; /* ms */
	enum spec_stop_mode stop_mode;	    /* unset: destroy */
	uint64_t reserve;		    /* KiB of the host's memory that no guest gets */
	unsigned boots;			    /* at most so many starts under way at once */
	const char *version, *backend;
	const char *listen; /* where dns listens, for daemon.status */
};

/* Opens the store and reads all services. NULL with an error. */
struct engine *engine_new(struct loop *loop, const struct engine_config *config, struct error *err);
/* A new connection to that room, in place of the old one. Takes fd. */
void engine_connect_dns(struct engine *engine, int fd);
void engine_connect_toolstack(struct engine *engine, int fd);
/* Closes the store; guests are left as they are. */
void engine_free(struct engine *engine);

#endif
