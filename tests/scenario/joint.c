#include "joint.h"

#include <stdlib.h>
#include <string.h>

#include "base/link.h"
#include "world.h"

static void drop(struct way *way)
{
	struct parcel *first;

	while ((first = STAILQ_FIRST(&way->parcels))) {
		STAILQ_REMOVE_HEAD(&way->parcels, entry);
		free(first);
	}
}

static struct link **out_of(struct way *way)
{
	return &way->joint->ends[!way->from];
}

static void pass(struct way *way)
{
	struct parcel *first = STAILQ_FIRST(&way->parcels);
	struct link **out = out_of(way);

	STAILQ_REMOVE_HEAD(&way->parcels, entry);
	if (*out && first->size) {
		link_send(*out, first->data, first->size);
	} else if (*out) {
		link_free(*out);
		*out = NULL;
	}
	free(first);
}

static void put(struct way *way, const uint8_t *data, size_t size)
{
	struct parcel *parcel = malloc(sizeof *parcel + size);

	if (!parcel)
		world_die("malloc");
	parcel->size = size;
	if (size)
		memcpy(parcel->data, data, size);
	STAILQ_INSERT_TAIL(&way->parcels, parcel, entry);
	while (!way->held && !STAILQ_EMPTY(&way->parcels))
		pass(way);
}

static void on_message(void *arg, const uint8_t *data, size_t size, int fd)
{
	struct way *way = arg;

	if (fd >= 0)
		world_die("a room sent a descriptor");
	if (size && data[0] < MESSAGE_TYPES)
		way->seen[data[0]]++;
	way->joint->fn(way->joint->arg, way->name, data, size);
	put(way, data, size);
}

static void on_closed(void *arg)
{
	struct way *way = arg;
	struct link **in = &way->joint->ends[way->from];

	link_free(*in);
	*in = NULL;
	drop(&way->joint->ways[!way->from]);
	put(way, NULL, 0);
}

void joint_init(struct joint *joint, struct loop *loop, const char *const names[2],
		joint_seen_fn *fn, void *arg)
{
	*joint = (struct joint){ .loop = loop, .fn = fn, .arg = arg };
	for (unsigned i = 0; i < 2; i++) {
		joint->ways[i].name = names[i];
		joint->ways[i].joint = joint;
		joint->ways[i].from = i;
		STAILQ_INIT(&joint->ways[i].parcels);
	}
}

void joint_clear(struct joint *joint)
{
	for (unsigned i = 0; i < 2; i++) {
		drop(&joint->ways[i]);
		link_free(joint->ends[i]);
		joint->ends[i] = NULL;
	}
}

void joint_connect(struct joint *joint, int fds[2])
{
	static const struct link_callbacks callbacks = { on_message, on_closed };

	joint_clear(joint);
	for (unsigned i = 0; i < 2; i++) {
		int pair[2];

		if (link_pair(pair) < 0)
			world_die("link_pair");
		fds[i] = pair[0];
		joint->ends[i] = link_new(joint->loop, pair[1], &callbacks, &joint->ways[i]);
		if (!joint->ends[i])
			world_die("link_new");
	}
}

void way_hold(struct way *way)
{
	way->held = true;
}

bool way_release(struct way *way, size_t n)
{
	if (n == 0) {
		way->held = false;
		while (!STAILQ_EMPTY(&way->parcels))
			pass(way);
		return true;
	}
	for (; n; n--) {
		if (STAILQ_EMPTY(&way->parcels))
			return false;
		pass(way);
	}
	return true;
}
