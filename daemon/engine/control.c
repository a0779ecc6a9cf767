#include "engine/control.h"

#include <errno.h>
#include <grp.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/conn.h"
#include "engine/dispatch.h"

#define CONNECTIONS_MAX	   1024
#define DESCRIPTORS_SPARED 64 /* left for the rest of the room */
#define ACCEPTS_A_TURN	   64
#define ACCEPT_PAUSE	   (1 * USEC_PER_SEC)

struct control {
	struct conns conns;
	struct loop *loop;
	int listen_fd;
	struct watch *listen_watch;
	struct timer *accept_timer;
	gid_t group;
	unsigned max;
	uint64_t warned; /* when it was last said that there are too many */
};

/* False if each is at work. */
static bool make_room(struct control *control)
{
	unsigned count = control->conns.count;
	bool made = conns_close_quietest(&control->conns,
					 "too many connections, and this one was quiet longest");
	uint64_t now = loop_now(control->loop);

	if (!control->warned || now - control->warned > 60 * USEC_PER_SEC) {
		control->warned = now;
		log_warning("control: %u connections, as many as there may be: %s", count,
			    made ? "the quietest are closed" : "new ones wait");
	}
	return made;
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
		if (control->conns.count >= control->max && !make_room(control)) {
			size_t size;
			cleanup_free char *line = dispatch_error_line(
				CONTROL_ERROR_BUSY, "too many connections, all at work", &size);

			(void)!send(fd, line, size, MSG_NOSIGNAL | MSG_DONTWAIT);
			close(fd);
			continue;
		}
		conn_new(&control->conns, fd, access_of(control, fd));
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
	return limit.rlim_cur > 2 * DESCRIPTORS_SPARED
		       ? (unsigned)limit.rlim_cur - DESCRIPTORS_SPARED
		       : DESCRIPTORS_SPARED;
}

struct control *control_new(struct loop *loop, int listen_fd, struct engine *engine)
{
	struct control *control = calloc(1, sizeof *control);

	if (!control) {
		close(listen_fd);
		return NULL;
	}
	*control = (struct control){ .loop = loop,
				     .listen_fd = listen_fd,
				     .group = group_of(listen_fd),
				     .max = connections_max() };
	control->accept_timer = timer_new(loop, on_accept_again, control);
	control->listen_watch = watch_new(loop, listen_fd, WATCH_READ, on_accept, control);
	if (conns_open(&control->conns, loop, engine) < 0 || !control->accept_timer ||
	    !control->listen_watch) {
		control_free(control);
		return NULL;
	}
	return control;
}

void control_free(struct control *control)
{
	if (!control)
		return;
	conns_close(&control->conns);
	watch_free(control->listen_watch);
	timer_free(control->accept_timer);
	close(control->listen_fd);
	free(control);
}

/* --- events --- */

/* Unix time, to the millisecond. */
static void put_time(struct json_object *event)
{
	struct timespec ts;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &ts);
	snprintf(text, sizeof text, "%lld.%03ld", (long long)ts.tv_sec, ts.tv_nsec / 1000000);
	json_object_object_add(
		event, "time",
		json_object_new_double_s((double)ts.tv_sec + (double)ts.tv_nsec / 1e9, text));
}

static char *event_line(struct json_object *event, size_t *size)
{
	struct json_object *notification = control_notification("event", json_object_get(event));
	char *line = control_line(notification, size);

	json_object_put(notification);
	return line;
}

/* The last that a subscriber hears who does not read. */
static char *last_line(size_t *size)
{
	struct json_object *event = json_object_new_object();
	char *line;

	put_time(event);
	json_object_object_add(event, "kind", json_object_new_string("dropped"));
	json_object_object_add(
		event, "why",
		json_object_new_string("too many events were not read; subscribe anew"));
	line = event_line(event, size);
	json_object_put(event);
	return line;
}

bool control_watched(const struct control *control)
{
	return control && control->conns.subscriber_count;
}

void control_publish(struct control *control, struct json_object *event)
{
	if (control) {
		put_time(event);
		history_add(&control->conns.history, event);
	}
	if (control && control->conns.subscriber_count) {
		size_t size, last_size;
		cleanup_free char *line = event_line(event, &size), *last = last_line(&last_size);

		conns_publish(&control->conns, line, size, last, last_size);
	}
	json_object_put(event);
}
