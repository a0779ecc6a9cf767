#include "dns/wait.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/loop.h"
#include "base/tide.h"
#include "dns/hash.h"

#define BUCKETS		 16384u
#define FIRSTS		 16   /* of a queue that are looked at for one of the same client */
#define EXPIRED_PER_TURN 1024 /* then packets have their turn */

/* A waiter's place in one service's queue. */
struct wait_place {
	TAILQ_ENTRY(wait_place) entry;
	struct wait_crowd *crowd; /* NULL once it has been released */
	struct waiter *waiter;
};

/* Those in one queue. */
struct wait_crowd {
	TAILQ_HEAD(, wait_place) places;
	struct wait_queue *queue;
	unsigned late; /* who left at the limit just now; it is kept until that has been told */
	SLIST_ENTRY(wait_crowd) late_entry;
};

struct waiter {
	struct wait_query query;
	uint64_t deadline, number; /* number: in the order of parking */
	LIST_ENTRY(waiter) same;   /* in its bucket */
	size_t heap_index, bytes;
	unsigned count, left; /* of its places; of those, still in a queue */
	struct wait_place places[];
	/* then the packet */
};

struct wait {
	struct loop *loop;
	struct wait_callbacks callbacks;
	void *arg;
	struct timer *timer;
	uint64_t key;
	struct waiter **heap; /* the earliest deadline first */
	uint64_t last_number;
	size_t count, room, bytes;
	struct tide tide;
	LIST_HEAD(waiters, waiter) buckets[BUCKETS];
};

static void on_timer(void *arg);
static void leave_queues(struct waiter *waiter);

struct wait *wait_new(struct loop *loop, const struct wait_callbacks *callbacks, void *arg)
{
	struct wait *wait = calloc(1, sizeof *wait);

	if (!wait)
		return NULL;
	wait->loop = loop;
	wait->callbacks = *callbacks;
	wait->arg = arg;
	arc4random_buf(&wait->key, sizeof wait->key);
	wait->timer = timer_new(loop, on_timer, wait);
	if (!wait->timer) {
		free(wait);
		return NULL;
	}
	return wait;
}

void wait_free(struct wait *wait)
{
	if (!wait)
		return;
	for (size_t i = 0; i < wait->count; i++) {
		leave_queues(wait->heap[i]);
		free(wait->heap[i]);
	}
	timer_free(wait->timer);
	free(wait->heap);
	free(wait);
}

void wait_queue_init(struct wait_queue *queue)
{
	queue->crowd = NULL;
}

bool wait_queue_empty(const struct wait_queue *queue)
{
	return !queue->crowd || TAILQ_EMPTY(&queue->crowd->places);
}

size_t wait_count(const struct wait *wait)
{
	return wait->count;
}

/* The heap of deadlines. */
static void heap_set(struct wait *wait, size_t i, struct waiter *waiter)
{
	wait->heap[i] = waiter;
	waiter->heap_index = i;
}

static void heap_up(struct wait *wait, size_t i)
{
	struct waiter *waiter = wait->heap[i];

	for (; i && wait->heap[(i - 1) / 2]->deadline > waiter->deadline; i = (i - 1) / 2)
		heap_set(wait, i, wait->heap[(i - 1) / 2]);
	heap_set(wait, i, waiter);
}

static void heap_down(struct wait *wait, size_t i)
{
	struct waiter *waiter = wait->heap[i];
	size_t child;

	while ((child = 2 * i + 1) < wait->count) {
		if (child + 1 < wait->count &&
		    wait->heap[child + 1]->deadline < wait->heap[child]->deadline)
			child++;
		if (wait->heap[child]->deadline >= waiter->deadline)
			break;
		heap_set(wait, i, wait->heap[child]);
		i = child;
	}
	heap_set(wait, i, waiter);
}

static void heap_remove(struct wait *wait, struct waiter *waiter)
{
	size_t i = waiter->heap_index;
	struct waiter *last = wait->heap[--wait->count];

	if (last == waiter)
		return;
	heap_set(wait, i, last);
	heap_up(wait, i);
	heap_down(wait, last->heap_index);
}

