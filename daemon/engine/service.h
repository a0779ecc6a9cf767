/*
 * One service at run time: it takes what happened, asks lifecycle what to do, and does it.
 *
 * service.c         what it is, dns's view of it, transitions and actions
 * service_events.c  what others tell of it
 * ready.c           the signs that it is ready      idle.c     when it is put away, and how deep
 * failure.c         failures, deaths and back-off   room.c     memory for it
 *
 * Every function that tells it of an event may end with the service freed (when it was removed and
 * nothing is left of it): the pointer is not to be used afterwards.
 */
#ifndef JITSU_ENGINE_SERVICE_H
#define JITSU_ENGINE_SERVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "engine/cause.h"
#include "engine/failure.h"
#include "engine/idle.h"
#include "engine/lifecycle.h"
#include "engine/ready.h"
#include "engine/registry.h"
#include "engine/room.h"

struct engine;
struct error;
struct link;
struct spec;
struct timer;

enum service_how { SERVICE_BOOTED, SERVICE_RESTORED, SERVICE_WOKEN };

/* Its last boot, restore or wake; CLOCK_MONOTONIC in µs, 0: did not happen (yet). */
struct boot_record {
	uint64_t want, began, created, key, port, frame, ready, answered, idle, retired, stopped;
	enum service_how how;
	unsigned missed; /* 1 << enum ready_sign: did not come within its limit */
	uint32_t waiters;
	bool late; /* answered at the wait limit */
};

struct service {
	struct engine *engine;
	struct spec *spec;
	char *json;    /* the specification, canonical, with its UUID */
	int64_t added; /* Unix time, s */
	uint32_t id;
	uint32_t domid; /* if entry.has_domain */
	struct registry_entry entry;

	enum lifecycle_state state;
	uint32_t boot;	   /* number of the last start or wake order */
	bool boot_ordered; /* at least once: boot means something */
	bool stop_ordered; /* and not answered yet */
	uint8_t stop_mode; /* of that order, enum spec_stop_mode */
	uint8_t put_mode;  /* enum spec_stop_mode: how the action STOP ends it */
	bool was_paused;   /* before it was being suspended */
	bool image;	   /* there is a suspend image of it */
	bool dead;	   /* its end was told while it was being put away */
	bool adopted;	   /* found by a survey, perhaps in the midst of its boot */
	bool revive;	   /* wanted until it is ready, whoever asks */
	uint8_t hold;	   /* enum message_hold, as last told; and of which domain */
	uint32_t hold_domid;
	bool parked;	     /* the administrator stopped it: not started unasked */
	bool staged;	     /* added, and not on disk yet */
	bool doomed;	     /* removed, but in the store until its domain is gone */
	unsigned losses;     /* toolstacks lost in a row while they built it */
	uint32_t survey;     /* number of the last survey that found it */
	struct timer *timer; /* what it means is the state's */
	int then;	     /* an event that follows the one being handled; -1 none */
	TAILQ_ENTRY(service) queued;
	TAILQ_ENTRY(service) rest; /* if considered, by rest.c */
	bool considered;
	struct room_share room;

	struct boot_record record;
	struct ready ready;
	struct idle idle;
	struct failure failure;
	struct cause cause;
	uint64_t boots, failures;
	const char *refusal; /* what dns tells who asks, a constant */
	char *notice;	     /* why it was not restored; NULL: nothing of the kind */
	uint64_t rx, tx;     /* bytes of its domain to and from the guest, as of `measured` */
	uint64_t measured;

	void (*gone)(void *arg); /* told when it is freed after a removal; NULL nobody */
	void *gone_arg;
};

/* Takes spec and json. Aborts when out of memory. */
struct service *service_new(struct engine *engine, uint32_t id, struct spec *spec, char *json,
			    int64_t added);
/* Takes it out of the registry, too. */
void service_free(struct service *service);
/* One that rests wakes (see rest.h), and goes to rest. Takes spec. */
void service_wake(struct engine *engine, uint32_t id, struct spec *spec, const char *json,
		  int64_t added);
void service_rest(struct service *service);
/* What a listing shows of one that rests: it is in no registry, and is to be released. */
struct service *service_peek(struct engine *engine, uint32_t id, struct spec *spec,
			     const char *json, int64_t added);
void service_release(struct service *service);

#define SERVICE_FAILED "the service behind this name failed to start"

/* What a listing shows of its state. */
const char *service_state(const struct service *service);
/* Shown to nobody: any more, or yet. */
bool service_removed(const struct service *service);
/* Neither domain nor image, and nothing under way: whatever its specification says, its next boot
 * is the first to know it. */
bool service_unbuilt(const struct service *service);

/* A key's value, or the default where it is not given. */
int64_t service_given(int64_t value, int64_t otherwise);
/* Defaults applied. Seconds, ms. */
uint32_t service_ttl(const struct service *service);
uint32_t service_wait_limit(const struct service *service);
/* When somebody last asked for it, CLOCK_MONOTONIC in µs; 0 never. */
uint64_t service_last_query(const struct service *service);
uint64_t service_queries(const struct service *service);

/* Sends dns its message `service` (see tell.h). */
void service_tell(const struct service *service, struct link *dns);

/* Its specification changed; what counts from now on is seen to. */
void service_changed(struct service *service);

/* For the files named above. The state's timer; the time; one not later than now (what others tell
 * of times is at worst wrong); an event. */
void service_wait_until(struct service *service, uint64_t when);
uint64_t service_now(const struct service *service);
uint64_t service_not_later(const struct service *service, uint64_t at);
void service_event(struct service *service, enum lifecycle_event event);
/* Has its suspend image deleted, if there is one. */
void service_discard(struct service *service);

/* What happened: dns, toolstack. */
void service_want(struct service *service, uint64_t at, const struct bytes *client,
		  const struct bytes *name);
/* The same by a packet. */
void service_knock(struct service *service, uint64_t at);
void service_retired(struct service *service);
void service_answered(struct service *service, uint64_t at, uint32_t waiters, bool late);
void service_created(struct service *service, uint32_t domid, bool restored, uint64_t began,
		     uint64_t at, const char *note);
void service_key(struct service *service, uint64_t at);
void service_frame(struct service *service, uint64_t at);
void service_start_failed(struct service *service, const char *why);
void service_woken(struct service *service, uint64_t at);
void service_wake_failed(struct service *service, const char *why);
void service_died(struct service *service, uint8_t reason, const char *console);
void service_stopped(struct service *service, uint64_t at);
void service_paused(struct service *service, uint64_t at);
void service_suspended(struct service *service, uint64_t at);
void service_stop_failed(struct service *service, const char *why);
void service_measured(struct service *service, uint64_t rx, uint64_t tx);

/* What a survey says. */
enum service_found { SERVICE_BROKEN, SERVICE_SHUT_DOWN, SERVICE_RUNNING, SERVICE_PAUSED };
struct engine_domain;
void service_found(struct service *service, const struct engine_domain *domain);
void service_absent(struct service *service);

/* Its turn: start it, or not for this reason. Takes it out of the queue. */
void service_place(struct service *service);
void service_refuse(struct service *service, const char *why);

/* What the administrator, or the daemon by itself, wants. Why the caller has said to cause.h. */
void service_summon(struct service *service);
/* The same if it sleeps, and again after each failure until it is ready. */
void service_revive(struct service *service);
void service_restart(struct service *service);
/* Puts it to sleep that deep, at once. The caller has seen that its state allows that. */
void service_put(struct service *service, enum spec_stop_mode mode);
/* The caller has told the store, and service->doomed if it is still in there. */
void service_remove(struct service *service);

#endif
