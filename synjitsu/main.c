#include <cap-ng.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/netlink.h"
#include "base/sandbox.h"
#include "core.h"
#include "door.h"
#include "port.h"

#define PORTS_MAX     32
#define COUNTERS_USEC (10 * USEC_PER_SEC)

enum kind { TEXTS, TEXT, NUMBER, FLAG };

struct texts {
	const char *items[PORTS_MAX];
	unsigned count;
};

#define MEMBER_TEXTS(m)	 struct texts m;
#define MEMBER_TEXT(m)	 const char *m;
#define MEMBER_NUMBER(m) unsigned m;
#define MEMBER_FLAG(m)	 unsigned m;
struct options {
#define OPTION(member, letter, name, kind, initial, value, help) MEMBER_##kind(member)
#include "options.tbl.h"
#undef OPTION
};

static const struct {
	int letter;
	const char *name;
	enum kind kind;
	const char *initial, *value, *help;
	size_t offset;
} table[] = {
#define OPTION(member, letter, name, kind, initial, value, help)                                   \
	{ letter, name, kind, initial, value, help, offsetof(struct options, member) },
#include "options.tbl.h"
#undef OPTION
};

static void print_help(void)
{
	printf("Usage: synjitsu -i INTERFACE [OPTION...]\n"
	       "Holds the addresses of guests that jitsud is starting, and what comes for "
	       "them.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		char left[40];

		snprintf(left, sizeof left, "-%c, --%s%s%s", table[i].letter, table[i].name,
			 table[i].value ? "=" : "", table[i].value ? table[i].value : "");
		printf("  %-26s %s", left, table[i].help);
		if (table[i].initial && table[i].kind != FLAG)
			printf(" (%s)", table[i].initial);
		putchar('\n');
	}
	printf("  %-26s this text\n  %-26s its version\n", "-h, --help", "-V, --version");
}

static int set(struct options *options, size_t i, const char *value)
{
	void *member = (char *)options + table[i].offset;
	struct texts *texts = member;
	unsigned long number;
	char *end;

	switch (table[i].kind) {
	case TEXTS:
		for (unsigned other = 0; other < texts->count; other++) {
			if (strcmp(texts->items[other], value) != 0)
				continue;
			fprintf(stderr, "synjitsu: %s: \"%s\": expected each only once\n",
				table[i].name, value);
			return -1;
		}
		if (texts->count == PORTS_MAX) {
			fprintf(stderr, "synjitsu: %s: expected at most %d\n", table[i].name,
				PORTS_MAX);
			return -1;
		}
		texts->items[texts->count++] = value;
		return 0;
	case TEXT:
		*(const char **)member = value;
		return 0;
	case FLAG:
		*(unsigned *)member = 1;
		return 0;
	case NUMBER:
		errno = 0;
		number = strtoul(value, &end, 10);
		if (errno || end == value || *end || *value == '-' || number > 1000000) {
			fprintf(stderr,
				"synjitsu: %s: \"%s\": expected a number from 0 to 1000000\n",
				table[i].name, value);
			return -1;
		}
		*(unsigned *)member = (unsigned)number;
		return 0;
	}
	return -1;
}

/* 0 to go on, otherwise the exit status + 1. */
static int read_options(struct options *options, int argc, char **argv)
{
	struct option longs[ARRAY_SIZE(table) + 3] = { { "help", no_argument, NULL, 'h' },
						       { "version", no_argument, NULL, 'V' } };
	char letters[2 * ARRAY_SIZE(table) + 3] = "hV", *p = letters + 2;
	int c;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		int argument = table[i].kind != FLAG;

		longs[i + 2] = (struct option){ table[i].name, argument, NULL, table[i].letter };
		*p++ = (char)table[i].letter;
		if (argument)
			*p++ = ':';
		if (table[i].initial && table[i].kind != FLAG)
			set(options, i, table[i].initial);
	}
	*p = 0;
	while ((c = getopt_long(argc, argv, letters, longs, NULL)) >= 0) {
		size_t i = 0;

		if (c == 'h' || c == 'V') {
			if (c == 'h')
				print_help();
			else
				printf("synjitsu %s\n", JITSU_VERSION);
			if (fflush(stdout) == 0)
				return 1;
			fprintf(stderr, "synjitsu: standard output: %s\n", strerror(errno));
			return 2;
		}
		while (i < ARRAY_SIZE(table) && table[i].letter != c)
			i++;
		if (i == ARRAY_SIZE(table) || set(options, i, optarg) < 0)
			return 3;
	}
	if (optind < argc)
		fprintf(stderr, "synjitsu: \"%s\": expected options only\n", argv[optind]);
	else if (options->interfaces.count == 0)
		fprintf(stderr, "synjitsu: interface: missing; expected a bridge, such as "
				"--interface=xenbr0\n");
	else
		return 0;
	return 3;
}

