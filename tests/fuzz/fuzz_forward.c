/*
 * An upstream's response: whatever it is, the client gets at most one answer, and that is to its
 * question. The first byte says how far the response is made right: its ID, its question.
 */
#include "room.h"

static struct world *world;
static int upstream;
static unsigned number;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct packet response, got;
	struct packet query;
	struct sockaddr_in from;
	socklen_t from_size = sizeof from;
	char name[64];
	ssize_t asked;
	int fd;

	if (!world) {
		struct sockaddr_in address;

		upstream = bound(SOCK_DGRAM, &address);
		world = room_new(&address);
	}
	if (size < 1 || size > 4096)
		return 0;
	/* A new name each time: failures are remembered. */
	snprintf(name, sizeof name, "n%u.example.com", number++);
	query = make_query((uint16_t)number, name, 1 + data[0] % 3 * 15, data[0] & 4 ? EDNS : 0);
	fd = caller(SOCK_DGRAM, &world->udp);
	send_packet(fd, &query);
	for (int i = 0; i < 100; i++) {
		loop_settle(world->loop);
		asked = recvfrom(upstream, response.data, sizeof response.data, MSG_DONTWAIT,
				 (struct sockaddr *)&from, &from_size);
		if (asked > 0)
			break;
	}
	if (asked > 12) {
		size_t head = query.size - (data[0] & 4 ? 11 : 0), keep = 0;

		if (data[0] & 64)
			keep = 2; /* the ID */
		if (data[0] & 128)
			keep = head;
		response.size = size - 1 > keep ? size - 1 : keep;
		if (size - 1 > keep)
			memcpy(response.data + keep, data + 1 + keep, size - 1 - keep);
		if (keep == head && size > 12)
			memcpy(response.data + 2, data + 3, 10); /* flags and counts */
		sendto(upstream, response.data, response.size, 0, (struct sockaddr *)&from,
		       from_size);
		loop_settle(world->loop);
	}
	loop_advance(world->loop, 10 * USEC_PER_SEC);
	if (get_packet(world, fd, &got, 0)) {
		SOUND(got.size >= 12 && got.data[0] == query.data[0] &&
		      got.data[1] == query.data[1] && got.data[2] & 0x80);
		SOUND(!get_packet(world, fd, &got, 0));
	}
	close(fd);
	while (recv(upstream, response.data, sizeof response.data, MSG_DONTWAIT) >= 0)
		;
	world->log[0] = '\0';
	return 0;
}
