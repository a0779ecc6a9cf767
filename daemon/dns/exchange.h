/*
 * Inside of forward.c: the questions under way. Each is an exchange, which asks the upstreams until
 * one answers or none will, as forward.h says, tells everybody who waits for it, and is gone. What
 * may become one, and who may wait, is forward.c's to say.
 */
#ifndef JITSU_DNS_EXCHANGE_H
#define JITSU_DNS_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "dns/forward.h"
#include "dns/upstreams.h"

#define EXCHANGE_BUCKETS 1024

struct attempts;
struct exchange;
struct failures;
struct timer;
struct wire_query;

TAILQ_HEAD(exchange_list, exchange);
LIST_HEAD(exchange_bucket, exchange);

struct exchanges {
	struct loop *loop;
	forward_fn *done;
	void *arg;
	struct upstreams upstreams;
	struct attempts *attempts;
	struct failures *failures;
	struct timer *timer;
	unsigned count, waiting;   /* those under way, probes too; who waits for them */
	struct exchange_list list; /* the earliest deadline first */
	struct exchange_bucket buckets[EXCHANGE_BUCKETS]; /* by name */
	struct forward_counters counters;
};

/* 0, or -1 if out of memory; exchanges_close is to follow in either case. */
int exchanges_open(struct exchanges *exchanges, struct loop *loop, forward_fn *done, void *arg);
/* Who waits is dropped without a word. */
void exchanges_close(struct exchanges *exchanges);

/* Those under way go on with the new list. */
void exchanges_set_upstreams(struct exchanges *exchanges, const struct sockaddr_storage *upstreams,
			     size_t count);

/* What goes upstream: a packet without its ID, `head` bytes of header and question in it. */
struct exchange_query {
	const uint8_t *packet;
	size_t size, head;
	bool edns, sealed; /* it has an OPT; it has to stay as it is (opt.h) */
	uint64_t key;	   /* of the whole, for failures.h */
	uint64_t bucket;   /* a hash of its name, below EXCHANGE_BUCKETS */
};

struct exchange_found {
	struct exchange *same; /* NULL: none; else one that asks just this */
	unsigned variants;     /* how many ask for the same name and type */
	bool came_back;	       /* one of these has been sent with the very case of `question` */
};

/* `question`: name, type and class as they came, in the client's case. */
struct exchange_found exchanges_find(const struct exchanges *exchanges,
				     const struct exchange_query *query, const uint8_t *question);

/* Not sent yet. NULL if out of memory. */
struct exchange *exchange_new(struct exchanges *exchanges, const struct exchange_query *query);
/* Another who waits. *share counts those of its kind, and has to outlive them. -1: no memory. */
int exchange_join(struct exchange *x, const struct client *client, const struct wire_query *query,
		  uint16_t *share);
/* The same query of the same client waits already. */
bool exchange_has(const struct exchange *x, const struct client *client,
		  const struct wire_query *query);
/* Sends it. -1: no upstream is left to hope for; it is gone, with who waited. */
int exchange_start(struct exchange *x);
/* In place of exchange_start: it is gone without a word. */
void exchange_drop(struct exchange *x);

/* Of those that no upstream answers. */
extern const struct forward_refusal exchange_nobody;

#endif
