/*
 * proto/message, by the table itself: each message goes through whole, each of its truncations and
 * over-long forms is refused by the name of the field, and so is what is not taken.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/link.h"
#include "base/loop.h"
#include "proto/message.h"

#define FIELDS_MAX 16

/* Where each field of a message begins and what it is called: to know what a cut must name. */
struct layout {
	size_t count, size;
	size_t at[FIELDS_MAX];
	const char *names[FIELDS_MAX];
};

static void field(struct layout *layout, const char *name, size_t size)
{
	assert_true(layout->count < FIELDS_MAX);
	layout->names[layout->count] = name;
	layout->at[layout->count++] = layout->size;
	layout->size += size;
}

/* The layout of a message with these values. */
#define U8(f)	 field(&l, #f, 1);
#define U16(f)	 field(&l, #f, 2);
#define U32(f)	 field(&l, #f, 4);
#define U64(f)	 field(&l, #f, 8);
#define TEXT(f)	 field(&l, #f, 4 + strlen(m->f) + 1);
#define BYTES(f) field(&l, #f, 4 + m->f.size);
#define MESSAGE(name, from, to, fields, meaning)                                                   \
	static struct layout layout_##name(const struct msg_##name *m)                             \
	{                                                                                          \
		struct layout l = { .size = 1 };                                                   \
                                                                                                   \
		(void)m;                                                                           \
		fields return l;                                                                   \
	}
#include "proto/message.tbl.h"
#undef MESSAGE
#undef U8
#undef U16
#undef U32
#undef U64
#undef TEXT
#undef BYTES

/* Values, another one for each field, and none that a lost byte would leave as it was. */
static uint64_t next_value = UINT64_C(0x8182838485868788);
static char text_value[] = "text, with \"quotes\" and \xc3\xa9";
static uint8_t bytes_value[300];

#define U8(f)	 m.f = (uint8_t)(next_value += UINT64_C(0x0101010101010103));
#define U16(f)	 m.f = (uint16_t)(next_value += UINT64_C(0x0101010101010103));
#define U32(f)	 m.f = (uint32_t)(next_value += UINT64_C(0x0101010101010103));
#define U64(f)	 m.f = next_value += UINT64_C(0x0101010101010103);
#define TEXT(f)	 m.f = text_value;
#define BYTES(f) m.f = (struct bytes){ bytes_value, sizeof bytes_value };
#define MESSAGE(name, from, to, fields, meaning)                                                   \
	static struct msg_##name sample_##name(void)                                               \
	{                                                                                          \
		struct msg_##name m;                                                               \
                                                                                                   \
		memset(&m, 0, sizeof m);                                                           \
		fields return m;                                                                   \
	}
#include "proto/message.tbl.h"
#undef MESSAGE
#undef U8
#undef U16
#undef U32
#undef U64
#undef TEXT
#undef BYTES

/* What came out, to be compared field by field. */
static unsigned handled;
static unsigned handled_type;

#define U8(f)	assert_int_equal(got->f, sent->f);
#define U16(f)	assert_int_equal(got->f, sent->f);
#define U32(f)	assert_int_equal(got->f, sent->f);
#define U64(f)	assert_true(got->f == sent->f);
#define TEXT(f) assert_string_equal(got->f, sent->f);
#define BYTES(f)                                                                                   \
	assert_int_equal(got->f.size, sent->f.size);                                               \
	if (sent->f.size)                                                                          \
		assert_memory_equal(got->f.data, sent->f.data, sent->f.size);
#define MESSAGE(name, from, to, fields, meaning)                                                   \
	static void take_##name(void *arg, const struct msg_##name *got)                           \
	{                                                                                          \
		const struct msg_##name *sent = arg;                                               \
                                                                                                   \
		handled++;                                                                         \
		handled_type = MESSAGE_##name;                                                     \
		fields                                                                             \
	}
#include "proto/message.tbl.h"
#undef MESSAGE
#undef U8
#undef U16
#undef U32
#undef U64
#undef TEXT
#undef BYTES

static const struct message_handlers takes = {
#define MESSAGE(name, from, to, fields, meaning) .name = take_##name,
#include "proto/message.tbl.h"
#undef MESSAGE
};

static void never(void)
{
	fail_msg("a handler was called for what should be refused");
}

#define MESSAGE(name, from, to, fields, meaning)                                                   \
	static void refuse_##name(void *arg, const struct msg_##name *m)                           \
	{                                                                                          \
		(void)arg;                                                                         \
		(void)m;                                                                           \
		never();                                                                           \
	}
#include "proto/message.tbl.h"
#undef MESSAGE

static const struct message_handlers refuses = {
#define MESSAGE(name, from, to, fields, meaning) .name = refuse_##name,
#include "proto/message.tbl.h"
#undef MESSAGE
};

