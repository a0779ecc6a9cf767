/*
 * What Xen gives a PV guest, by the contracts of its public headers: the start info, time, event
 * channels, grants, the console. Event channels are polled (SCHEDOP_poll), so there is no interrupt
 * and no code that another could break into.
 */
#ifndef WEB_HYPER_H
#define WEB_HYPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/sched.h>
#include "layout.h"

#define xen_mb()  __asm__ volatile("mfence" : : : "memory")
#define xen_rmb() __asm__ volatile("" : : : "memory")
#define xen_wmb() __asm__ volatile("" : : : "memory")

#define HYPER_SECOND 1000000000ull
#define HYPER_NEVER  UINT64_MAX

long hypercall(unsigned long number, ...);

/* Before all else; `info` is what Xen gave at the entry. */
void hyper_init(const struct start_info *info);
const struct start_info *hyper_info(void);

/* Says on the console and ends the guest as crashed. */
_Noreturn void hyper_panic(const char *what);
_Noreturn void hyper_shutdown(unsigned reason);

/* ns since Xen's start, and the same since ours. */
uint64_t hyper_now(void);
uint64_t hyper_uptime(void);

/* The page that the domain builder placed into a machine frame, such as xenstore's ring. */
void *hyper_page(xen_pfn_t mfn);

/* Lets a domain read and write one of our pages, for ever. */
grant_ref_t hyper_grant(const void *page, domid_t to);

/* A new event channel that the domain may bind to. */
evtchn_port_t hyper_port(domid_t remote);
void hyper_notify(evtchn_port_t port);

/* Blocks until one of the ports has an event or that time is there; the events are cleared. */
void hyper_wait(evtchn_port_t *ports, unsigned count, uint64_t until);

/* A line on the console; what does not fit there is lost. */
void hyper_say(const char *format, ...);

#endif
