#include "dns/forward.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "base/loop.h"
#include "dns/attempt.h"
#include "dns/failures.h"
#include "dns/hash.h"
#include "dns/opt.h"
#include "dns/upstreams.h"
#include "dns/wire.h"

#define BUCKETS	      1024
#define LOOP_LOG_USEC (60 * USEC_PER_SEC)

/* One client, and its packet as it came. */
struct waiter {
	TAILQ_ENTRY(waiter) entry;
	struct client client;
	unsigned share; /* index into shares */
	size_t size;
	uint8_t packet[];
};

struct place {
	struct exchange *exchange;
	struct attempt *attempt; /* NULL: free */
	int upstream;		 /* -1: of a list that is no more */
	uint64_t sent;
	bool late; /* has been found silent */
};

struct exchange {
	TAILQ_ENTRY(exchange) entry;
	LIST_ENTRY(exchange) chain;
	struct forward *forward;
	TAILQ_HEAD(, waiter) waiters;
	bool probe; /* nobody waits: to learn whether an upstream is there */
	uint64_t deadline;
	unsigned tries;
	uint32_t tried, failed; /* masks of upstreams: asked in this round; said or shown that they
				   will not do */
	struct place places[FORWARD_TRIES + 1];
	uint8_t *failure; /* the last response that will not do, to be relayed if none will */
	size_t failure_size;
	uint16_t failure_rcode;
	uint64_t key;
	bool edns, sealed;
	size_t size, head;
	uint8_t packet[]; /* what goes upstream, but for ID and case */
};

struct forward {
	struct loop *loop;
	forward_fn *done;
	void *arg;
	struct upstreams upstreams;
	struct attempts *attempts;
	struct failures *failures;
	struct timer *timer;
	uint64_t secret, loop_logged;
	unsigned count, waiting;
	TAILQ_HEAD(, exchange) exchanges; /* the earliest deadline first */
	LIST_HEAD(, exchange) buckets[BUCKETS];
	uint16_t shares[BUCKETS]; /* waiters of the clients whose addresses fall there */
	struct forward_counters counters;
	uint8_t packet[WIRE_PACKET_MAX + OPT_SIZE];
};

static const struct forward_refusal nobody = { WIRE_SERVFAIL, WIRE_EDE_NO_REACHABLE_AUTHORITY,
					       "no upstream answered" };

static void on_timer(void *arg);
static attempt_fn on_attempt;

struct forward *forward_new(struct loop *loop, forward_fn *done, void *arg)
{
	struct forward *forward = calloc(1, sizeof *forward);

	if (!forward)
		return NULL;
	forward->loop = loop;
	forward->done = done;
	forward->arg = arg;
	arc4random_buf(&forward->secret, sizeof forward->secret);
	TAILQ_INIT(&forward->exchanges);
	forward->timer = timer_new(loop, on_timer, forward);
	forward->attempts = attempts_new(loop, on_attempt);
	forward->failures = failures_new();
	if (forward->timer && forward->attempts && forward->failures)
		return forward;
	forward_free(forward);
	return NULL;
}

static void drop_waiter(struct exchange *x, struct waiter *waiter)
{
	struct forward *forward = x->forward;

	TAILQ_REMOVE(&x->waiters, waiter, entry);
	forward->shares[waiter->share]--;
	forward->waiting--;
	free(waiter);
}

static void hang_up(struct place *place)
{
	attempt_free(place->attempt);
	place->attempt = NULL;
}

/* It can be found no more. */
static void unlink_exchange(struct exchange *x)
{
	TAILQ_REMOVE(&x->forward->exchanges, x, entry);
	if (!x->probe)
		LIST_REMOVE(x, chain);
	x->forward->count--;
}

static void free_exchange(struct exchange *x)
{
	struct waiter *waiter;

	while ((waiter = TAILQ_FIRST(&x->waiters)))
		drop_waiter(x, waiter);
	for (size_t i = 0; i < FORWARD_TRIES + 1; i++)
		hang_up(&x->places[i]);
	free(x->failure);
	free(x);
}

void forward_free(struct forward *forward)
{
	struct exchange *x;

	if (!forward)
		return;
	while ((x = TAILQ_FIRST(&forward->exchanges))) {
		unlink_exchange(x);
		free_exchange(x);
	}
	timer_free(forward->timer);
	attempts_free(forward->attempts);
	failures_free(forward->failures);
	free(forward);
}