struct synjitsu {
	struct loop *loop;
	struct netlink *netlink;
	struct port *ports[PORTS_MAX];
	unsigned port_count;
	struct core *core;
	struct door *door;
	struct timer *counters;
	struct synjitsu_counters last;
};

/* --- core_io ------------------------------------------------------------------------------- */

static struct port *find_port(void *arg, const char *bridge)
{
	struct synjitsu *s = arg;

	for (unsigned i = 0; i < s->port_count; i++)
		if (!*bridge || strcmp(port_name(s->ports[i]), bridge) == 0)
			return s->ports[i];
	/* In a driver domain jitsud's bridges have other names: its one interface leads there. */
	return s->port_count == 1 && !port_is_bridge(s->ports[0]) ? s->ports[0] : NULL;
}

static const uint8_t *io_port_mac(void *arg, struct port *port)
{
	(void)arg;
	return port_mac(port);
}

static bool io_port_address(void *arg, struct port *port, const struct address *peer,
			    struct address *out, uint8_t mac[FRAME_MAC])
{
	(void)arg;
	return port_address(port, peer, out, mac);
}

static void io_transmit(void *arg, struct port *port, const uint8_t *frame, size_t size)
{
	(void)arg;
	port_transmit(port, frame, size);
}

static void say_relay(struct synjitsu *s, const struct claim *claim, enum synjitsu_relay_how how)
{
	struct synjitsu_relay m = { .id = claim->id, .how = (uint8_t)how };
	uint8_t message[SYNJITSU_MAX];

	door_send(s->door, message, synjitsu_pack_relay(message, sizeof message, &m));
}

static void io_steer(void *arg, struct claim *claim, enum core_steer steer)
{
	if (!claim->port)
		return;
	if (claim->vif && vif_is_stand_in(claim->vif)) {
		if (steer != CORE_STEER_FREE)
			say_relay(arg, claim,
				  steer == CORE_STEER_HERE ? SYNJITSU_RELAY_HERE
							   : SYNJITSU_RELAY_GUEST);
		return;
	}
	switch (steer) {
	case CORE_STEER_HERE:
		port_steer_here(claim->port, claim->mac);
		break;
	case CORE_STEER_GUEST:
		port_steer_to(claim->port, claim->vif, claim->mac);
		break;
	case CORE_STEER_FREE:
		port_steer_free(claim->port, claim->mac);
		break;
	}
}

static void on_heard(void *arg, struct claim *claim, const uint8_t *frame, size_t size)
{
	struct synjitsu *s = arg;

	core_heard(s->core, claim, frame, size);
}

static struct vif *io_open_vif(void *arg, struct claim *claim, const char *name)
{
	struct synjitsu *s = arg;
	struct error err;
	struct vif *vif;

	if (!claim->port)
		return NULL;
	if (!port_is_bridge(claim->port)) {
		say_relay(s, claim, SYNJITSU_RELAY_HERE);
		return vif_stand_in(claim);
	}
	vif = vif_open(s->loop, s->netlink, claim, name, on_heard, s, &err);
	if (!vif)
		log_warning("%s: %s", claim->service, err.text);
	return vif;
}

static void io_close_vif(void *arg, struct vif *vif)
{
	if (vif_is_stand_in(vif))
		say_relay(arg, vif_claim(vif), SYNJITSU_RELAY_OFF);
	vif_close(vif);
}

static void io_inject(void *arg, struct claim *claim, const uint8_t *frame, size_t size)
{
	struct synjitsu *s = arg;
	struct synjitsu_inject m = { .id = claim->id, .frame = { frame, (uint32_t)size } };
	uint8_t message[SYNJITSU_MAX];

	if (!vif_is_stand_in(claim->vif))
		vif_transmit(claim->vif, frame, size);
	else
		door_send(s->door, message, synjitsu_pack_inject(message, sizeof message, &m));
}

static void io_knock(void *arg, const struct synjitsu_knock *knock)
{
	struct synjitsu *s = arg;
	uint8_t message[SYNJITSU_MAX];

	door_send(s->door, message, synjitsu_pack_knock(message, sizeof message, knock));
}

