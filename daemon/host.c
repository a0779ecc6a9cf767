#include "host.h"

#include <errno.h>
#include <ifaddrs.h>
#include <libgen.h>
#include <limits.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "proto/message.h"
#include "sockets.h"

#define NOWHERE "0.0.0.0"

struct upstream_list {
	struct sockaddr_storage v[DNS_ENDPOINTS_MAX];
	size_t n;
};

static const void *bytes_of(const struct sockaddr_storage *address, size_t *size)
{
	if (address->ss_family == AF_INET6) {
		*size = sizeof(struct in6_addr);
		return &((const struct sockaddr_in6 *)address)->sin6_addr;
	}
	*size = sizeof(struct in_addr);
	return &((const struct sockaddr_in *)address)->sin_addr;
}

static bool same_bytes(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	size_t size_a, size_b;
	const void *bytes_a = bytes_of(a, &size_a), *bytes_b = bytes_of(b, &size_b);

	return size_a == size_b && memcmp(bytes_a, bytes_b, size_a) == 0;
}

static bool is_any(const struct sockaddr_storage *address)
{
	static const uint8_t zero[16];
	size_t size;
	const void *bytes = bytes_of(address, &size);

	return memcmp(bytes, zero, size) == 0;
}

/* An address of this host. */
static bool is_local(const struct sockaddr_storage *address)
{
	struct ifaddrs *all;
	bool found = address->ss_family == AF_INET &&
		     ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;

	if (getifaddrs(&all) < 0)
		return found;
	for (const struct ifaddrs *one = all; one && !found; one = one->ifa_next) {
		struct sockaddr_storage own = { 0 };

		if (!one->ifa_addr || one->ifa_addr->sa_family != address->ss_family)
			continue;
		memcpy(&own, one->ifa_addr,
		       address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
						      : sizeof(struct sockaddr_in));
		found = same_bytes(&own, address);
	}
	freeifaddrs(all);
	return found;
}

/* We listen there ourselves: forwarding would go round in a circle. */
static bool is_ours(const struct config *config, const struct sockaddr_storage *address)
{
	if (config->forward_port != config->listen)
		return false;
	for (size_t i = 0; i < config->bind.n; i++) {
		struct sockaddr_storage bound;

		if (sockets_parse_address(config->bind.v[i], 0, &bound) == 0 &&
		    bound.ss_family == address->ss_family &&
		    (same_bytes(&bound, address) || (is_any(&bound) && is_local(address))))
			return true;
	}
	return false;
}

/* "fe80::1%eth0" too. */
static int parse(const char *text, uint16_t port, struct sockaddr_storage *out)
{
	const char *percent = strchr(text, '%');
	char address[64];

	if (!percent)
		return sockets_parse_address(text, port, out);
	snprintf(address, sizeof address, "%.*s", (int)(percent - text), text);
	if (sockets_parse_address(address, port, out) < 0 || out->ss_family != AF_INET6)
		return -1;
	((struct sockaddr_in6 *)out)->sin6_scope_id = if_nametoindex(percent + 1);
	return ((struct sockaddr_in6 *)out)->sin6_scope_id ? 0 : -1;
}

static int add_upstream(const struct config *config, const char *field, const char *text,
			struct upstream_list *list, struct error *err)
{
	struct sockaddr_storage address;

	if (parse(text, (uint16_t)config->forward_port, &address) < 0 || is_any(&address))
		return error_field(err, ERROR_INPUT, field, text,
				   "expected an IPv4 or IPv6 address; " NOWHERE
				   " turns forwarding off");
	if (is_ours(config, &address))
		return error_field(err, ERROR_INPUT, field, text,
				   "jitsud itself listens there; expected another server");
	if (list->n < DNS_ENDPOINTS_MAX)
		list->v[list->n++] = address;
	return 0;
}

static void read_resolv_conf(const struct config *config, struct upstream_list *list)
{
	cleanup_file FILE *file = fopen(config->resolv_conf, "re");
	char line[512], address[64];
	struct error err;

	while (file && fgets(line, sizeof line, file))
		if (sscanf(line, " nameserver %63s", address) == 1 &&
		    add_upstream(config, "nameserver", address, list, &err) < 0)
			log_info("%s: %s; left out", config->resolv_conf, err.text);
}

static int read_upstreams(const struct config *config, struct upstream_list *list,
			  struct error *err)
{
	list->n = 0;
	if (config->forwarder.n == 0)
		read_resolv_conf(config, list);
	for (size_t i = 0; i < config->forwarder.n; i++) {
		const char *forwarder = config->forwarder.v[i];

		if (strcmp(forwarder, NOWHERE) == 0) {
			if (config->forwarder.n == 1)
				continue;
			return error_field(err, ERROR_INPUT, "--forwarder", forwarder,
					   "expected alone: it turns forwarding off");
		}
		if (add_upstream(config, "--forwarder", forwarder, list, err) < 0)
			return -1;
	}
	return 0;
}

int host_check(const struct config *config, struct error *err)
{
	struct upstream_list list;

	return config->forwarder.n ? read_upstreams(config, &list, err) : 0;
}

static void pack(struct host *host)
{
	const struct dns_config *dns = host->dns;
	const struct acl *acl = &dns->allow_recursion;

	host->message_size = message_pack_host(
		host->message, sizeof host->message,
		&(struct msg_host){
			.upstreams = { (const uint8_t *)dns->forwarders,
				       (uint32_t)(dns->forwarder_count * sizeof *dns->forwarders) },
			.allowed_v4 = { (const uint8_t *)acl->v4,
					(uint32_t)(acl->v4_count * sizeof *acl->v4) },
			.allowed_v6 = { (const uint8_t *)acl->v6,
					(uint32_t)(acl->v6_count * sizeof *acl->v6) },
		});
}

