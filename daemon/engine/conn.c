#include "engine/conn.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/dispatch.h"
#include "engine/outbox.h"

#define LINES_A_TURN	32
#define READ_SIZE	(64u * 1024)
#define UNDER_WAY_MAX	64		     /* requests of one connection */
#define QUEUE_PAUSE	(1u * 1024 * 1024)   /* more waits to be sent: no more requests are read */
#define QUEUE_MAX	(16u * 1024 * 1024)  /* more waits to be sent: no more answers are taken */
#define QUEUES_MAX	(256u * 1024 * 1024) /* of all connections: the longest queue goes */
#define DRAIN_MAX	(64u * 1024 * 1024)  /* thrown away after a fatal error, before closing */
#define SUBSCRIBERS_MAX 64
#define EVENTS_MAX	(1u * 1024 * 1024) /* more waits to be sent: no more events are taken */

/* A request under way, and who asked. */
struct asked {
	LIST_ENTRY(asked) entry;
	struct conn *conn;
	struct dispatch *dispatch; /* NULL until it is known not to be over at once */
};

struct conn {
	struct conns *conns;
	TAILQ_ENTRY(conn) entry;      /* in strangers or in known */
	TAILQ_ENTRY(conn) turn;	      /* in turns, if in_turn */
	TAILQ_ENTRY(conn) subscriber; /* in subscribers, if subscribed */
	unsigned round;		      /* in which it was put there */
	struct watch *watch;
	int fd;
	enum control_access access;
	bool known;    /* has completed a request */
	bool eof;      /* the client sends no more; it may still read */
	bool draining; /* had a fatal error: what it sends is thrown away */
	bool told;     /* draining, and our side is shut */
	bool busy;     /* on the stack: not to be freed */
	bool closed, in_turn, subscribed;
	char *in;
	size_t in_size, in_room, scanned; /* of `in`, so much is known to hold no newline */
	size_t drained;
	struct outbox out;
	unsigned under_way;
	LIST_HEAD(, asked) asked;
};

/* --- a connection's end --- */

static struct conn_list *list_of(struct conn *conn)
{
	return conn->known ? &conn->conns->known : &conn->conns->strangers;
}

static void unsubscribe(struct conn *conn)
{
	if (!conn->subscribed)
		return;
	conn->subscribed = false;
	TAILQ_REMOVE(&conn->conns->subscribers, conn, subscriber);
	conn->conns->subscriber_count--;
}

/* Frees it, or leaves that to who is on the stack. */
static void conn_close(struct conn *conn)
{
	struct conns *conns = conn->conns;

	if (!conn->closed) {
		struct asked *asked;

		conn->closed = true;
		while ((asked = LIST_FIRST(&conn->asked))) {
			LIST_REMOVE(asked, entry);
			dispatch_abandon(asked->dispatch);
			free(asked);
		}
		outbox_clear(&conn->out);
		unsubscribe(conn);
		if (conn->in_turn)
			TAILQ_REMOVE(&conns->turns, conn, turn);
		TAILQ_REMOVE(list_of(conn), conn, entry);
		conns->count--;
		watch_free(conn->watch);
		close(conn->fd);
		free(conn->in);
	}
	if (!conn->busy)
		free(conn);
}

static void conn_touch(struct conn *conn, bool known)
{
	TAILQ_REMOVE(list_of(conn), conn, entry);
	conn->known |= known;
	TAILQ_INSERT_TAIL(list_of(conn), conn, entry);
}

/* Lets it go on from the loop. */
static void conn_take_turn(struct conn *conn)
{
	if (conn->in_turn || conn->closed)
		return;
	conn->in_turn = true;
	conn->round = conn->conns->round;
	TAILQ_INSERT_TAIL(&conn->conns->turns, conn, turn);
	if (!timer_armed(conn->conns->turn_timer))
		timer_set(conn->conns->turn_timer, 0);
}

/* --- sending --- */

static bool conn_may_take(const struct conn *conn)
{
	return !conn->closed && !conn->draining && conn->under_way < UNDER_WAY_MAX &&
	       conn->out.size <= QUEUE_PAUSE;
}

static void conn_update(struct conn *conn)
{
	unsigned events = 0;

	if (conn->closed)
		return;
	if (!conn->eof && (conn->draining || conn_may_take(conn)))
		events |= WATCH_READ;
	if (conn->out.size)
		events |= WATCH_WRITE;
	watch_set(conn->watch, events);
}

static void conn_flush(struct conn *conn)
{
	if (outbox_flush(&conn->out, conn->fd) < 0)
		conn_close(conn);
}

static void close_longest_queue(struct conns *conns)
{
	struct conn *conn, *longest = NULL;
	struct conn_list *const lists[] = { &conns->strangers, &conns->known };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		TAILQ_FOREACH(conn, lists[i], entry) {
			if (!longest || conn->out.size > longest->out.size)
				longest = conn;
		}
	}
	if (longest) {
		log_warning("control: a client that does not read is closed, %zu bytes waited",
			    longest->out.size);
		conn_close(longest);
	}
}

