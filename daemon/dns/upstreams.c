#include "dns/upstreams.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

socklen_t upstreams_address_size(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					      : sizeof(struct sockaddr_in);
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;
	const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;

	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET6)
		return a6->sin6_port == b6->sin6_port && a6->sin6_scope_id == b6->sin6_scope_id &&
		       memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof a6->sin6_addr) == 0;
	return a4->sin_port == b4->sin_port && a4->sin_addr.s_addr == b4->sin_addr.s_addr;
}

static void describe(struct upstream *upstream)
{
	const struct sockaddr_in6 *in6 = (const void *)&upstream->address;
	const struct sockaddr_in *in = (const void *)&upstream->address;
	char address[INET6_ADDRSTRLEN] = "?";
	bool six = upstream->address.ss_family == AF_INET6;

	inet_ntop(six ? AF_INET6 : AF_INET,
		  six ? (const void *)&in6->sin6_addr : (const void *)&in->sin_addr, address,
		  sizeof address);
	snprintf(upstream->text, sizeof upstream->text, "%s port %u", address,
		 ntohs(six ? in6->sin6_port : in->sin_port));
}

void upstreams_set(struct upstreams *upstreams, const struct sockaddr_storage *addresses,
		   size_t count)
{
	struct upstreams old = *upstreams;

	upstreams->count = 0;
	for (size_t i = 0; i < count && i < DNS_ENDPOINTS_MAX; i++) {
		struct upstream *upstream = &upstreams->v[upstreams->count++];

		*upstream = (struct upstream){ .address = addresses[i] };
		describe(upstream);
		for (size_t j = 0; j < old.count; j++)
			if (same_address(&addresses[i], &old.v[j].address))
				*upstream = old.v[j];
	}
	upstreams->recoveries++;
}

int upstreams_pick(const struct upstreams *upstreams, uint32_t tried)
{
	for (size_t i = 0; i < upstreams->count; i++)
		if (!upstreams->v[i].down && !(tried & UINT32_C(1) << i))
			return (int)i;
	return -1;
}

int upstreams_probe(struct upstreams *upstreams, uint32_t tried, uint64_t now)
{
	for (size_t i = 0; i < upstreams->count; i++) {
		struct upstream *upstream = &upstreams->v[i];

		if (!upstream->down || upstream->probe_at > now || tried & UINT32_C(1) << i)
			continue;
		upstream->pause *= 2;
		if (upstream->pause > UPSTREAMS_PAUSE_MAX)
			upstream->pause = UPSTREAMS_PAUSE_MAX;
		upstream->probe_at = now + upstream->pause;
		return (int)i;
	}
	return -1;
}

bool upstreams_hopeless(const struct upstreams *upstreams)
{
	for (size_t i = 0; i < upstreams->count; i++)
		if (!upstreams->v[i].down || upstreams->v[i].pause < UPSTREAMS_PAUSE_MAX)
			return false;
	return true;
}

void upstreams_heard(struct upstreams *upstreams, size_t i, uint64_t now)
{
	struct upstream *upstream = &upstreams->v[i];

	upstream->heard = now;
	upstream->silences = 0;
	if (!upstream->down)
		return;
	upstream->down = false;
	upstreams->recoveries++;
	log_info("upstream %s answers again", upstream->text);
}

static void go_down(struct upstream *upstream, const char *why, uint64_t now)
{
	if (upstream->down)
		return;
	upstream->down = true;
	upstream->pause = UPSTREAMS_PAUSE_MIN;
	upstream->probe_at = now + upstream->pause;
	log_warning("upstream %s %s: others are asked, and it now and then", upstream->text, why);
}

void upstreams_silent(struct upstreams *upstreams, size_t i, uint64_t sent, uint64_t now)
{
	struct upstream *upstream = &upstreams->v[i];

	if (upstream->heard >= sent && upstream->heard)
		return;
	if (++upstream->silences >= UPSTREAMS_SILENCES)
		go_down(upstream, "does not answer", now);
}

void upstreams_unreachable(struct upstreams *upstreams, size_t i, uint64_t now)
{
	go_down(&upstreams->v[i], "cannot be reached", now);
}
