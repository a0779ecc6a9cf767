#include "dns/wire_cookie.h"

#include <libknot/cookies.h>
#include <libknot/errcode.h>
#include <netinet/in.h>
#include <string.h>

#define VERSION	      1
#define SECONDS_A_DAY 86400
#define LIFETIME      3600 /* RFC 9018, 4.3 */
#define CLOCK_SKEW    300

bool wire_cookie_sound(size_t size)
{
	return size == WIRE_COOKIE_CLIENT ||
	       (size >= WIRE_COOKIE_CLIENT + 8 && size <= WIRE_COOKIE_CLIENT + 32);
}

static void set_up(knot_edns_cookie_params_t *params, struct sockaddr_storage *address,
		   const struct sockaddr *peer, uint64_t unix_now)
{
	/* libknot hashes the address alone, but wants it in the larger structure. */
	memset(address, 0, sizeof *address);
	memcpy(address, peer,
	       peer->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					   : sizeof(struct sockaddr_in));
	*params = (knot_edns_cookie_params_t){ .version = VERSION,
					       .timestamp = (uint32_t)unix_now,
					       .lifetime_before = LIFETIME,
					       .lifetime_after = CLOCK_SKEW,
					       .client_addr = address };
}

/* The day's secret: the hashes, under the master, of day and half. */
static void derive(const uint8_t master[WIRE_COOKIE_SECRET], uint64_t day,
		   uint8_t out[WIRE_COOKIE_SECRET])
{
	const struct sockaddr_in nobody = { .sin_family = AF_INET };
	struct sockaddr_storage address;
	knot_edns_cookie_params_t params;
	knot_edns_cookie_t seed = { .len = WIRE_COOKIE_CLIENT }, made;

	set_up(&params, &address, (const struct sockaddr *)&nobody, 0);
	memcpy(params.secret, master, sizeof params.secret);
	memcpy(seed.data, &day, sizeof day);
	for (unsigned half = 0; half < 2; half++) {
		params.timestamp = half;
		knot_edns_cookie_server_generate(&made, &seed, &params);
		memcpy(out + half * 8, made.data + 8, 8);
	}
}

/* The i-th secret that is taken, the first of which makes; false if there are no more. */
static bool get_secret(const struct wire_cookie_secrets *secrets, unsigned i, uint64_t unix_now,
		       uint8_t out[WIRE_COOKIE_SECRET])
{
	if (secrets->given) {
		if (i < secrets->given)
			memcpy(out, secrets->secret[i], WIRE_COOKIE_SECRET);
		return i < secrets->given;
	}
	if (i < 2)
		derive(secrets->secret[0], unix_now / SECONDS_A_DAY - i, out);
	return i < 2;
}

bool wire_cookie_check(const struct wire_cookie_secrets *secrets, const uint8_t *option,
		       size_t size, const struct sockaddr *peer, uint64_t unix_now)
{
	knot_edns_cookie_t client = { .len = WIRE_COOKIE_CLIENT },
			   server = { .len = WIRE_COOKIE_SERVER };
	knot_edns_cookie_params_t params;
	struct sockaddr_storage address;

	if (size != WIRE_COOKIE_SIZE)
		return false;
	memcpy(client.data, option, WIRE_COOKIE_CLIENT);
	memcpy(server.data, option + WIRE_COOKIE_CLIENT, WIRE_COOKIE_SERVER);
	set_up(&params, &address, peer, unix_now);
	for (unsigned i = 0; get_secret(secrets, i, unix_now, params.secret); i++)
		if (knot_edns_cookie_server_check(&server, &client, &params) == KNOT_EOK)
			return true;
	return false;
}

void wire_cookie_make(const struct wire_cookie_secrets *secrets,
		      const uint8_t client[WIRE_COOKIE_CLIENT], const struct sockaddr *peer,
		      uint64_t unix_now, uint8_t out[WIRE_COOKIE_SIZE])
{
	knot_edns_cookie_t from = { .len = WIRE_COOKIE_CLIENT }, made;
	knot_edns_cookie_params_t params;
	struct sockaddr_storage address;

	memcpy(from.data, client, WIRE_COOKIE_CLIENT);
	set_up(&params, &address, peer, unix_now);
	get_secret(secrets, 0, unix_now, params.secret);
	knot_edns_cookie_server_generate(&made, &from, &params);
	memcpy(out, client, WIRE_COOKIE_CLIENT);
	memcpy(out + WIRE_COOKIE_CLIENT, made.data, WIRE_COOKIE_SERVER);
}