void forward_set_upstreams(struct forward *forward, const struct sockaddr_storage *upstreams,
			   size_t count)
{
	struct exchange *x;

	upstreams_set(&forward->upstreams, upstreams, count);
	TAILQ_FOREACH(x, &forward->exchanges, entry) {
		x->tried = x->failed = 0;
		for (size_t i = 0; i < FORWARD_TRIES + 1; i++)
			x->places[i].upstream = -1;
	}
}

size_t forward_upstreams(const struct forward *forward)
{
	return forward->upstreams.count;
}

const struct forward_counters *forward_counters(const struct forward *forward)
{
	return &forward->counters;
}

static void arm(struct forward *forward)
{
	struct exchange *first = TAILQ_FIRST(&forward->exchanges);

	if (first)
		timer_set_at(forward->timer, first->deadline);
	else
		timer_cancel(forward->timer);
}

/* All have the same time: the one that begins anew is the last. */
static void restart_clock(struct exchange *x)
{
	struct forward *forward = x->forward;

	x->deadline = loop_now(forward->loop) + FORWARD_RETRY_USEC;
	TAILQ_REMOVE(&forward->exchanges, x, entry);
	TAILQ_INSERT_TAIL(&forward->exchanges, x, entry);
}

/* Answers who waits, those on UDP alone or all of them. */
static void tell(struct exchange *x, bool datagrams_only, const uint8_t *response, size_t size,
		 const struct forward_refusal *refusal)
{
	struct forward *forward = x->forward;
	struct waiter *waiter, *next;

	for (waiter = TAILQ_FIRST(&x->waiters); waiter; waiter = next) {
		next = TAILQ_NEXT(waiter, entry);
		if (datagrams_only && waiter->client.stream)
			continue;
		forward->done(forward->arg, &waiter->client, waiter->packet, waiter->size, response,
			      size, refusal);
		drop_waiter(x, waiter);
	}
}

static void finish(struct exchange *x, const uint8_t *response, size_t size,
		   const struct forward_refusal *refusal)
{
	struct forward *forward = x->forward;

	unlink_exchange(x);
	tell(x, false, response, size, refusal);
	free_exchange(x);
	arm(forward);
}

/* No upstream will do. */
static void give_up(struct exchange *x)
{
	struct forward *forward = x->forward;
	struct forward_refusal refusal = nobody;
	bool silence = x->failure_rcode == WIRE_NOERROR;

	forward->counters.failed++;
	if (!silence) {
		refusal.rcode = x->failure_rcode;
		refusal.text = "every upstream failed";
	}
	failures_add(forward->failures, x->key, refusal.rcode, silence,
		     forward->upstreams.recoveries, loop_now(forward->loop));
	finish(x, x->failure, x->failure_size, x->failure ? NULL : &refusal);
}

static struct place *free_place(struct exchange *x)
{
	for (size_t i = 0; i < FORWARD_TRIES + 1; i++)
		if (!x->places[i].attempt)
			return &x->places[i];
	return NULL;
}

static bool under_way(const struct exchange *x)
{
	for (size_t i = 0; i < FORWARD_TRIES + 1; i++)
		if (x->places[i].attempt)
			return true;
	return false;
}

/* Out of descriptors or memory is nobody's fault but ours. */
static bool is_ours(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS ||
	       error == EAGAIN;
}

static bool ask(struct exchange *x, int upstream, unsigned flags)
{
	struct forward *forward = x->forward;
	struct upstream *to = &forward->upstreams.v[upstream];
	struct place *place = free_place(x);

	x->tried |= UINT32_C(1) << upstream;
	if (!place)
		return false;
	if (to->loses_case || x->sealed)
		flags |= ATTEMPT_KEEP_CASE;
	place->exchange = x;
	place->upstream = upstream;
	place->late = false;
	place->sent = loop_now(forward->loop);
	place->attempt = attempt_new(forward->attempts, &to->address, flags, x->packet, x->size,
				     x->head, place);
	if (!place->attempt) {
		x->failed |= UINT32_C(1) << upstream;
		if (!is_ours(errno))
			upstreams_unreachable(&forward->upstreams, (size_t)upstream, place->sent);
		return false;
	}
	forward->counters.sent++;
	forward->counters.over_tcp += flags & ATTEMPT_STREAM ? 1 : 0;
	restart_clock(x);
	return true;
}

