#include "supervise.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/link.h"
#include "base/log.h"

#define ROOMS	       3
#define HEALTHY_MS     1000 /* who lived that long is started again at once */
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000
#define QUIT_MS	       30000 /* a build under way may take its time */
#define MESSAGE_ROOM   64

struct child {
	enum room room;
	pid_t pid; /* 0: not running */
	int link;
	bool up;
	int64_t started, due, backoff; /* ms */
};

static struct child children[ROOMS] = {
	{ .room = ROOM_ENGINE, .link = -1 },
	{ .room = ROOM_DNS, .link = -1 },
	{ .room = ROOM_TOOLSTACK, .link = -1 },
};

/* Who talks to whom. */
static const enum room pairs[][2] = { { ROOM_DNS, ROOM_ENGINE }, { ROOM_ENGINE, ROOM_TOOLSTACK } };

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct child *child_of(enum room room)
{
	for (size_t i = 0; i < ROOMS; i++)
		if (children[i].room == room)
			return &children[i];
	abort();
}

static void send_to(const struct child *child, const void *message, size_t size, int fd)
{
	if (link_send_fd(child->link, message, size, fd) == 0 || errno == EPIPE ||
	    errno == ECONNRESET)
		return; /* or it has ended, which reap will see */
	log_error("%s does not take messages (%s): killed, to be started again",
		  room_name(child->room), strerror(errno));
	kill(child->pid, SIGKILL);
}

void supervise_send(enum room room, const void *message, size_t size)
{
	const struct child *child = child_of(room);

	if (child->pid)
		send_to(child, message, size, -1);
}

static void send_peer(const struct child *child, enum room room, int fd)
{
	uint8_t message[MESSAGE_ROOM];
	size_t size = message_pack_peer(message, sizeof message,
					&(struct msg_peer){ .room = (uint8_t)room });

	send_to(child, message, size, fd);
}

/* Connects the new child with those of its peers that run. */
static void connect_peers(const struct child *child)
{
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		const struct child *a = child_of(pairs[i][0]), *b = child_of(pairs[i][1]);
		cleanup_close int fd_a = -1, fd_b = -1;
		int fds[2];

		if ((a != child && b != child) || !a->pid || !b->pid)
			continue;
		if (link_pair(fds) < 0) {
			log_error("socketpair: %s", strerror(errno));
			continue;
		}
		fd_a = fds[0];
		fd_b = fds[1];
		send_peer(a, b->room, fd_a);
		send_peer(b, a->room, fd_b);
	}
}

static int run_child(const struct supervise *supervise, const struct child *child, int link)
{
	char name[16];
	sigset_t none;

	for (size_t i = 0; i < ROOMS; i++)
		if (children[i].link >= 0)
			close(children[i].link);
	snprintf(name, sizeof name, "jitsud-%s", room_name(child->room));
	prctl(PR_SET_NAME, name);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* A terminal's Ctrl-C goes to all of us; the parent tells the rooms when to end. */
	signal(SIGINT, SIG_IGN);
	return supervise->room(child->room, link, supervise->arg);
}

static void spawn(const struct supervise *supervise, struct child *child)
{
	int fds[2];

	child->due = 0;
	child->up = false;
	child->started = now_ms();
	if (link_pair(fds) < 0) {
		log_error("socketpair: %s", strerror(errno));
		child->due = child->started + BACKOFF_MAX_MS;
		return;
	}
	child->pid = fork();
	if (child->pid == 0) {
		close(fds[0]);
		exit(run_child(supervise, child, fds[1]));
	}
	close(fds[1]);
	if (child->pid < 0) {
		log_error("fork: %s", strerror(errno));
		close(fds[0]);
		child->pid = 0;
		child->due = child->started + BACKOFF_MAX_MS;
		return;
	}
	child->link = fds[0];
	connect_peers(child);
}

