/*
 * What jitsud and a Synjitsu say to each other over the vchan: to the original one its records of
 * 10 bytes, to ours the messages of synjitsu.tbl.h.
 */
#ifndef JITSU_PROTO_SYNJITSU_H
#define JITSU_PROTO_SYNJITSU_H

#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"

struct error;

/* Under the server's /local/domain/DOMID/data/vchan/CLIENT/: the original's place. */
#define SYNJITSU_PORT "synjitsu"
/* Beside ring-ref and event-channel, written by our Synjitsu before them; without it the peer is
 * an original one and gets records. */
#define SYNJITSU_VERSION_NODE "version"

#define SYNJITSU_MAGIC	 UINT32_C(0x4a53594e) /* "JSYN" */
#define SYNJITSU_VERSION 1
#define SYNJITSU_MAX	 4096 /* bytes of a message, with its length */
#define SYNJITSU_LENGTH	 2    /* bytes of a length */

enum synjitsu_relay_how { SYNJITSU_RELAY_OFF, SYNJITSU_RELAY_HERE, SYNJITSU_RELAY_GUEST };

/* The original's record: a MAC and an IPv4 address (mirage/synjitsu, synjitsu.ml). */
#define SYNJITSU_RECORD 10
void synjitsu_pack_record(uint8_t out[SYNJITSU_RECORD], const uint8_t mac[6], const uint8_t v4[4]);

#define U8(f)	 uint8_t f;
#define U16(f)	 uint16_t f;
#define U32(f)	 uint32_t f;
#define U64(f)	 uint64_t f;
#define MAC(f)	 uint8_t f[6];
#define TEXT(f)	 struct bytes f;
#define BYTES(f) struct bytes f;
#define SYNJITSU(name, number, direction, fields, meaning)                                         \
	struct synjitsu_##name {                                                                   \
		fields                                                                             \
	};
#include "proto/synjitsu.tbl.h"
#undef SYNJITSU
#undef U8
#undef U16
#undef U32
#undef U64
#undef MAC
#undef TEXT
#undef BYTES

struct bytes synjitsu_text(const char *text);

/* Writers: the message with its length. Its size, or 0 if it is longer than room or than
 * SYNJITSU_MAX. */
#define SYNJITSU(name, number, direction, fields, meaning)                                         \
	size_t synjitsu_pack_##name(uint8_t *out, size_t room, const struct synjitsu_##name *m);
#include "proto/synjitsu.tbl.h"
#undef SYNJITSU

/* What a side does with each message it takes; NULL: not taken by it. Views in the message are
 * valid during the call. */
struct synjitsu_handlers {
#define SYNJITSU(name, number, direction, fields, meaning)                                         \
	void (*name)(void *arg, const struct synjitsu_##name *m);
#include "proto/synjitsu.tbl.h"
#undef SYNJITSU
};

/*
 * Reads the first message of `data`, a part of the stream, and calls its handler. The bytes that
 * it took; 0 if it is not whole yet; -1 with an error if it is malformed: then the stream is not
 * to be read further.
 */
int synjitsu_dispatch(const uint8_t *data, size_t size, const struct synjitsu_handlers *handlers,
		      void *arg, struct error *err);

#endif
