/*
 * What the dns room counts for people to see: one line each makes a place in the shared memory of
 * usage.h and a number in `daemon.status`. Since the daemon's start; a room started anew goes on.
 *
 *   COUNTER(name, "meaning")
 */
COUNTER(rate_slipped, "queries over their client network's rate that were told to prove their address")
COUNTER(rate_dropped, "queries over their client network's rate that were not answered")
COUNTER(wakes_unproven, "queries that might have started a service, and were told to prove their address first")
COUNTER(wakes_refused, "queries that would have started a service beyond the bound on that")