/* A link that a writer writes to, and what came out of its other end. */
struct wire {
	struct loop *loop;
	struct link *link;
	int fd;
	uint8_t data[LINK_MESSAGE_MAX + 16];
	size_t size;
};

static void on_message(void *arg, const uint8_t *data, size_t size, int fd)
{
	(void)arg;
	(void)data;
	(void)size;
	(void)fd;
	fail();
}

static void on_closed(void *arg)
{
	(void)arg;
}

static int set_up(void **state)
{
	static const struct link_callbacks callbacks = { on_message, on_closed };
	struct wire *wire = calloc(1, sizeof *wire);
	int fds[2];

	for (size_t i = 0; i < sizeof bytes_value; i++)
		bytes_value[i] = (uint8_t)(i * 3);
	wire->loop = loop_new(LOOP_CLOCK_FAKE);
	assert_int_equal(link_pair(fds), 0);
	wire->link = link_new(wire->loop, fds[0], &callbacks, NULL);
	wire->fd = fds[1];
	*state = wire;
	return 0;
}

static int tear_down(void **state)
{
	struct wire *wire = *state;

	link_free(wire->link);
	close(wire->fd);
	loop_free(wire->loop);
	free(wire);
	return 0;
}

/* 1 when a message came. */
static int receive(struct wire *wire)
{
	ssize_t r = recv(wire->fd, wire->data, sizeof wire->data, MSG_DONTWAIT);

	wire->size = r > 0 ? (size_t)r : 0;
	return r > 0;
}

static const char *field_at(const struct layout *layout, size_t at)
{
	size_t i = layout->count - 1;

	while (i && layout->at[i] > at)
		i--;
	return layout->names[i];
}

/* In a copy of exactly that size, so that a sanitizer sees each byte read beyond it. */
static int dispatch_exactly(const uint8_t *data, size_t size, const struct message_handlers *h,
			    void *arg, struct error *err)
{
	uint8_t *copy = malloc(size ? size : 1);
	int rc;

	memcpy(copy, data, size);
	rc = message_dispatch(copy, size, h, arg, err);
	free(copy);
	return rc;
}

static void assert_refused(const uint8_t *data, size_t size, const char *name, const char *bad)
{
	char expected[128];
	struct error err;

	assert_int_equal(dispatch_exactly(data, size, &refuses, NULL, &err), -1);
	snprintf(expected, sizeof expected, "message %s is malformed at its field '%s'", name, bad);
	assert_string_equal(err.text, expected);
	assert_int_equal(err.kind, ERROR_SYSTEM);
}

/* What every message is put through. */
static void check(struct wire *wire, const struct layout *layout, unsigned type, void *sent)
{
	struct message_handlers none = { 0 };
	const char *name = message_name(type);
	struct error err;

	assert_true(receive(wire));
	assert_int_equal(wire->size, layout->size);
	assert_int_equal(wire->data[0], type);

	handled = 0;
	assert_int_equal(dispatch_exactly(wire->data, wire->size, &takes, sent, &err), 0);
	assert_int_equal(handled, 1);
	assert_int_equal(handled_type, type);

	for (size_t size = 1; size < wire->size; size++)
		assert_refused(wire->data, size, name, field_at(layout, size));
	wire->data[wire->size] = 0;
	assert_refused(wire->data, wire->size + 1, name, "end");

	assert_int_equal(dispatch_exactly(wire->data, wire->size, &none, NULL, &err), -1);
	assert_non_null(strstr(err.text, name));
	assert_non_null(strstr(err.text, "is not taken here"));
}

#define MESSAGE(name, from, to, fields, meaning)                                                   \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		struct msg_##name m = sample_##name();                                             \
		struct layout layout = layout_##name(&m);                                          \
                                                                                                   \
		message_send_##name(((struct wire *)*state)->link, &m);                            \
		check(*state, &layout, MESSAGE_##name, &m);                                        \
	}
#include "proto/message.tbl.h"
#undef MESSAGE

static void test_nothing(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(message_dispatch((const uint8_t *)"", 0, &refuses, NULL, &err), -1);
	assert_int_equal(err.kind, ERROR_SYSTEM);
}

static void test_unknown_types(void **state)
{
	struct error err;

	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		uint8_t data[2] = { (uint8_t)type, 0 };

		if (type > MESSAGE_INVALID && type < MESSAGE_TYPES)
			continue;
		assert_int_equal(dispatch_exactly(data, 2, &refuses, NULL, &err), -1);
		assert_non_null(strstr(err.text, "unknown type"));
	}
}

static void test_empty_values(void **state)
{
	struct msg_failed failed = { .text = NULL };
	struct msg_failed empty = { .text = "" };
	struct msg_service service = { .id = 7 };
	struct wire *wire = *state;

	/* A text that is not given is an empty one. */
	message_send_failed(wire->link, &failed);
	assert_true(receive(wire));
	assert_int_equal(dispatch_exactly(wire->data, wire->size, &takes, &empty, NULL), 0);
	message_send_service(wire->link, &service);
	assert_true(receive(wire));
	assert_int_equal(dispatch_exactly(wire->data, wire->size, &takes, &service, NULL), 0);
}

