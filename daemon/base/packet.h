/* Packet sockets: frames as they pass an interface (packet(7)). */
#ifndef JITSU_BASE_PACKET_H
#define JITSU_BASE_PACKET_H

#include <stdbool.h>

struct error;

/* Gets what comes in at the interface, not what is sent there; promiscuous: whoever it is for. Does
 * not block; the caller's to close. -1 with an error. */
int packet_open(unsigned interface, bool promiscuous, struct error *err);

#endif
