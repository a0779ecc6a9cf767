#include "proto/synjitsu.h"

#include <string.h>

#include "base/error.h"

#define HEAD (SYNJITSU_LENGTH + 1) /* length and number */

void synjitsu_pack_record(uint8_t out[SYNJITSU_RECORD], const uint8_t mac[6], const uint8_t v4[4])
{
	memcpy(out, mac, 6);
	memcpy(out + 6, v4, 4);
}

struct bytes synjitsu_text(const char *text)
{
	return (struct bytes){ (const uint8_t *)text, (uint32_t)strlen(text) };
}

static void put_integer(struct bytes_writer *w, uint64_t value, size_t size)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(value >> 8 * (size - 1 - i));
	bytes_put(w, bytes, size);
}

static void put_bytes(struct bytes_writer *w, struct bytes b)
{
	if (b.size > UINT16_MAX) {
		w->overflow = true;
		return;
	}
	put_integer(w, b.size, 2);
	bytes_put(w, b.data, b.size);
}

/* The length is known at the end. */
static size_t close_message(struct bytes_writer *w)
{
	size_t length = w->size - SYNJITSU_LENGTH;

	if (w->overflow)
		return 0;
	w->data[0] = (uint8_t)(length >> 8);
	w->data[1] = (uint8_t)length;
	return w->size;
}

#define U8(f)	 put_integer(&w, m->f, 1);
#define U16(f)	 put_integer(&w, m->f, 2);
#define U32(f)	 put_integer(&w, m->f, 4);
#define U64(f)	 put_integer(&w, m->f, 8);
#define MAC(f)	 bytes_put(&w, m->f, 6);
#define TEXT(f)	 put_bytes(&w, m->f);
#define BYTES(f) put_bytes(&w, m->f);
#define SYNJITSU(name, number, direction, fields, meaning)                                         \
	size_t synjitsu_pack_##name(uint8_t *out, size_t room, const struct synjitsu_##name *m)    \
	{                                                                                          \
		struct bytes_writer w = { .data = out,                                             \
					  .room = room < SYNJITSU_MAX ? room : SYNJITSU_MAX };     \
                                                                                                   \
		put_integer(&w, 0, SYNJITSU_LENGTH);                                               \
		put_integer(&w, number, 1);                                                        \
		fields return close_message(&w);                                                   \
	}
#include "proto/synjitsu.tbl.h"
#undef SYNJITSU
#undef U8
#undef U16
#undef U32
#undef U64
#undef MAC
#undef TEXT
#undef BYTES

static uint64_t get_integer(struct bytes_reader *r, size_t size, const char *field)
{
	const uint8_t *data = bytes_get(r, size, field);
	uint64_t value = 0;

	for (size_t i = 0; data && i < size; i++)
		value = value << 8 | data[i];
	return value;
}

static struct bytes get_bytes(struct bytes_reader *r, const char *field)
{
	uint32_t size = (uint32_t)get_integer(r, 2, field);
	const uint8_t *data = bytes_get(r, size, field);

	return data ? (struct bytes){ data, size } : (struct bytes){ NULL, 0 };
}

static struct bytes get_text(struct bytes_reader *r, const char *field)
{
	struct bytes b = get_bytes(r, field);

	if (b.size && memchr(b.data, 0, b.size))
		r->bad = field;
	return b;
}

static void get_mac(struct bytes_reader *r, uint8_t out[6], const char *field)
{
	const uint8_t *data = bytes_get(r, 6, field);

	if (data)
		memcpy(out, data, 6);
}

#define U8(f)	 m.f = (uint8_t)get_integer(&r, 1, #f);
#define U16(f)	 m.f = (uint16_t)get_integer(&r, 2, #f);
#define U32(f)	 m.f = (uint32_t)get_integer(&r, 4, #f);
#define U64(f)	 m.f = get_integer(&r, 8, #f);
#define MAC(f)	 get_mac(&r, m.f, #f);
#define TEXT(f)	 m.f = get_text(&r, #f);
#define BYTES(f) m.f = get_bytes(&r, #f);
#define SYNJITSU(name, number, direction, fields, meaning)                                         \
	static const char *read_##name(struct bytes_reader r, const struct synjitsu_handlers *h,   \
				       void *arg)                                                  \
	{                                                                                          \
		struct synjitsu_##name m = { 0 };                                                  \
                                                                                                   \
		fields if (!r.bad && h->name) h->name(arg, &m);                                    \
		return r.bad;                                                                      \
	}
#include "proto/synjitsu.tbl.h"
#undef SYNJITSU
#undef U8
#undef U16
#undef U32
#undef U64
#undef MAC
#undef TEXT
#undef BYTES

int synjitsu_dispatch(const uint8_t *data, size_t size, const struct synjitsu_handlers *handlers,
		      void *arg, struct error *err)
{
	const char *bad = NULL, *name = "";
	struct bytes_reader r;
	size_t length;

	if (size < SYNJITSU_LENGTH)
		return 0;
	length = (size_t)(data[0] << 8 | data[1]);
	if (length == 0 || length > SYNJITSU_MAX - SYNJITSU_LENGTH)
		return error_set(err, ERROR_SYSTEM, "a message of %zu bytes; expected 1 to %d",
				 length, SYNJITSU_MAX - SYNJITSU_LENGTH);
	if (size < SYNJITSU_LENGTH + length)
		return 0;
	r = (struct bytes_reader){ .data = data + HEAD, .left = length - 1 };
	switch (data[SYNJITSU_LENGTH]) {
#define SYNJITSU(name_, number, direction, fields, meaning)                                        \
	case number:                                                                               \
		name = #name_;                                                                     \
		bad = read_##name_(r, handlers, arg);                                              \
		break;
#include "proto/synjitsu.tbl.h"
#undef SYNJITSU
	}
	if (bad)
		return error_set(err, ERROR_SYSTEM, "message %s is malformed at its field '%s'",
				 name, bad);
	return (int)(SYNJITSU_LENGTH + length);
}