static void arm(struct wait *wait)
{
	if (wait->count)
		timer_set_at(wait->timer, wait->heap[0]->deadline);
	else
		timer_cancel(wait->timer);
}

static struct waiters *bucket(struct wait *wait, const struct wait_query *query)
{
	uint64_t hash =
		hash_bytes(wait->key ^ client_hash(&query->client), query->packet, query->size);

	return &wait->buckets[hash % BUCKETS];
}

static bool folds(struct wait *wait, const struct wait_query *query)
{
	struct waiter *waiter;

	if (client_is_stream(&query->client))
		return false;
	LIST_FOREACH(waiter, bucket(wait, query), same)
		if (waiter->query.size == query->size &&
		    memcmp(waiter->query.packet, query->packet, query->size) == 0 &&
		    client_equal(&waiter->query.client, &query->client))
			return true;
	return false;
}

static struct wait_crowd *crowd_of(struct wait_queue *queue)
{
	struct wait_crowd *crowd = queue->crowd;

	if (crowd)
		return crowd;
	crowd = calloc(1, sizeof *crowd);
	if (!crowd)
		abort();
	TAILQ_INIT(&crowd->places);
	crowd->queue = queue;
	return queue->crowd = crowd;
}

static bool same_address(const struct client *a, const struct client *b)
{
	if (a->peer.any.sa_family != b->peer.any.sa_family)
		return false;
	if (a->peer.any.sa_family == AF_INET6)
		return memcmp(&a->peer.v6.sin6_addr, &b->peer.v6.sin6_addr,
			      sizeof a->peer.v6.sin6_addr) == 0;
	return a->peer.v4.sin_addr.s_addr == b->peer.v4.sin_addr.s_addr;
}

/*
 * A resolver repeats its query after a few hundred ms, from another port and with another ID, and
 * no longer listens for the answer to the first. If each had its own limit, each answer would come
 * when its resolver asks anew already: they share that of the first. That one is found near the
 * head of the queue, or, in a crowd, not.
 */
static uint64_t limit_of_first(const struct wait_queue *queue, const struct wait_query *query,
			       uint64_t deadline)
{
	const struct wait_place *place = queue->crowd ? TAILQ_FIRST(&queue->crowd->places) : NULL;

	for (unsigned i = 0; place && i < FIRSTS; i++, place = TAILQ_NEXT(place, entry))
		if (place->waiter->deadline < deadline &&
		    same_address(&place->waiter->query.client, &query->client))
			return place->waiter->deadline;
	return deadline;
}

enum wait_result wait_park(struct wait *wait, const struct wait_query *query,
			   struct wait_queue *const *queues, unsigned count, uint64_t deadline)
{
	size_t bytes = sizeof(struct waiter) + count * sizeof(struct wait_place) + query->size;
	struct waiter *waiter;

	if (folds(wait, query))
		return WAIT_FOLDED;
	if (wait->count == WAIT_QUERIES_MAX || bytes > WAIT_BYTES_MAX - wait->bytes)
		return WAIT_FULL;
	if (wait->count == wait->room) {
		size_t room = wait->room ? wait->room * 2 : 64;
		void *heap = reallocarray(wait->heap, room, sizeof(struct waiter *));

		if (!heap)
			return WAIT_FULL;
		wait->heap = heap;
		wait->room = room;
	}
	waiter = calloc(1, bytes);
	if (!waiter)
		return WAIT_FULL;
	waiter->query = *query;
	waiter->query.packet = (uint8_t *)&waiter->places[count];
	memcpy(waiter->query.packet, query->packet, query->size);
	waiter->deadline = count == 1 ? limit_of_first(queues[0], query, deadline) : deadline;
	waiter->number = ++wait->last_number;
	waiter->bytes = bytes;
	waiter->count = waiter->left = count;
	for (unsigned i = 0; i < count; i++) {
		struct wait_crowd *crowd = crowd_of(queues[i]);

		waiter->places[i] = (struct wait_place){ .crowd = crowd, .waiter = waiter };
		TAILQ_INSERT_TAIL(&crowd->places, &waiter->places[i], entry);
	}
	LIST_INSERT_HEAD(bucket(wait, &waiter->query), waiter, same);
	wait->bytes += bytes;
	tide_set(&wait->tide, wait->bytes);
	heap_set(wait, wait->count++, waiter);
	heap_up(wait, waiter->heap_index);
	if (waiter->heap_index == 0)
		arm(wait);
	return WAIT_PARKED;
}

