#include "dns/udp.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "dns/batch.h"
#include "dns/dns.h"
#include "dns/workers.h"

#define BATCHES_PER_TURN 16 /* then the other descriptors have their turn */
#define SOCKETS_MAX	 (DNS_ENDPOINTS_MAX * DNS_THREADS_MAX)

_Static_assert(SOCKETS_MAX - 1 <= UINT8_MAX, "struct client's socket");

struct watched {
	struct udp *udp;
	const struct batch_socket *socket;
	struct watch *watch;
};

struct udp {
	struct loop *loop;
	struct hot *hot;
	listen_fn *fn;
	void *arg;
	struct batch_socket sockets[SOCKETS_MAX];
	size_t count, own; /* own: the first of them, which the loop reads */
	struct watched watched[DNS_ENDPOINTS_MAX];
	struct worker *workers[DNS_THREADS_MAX - 1];
	size_t worker_count;
	const struct batch_socket *batching; /* packets are being handed out, of this one last */
	struct batch batch;
};

static void on_packets(void *arg, unsigned events);
static void on_left(void *arg, const struct client *client, uint8_t *packet, size_t size);

static int make_workers(struct udp *udp, size_t threads)
{
	for (size_t i = 1; i < threads; i++) {
		struct worker *worker = worker_new(udp->loop, udp->sockets + i * udp->own, udp->own,
						   udp->hot, on_left, udp);

		if (!worker)
			return -1;
		udp->workers[udp->worker_count++] = worker;
	}
	return 0;
}

struct udp *udp_new(struct loop *loop, const int *fds, size_t count, size_t threads,
		    struct hot *hot, listen_fn *fn, void *arg)
{
	struct udp *udp = calloc(1, sizeof *udp);

	if (!udp) {
		for (size_t i = 0; i < count; i++)
			close(fds[i]);
		return NULL;
	}
	udp->loop = loop;
	udp->hot = hot;
	udp->fn = fn;
	udp->arg = arg;
	udp->count = count;
	udp->own = count / threads;
	for (size_t i = 0; i < count; i++)
		batch_set_up(&udp->sockets[i], fds[i], (uint8_t)i);
	for (size_t i = 0; i < udp->own; i++) {
		struct watched *watched = &udp->watched[i];

		*watched = (struct watched){ .udp = udp, .socket = &udp->sockets[i] };
		watched->watch = watch_new(loop, fds[i], 0, on_packets, watched);
		if (!watched->watch)
			goto fail;
	}
	if (make_workers(udp, threads) == 0)
		return udp;
fail:
	udp_free(udp);
	return NULL;
}

void udp_start(struct udp *udp)
{
	for (size_t i = 0; i < udp->own; i++)
		watch_set(udp->watched[i].watch, WATCH_READ);
	for (size_t i = 0; i < udp->worker_count; i++) {
		if (worker_start(udp->workers[i]) == 0)
			continue;
		/* Its sockets would swallow what the kernel gives them. */
		log_error("a thread for DNS cannot watch its sockets: ending, to be started anew");
		loop_quit(udp->loop);
	}
}

void udp_free(struct udp *udp)
{
	if (!udp)
		return;
	for (size_t i = 0; i < udp->worker_count; i++)
		worker_free(udp->workers[i]);
	for (size_t i = 0; i < udp->own; i++)
		watch_free(udp->watched[i].watch);
	for (size_t i = 0; i < udp->count; i++)
		close(udp->sockets[i].fd);
	free(udp);
}

void udp_reply(struct udp *udp, const struct client *client, const uint8_t *packet, size_t size)
{
	const struct batch_socket *socket = &udp->sockets[client->socket];

	if (size > WIRE_UDP_MAX)
		return;
	/* Only what goes out where the batch came in can leave with it. */
	if (udp->batching && udp->batching != socket)
		batch_send(&udp->batch, udp->batching);
	batch_reply(&udp->batch, socket, client, packet, size);
	if (udp->batching != socket)
		batch_send(&udp->batch, socket);
}

static unsigned take_batch(struct udp *udp, const struct batch_socket *socket)
{
	struct batch *batch = &udp->batch;
	unsigned count = batch_receive(batch, socket);
	uint64_t now = loop_now(udp->loop);
	struct client client;

	if (udp->hot)
		hot_answer(udp->hot, batch->packets, count, now);
	udp->batching = socket;
	for (unsigned i = 0; i < count; i++) {
		if (batch->packets[i].answer)
			batch_reply_in_place(batch, socket, i);
		else if (batch_client(batch, socket, i, &client))
			udp->fn(udp->arg, &client, batch->in_data[i], batch->packets[i].size, now);
	}
	udp->batching = NULL;
	batch_send(batch, socket);
	return count;
}

static void on_packets(void *arg, unsigned events)
{
	const struct watched *watched = arg;

	(void)events;
	for (int i = 0; i < BATCHES_PER_TURN; i++)
		if (take_batch(watched->udp, watched->socket) < BATCH_MAX)
			break;
}

void udp_poll(struct udp *udp)
{
	for (size_t i = 0; i < udp->own; i++)
		on_packets(&udp->watched[i], WATCH_READ);
}

static void on_left(void *arg, const struct client *client, uint8_t *packet, size_t size)
{
	struct udp *udp = arg;

	udp->fn(udp->arg, client, packet, size, loop_now(udp->loop));
}
