/*
 * The control socket's server. Connections are conn.c's, what a line means is dispatch.c's.
 *
 * A quiet client costs a descriptor. When there are too many connections, or no descriptors left,
 * the one that has been quiet longest makes room, and those that never asked anything go first.
 * A client that asks much without reading is not read further; one line that is too long, or that
 * is no text, ends its connection after one error.
 */
#ifndef JITSU_ENGINE_CONTROL_H
#define JITSU_ENGINE_CONTROL_H

#include <stdbool.h>

struct control;
struct engine;
struct json_object;
struct loop;

/* Serves on listen_fd (listening, non-blocking; taken, also on failure). Root, the daemon's own
 * user and the group of the socket's file may use every method, others those that only read; who
 * may connect at all is the file's mode. NULL if out of memory. */
struct control *control_new(struct loop *loop, int listen_fd, struct engine *engine);

/* Closes every connection. Verbs that are under way may answer later; nobody is told. */
void control_free(struct control *control);

/* Has anybody subscribed to events? NULL is allowed. */
bool control_watched(const struct control *control);
/* Tells those who have subscribed, from the loop, and keeps it for those who subscribe later. The
 * event's keys are the FIELD(event, ...) lines of proto/control.tbl.h without the time, which is
 * put in here; it is taken over. control may be NULL: then nobody is told. */
void control_publish(struct control *control, struct json_object *event);

#endif
