/*
 * The addresses that are held: what jitsud claims, found by its id, by an address, or by its MAC.
 */
#ifndef JITSU_SYNJITSU_CLAIM_H
#define JITSU_SYNJITSU_CLAIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "frame.h"
#include "hold.h"

#define CLAIM_ADDRESSES_MAX 16u
#define CLAIM_PORTS_MAX	    32u
#define CLAIM_SERVICE_MAX   64
#define CLAIM_NAME_MAX	    16 /* of an interface, as IFNAMSIZ */

struct port;
struct vif;

/*
 *   ASLEEP    its address is answered for; what comes is held, and knocks
 *   BOOTING   the same without knocking; once its interface is known, what a running guest takes
 *             goes to it, and the ports that SYNs wait for are probed
 *   READY     as BOOTING, until nothing waits and a port is known to listen, or for a time
 *   PASSING   the guest speaks for itself; what still comes here is passed on
 */
enum claim_state { CLAIM_ASLEEP, CLAIM_BOOTING, CLAIM_READY, CLAIM_PASSING };

struct claim_key {
	LIST_ENTRY(claim_key) entry;
	struct claim *claim;
	uint8_t size;
	uint8_t bytes[17]; /* an address's family and bytes, or a MAC, or an id */
};

struct claim {
	uint32_t id;
	enum claim_state state;
	uint8_t mac[FRAME_MAC];
	char service[CLAIM_SERVICE_MAX], bridge[CLAIM_NAME_MAX];
	struct address addresses[CLAIM_ADDRESSES_MAX];
	unsigned address_count;
	uint16_t ports[CLAIM_PORTS_MAX]; /* that may wake it; none: any */
	unsigned port_count;
	struct port *port; /* where it is claimed; NULL: no such bridge */
	char vif_name[CLAIM_NAME_MAX];
	struct vif *vif; /* NULL: not known */
	bool has_guest;	 /* its domain runs */
	bool alive;	 /* the guest has been heard speaking from its address */
	uint16_t listening[CLAIM_PORTS_MAX]; /* ports known to take connections */
	unsigned listening_count;
	struct hold hold;
	uint64_t since; /* in this state */
	uint64_t last_kept, next_probe, next_knock, next_defence, announce_at;
	unsigned announcements;	   /* still to be made */
	bool stale;		   /* of an earlier connection, not claimed again yet */
	TAILQ_ENTRY(claim) entry;  /* all */
	TAILQ_ENTRY(claim) active; /* … those that the clock is for */
	bool is_active;
	TAILQ_ENTRY(claim) announce; /* while announcements */
	struct claim_key keys[CLAIM_ADDRESSES_MAX + 2];
};

#define CLAIM_BUCKETS 16384u

struct claims {
	TAILQ_HEAD(claim_list, claim) all;
	size_t count;
	LIST_HEAD(claim_keys, claim_key) buckets[CLAIM_BUCKETS];
};

void claims_init(struct claims *claims);

struct claim *claim_by_id(const struct claims *claims, uint32_t id);
struct claim *claim_by_address(const struct claims *claims, const struct address *address);
struct claim *claim_by_mac(const struct claims *claims, const uint8_t *mac);

/* An empty one, not yet to be found. NULL if out of memory. */
struct claim *claim_new(uint32_t id);
/* To be found by its id, its addresses and its MAC from here on; what is changed of these takes a
 * claim_unlink before and a claim_link after. An address that two have leads to the younger. */
void claim_link(struct claims *claims, struct claim *claim);
void claim_unlink(struct claims *claims, struct claim *claim);

bool claim_listens(const struct claim *claim, uint16_t port);
void claim_set_listening(struct claim *claim, uint16_t port);
/* May a packet to that port (0: one without) wake it? */
bool claim_wakes(const struct claim *claim, uint16_t port);

#endif