static void describe_end(const struct child *child, int status)
{
	if (WIFSIGNALED(status))
		log_warning("%s was ended by signal %d (%s)", room_name(child->room),
			    WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		log_warning("%s ended with status %d", room_name(child->room), WEXITSTATUS(status));
}

/* Collects ended children. False when one ended that there is no use in starting again. */
static bool reap(bool quitting, bool was_up)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < ROOMS; i++) {
			struct child *child = &children[i];
			int64_t now = now_ms();

			if (child->pid != pid)
				continue;
			child->pid = 0;
			close(TAKE_FD(child->link));
			if (quitting)
				continue;
			if (!was_up && WIFEXITED(status) &&
			    WEXITSTATUS(status) == SUPERVISE_HOPELESS)
				return false; /* it has said why */
			describe_end(child, status);
			if (now - child->started >= HEALTHY_MS)
				child->backoff = 0;
			child->due = now + child->backoff;
			child->backoff = child->backoff ? child->backoff * 2 : BACKOFF_MIN_MS;
			if (child->backoff > BACKOFF_MAX_MS)
				child->backoff = BACKOFF_MAX_MS;
		}
	}
	return true;
}

static void on_up(void *arg, const struct msg_up *m)
{
	(void)m;
	((struct child *)arg)->up = true;
}

static void read_child(struct child *child)
{
	static const struct message_handlers handlers = { .up = on_up };
	uint8_t message[MESSAGE_ROOM];
	struct error err;
	ssize_t r;

	while ((r = recv(child->link, message, sizeof message, MSG_DONTWAIT)) > 0) {
		if (message_dispatch(message, (size_t)r, &handlers, child, &err) < 0) {
			log_error("%s: %s: killed", room_name(child->room), err.text);
			kill(child->pid, SIGKILL);
		}
	}
}

static bool all_gone(void)
{
	for (size_t i = 0; i < ROOMS; i++)
		if (children[i].pid)
			return false;
	return true;
}

static bool all_up(void)
{
	for (size_t i = 0; i < ROOMS; i++)
		if (!children[i].up)
			return false;
	return true;
}

static void quit_all(void)
{
	uint8_t message[MESSAGE_ROOM];
	size_t size = message_pack_quit(message, sizeof message, &(struct msg_quit){ 0 });

	for (size_t i = 0; i < ROOMS; i++)
		if (children[i].pid)
			link_send_fd(children[i].link, message, size, -1);
}

static int signal_descriptor(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* How long poll may sleep: to the next start that is due, or to the end of patience. */
static int next_due(int64_t quit_at)
{
	int64_t due = quit_at, now = now_ms();

	for (size_t i = 0; i < ROOMS; i++)
		if (!children[i].pid && !quit_at && (!due || children[i].due < due))
			due = children[i].due;
	if (!due)
		return -1;
	return due > now ? (int)(due - now) : 0;
}

int supervise_run(const struct supervise *supervise)
{
	cleanup_close int signals = signal_descriptor();
	int64_t quit_at = 0;
	bool was_up = false;
	int status = 0;

	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		struct pollfd polled[1 + ROOMS + 1] = {
			[0] = { .fd = signals, .events = POLLIN },
			[1 + ROOMS] = { .fd = supervise->watch_fd, .events = POLLIN },
		};
		struct signalfd_siginfo info;

		for (size_t i = 0; i < ROOMS; i++) {
			if (!quit_at && !children[i].pid && children[i].due <= now_ms())
				spawn(supervise, &children[i]);
			polled[1 + i] = (struct pollfd){ .fd = children[i].link, .events = POLLIN };
			if (children[i].up)
				polled[1 + i].fd = -1; /* it has nothing more to say */
		}
		if (poll(polled, ARRAY_SIZE(polled), next_due(quit_at)) < 0 && errno != EINTR)
			return 1;
		for (size_t i = 0; i < ROOMS; i++)
			if (children[i].link >= 0 && (polled[1 + i].revents & POLLIN))
				read_child(&children[i]);
		if (polled[1 + ROOMS].revents & POLLIN)
			supervise->changed(supervise->arg);
		if (!was_up && all_up()) {
			was_up = true;
			supervise->up(supervise->arg);
		}
		while (read(signals, &info, sizeof info) == sizeof info) {
			if (info.ssi_signo == SIGCHLD || info.ssi_signo == SIGHUP || quit_at)
				continue;
			log_info("ending: %s; guests go on", strsignal((int)info.ssi_signo));
			quit_at = now_ms() + QUIT_MS;
			quit_all();
		}
		if (!reap(quit_at != 0, was_up) && !quit_at) {
			status = 1;
			quit_at = now_ms() + QUIT_MS;
			quit_all();
		}
		if (quit_at && all_gone())
			return status;
		if (quit_at && now_ms() >= quit_at)
			for (size_t i = 0; i < ROOMS; i++)
				if (children[i].pid)
					kill(children[i].pid, SIGKILL);
	}
}
