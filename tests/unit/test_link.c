/* base/link: whole messages, in order, whatever the socket's buffer holds. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/link.h"
#include "base/loop.h"

#define SOME 3000 /* messages: more than any socket buffer holds of 1000 bytes each */

struct fixture {
	struct loop *loop;
	struct link *a, *b;
	int a_fd;
	unsigned received, closed;
	size_t bytes;
	uint32_t expected; /* the number in the next message */
	int fd;
	bool free_on_message, free_on_closed;
	uint8_t last[LINK_MESSAGE_MAX];
	size_t last_size;
};

static void on_message(void *arg, const uint8_t *data, size_t size, int fd)
{
	struct fixture *f = arg;

	f->received++;
	f->bytes += size;
	f->last_size = size;
	memcpy(f->last, data, size);
	f->fd = fd;
	if (f->free_on_message)
		link_free(TAKE(f->b));
}

static void on_closed(void *arg)
{
	struct fixture *f = arg;

	f->closed++;
	if (f->free_on_closed)
		link_free(TAKE(f->b));
}

static void on_numbered(void *arg, const uint8_t *data, size_t size, int fd)
{
	struct fixture *f = arg;
	uint32_t number;

	assert_int_equal(fd, -1);
	assert_int_equal(size, sizeof number + f->expected % 1000);
	memcpy(&number, data, sizeof number);
	assert_int_equal(number, f->expected);
	for (size_t i = sizeof number; i < size; i++)
		assert_int_equal(data[i], (uint8_t)(number + i));
	f->expected++;
}

static const struct link_callbacks callbacks = { on_message, on_closed };

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	int fds[2];

	f->loop = loop_new(LOOP_CLOCK_FAKE);
	assert_non_null(f->loop);
	assert_return_code(link_pair(fds), errno);
	f->a_fd = fds[0];
	f->fd = -1;
	f->a = link_new(f->loop, fds[0], &callbacks, f);
	f->b = link_new(f->loop, fds[1], &callbacks, f);
	assert_non_null(f->a);
	assert_non_null(f->b);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	link_free(f->a);
	link_free(f->b);
	loop_free(f->loop);
	free(f);
	return 0;
}

static void send_numbered(struct link *link, uint32_t number)
{
	uint8_t data[sizeof number + 1000];
	size_t size = sizeof number + number % 1000;

	memcpy(data, &number, sizeof number);
	for (size_t i = sizeof number; i < size; i++)
		data[i] = (uint8_t)(number + i);
	link_send(link, data, size);
}

static void test_pair(void **state)
{
	int fds[2], type;
	socklen_t size = sizeof type;

	(void)state;
	assert_return_code(link_pair(fds), errno);
	for (int i = 0; i < 2; i++) {
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
		assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
		assert_return_code(getsockopt(fds[i], SOL_SOCKET, SO_TYPE, &type, &size), errno);
		assert_int_equal(type, SOCK_SEQPACKET);
		close(fds[i]);
	}
}

static void test_whole_messages(void **state)
{
	struct fixture *f = *state;

	link_send(f->a, "one", 3);
	link_send(f->a, "three", 5);
	assert_int_equal(f->received, 0); /* from the loop only */
	loop_settle(f->loop);
	assert_int_equal(f->received, 2);
	assert_int_equal(f->bytes, 8);
	assert_int_equal(f->last_size, 5);
	assert_memory_equal(f->last, "three", 5);
	assert_int_equal(f->fd, -1);
}

static void test_poll(void **state)
{
	struct fixture *f = *state;

	link_poll(f->b);
	assert_int_equal(f->received, 0);
	link_send(f->a, "one", 3);
	link_poll(f->b);
	assert_int_equal(f->received, 1);
	link_send(f->a, "two", 3);
	f->free_on_message = true;
	link_poll(f->b);
	assert_int_equal(f->received, 2);
	assert_null(f->b);
}

