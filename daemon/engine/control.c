#include "engine/control.h"

#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/dispatch.h"

#define CONNECTIONS_MAX 1024
#define DESCRIPTORS_SPARED 64	/* left for the rest of the room */
#define ACCEPTS_A_TURN 64
#define ACCEPT_PAUSE (1 * USEC_PER_SEC)
#define LINES_A_TURN 32
#define READ_SIZE (64u * 1024)
#define UNDER_WAY_MAX 64	/* requests of one connection */
#define QUEUE_PAUSE (1u * 1024 * 1024)	/* more waits to be sent: no more requests are read */
#define QUEUE_MAX (16u * 1024 * 1024)	/* more waits to be sent: no more answers are taken */
#define QUEUES_MAX (256u * 1024 * 1024) /* of all connections: the longest queue goes */
#define DRAIN_MAX (64u * 1024 * 1024)	/* thrown away after a fatal error, before closing */

struct chunk {
	STAILQ_ENTRY(chunk) entry;
	size_t size, sent;
	char data[];
};

/* A request under way, and who asked. */
struct asked {
	LIST_ENTRY(asked) entry;
	struct conn *conn;
	struct dispatch *dispatch; /* NULL until it is known not to be over at once */
};

TAILQ_HEAD(conns, conn);

struct conn {
	struct control *control;
	TAILQ_ENTRY(conn) entry; /* in strangers or in known, the quietest first */
	TAILQ_ENTRY(conn) turn;	 /* in turns, if in_turn */
	unsigned round;		 /* in which it was put there */
	struct watch *watch;
	int fd;
	enum control_access access;
	bool known;    /* has completed a request */
	bool eof;      /* the client sends no more; it may still read */
	bool draining; /* had a fatal error: what it sends is thrown away */
	bool told;     /* draining, and our side is shut */
	bool busy;     /* on the stack: not to be freed */
	bool closed, in_turn;
	char *in;
	size_t in_size, in_room, scanned; /* of `in`, so much is known to hold no newline */
	size_t drained;
	STAILQ_HEAD(, chunk) out;
	size_t queued;
	unsigned under_way;
	LIST_HEAD(, asked) asked;
};

struct control {
	struct loop *loop;
	struct engine *engine;
	int listen_fd;
	struct watch *listen_watch;
	struct timer *accept_timer, *turn_timer;
	gid_t group;
	struct conns strangers, known, turns;
	unsigned round;
	unsigned count, max;
	size_t queued;
	uint64_t warned; /* when it was last said that there are too many */
};

static void conn_process(struct conn *conn);

/* --- a connection's end --- */

static struct conns *list_of(struct conn *conn)
{
	return conn->known ? &conn->control->known : &conn->control->strangers;
}

static void drop_chunk(struct conn *conn)
{
	struct chunk *chunk = STAILQ_FIRST(&conn->out);

	STAILQ_REMOVE_HEAD(&conn->out, entry);
	conn->queued -= chunk->size - chunk->sent;
	conn->control->queued -= chunk->size - chunk->sent;
	free(chunk);
}

