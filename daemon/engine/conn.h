/*
 * The connections of one control socket: lines in, lines out, limits. Inside of control.c, which
 * accepts them; what a line means is dispatch.c's.
 */
#ifndef JITSU_ENGINE_CONN_H
#define JITSU_ENGINE_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "engine/history.h"
#include "proto/control.h"

struct conn;
struct engine;
struct loop;
struct timer;

TAILQ_HEAD(conn_list, conn);

struct conns {
	struct loop *loop;
	struct engine *engine;
	struct history history;
	struct conn_list strangers, known; /* each the quietest first; known have asked something */
	struct conn_list subscribers, turns;
	struct timer *turn_timer;
	unsigned round, count, subscriber_count;
	size_t queued; /* bytes that wait to be sent, of all */
};

/* 0, or -1 if out of memory; conns_close is to follow in either case. */
int conns_open(struct conns *conns, struct loop *loop, struct engine *engine);
void conns_close(struct conns *conns);

/* Takes fd, also on failure (out of memory), which nobody is told. */
void conn_new(struct conns *conns, int fd, enum control_access access);

/* Closes the connection that matters least, after an error with that text. False if each is at
 * work, or subscribed. */
bool conns_close_quietest(struct conns *conns, const char *text);

/* Sends a line to every subscriber, from the loop. One that lets too much wait gets `last` in its
 * place and is closed once it has read that. */
void conns_publish(struct conns *conns, const char *line, size_t size, const char *last,
		   size_t last_size);

#endif
