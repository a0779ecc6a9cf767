#include "room.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/link.h"
#include "base/loop.h"
#include "base/sandbox.h"
#include "proto/usage.h"
#include "supervise.h"

#define DNS_NICE -10 /* a boot's work must not delay an answer */

struct running {
	const struct room_table *table;
	struct loop *loop;
	void *room;
	int peer_fd; /* came with the message that is being handled */
};

/* What the processes have in common and what they differ in. */
static const struct room_table {
	int nice;
	bool keeps_privilege;
	enum sandbox sandbox;
	void *(*open)(struct loop *loop, const struct room_resources *resources, struct error *err);
	void (*connect)(void *room, enum room peer, int fd);
	void (*close)(void *room);
	/* What the parent says of the host, NULL: not to this room. */
	int (*host)(void *room, const struct msg_host *m, struct error *err);
} rooms[];

static void close_all(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

static void close_sources(const struct engine_config *engine)
{
	for (size_t i = 0; i < engine->source_count; i++)
		close(engine->sources[i].fd);
}

static struct usage *map_usage(const struct room_resources *resources, struct error *err)
{
	struct usage *usage = usage_map(resources->usage_fd);

	if (!usage)
		error_errno(err, "mapping the usage memory");
	return usage;
}

static void *dns_open(struct loop *loop, const struct room_resources *resources, struct error *err)
{
	struct dns_config config = resources->dns;
	struct dns *dns;

	close(resources->engine.control_fd);
	close_sources(&resources->engine);
	close(resources->lock_fd);
	config.usage = map_usage(resources, err);
	if (!config.usage)
		return NULL;
	dns = dns_new(loop, &config, err);
	return dns;
}

static void dns_connect(void *room, enum room peer, int fd)
{
	if (peer == ROOM_ENGINE)
		dns_connect_engine(room, fd);
	else
		close(fd);
}

static int dns_host(void *room, const struct msg_host *m, struct error *err)
{
	return dns_take_host(room, m, err);
}

static void dns_close(void *room)
{
	dns_free(room);
}

static void *engine_open(struct loop *loop, const struct room_resources *resources,
			 struct error *err)
{
	struct engine_config config = resources->engine;

	close_all(resources->dns.udp_fds, resources->dns.udp_count);
	close_all(resources->dns.tcp_fds, resources->dns.tcp_count);
	config.usage = map_usage(resources, err);
	return config.usage ? engine_new(loop, &config, err) : NULL;
}

static void engine_connect(void *room, enum room peer, int fd)
{
	if (peer == ROOM_DNS)
		engine_connect_dns(room, fd);
	else if (peer == ROOM_TOOLSTACK)
		engine_connect_toolstack(room, fd);
	else
		close(fd);
}

static void engine_close(void *room)
{
	engine_free(room);
}

static void *toolstack_open(struct loop *loop, const struct room_resources *resources,
			    struct error *err)
{
	close_all(resources->dns.udp_fds, resources->dns.udp_count);
	close_all(resources->dns.tcp_fds, resources->dns.tcp_count);
	close(resources->engine.control_fd);
	close_sources(&resources->engine);
	close(resources->usage_fd);
	return toolstack_new(loop, &resources->toolstack, err);
}

static void toolstack_connect(void *room, enum room peer, int fd)
{
	if (peer == ROOM_ENGINE)
		toolstack_connect_engine(room, fd);
	else
		close(fd);
}

static void toolstack_close(void *room)
{
	toolstack_free(room);
}

static const struct room_table rooms[] = {
	[ROOM_DNS] = { DNS_NICE, false, SANDBOX_DNS, dns_open, dns_connect, dns_close, dns_host },
	[ROOM_ENGINE] = { 0, false, SANDBOX_ENGINE, engine_open, engine_connect, engine_close,
			  NULL },
	[ROOM_TOOLSTACK] = { 0, true, SANDBOX_NONE, toolstack_open, toolstack_connect,
			     toolstack_close, NULL },
};

static void on_peer(void *arg, const struct msg_peer *m)
{
	struct running *running = arg;

	running->table->connect(running->room, m->room, running->peer_fd);
	running->peer_fd = -1;
}

static void on_host(void *arg, const struct msg_host *m)
{
	struct running *running = arg;
	struct error err = { 0 };

	if (running->table->host && running->table->host(running->room, m, &err) == 0)
		return;
	log_error("from the parent: host: %s",
		  running->table->host ? err.text : "not for this room");
	loop_quit(running->loop);
}

static void on_quit(void *arg, const struct msg_quit *m)
{
	(void)m;
	loop_quit(((struct running *)arg)->loop);
}

static void on_message(void *arg, const uint8_t *data, size_t size, int fd)
{
	static const struct message_handlers handlers = { .peer = on_peer,
							  .host = on_host,
							  .quit = on_quit };
	struct running *running = arg;
	struct error err;

	running->peer_fd = fd;
	if (message_dispatch(data, size, &handlers, running, &err) < 0) {
		log_error("from the parent: %s", err.text);
		loop_quit(running->loop);
	}
	if (running->peer_fd >= 0)
		close(running->peer_fd);
}

static void on_closed(void *arg)
{
	log_warning("the parent is gone: ending");
	loop_quit(((struct running *)arg)->loop);
}

static void on_signal(void *arg, unsigned signal)
{
	(void)signal;
	loop_quit(arg);
}

int room_run(enum room room, int parent_fd, const struct room_resources *resources)
{
	static const struct link_callbacks callbacks = { on_message, on_closed };
	struct running running = { .table = &rooms[room], .peer_fd = -1 };
	struct link *parent;
	struct watch *term;
	struct error err = { 0 };

	log_open(room_name(room), resources->log_level);
	umask(0077); /* what a room writes is its own: the store, libxl's records */
	running.loop = loop_new(LOOP_CLOCK_REAL);
	if (!running.loop)
		return 1;
	parent = link_new(running.loop, parent_fd, &callbacks, &running);
	term = watch_new_signal(running.loop, SIGTERM, on_signal, running.loop);
	if (!parent || !term)
		return 1;
	if (running.table->nice)
		setpriority(PRIO_PROCESS, 0, running.table->nice); /* a wish: needs root */
	if (!running.table->keeps_privilege && privilege_drop(&resources->user, &err) < 0) {
		log_error("%s", err.text);
		return SUPERVISE_HOPELESS;
	}
	running.room = running.table->open(running.loop, resources, &err);
	if (!running.room ||
	    (resources->sandbox && sandbox_enter(running.table->sandbox, &err) < 0)) {
		log_error("%s", err.text);
		return SUPERVISE_HOPELESS;
	}
	message_send_up(parent, &(struct msg_up){ 0 });
	loop_run(running.loop);

	running.table->close(running.room);
	watch_free(term);
	link_free(parent);
	loop_free(running.loop);
	return 0;
}