/* Frees it, or leaves that to who is on the stack. */
static void conn_close(struct conn *conn)
{
	struct control *control = conn->control;

	if (!conn->closed) {
		struct asked *asked;

		conn->closed = true;
		while ((asked = LIST_FIRST(&conn->asked))) {
			LIST_REMOVE(asked, entry);
			dispatch_abandon(asked->dispatch);
			free(asked);
		}
		while (!STAILQ_EMPTY(&conn->out))
			drop_chunk(conn);
		if (conn->in_turn)
			TAILQ_REMOVE(&control->turns, conn, turn);
		TAILQ_REMOVE(list_of(conn), conn, entry);
		control->count--;
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
	conn->round = conn->control->round;
	TAILQ_INSERT_TAIL(&conn->control->turns, conn, turn);
	if (!timer_armed(conn->control->turn_timer))
		timer_set(conn->control->turn_timer, 0);
}

/* --- sending --- */

static bool conn_may_take(const struct conn *conn)
{
	return !conn->closed && !conn->draining && conn->under_way < UNDER_WAY_MAX &&
	       conn->queued <= QUEUE_PAUSE;
}

static void conn_update(struct conn *conn)
{
	unsigned events = 0;

	if (conn->closed)
		return;
	if (!conn->eof && (conn->draining || conn_may_take(conn)))
		events |= WATCH_READ;
	if (conn->queued)
		events |= WATCH_WRITE;
	watch_set(conn->watch, events);
}

static void conn_flush(struct conn *conn)
{
	struct chunk *chunk;

	while ((chunk = STAILQ_FIRST(&conn->out))) {
		ssize_t r = send(conn->fd, chunk->data + chunk->sent, chunk->size - chunk->sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (r < 0) {
			conn_close(conn);
			return;
		}
		chunk->sent += (size_t)r;
		conn->queued -= (size_t)r;
		conn->control->queued -= (size_t)r;
		if (chunk->sent == chunk->size)
			drop_chunk(conn);
	}
}

static void close_longest_queue(struct control *control)
{
	struct conn *conn, *longest = NULL;
	struct conns *const lists[] = { &control->strangers, &control->known };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		TAILQ_FOREACH(conn, lists[i], entry) {
			if (!longest || conn->queued > longest->queued)
				longest = conn;
		}
	}
	if (longest) {
		log_warning("control: a client that does not read is closed, %zu bytes waited",
			    longest->queued);
		conn_close(longest);
	}
}

/* May close the connection; its caller has set busy. */
static void conn_send(struct conn *conn, const char *line, size_t size)
{
	struct chunk *chunk;

	if (conn->closed)
		return;
	if (conn->queued > QUEUE_MAX) {
		log_warning("control: a client that does not read is closed, %zu bytes waited",
			    conn->queued);
		conn_close(conn);
		return;
	}
	chunk = malloc(sizeof *chunk + size);
	if (!chunk)
		abort();
	chunk->size = size;
	chunk->sent = 0;
	memcpy(chunk->data, line, size);
	STAILQ_INSERT_TAIL(&conn->out, chunk, entry);
	conn->queued += size;
	conn->control->queued += size;
	conn_flush(conn);
	if (conn->control->queued > QUEUES_MAX)
		close_longest_queue(conn->control);
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

static void conn_line(struct conn *conn, const char *text, size_t size)
{
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
	dispatch = dispatch_message(conn->control->loop, conn->control->engine, conn->access, text,
				    size, on_reply, asked);
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
	if (conn->under_way || conn->queued)
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
	if (conn->draining && !conn->told && !conn->queued && !conn->under_way) {
		conn->told = true;
		shutdown(conn->fd, SHUT_WR);
	}
	conn_update(conn);
}

static void on_turns(void *arg)
{
	struct control *control = arg;
	struct conn *conn;

	/* Those that want another turn are not served in this one. */
	control->round++;
	while ((conn = TAILQ_FIRST(&control->turns)) && conn->round != control->round) {
		TAILQ_REMOVE(&control->turns, conn, turn);
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
		return errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR ?
			       (conn->eof = true) :
			       false;
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

/* --- accepting --- */

static bool is_quiet(const struct conn *conn)
{
	return !conn->under_way && !conn->queued && !conn->busy;
}

/* Closes the connection that matters least. False if each is at work. */
static bool make_room(struct control *control)
{
	static const char text[] = "too many connections, and this one was quiet longest";
	struct conns *const lists[] = { &control->strangers, &control->known };
	struct conn *conn = NULL;
	uint64_t now = loop_now(control->loop);

	for (size_t i = 0; i < ARRAY_SIZE(lists) && !conn; i++) {
		TAILQ_FOREACH(conn, lists[i], entry) {
			if (is_quiet(conn))
				break;
		}
	}
	if (!control->warned || now - control->warned > 60 * USEC_PER_SEC) {
		control->warned = now;
		log_warning("control: %u connections, as many as there may be: %s", control->count,
			    conn ? "the quietest are closed" : "new ones wait");
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

static enum control_access access_of(const struct control *control, int fd)
{
	struct ucred cred;
	socklen_t size = sizeof cred;
	gid_t groups[256];

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return CONTROL_READ;
	if (cred.uid == 0 || cred.uid == geteuid() || cred.gid == control->group)
		return CONTROL_WRITE;
	size = sizeof groups;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
		return CONTROL_READ;
	for (size_t i = 0; i < size / sizeof groups[0]; i++) {
		if (groups[i] == control->group)
			return CONTROL_WRITE;
	}
	return CONTROL_READ;
}

static void conn_new(struct control *control, int fd)
{
	struct conn *conn = calloc(1, sizeof *conn);

	if (!conn) {
		close(fd);
		return;
	}
	conn->control = control;
	conn->fd = fd;
	conn->access = access_of(control, fd);
	STAILQ_INIT(&conn->out);
	LIST_INIT(&conn->asked);
	conn->watch = watch_new(control->loop, fd, WATCH_READ, on_conn, conn);
	if (!conn->watch) {
		close(fd);
		free(conn);
		return;
	}
	TAILQ_INSERT_TAIL(&control->strangers, conn, entry);
	control->count++;
}

static void pause_accept(struct control *control)
{
	watch_set(control->listen_watch, 0);
	timer_set(control->accept_timer, ACCEPT_PAUSE);
}

static void on_accept(void *arg, unsigned events)
{
	struct control *control = arg;

	(void)events;
	for (unsigned i = 0; i < ACCEPTS_A_TURN; i++) {
		int fd;

		fd = accept4(control->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0) {
			int saved = errno;

			if (saved == EMFILE && make_room(control))
				continue;
			log_error("control: accept: %s; trying again in 1 s", strerror(saved));
			pause_accept(control);
			return;
		}
		if (control->count >= control->max && !make_room(control)) {
			size_t size;
			cleanup_free char *line = dispatch_error_line(
				CONTROL_ERROR_BUSY, "too many connections, all at work", &size);

			(void)!send(fd, line, size, MSG_NOSIGNAL | MSG_DONTWAIT);
			close(fd);
			continue;
		}
		conn_new(control, fd);
	}
}

static void on_accept_again(void *arg)
{
	struct control *control = arg;

	watch_set(control->listen_watch, WATCH_READ);
}

/* The group of the socket's file; of the daemon where that cannot be seen. */
static gid_t group_of(int listen_fd)
{
	struct sockaddr_un address = { 0 };
	socklen_t size = sizeof address;
	struct stat st;

	if (getsockname(listen_fd, (struct sockaddr *)&address, &size) == 0 &&
	    size > offsetof(struct sockaddr_un, sun_path) && address.sun_path[0] == '/' &&
	    stat(address.sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
		return st.st_gid;
	return getegid();
}

static unsigned connections_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ||
	    limit.rlim_cur > CONNECTIONS_MAX + DESCRIPTORS_SPARED)
		return CONNECTIONS_MAX;
	return limit.rlim_cur > 2 * DESCRIPTORS_SPARED ?
		       (unsigned)limit.rlim_cur - DESCRIPTORS_SPARED :
		       DESCRIPTORS_SPARED;
}

struct control *control_new(struct loop *loop, int listen_fd, struct engine *engine)
{
	struct control *control = calloc(1, sizeof *control);

	if (!control) {
		close(listen_fd);
		return NULL;
	}
	*control = (struct control){ .loop = loop, .engine = engine, .listen_fd = listen_fd,
				     .group = group_of(listen_fd), .max = connections_max() };
	TAILQ_INIT(&control->strangers);
	TAILQ_INIT(&control->known);
	TAILQ_INIT(&control->turns);
	control->accept_timer = timer_new(loop, on_accept_again, control);
	control->turn_timer = timer_new(loop, on_turns, control);
	control->listen_watch = watch_new(loop, listen_fd, WATCH_READ, on_accept, control);
	if (!control->accept_timer || !control->turn_timer || !control->listen_watch) {
		control_free(control);
		return NULL;
	}
	return control;
}

void control_free(struct control *control)
{
	struct conn *conn;

	if (!control)
		return;
	while ((conn = TAILQ_FIRST(&control->strangers)) || (conn = TAILQ_FIRST(&control->known)))
		conn_close(conn);
	watch_free(control->listen_watch);
	timer_free(control->accept_timer);
	timer_free(control->turn_timer);
	close(control->listen_fd);
	free(control);
}
