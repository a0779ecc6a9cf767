/* Names of a special use: not sent upstream, but where the operator says so. */
#include "dns/special.h"

#include "tests/unit/test_forward.h"

static void test_special_names(void **state)
{
	static const struct {
		const char *name;
		uint16_t type;
		const char *answer;
	} kept[] = {
		{ "localhost", WIRE_A, "0 aa ra; 127.0.0.1 10800" },
		{ "www.LocalHost", WIRE_AAAA, "0 aa ra; ::1 10800" },
		{ "localhost", 15, "0 aa ra; SOA 10800" },
		{ "invalid", WIRE_A, "3 aa ra; SOA 10800" },
		{ "a.b.invalid", WIRE_A, "3 aa ra; SOA 10800" },
		{ "x.test", WIRE_A, "3 aa ra; SOA 10800" },
		{ "printer.local", WIRE_A, "3 aa ra; SOA 10800" },
		{ "abc.onion", WIRE_A, "3 aa ra; SOA 10800" },
		{ "home.arpa", 6, "0 aa ra; SOA 10800" },
		{ "x.home.arpa", WIRE_A, "3 aa ra; SOA 10800" },
		{ "4.3.2.10.in-addr.arpa", 12, "3 aa ra; SOA 10800" },
		{ "1.0.16.172.in-addr.arpa", 12, "3 aa ra; SOA 10800" },
		{ "1.0.31.172.in-addr.arpa", 12, "3 aa ra; SOA 10800" },
		{ "1.0.168.192.in-addr.arpa", 12, "3 aa ra; SOA 10800" },
		{ "1.0.64.100.in-addr.arpa", 12, "3 aa ra; SOA 10800" },
		{ "1.0.d.f.ip6.arpa", 12, "3 aa ra; SOA 10800" },
	};
	static const struct {
		const char *name;
		uint16_t type;
	} sent[] = {
		{ "local.example.net", WIRE_A },
		{ "notlocal", WIRE_A },
		{ "arpa", WIRE_A },
		{ "1.0.15.172.in-addr.arpa", 12 },
		{ "1.0.32.172.in-addr.arpa", 12 },
		{ "1.0.169.192.in-addr.arpa", 12 },
		{ "1.0.63.100.in-addr.arpa", 12 },
		{ "home.arpa", 43 }, /* its parent has that */
	};
	struct world *w = start(1);
	static struct packet p;
	struct sockaddr_in from;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		ask(fd, (uint16_t)i, kept[i].name, kept[i].type, 0);
		expect_answer(w, fd, (uint16_t)i, kept[i].answer);
	}
	assert_false(get_query(w, up[0], &p, &from, 5));
	for (size_t i = 0; i < ARRAY_SIZE(sent); i++) {
		ask(fd, 1, sent[i].name, sent[i].type, 0);
		answer_query_of(w, 0, &p);
		expect_answer(w, fd, 1, "0 ra; 192.0.2.1 5");
	}
	tell_service(
		w, (struct service){
			   .id = 2, .ready = true, .names = "www.test", .addresses = "10.0.0.2" });
	ask(fd, 2, "www.test", WIRE_A, 0);
	expect_answer(w, fd, 2, "0 aa ra; 10.0.0.2 60");
	finish(w);
}

static enum special_kind kind_of(const struct special *special, const char *text)
{
	uint8_t name[WIRE_NAME_MAX];
	size_t size = wire_name(name, text);

	return special_find(special, name, size, WIRE_A).kind;
}

static void test_special_forwarded(void **state)
{
	static const char *const some[] = { "10.in-addr.arpa.", "Test", "20.172.in-addr.arpa" };
	static const char *const wrong[] = { "example.org", "172.in-addr.arpa", "", "ALL" };
	struct special *special;
	struct error err;

	(void)state;
	special = special_new(some, ARRAY_SIZE(some), &err);
	assert_non_null(special);
	assert_int_equal(kind_of(special, "1.10.in-addr.arpa"), SPECIAL_NOT);
	assert_int_equal(kind_of(special, "x.test"), SPECIAL_NOT);
	assert_int_equal(kind_of(special, "1.20.172.in-addr.arpa"), SPECIAL_NOT);
	assert_int_equal(kind_of(special, "1.21.172.in-addr.arpa"), SPECIAL_NXDOMAIN);
	assert_int_equal(kind_of(special, "localhost"), SPECIAL_LOCALHOST);
	special_free(special);
	special = special_new((const char *const[]){ "all" }, 1, &err);
	assert_int_equal(kind_of(special, "localhost"), SPECIAL_NOT);
	special_free(special);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct dns_config config = { .forward_special = &wrong[i],
					     .forward_special_count = 1 };

		assert_int_equal(dns_check(&config, &err), -1);
		assert_non_null(strstr(err.text, "forward_special"));
		assert_non_null(strstr(err.text, wrong[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_special_names),
		cmocka_unit_test(test_special_forwarded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
