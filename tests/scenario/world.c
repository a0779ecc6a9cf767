#include "world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"
#include "dns/dns.h"
#include "engine/engine.h"
#include "joint.h"
#include "proto/message.h"
#include "proto/usage.h"
#include "seen.h"
#include "toolstack/toolstack.h"

#define BACKLOG	      512
#define SETTLE_ROUNDS 3

const char *const world_room_names[WORLD_ROOMS] = { "dns", "engine", "toolstack" };
const char *const world_way_names[WORLD_WAYS] = { "engine->dns", "dns->engine", "engine->toolstack",
						  "toolstack->engine" };

struct world {
	struct world_config config;
	struct loop *loop;
	struct dns *dns;
	struct engine *engine;
	struct toolstack *toolstack;
	struct joint joints[2]; /* engine and dns, engine and toolstack; end 0 is the engine's */

	char store[96];
	struct sockaddr_un control;
	struct sockaddr_in udp, tcp, upstream;
	struct acl allowed;
	int udp_fd, tcp_fd, control_fd, upstream_fd, marker_fd;
	struct watch *upstream_watch;
	bool upstream_silent;
	unsigned upstream_queries;
	struct usage *usage;
	struct engine_source source;

	struct seen seen;
};

void world_die(const char *what)
{
	fprintf(stderr, "scenario: %s: %s\n", what, strerror(errno));
	exit(99);
}

/* --- what is seen of the messages ------------------------------------------------------------ */

static void on_seen(void *arg, const char *way, const uint8_t *data, size_t size)
{
	struct world *world = arg;

	seen_message(&world->seen, loop_now(world->loop) - USEC_PER_SEC, way, data, size);
}

const char *world_trace(struct world *world)
{
	return seen_trace(&world->seen);
}

unsigned world_boots(const struct world *world, const char *service)
{
	return seen_boots(&world->seen, service);
}

unsigned world_domains(const struct world *world)
{
	return (unsigned)world->seen.domains.n;
}

const char *world_broken(const struct world *world)
{
	return world->seen.broken[0] ? world->seen.broken : NULL;
}

static struct way *way_of(const struct world *world, enum world_way way)
{
	return (struct way *)&world->joints[way / 2].ways[way % 2];
}

int world_messages(const struct world *world, enum world_way way, const char *name)
{
	for (unsigned type = 1; type < MESSAGE_TYPES; type++)
		if (strcmp(message_name(type), name) == 0)
			return (int)way_of(world, way)->seen[type];
	return -1;
}

/* --- sockets --------------------------------------------------------------------------------- */

static int bind_inet(int type, struct sockaddr_in *address)
{
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), size = 1 << 20;
	socklen_t length = sizeof *address;

	*address = (struct sockaddr_in){ .sin_family = AF_INET,
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (fd < 0 || bind(fd, (struct sockaddr *)address, sizeof *address) < 0 ||
	    getsockname(fd, (struct sockaddr *)address, &length) < 0)
		world_die("binding a socket on loopback");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	if (type == SOCK_STREAM && listen(fd, BACKLOG) < 0)
		world_die("listen");
	return fd;
}

static int bind_control(struct world *world)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	world->control.sun_family = AF_UNIX;
	snprintf(world->control.sun_path, sizeof world->control.sun_path, "%s/control",
		 world->config.folder);
	if (fd < 0 || bind(fd, (struct sockaddr *)&world->control, sizeof world->control) < 0 ||
	    listen(fd, BACKLOG) < 0)
		world_die("binding the control socket");
	return fd;
}

static int copy_fd(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy < 0)
		world_die("dup");
	return copy;
}

/* The upstream: 192.0.2.53 for everything that is asked. */
static void on_upstream(void *arg, unsigned events)
{
	static const uint8_t record[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 192, 0, 2, 53 };
	struct world *world = arg;
	struct sockaddr_in from;
	socklen_t length = sizeof from;
	uint8_t packet[1024];
	size_t end = 12;
	ssize_t r = recvfrom(world->upstream_fd, packet, sizeof packet - sizeof record, 0,
			     (struct sockaddr *)&from, &length);

	(void)events;
	if (r < 17)
		return;
	world->upstream_queries++;
	if (world->upstream_silent)
		return;
	while (end < (size_t)r && packet[end])
		end += packet[end] + 1u;
	end += 5;
	if (end > (size_t)r)
		return;
	packet[2] |= 0x80;
	packet[3] = 0x80;
	packet[7] = 1;
	packet[9] = packet[11] = 0;
	memcpy(packet + end, record, sizeof record);
	sendto(world->upstream_fd, packet, end + sizeof record, 0, (struct sockaddr *)&from,
	       length);
}

