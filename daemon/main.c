/* Start order, supervision, nothing more. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "config.h"
#include "declared.h"
#include "host.h"
#include "notify.h"
#include "proto/spec.h"
#include "proto/usage.h"
#include "room.h"
#include "sockets.h"
#include "supervise.h"

#define LOCK_PATIENCE_S 35 /* a predecessor's toolstack may be finishing a build */
#define DESCRIPTORS	65536

struct daemon {
	struct config config;
	struct declared declared;
	struct room_resources resources;
	struct dns_settings settings;
	struct host host;
	char listen[256];
	int launcher; /* tells who started us in the background that we are up; -1: nobody waits */
};

static const struct {
	const char *name;
	enum log_level level;
} log_levels[] = {
	{ "error", LOG_LEVEL_ERROR },
	{ "warning", LOG_LEVEL_WARNING },
	{ "info", LOG_LEVEL_INFO },
	{ "debug", LOG_LEVEL_DEBUG },
};

static bool is_simulated(const struct config *config)
{
	return strcmp(config->backend, "sim") == 0;
}

/* The settings that are names. */
static int check_names(const struct config *config, struct room_resources *resources,
		       struct error *err)
{
	const char *const *backend = toolstack_backends();
	bool level = false;

	while (*backend && strcmp(*backend, config->backend) != 0)
		backend++;
	if (!*backend)
		return error_field(err, ERROR_INPUT, "--backend", config->backend,
				   "expected libxl or sim");
	if (strcmp(config->connect, "xen:///") != 0)
		return error_field(err, ERROR_INPUT, "--connect", config->connect,
				   "expected xen:///, the host itself");
	if (spec_stop_find(config->mode) == SPEC_STOP_UNSET)
		return error_field(err, ERROR_INPUT, "--mode", config->mode,
				   "expected destroy, shutdown, suspend or pause");
	for (size_t i = 0; i < ARRAY_SIZE(log_levels); i++) {
		if (strcmp(config->log_level, log_levels[i].name) != 0)
			continue;
		resources->log_level = log_levels[i].level;
		level = true;
	}
	if (!level)
		return error_field(err, ERROR_INPUT, "--log-level", config->log_level,
				   "expected error, warning, info or debug");
	return 0;
}

/* What is opened later, and had better be found wrong before. */
static int check_addresses(const struct config *config, struct error *err)
{
	struct privilege_user user;

	if (geteuid() == 0 && privilege_find(config->user, &user, err) < 0)
		return -1;
	return sockets_check(config, err) < 0 || host_check(config, err) < 0 ? -1 : 0;
}

static int read_dns_settings(struct daemon *daemon, struct error *err)
{
	const struct config *config = &daemon->config;
	const struct dns_texts texts = {
#define TEXTS(name) (const char *const *)config->name.v
		.zones = TEXTS(zones),
		.ns = TEXTS(ns),
		.bind = TEXTS(bind),
		.limits_exempt = TEXTS(limits_exempt),
		.cookie_secret = TEXTS(cookie_secret),
#undef TEXTS
		.zone_count = config->zones.n,
		.ns_count = config->ns.n,
		.bind_count = config->bind.n,
		.exempt_count = config->limits_exempt.n,
		.secret_count = config->cookie_secret.n,
		.mbox = config->mbox,
		.identity = config->identity,
		.ttl = config->ttl,
		.rate = config->rate_limit,
		.rate_slip = config->rate_slip,
		.wakes = config->wakes,
		.wakes_per_network = config->wakes_per_network,
		.tcp_connections = config->tcp_connections,
		.tcp_per_network = config->tcp_per_network,
		.cookies = config->cookies,
	};
	struct acl allowed = { 0 };

	daemon->resources.dns.forward_special = (const char *const *)config->forward_special.v;
	daemon->resources.dns.forward_special_count = config->forward_special.n;
	daemon->resources.dns.settings = &daemon->settings;
	if (acl_read(&allowed, (const char *const *)config->allow_recursion.v,
		     config->allow_recursion.n, "allow_recursion", err) < 0 ||
	    dns_check(&daemon->resources.dns, err) < 0) {
		acl_free(&allowed);
		return -1;
	}
	acl_free(&allowed); /* host.c reads it again whenever the host changes */
	return dns_settings_read(&daemon->settings, &texts, err);
}

/* Makes the folder that a path is in, if only that is missing. */
static int make_folder(const char *path, mode_t mode, const struct privilege_user *owner,
		       struct error *err)
{
	cleanup_free char *folder = strdup(path);
	char *slash = folder ? strrchr(folder, '/') : NULL;