static int read_all(struct host *host, struct error *err)
{
	const struct config *config = host->config;
	struct dns_config *dns = host->dns;
	struct upstream_list list;
	struct acl allowed = { 0 };

	if (acl_read(&allowed, (const char *const *)config->allow_recursion.v,
		     config->allow_recursion.n, "allow_recursion", err) < 0)
		return -1;
	if (read_upstreams(config, &list, err) < 0) {
		acl_free(&allowed);
		return -1;
	}
	acl_free(&dns->allow_recursion);
	dns->allow_recursion = allowed;
	if (list.n == 0 && dns->forwarder_count && config->forwarder.n == 0) {
		log_info("%s names no server that can be asked: the last ones stay",
			 config->resolv_conf);
	} else {
		memcpy(dns->forwarders, list.v, list.n * sizeof *list.v);
		dns->forwarder_count = list.n;
	}
	pack(host);
	return 0;
}

/* The file, its folder and that of what it points to: it may be written, replaced or pointed
 * elsewhere. Watches that are there already are only found again. */
static void watch_file(struct host *host)
{
	static const uint32_t file_events = IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF,
			      folder_events = IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_CLOSE_WRITE;
	const char *path = host->config->resolv_conf;
	char copy[PATH_MAX], target[PATH_MAX];

	if (host->inotify_fd < 0)
		return;
	snprintf(copy, sizeof copy, "%s", path);
	inotify_add_watch(host->inotify_fd, dirname(copy), folder_events);
	if (!realpath(path, target))
		return;
	inotify_add_watch(host->inotify_fd, target, file_events);
	inotify_add_watch(host->inotify_fd, dirname(target), folder_events);
}

static void open_watches(struct host *host)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK,
				       .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR };
	struct epoll_event event = { .events = EPOLLIN };

	host->watch_fd = epoll_create1(EPOLL_CLOEXEC);
	host->netlink_fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (host->config->forwarder.n == 0)
		host->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (host->netlink_fd >= 0 &&
	    (bind(host->netlink_fd, (struct sockaddr *)&address, sizeof address) < 0 ||
	     epoll_ctl(host->watch_fd, EPOLL_CTL_ADD, host->netlink_fd, &event) < 0))
		log_warning("changes of the host's addresses go unnoticed: %s", strerror(errno));
	if (host->inotify_fd >= 0 &&
	    epoll_ctl(host->watch_fd, EPOLL_CTL_ADD, host->inotify_fd, &event) < 0)
		log_warning("changes of %s go unnoticed: %s", host->config->resolv_conf,
			    strerror(errno));
	watch_file(host);
}

int host_open(struct host *host, const struct config *config, struct dns_config *dns,
	      struct error *err)
{
	*host = (struct host){
		.config = config, .dns = dns, .watch_fd = -1, .inotify_fd = -1, .netlink_fd = -1
	};
	/* First, so that nothing is missed between. */
	open_watches(host);
	if (read_all(host, err) == 0)
		return 0;
	host_close(host);
	return -1;
}

void host_close_watches(struct host *host)
{
	int *fds[] = { &host->watch_fd, &host->inotify_fd, &host->netlink_fd };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (*fds[i] >= 0)
			close(TAKE_FD(*fds[i]));
}

void host_close(struct host *host)
{
	host_close_watches(host);
	acl_free(&host->dns->allow_recursion);
}

/* Whether anything was to be read. */
static bool drain(int fd)
{
	char buffer[8192];
	bool any = false;

	while (fd >= 0 && read(fd, buffer, sizeof buffer) > 0)
		any = true;
	return any;
}

/* Whether addresses came or went. Those of a link alone are in `local` anyway, and each guest's vif
 * has one: they are no reason to read all others again. */
static bool addresses_changed(int fd)
{
	_Alignas(struct nlmsghdr) char buffer[16384];
	bool changed = false;

	while (fd >= 0) {
		ssize_t r = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
		size_t left = r > 0 ? (size_t)r : 0;

		if (r < 0 && errno == ENOBUFS)
			changed = true;
		else if (r <= 0 && errno != EINTR)
			break;
		for (const struct nlmsghdr *m = (void *)buffer; NLMSG_OK(m, left);
		     m = NLMSG_NEXT(m, left))
			if ((m->nlmsg_type == RTM_NEWADDR || m->nlmsg_type == RTM_DELADDR) &&
			    ((const struct ifaddrmsg *)NLMSG_DATA(m))->ifa_scope != RT_SCOPE_LINK)
				changed = true;
	}
	return changed;
}

bool host_changed(struct host *host)
{
	uint8_t before[HOST_MESSAGE_MAX];
	size_t size = host->message_size;
	struct error err;

	bool file = drain(host->inotify_fd), addresses = addresses_changed(host->netlink_fd);

	if (!file && !addresses)
		return false;
	memcpy(before, host->message, size);
	watch_file(host);
	if (read_all(host, &err) < 0) {
		log_error("%s; it stays as it was", err.text);
		return false;
	}
	if (host->message_size == 0) {
		log_error("too many networks to tell the dns room: it keeps those it knows");
		return false;
	}
	return size != host->message_size || memcmp(before, host->message, size) != 0;
}