static void test_largest(void **state)
{
	struct fixture *f = *state;
	uint8_t *data = malloc(LINK_MESSAGE_MAX);

	for (size_t i = 0; i < LINK_MESSAGE_MAX; i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	for (int i = 0; i < 20; i++)
		link_send(f->a, data, LINK_MESSAGE_MAX);
	loop_settle(f->loop);
	assert_int_equal(f->received, 20);
	assert_int_equal(f->last_size, LINK_MESSAGE_MAX);
	assert_memory_equal(f->last, data, LINK_MESSAGE_MAX);
	free(data);
}

static void test_queues_when_full(void **state)
{
	static const struct link_callbacks numbered = { on_numbered, on_closed };
	struct fixture *f = *state;
	struct link *a, *b;
	int fds[2];

	assert_return_code(link_pair(fds), errno);
	a = link_new(f->loop, fds[0], &numbered, f);
	b = link_new(f->loop, fds[1], &numbered, f);
	for (uint32_t i = 0; i < SOME; i++)
		send_numbered(a, i);
	assert_true(link_queued(a) > 0); /* else this tests nothing */
	/* What comes while some is queued goes behind it. */
	loop_settle(f->loop);
	assert_int_equal(f->expected, SOME);
	assert_int_equal(link_queued(a), 0);
	for (uint32_t i = SOME; i < SOME + 10; i++)
		send_numbered(a, i);
	loop_settle(f->loop);
	assert_int_equal(f->expected, SOME + 10);
	link_free(a);
	link_free(b);
}

struct echo {
	struct link *link;
	unsigned received;
};

static void on_echo(void *arg, const uint8_t *data, size_t size, int fd)
{
	struct echo *echo = arg;

	(void)fd;
	echo->received++;
	link_send(echo->link, data, size);
}

static void on_echo_closed(void *arg)
{
	(void)arg;
	fail();
}

static void test_both_ways_when_full(void **state)
{
	static const struct link_callbacks echoes = { on_echo, on_echo_closed };
	struct fixture *f = *state;
	struct echo echo = { .received = 0 };
	uint8_t data[1000] = { 0 };
	struct link *a;
	int fds[2];

	/* Each message is answered by as much, while more are on the way: neither waits for the
	 * other. */
	assert_return_code(link_pair(fds), errno);
	a = link_new(f->loop, fds[0], &callbacks, f);
	echo.link = link_new(f->loop, fds[1], &echoes, &echo);
	for (int i = 0; i < SOME; i++)
		link_send(a, data, sizeof data);
	assert_true(link_queued(a) > 0);
	loop_settle(f->loop);
	assert_int_equal(echo.received, SOME);
	assert_int_equal(f->received, SOME);
	assert_int_equal(link_queued(a) + link_queued(echo.link), 0);
	link_free(a);
	link_free(echo.link);
}

static void test_queue_goes_with_it(void **state)
{
	struct fixture *f = *state;
	uint8_t data[1000] = { 0 };

	for (int i = 0; i < SOME; i++)
		link_send(f->a, data, sizeof data);
	assert_true(link_queued(f->a) > 0);
	link_free(TAKE(f->a)); /* nothing leaks, says the sanitizer */
	loop_settle(f->loop);
	assert_true(f->received > 0 && f->received < SOME);
	assert_int_equal(f->closed, 1);
}

static void test_closed_after_the_last_message(void **state)
{
	struct fixture *f = *state;

	link_send(f->a, "last", 4);
	link_free(TAKE(f->a));
	loop_settle(f->loop);
	assert_int_equal(f->received, 1);
	assert_int_equal(f->closed, 1);
	loop_settle(f->loop);
	assert_int_equal(f->closed, 1); /* once */
}

static void test_send_to_nobody(void **state)
{
	struct fixture *f = *state;

	link_free(TAKE(f->a));
	link_send(f->b, "x", 1); /* no SIGPIPE, no queue */
	assert_int_equal(link_queued(f->b), 0);
	loop_settle(f->loop);
	assert_int_equal(f->closed, 1);
	link_send(f->b, "x", 1);
	assert_int_equal(link_queued(f->b), 0);
}

static void test_closed_with_a_full_queue(void **state)
{
	struct fixture *f = *state;
	uint8_t data[1000] = { 0 };

	for (int i = 0; i < SOME; i++)
		link_send(f->b, data, sizeof data);
	assert_true(link_queued(f->b) > 0);
	link_free(TAKE(f->a));
	loop_settle(f->loop); /* ends: what is queued for nobody does not keep the loop busy */
	assert_int_equal(f->closed, 1);
}

static void test_freed_in_message(void **state)
{
	struct fixture *f = *state;

	f->free_on_message = true;
	link_send(f->a, "1", 1);
	link_send(f->a, "2", 1);
	loop_settle(f->loop);
	assert_null(f->b);
	assert_int_equal(f->received, 1);
	assert_int_equal(f->closed, 1); /* a's */
}

static void test_freed_in_closed(void **state)
{
	struct fixture *f = *state;

	f->free_on_closed = true;
	link_free(TAKE(f->a));
	loop_settle(f->loop);
	assert_null(f->b);
	assert_int_equal(f->closed, 1);
}

static unsigned open_fds(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void test_passes_a_descriptor(void **state)
{
	struct fixture *f = *state;
	char byte = 0;
	int fds[2];

	assert_return_code(pipe(fds), errno);
	assert_return_code(link_send_fd(f->a_fd, "hello", 5, fds[1]), errno);
	assert_return_code(fcntl(fds[1], F_GETFD), errno); /* still the caller's */
	close(fds[1]);
	loop_settle(f->loop);
	assert_int_equal(f->received, 1);
	assert_memory_equal(f->last, "hello", 5);
	assert_true(f->fd >= 0);
	assert_true(fcntl(f->fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(f->fd, "x", 1), 1);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	assert_int_equal(byte, 'x');
	close(f->fd);
	close(fds[0]);
}

static void test_send_fd_without_one(void **state)
{
	struct fixture *f = *state;

	assert_return_code(link_send_fd(f->a_fd, "hello", 5, -1), errno);
	loop_settle(f->loop);
	assert_int_equal(f->received, 1);
	assert_int_equal(f->fd, -1);
}

static void test_send_fd_to_nobody(void **state)
{
	struct fixture *f = *state;

	link_free(TAKE(f->b));
	assert_int_equal(link_send_fd(f->a_fd, "hello", 5, -1), -1);
	assert_int_equal(errno, EPIPE);
}

/* A peer that puts two descriptors where one is expected leaks none of them here. */
static void test_too_many_descriptors(void **state)
{
	struct fixture *f = *state;
	union {
		char bytes[CMSG_SPACE(3 * sizeof(int))];
		struct cmsghdr align;
	} control = { .bytes = { 0 } };
	char text[] = "x";
	struct iovec iov = { text, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof control.bytes };
	int fds[3] = { 0, 0, 0 };
	unsigned before = open_fds();

	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof fds);
	memcpy(CMSG_DATA(&control.align), fds, sizeof fds);
	assert_int_equal(sendmsg(f->a_fd, &msg, 0), 1);
	loop_settle(f->loop);
	assert_int_equal(f->received, 1);
	if (f->fd >= 0)
		close(f->fd);
	assert_int_equal(open_fds(), before);
}

static void test_new_takes_the_descriptor(void **state)
{
	struct fixture *f = *state;
	FILE *file = tmpfile();
	int fd;

	/* A regular file cannot be polled: no link, and the descriptor is closed. */
	assert_non_null(file);
	fd = dup(fileno(file));
	assert_null(link_new(f->loop, fd, &callbacks, f));
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	fclose(file);
}

#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_pair),
		T(test_whole_messages),
		T(test_poll),
		T(test_largest),
		T(test_queues_when_full),
		T(test_both_ways_when_full),
		T(test_queue_goes_with_it),
		T(test_closed_after_the_last_message),
		T(test_send_to_nobody),
		T(test_closed_with_a_full_queue),
		T(test_freed_in_message),
		T(test_freed_in_closed),
		T(test_passes_a_descriptor),
		T(test_send_fd_without_one),
		T(test_send_fd_to_nobody),
		T(test_too_many_descriptors),
		T(test_new_takes_the_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
