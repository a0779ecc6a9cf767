#include "toolstack/synjitsu.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "proto/message.h"
#include "proto/spec.h"
#include "proto/synjitsu.h"
#include "toolstack/channel.h"
#include "toolstack/relay.h"
#include "toolstack/vif.h"

#define RETRY_FIRST (100 * USEC_PER_MSEC)
#define RETRY_LAST  (10 * USEC_PER_SEC)
#define QUEUE_MAX   (1024u * 1024) /* for a peer that does not read; then it is left, and met anew */
#define STALL_USEC  (10 * USEC_PER_SEC)
#define DRAIN_USEC  (5 * USEC_PER_MSEC)
#define BUCKETS	    4096u
#define NICS	    16u /* of one service: a claim's id is the service's, and the nic's number */

struct hold {
	LIST_ENTRY(hold) entry;
	uint32_t id, domid;
	enum message_hold how;
	uint16_t port;
	struct spec *spec;
};

struct synjitsu {
	struct loop *loop;
	char *peer;
	synjitsu_knock_fn *knock;
	void *arg;
	struct channel *channel; /* NULL: not connected */
	bool greeted;		 /* ours: it has said hello */
	struct timer *timer;	 /* the next attempt; or a ring that was full */
	uint64_t retry, stalled; /* µs; since when nothing could be written, 0 if it could */
	uint8_t *queue;
	size_t queued;
	uint8_t in[2 * SYNJITSU_MAX];
	size_t in_size;
	struct relays *relays; /* for a Synjitsu in another domain */
	uint64_t lost;	       /* bytes that were dropped with a connection */
	LIST_HEAD(holds, hold) holds[BUCKETS];
};

static void on_timer(void *arg);
static relay_heard_fn say_heard;
static void tell_all(struct synjitsu *s);

struct synjitsu *synjitsu_new(struct loop *loop, const char *peer, synjitsu_knock_fn *knock,
			      void *arg, struct error *err)
{
	struct synjitsu *s;

	if (channel_check(peer, err) < 0)
		return NULL;
	s = calloc(1, sizeof *s);
	if (s) {
		s->loop = loop;
		s->knock = knock;
		s->arg = arg;
		s->retry = RETRY_FIRST;
		s->peer = strdup(peer);
		s->queue = malloc(QUEUE_MAX);
		s->timer = timer_new(loop, on_timer, s);
	}
	if (!s || !s->peer || !s->queue || !s->timer) {
		error_errno(err, "no memory for Synjitsu's channel");
	} else if ((s->relays = relays_new(loop, say_heard, s, err))) {
		timer_set(s->timer, 0);
		return s;
	}
	synjitsu_free(s);
	return NULL;
}

static struct hold *find(struct synjitsu *s, uint32_t id)
{
	struct hold *hold;

	LIST_FOREACH(hold, &s->holds[id % BUCKETS], entry)
		if (hold->id == id)
			return hold;
	return NULL;
}

static void drop(struct hold *hold)
{
	LIST_REMOVE(hold, entry);
	spec_free(hold->spec);
	free(hold);
}

void synjitsu_forget_all(struct synjitsu *s)
{
	struct hold *hold;

	for (unsigned i = 0; i < BUCKETS; i++)
		while ((hold = LIST_FIRST(&s->holds[i])))
			drop(hold);
}

void synjitsu_free(struct synjitsu *s)
{
	if (!s)
		return;
	synjitsu_forget_all(s);
	relays_free(s->relays);
	channel_close(s->channel);
	timer_free(s->timer);
	free(s->queue);
	free(s->peer);
	free(s);
}

/* --- the connection ------------------------------------------------------------------------ */

static void leave(struct synjitsu *s)
{
	if (!s->channel)
		return;
	log_warning("Synjitsu is gone; %zu bytes were on their way to it", s->queued);
	s->lost += s->queued;
	channel_close(s->channel);
	s->channel = NULL;
	relays_end(s->relays);
	s->greeted = false;
	s->queued = s->in_size = 0;
	s->stalled = 0;
	timer_set(s->timer, s->retry);
}

