/*
 * The server's half of TCP (RFC 9293), for one page: a request is read up to its empty line, one
 * segment answers it and closes. So there is one segment at most to be sent again, and no window to
 * fill.
 */
#ifndef WEB_TCP_H
#define WEB_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TCP_PORT       80
#define TCP_ANSWER_MAX 512 /* fits into every peer's segment: RFC 9293, section 3.7.1 */

/* From now on it listens; before, connections are refused. The answer stays the caller's. */
void tcp_listen(const char *answer, size_t size);

/* A segment from an address; `trusted`: its checksum needs no check. */
void tcp_receive(uint32_t peer, const void *segment, size_t size, bool trusted);

/* Does what is due; returns when to come again, HYPER_NEVER if nothing waits. */
uint64_t tcp_timers(uint64_t now);

#endif