/* May close the connection; its caller has set busy. */
static void conn_send(struct conn *conn, const char *line, size_t size)
{
	if (conn->closed)
		return;
	if (conn->out.size > QUEUE_MAX) {
		log_warning("control: a client that does not read is closed, %zu bytes waited",
			    conn->out.size);
		conn_close(conn);
		return;
	}
	outbox_put(&conn->out, line, size);
	conn_flush(conn);
	if (conn->conns->queued > QUEUES_MAX)
		close_longest_queue(conn->conns);
}

/* --- requests --- */

static void on_reply(void *arg, const char *line, size_t size)
{
	struct asked *asked = arg;
	struct conn *conn = asked->conn;
	bool outermost = !conn->busy;

	if (asked->dispatch)
		LIST_REMOVE(asked, entry);
	free(asked);
	conn->under_way--;
	conn->busy = true;
	if (line) {
		conn_touch(conn, true);
		conn_send(conn, line, size);
	}
	if (!outermost)
		return;
	conn->busy = false;
	if (conn->closed)
		conn_close(conn);
	else
		conn_take_turn(conn);
}

/* One error, and nothing more is taken from it. */
static void conn_fail(struct conn *conn, enum control_error code, const char *text)
{
	size_t size;
	cleanup_free char *line = dispatch_error_line(code, text, &size);

	conn->draining = true;
	conn->in_size = conn->scanned = 0;
	conn_send(conn, line, size);
}

/* From the answer on it gets events. */
static struct json_object *on_subscribe(void *arg, size_t recent, struct error *err)
{
	struct conn *conn = ((struct asked *)arg)->conn;
	struct json_object *result;

	if (!conn->subscribed && conn->conns->subscriber_count >= SUBSCRIBERS_MAX) {
		error_set(err, ERROR_BUSY, "%d clients are subscribed, as many as there may be",
			  SUBSCRIBERS_MAX);
		return NULL;
	}
	if (!conn->subscribed) {
		conn->subscribed = true;
		TAILQ_INSERT_TAIL(&conn->conns->subscribers, conn, subscriber);
		conn->conns->subscriber_count++;
	}
	result = json_object_new_object();
	json_object_object_add(result, "events", history_last(&conn->conns->history, recent));
	return result;
}

static void conn_line(struct conn *conn, const char *text, size_t size)
{
	static const struct dispatch_client client = { on_reply, on_subscribe };
	struct asked *asked;
	struct dispatch *dispatch;
	size_t blank = 0;

	while (blank < size && strchr(" \t\r", text[blank]) && text[blank])
		blank++;
	if (blank == size)
		return;
	if (!control_text_valid(text, size)) {
		conn_fail(conn, CONTROL_ERROR_PARSE,
			  "not JSON: not UTF-8, or with control characters; closing");
		return;
	}
	asked = calloc(1, sizeof *asked);
	if (!asked)
		abort();
	asked->conn = conn;
	conn->under_way++;
	dispatch = dispatch_message(conn->conns->loop, conn->conns->engine, conn->access, &client,
				    text, size, asked);
	if (!dispatch)
		return;
	if (conn->closed) {
		dispatch_abandon(dispatch);
		free(asked);
		return;
	}
	asked->dispatch = dispatch;
	LIST_INSERT_HEAD(&conn->asked, asked, entry);
}

static bool conn_over(const struct conn *conn)
{
	if (conn->under_way || conn->out.size)
		return false;
	return conn->eof && (conn->draining || conn->in_size == 0);
}

/* Carries out the lines that are there, as far as they may be taken now. */
static void conn_process(struct conn *conn)
{
	size_t start = 0;
	unsigned lines = 0;

	conn->busy = true;
	while (conn_may_take(conn) && start < conn->in_size) {
		const char *line = conn->in + start;
		size_t left = conn->in_size - start, from = conn->scanned;
		const char *newline = memchr(line + from, '\n', left - from);
		size_t size = newline ? (size_t)(newline - line) : left;

		if (size > CONTROL_LINE_MAX) {
			conn_fail(conn, CONTROL_ERROR_REQUEST,
				  "a line is at most 1 MiB long; closing");
			break;
		}
		if (!newline && !conn->eof) {
			conn->scanned = left;
			break;
		}
		if (lines++ == LINES_A_TURN) {
			conn_take_turn(conn);
			break;
		}
		conn->scanned = 0;
		start += size + (newline ? 1 : 0);
		conn_line(conn, line, size);
	}
	conn->busy = false;
	if (conn->closed) {
		conn_close(conn);
		return;
	}
	if (start >= conn->in_size || conn->draining) {
		free(TAKE(conn->in));
		conn->in_size = conn->in_room = 0;
	} else if (start) {
		memmove(conn->in, conn->in + start, conn->in_size - start);
		conn->in_size -= start;
	}
	if (conn_over(conn)) {
		conn_close(conn);
		return;
	}
	if (conn->draining && !conn->told && !conn->out.size && !conn->under_way) {
		conn->told = true;
		shutdown(conn->fd, SHUT_WR);
	}
	conn_update(conn);
}

