/*
 * One query to one upstream: a socket of its own, connected, with a port of the kernel's choice,
 * and an ID of its own; over UDP also a random case of the name's letters (RFC 5452, sections 4
 * and 9; draft-vixie-dnsext-dns0x20). What does not match all of that is no answer.
 */
#ifndef JITSU_DNS_ATTEMPT_H
#define JITSU_DNS_ATTEMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct attempt;
struct attempts;
struct loop;

#define ATTEMPT_FORGERIES 16 /* packets that are no answer, until the query goes over TCP */

enum attempt_end {
	ATTEMPT_ANSWERED,    /* with the packet; over UDP it may be truncated */
	ATTEMPT_UNREACHABLE, /* nobody is there, or the connection was closed */
	ATTEMPT_DOUBTFUL, /* UDP: what came may be forged, or changes the name's case: ask over TCP */
};

/* The end of an attempt, from the loop only; the callee frees it (attempt_free). packet is valid
 * during the call, has room for WIRE_PACKET_MAX bytes and may be written to. */
typedef void attempt_fn(void *arg, struct attempt *attempt, enum attempt_end end, uint8_t *packet,
			size_t size);

/* What all attempts share. NULL if out of memory. */
struct attempts *attempts_new(struct loop *loop, attempt_fn *fn);
void attempts_free(struct attempts *attempts);

enum { ATTEMPT_STREAM = 1, ATTEMPT_KEEP_CASE = 2 };

/* Sends the packet, copying it; head: bytes of its header and question. NULL if that fails at once,
 * with errno. */
struct attempt *attempt_new(struct attempts *attempts, const struct sockaddr_storage *to,
			    unsigned flags, const uint8_t *packet, size_t size, size_t head,
			    void *arg);
void attempt_free(struct attempt *attempt);

bool attempt_is_stream(const struct attempt *attempt);
/* An answer to it over TCP had the name in another case. */
bool attempt_lost_case(const struct attempt *attempt);
/* The packet's question is, letter by letter, the one sent, and that can be no chance. */
bool attempt_sent_this(const struct attempt *attempt, const uint8_t *question, size_t size);

#endif
