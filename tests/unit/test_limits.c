/* Networks, cookies, and the limits on clients, by themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"
#include "dns/acl.h"
#include "dns/limit.h"
#include "dns/settings.h"
#include "dns/wakes.h"
#include "dns/wire_cookie.h"

#define START USEC_PER_SEC

static const struct sockaddr *address(const char *text)
{
	static union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} made;

	memset(&made, 0, sizeof made);
	if (inet_pton(AF_INET, text, &made.v4.sin_addr) == 1) {
		made.any.sa_family = AF_INET;
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &made.v6.sin6_addr), 1);
		made.any.sa_family = AF_INET6;
	}
	return &made.any;
}

static const struct sockaddr *numbered(unsigned n)
{
	char text[INET_ADDRSTRLEN];

	snprintf(text, sizeof text, "%u.%u.%u.9", 1 + (n >> 16), n >> 8 & 255, n & 255);
	return address(text);
}

/* What a wider entry has already takes no place: a host may have a thousand interfaces. */
static void test_acl_is_short(void **state)
{
	static const char *const wide[] = { "10.0.0.0/8", "fe80::/10", "0.0.0.0/1" };
	struct acl acl = { 0 };
	struct error err;
	char text[64];

	(void)state;
	assert_int_equal(acl_read(&acl, wide, ARRAY_SIZE(wide), "x", &err), 0);
	for (int i = 0; i < 1000; i++) {
		const char *const one = text;

		snprintf(text, sizeof text, "fe80::%x/64", i);
		assert_int_equal(acl_read(&acl, &one, 1, "x", &err), 0);
		snprintf(text, sizeof text, "10.%d.0.1", i % 256);
		assert_int_equal(acl_read(&acl, &one, 1, "x", &err), 0);
	}
	assert_int_equal(acl.v4_count, 2);
	assert_int_equal(acl.v6_count, 1);
	assert_int_equal(
		acl_read(&acl, (const char *const[]){ "fec0::1", "128.0.0.0/1" }, 2, "x", &err), 0);
	assert_int_equal(acl.v4_count, 3);
	assert_int_equal(acl.v6_count, 2);
	acl_free(&acl);
}

static void test_acl(void **state)
{
	static const char *const texts[] = { "192.0.2.0/24", "198.51.100.7", "2001:db8:1:2::/63",
					     "2001:db8::9", "10.0.0.0/9" };
	struct acl acl = { 0 };
	struct error err;

	(void)state;
	assert_false(acl_has(&acl, address("127.0.0.1")));
	assert_int_equal(acl_read(&acl, texts, ARRAY_SIZE(texts), "x", &err), 0);
	assert_true(acl_has(&acl, address("192.0.2.255")));
	assert_false(acl_has(&acl, address("192.0.3.0")));
	assert_true(acl_has(&acl, address("198.51.100.7")));
	assert_false(acl_has(&acl, address("198.51.100.6")));
	assert_true(acl_has(&acl, address("10.127.255.255")));
	assert_false(acl_has(&acl, address("10.128.0.0")));
	assert_true(acl_has(&acl, address("2001:db8:1:3::1")));
	assert_false(acl_has(&acl, address("2001:db8:1:4::1")));
	assert_true(acl_has(&acl, address("2001:db8::9")));
	assert_false(acl_has(&acl, address("2001:db8::8")));
	acl_free(&acl);

	assert_int_equal(acl_read(&acl, (const char *[]){ "local" }, 1, "x", &err), 0);
	assert_true(acl_has(&acl, address("127.8.8.8")));
	assert_true(acl_has(&acl, address("::1")));
	assert_true(acl_has(&acl, address("fe80::1")));
	assert_false(acl_has(&acl, address("240.0.2.1")));
	acl_free(&acl);
	assert_int_equal(acl_read(&acl, (const char *[]){ "none", "any" }, 2, "x", &err), 0);
	assert_true(acl_has(&acl, address("192.0.2.1")));
	assert_true(acl_has(&acl, address("2001:db8::1")));
	acl_free(&acl);
}

static void test_acl_errors(void **state)
{
	static const char *const wrong[] = {
		"",	     "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/-1", "::/129",
		"somewhere", "local/8",	     "192.0.2/24", "1.2.3.4/8x",   "any/0"
	};
	struct acl acl = { 0 };
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		const char *texts[] = { "10.0.0.0/8", wrong[i] };

		assert_int_equal(acl_read(&acl, texts, 2, "limits_exempt", &err), -1);
		assert_non_null(strstr(err.text, "limits_exempt"));
		assert_non_null(strstr(err.text, "expected an address, a network"));
		assert_false(acl_has(&acl, address("10.0.0.1")));
	}
	acl_free(&acl);
}

