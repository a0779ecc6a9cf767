/*
 * The shortest way: plain queries for addresses of services that are all ready, many at a time,
 * each answered in the very bytes it came in. What it says is what answer.c and wire.c would say,
 * byte for byte; whatever is not plain it leaves to them. It allocates nothing and calls nothing
 * of the system.
 *
 * Plain is: a query (RFC 1035) with one question, class IN, type A or AAAA, an uncompressed name,
 * and nothing behind it but perhaps one OPT of version 0, with no options but a cookie and such as
 * are ignored; over UDP. The name is one of the table, not one that a wildcard covers, and the
 * answer fits.
 */
#ifndef JITSU_DNS_HOT_H
#define JITSU_DNS_HOT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define HOT_BATCH 64
/* Bytes that each packet's buffer has to have. */
#define HOT_ROOM 4104

struct acl;
struct rate;
struct wire_cookie_secrets;
struct table;
struct usage;

struct hot {
	struct table *const *table;
	struct usage *usage;
	struct rate *rate;
	const struct acl *recursion;		   /* whose answers say RA; NULL: nobody's */
	const struct wire_cookie_secrets *cookies; /* NULL: they are ignored */
	bool shared;
	pthread_rwlock_t lock;	   /* of the table, if shared */
	_Atomic uint64_t answered; /* counts */
};

struct hot_packet {
	uint8_t *data;
	uint32_t size;	 /* at most HOT_ROOM - 8 */
	uint32_t answer; /* out: size of the answer that now is in data; 0: it is as it was */
	const struct sockaddr *peer;
};

/* From now on other threads call hot_answer, too, between hot_enter and hot_leave. The loop's
 * thread needs neither, for only it changes the table, between hot_lock and hot_unlock; without
 * other threads these do nothing. */
void hot_share(struct hot *hot);
void hot_enter(struct hot *hot);
void hot_leave(struct hot *hot);
void hot_lock(struct hot *hot);
void hot_unlock(struct hot *hot);

/* At most HOT_BATCH of them. now: loop_now's time. */
void hot_answer(struct hot *hot, struct hot_packet *packets, unsigned count, uint64_t now);

#endif