static void flush(struct synjitsu *s)
{
	while (s->queued) {
		int r = channel_write(s->channel, s->queue, s->queued);

		if (r < 0) {
			leave(s);
			return;
		}
		if (r == 0) {
			uint64_t now = loop_now(s->loop);

			if (!s->stalled)
				s->stalled = now;
			if (now - s->stalled > STALL_USEC) {
				s->retry = RETRY_LAST; /* its ring is there, it is not */
				leave(s);
			} else {
				timer_set(s->timer, DRAIN_USEC);
			}
			return;
		}
		s->stalled = 0;
		s->queued -= (size_t)r;
		memmove(s->queue, s->queue + r, s->queued);
	}
}

static void say(struct synjitsu *s, const uint8_t *data, size_t size)
{
	if (size > QUEUE_MAX - s->queued) {
		leave(s);
		return;
	}
	memcpy(s->queue + s->queued, data, size);
	s->queued += size;
	if (s->queued == size)
		flush(s);
}

static bool speaks_ours(const struct synjitsu *s)
{
	return s->channel && !channel_is_original(s->channel);
}

static void take_hello(void *arg, const struct synjitsu_hello *m)
{
	struct synjitsu *s = arg;

	if (m->magic != SYNJITSU_MAGIC || s->greeted)
		return;
	s->greeted = true;
	s->retry = RETRY_FIRST;
	log_info("Synjitsu speaks version %u", m->version);
}

static void take_knock(void *arg, const struct synjitsu_knock *m)
{
	struct synjitsu *s = arg;

	if (find(s, m->id / NICS))
		s->knock(s->arg, m->id / NICS, m->source);
}

static void take_counters(void *arg, const struct synjitsu_counters *m)
{
	(void)arg;
	log_debug(
		"Synjitsu: %u claims, %u frames held; %llu handed over, %llu folded, %llu dropped",
		m->claims, m->held, (unsigned long long)m->handed, (unsigned long long)m->folded,
		(unsigned long long)m->dropped);
}

static void take_relay(void *arg, const struct synjitsu_relay *m)
{
	struct synjitsu *s = arg;
	const struct hold *hold = find(s, m->id / NICS);
	unsigned nic = m->id % NICS;
	char interface[VIF_NAME_MAX] = "";
	uint8_t mac[6] = { 0 };

	if (m->how != SYNJITSU_RELAY_OFF) {
		if (!hold || !hold->domid || nic >= hold->spec->nic.n)
			return; /* it is over */
		vif_name(interface, hold->domid, nic);
		spec_mac(hold->spec, nic, mac);
	}
	relay_set(s->relays, m->id, interface, mac, (enum synjitsu_relay_how)m->how);
}

static void take_inject(void *arg, const struct synjitsu_inject *m)
{
	struct synjitsu *s = arg;

	relay_inject(s->relays, m->id, m->frame);
}

/* What it does not read in time is not for its ears any more. */
static void say_heard(void *arg, uint32_t id, struct bytes frame)
{
	struct synjitsu *s = arg;
	struct synjitsu_heard m = { .id = id, .frame = frame };
	uint8_t out[SYNJITSU_MAX];

	if (s->queued < QUEUE_MAX / 2)
		say(s, out, synjitsu_pack_heard(out, sizeof out, &m));
}

static const struct synjitsu_handlers handlers = {
	.hello = take_hello,
	.knock = take_knock,
	.relay = take_relay,
	.inject = take_inject,
	.counters = take_counters,
};

static void read_all(struct synjitsu *s)
{
	struct error err;
	int r = 0;

	while (s->channel &&
	       (r = channel_read(s->channel, s->in + s->in_size, sizeof s->in - s->in_size)) > 0) {
		size_t done = 0;

		if (channel_is_original(s->channel))
			continue; /* it has nothing to say */
		s->in_size += (size_t)r;
		while ((r = synjitsu_dispatch(s->in + done, s->in_size - done, &handlers, s,
					      &err)) > 0)
			done += (size_t)r;
		s->in_size -= done;
		memmove(s->in, s->in + done, s->in_size);
		if (r < 0) {
			log_error("Synjitsu: %s", err.text);
			break;
		}
	}
	if (r < 0)
		leave(s);
}

static void on_moved(void *arg)
{
	struct synjitsu *s = arg;

	read_all(s);
	if (s->channel)
		flush(s);
}

static void on_closed(void *arg)
{
	leave(arg);
}

