/*
 * Server cookies, RFC 7873, made as RFC 9018 says (version 1, SipHash-2-4), so that other servers
 * with the same secret take them. Valid for an hour.
 *
 * Given secrets: the first makes, all are taken. None given: a secret for each day is derived from
 * a master that the parent draws at its start; today's makes, yesterday's is taken too.
 */
#ifndef JITSU_DNS_WIRE_COOKIE_H
#define JITSU_DNS_WIRE_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define WIRE_COOKIE_CLIENT	8
#define WIRE_COOKIE_SERVER	16
#define WIRE_COOKIE_SIZE	(WIRE_COOKIE_CLIENT + WIRE_COOKIE_SERVER)
#define WIRE_COOKIE_SECRET	16
#define WIRE_COOKIE_SECRETS_MAX 4

struct wire_cookie_secrets {
	bool enabled;
	unsigned given; /* 0: secret[0] is the master */
	uint8_t secret[WIRE_COOKIE_SECRETS_MAX][WIRE_COOKIE_SECRET];
};

/* The option's size is one that RFC 7873 allows: a client cookie, with or without a server's. */
bool wire_cookie_sound(size_t size);

/* Checks the option of a query from peer; unix_now is time(). True if its server cookie is ours
 * and is not over-age. */
bool wire_cookie_check(const struct wire_cookie_secrets *secrets, const uint8_t *option,
		       size_t size, const struct sockaddr *peer, uint64_t unix_now);

/* The option for the answer to one with this client cookie: WIRE_COOKIE_SIZE bytes. */
void wire_cookie_make(const struct wire_cookie_secrets *secrets,
		      const uint8_t client[WIRE_COOKIE_CLIENT], const struct sockaddr *peer,
		      uint64_t unix_now, uint8_t out[WIRE_COOKIE_SIZE]);

#endif
