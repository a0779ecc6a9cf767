/* What happens to services, for those who have subscribed over the control socket. */
#ifndef JITSU_ENGINE_EVENTS_H
#define JITSU_ENGINE_EVENTS_H

struct service;

/* Shown in another state than before; names as in a listing. */
void event_state(const struct service *service, const char *from, const char *to, const char *why);
void event_failure(const struct service *service, const char *why);
void event_added(const struct service *service);
void event_removed(const struct service *service);
/* Its specification. */
void event_changed(const struct service *service);

#endif
