/*
 * Frames and jitsud's words, one after the other: Synjitsu holds no more than its bounds and ends
 * with nothing left. Each piece begins with a byte that says what it is, and one of its length.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "synjitsu/core.h"

struct port {
	int unused;
};
struct vif {
	int unused;
};

static struct port bridge;
static struct vif interface;
static struct claim *heard;

static struct port *find_port(void *arg, const char *name)
{
	(void)arg;
	return *name == 'n' ? NULL : &bridge;
}

static const uint8_t *mac(void *arg, struct port *port)
{
	(void)arg;
	(void)port;
	return (const uint8_t *)"\2\0\0\0\0\377";
}

static bool address(void *arg, struct port *port, const struct address *peer, struct address *out,
		    uint8_t out_mac[FRAME_MAC])
{
	(void)arg;
	(void)port;
	*out = *peer;
	memset(out_mac, 2, FRAME_MAC);
	return peer->bytes[3] & 1;
}

static void transmit(void *arg, struct port *port, const uint8_t *frame, size_t size)
{
	struct frame f;

	(void)arg;
	(void)port;
	frame_parse(&f, frame, size);
	if (f.kind == FRAME_OTHER)
		abort();
}

static void steer(void *arg, struct claim *claim, enum core_steer where)
{
	(void)arg;
	(void)where;
	heard = where == CORE_STEER_FREE && heard == claim ? NULL : claim;
	if (where == CORE_STEER_FREE)
		heard = NULL;
}

static struct vif *open_vif(void *arg, struct claim *claim, const char *name)
{
	(void)arg;
	heard = claim;
	return *name == 'n' ? NULL : &interface;
}

static void close_vif(void *arg, struct vif *vif)
{
	(void)arg;
	(void)vif;
}

static void inject(void *arg, struct claim *claim, const uint8_t *frame, size_t size)
{
	(void)arg;
	if (!claim->has_guest || size < 14)
		abort();
	(void)frame;
}

static void knock(void *arg, const struct synjitsu_knock *m)
{
	(void)arg;
	if (m->source.size != 4 && m->source.size != 16)
		abort();
}

static struct core *core;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct core_io io = { find_port, mac,	 address, transmit, steer,
					   open_vif,  close_vif, inject,  knock };
	static const struct core_config config = { .udp = true, .wakes = 50, .wakes_each = 20 };
	struct loop *loop = loop_new(LOOP_CLOCK_FAKE);
	struct synjitsu_counters counters;
	struct error err;

	log_open("fuzz", LOG_LEVEL_ERROR);
	core = core_new(loop, &config, &io, NULL);
	heard = NULL;
	while (size >= 2) {
		uint8_t what = data[0];
		size_t piece = data[1] < size - 2 ? data[1] : size - 2;
		uint8_t *own = malloc(piece ? piece : 1); /* of its very size, for ASan */

		memcpy(own, data + 2, piece);
		switch (what & 3) {
		case 0:
			core_received(core, &bridge, own, piece);
			break;
		case 1:
			synjitsu_dispatch(own, piece, core_handlers(), core, &err);
			break;
		case 2:
			if (heard)
				core_heard(core, heard, own, piece);
			break;
		default:
			loop_advance(loop, (uint64_t)what * 20 * USEC_PER_MSEC);
			break;
		}
		free(own);
		data += 2 + piece;
		size -= 2 + piece;
	}
	core_counters(core, &counters);
	if (counters.held > counters.claims * HOLD_PER_GUEST)
		abort();
	core_free(core);
	loop_free(loop);
	return 0;
}
