/*
 * A packet from the network: at most one answer, which is a sound one, and where the short way
 * answers it says what the long way does.
 */
#include "room.h"

#include "dns/answer.h"
#include "dns/hot.h"

static struct world *world;
static const uint8_t *query;
static size_t query_size, answer_size;
static unsigned answers;
static uint8_t answer[WIRE_PACKET_MAX];

/* In place of listen.c's, by the linker. */
void __wrap_listen_reply(struct listener *listener, const struct client *client,
			 const uint8_t *packet, size_t size);
void __wrap_listen_skip(struct listener *listener, const struct client *client);

void __wrap_listen_reply(struct listener *listener, const struct client *client,
			 const uint8_t *packet, size_t size)
{
	(void)listener;
	(void)client;
	answers++;
	if (!query)
		return; /* to one that waited */
	SOUND(size <= WIRE_UDP_MAX || client->stream);
	sound_answer(query, query_size, packet, size);
	memcpy(answer, packet, size);
	answer_size = size;
}

void __wrap_listen_skip(struct listener *listener, const struct client *client)
{
	(void)listener;
	(void)client;
	answers++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t packet[WIRE_PACKET_MAX], copy[HOT_ROOM];
	struct sockaddr_in peer = { .sin_family = AF_INET,
				    .sin_port = htons(4000),
				    .sin_addr.s_addr = htonl(0xc0000201) };
	struct client client = { .peer_size = sizeof peer };
	struct hot_packet hot = { .data = copy, .peer = (struct sockaddr *)&peer };
	uint64_t now;

	if (!world)
		world = room_new(NULL);
	if (size < 1 || size > 4096)
		return 0;
	client.peer.v4 = peer;
	client.stream = data[0] & 1;
	data++;
	size--;
	now = loop_now(world->loop);
	memcpy(packet, data, size);
	query = data;
	query_size = size;
	answers = 0;
	answer_size = 0;
	answer_query(world->dns, &client, packet, size, now);
	SOUND(answers <= 1);
	if (!client.stream) {
		memcpy(copy, data, size);
		hot.size = (uint32_t)size;
		hot_answer(&world->dns->hot, &hot, 1, now);
		if (hot.answer) {
			SOUND(hot.answer == answer_size);
			SOUND(memcmp(copy, answer, answer_size) == 0);
		}
	}
	query = NULL;
	/* Who waits leaves at the limit. */
	loop_advance(world->loop, USEC_PER_SEC);
	world->log[0] = '\0';
	return 0;
}
