/*
 * The world's clients: DNS over UDP and TCP, with a small reader of its own, so that a fault in
 * the daemon's wire code does not hide itself; and JSON-RPC. Nothing here waits.
 */
#ifndef JITSU_TESTS_CLIENT_H
#define JITSU_TESTS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANSWER_ADDRESSES_MAX 64

struct json_object;
struct query;
struct call;
struct sockaddr_in;
struct sockaddr_un;

struct answer {
	unsigned rcode;
	bool authoritative, truncated, edns;
	unsigned answers, authorities; /* records in these sections */
	char addresses[ANSWER_ADDRESSES_MAX][48];
	size_t address_count;
	uint32_t ttl;  /* of the first record in the answer, or else in the authority section */
	int info_code; /* of the extended error, -1: none */
};

struct query_options {
	bool tcp, edns;
	const struct query *on; /* over the same TCP connection */
};

/* The number of a type such as "AAAA", -1 if it is not known here. */
int client_type(const char *name);
/* "NOERROR" and the like. */
const char *client_rcode(unsigned rcode);

/* Sends a query. Does not return if that fails. */
struct query *query_new(const struct sockaddr_in *server, const char *name, int type,
			const struct query_options *options);
/* 1 an answer was there, and is taken; 0 there is none; -1 what came is malformed, *why says how.
 * Over TCP, 0 as well when the server has closed. */
int query_answer(struct query *query, struct answer *answer, const char **why);
/* Closes its socket, unless another query is on it. */
void query_free(struct query *query);

/* Sends a request; params as JSON, or NULL. NULL if they are no JSON. */
struct call *call_new(const struct sockaddr_un *server, const char *method, const char *params);
/* The response, if it is there: the caller puts it. *closed: the server hung up instead. */
struct json_object *call_response(struct call *call, bool *closed);
void call_free(struct call *call);

#endif