/* Asks the next upstream of this round. False if there is none left in it. */
static bool ask_next(struct exchange *x)
{
	struct upstreams *upstreams = &x->forward->upstreams;
	int i;

	for (;;) {
		i = upstreams_pick(upstreams, x->tried | x->failed);
		if (i < 0)
			i = upstreams_probe(upstreams, x->tried | x->failed,
					    loop_now(x->forward->loop));
		if (i < 0)
			return false;
		if (ask(x, i, 0))
			return true;
	}
}

/* It may have been lost: another round begins when each has been asked. */
static bool ask_again(struct exchange *x)
{
	if (ask_next(x))
		return true;
	x->tried = 0;
	return ask_next(x);
}

/* One that is down may be back at the next tick. */
static bool may_hope(const struct exchange *x)
{
	const struct upstreams *upstreams = &x->forward->upstreams;
	uint32_t all = (UINT32_C(1) << upstreams->count) - 1;

	return (x->failed & all) != all && !upstreams_hopeless(upstreams);
}

/* What was under way has failed. */
static void go_on(struct exchange *x)
{
	if (x->probe) {
		if (!under_way(x))
			finish(x, NULL, 0, &nobody);
		return;
	}
	if (ask_next(x) || under_way(x))
		return;
	if (x->failure_rcode || !may_hope(x))
		give_up(x);
}

static void on_timer(void *arg)
{
	struct forward *forward = arg;
	uint64_t now = loop_now(forward->loop);
	struct exchange *x;

	while ((x = TAILQ_FIRST(&forward->exchanges)) && x->deadline <= now) {
		for (size_t i = 0; i < FORWARD_TRIES + 1; i++) {
			struct place *place = &x->places[i];

			if (!place->attempt || place->late || place->upstream < 0)
				continue;
			place->late = true;
			upstreams_silent(&forward->upstreams, (size_t)place->upstream, place->sent,
					 now);
		}
		if (x->probe)
			finish(x, NULL, 0, &nobody);
		else if (++x->tries == FORWARD_TRIES)
			give_up(x);
		else if (!ask_again(x))
			restart_clock(x);
	}
	arm(forward);
}

static void keep_failure(struct exchange *x, uint16_t rcode, const uint8_t *packet, size_t size)
{
	free(x->failure);
	x->failure = packet ? malloc(size) : NULL;
	if (x->failure)
		memcpy(x->failure, packet, size);
	x->failure_size = x->failure ? size : 0;
	x->failure_rcode = rcode;
}

static bool has_stream(const struct exchange *x)
{
	const struct waiter *waiter;

	TAILQ_FOREACH(waiter, &x->waiters, entry)
		if (waiter->client.stream)
			return true;
	return false;
}

/* Another upstream may do better than this. */
static bool is_failure(const struct exchange *x, uint16_t rcode, const struct opt *opt)
{
	return rcode == WIRE_SERVFAIL || rcode == WIRE_REFUSED || rcode == WIRE_NOTIMP ||
	       (rcode == WIRE_FORMERR && x->edns && !opt->at);
}

static void take_answer(struct exchange *x, int upstream, bool stream, const uint8_t *packet,
			size_t size)
{
	bool question = size >= x->head && packet[5]; /* some send the header alone */
	uint16_t rcode = wire_rcode(packet);
	struct opt opt;

	if (opt_find(packet, size, &opt) < 0) {
		keep_failure(x, WIRE_SERVFAIL, NULL, 0);
	} else if (is_failure(x, rcode, &opt) || !question) {
		keep_failure(x, rcode, question ? packet : NULL, size);
	} else if (!stream && wire_truncated(packet) && has_stream(x)) {
		tell(x, true, packet, size, NULL);
		if (upstream >= 0 && ask(x, upstream, ATTEMPT_STREAM))
			return;
	} else {
		failures_drop(x->forward->failures, x->key);
		finish(x, packet, size, NULL);
		return;
	}
	if (upstream >= 0)
		x->failed |= UINT32_C(1) << upstream;
	go_on(x);
}

