/* Names that are not ours: answered here if they are special, forwarded for those who may. */
#ifndef JITSU_DNS_ELSEWHERE_H
#define JITSU_DNS_ELSEWHERE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;
struct dns;
struct forward_refusal;
struct wire_query;

/* Whether this client may have other names forwarded: then its answers say RA. */
bool elsewhere_is_offered(const struct dns *dns, const struct client *client);

/* Answers, or forwards and answers later. */
void elsewhere_send(struct dns *dns, const struct client *client, const struct wire_query *query);

/* forward_fn; arg is the room. */
void elsewhere_forwarded(void *arg, const struct client *client, uint8_t *packet, size_t size,
			 const uint8_t *response, size_t response_size,
			 const struct forward_refusal *refusal);

#endif