/* The bytes of `failed`: type, id, info_code, then the text with its length. */
static size_t failed_with(uint8_t *out, const char *text, uint32_t claimed, size_t given)
{
	memset(out, 0, 7);
	out[0] = MESSAGE_failed;
	memcpy(out + 7, &claimed, sizeof claimed);
	memcpy(out + 11, text, given);
	return 11 + given;
}

static void test_bad_texts(void **state)
{
	uint8_t data[64];

	(void)state;
	/* no NUL; a NUL before the end; no byte at all; a length beyond the message */
	assert_refused(data, failed_with(data, "abc", 3, 3), "failed", "text");
	assert_refused(data, failed_with(data, "a\0c", 4, 4), "failed", "text");
	assert_refused(data, failed_with(data, "", 0, 0), "failed", "text");
	assert_refused(data, failed_with(data, "abc", 5, 4), "failed", "text");
	assert_refused(data, failed_with(data, "abc", UINT32_MAX, 4), "failed", "text");
	/* and after a text that is whole, more */
	assert_refused(data, failed_with(data, "abc\0d", 4, 5), "failed", "end");
}

static void test_too_long_is_not_sent(void **state)
{
	struct wire *wire = *state;
	char *text = malloc(LINK_MESSAGE_MAX + 1);
	struct msg_check m = { .spec = text };

	memset(text, 'x', LINK_MESSAGE_MAX);
	text[LINK_MESSAGE_MAX] = '\0';
	message_send_check(wire->link, &m);
	assert_false(receive(wire));
	/* The longest that fits: type, request, length, NUL. */
	text[LINK_MESSAGE_MAX - 10] = '\0';
	message_send_check(wire->link, &m);
	assert_true(receive(wire));
	assert_int_equal(wire->size, LINK_MESSAGE_MAX);
	assert_int_equal(dispatch_exactly(wire->data, wire->size, &takes, &m, NULL), 0);
	free(text);
}

static void test_pack(void **state)
{
	struct msg_peer peer = { .room = ROOM_TOOLSTACK };
	struct msg_quit quit = { 0 };
	uint8_t data[16];
	size_t size;

	(void)state;
	size = message_pack_peer(data, sizeof data, &peer);
	assert_int_equal(size, 2);
	assert_int_equal(dispatch_exactly(data, size, &takes, &peer, NULL), 0);
	size = message_pack_quit(data, sizeof data, &quit);
	assert_int_equal(dispatch_exactly(data, size, &takes, &quit, NULL), 0);
	assert_int_equal(message_pack_peer(data, 1, &peer), 0); /* no room */
	assert_int_equal(message_pack_peer(data, 0, &peer), 0);
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned type = 0; type < MESSAGE_TYPES; type++)
		assert_true(strlen(message_name(type)) > 1);
	assert_string_equal(message_name(MESSAGE_want), "want");
	assert_string_equal(message_name(MESSAGE_TYPES), "unknown");
	assert_string_equal(message_name(UINT32_MAX), "unknown");
	for (enum room room = ROOM_PARENT; room <= ROOM_ANY; room++)
		assert_non_null(room_name(room));
}

/* Noise: refused or taken, but never beyond the bytes that are there. */
static void ignore(void)
{
}

#define MESSAGE(name, from, to, fields, meaning)                                                   \
	static void ignore_##name(void *arg, const struct msg_##name *m)                           \
	{                                                                                          \
		(void)arg;                                                                         \
		(void)m;                                                                           \
		ignore();                                                                          \
	}
#include "proto/message.tbl.h"
#undef MESSAGE

static void test_noise(void **state)
{
	static const struct message_handlers ignores = {
#define MESSAGE(name, from, to, fields, meaning) .name = ignore_##name,
#include "proto/message.tbl.h"
#undef MESSAGE
	};
	uint8_t data[80];

	(void)state;
	srandom(1);
	for (int i = 0; i < 200000; i++) {
		size_t size = (size_t)random() % sizeof data;

		for (size_t b = 0; b < size; b++)
			data[b] = (uint8_t)(random() % 4 ? random() % 8 : random());
		dispatch_exactly(data, size, &ignores, NULL, NULL);
	}
}

#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
#define MESSAGE(name, from, to, fields, meaning) T(test_##name),
#include "proto/message.tbl.h"
#undef MESSAGE
		T(test_nothing),
		T(test_unknown_types),
		T(test_empty_values),
		T(test_bad_texts),
		T(test_too_long_is_not_sent),
		T(test_pack),
		T(test_names),
		T(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