static struct wait_place *first(const struct wait_queue *queue)
{
	return queue->crowd ? TAILQ_FIRST(&queue->crowd->places) : NULL;
}

static void drop_if_empty(struct wait_crowd *crowd)
{
	if (crowd->late || !TAILQ_EMPTY(&crowd->places))
		return;
	crowd->queue->crowd = NULL;
	free(crowd);
}

static void leave_queue(struct wait_place *place)
{
	struct wait_crowd *crowd = place->crowd;

	TAILQ_REMOVE(&crowd->places, place, entry);
	place->crowd = NULL;
	place->waiter->left--;
	drop_if_empty(crowd);
}

static void leave_queues(struct waiter *waiter)
{
	for (unsigned i = 0; i < waiter->count; i++)
		if (waiter->places[i].crowd)
			leave_queue(&waiter->places[i]);
}

static void finish(struct wait *wait, struct waiter *waiter, enum wait_end end)
{
	leave_queues(waiter);
	heap_remove(wait, waiter);
	LIST_REMOVE(waiter, same);
	wait->bytes -= waiter->bytes;
	wait->callbacks.done(wait->arg, &waiter->query, end);
	free(waiter);
	tide_set(&wait->tide, wait->bytes);
}

unsigned wait_release(struct wait *wait, struct wait_queue *queue, enum wait_end end)
{
	struct wait_place *place;
	unsigned done = 0;

	while ((place = first(queue))) {
		struct waiter *waiter = place->waiter;

		leave_queue(place);
		if (waiter->left)
			continue;
		finish(wait, waiter, end);
		done++;
	}
	arm(wait);
	return done;
}

static int by_number(const void *a, const void *b)
{
	const struct waiter *const *left = a, *const *right = b;

	return ((*left)->number > (*right)->number) - ((*left)->number < (*right)->number);
}

void wait_again(struct wait *wait, struct wait_queue *queue)
{
	struct wait_place *place;
	struct waiter **all;
	size_t count;

	if (queue) {
		while ((place = first(queue)))
			finish(wait, place->waiter, WAIT_AGAIN);
		arm(wait);
		return;
	}
	/* Those who park again in the call must not be met again here. */
	count = wait->count;
	all = count ? malloc(count * sizeof *all) : NULL;
	if (count && !all)
		abort();
	for (size_t i = 0; i < count; i++)
		all[i] = wait->heap[i];
	/* Who came first is wanted first: the engine keeps that order. */
	if (count)
		qsort(all, count, sizeof *all, by_number);
	for (size_t i = 0; i < count; i++)
		finish(wait, all[i], WAIT_AGAIN);
	free(all);
	arm(wait);
}

static void on_timer(void *arg)
{
	struct wait *wait = arg;
	uint64_t now = loop_now(wait->loop);
	SLIST_HEAD(, wait_crowd) late = SLIST_HEAD_INITIALIZER(late);
	struct wait_crowd *crowd;

	for (int i = 0; i < EXPIRED_PER_TURN && wait->count; i++) {
		struct waiter *waiter = wait->heap[0];

		if (waiter->deadline > now)
			break;
		for (unsigned p = 0; p < waiter->count; p++) {
			crowd = waiter->places[p].crowd;
			if (crowd && crowd->late++ == 0)
				SLIST_INSERT_HEAD(&late, crowd, late_entry);
		}
		finish(wait, waiter, WAIT_LIMIT);
	}
	while ((crowd = SLIST_FIRST(&late))) {
		SLIST_REMOVE_HEAD(&late, late_entry);
		wait->callbacks.late(wait->arg, crowd->queue, crowd->late);
		crowd->late = 0;
		drop_if_empty(crowd);
	}
	arm(wait);
}