static const struct core_io io = {
	.find_port = find_port,
	.port_mac = io_port_mac,
	.port_address = io_port_address,
	.transmit = io_transmit,
	.steer = io_steer,
	.open_vif = io_open_vif,
	.close_vif = io_close_vif,
	.inject = io_inject,
	.knock = io_knock,
};

/* --- start and end ------------------------------------------------------------------------- */

static void on_received(void *arg, struct port *port, const uint8_t *frame, size_t size)
{
	struct synjitsu *s = arg;

	core_received(s->core, port, frame, size);
}

static void on_closed(void *arg)
{
	core_alone(arg);
}

static void on_counters(void *arg)
{
	struct synjitsu *s = arg;
	struct synjitsu_counters now;
	uint8_t message[SYNJITSU_MAX];

	core_counters(s->core, &now);
	if (memcmp(&now, &s->last, sizeof now) != 0)
		door_send(s->door, message, synjitsu_pack_counters(message, sizeof message, &now));
	s->last = now;
	timer_set(s->counters, COUNTERS_USEC);
}

static void on_signal(void *arg, unsigned signal)
{
	struct synjitsu *s = arg;

	(void)signal;
	loop_quit(s->loop);
}

/* What is left: interfaces of guests to come are opened, and bridges told. Root's name stays, for
 * the vchan's devices, but not root's powers. */
static int confine(struct error *err)
{
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_ADMIN, CAP_NET_RAW,
			  -1) < 0 ||
	    (geteuid() == 0 && capng_apply(CAPNG_SELECT_BOTH) < 0) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_errno(err, "cannot drop privileges");
	return sandbox_enter(SANDBOX_SYNJITSU, err);
}

static int start(struct synjitsu *s, const struct options *options, struct error *err)
{
	struct door_callbacks callbacks = { .handlers = core_handlers(), .closed = on_closed };
	struct core_config config = { .udp = options->udp,
				      .wakes = options->wakes,
				      .wakes_each = options->wakes_each };

	s->loop = loop_new(LOOP_CLOCK_REAL);
	if (!s->loop || !(s->core = core_new(s->loop, &config, &io, s)) ||
	    !(s->counters = timer_new(s->loop, on_counters, s)))
		return error_errno(err, "no event loop");
	s->netlink = netlink_open(err);
	if (!s->netlink)
		return -1;
	for (; s->port_count < options->interfaces.count; s->port_count++) {
		s->ports[s->port_count] = port_open(s->loop, s->netlink,
						    options->interfaces.items[s->port_count],
						    on_received, s, err);
		if (!s->ports[s->port_count])
			return -1;
	}
	s->door = options->unix_path
			  ? door_open_unix(s->loop, options->unix_path, &callbacks, s->core, err)
			  : door_open_vchan(s->loop, options->client, &callbacks, s->core, err);
	if (!s->door || confine(err) < 0)
		return -1;
	timer_set(s->counters, COUNTERS_USEC);
	return 0;
}

static void stop(struct synjitsu *s)
{
	core_free(s->core);
	door_close(s->door);
	while (s->port_count)
		port_close(s->ports[--s->port_count]);
	netlink_close(s->netlink);
	timer_free(s->counters);
	loop_free(s->loop);
}

int main(int argc, char **argv)
{
	static const char *const levels[] = { "error", "warning", "info", "debug" };
	struct options options = { 0 };
	struct synjitsu s = { 0 };
	struct watch *term, *interrupt;
	struct error err;
	unsigned level = 0;
	int r = read_options(&options, argc, argv);

	if (r)
		return r - 1;
	while (level < ARRAY_SIZE(levels) && strcmp(levels[level], options.log_level) != 0)
		level++;
	if (level == ARRAY_SIZE(levels)) {
		fprintf(stderr,
			"synjitsu: log-level: \"%s\": expected error, warning, info or debug\n",
			options.log_level);
		return 2;
	}
	log_open("synjitsu", (enum log_level)level);
	signal(SIGPIPE, SIG_IGN);
	if (start(&s, &options, &err) < 0) {
		fprintf(stderr, "synjitsu: %s\n", err.text);
		return 1;
	}
	term = watch_new_signal(s.loop, SIGTERM, on_signal, &s);
	interrupt = watch_new_signal(s.loop, SIGINT, on_signal, &s);
	log_info("holding addresses on %u interface%s", s.port_count, s.port_count > 1 ? "s" : "");
	loop_run(s.loop);
	watch_free(term);
	watch_free(interrupt);
	stop(&s);
	return 0;
}
