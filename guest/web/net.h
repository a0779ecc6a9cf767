/*
 * The frontend of the first network device (xen/io/netif.h): one queue, pages granted once and used
 * for ever, no offloads, so a frame lies in one page with its checksums in it.
 */
#ifndef WEB_NET_H
#define WEB_NET_H

#include <stdbool.h>
#include "hyper.h"
#include "wire.h"

/* Offers the rings to the backend, if there is a device. */
bool net_open(void);
evtchn_port_t net_port(void);
const uint8_t *net_mac(void);

/* After a change in xenstore: goes on with the handshake. True once the backend is connected. */
bool net_connected(void);

/* Copies the frame; drops it if the backend does not keep up. */
void net_send(const void *frame, size_t size);

/* Hands each frame that came to `receive`; `trusted`: its checksums need no check. */
void net_poll(void (*receive)(uint8_t *frame, size_t size, bool trusted));

#endif
