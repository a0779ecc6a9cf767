/* What is answered around services: zones given and derived, their apexes and name servers, absent
 * names, the names of addresses, ANY, other classes. */
#include "dns/zone.h"

#include "tests/unit/test_dns.h"

static int fd;
static struct dns_settings settings;

static const char *const zones[] = { "example.org", "Sub.Example.org.", "2.0.192.in-addr.arpa",
				     "0.0.8.b.d.0.1.0.0.2.ip6.arpa" };
static const char *const bind_to[] = { "192.0.2.53", "0.0.0.0", "::", "2001:db8::53" };

static void read_settings(struct dns_texts texts)
{
	struct error err = { 0 };

	texts.ttl = 300;
	texts.identity = "ns-a";
	if (dns_settings_read(&settings, &texts, &err) < 0)
		fail_msg("%s", err.text);
}

static void give_zones(void)
{
	read_settings((struct dns_texts){ .zones = zones,
					  .zone_count = ARRAY_SIZE(zones),
					  .bind = bind_to,
					  .bind_count = ARRAY_SIZE(bind_to) });
}

static struct world *start(void)
{
	static const struct service services[] = {
		{ .id = 1,
		  .ready = true,
		  .names = "*.pool.example.org www.example.org web.example.net",
		  .addresses = "192.0.2.1 2001:db8::1",
		  .flags = MESSAGE_SERVICE_PTR },
		{ .id = 2,
		  .ready = true,
		  .names = "a.b.c.example.org",
		  .addresses = "192.0.2.2",
		  .ttl = 20,
		  .flags = MESSAGE_SERVICE_PTR },
		{ .id = 3,
		  .ready = true,
		  .names = "two.example.org",
		  .addresses = "192.0.2.2",
		  .flags = MESSAGE_SERVICE_PTR },
		{ .id = 4, .ready = true, .names = "*.org", .addresses = "10.0.0.4" },
		{ .id = 5, .ready = true, .names = "*.example.org", .addresses = "10.0.0.5" },
		{ .id = 6, .ready = true, .names = "top", .addresses = "10.0.0.6" },
		{ .id = 7,
		  .ready = true,
		  .names = "example.com",
		  .addresses = "10.0.0.7",
		  .flags = MESSAGE_SERVICE_PTR },
		{ .id = 8,
		  .names = "down.example.org",
		  .addresses = "192.0.2.8",
		  .flags = MESSAGE_SERVICE_PTR },
		{ .id = 9,
		  .names = "any.example.org",
		  .addresses = "192.0.2.9",
		  .flags = MESSAGE_SERVICE_WAKE_ANY },
	};
	struct world *w = world_new_with(NULL, 0, &settings);

	tell_table(w, services, ARRAY_SIZE(services));
	fd = caller(SOCK_DGRAM, &w->udp);
	return w;
}

static void finish(struct world *w)
{
	close(fd);
	world_free(w);
	dns_settings_free(&settings);
}

static struct packet last;

static void expect(struct world *w, const char *name, uint16_t type, const char *text)
{
	static uint16_t id = 1000;

	ask(fd, ++id, name, type, 0);
	if (!get_packet(w, fd, &last, PATIENCE))
		fail_msg("no answer for %s", name);
	assert_int_equal(last.data[0] << 8 | last.data[1], id);
	if (strcmp(describe(&last), text) != 0)
		fail_msg("%s %u: expected \"%s\", there is \"%s\"", name, type, text,
			 describe(&last));
}

/* Of the last answer: the owner of its first record, an SOA in the authority section. */
static void expect_soa(const char *owner)
{
	char name[1024];

	assert_int_equal(last.data[7], 0);
	assert_int_equal(last.data[9], 1);
	read_name(&last, skip_name(&last, 12) + 4, name);
	assert_string_equal(name, owner);
}

#define NODATA	 "0 aa; SOA 300"
#define NXDOMAIN "3 aa; SOA 300"

