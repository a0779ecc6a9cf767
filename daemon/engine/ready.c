#include "engine/ready.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/inside.h"
#include "engine/probe.h"
#include "proto/message.h"
#include "proto/spec.h"

#define KEY_LIMIT   INT64_C(10000) /* ms */
#define PORT_LIMIT  INT64_C(10000)
#define FRAME_LIMIT INT64_C(60000)
#define ANSWER_TIME USEC_PER_SEC /* that an adopted one has at least, to show a sign */

static const struct {
	const char *name, *what;
} signs[] = {
	[READY_KEY] = { "key", "its wait_for_key did not appear" },
	[READY_PORT] = { "port", "its ready_port took no connection" },
	[READY_FRAME] = { "frame", "no frame came out of its nics" },
	[READY_SIGNS] = { "", "" },
};

const char *ready_sign_name(enum ready_sign sign)
{
	return signs[sign].name;
}

static bool restored(const struct service *service)
{
	return service->record.how == SERVICE_RESTORED;
}

/* Of the service's sign, when it did not come. */
static const char *lacks(const struct service *service, enum ready_sign sign)
{
	if (sign == READY_FRAME && restored(service))
		return "its nic was not connected again";
	return signs[sign].what;
}

/* What a restore brings back was ready before, but its nics are connected anew, and what is sent to
 * it before that is lost: a client would wait for its retransmission. */
static bool wanted(const struct service *service, enum ready_sign sign)
{
	const struct spec *spec = service->spec;
	bool anew = service->record.how == SERVICE_BOOTED;

	switch (sign) {
	case READY_KEY:
		return spec->wait_for_key && anew;
	case READY_PORT:
		return spec->ready_port != SPEC_UNSET && spec->ip.n;
	default:
		return spec->nic.n && spec->ready_port == SPEC_UNSET &&
		       (anew ? !spec->wait_for_key : restored(service));
	}
}

/* When it came; 0: not yet. */
static uint64_t came(const struct service *service, enum ready_sign sign)
{
	const struct boot_record *record = &service->record;

	return sign == READY_KEY ? record->key : sign == READY_PORT ? record->port : record->frame;
}

static uint64_t limit(const struct service *service, enum ready_sign sign)
{
	const struct spec *spec = service->spec;
	int64_t ms = sign == READY_KEY	  ? service_given(spec->wait_for_key_limit, KEY_LIMIT)
		     : sign == READY_PORT ? service_given(spec->ready_port_limit, PORT_LIMIT)
					  : service_given(spec->frame_limit, FRAME_LIMIT);

	return (uint64_t)ms * USEC_PER_MSEC;
}

static void on_open(void *arg, uint64_t at)
{
	struct service *service = arg;

	service->record.port = at;
	ready_look(service);
}

uint64_t ready_delay(const struct service *service)
{
	/* What was ready before it slept is so at once. */
	if (service->record.how != SERVICE_BOOTED)
		return 0;
	return (uint64_t)service_given(service->spec->response_delay,
				       service->engine->config.response_delay) *
	       USEC_PER_MSEC;
}

uint64_t ready_serving(const struct service *service)
{
	const struct boot_record *record = &service->record;
	uint64_t last = record->created;

	if (!service->adopted)
		return service_now(service);
	for (enum ready_sign sign = 0; sign < READY_SIGNS; sign++)
		if (wanted(service, sign) && came(service, sign) > last)
			last = came(service, sign);
	return last;
}

/* It was created so long ago, or nobody knows when, that it would have been taken as ready by now,
 * whatever came. */
static bool must_be_ready(const struct service *service)
{
	uint64_t longest = ready_delay(service);

	for (enum ready_sign sign = 0; sign < READY_SIGNS; sign++)
		if (wanted(service, sign))
			longest += limit(service, sign);
	return !service->record.created ||
	       service->record.created + longest <= service_now(service);
}

/* Of a simulated guest, µs from now. */
static uint64_t port_opens_in(const struct service *service)
{
	uint64_t after = (uint64_t)service_given(service->spec->sim_port, 0) * USEC_PER_MSEC;
	uint64_t ran = service->adopted ? service_now(service) - service->record.created : 0;

	return after > ran ? after - ran : 0;
}

