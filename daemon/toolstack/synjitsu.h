/*
 * The daemon's side of Synjitsu: says which addresses are to be held for which guests, and hears
 * of packets for guests that sleep. An original Synjitsu gets a record of 10 bytes for each
 * address of IPv4 when its guest is started, ours the messages of proto/synjitsu.tbl.h.
 *
 * Nothing waits for the peer: while there is none, what is held is remembered, and told when
 * there is one; it is tried again after 0.1 s, then later each time, up to 10 s.
 */
#ifndef JITSU_TOOLSTACK_SYNJITSU_H
#define JITSU_TOOLSTACK_SYNJITSU_H

#include <stdint.h>

struct bytes;
struct error;
struct loop;
struct msg_hold;
struct synjitsu;

/* A packet came for a service that sleeps: its id, and who sent it. */
typedef void synjitsu_knock_fn(void *arg, uint32_t id, struct bytes source);

/* peer as channel.h has it. NULL with an error; that nobody is there is none. */
struct synjitsu *synjitsu_new(struct loop *loop, const char *peer, synjitsu_knock_fn *knock,
			      void *arg, struct error *err);
void synjitsu_free(struct synjitsu *synjitsu);

/* Carries out the engine's word. 0, or -1 with an error: the specification is not sound. */
int synjitsu_hold(struct synjitsu *synjitsu, const struct msg_hold *m, int simulated,
		  struct error *err);
/* The service's domain is built, or runs again. */
void synjitsu_guest(struct synjitsu *synjitsu, uint32_t id, uint32_t domid);
/* A new engine will say anew what is to be held. */
void synjitsu_forget_all(struct synjitsu *synjitsu);

#endif
