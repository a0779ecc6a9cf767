/* The dns room that the harnesses feed: names of every kind, zones, cookies, one upstream. */
#ifndef JITSU_FUZZ_ROOM_H
#define JITSU_FUZZ_ROOM_H

#include "test_dns.h"

#include <proto/message.h>

#define SOUND(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct world *room_new(const struct sockaddr_in *upstream)
{
	static const char *const zones[] = { "example.org" }, *const bind_to[] = { "192.0.2.53" };
	static const char *const secret[] = { "e5e973e5a6b2a43f48e7dc849e37bfcf" };
	static const struct service services[] = {
		{ .id = 1,
		  .ready = true,
		  .names = "a.example.org web.example.net *.w.example.org",
		  .addresses = "10.0.0.1 2001:db8::1",
		  .flags = MESSAGE_SERVICE_PTR },
		{ .id = 2, .ready = true, .names = "x.y.z.example.org", .addresses = "10.0.0.2" },
		{ .id = 3,
		  .ready = false,
		  .names = "s.example.org *.s.example.net",
		  .addresses = "10.0.0.3 10.0.0.4" },
		{ .id = 4,
		  .ready = false,
		  .names = "t.example.org",
		  .addresses = "2001:db8::4",
		  .flags = MESSAGE_SERVICE_WAKE_ANY },
	};
	static struct dns_settings settings;
	struct dns_texts texts = { .zones = zones,
				   .zone_count = ARRAY_SIZE(zones),
				   .bind = bind_to,
				   .bind_count = ARRAY_SIZE(bind_to),
				   .cookie_secret = secret,
				   .secret_count = ARRAY_SIZE(secret),
				   .cookies = 1,
				   .identity = "fuzzed",
				   .ttl = 60 };
	struct error err;
	struct world *w;

	setenv("CMOCKA_TEST_ABORT", "1", 1);
	SOUND(dns_settings_read(&settings, &texts, &err) == 0);
	w = world_new_with(upstream, upstream ? 1 : 0, &settings);
	tell_table(w, services, ARRAY_SIZE(services));
	return w;
}

/* A name, at most once compressed at each step, all within the packet. */
static size_t sound_name(const uint8_t *d, size_t size, size_t at)
{
	size_t end = 0;

	for (int steps = 0; steps < 256; steps++) {
		SOUND(at < size);
		if (d[at] >= 0xc0) {
			SOUND(at + 1 < size);
			if (!end)
				end = at + 2;
			SOUND((size_t)((d[at] & 0x3f) << 8 | d[at + 1]) < at);
			at = (size_t)((d[at] & 0x3f) << 8 | d[at + 1]);
		} else if (d[at] == 0) {
			return end ? end : at + 1;
		} else {
			SOUND(d[at] < 64);
			at += d[at] + 1u;
		}
	}
	abort();
}

/* Any answer is a whole DNS message: to that query, with as many records as it says. */
static inline void sound_answer(const uint8_t *query, size_t query_size, const uint8_t *d,
				size_t size)
{
	unsigned records, questions;
	size_t at = 12;

	SOUND(query_size >= 12 && size >= 12);
	SOUND(d[0] == query[0] && d[1] == query[1]);
	SOUND(d[2] & 0x80 && (d[2] & 0x78) == (query[2] & 0x78));
	questions = (unsigned)(d[4] << 8 | d[5]);
	SOUND(questions <= 1);
	if (questions) {
		at = sound_name(d, size, at) + 4;
		SOUND(at <= size && at <= query_size && memcmp(d + 12, query + 12, at - 12) == 0);
	}
	records = (unsigned)((d[6] << 8 | d[7]) + (d[8] << 8 | d[9]) + (d[10] << 8 | d[11]));
	for (; records; records--) {
		at = sound_name(d, size, at) + 10;
		SOUND(at <= size);
		at += (size_t)(d[at - 2] << 8 | d[at - 1]);
		SOUND(at <= size);
	}
	SOUND(at == size);
}

#endif