/* Behind a simulated guest there is nobody, unless it has an address of this host's own. */
static void probe(struct service *service)
{
	const struct spec *spec = service->spec;
	const struct spec_address *address = &spec->ip.v[0];
	bool here = address->family == AF_INET && address->bytes[0] == 127;

	if (service->engine->config.simulated && (spec->sim_port != SPEC_UNSET || !here))
		service->ready.probe = probe_pretend(service->engine->loop, port_opens_in(service),
						     on_open, service);
	else
		service->ready.probe = probe_new(service->engine->loop, address,
						 (uint16_t)spec->ready_port, on_open, service);
}

static uint64_t limit_at(const struct service *service, enum ready_sign sign)
{
	uint64_t now = service_now(service), whole = limit(service, sign), at;

	if (!service->adopted)
		return now + whole;
	at = service->record.created + whole;
	return at > now + ANSWER_TIME ? at : now + ANSWER_TIME;
}

/* What was waited for last. */
static void say_why(struct service *service)
{
	static const enum cause_id causes[] = { CAUSE_KEY, CAUSE_PORT, CAUSE_FRAME };
	char msec[32];

	for (int sign = READY_SIGNS - 1; sign >= 0; sign--) {
		if (!wanted(service, (enum ready_sign)sign))
			continue;
		snprintf(msec, sizeof msec, "%llu",
			 (unsigned long long)(limit(service, (enum ready_sign)sign) /
					      USEC_PER_MSEC));
		if (!came(service, (enum ready_sign)sign))
			cause_say(service, CAUSE_SIGN_LIMIT, lacks(service, (enum ready_sign)sign),
				  msec);
		else if (sign == READY_FRAME && restored(service))
			break;
		else
			cause_say(service, causes[sign]);
		return;
	}
	cause_say(service, restored(service) ? CAUSE_RESTORED : CAUSE_RUNS);
}

/* Goes on to the next sign that is asked for and has not come. */
static void await(struct service *service, enum ready_sign sign)
{
	while (sign < READY_SIGNS && (!wanted(service, sign) || came(service, sign)))
		sign++;
	service->ready.awaited = sign;
	if (sign == READY_SIGNS) {
		say_why(service);
		service->then = LIFECYCLE_EVENT_SERVING;
		return;
	}
	service_wait_until(service, limit_at(service, sign));
	if (sign == READY_PORT)
		probe(service);
}

/* Its key and frame are told again, so that one that has come already is heard of. */
static void adopt(struct service *service)
{
	struct engine *engine = service->engine;
	bool key = wanted(service, READY_KEY) && !service->record.key;

	if (!key && !(wanted(service, READY_FRAME) && !service->record.frame))
		return;
	service->boot = engine->next_boot++;
	service->boot_ordered = true;
	message_send_adopt(engine->toolstack,
			   &(struct msg_adopt){ .id = service->id,
						.boot = service->boot,
						.domid = service->domid,
						.key = key ? service->spec->wait_for_key : "" });
}

void ready_begin(struct service *service)
{
	ready_end(service);
	if (service->adopted && must_be_ready(service)) {
		service->then = LIFECYCLE_EVENT_SERVING;
		return;
	}
	if (service->adopted)
		adopt(service);
	await(service, READY_KEY);
}

static void go_on(struct service *service)
{
	enum ready_sign sign = service->ready.awaited;

	probe_free(TAKE(service->ready.probe));
	await(service, sign + 1);
	if (service->ready.awaited < READY_SIGNS)
		return;
	service->then = -1;
	service_event(service, LIFECYCLE_EVENT_SERVING);
}

void ready_look(struct service *service)
{
	if (service->state == LIFECYCLE_BOOTING && service->ready.awaited < READY_SIGNS &&
	    came(service, service->ready.awaited))
		go_on(service);
}

void ready_limit(struct service *service)
{
	enum ready_sign sign = service->ready.awaited;

	service->record.missed |= 1u << sign;
	log_warning("service %s: %s in %llu ms: that is waited for no longer", service->spec->name,
		    lacks(service, sign),
		    (unsigned long long)(limit(service, sign) / USEC_PER_MSEC));
	go_on(service);
}

void ready_end(struct service *service)
{
	service->ready.awaited = READY_SIGNS;
	probe_free(TAKE(service->ready.probe));
}