static void on_turns(void *arg)
{
	struct conns *conns = arg;
	struct conn *conn;

	/* Those that want another turn are not served in this one. */
	conns->round++;
	while ((conn = TAILQ_FIRST(&conns->turns)) && conn->round != conns->round) {
		TAILQ_REMOVE(&conns->turns, conn, turn);
		conn->in_turn = false;
		conn_process(conn);
	}
}

/* --- reading --- */

/* Room for the next read, which never lets `in` grow over one line and a bit. */
static size_t conn_room(struct conn *conn)
{
	size_t want = CONTROL_LINE_MAX + 1 - conn->in_size;

	if (want > READ_SIZE)
		want = READ_SIZE;
	if (conn->in_room - conn->in_size < want) {
		size_t room = conn->in_room * 2;

		if (room < conn->in_size + want)
			room = conn->in_size + want;
		conn->in = realloc(conn->in, room);
		if (!conn->in)
			abort();
		conn->in_room = room;
	}
	return want;
}

/* False if there is nothing to do now. */
static bool conn_read(struct conn *conn)
{
	static char waste[READ_SIZE];
	size_t room = conn->draining ? sizeof waste : conn_room(conn);
	ssize_t r = recv(conn->fd, conn->draining ? waste : conn->in + conn->in_size, room,
			 MSG_DONTWAIT);

	if (r < 0)
		return errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR
			       ? (conn->eof = true)
			       : false;
	if (r == 0)
		conn->eof = true;
	else if (conn->draining)
		conn->drained += (size_t)r;
	else
		conn->in_size += (size_t)r;
	return true;
}

static void on_conn(void *arg, unsigned events)
{
	struct conn *conn = arg;

	if (events & WATCH_WRITE) {
		conn->busy = true;
		conn_flush(conn);
		conn->busy = false;
		if (conn->closed) {
			conn_close(conn);
			return;
		}
	}
	if ((events & WATCH_READ) && conn_read(conn)) {
		conn_touch(conn, false);
		if (conn->drained > DRAIN_MAX) {
			conn_close(conn);
			return;
		}
	}
	conn_process(conn);
}

/* --- all of them --- */

int conns_open(struct conns *conns, struct loop *loop, struct engine *engine)
{
	*conns = (struct conns){ .loop = loop, .engine = engine };
	TAILQ_INIT(&conns->strangers);
	TAILQ_INIT(&conns->known);
	TAILQ_INIT(&conns->subscribers);
	TAILQ_INIT(&conns->turns);
	conns->turn_timer = timer_new(loop, on_turns, conns);
	return conns->turn_timer ? 0 : -1;
}

void conns_close(struct conns *conns)
{
	struct conn *conn;

	while ((conn = TAILQ_FIRST(&conns->strangers)) || (conn = TAILQ_FIRST(&conns->known)))
		conn_close(conn);
	timer_free(conns->turn_timer);
	history_clear(&conns->history);
}

void conn_new(struct conns *conns, int fd, enum control_access access)
{
	struct conn *conn = calloc(1, sizeof *conn);

	if (!conn) {
		close(fd);
		return;
	}
	conn->conns = conns;
	conn->fd = fd;
	conn->access = access;
	outbox_init(&conn->out, &conns->queued);
	LIST_INIT(&conn->asked);
	conn->watch = watch_new(conns->loop, fd, WATCH_READ, on_conn, conn);
	if (!conn->watch) {
		close(fd);
		free(conn);
		return;
	}
	TAILQ_INSERT_TAIL(&conns->strangers, conn, entry);
	conns->count++;
}

static bool is_quiet(const struct conn *conn)
{
	return !conn->under_way && !conn->out.size && !conn->busy && !conn->subscribed;
}

bool conns_close_quietest(struct conns *conns, const char *text)
{
	struct conn_list *const lists[] = { &conns->strangers, &conns->known };
	struct conn *conn = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(lists) && !conn; i++) {
		TAILQ_FOREACH(conn, lists[i], entry) {
			if (is_quiet(conn))
				break;
		}
	}
	if (!conn)
		return false;
	if (!conn->draining) {
		size_t size;
		cleanup_free char *line = dispatch_error_line(CONTROL_ERROR_BUSY, text, &size);

		(void)!send(conn->fd, line, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	conn_close(conn);
	return true;
}

void conns_publish(struct conns *conns, const char *line, size_t size, const char *last,
		   size_t last_size)
{
	struct conn *conn, *next;

	/* Nothing is sent from here, so none is closed meanwhile. */
	for (conn = TAILQ_FIRST(&conns->subscribers); conn; conn = next) {
		next = TAILQ_NEXT(conn, subscriber);
		if (conn->out.size <= EVENTS_MAX) {
			outbox_put(&conn->out, line, size);
		} else {
			log_warning("control: a subscriber that does not read is let go");
			outbox_put(&conn->out, last, last_size);
			unsubscribe(conn);
			conn->draining = true;
		}
		conn_update(conn);
	}
}