static void greet(struct synjitsu *s)
{
	struct synjitsu_hello hello = { .magic = SYNJITSU_MAGIC, .version = SYNJITSU_VERSION };
	uint8_t out[SYNJITSU_MAX];

	log_info("connected to %s Synjitsu, %s",
		 channel_is_original(s->channel) ? "an original" : "a", s->peer);
	if (channel_domid(s->channel) >= 0)
		relays_meet(s->relays, (uint32_t)channel_domid(s->channel));
	if (speaks_ours(s))
		say(s, out, synjitsu_pack_hello(out, sizeof out, &hello));
	else
		s->retry = RETRY_FIRST;
	tell_all(s);
}

static void on_timer(void *arg)
{
	static const struct channel_callbacks callbacks = { on_moved, on_closed };
	struct synjitsu *s = arg;
	struct error err;

	if (s->channel) {
		flush(s);
		return;
	}
	s->channel = channel_open(s->loop, s->peer, &callbacks, s, &err);
	if (s->channel) {
		greet(s);
		return;
	}
	if (s->retry == RETRY_FIRST)
		log_warning("Synjitsu: %s; trying again", err.text);
	s->retry = s->retry * 2 < RETRY_LAST ? s->retry * 2 : RETRY_LAST;
	timer_set(s->timer, s->retry);
}

/* --- what is held -------------------------------------------------------------------------- */

static bool in_network(const struct spec_address *ip, const struct ifaddrs *one)
{
	const uint8_t *address, *mask;
	uint8_t differs = 0;

	if (!one->ifa_addr || !one->ifa_netmask || one->ifa_addr->sa_family != ip->family)
		return false;
	if (ip->family == AF_INET) {
		address = (const uint8_t *)&((struct sockaddr_in *)(void *)one->ifa_addr)->sin_addr;
		mask = (const uint8_t *)&((struct sockaddr_in *)(void *)one->ifa_netmask)->sin_addr;
	} else {
		address = ((struct sockaddr_in6 *)(void *)one->ifa_addr)->sin6_addr.s6_addr;
		mask = ((struct sockaddr_in6 *)(void *)one->ifa_netmask)->sin6_addr.s6_addr;
	}
	for (size_t i = 0; i < (ip->family == AF_INET ? 4 : 16); i++)
		differs |= (uint8_t)((address[i] ^ ip->bytes[i]) & mask[i]);
	return differs == 0;
}

/* Which nic carries an address: one whose bridge is in its network here; else the first. */
static unsigned carrier(const struct spec *spec, const struct spec_address *ip,
			const struct ifaddrs *all)
{
	for (unsigned nic = 0; nic < spec->nic.n && nic < NICS; nic++)
		for (const struct ifaddrs *one = all; one; one = one->ifa_next)
			if (strcmp(one->ifa_name, spec->nic.v[nic]) == 0 && in_network(ip, one))
				return nic;
	return 0;
}

static void claim(struct synjitsu *s, const struct hold *hold, unsigned nic,
		  const uint8_t *addresses, size_t size)
{
	const struct spec *spec = hold->spec;
	uint8_t out[SYNJITSU_MAX], ports[64];
	uint32_t count = 0;
	struct synjitsu_claim m = { .id = hold->id * NICS + nic,
				    .awake = hold->how != MESSAGE_HOLD_ASLEEP,
				    .bridge = synjitsu_text(spec->nic.v[nic]),
				    .addresses = { addresses, (uint32_t)size },
				    .service = synjitsu_text(spec->name) };

	for (size_t i = 0; i < spec->ports.n && count + 2 <= sizeof ports; i++) {
		unsigned long port = strtoul(spec->ports.v[i], NULL, 10);

		ports[count++] = (uint8_t)(port >> 8);
		ports[count++] = (uint8_t)port;
	}
	m.ports = (struct bytes){ ports, count };
	spec_mac(spec, nic, m.mac);
	say(s, out, synjitsu_pack_claim(out, sizeof out, &m));
}

static void tell_guest(struct synjitsu *s, const struct hold *hold, unsigned nic)
{
	uint8_t out[SYNJITSU_MAX];
	char name[VIF_NAME_MAX];
	struct synjitsu_guest m = { .id = hold->id * NICS + nic };

	vif_name(name, hold->domid, nic);
	m.vif = synjitsu_text(name);
	say(s, out, synjitsu_pack_guest(out, sizeof out, &m));
}

