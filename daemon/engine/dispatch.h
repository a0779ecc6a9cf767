/*
 * From one message of JSON-RPC to the verbs and back to one line: envelope, batches, access,
 * parameters. It knows no transport.
 */
#ifndef JITSU_ENGINE_DISPATCH_H
#define JITSU_ENGINE_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/control.h"

struct engine;
struct json_object;
struct loop;
struct dispatch;

/* The answer, once for each message: a line with its '\n', valid during the call, or NULL where
 * there is nothing to send (notifications). */
typedef void dispatch_reply(void *arg, const char *line, size_t size);

/* Subscribes who asks to the events, and gives the result: an object with the last `recent` of
 * them. NULL with an error. */
typedef struct json_object *dispatch_subscribe(void *arg, size_t recent, struct error *err);

struct dispatch_client {
	dispatch_reply *reply;
	dispatch_subscribe *subscribe; /* only before reply */
};

/* Handles a message: a request, or a batch of them, which are carried out one after the other.
 * Returns NULL if `reply` was called before it returned, else what is under way, which ends by
 * `reply` or is abandoned. arg is the client's. */
struct dispatch *dispatch_message(struct loop *loop, struct engine *engine,
				  enum control_access access, const struct dispatch_client *client,
				  const char *text, size_t size, void *arg);

/* Nobody waits any more: what is under way comes to its end, the rest of a batch is dropped, and
 * `reply` is not called. */
void dispatch_abandon(struct dispatch *dispatch);

/* A line that answers no request in particular; the caller frees it. */
char *dispatch_error_line(enum control_error code, const char *text, size_t *size);

#endif