static void test_given_zone(void **state)
{
	struct world *w;

	(void)state;
	give_zones();
	w = start();
	expect(w, "www.example.org", WIRE_A, "0 aa; 192.0.2.1 60");
	expect(w, "www.example.org", WIRE_TXT, NODATA);
	expect_soa("example.org");
	expect(w, "example.org", WIRE_SOA, "0 aa; SOA 300");
	expect(w, "example.org", WIRE_NS,
	       "0 aa; NS ns.example.org 300; 192.0.2.53 300; 2001:db8::53 300");
	expect(w, "example.org", WIRE_A, NODATA);
	expect(w, "ns.example.org", WIRE_A, "0 aa; 192.0.2.53 300");
	expect(w, "ns.example.org", WIRE_AAAA, "0 aa; 2001:db8::53 300");
	expect(w, "ns.example.org", WIRE_TXT, NODATA);
	expect(w, "ns.example.org", WIRE_SOA, NODATA);
	finish(w);
}

/* RFC 8020, 4592: names that only lie above others exist; wildcards stop at what exists. */
static void test_absent_names(void **state)
{
	struct world *w;

	(void)state;
	give_zones();
	w = start();
	expect(w, "b.c.example.org", WIRE_A, NODATA);
	expect(w, "c.example.org", WIRE_AAAA, NODATA);
	expect(w, "c.example.org", WIRE_ANY, NODATA);
	expect(w, "ns.example.org", WIRE_ANY, "0 aa; TYPE13");
	expect(w, "example.org", WIRE_ANY, "0 aa; TYPE13");
	expect(w, "x.c.example.org", WIRE_A, NXDOMAIN);
	expect(w, "x.a.b.c.example.org", WIRE_A, NXDOMAIN);
	expect(w, "x.www.example.org", WIRE_A, NXDOMAIN);
	expect(w, "x.www.example.org", WIRE_ANY, NXDOMAIN);
	expect(w, "pool.example.org", WIRE_A, NODATA);
	expect(w, "1.pool.example.org", WIRE_A, "0 aa; 192.0.2.1 60");
	expect(w, "1.2.pool.example.org", WIRE_AAAA, "0 aa; 2001:db8::1 60");
	expect(w, "other.example.org", WIRE_A, "0 aa; 10.0.0.5 60");
	expect(w, "other.example.org", 15, NODATA);
	/* Not across a zone's apex, nor over its name servers. */
	expect(w, "sub.example.org", WIRE_A, NODATA);
	expect_soa("sub.example.org");
	expect(w, "x.sub.example.org", WIRE_A, NXDOMAIN);
	expect_soa("sub.example.org");
	expect(w, "x.ns.example.org", WIRE_A, NXDOMAIN);
	expect_soa("example.org");
	expect(w, "elsewhere.org", WIRE_A, "0 aa; 10.0.0.4 60");
	/* What was a wildcard's is nobody's when it is gone. */
	tell(w, forget, 5);
	expect(w, "other.example.org", WIRE_A, NXDOMAIN);
	finish(w);
}

static void test_serial(void **state)
{
	struct world *w;
	uint32_t serial[3];

	(void)state;
	give_zones();
	w = start();
	for (int i = 0; i < 3; i++) {
		expect(w, "example.org", WIRE_SOA, "0 aa; SOA 300");
		memcpy(&serial[i], last.data + last.size - 20, 4);
		if (i == 1)
			tell(w, forget, 5);
	}
	assert_int_equal(serial[0], serial[1]);
	assert_true(ntohl(serial[2]) - ntohl(serial[1]) - 1 < 1000);
	finish(w);
}