void world_upstream(struct world *world, bool answers)
{
	world->upstream_silent = !answers;
}

unsigned world_upstream_queries(const struct world *world)
{
	return world->upstream_queries;
}

const struct sockaddr_in *world_dns_udp(const struct world *world)
{
	return &world->udp;
}

const struct sockaddr_in *world_dns_tcp(const struct world *world)
{
	return &world->tcp;
}

const struct sockaddr_un *world_control(const struct world *world)
{
	return &world->control;
}

/* --- time ------------------------------------------------------------------------------------ */

/* Loopback may deliver a little later when the machine is busy. This process stays on one CPU,
 * whose packets are delivered in order: when the marker is here, all before it is. */
static void wait_for_loopback(struct world *world)
{
	struct pollfd poll_fd = { .fd = world->marker_fd, .events = POLLIN };
	char byte = 0;

	if (send(world->marker_fd, &byte, 1, 0) != 1 || poll(&poll_fd, 1, 5000) != 1 ||
	    recv(world->marker_fd, &byte, 1, 0) != 1)
		world_die("loopback does not deliver");
}

static int open_marker(void)
{
	struct sockaddr_in address;
	int fd = bind_inet(SOCK_DGRAM, &address);

	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		world_die("connect");
	return fd;
}

static void stay_on_this_cpu(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
}

void world_settle(struct world *world)
{
	for (int i = 0; i < SETTLE_ROUNDS; i++) {
		wait_for_loopback(world);
		loop_advance(world->loop, 0);
	}
	wait_for_loopback(world);
}

void world_advance(struct world *world, uint64_t usec)
{
	world_settle(world);
	loop_advance(world->loop, usec);
	world_settle(world);
}

void world_hold(struct world *world, enum world_way way)
{
	way_hold(way_of(world, way));
}

bool world_release(struct world *world, enum world_way way, size_t n)
{
	return way_release(way_of(world, way), n);
}

/* --- rooms ----------------------------------------------------------------------------------- */

static void new_dns(struct world *world)
{
	struct dns_config config = {
		.udp_count = 1,
		.tcp_count = 1,
		.forwarder_count = world->config.forward,
		.usage = world->usage,
	};
	struct error err;

	config.udp_fds[0] = copy_fd(world->udp_fd);
	config.tcp_fds[0] = copy_fd(world->tcp_fd);
	memcpy(&config.forwarders[0], &world->upstream, sizeof world->upstream);
	if (!world->allowed.v4_count)
		acl_read(&world->allowed, (const char *const[]){ "any" }, 1, "world", &err);
	config.allow_recursion = world->allowed;
	world->dns = dns_new(world->loop, &config, &err);
	if (!world->dns)
		world_die("dns_new");
}

/* As jitsud hands over a large file. */
static void write_services(struct world *world)
{
	int fd = memfd_create("services", MFD_CLOEXEC);
	cleanup_file FILE *file = fd < 0 ? NULL : fdopen(copy_fd(fd), "w");
	unsigned n = world->config.filed;

	if (!file)
		world_die("a file of services");
	for (unsigned i = 0; i < n; i++)
		fprintf(file,
			"%s{\"name\":\"s%u\",\"dns\":\"s%u.example.org\",\"ip\":\"10.1.%u.%u\","
			"\"nic\":\"br0\",\"ttl\":%u}",
			i ? ",\n" : "[", i, i, i / 250, i % 250 + 1, i < n / 2 ? 60 : 30);
	fputs("]", file);
	world->source = (struct engine_source){ .fd = fd, .path = "services.json" };
}

static void new_engine(struct world *world)
{
	struct engine_config config = {
		.store = world->store,
		.control_fd = copy_fd(world->control_fd),
		.services = world->config.services,
		.service_count = world->config.service_count,
		.sources = &world->source,
		.source_count = world->config.filed > 0,
		.usage = world->usage,
		.simulated = true,
		.ttl = world->config.ttl,
		.response_delay = world->config.response_delay,
		.wait_limit = world->config.wait_limit,
		.boots = world->config.boots,
		.version = "scenario",
		.backend = "sim",
		.listen = "loopback",
	};
	struct error err;

	world->engine = engine_new(world->loop, &config, &err);
	if (!world->engine) {
		fprintf(stderr, "scenario: engine_new: %s\n", err.text);
		exit(99);
	}
}