static void on_attempt(void *arg, struct attempt *attempt, enum attempt_end end, uint8_t *packet,
		       size_t size)
{
	struct place *place = arg;
	struct exchange *x = place->exchange;
	struct forward *forward = x->forward;
	uint64_t now = loop_now(forward->loop);
	int upstream = place->upstream;
	bool stream = attempt_is_stream(attempt);

	place->attempt = NULL; /* the packet may be its own: freed at the end */
	if (end == ATTEMPT_ANSWERED) {
		if (upstream >= 0) {
			upstreams_heard(&forward->upstreams, (size_t)upstream, now);
			if (attempt_lost_case(attempt))
				forward->upstreams.v[upstream].loses_case = true;
		}
		if (x->probe)
			finish(x, NULL, 0, &nobody);
		else
			take_answer(x, upstream, stream, packet, size);
	} else {
		bool asked = upstream >= 0 && end == ATTEMPT_DOUBTFUL &&
			     ask(x, upstream, ATTEMPT_STREAM);

		if (upstream >= 0 && !asked)
			x->failed |= UINT32_C(1) << upstream;
		if (upstream >= 0 && end == ATTEMPT_UNREACHABLE && !stream)
			upstreams_unreachable(&forward->upstreams, (size_t)upstream, now);
		if (!asked)
			go_on(x);
	}
	attempt_free(attempt);
	arm(forward);
}

static unsigned share_of(const struct forward *forward, const struct client *client)
{
	uint64_t hash = client->peer.any.sa_family == AF_INET6
				? hash_bytes(forward->secret, &client->peer.v6.sin6_addr, 8)
				: hash_bytes(forward->secret, &client->peer.v4.sin_addr, 4);

	return (unsigned)(hash % BUCKETS);
}

static bool is_room(const struct forward *forward, unsigned share, bool for_exchange)
{
	unsigned used = forward->shares[share];

	return used < FORWARD_WAITERS_MAX - forward->waiting &&
	       (!for_exchange || (forward->count < FORWARD_QUERIES_MAX &&
				  used < FORWARD_QUERIES_MAX - forward->count));
}

static struct exchange *new_exchange(struct forward *forward, size_t size, size_t head,
				     const struct opt *opt, uint64_t key)
{
	struct exchange *x = calloc(1, sizeof *x + size);

	if (!x)
		return NULL;
	x->forward = forward;
	TAILQ_INIT(&x->waiters);
	x->key = key;
	x->edns = opt->at;
	x->sealed = opt->sealed;
	x->size = size;
	x->head = head;
	memcpy(x->packet, forward->packet, size);
	x->deadline = loop_now(forward->loop) + FORWARD_RETRY_USEC;
	TAILQ_INSERT_TAIL(&forward->exchanges, x, entry);
	forward->count++;
	return x;
}

/* Beside a query that goes to one that works: is one that was down there again? */
static void probe(struct forward *forward, const struct exchange *x, const struct opt *opt)
{
	struct exchange *probe;
	int i;

	if (forward->count == FORWARD_QUERIES_MAX)
		return;
	i = upstreams_probe(&forward->upstreams, x->tried, loop_now(forward->loop));
	if (i < 0)
		return;
	probe = new_exchange(forward, x->size, x->head, opt, x->key);
	if (!probe)
		return;
	probe->probe = true;
	if (ask(probe, i, 0))
		return;
	unlink_exchange(probe);
	free_exchange(probe);
}

static int add_waiter(struct exchange *x, const struct client *client,
		      const struct wire_query *query, unsigned share)
{
	struct waiter *waiter = calloc(1, sizeof *waiter + query->size);

	if (!waiter)
		return -1;
	waiter->client = *client;
	waiter->share = share;
	waiter->size = query->size;
	memcpy(waiter->packet, query->packet, query->size);
	TAILQ_INSERT_TAIL(&x->waiters, waiter, entry);
	x->forward->shares[share]++;
	x->forward->waiting++;
	return 0;
}

static bool waits_already(const struct exchange *x, const struct client *client,
			  const struct wire_query *query)
{
	const struct waiter *waiter;

	TAILQ_FOREACH(waiter, &x->waiters, entry)
		if (memcmp(waiter->packet, query->packet, 2) == 0 &&
		    client_equal(&waiter->client, client))
			return true;
	return false;
}