	if (!slash || slash == folder)
		return 0;
	*slash = '\0';
	if (mkdir(folder, mode) < 0) {
		if (errno == EEXIST)
			return 0;
		return error_errno(err, "making %s", folder);
	}
	if (owner && chown(folder, owner->uid, owner->gid) < 0)
		return error_errno(err, "giving %s to its user", folder);
	return 0;
}

/* One jitsud for a control socket: also while a predecessor's process still finishes its work. */
static int take_lock(const char *control, struct error *err)
{
	char path[4096];
	cleanup_close int fd = -1;

	snprintf(path, sizeof path, "%s.lock", control);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, "%s", path);
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (i == LOCK_PATIENCE_S * 10)
			return error_set(err, ERROR_CONFLICT, "%s: another jitsud holds this lock",
					 path);
		if (i == 0)
			log_info("waiting for another jitsud, which holds %s, to end", path);
		usleep(100000);
	}
	return TAKE_FD(fd);
}

static int open_resources(struct daemon *daemon, struct error *err)
{
	const struct config *config = &daemon->config;
	struct room_resources *resources = &daemon->resources;
	bool root = geteuid() == 0, kept = strcmp(config->persistdb, ":memory:") != 0;
	int used = 0;

	if (root && privilege_find(config->user, &resources->user, err) < 0)
		return -1;
	if (make_folder(config->control, 0755, NULL, err) < 0)
		return error_wrap(err, "--control: \"%s\"", config->control);
	if (kept && make_folder(config->persistdb, 0750, root ? &resources->user : NULL, err) < 0)
		return error_wrap(err, "--persistdb: \"%s\"", config->persistdb);
	resources->lock_fd = take_lock(config->control, err);
	if (resources->lock_fd < 0 || sockets_open_dns(config, &resources->dns, err) < 0 ||
	    host_open(&daemon->host, config, &resources->dns, err) < 0)
		return -1;
	resources->engine.control_fd =
		sockets_open_control(config->control, root ? resources->user.gid : (gid_t)-1, err);
	if (resources->engine.control_fd < 0) {
		host_close(&daemon->host);
		return -1;
	}
	resources->usage_fd = usage_create();
	if (resources->usage_fd < 0) {
		host_close(&daemon->host);
		return error_errno(err, "making the usage memory");
	}

	for (size_t i = 0; i < config->bind.n && used < (int)sizeof daemon->listen; i++)
		used += snprintf(daemon->listen + used, sizeof daemon->listen - (size_t)used,
				 "%s%s port %lld", i ? ", " : "", config->bind.v[i],
				 (long long)config->listen);
	resources->engine.store = config->persistdb;
	resources->engine.services = (const char *const *)daemon->declared.v;
	resources->engine.service_count = daemon->declared.n;
	resources->engine.sources = daemon->declared.sources;
	resources->engine.source_count = daemon->declared.source_count;
	resources->engine.simulated = is_simulated(config);
	resources->engine.ptr = config->ptr;
	resources->engine.ttl = config->ttl;
	resources->engine.response_delay = config->response_delay;
	resources->engine.wait_limit = config->wait_limit;
	resources->engine.stop_mode = spec_stop_find(config->mode);
	resources->engine.reserve = (uint64_t)config->reserve * 1024;
	resources->engine.boots = (unsigned)config->boots;
	resources->engine.version = JITSU_VERSION;
	resources->engine.backend = config->backend;
	resources->engine.listen = daemon->listen;
	resources->sandbox = config->sandbox;
	resources->toolstack.backend = config->backend;
	resources->toolstack.boots = (unsigned)config->boots;
	resources->toolstack.suspend_dir = config->suspend_dir;
	resources->toolstack.synjitsu = config->synjitsu;
	resources->engine.synjitsu = config->synjitsu;
	return 0;
}

static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= DESCRIPTORS)
		return;
	if (geteuid() == 0 && limit.rlim_max < DESCRIPTORS)
		limit.rlim_max = DESCRIPTORS;
	limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Shows what the daemon logs until it says that it is up, or ends. Returns the exit status. */
