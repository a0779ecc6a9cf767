/*
 * A small world in one process: the three rooms on one loop with the fake clock, connected as the
 * parent connects them, with backend sim, a store in a file, and real DNS and control sockets.
 *
 * Each of the four ways between the rooms runs through a joint, which counts and traces the
 * messages and can hold them back, so that a script can put any two events in either order.
 */
#ifndef JITSU_TESTS_WORLD_H
#define JITSU_TESTS_WORLD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#define WORLD_SERVICES_MAX 64

struct world;

struct world_config {
	const char *folder; /* for the store and the control socket */
	int64_t ttl, response_delay, wait_limit;
	unsigned boots;
	const char *services[WORLD_SERVICES_MAX];
	size_t service_count;
	/* So many more in a large file, s0 and so on, the second half of another kind; what the
	 * toolstack says is held from the start. */
	unsigned filed;
	bool forward; /* to an upstream that is in the world as well */
};

enum world_room { WORLD_DNS, WORLD_ENGINE, WORLD_TOOLSTACK, WORLD_ROOMS };
enum world_way {
	WAY_ENGINE_DNS,
	WAY_DNS_ENGINE,
	WAY_ENGINE_TOOLSTACK,
	WAY_TOOLSTACK_ENGINE,
	WORLD_WAYS
};

extern const char *const world_room_names[WORLD_ROOMS];
extern const char *const world_way_names[WORLD_WAYS];

/* The texts in config must outlive the world. Does not return on failure: nothing is to be tested
 * then. */
struct world *world_new(const struct world_config *config);
void world_free(struct world *world);

/* Handles all that can be handled while time stands still. */
void world_settle(struct world *world);
void world_advance(struct world *world, uint64_t usec);

/* A room goes as if it had died, and comes (and is connected) as if the parent had started it.
 * Nothing is settled in between. */
void world_down(struct world *world, enum world_room room);
void world_up(struct world *world, enum world_room room);
bool world_is_up(const struct world *world, enum world_room room);

/* Messages that are sent this way wait until they are released. */
void world_hold(struct world *world, enum world_way way);
/* Lets the first n go (0: all, and those to come). False if there were not so many. */
bool world_release(struct world *world, enum world_way way, size_t n);

/* Whether the upstream answers. */
void world_upstream(struct world *world, bool answers);
unsigned world_upstream_queries(const struct world *world);

/* What was seen: how often a service was started, how many domains there are, and how many
 * messages of a type were sent that way (name as in message.tbl.h, -1 if there is no such). */
unsigned world_boots(const struct world *world, const char *service);
unsigned world_domains(const struct world *world);
int world_messages(const struct world *world, enum world_way way, const char *name);

/* What must never be, and was: a service with two domains. NULL: all is well. */
const char *world_broken(const struct world *world);

/* The last messages, one a line. */
const char *world_trace(struct world *world);

const struct sockaddr_in *world_dns_udp(const struct world *world);
const struct sockaddr_in *world_dns_tcp(const struct world *world);
const struct sockaddr_un *world_control(const struct world *world);

/* Stops the whole run, saying where and errno's text. */
void world_die(const char *what) __attribute__((noreturn));

#endif