/* To an original: only who is started, and of that IPv4. */
static void tell_original(struct synjitsu *s, const struct hold *hold, const struct ifaddrs *all)
{
	const struct spec *spec = hold->spec;
	uint8_t record[SYNJITSU_RECORD], mac[6];

	for (size_t i = 0; hold->how == MESSAGE_HOLD_STARTING && i < spec->ip.n && s->channel;
	     i++) {
		if (spec->ip.v[i].family != AF_INET)
			continue;
		spec_mac(spec, carrier(spec, &spec->ip.v[i], all), mac);
		synjitsu_pack_record(record, mac, spec->ip.v[i].bytes);
		say(s, record, sizeof record);
	}
}

/* news: of the claim itself, not only of its guest or its readiness. */
static void tell_ours(struct synjitsu *s, const struct hold *hold, const struct ifaddrs *all,
		      bool news)
{
	const struct spec *spec = hold->spec;
	uint8_t addresses[17 * 16], out[SYNJITSU_MAX];

	for (unsigned nic = 0; nic < spec->nic.n && nic < NICS; nic++) {
		size_t size = 0;

		for (size_t i = 0; i < spec->ip.n && size + 17 <= sizeof addresses; i++) {
			const struct spec_address *ip = &spec->ip.v[i];
			size_t bytes = ip->family == AF_INET ? 4 : 16;

			if (carrier(spec, ip, all) != nic)
				continue;
			addresses[size] = ip->family == AF_INET ? 4 : 6;
			memcpy(addresses + size + 1, ip->bytes, bytes);
			size += 1 + bytes;
		}
		if (!size)
			continue;
		if (news && s->channel)
			claim(s, hold, nic, addresses, size);
		if (hold->how != MESSAGE_HOLD_ASLEEP && hold->domid && s->channel)
			tell_guest(s, hold, nic);
		if (hold->how == MESSAGE_HOLD_READY && s->channel)
			say(s, out,
			    synjitsu_pack_ready(
				    out, sizeof out,
				    &(struct synjitsu_ready){ .id = hold->id * NICS + nic,
							      .port = hold->port }));
	}
}

static void tell(struct synjitsu *s, const struct hold *hold, bool news)
{
	struct ifaddrs *all = NULL;

	if (!s->channel)
		return;
	if (hold->spec->nic.n > 1)
		getifaddrs(&all);
	if (speaks_ours(s))
		tell_ours(s, hold, all, news);
	else if (news)
		tell_original(s, hold, all);
	freeifaddrs(all);
}

/* A new peer: who is up speaks for himself. */
static void tell_all(struct synjitsu *s)
{
	struct hold *hold;

	for (unsigned i = 0; i < BUCKETS; i++)
		LIST_FOREACH(hold, &s->holds[i], entry)
			if (hold->how != MESSAGE_HOLD_READY)
				tell(s, hold, true);
}

static void forget(struct synjitsu *s, struct hold *hold)
{
	uint8_t out[SYNJITSU_MAX];

	for (unsigned nic = 0; speaks_ours(s) && nic < hold->spec->nic.n && nic < NICS; nic++)
		say(s, out,
		    synjitsu_pack_forget(out, sizeof out,
					 &(struct synjitsu_forget){ hold->id * NICS + nic }));
	drop(hold);
}

int synjitsu_hold(struct synjitsu *s, const struct msg_hold *m, int simulated, struct error *err)
{
	struct hold *hold = find(s, m->id);
	struct spec *spec;
	bool news;

	if (m->how == MESSAGE_HOLD_NONE) {
		if (hold)
			forget(s, hold);
		return 0;
	}
	spec = spec_from_text(m->spec, simulated, err);
	if (!spec)
		return -1;
	if (!hold) {
		hold = calloc(1, sizeof *hold);
		if (!hold)
			abort();
		hold->id = m->id;
		LIST_INSERT_HEAD(&s->holds[m->id % BUCKETS], hold, entry);
	}
	/* A guest that is just told to be up, or whose domain is known now, is claimed already. */
	news = hold->how != (enum message_hold)m->how && m->how != MESSAGE_HOLD_READY;
	spec_free(hold->spec);
	hold->spec = spec;
	hold->how = (enum message_hold)m->how;
	hold->domid = m->domid;
	hold->port = m->port;
	tell(s, hold, news);
	return 0;
}

void synjitsu_guest(struct synjitsu *s, uint32_t id, uint32_t domid)
{
	struct hold *hold = find(s, id);

	if (!hold)
		return;
	hold->domid = domid;
	tell(s, hold, false);
}