static int refuse(struct forward *forward, struct forward_refusal *refusal, int ede,
		  const char *text)
{
	forward->counters.refused++;
	*refusal = (struct forward_refusal){ WIRE_SERVFAIL, ede, text };
	return -1;
}

static int refuse_loop(struct forward *forward, const struct wire_query *query,
		       struct forward_refusal *refusal)
{
	uint64_t now = loop_now(forward->loop);

	forward->counters.loops++;
	if (!forward->loop_logged || now - forward->loop_logged >= LOOP_LOG_USEC) {
		char name[WIRE_NAME_MAX * 4 + 1];

		forward->loop_logged = now;
		wire_name_text(name, sizeof name, query->name);
		log_warning("a forwarding loop: the query for %s came back from an upstream", name);
	}
	return refuse(forward, refusal, WIRE_EDE_OTHER, "forwarding loop");
}

/* What goes upstream, into forward->packet. Its size. */
static size_t prepare(struct forward *forward, const struct wire_query *query, struct opt *opt)
{
	uint8_t *packet = forward->packet;

	memcpy(packet, query->packet, query->size);
	if (opt_find(packet, query->size, opt) < 0)
		*opt = (struct opt){ .sealed = true };
	memset(packet, 0, 2);
	if (opt->sealed)
		return query->size;
	memcpy(packet + WIRE_HEADER_SIZE, query->name, query->name_size);
	return opt_clean(packet, query->size, opt, WIRE_UDP_MAX);
}

int forward_query(struct forward *forward, const struct client *client,
		  const struct wire_query *query, struct forward_refusal *refusal)
{
	const uint8_t *question = query->packet + WIRE_HEADER_SIZE;
	size_t question_size = query->head - WIRE_HEADER_SIZE;
	unsigned share = share_of(forward, client), variants = 0;
	struct exchange *x, *same = NULL;
	struct opt opt;
	size_t size = prepare(forward, query, &opt);
	uint64_t key = hash_bytes(forward->secret, forward->packet, size);
	uint64_t bucket = hash_bytes(forward->secret, query->name, query->name_size) % BUCKETS;

	forward->counters.queries++;
	LIST_FOREACH(x, &forward->buckets[bucket], chain) {
		if (x->head != query->head ||
		    memcmp(x->packet + WIRE_HEADER_SIZE, forward->packet + WIRE_HEADER_SIZE,
			   question_size) != 0)
			continue;
		variants++;
		for (size_t i = 0; i < FORWARD_TRIES + 1; i++)
			if (x->places[i].attempt &&
			    attempt_sent_this(x->places[i].attempt, question, question_size))
				return refuse_loop(forward, query, refusal);
		if (x->size == size && memcmp(x->packet, forward->packet, size) == 0)
			same = x;
	}
	if (same && waits_already(same, client, query))
		return 1;
	if (failures_find(forward->failures, key, forward->upstreams.recoveries,
			  loop_now(forward->loop), &refusal->rcode)) {
		forward->counters.remembered++;
		refusal->ede = WIRE_EDE_CACHED_ERROR;
		refusal->text = "it failed not long ago";
		return -1;
	}
	if (variants >= FORWARD_VARIANTS_MAX && !same)
		return refuse(forward, refusal, WIRE_EDE_OTHER,
			      "too many queries for this name are under way");
	if (!is_room(forward, share, !same))
		return refuse(forward, refusal, WIRE_EDE_OTHER, "too many queries are under way");
	x = same ? same : new_exchange(forward, size, query->head, &opt, key);
	if (!x || add_waiter(x, client, query, share) < 0) {
		if (x && !same)
			x->probe = true; /* in no bucket yet; it ends by itself */
		return refuse(forward, refusal, WIRE_EDE_OTHER, "out of memory");
	}
	if (same) {
		forward->counters.folded++;
		return 0;
	}
	LIST_INSERT_HEAD(&forward->buckets[bucket], x, chain);
	if (ask_next(x))
		probe(forward, x, &opt);
	arm(forward);
	if (under_way(x) || may_hope(x))
		return 0;
	unlink_exchange(x);
	free_exchange(x);
	arm(forward);
	forward->counters.refused++;
	*refusal = nobody;
	return -1;
}