static void test_networks(void **state)
{
	(void)state;
	assert_int_equal(acl_network(address("192.0.2.1")), acl_network(address("192.0.2.254")));
	assert_int_not_equal(acl_network(address("192.0.2.1")), acl_network(address("192.0.3.1")));
	assert_int_equal(acl_network(address("2001:db8:0:ff::1")),
			 acl_network(address("2001:db8:0:1::2")));
	assert_int_not_equal(acl_network(address("2001:db8:0:100::1")),
			     acl_network(address("2001:db8:0:1::1")));
	assert_int_not_equal(acl_network(address("0.0.1.1")), acl_network(address("::1")));
}

static void test_limit(void **state)
{
	struct limit *limit = limit_new(10, 20, 1024);
	uint64_t now = START;
	unsigned passed = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		passed += limit_take(limit, 1, now);
	assert_int_equal(passed, 20);
	assert_true(limit_take(limit, 2, now));
	for (int i = 0; i < 100; i++, now += USEC_PER_SEC / 100)
		passed += limit_take(limit, 1, now);
	assert_in_range(passed, 29, 31);
	now += 100 * USEC_PER_SEC;
	passed = 0;
	for (int i = 0; i < 100; i++)
		passed += limit_take(limit, 1, now);
	assert_int_equal(passed, 20);
	limit_free(limit);
}

/* However many networks there are, the table stays as it is, and who was over stays over while the
 * others are fewer than its places. */
static void test_limit_many_networks(void **state)
{
	struct limit *limit = limit_new(1, 4, 1024);

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_true(limit_take(limit, 7, START));
	for (uint64_t network = 100; network < 400; network++)
		assert_true(limit_take(limit, network, START));
	assert_false(limit_take(limit, 7, START));
	for (uint64_t network = 1000; network < 100000; network++)
		assert_true(limit_take(limit, network, START));
	limit_free(limit);
}

static void test_rate(void **state)
{
	struct acl exempt = { 0 };
	struct rate_config config = { .per_second = 10, .slip = 2, .exempt = &exempt };
	struct rate *rate;
	unsigned seen[3] = { 0 };
	struct error err;

	(void)state;
	assert_int_equal(acl_read(&exempt, (const char *[]){ "127.0.0.0/8" }, 1, "x", &err), 0);
	rate = rate_new(&config);
	for (int i = 0; i < 250; i++)
		seen[rate_check(rate, address("192.0.2.1"), START)]++;
	assert_int_equal(seen[RATE_PASS], 50);
	assert_int_equal(seen[RATE_SLIP], 100);
	assert_int_equal(seen[RATE_DROP], 100);
	assert_int_not_equal(rate_check(rate, address("192.0.2.200"), START), RATE_PASS);
	assert_int_equal(rate_check(rate, address("192.0.3.1"), START), RATE_PASS);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(rate_check(rate, address("127.0.0.1"), START), RATE_PASS);
	rate_free(rate);

	config.slip = 0;
	rate = rate_new(&config);
	for (int i = 0; i < 50; i++)
		assert_int_equal(rate_check(rate, address("192.0.2.1"), START), RATE_PASS);
	assert_int_equal(rate_check(rate, address("192.0.2.1"), START), RATE_DROP);
	rate_free(rate);
	config.slip = 1;
	config.per_second = 0;
	rate = rate_new(&config);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(rate_check(rate, address("192.0.2.1"), START), RATE_PASS);
	rate_free(rate);
	acl_free(&exempt);
}

static void test_wakes_of_a_network(void **state)
{
	struct acl exempt = { 0 };
	struct wakes_config config = { .network_per_second = 5, .exempt = &exempt };
	struct wakes *wakes = wakes_new(&config);
	unsigned gone = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		gone += wakes_check(wakes, address("192.0.2.1"), true, START) == WAKES_GO;
	assert_int_equal(gone, 50);
	assert_int_equal(wakes_check(wakes, address("192.0.2.1"), true, START), WAKES_OVER);
	assert_int_equal(wakes_check(wakes, address("192.0.3.1"), false, START), WAKES_GO);
	assert_int_equal(wakes_check(wakes, address("192.0.2.1"), true, START + USEC_PER_SEC),
			 WAKES_GO);
	wakes_free(wakes);
}

/* Forged sources, each a network of its own, use up half; the other half is for who proves his. */
static void test_wakes_in_all(void **state)
{
	struct acl exempt = { 0 };
	struct wakes_config config = { .per_second = 20,
				       .network_per_second = 5,
				       .exempt = &exempt };
	struct wakes *wakes = wakes_new(&config);
	unsigned gone = 0;

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		gone += wakes_check(wakes, numbered(i), false, START) == WAKES_GO;
	assert_int_equal(gone, 100);
	assert_int_equal(wakes_check(wakes, numbered(20000), false, START), WAKES_PROVE);
	for (unsigned i = 0; i < 10000; i++)
		gone += wakes_check(wakes, numbered(i), true, START) == WAKES_GO;
	assert_int_equal(gone, 200);
	assert_int_equal(wakes_check(wakes, numbered(20000), true, START), WAKES_OVER);
	wakes_free(wakes);
	wakes = wakes_new(&(struct wakes_config){ .exempt = &exempt });
	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal(wakes_check(wakes, address("192.0.2.1"), false, START), WAKES_GO);
	wakes_free(wakes);
}

