/*
 * Bytes of a TCP client, in pieces: what comes back is whole framed messages, and the room takes
 * the next client.
 */
#include "room.h"

static struct world *world;

static void read_answers(int fd)
{
	static uint8_t in[1 << 20];
	size_t size = 0, at = 0;
	ssize_t r;

	while (size < sizeof in && (r = recv(fd, in + size, sizeof in - size, MSG_DONTWAIT)) > 0)
		size += (size_t)r;
	while (at + 2 <= size) {
		size_t length = (size_t)(in[at] << 8 | in[at + 1]);

		if (at + 2 + length > size)
			break; /* the rest was on its way */
		SOUND(length >= 12 && in[at + 4] & 0x80);
		at += 2 + length;
	}
}

/* Where the server closed first its end keeps the port for a while, and in time they are all taken.
 */
static int patient_caller(void)
{
	for (;;) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		assert_true(fd >= 0);
		if (connect(fd, (const struct sockaddr *)&world->tcp, sizeof world->tcp) == 0)
			return fd;
		if (errno == EADDRNOTAVAIL)
			usleep(100 * 1000);
		else if (errno != EINTR)
			fail_msg("connect: %s", strerror(errno));
		close(fd);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct linger hard = { .l_onoff = 1 };
	int fd;

	if (!world)
		world = room_new(NULL);
	if (size < 1 || size > 8192)
		return 0;
	fd = patient_caller();
	/* The first byte of each piece is its length. */
	while (size) {
		size_t piece = data[0];

		data++;
		size--;
		if (piece > size)
			piece = size;
		if (piece && send(fd, data, piece, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		data += piece;
		size -= piece;
		loop_settle(world->loop);
	}
	loop_advance(world->loop, USEC_PER_SEC);
	read_answers(fd);
	/* No TIME_WAIT, of which there would be many. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(fd);
	loop_settle(world->loop);
	world->log[0] = '\0';
	return 0;
}