static void test_servers_and_mailbox(void **state)
{
	static const char *const zone[] = { "example.org" };
	static const char *const ns[] = { "ns1.example.org=192.0.2.1", "NS2.example.net=10.1.1.1",
					  "ns1.example.org=2001:db8::2",
					  "a.dns.example.org=10.2.2.2" };
	struct world *w;
	char name[1024];

	(void)state;
	read_settings((struct dns_texts){ .zones = zone,
					  .zone_count = 1,
					  .ns = ns,
					  .ns_count = ARRAY_SIZE(ns),
					  .mbox = "first.last@Example.net" });
	w = start();
	expect(w, "example.org", WIRE_NS,
	       "0 aa; NS ns1.example.org 300; NS ns2.example.net 300; NS a.dns.example.org 300; "
	       "192.0.2.1 300; 2001:db8::2 300; 10.2.2.2 300");
	expect(w, "ns1.example.org", WIRE_AAAA, "0 aa; 2001:db8::2 300");
	expect(w, "ns2.example.net", WIRE_A, "5");
	expect(w, "dns.example.org", WIRE_A, NODATA);
	expect(w, "x.dns.example.org", WIRE_A, NXDOMAIN);
	expect(w, "ns.example.org", WIRE_A, "0 aa; 10.0.0.5 60");
	expect(w, "example.org", WIRE_SOA, "0 aa; SOA 300");
	/* question 12 + 13 + 4; owner, type, class, ttl, size; the name server; then the mailbox */
	read_name(&last, 29 + 12, name);
	assert_string_equal(name, "ns1.example.org");
	read_name(&last, skip_name(&last, 29 + 12), name);
	assert_string_equal(name, "first.last.example.net");
	assert_int_equal(last.data[skip_name(&last, 29 + 12)], 10); /* one label, with its dot */
	finish(w);
}

/* A zone's name server may be a service, its apex too. */
static void test_services_first(void **state)
{
	struct world *w;

	(void)state;
	give_zones();
	w = start();
	tell_service(w, (struct service){ 20, true, "example.org", "10.0.0.20", 0, 0, 0 });
	tell_service(w, (struct service){ 21, true, "ns.example.org", "10.0.0.21", 0, 0, 0 });
	expect(w, "example.org", WIRE_A, "0 aa; 10.0.0.20 60");
	expect(w, "example.org", WIRE_SOA, "0 aa; SOA 300");
	expect(w, "example.org", WIRE_AAAA, NODATA);
	expect(w, "ns.example.org", WIRE_A, "0 aa; 10.0.0.21 60");
	finish(w);
}

/* Outside given zones: an SOA of the last two labels with negative answers, no more. */
static void test_derived_zones(void **state)
{
	struct world *w;

	(void)state;
	read_settings((struct dns_texts){ 0 });
	w = start();
	expect(w, "www.example.org", 15, "0 aa; SOA 60");
	expect_soa("example.org");
	expect(w, "a.b.c.example.org", WIRE_AAAA, "0 aa; SOA 20");
	expect_soa("example.org");
	expect(w, "top", WIRE_AAAA, "0 aa; SOA 60");
	expect_soa("top");
	expect(w, "example.com", WIRE_AAAA, "0 aa; SOA 60");
	expect_soa("example.com");
	expect(w, "example.com", WIRE_SOA, "0 aa; SOA 60");
	assert_int_equal(last.data[7], 1);
	expect(w, "example.com", WIRE_NS, "0 aa; SOA 60");
	tell(w, forget, 4);
	tell(w, forget, 5);
	expect(w, "example.org", WIRE_SOA, "5");
	expect(w, "b.c.example.org", WIRE_A, "5");
	expect(w, "x.www.example.org", WIRE_A, "5");
	expect(w, "nothing.example.org", WIRE_A, "5");
	finish(w);
}

#define V6_1 "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"