static void new_toolstack(struct world *world)
{
	struct toolstack_config config = { .backend = "sim", .boots = world->config.boots };
	struct error err;

	world->toolstack = toolstack_new(world->loop, &config, &err);
	if (!world->toolstack) {
		fprintf(stderr, "scenario: toolstack_new: %s\n", err.text);
		exit(99);
	}
}

static void connect_dns(struct world *world)
{
	int fds[2];

	if (!world->engine || !world->dns)
		return;
	joint_connect(&world->joints[0], fds);
	engine_connect_dns(world->engine, fds[0]);
	dns_connect_engine(world->dns, fds[1]);
}

static void connect_toolstack(struct world *world)
{
	int fds[2];

	if (!world->engine || !world->toolstack)
		return;
	joint_connect(&world->joints[1], fds);
	engine_connect_toolstack(world->engine, fds[0]);
	toolstack_connect_engine(world->toolstack, fds[1]);
}

void world_down(struct world *world, enum world_room room)
{
	switch (room) {
	case WORLD_DNS:
		dns_free(TAKE(world->dns));
		break;
	case WORLD_ENGINE:
		engine_free(TAKE(world->engine));
		break;
	default:
		toolstack_free(TAKE(world->toolstack));
		seen_no_domains(&world->seen); /* sim's domains live in it */
	}
}

void world_up(struct world *world, enum world_room room)
{
	switch (room) {
	case WORLD_DNS:
		new_dns(world);
		connect_dns(world);
		break;
	case WORLD_ENGINE:
		new_engine(world);
		connect_dns(world);
		connect_toolstack(world);
		break;
	default:
		new_toolstack(world);
		connect_toolstack(world);
	}
}

bool world_is_up(const struct world *world, enum world_room room)
{
	const void *const rooms[WORLD_ROOMS] = { world->dns, world->engine, world->toolstack };

	return rooms[room];
}

struct world *world_new(const struct world_config *config)
{
	struct world *world = calloc(1, sizeof *world);
	cleanup_close int usage_fd = usage_create();

	if (!world || usage_fd < 0)
		world_die("making a world");
	stay_on_this_cpu();
	world->config = *config;
	world->loop = loop_new(LOOP_CLOCK_FAKE);
	world->usage = usage_map(usage_fd);
	if (!world->loop || !world->usage)
		world_die("making a world");
	snprintf(world->store, sizeof world->store, "%s/store", config->folder);
	world->udp_fd = bind_inet(SOCK_DGRAM, &world->udp);
	world->tcp_fd = bind_inet(SOCK_STREAM, &world->tcp);
	world->upstream_fd = bind_inet(SOCK_DGRAM, &world->upstream);
	world->marker_fd = open_marker();
	world->control_fd = bind_control(world);
	world->upstream_watch =
		watch_new(world->loop, world->upstream_fd, WATCH_READ, on_upstream, world);
	if (!world->upstream_watch)
		world_die("watch_new");
	for (int i = 0; i < 2; i++)
		joint_init(&world->joints[i], world->loop, &world_way_names[2 * i], on_seen, world);

	if (world->config.filed)
		write_services(world);
	new_dns(world);
	new_toolstack(world);
	new_engine(world);
	connect_dns(world);
	connect_toolstack(world);
	if (world->config.filed)
		world_hold(world, WAY_TOOLSTACK_ENGINE);
	world_settle(world);
	return world;
}

void world_free(struct world *world)
{
	if (!world)
		return;
	for (int room = 0; room < WORLD_ROOMS; room++)
		if (world_is_up(world, room))
			world_down(world, room);
	for (int i = 0; i < 2; i++)
		joint_clear(&world->joints[i]);
	watch_free(world->upstream_watch);
	loop_free(world->loop);
	munmap(world->usage, USAGE_SLOTS * sizeof *world->usage);
	if (world->config.filed)
		close(world->source.fd);
	close(world->udp_fd);
	close(world->tcp_fd);
	close(world->upstream_fd);
	close(world->marker_fd);
	close(world->control_fd);
	seen_clear(&world->seen);
	acl_free(&world->allowed);
	free(world);
}
