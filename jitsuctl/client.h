/* A connection to jitsud, for one call after the other. It blocks, with a limit for each call. */
#ifndef JITSU_JITSUCTL_CLIENT_H
#define JITSU_JITSUCTL_CLIENT_H

#include "jitsuctl/jitsuctl.h"

/* STATUS_DONE and *client, else an error. timeout in seconds, for this and for each call. */
enum status client_open(const char *path, double timeout, struct client **client,
			struct error *err);
void client_free(struct client *client);

/*
 * Calls the method; params is taken over. STATUS_DONE and *result; STATUS_FAILED with the
 * daemon's error, which is also given raw in *refusal, or with our own and *refusal NULL;
 * STATUS_NO_DAEMON if it went away. The caller puts both.
 */
enum status client_call(struct client *client, const char *method, struct json_object *params,
			struct json_object **result, struct json_object **refusal,
			struct error *err);

/* Waits for the next event, however long. STATUS_DONE and *event, which the caller puts. */
enum status client_next(struct client *client, struct json_object **event, struct error *err);

#endif