static void test_reverse(void **state)
{
	struct world *w;

	(void)state;
	read_settings((struct dns_texts){ 0 });
	w = start();
	expect(w, "1.2.0.192.in-addr.arpa", WIRE_PTR, "0 aa; PTR www.example.org 60");
	expect(w, "1.2.0.192.IN-ADDR.ARPA", WIRE_PTR, "0 aa; PTR www.example.org 60");
	expect(w, V6_1, WIRE_PTR, "0 aa; PTR www.example.org 60");
	expect(w, "2.2.0.192.in-addr.arpa", WIRE_PTR,
	       "0 aa; PTR a.b.c.example.org 20; PTR two.example.org 20");
	expect(w, "1.2.0.192.in-addr.arpa", WIRE_A, "0 aa; SOA 60");
	expect_soa("2.0.192.in-addr.arpa");
	expect(w, V6_1, WIRE_TXT, "0 aa; SOA 60");
	expect_soa("0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
	expect(w, "1.2.0.192.in-addr.arpa", WIRE_ANY, "0 aa; TYPE13");
	/* It does not start anything. */
	expect(w, "8.2.0.192.in-addr.arpa", WIRE_PTR, "0 aa; PTR down.example.org 60");
	expect_heard(w, "");
	/* Not to be answered for, or nobody's, or no address. */
	expect(w, "5.0.0.10.in-addr.arpa", WIRE_PTR, "5");
	expect(w, "77.2.0.192.in-addr.arpa", WIRE_PTR, "5");
	expect(w, "01.2.0.192.in-addr.arpa", WIRE_PTR, "5");
	expect(w, "257.2.0.192.in-addr.arpa", WIRE_PTR, "5");
	expect(w, "x.1.2.0.192.in-addr.arpa", WIRE_PTR, "5");
	expect(w, "2.0.192.in-addr.arpa", WIRE_PTR, "5");
	tell(w, forget, 2);
	expect(w, "2.2.0.192.in-addr.arpa", WIRE_PTR, "0 aa; PTR two.example.org 60");
	tell_service(w, (struct service){ 3, true, "two.example.org", "192.0.2.3", 0, 0,
					  MESSAGE_SERVICE_PTR });
	expect(w, "2.2.0.192.in-addr.arpa", WIRE_PTR, "5");
	expect(w, "3.2.0.192.in-addr.arpa", WIRE_PTR, "0 aa; PTR two.example.org 60");
	finish(w);
}

static void test_reverse_zone(void **state)
{
	struct world *w;

	(void)state;
	give_zones();
	w = start();
	expect(w, "1.2.0.192.in-addr.arpa", WIRE_PTR, "0 aa; PTR www.example.org 60");
	expect(w, "1.2.0.192.in-addr.arpa", WIRE_A, NODATA);
	expect(w, "77.2.0.192.in-addr.arpa", WIRE_PTR, NXDOMAIN);
	expect_soa("2.0.192.in-addr.arpa");
	expect(w, "2.0.192.in-addr.arpa", WIRE_NS,
	       "0 aa; NS ns.2.0.192.in-addr.arpa 300; 192.0.2.53 300; 2001:db8::53 300");
	/* Something may be below: not NXDOMAIN, RFC 8020. */
	expect(w, "0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", WIRE_PTR, NODATA);
	finish(w);
}

/* What it has not is answered at once, and starts nothing, but where that is asked for. */
static void test_other_types(void **state)
{
	static const uint16_t types[] = { WIRE_AAAA, 65, 15, 16, 33, 43, 257, 65280, 0 };
	struct world *w;

	(void)state;
	give_zones();
	w = start();
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		expect(w, "down.example.org", types[i], NODATA);
	expect(w, "down.example.org", WIRE_ANY, "0 aa; TYPE13");
	expect_heard(w, "");
	expect(w, "any.example.org", 65, NODATA);
	expect_heard(w, "want 9;");
	expect(w, "any.example.org", WIRE_AAAA, NODATA);
	expect_heard(w, "");
	tell(w, ready, 9);
	expect(w, "any.example.org", WIRE_A, "0 aa; 192.0.2.9 60");
	tell(w, asleep, 9);
	expect(w, "any.example.org", WIRE_ANY, "0 aa; TYPE13");
	expect_heard(w, "want 9;");
	finish(w);
}

static void expect_class(struct world *w, const char *name, uint16_t type, uint16_t class,
			 const char *text)
{
	struct packet p = make_query(7, name, type, EDNS);

	p.data[p.size - 11 - 2] = (uint8_t)(class >> 8);
	p.data[p.size - 11 - 1] = (uint8_t) class;
	send_packet(fd, &p);
	expect_answer(w, fd, 7, text);
}

static void test_classes(void **state)
{
	struct world *w;

	(void)state;
	give_zones();
	w = start();
	expect_class(w, "www.example.org", WIRE_A, 255, "5; OPT 1232 ede 20 ");
	expect_class(w, "www.example.org", WIRE_A, 3, "5; OPT 1232 ede 20 ");
	expect_class(w, "absent.example.org", WIRE_A, 4, "5; OPT 1232 ede 20 ");
	expect_class(w, "www.example.org", WIRE_A, 65280, "5; OPT 1232 ede 20 ");
	expect_class(w, "id.server", WIRE_TXT, 3, "0 aa; TYPE16; OPT 1232");
	expect_class(w, "HOSTNAME.bind", WIRE_TXT, 3, "0 aa; TYPE16; OPT 1232");
	expect_class(w, "id.server", WIRE_A, 3, "5; OPT 1232 ede 18 ");
	expect_class(w, "version.bind", WIRE_TXT, 3, "5; OPT 1232 ede 18 ");
	expect_class(w, "authors.bind", WIRE_TXT, 3, "5; OPT 1232 ede 20 ");
	finish(w);
	read_settings((struct dns_texts){ 0 });
	settings.identity = NULL;
	w = start();
	expect_class(w, "id.server", WIRE_TXT, 3, "5; OPT 1232 ede 18 ");
	finish(w);
}

static void test_transfers(void **state)
{
	struct world *w;

	(void)state;
	give_zones();
	w = start();
	expect(w, "example.org", WIRE_AXFR, "5");
	expect(w, "example.org", WIRE_IXFR, "5");
	expect(w, "www.example.org", WIRE_AXFR, "5");
	expect(w, "elsewhere.example", WIRE_AXFR, "5");
	finish(w);
}

static void expect_refused(struct dns_texts texts, const char *text)
{
	struct error err = { 0 };

	if (dns_settings_read(&settings, &texts, &err) == 0)
		fail_msg("%s %s taken", text,
			 texts.ns     ? *texts.ns
			 : texts.mbox ? texts.mbox
				      : *texts.zones);
	if (!strstr(err.text, text))
		fail_msg("expected \"%s\" in \"%s\"", text, err.text);
}

static void test_bad_settings(void **state)
{
	static const char *const good[] = { "example.org" };
	static const char *const twice[] = { "example.org", "EXAMPLE.org." };
	static const char *const names[] = {
		"a..b", "", ".a",
		"0123456789012345678901234567890123456789012345678901234567890123.org"
	};
	static const char *const servers[] = { "=10.0.0.1", "a=", "a=b", "ns..x", "a=1.2.3.4.5" };
	static const char *const mailboxes[] = { "@example.org", "a@", "a@b..c", "x..y" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		expect_refused((struct dns_texts){ .zones = &names[i], .zone_count = 1 },
			       "zones: ");
	expect_refused((struct dns_texts){ .zones = twice, .zone_count = 2 }, "each zone once");
	for (size_t i = 0; i < ARRAY_SIZE(servers); i++)
		expect_refused(
			(struct dns_texts){
				.zones = good, .zone_count = 1, .ns = &servers[i], .ns_count = 1 },
			"ns: ");
	for (size_t i = 0; i < ARRAY_SIZE(mailboxes); i++)
		expect_refused(
			(struct dns_texts){ .zones = good, .zone_count = 1, .mbox = mailboxes[i] },
			"mbox: ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_given_zone),     cmocka_unit_test(test_absent_names),
		cmocka_unit_test(test_serial),	       cmocka_unit_test(test_servers_and_mailbox),
		cmocka_unit_test(test_services_first), cmocka_unit_test(test_derived_zones),
		cmocka_unit_test(test_reverse),	       cmocka_unit_test(test_reverse_zone),
		cmocka_unit_test(test_other_types),    cmocka_unit_test(test_classes),
		cmocka_unit_test(test_transfers),      cmocka_unit_test(test_bad_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
