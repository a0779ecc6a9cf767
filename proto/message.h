/*
 * Typed messages between the processes, made from message.tbl.h: for each one a structure
 * `struct msg_NAME`, a writer `message_send_NAME(link, &m)` and a place in message_handlers.
 *
 * A reader fails loudly: unknown type, short or over-long body, a text without its NUL, or a
 * message that this process takes from nobody.
 */
#ifndef JITSU_PROTO_MESSAGE_H
#define JITSU_PROTO_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"

struct error;
struct link;

enum room { ROOM_PARENT, ROOM_DNS, ROOM_ENGINE, ROOM_TOOLSTACK, ROOM_ANY };

const char *room_name(enum room room);

/* Of the message `service`. */
enum message_service_flags {
	MESSAGE_SERVICE_PTR = 1,      /* its addresses' names are answered too */
	MESSAGE_SERVICE_WAKE_ANY = 2, /* a query for a type that it has not starts it as well */
	MESSAGE_SERVICE_ALWAYS =
		4, /* answered at once, asleep or not: packets start it, not queries */
};

/* Of the message hold: let go; tell of packets; keep them for a guest on its way; it is up. */
enum message_hold {
	MESSAGE_HOLD_NONE,
	MESSAGE_HOLD_ASLEEP,
	MESSAGE_HOLD_STARTING,
	MESSAGE_HOLD_READY,
};

#define U8(f)	 uint8_t f;
#define U16(f)	 uint16_t f;
#define U32(f)	 uint32_t f;
#define U64(f)	 uint64_t f;
#define TEXT(f)	 const char *f;
#define BYTES(f) struct bytes f;
#define MESSAGE(name, from, to, fields, meaning)                                                   \
	struct msg_##name {                                                                        \
		fields                                                                             \
	};
#include "proto/message.tbl.h"
#undef MESSAGE
#undef U8
#undef U16
#undef U32
#undef U64
#undef TEXT
#undef BYTES

enum message_type {
	MESSAGE_INVALID,
#define MESSAGE(name, from, to, fields, meaning) MESSAGE_##name,
#include "proto/message.tbl.h"
#undef MESSAGE
	MESSAGE_TYPES
};

/* What a process does with each message it takes; NULL: not taken here. Views in the message are
 * valid during the call. */
struct message_handlers {
#define MESSAGE(name, from, to, fields, meaning)                                                   \
	void (*name)(void *arg, const struct msg_##name *m);
#include "proto/message.tbl.h"
#undef MESSAGE
};

/* Reads one message and calls its handler. 0, or -1 with an error that names message and field:
 * then the peer is not to be trusted further, and the link is to be closed. The handler may have
 * freed the link. */
int message_dispatch(const uint8_t *data, size_t size, const struct message_handlers *handlers,
		     void *arg, struct error *err);

/* The same with each of the messages of a list such as that of `services`. Goes on behind one that
 * is malformed, and ends at what is no list: -1 with the last error. */
int message_dispatch_list(struct bytes list, const struct message_handlers *handlers, void *arg,
			  struct error *err);

/* Writers: send or queue on the link (see link_send). */
#define MESSAGE(name, from, to, fields, meaning)                                                   \
	void message_send_##name(struct link *link, const struct msg_##name *m);
#include "proto/message.tbl.h"
#undef MESSAGE

/* The bytes of `peer`, `host` and `quit`, for the parent, which has no loop, and of `service`, for
 * `services`. Returns their size. */
size_t message_pack_service(uint8_t *out, size_t room, const struct msg_service *m);
size_t message_pack_peer(uint8_t *out, size_t room, const struct msg_peer *m);
size_t message_pack_host(uint8_t *out, size_t room, const struct msg_host *m);
size_t message_pack_quit(uint8_t *out, size_t room, const struct msg_quit *m);

const char *message_name(unsigned type);

#endif
