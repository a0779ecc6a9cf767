#include "proto/message.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/link.h"
#include "base/log.h"

const char *room_name(enum room room)
{
	static const char *const names[] = {
		[ROOM_PARENT] = "parent",	[ROOM_DNS] = "dns", [ROOM_ENGINE] = "engine",
		[ROOM_TOOLSTACK] = "toolstack", [ROOM_ANY] = "any",
	};

	return names[room];
}

const char *message_name(unsigned type)
{
	static const char *const names[] = {
		[MESSAGE_INVALID] = "invalid",
#define MESSAGE(name, from, to, fields, meaning) [MESSAGE_##name] = #name,
#include "proto/message.tbl.h"
#undef MESSAGE
	};

	return type < ARRAY_SIZE(names) ? names[type] : "unknown";
}

static void put_bytes(struct bytes_writer *w, struct bytes b)
{
	bytes_put(w, &b.size, sizeof b.size);
	bytes_put(w, b.data, b.size);
}

static void put_text(struct bytes_writer *w, const char *text)
{
	struct bytes b = { (const uint8_t *)text, text ? (uint32_t)strlen(text) + 1 : 0 };

	if (!text)
		b = (struct bytes){ (const uint8_t *)"", 1 };
	put_bytes(w, b);
}

#define U8(f)	 bytes_put(&w, &m->f, sizeof m->f);
#define U16(f)	 bytes_put(&w, &m->f, sizeof m->f);
#define U32(f)	 bytes_put(&w, &m->f, sizeof m->f);
#define U64(f)	 bytes_put(&w, &m->f, sizeof m->f);
#define TEXT(f)	 put_text(&w, m->f);
#define BYTES(f) put_bytes(&w, m->f);
#define MESSAGE(name, from, to, fields, meaning)                                                   \
	static size_t pack_##name(uint8_t *out, size_t room, const struct msg_##name *m)           \
	{                                                                                          \
		struct bytes_writer w = { .data = out, .room = room };                             \
		uint8_t type = MESSAGE_##name;                                                     \
                                                                                                   \
		bytes_put(&w, &type, sizeof type);                                                 \
		fields return w.overflow ? 0 : w.size;                                             \
	}                                                                                          \
                                                                                                   \
	void message_send_##name(struct link *link, const struct msg_##name *m)                    \
	{                                                                                          \
		uint8_t buffer[LINK_MESSAGE_MAX];                                                  \
		size_t size = pack_##name(buffer, sizeof buffer, m);                               \
                                                                                                   \
		if (size == 0)                                                                     \
			log_error("message " #name " is too long and was not sent");               \
		else                                                                               \
			link_send(link, buffer, size);                                             \
	}
#include "proto/message.tbl.h"
#undef MESSAGE
#undef U8
#undef U16
#undef U32
#undef U64
#undef TEXT
#undef BYTES

size_t message_pack_peer(uint8_t *out, size_t room, const struct msg_peer *m)
{
	return pack_peer(out, room, m);
}

size_t message_pack_host(uint8_t *out, size_t room, const struct msg_host *m)
{
	return pack_host(out, room, m);
}

size_t message_pack_service(uint8_t *out, size_t room, const struct msg_service *m)
{
	return pack_service(out, room, m);
}

size_t message_pack_quit(uint8_t *out, size_t room, const struct msg_quit *m)
{
	return pack_quit(out, room, m);
}

static void get(struct bytes_reader *r, void *out, size_t size, const char *field)
{
	const uint8_t *data = bytes_get(r, size, field);

	if (data)
		memcpy(out, data, size);
}

static void get_bytes(struct bytes_reader *r, struct bytes *out, const char *field)
{
	uint32_t size = 0;
	const uint8_t *data;

	get(r, &size, sizeof size, field);
	data = bytes_get(r, size, field);
	if (data)
		*out = (struct bytes){ data, size };
}

static void get_text(struct bytes_reader *r, const char **out, const char *field)
{
	struct bytes b = { NULL, 0 };

	get_bytes(r, &b, field);
	if (!r->bad && (b.size == 0 || memchr(b.data, 0, b.size) != b.data + b.size - 1))
		r->bad = field;
	*out = r->bad ? "" : (const char *)b.data;
}

#define U8(f)	 get(&r, &m.f, sizeof m.f, #f);
#define U16(f)	 get(&r, &m.f, sizeof m.f, #f);
#define U32(f)	 get(&r, &m.f, sizeof m.f, #f);
#define U64(f)	 get(&r, &m.f, sizeof m.f, #f);
#define TEXT(f)	 get_text(&r, &m.f, #f);
#define BYTES(f) get_bytes(&r, &m.f, #f);
#define MESSAGE(name, from, to, fields, meaning)                                                   \
	static const char *read_##name(struct bytes_reader r, const struct message_handlers *h,    \
				       void *arg)                                                  \
	{                                                                                          \
		struct msg_##name m = { 0 };                                                       \
                                                                                                   \
		fields if (r.bad) return r.bad;                                                    \
		if (r.left)                                                                        \
			return "end";                                                              \
		h->name(arg, &m);                                                                  \
		return NULL;                                                                       \
	}
#include "proto/message.tbl.h"
#undef MESSAGE
#undef U8
#undef U16
#undef U32
#undef U64
#undef TEXT
#undef BYTES

int message_dispatch(const uint8_t *data, size_t size, const struct message_handlers *handlers,
		     void *arg, struct error *err)
{
	struct bytes_reader r = { .data = data, .left = size };
	const char *bad = NULL;
	uint8_t type = MESSAGE_INVALID;

	get(&r, &type, sizeof type, "type");
	switch (type) {
#define MESSAGE(name, from, to, fields, meaning)                                                   \
	case MESSAGE_##name:                                                                       \
		if (!handlers->name)                                                               \
			return error_set(err, ERROR_SYSTEM,                                        \
					 "message " #name " is not taken here");                   \
		bad = read_##name(r, handlers, arg);                                               \
		break;
#include "proto/message.tbl.h"
#undef MESSAGE
	default:
		return error_set(err, ERROR_SYSTEM, "message of unknown type %u", type);
	}
	if (bad)
		return error_set(err, ERROR_SYSTEM, "message %s is malformed at its field '%s'",
				 message_name(type), bad);
	return 0;
}

int message_dispatch_list(struct bytes list, const struct message_handlers *handlers, void *arg,
			  struct error *err)
{
	uint32_t size;
	int rc = 0;

	while (list.size) {
		if (list.size < sizeof size)
			return error_set(err, ERROR_SYSTEM, "a list of messages ends amid one");
		memcpy(&size, list.data, sizeof size);
		list.data += sizeof size;
		list.size -= (uint32_t)sizeof size;
		if (size > list.size)
			return error_set(err, ERROR_SYSTEM, "a list of messages ends amid one");
		if (message_dispatch(list.data, size, handlers, arg, err) < 0)
			rc = -1;
		list.data += size;
		list.size -= size;
	}
	return rc;
}
