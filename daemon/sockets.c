#include "sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/named.h"

#define BACKLOG	   512
#define UDP_BUFFER (4 * 1024 * 1024)

/* Larger than a socket gets by itself, even than anybody may ask for who is not root. */
static void set_buffers(int fd)
{
	static const struct {
		int force, plain;
	} options[] = { { SO_RCVBUFFORCE, SO_RCVBUF }, { SO_SNDBUFFORCE, SO_SNDBUF } };
	int size = UDP_BUFFER;

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (setsockopt(fd, SOL_SOCKET, options[i].force, &size, sizeof size) < 0)
			setsockopt(fd, SOL_SOCKET, options[i].plain, &size, sizeof size);
}

static socklen_t sockaddr_size(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET ? sizeof(struct sockaddr_in)
					     : sizeof(struct sockaddr_in6);
}

int sockets_parse_address(const char *text, uint16_t port, struct sockaddr_storage *out)
{
	struct sockaddr_in *in = (void *)out;
	struct sockaddr_in6 *in6 = (void *)out;

	memset(out, 0, sizeof *out);
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		return 0;
	}
	return -1;
}

static int open_bound(const struct sockaddr_storage *address, int type, bool one_of_many)
{
	cleanup_close int fd = socket(address->ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0)
		return -1;
	if (address->ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	if (type == SOCK_STREAM) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	} else {
		set_buffers(fd);
		if (one_of_many)
			setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	}
	if (bind(fd, (const struct sockaddr *)address, sockaddr_size(address)) < 0)
		return -1;
	if (type == SOCK_STREAM && listen(fd, BACKLOG) < 0)
		return -1;
	return TAKE_FD(fd);
}

static int cannot_listen(const struct config *config, size_t i, const char *transport,
			 struct error *err)
{
	return error_errno(err, "--bind: \"%s\": cannot listen on %s port %lld", config->bind.v[i],
			   transport, (long long)config->listen);
}

int sockets_check(const struct config *config, struct error *err)
{
	struct sockaddr_storage address;

	for (size_t i = 0; i < config->bind.n; i++)
		if (sockets_parse_address(config->bind.v[i], (uint16_t)config->listen, &address) <
		    0)
			return error_field(err, ERROR_INPUT, "--bind", config->bind.v[i],
					   "expected an IPv4 or IPv6 address");
	return named_fits(config->control, "--control", err) ? 0 : -1;
}

int sockets_open_dns(const struct config *config, struct dns_config *dns, struct error *err)
{
	dns->threads = (unsigned)config->dns_threads;
	for (size_t i = 0; i < config->bind.n; i++) {
		struct sockaddr_storage address;

		sockets_parse_address(config->bind.v[i], (uint16_t)config->listen, &address);
		/* TCP first: nobody else can have that port, too. */
		dns->tcp_fds[i] = open_bound(&address, SOCK_STREAM, false);
		for (unsigned thread = 0; dns->tcp_fds[i] >= 0 && thread < dns->threads; thread++) {
			int *fd = &dns->udp_fds[thread * config->bind.n + i];

			*fd = open_bound(&address, SOCK_DGRAM, dns->threads > 1);
			if (*fd < 0)
				return cannot_listen(config, i, "UDP", err);
			dns->udp_count++;
		}
		if (dns->tcp_fds[i] < 0)
			return cannot_listen(config, i, "TCP", err);
		dns->tcp_count = i + 1;
	}
	return 0;
}

int sockets_open_control(const char *path, gid_t gid, struct error *err)
{
	cleanup_close int fd = named_listen(path, 0660, BACKLOG, "--control", err);

	if (fd < 0)
		return -1;
	if (gid != (gid_t)-1 && chown(path, (uid_t)-1, gid) < 0)
		return error_errno(err, "--control: \"%s\": chown", path);
	return TAKE_FD(fd);
}
