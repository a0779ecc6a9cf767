#include "dns/listen.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dns/dns.h"
#include "dns/hash.h"
#include "dns/tcp.h"
#include "dns/udp.h"

struct listener {
	struct udp *udp;
	struct tcp *tcp;
	void (*between)(void *arg);
	void *between_arg;
};

bool client_is_stream(const struct client *client)
{
	return client->stream;
}

bool client_equal(const struct client *a, const struct client *b)
{
	if (a->stream != b->stream)
		return false;
	if (a->stream)
		return a->connection == b->connection && a->generation == b->generation;
	return a->socket == b->socket && a->peer_size == b->peer_size &&
	       memcmp(&a->peer, &b->peer, a->peer_size) == 0;
}

uint64_t client_hash(const struct client *client)
{
	return hash_bytes(client->socket, &client->peer, client->peer_size);
}

static void between_connections(void *arg)
{
	struct listener *listener = arg;

	udp_poll(listener->udp);
	if (listener->between)
		listener->between(listener->between_arg);
}

struct listener *listen_new(struct loop *loop, const struct dns_config *config, struct hot *hot,
			    listen_fn *fn, void *arg)
{
	struct listener *listener = calloc(1, sizeof *listener);

	/* Both take their sockets, come what may. */
	if (listener) {
		listener->udp = udp_new(loop, config->udp_fds, config->udp_count,
					config->threads ? config->threads : 1, hot, fn, arg);
		listener->tcp = tcp_new(loop, config->tcp_fds, config->tcp_count, fn, arg);
		if (listener->udp && listener->tcp) {
			tcp_yield(listener->tcp, between_connections, listener);
			return listener;
		}
		listen_free(listener);
		return NULL;
	}
	for (size_t i = 0; i < config->udp_count; i++)
		close(config->udp_fds[i]);
	for (size_t i = 0; i < config->tcp_count; i++)
		close(config->tcp_fds[i]);
	return NULL;
}

void listen_limit(struct listener *listener, uint32_t connections, uint32_t per_network,
		  const struct acl *exempt)
{
	tcp_limit(listener->tcp, connections, per_network, exempt);
}

void listen_between(struct listener *listener, void (*fn)(void *arg), void *arg)
{
	listener->between = fn;
	listener->between_arg = arg;
}

void listen_start(struct listener *listener)
{
	udp_start(listener->udp);
	tcp_start(listener->tcp);
}

void listen_free(struct listener *listener)
{
	if (!listener)
		return;
	udp_free(listener->udp);
	tcp_free(listener->tcp);
	free(listener);
}

void listen_reply(struct listener *listener, const struct client *client, const uint8_t *packet,
		  size_t size)
{
	if (client->stream)
		tcp_reply(listener->tcp, client, packet, size);
	else
		udp_reply(listener->udp, client, packet, size);
}

void listen_skip(struct listener *listener, const struct client *client)
{
	if (client->stream)
		tcp_reply(listener->tcp, client, NULL, 0);
}