static int watch_start(int told, int said)
{
	struct pollfd polled[] = { { .fd = told, .events = POLLIN },
				   { .fd = said, .events = POLLIN } };
	char buffer[4096];
	ssize_t r = 1;

	while (r > 0 && polled[0].revents == 0) {
		if (poll(polled, ARRAY_SIZE(polled), -1) < 0)
			return 1;
		if (polled[1].revents && (r = read(said, buffer, sizeof buffer)) > 0)
			r = write(STDERR_FILENO, buffer, (size_t)r);
	}
	return read(told, buffer, 1) == 1 ? 0 : 1;
}

/* Goes to the background; the launching process stays until all rooms are up. */
static int go_to_background(struct daemon *daemon, struct error *err)
{
	int told[2], said[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t pid;

	if (null < 0 || pipe2(told, O_CLOEXEC) < 0 || pipe2(said, O_CLOEXEC) < 0)
		return error_errno(err, "going to the background");
	pid = fork();
	if (pid < 0)
		return error_errno(err, "going to the background");
	if (pid > 0) {
		close(told[1]);
		close(said[1]);
		exit(watch_start(told[0], said[0]));
	}
	close(told[0]);
	close(said[0]);
	setsid();
	if (chdir("/") < 0)
		return error_errno(err, "/");
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(said[1], STDERR_FILENO);
	close(said[1]);
	close(null);
	log_to_syslog();
	daemon->launcher = told[1];
	return 0;
}

static int run_room(enum room room, int parent_fd, void *arg)
{
	struct daemon *daemon = arg;

	if (daemon->launcher >= 0)
		close(daemon->launcher);
	host_close_watches(&daemon->host);
	return room_run(room, parent_fd, &daemon->resources);
}

static void on_up(void *arg)
{
	struct daemon *daemon = arg;

	log_info("jitsud " JITSU_VERSION " serves on %s, backend %s", daemon->listen,
		 daemon->config.backend);
	if (daemon->launcher >= 0) {
		if (write(daemon->launcher, "u", 1) == 1)
			close(TAKE_FD(daemon->launcher));
	}
	notify_manager("READY=1");
}

static void on_host_changed(void *arg)
{
	struct daemon *daemon = arg;

	/* A room that is not there, or is started later, gets it as it is then. */
	if (host_changed(&daemon->host))
		supervise_send(ROOM_DNS, daemon->host.message, daemon->host.message_size);
}

/* What was asked for, but for serving. */
static int print(const struct config *config)
{
	if (config->help)
		config_usage(stdout);
	else
		printf("jitsud " JITSU_VERSION "\n");
	if (fflush(stdout) == 0)
		return 0;
	fprintf(stderr, "jitsud: standard output: %s\n", strerror(errno));
	return 1;
}

static int check(struct daemon *daemon, struct error *err)
{
	const struct config *config = &daemon->config;
	bool simulated = is_simulated(config);

	if (check_names(config, &daemon->resources, err) < 0 || check_addresses(config, err) < 0 ||
	    read_dns_settings(daemon, err) < 0 || declared_read(&daemon->declared, config, err) < 0)
		return -1;
	return config->check ? declared_check(&daemon->declared, simulated, err)
			     : declared_check_arguments(&daemon->declared, simulated, err);
}

static int serve(struct daemon *daemon)
{
	struct supervise supervise = {
		.room = run_room, .up = on_up, .changed = on_host_changed, .arg = daemon
	};
	struct error err = { 0 };
	int status;

	signal(SIGPIPE, SIG_IGN);
	log_open("jitsud", daemon->resources.log_level);
	raise_descriptors();
	if ((!daemon->config.foreground && go_to_background(daemon, &err) < 0) ||
	    open_resources(daemon, &err) < 0) {
		log_error("%s", err.text);
		return 1;
	}
	supervise.watch_fd = daemon->host.watch_fd;
	status = supervise_run(&supervise);
	host_close(&daemon->host);
	unlink(daemon->config.control);
	return status;
}

int main(int argc, char **argv)
{
	struct daemon daemon = { .launcher = -1 };
	struct error err = { 0 };
	int status;

	if (config_read(&daemon.config, argc, argv, &err) < 0) {
		fprintf(stderr, "jitsud: %s\n", err.text);
		return 2;
	}
	if (daemon.config.help || daemon.config.version) {
		status = print(&daemon.config);
	} else if (check(&daemon, &err) < 0) {
		fprintf(stderr, "jitsud: %s\n", err.text);
		status = 2;
	} else {
		status = daemon.config.check ? 0 : serve(&daemon);
	}
	declared_free(&daemon.declared);
	dns_settings_free(&daemon.settings);
	config_free(&daemon.config);
	return status;
}