static void unhex(uint8_t *out, const char *text)
{
	for (; *text; text += 2) {
		char digits[] = { text[0], text[1], '\0' };

		*out++ = (uint8_t)strtoul(digits, NULL, 16);
	}
}

/* RFC 9018, appendix A: what other servers make. */
static void test_cookie_vectors(void **state)
{
	static const struct {
		const char *client, *secret, *cookie;
		uint64_t now;
	} vectors[] = {
		{ "198.51.100.100", "e5e973e5a6b2a43f48e7dc849e37bfcf",
		  "2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559731985 },
		{ "198.51.100.100", "e5e973e5a6b2a43f48e7dc849e37bfcf",
		  "2464c4abcf10c957010000005cf7a871d4a564a1442aca77", 1559734385 },
		{ "203.0.113.203", "e5e973e5a6b2a43f48e7dc849e37bfcf",
		  "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e", 1559734700 },
		{ "2001:db8:220:1:59de:d0f4:8769:82b8", "dd3bdf9344b678b185a6f5cb60fca715",
		  "22681ab97d52c298010000005cf7c57926556bd0934c72f8", 1559741817 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		struct wire_cookie_secrets secrets = { .enabled = true, .given = 1 };
		uint8_t expected[WIRE_COOKIE_SIZE], made[WIRE_COOKIE_SIZE];
		const struct sockaddr *client = address(vectors[i].client);
		uint64_t now = vectors[i].now;

		unhex(secrets.secret[0], vectors[i].secret);
		unhex(expected, vectors[i].cookie);
		wire_cookie_make(&secrets, expected, client, now, made);
		assert_memory_equal(made, expected, sizeof made);
		assert_true(wire_cookie_check(&secrets, made, sizeof made, client, now));
		assert_true(wire_cookie_check(&secrets, made, sizeof made, client, now + 3599));
		assert_false(wire_cookie_check(&secrets, made, sizeof made, client, now + 3602));
		assert_false(wire_cookie_check(&secrets, made, sizeof made, client, now - 302));
		assert_false(wire_cookie_check(&secrets, made, sizeof made - 1, client, now));
		assert_false(
			wire_cookie_check(&secrets, made, sizeof made, address("192.0.2.1"), now));
		made[20] ^= 1;
		assert_false(wire_cookie_check(&secrets, made, sizeof made, client, now));
	}
}

static void test_cookie_secrets_roll(void **state)
{
	struct wire_cookie_secrets secrets = { .enabled = true, .secret = { { 1, 2, 3 } } };
	uint8_t made[WIRE_COOKIE_SIZE], again[WIRE_COOKIE_SIZE];
	const uint8_t client[WIRE_COOKIE_CLIENT] = { 9, 9 };
	uint64_t night = 20000 * UINT64_C(86400);

	(void)state;
	wire_cookie_make(&secrets, client, address("192.0.2.1"), night - 10, made);
	assert_true(
		wire_cookie_check(&secrets, made, sizeof made, address("192.0.2.1"), night + 10));
	wire_cookie_make(&secrets, client, address("192.0.2.1"), night + 10, again);
	assert_memory_not_equal(made + 16, again + 16, 8);
	/* Given ones: the new is made, the old still taken. */
	secrets.given = 1;
	wire_cookie_make(&secrets, client, address("192.0.2.1"), night, made);
	secrets.given = 2;
	memcpy(secrets.secret[1], secrets.secret[0], sizeof secrets.secret[0]);
	secrets.secret[0][0] = 77;
	assert_true(wire_cookie_check(&secrets, made, sizeof made, address("192.0.2.1"), night));
	wire_cookie_make(&secrets, client, address("192.0.2.1"), night, again);
	assert_memory_not_equal(made, again, sizeof made);
}

static void test_cookie_sizes(void **state)
{
	(void)state;
	for (size_t size = 0; size < 64; size++)
		assert_int_equal(wire_cookie_sound(size), size == 8 || (size >= 16 && size <= 40));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_acl),
		cmocka_unit_test(test_acl_is_short),
		cmocka_unit_test(test_acl_errors),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_limit_many_networks),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_wakes_of_a_network),
		cmocka_unit_test(test_wakes_in_all),
		cmocka_unit_test(test_cookie_vectors),
		cmocka_unit_test(test_cookie_secrets_roll),
		cmocka_unit_test(test_cookie_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
