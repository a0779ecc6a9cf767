/* What a service manager such as systemd wants to be told; sd_notify(3) describes the protocol. */
#ifndef JITSU_NOTIFY_H
#define JITSU_NOTIFY_H

/* Sends `state`, such as "READY=1", to the socket that the environment names in NOTIFY_SOCKET;
 * nothing if it names none. Failures are logged. */
void notify_manager(const char *state);

#endif
