#include "dns/exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"
#include "dns/attempt.h"
#include "dns/failures.h"
#include "dns/opt.h"
#include "dns/wire.h"

/* One client, and its packet as it came. */
struct waiter {
	TAILQ_ENTRY(waiter) entry;
	struct client client;
	uint16_t *share; /* how many of its kind wait */
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
	struct exchanges *all;
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

const struct forward_refusal exchange_nobody = { WIRE_SERVFAIL, WIRE_EDE_NO_REACHABLE_AUTHORITY,
						 "no upstream answered" };

static void on_timer(void *arg);
static attempt_fn on_attempt;

static void drop_waiter(struct exchange *x, struct waiter *waiter)
{
	struct exchanges *all = x->all;

	TAILQ_REMOVE(&x->waiters, waiter, entry);
	--*waiter->share;
	all->waiting--;
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
	TAILQ_REMOVE(&x->all->list, x, entry);
	if (!x->probe)
		LIST_REMOVE(x, chain);
	x->all->count--;
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

int exchanges_open(struct exchanges *exchanges, struct loop *loop, forward_fn *done, void *arg)
{
	*exchanges = (struct exchanges){ .loop = loop, .done = done, .arg = arg };
	TAILQ_INIT(&exchanges->list);
	exchanges->timer = timer_new(loop, on_timer, exchanges);
	exchanges->attempts = attempts_new(loop, on_attempt);
	exchanges->failures = failures_new();
	return exchanges->timer && exchanges->attempts && exchanges->failures ? 0 : -1;
}

void exchange_drop(struct exchange *x)
{
	unlink_exchange(x);
	free_exchange(x);
}

void exchanges_close(struct exchanges *exchanges)
{
	struct exchange *x;

	while ((x = TAILQ_FIRST(&exchanges->list)))
		exchange_drop(x);
	timer_free(exchanges->timer);
	attempts_free(exchanges->attempts);
	failures_free(exchanges->failures);
}

void exchanges_set_upstreams(struct exchanges *exchanges, const struct sockaddr_storage *upstreams,
			     size_t count)
{
	struct exchange *x;

	upstreams_set(&exchanges->upstreams, upstreams, count);
	TAILQ_FOREACH(x, &exchanges->list, entry) {
		x->tried = x->failed = 0;
		for (size_t i = 0; i < FORWARD_TRIES + 1; i++)
			x->places[i].upstream = -1;
	}
}

static void arm(struct exchanges *all)
{
	struct exchange *first = TAILQ_FIRST(&all->list);

	if (first)
		timer_set_at(all->timer, first->deadline);
	else
		timer_cancel(all->timer);
}

/* All have the same time: the one that begins anew is the last. */
static void restart_clock(struct exchange *x)
{
	struct exchanges *all = x->all;

	x->deadline = loop_now(all->loop) + FORWARD_RETRY_USEC;
	TAILQ_REMOVE(&all->list, x, entry);
	TAILQ_INSERT_TAIL(&all->list, x, entry);
}

/* Answers who waits, those on UDP alone or all of them. */
static void tell(struct exchange *x, bool datagrams_only, const uint8_t *response, size_t size,
		 const struct forward_refusal *refusal)
{
	struct exchanges *all = x->all;
	struct waiter *waiter, *next;

	for (waiter = TAILQ_FIRST(&x->waiters); waiter; waiter = next) {
		next = TAILQ_NEXT(waiter, entry);
		if (datagrams_only && waiter->client.stream)
			continue;
		all->done(all->arg, &waiter->client, waiter->packet, waiter->size, response, size,
			  refusal);
		drop_waiter(x, waiter);
	}
}

static void finish(struct exchange *x, const uint8_t *response, size_t size,
		   const struct forward_refusal *refusal)
{
	struct exchanges *all = x->all;

	unlink_exchange(x);
	tell(x, false, response, size, refusal);
	free_exchange(x);
	arm(all);
}

/* No upstream will do. */
static void give_up(struct exchange *x)
{
	struct exchanges *all = x->all;
	struct forward_refusal refusal = exchange_nobody;
	bool silence = x->failure_rcode == WIRE_NOERROR;

	all->counters.failed++;
	if (!silence) {
		refusal.rcode = x->failure_rcode;
		refusal.text = "every upstream failed";
	}
	failures_add(all->failures, x->key, refusal.rcode, silence, all->upstreams.recoveries,
		     loop_now(all->loop));
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
	struct exchanges *all = x->all;
	struct upstream *to = &all->upstreams.v[upstream];
	struct place *place = free_place(x);

	x->tried |= UINT32_C(1) << upstream;
	if (!place)
		return false;
	if (to->loses_case || x->sealed)
		flags |= ATTEMPT_KEEP_CASE;
	place->exchange = x;
	place->upstream = upstream;
	place->late = false;
	place->sent = loop_now(all->loop);
	place->attempt =
		attempt_new(all->attempts, &to->address, flags, x->packet, x->size, x->head, place);
	if (!place->attempt) {
		x->failed |= UINT32_C(1) << upstream;
		if (!is_ours(errno))
			upstreams_unreachable(&all->upstreams, (size_t)upstream, place->sent);
		return false;
	}
	all->counters.sent++;
	all->counters.over_tcp += flags & ATTEMPT_STREAM ? 1 : 0;
	restart_clock(x);
	return true;
}

/* Asks the next upstream of this round. False if there is none left in it. */
static bool ask_next(struct exchange *x)
{
	struct upstreams *upstreams = &x->all->upstreams;
	int i;

	for (;;) {
		i = upstreams_pick(upstreams, x->tried | x->failed);
		if (i < 0)
			i = upstreams_probe(upstreams, x->tried | x->failed,
					    loop_now(x->all->loop));
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
	const struct upstreams *upstreams = &x->all->upstreams;
	uint32_t all = (UINT32_C(1) << upstreams->count) - 1;

	return (x->failed & all) != all && !upstreams_hopeless(upstreams);
}

/* What was under way has failed. */
static void go_on(struct exchange *x)
{
	if (x->probe) {
		if (!under_way(x))
			finish(x, NULL, 0, &exchange_nobody);
		return;
	}
	if (ask_next(x) || under_way(x))
		return;
	if (x->failure_rcode || !may_hope(x))
		give_up(x);
}

static void on_timer(void *arg)
{
	struct exchanges *all = arg;
	uint64_t now = loop_now(all->loop);
	struct exchange *x;

	while ((x = TAILQ_FIRST(&all->list)) && x->deadline <= now) {
		for (size_t i = 0; i < FORWARD_TRIES + 1; i++) {
			struct place *place = &x->places[i];

			if (!place->attempt || place->late || place->upstream < 0)
				continue;
			place->late = true;
			upstreams_silent(&all->upstreams, (size_t)place->upstream, place->sent,
					 now);
		}
		if (x->probe)
			finish(x, NULL, 0, &exchange_nobody);
		else if (++x->tries == FORWARD_TRIES)
			give_up(x);
		else if (!ask_again(x))
			restart_clock(x);
	}
	arm(all);
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
		failures_drop(x->all->failures, x->key);
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
	struct exchanges *all = x->all;
	uint64_t now = loop_now(all->loop);
	int upstream = place->upstream;
	bool stream = attempt_is_stream(attempt);

	place->attempt = NULL; /* the packet may be its own: freed at the end */
	if (end == ATTEMPT_ANSWERED) {
		if (upstream >= 0) {
			upstreams_heard(&all->upstreams, (size_t)upstream, now);
			if (attempt_lost_case(attempt))
				all->upstreams.v[upstream].loses_case = true;
		}
		if (x->probe)
			finish(x, NULL, 0, &exchange_nobody);
		else
			take_answer(x, upstream, stream, packet, size);
	} else {
		bool asked = upstream >= 0 && end == ATTEMPT_DOUBTFUL &&
			     ask(x, upstream, ATTEMPT_STREAM);

		if (upstream >= 0 && !asked)
			x->failed |= UINT32_C(1) << upstream;
		if (upstream >= 0 && end == ATTEMPT_UNREACHABLE && !stream)
			upstreams_unreachable(&all->upstreams, (size_t)upstream, now);
		if (!asked)
			go_on(x);
	}
	attempt_free(attempt);
	arm(all);
}

struct exchange_found exchanges_find(const struct exchanges *exchanges,
				     const struct exchange_query *query, const uint8_t *question)
{
	size_t question_size = query->head - WIRE_HEADER_SIZE;
	struct exchange_found found = { 0 };
	struct exchange *x;

	LIST_FOREACH(x, &exchanges->buckets[query->bucket], chain) {
		if (x->head != query->head ||
		    memcmp(x->packet + WIRE_HEADER_SIZE, query->packet + WIRE_HEADER_SIZE,
			   question_size) != 0)
			continue;
		found.variants++;
		for (size_t i = 0; i < FORWARD_TRIES + 1; i++)
			found.came_back |=
				x->places[i].attempt &&
				attempt_sent_this(x->places[i].attempt, question, question_size);
		if (x->size == query->size && memcmp(x->packet, query->packet, query->size) == 0)
			found.same = x;
	}
	return found;
}

static struct exchange *new_exchange(struct exchanges *all, const struct exchange_query *query)
{
	struct exchange *x = calloc(1, sizeof *x + query->size);

	if (!x)
		return NULL;
	x->all = all;
	TAILQ_INIT(&x->waiters);
	x->key = query->key;
	x->edns = query->edns;
	x->sealed = query->sealed;
	x->size = query->size;
	x->head = query->head;
	memcpy(x->packet, query->packet, query->size);
	x->deadline = loop_now(all->loop) + FORWARD_RETRY_USEC;
	TAILQ_INSERT_TAIL(&all->list, x, entry);
	all->count++;
	return x;
}

struct exchange *exchange_new(struct exchanges *exchanges, const struct exchange_query *query)
{
	struct exchange *x = new_exchange(exchanges, query);

	if (x)
		LIST_INSERT_HEAD(&exchanges->buckets[query->bucket], x, chain);
	return x;
}

/* Beside a query that goes to one that works: is one that was down there again? */
static void probe(const struct exchange *x)
{
	struct exchanges *all = x->all;
	struct exchange_query query = {
		.packet = x->packet,
		.size = x->size,
		.head = x->head,
		.edns = x->edns,
		.sealed = x->sealed,
		.key = x->key,
	};
	struct exchange *probe;
	int i;

	if (all->count == FORWARD_QUERIES_MAX)
		return;
	i = upstreams_probe(&all->upstreams, x->tried, loop_now(all->loop));
	if (i < 0)
		return;
	probe = new_exchange(all, &query);
	if (!probe)
		return;
	probe->probe = true;
	if (!ask(probe, i, 0))
		exchange_drop(probe);
}

int exchange_join(struct exchange *x, const struct client *client, const struct wire_query *query,
		  uint16_t *share)
{
	struct waiter *waiter = calloc(1, sizeof *waiter + query->size);

	if (!waiter)
		return -1;
	waiter->client = *client;
	waiter->share = share;
	waiter->size = query->size;
	memcpy(waiter->packet, query->packet, query->size);
	TAILQ_INSERT_TAIL(&x->waiters, waiter, entry);
	++*share;
	x->all->waiting++;
	return 0;
}

bool exchange_has(const struct exchange *x, const struct client *client,
		  const struct wire_query *query)
{
	const struct waiter *waiter;

	TAILQ_FOREACH(waiter, &x->waiters, entry)
		if (memcmp(waiter->packet, query->packet, 2) == 0 &&
		    client_equal(&waiter->client, client))
			return true;
	return false;
}

int exchange_start(struct exchange *x)
{
	struct exchanges *all = x->all;
	bool hope;

	if (ask_next(x))
		probe(x);
	hope = under_way(x) || may_hope(x);
	if (!hope)
		exchange_drop(x);
	arm(all);
	return hope ? 0 : -1;
}
