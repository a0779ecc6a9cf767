/* proto/spec: what is accepted, what is refused and with which words. */
#include <arpa/inet.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "proto/control.h"
#include "proto/spec.h"
#include "proto/spec_kind.h"

#define GOOD                                                                                       \
	"\"name\":\"www\",\"dns\":\"www.example.org\",\"ip\":\"10.0.0.1\","                        \
	"\"kernel\":\"/boot/k\",\"memory\":64000"

static char *canonical(const struct spec *spec)
{
	struct json_object *object = spec_to_json(spec);
	char *text = strdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_NOSLASHESCAPE |
									   JSON_C_TO_STRING_PLAIN));

	json_object_put(object);
	return text;
}

/* What is read without json-c is what json-c reads, and what is written without it what it writes. */
static void same_by_json(const char *text, const struct spec *spec, bool simulated)
{
	struct json_object *object = NULL;
	struct error err = { 0 };
	size_t size;

	assert_int_equal(control_parse(text, strlen(text), &object, &err), 0);
	{
		cleanup_spec struct spec *other = spec_from_json(object, simulated, &err);
		cleanup_free char *one = canonical(spec), *two = canonical(other),
				  *three = spec_to_text(spec, &size, NULL);

		assert_string_equal(one, two);
		assert_string_equal(one, three);
		assert_int_equal(size, strlen(one));
	}
	json_object_put(object);
}

static struct spec *must(const char *text, bool simulated)
{
	struct error err = { 0 };
	struct spec *spec = spec_from_text(text, simulated, &err);

	if (!spec)
		fail_msg("%s: %s", text, err.text);
	same_by_json(text, spec, simulated);
	return spec;
}

static void test_whole(void **state)
{
	static const char text[] =
		" {\"sim_boot\":10,\"ip\":[\"10.0.0.1\",\"2001:DB8::1\"],\"name\":\"www\","
		"\"dns\":[\"WWW.Example.org.\",\"*.a_b.example\"],"
		"\"uuid\":\"0123456789ABCDEF0123456789abcdef\",\"kernel\":\"/boot/k\","
		"\"cmdline\":\"\",\"memory\":\"64M\",\"vcpus\":\"2\",\"type\":\"pvh\","
		"\"nic\":[\"br0\",\"br0\"],\"mac\":\"00-16-3E-AA-bb-cc\",\"ttl\":0,"
		"\"response_delay\":0.25,\"wait_limit\":700,\"stop_mode\":\"destroy\"} \n";
	static const char expected[] =
		"{\"name\":\"www\",\"dns\":[\"www.example.org\",\"*.a_b.example\"],"
		"\"ip\":[\"10.0.0.1\",\"2001:db8::1\"],"
		"\"uuid\":\"01234567-89ab-cdef-0123-456789abcdef\",\"kernel\":\"/boot/k\","
		"\"cmdline\":\"\",\"memory\":65536,\"vcpus\":2,\"type\":\"pvh\","
		"\"nic\":[\"br0\",\"br0\"],\"mac\":[\"00:16:3e:aa:bb:cc\"],\"ttl\":0,"
		"\"response_delay\":0.250,\"wait_limit\":700,\"stop_mode\":\"destroy\","
		"\"sim_boot\":10}";
	cleanup_spec struct spec *spec = must(text, true);
	cleanup_free char *once = canonical(spec);
	cleanup_spec struct spec *again = must(once, true);
	cleanup_free char *twice = canonical(again);
	uint8_t mac[6], other[6];

	(void)state;
	assert_string_equal(once, expected);
	assert_string_equal(twice, expected);
	assert_int_equal(spec->response_delay, 250);
	assert_int_equal(spec->sim_stop, SPEC_UNSET);
	assert_int_equal(spec->ip.v[1].family, AF_INET6);
	spec_mac(spec, 0, mac);
	assert_memory_equal(mac, "\x00\x16\x3e\xaa\xbb\xcc", 6);
	spec_mac(spec, 1, mac);
	assert_memory_equal(mac, "\x00\x16\x3e", 3);
	spec_mac(spec, 2, other);
	assert_memory_not_equal(mac, other, 6);
	spec_mac(again, 1, other);
	assert_memory_equal(mac, other, 6);
}

static void test_least(void **state)
{
	cleanup_spec struct spec *real = must("{" GOOD "}", false);
	cleanup_spec struct spec *sim = must("{\"name\":\"a\",\"dns\":\"a\",\"ip\":\"::1\"}", true);

	(void)state;
	assert_int_equal(real->memory, 64000);
	assert_int_equal(real->ttl, SPEC_UNSET);
	assert_int_equal(real->type, SPEC_TYPE_PV);
	assert_false(real->has_uuid);
	assert_null(sim->kernel);
}

static void test_memory_forms(void **state)
{
	static const struct {
		const char *json;
		uint64_t kib;
	} forms[] = {
		{ "64000", 64000 },	   { "\"64000\"", 64000 }, { "\"65536K\"", 65536 },
		{ "\"64M\"", 65536 },	   { "\"64m\"", 65536 },   { "\"1G\"", 1048576 },
		{ "\"2T\"", 2147483648u }, { "1024", 1024 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		char text[256];

		snprintf(text, sizeof text,
			 "{\"name\":\"a\",\"dns\":\"a\",\"ip\":\"::1\",\"memory\":%s}",
			 forms[i].json);
		cleanup_spec struct spec *spec = must(text, true);

		assert_int_equal(spec->memory, forms[i].kib);
	}
}

/* The rest of the keys: as given, and as written again. */
static void test_life(void **state)
{
	static const char text[] =
		"{\"name\":\"www\",\"dns\":\"www.example.org\",\"memory\":\"64M\",\"type\":\"hvm\","
		"\"pinned\":\"1\",\"on_crash\":\"preserve\",\"on_reboot\":\"restart\","
		"\"idle\":\"pause:120s, suspend:600000ms,destroy:90m\",\"idle_by\":\"both\","
		"\"idle_traffic\":\"0\",\"cpus\":\"0-3,^1\",\"cpupool\":\"Pool-0\","
		"\"nic\":[\"b\",\"b\",\"b\"],\"script\":[\"/s/one\",\"/s/two\"],"
		"\"disk\":[\"/srv/a@b.iso@xvda\",\"format=qcow2,vdev=hda,target=/srv/b,c\",\"/"
		"c,,hdc1\"],"
		"\"rumprun_config\":\"/srv/"
		"json.cfg\",\"rumprun_addr\":\"10.0.0.9\",\"rumprun_mask\":0,"
		"\"rumprun_gw\":\"10.0.0.1\",\"rumprun_hostname\":\"web\","
		"\"wait_for_key\":\"data/ready=a "
		"b=c\",\"wait_for_key_limit\":2.5,\"ready_port\":80,"
		"\"ready_port_limit\":0,\"frame_limit\":60,\"shutdown_limit\":10}";
	static const char expected[] =
		"{\"name\":\"www\",\"dns\":[\"www.example.org\"],\"memory\":65536,\"type\":\"hvm\","
		"\"cpus\":\"0-3,^1\",\"cpupool\":\"Pool-0\","
		"\"nic\":[\"b\",\"b\",\"b\"],\"script\":[\"/s/one\",\"/s/two\"],"
		"\"disk\":[\"/srv/a@b.iso@xvda\",\"format=qcow2,vdev=hda,target=/srv/b,c\",\"/"
		"c,,hdc1\"],"
		"\"rumprun_config\":\"/srv/"
		"json.cfg\",\"rumprun_addr\":\"10.0.0.9\",\"rumprun_mask\":0,"
		"\"rumprun_gw\":\"10.0.0.1\",\"rumprun_hostname\":\"web\","
		"\"wait_for_key\":\"data/ready=a "
		"b=c\",\"wait_for_key_limit\":2.500,\"ready_port\":80,"
		"\"ready_port_limit\":0,\"frame_limit\":60,\"shutdown_limit\":10,"
		"\"idle\":\"pause:2m,suspend:10m,destroy:90m\",\"idle_by\":\"both\",\"idle_"
		"traffic\":0,"
		"\"pinned\":true,\"on_reboot\":\"restart\",\"on_crash\":\"preserve\"}";
	cleanup_spec struct spec *spec = must(text, false);
	cleanup_free char *once = canonical(spec);
	cleanup_spec struct spec *again = must(once, false);
	cleanup_free char *twice = canonical(again);
	cleanup_spec struct spec *odd =
		must("{" GOOD ",\"pinned\":false,\"idle\":[\"pause:1d\",\"shutdown:36h\"]}", true);

	(void)state;
	assert_string_equal(once, expected);
	assert_string_equal(twice, expected);
	assert_int_equal(spec->type, SPEC_TYPE_HVM);
	assert_int_equal(spec->idle.n, 3);
	assert_int_equal(spec->idle.v[1].mode, SPEC_STOP_SUSPEND);
	assert_int_equal(spec->idle.v[1].after, 600000);
	assert_int_equal(spec->on_poweroff, SPEC_FATE_UNSET);
	assert_string_equal(spec_script(spec, 2), "/s/one");
	assert_null(spec_script(odd, 0));
	assert_false(odd->pinned);
	for (int mode = SPEC_STOP_DESTROY; mode < SPEC_STOP_MODES; mode++)
		assert_int_equal(spec_stop_find(spec_stop_word(mode)), mode);
	assert_int_equal(spec_stop_find("none"), SPEC_STOP_UNSET);
}

/* Put behind the good keys, or in place of all when it starts with '{'. */
static const struct bad {
	const char *json, *field, *words;
} bad_real[] = {
	{ "\"kernal\":\"/k\"", "kernal", "did you mean \"kernel\"?" },
	{ "\"Memory_\":1", "Memory_", "did you mean \"memory\"?" },
	{ "\"frobnicate\":1", "frobnicate", "expected one of: name, dns" },
	{ "\"sim_boot\":1", "sim_boot", "only with the simulated backend" },
	{ "\"vcpus\":0", "vcpus", "\"0\": expected a whole number from 1 to 128" },
	{ "\"vcpus\":1.5", "vcpus", "expected a whole number" },
	{ "\"vcpus\":-1", "vcpus", "expected a whole number" },
	{ "\"vcpus\":99999999999999999999", "vcpus", "expected a whole number" },
	{ "\"vcpus\":true", "vcpus", "expected a whole number" },
	{ "\"vcpus\":null", "vcpus", "\"null\": expected a whole number" },
	{ "\"vcpus\":\"2x\"", "vcpus", "\"2x\": expected a whole number" },
	{ "\"ttl\":\"-1\"", "ttl", "expected a whole number" },
	{ "\"wait_limit\":60001", "wait_limit", "whole number of milliseconds from 0 to 60000" },
	{ "\"response_delay\":61", "response_delay", "expected seconds, from 0 to 60" },
	{ "\"response_delay\":-0.5", "response_delay", "expected seconds" },
	{ "\"response_delay\":\"1.\"", "response_delay", "\"1.\": expected seconds" },
	{ "\"response_delay\":NaN", "response_delay", "" },
	{ "\"type\":\"qemu\"", "type", "\"qemu\": expected one of: pv, pvh, hvm" },
	{ "\"stop_mode\":\"sleep\"", "stop_mode", "one of: destroy, shutdown, suspend, pause" },
	{ "\"stop_mode\":1", "stop_mode", "\"1\": expected one of" },
	{ "\"idle_by\":\"arp\"", "idle_by", "expected one of: dns, traffic, both" },
	{ "\"on_crash\":\"coredump-destroy\"", "on_crash", "one of: destroy, restart, preserve" },
	{ "\"pinned\":\"maybe\"", "pinned", "\"maybe\": expected true or false" },
	{ "\"pinned\":2", "pinned", "expected true or false" },
	{ "\"idle\":\"pause:2m\",\"stop_mode\":\"destroy\"", "idle",
	  "not together with stop_mode" },
	{ "\"idle\":\"\"", "idle", "expected MODE:TIME" },
	{ "\"idle\":[]", "idle", "expected tiers such as" },
	{ "\"idle\":120", "idle", "\"120\": expected tiers such as" },
	{ "\"idle\":\"pause\"", "idle", "\"pause\": expected MODE:TIME" },
	{ "\"idle\":\"sleep:2m\"", "idle",
	  "\"sleep:2m\": expected in front of ':' one of: destroy" },
	{ "\"idle\":\"pause:2\"", "idle", "\"pause:2\": expected behind ':' a time" },
	{ "\"idle\":\"pause:m\"", "idle", "expected behind ':' a time" },
	{ "\"idle\":\"pause:0s\"", "idle", "expected behind ':' a time" },
	{ "\"idle\":\"pause:-1s\"", "idle", "expected behind ':' a time" },
	{ "\"idle\":\"pause:99999999999999999d\"", "idle", "expected behind ':' a time" },
	{ "\"idle\":\"pause:99999999999999999999s\"", "idle", "expected behind ':' a time" },
	{ "\"idle\":\"pause:2m,\"", "idle", "expected MODE:TIME" },
	{ "\"idle\":\"suspend:1m,pause:2m\"", "idle",
	  "\"pause:2m\": expected deeper tiers behind" },
	{ "\"idle\":\"shutdown:1m,destroy:2m\"", "idle", "expected deeper tiers behind" },
	{ "\"idle\":\"pause:2m,suspend:120s\"", "idle",
	  "\"suspend:120s\": expected a longer time" },
	{ "\"disk\":\"/a.iso\"", "disk", "expected FILE@DEVICE" },
	{ "\"disk\":\"a.iso@xvda\"", "disk", "an absolute path in front of '@'" },
	{ "\"disk\":[\"/a@xvda\",\"/a@b\"]", "disk", "\"/a@b\": expected behind '@' a device" },
	{ "\"disk\":\"/a@xvd\"", "disk", "expected behind '@' a device" },
	{ "\"disk\":\"/a@xvda123\"", "disk", "expected behind '@' a device" },
	{ "\"script\":\"vif-bridge\",\"nic\":\"b\"", "script", "expected an absolute path" },
	{ "\"script\":\"/s\"", "script", "\"/s\": expected at most one for each nic" },
	{ "\"cpus\":\"0;1\"", "cpus", "expected CPUs as in xl.cfg(5)" },
	{ "\"cpupool\":\"a b\"", "cpupool", "expected the name or number" },
	{ "\"wait_for_key\":\"/data/ready\"", "wait_for_key", "relative to the domain's" },
	{ "\"wait_for_key\":\"=1\"", "wait_for_key", "relative to the domain's" },
	{ "\"wait_for_key\":\"data//r=1\"", "wait_for_key", "no empty part" },
	{ "\"wait_for_key\":\"data/=1\"", "wait_for_key", "no empty part" },
	{ "\"wait_for_key\":\"a b=1\"", "wait_for_key", "expected letters, digits" },
	{ "\"ready_port\":0", "ready_port", "whole number from 1 to 65535" },
	{ "\"ready_port\":65536", "ready_port", "whole number from 1 to 65535" },
	{ "\"shutdown_limit\":3601", "shutdown_limit", "expected seconds, from 0 to 3600" },
	{ "\"rumprun_config\":\"json.cfg\"", "rumprun_config", "expected an absolute path" },
	{ "\"rumprun_addr\":\"10.0.0.1\"", "rumprun_addr", "only with rumprun_config" },
	{ "\"rumprun_mask\":24", "rumprun_mask", "only with rumprun_config" },
	{ "\"rumprun_gw\":\"10.0.0.1\"", "rumprun_gw", "only with rumprun_config" },
	{ "\"rumprun_hostname\":\"a\"", "rumprun_hostname", "only with rumprun_config" },
	{ "\"rumprun_config\":\"/c\",\"rumprun_mask\":33", "rumprun_mask", "from 0 to 32" },
	{ "\"rumprun_config\":\"/c\",\"rumprun_addr\":\"::1\"", "rumprun_addr", "an IPv4 address" },
	{ "\"rumprun_config\":\"/c\",\"rumprun_hostname\":\"a b\"", "rumprun_hostname", "letters" },
	{ "\"uuid\":\"123\"", "uuid", "\"123\": expected a UUID" },
	{ "\"uuid\":\"01234567-89ab-cdef-0123-456789abcdeg\"", "uuid", "expected a UUID" },
	{ "\"uuid\":\"0123456-789ab-cdef-0123-456789abcdef\"", "uuid", "expected a UUID" },
	{ "\"uuid\":\"00000000-0000-0000-0000-000000000000\"", "uuid", "domain 0" },
	{ "\"ramdisk\":\"r\"", "ramdisk", "expected an absolute path" },
	{ "\"ramdisk\":\"/a\\u0000b\"", "", "\\u0000" },
	{ "\"ramdisk\":\"/a\\u0001b\"", "ramdisk", "no control character" },
	{ "\"ramdisk\":[\"/a\",\"/b\"]", "ramdisk", "expected a string" },
	{ "\"nic\":\"a-name-over-15-bytes\"", "nic", "at most 15 bytes" },
	{ "\"nic\":\"br/0\"", "nic", "expected the name of a bridge" },
	{ "\"nic\":[1]", "nic", "\"1\": expected a string" },
	{ "\"mac\":\"00:16:3e:00:00:01\"", "mac", "one for each nic" },
	{ "\"nic\":\"b\",\"mac\":\"01:16:3e:00:00:01\"", "mac", "one interface" },
	{ "\"nic\":\"b\",\"mac\":\"00:16:3e:00:00\"", "mac", "expected a MAC" },
	{ "\"nic\":\"b\",\"mac\":\"00:16:3e:00:00:0g\"", "mac", "expected a MAC" },
	{ "{\"dns\":\"a\"}", "name", "missing" },
	{ "{\"name\":\"a\",\"ip\":\"::1\"}", "dns", "missing" },
	{ "{\"name\":\"a\",\"dns\":\"a\"}", "ip", "missing" },
	{ "{\"name\":\"a\",\"dns\":\"a\",\"ip\":\"::1\",\"memory\":64000}", "kernel", "missing" },
	{ "{\"name\":\"a\",\"dns\":\"a\",\"ip\":\"::1\",\"kernel\":\"/k\"}", "memory", "missing" },
	{ "{\"name\":\"a\",\"dns\":\"a\",\"ip\":\"::1\",\"type\":\"hvm\"}", "kernel", "missing" },
	{ "{\"kernel\":\"k\"}", "kernel", "expected an absolute path" },
	{ "{\"memory\":1023}", "memory", "expected from 1024" },
	{ "{\"memory\":\"64X\"}", "memory", "\"64X\": expected a number of KiB" },
	{ "{\"memory\":-1}", "memory", "expected a number of KiB" },
	{ "{\"memory\":\"99999999999T\"}", "memory", "expected a number of KiB" },
	{ "{\"name\":\"\"}", "name", "expected 1 to 63 bytes" },
	{ "{\"name\":\"a b\"}", "name", "expected letters, digits" },
	{ "{\"name\":\"-a\"}", "name", "at the start" },
	{ "{\"name\":\"17\"}", "name", "more than digits" },
	{ "{\"dns\":[]}", "dns", "expected 1 to 64 entries, not 0" },
	{ "{\"dns\":{}}", "dns", "expected a string or an array" },
	{ "{\"dns\":[\"a\",\"A.\"]}", "dns", "\"a\": expected each only once" },
	{ "{\"dns\":\".\"}", "dns", "below the root" },
	{ "{\"dns\":\"*\"}", "dns", "below the root" },
	{ "{\"dns\":\"a..b\"}", "dns", "without empty labels" },
	{ "{\"dns\":\"a.*.b\"}", "dns", "only as the whole first label" },
	{ "{\"dns\":\"a*.b\"}", "dns", "only as the whole first label" },
	{ "{\"dns\":\"a b\"}", "dns", "expected a DNS name of letters" },
	{ "{\"dns\":\"-a.b\"}", "dns", "no '-' at the start or end" },
	{ "{\"dns\":\"10.0.0.1\"}", "dns", "not an address" },
	{ "{\"dns\":\"\xc3\xa4.example\"}", "dns", "expected a DNS name of letters" },
	{ "{\"dns\":\"a123456789a123456789a123456789a123456789a123456789a123456789a123\"}", "dns",
	  "at most 63" },
	{ "{\"ip\":\"10.0.0\"}", "ip", "\"10.0.0\": expected an IPv4 or IPv6 address" },
	{ "{\"ip\":\"0.0.0.0\"}", "ip", "expected the address of one host" },
	{ "{\"ip\":\"255.255.255.255\"}", "ip", "expected the address of one host" },
	{ "{\"ip\":\"224.0.0.251\"}", "ip", "expected the address of one host" },
	{ "{\"ip\":\"::\"}", "ip", "expected the address of one host" },
	{ "{\"ip\":\"ff02::1\"}", "ip", "expected the address of one host" },
	{ "{\"ip\":\"::ffff:10.0.0.1\"}", "ip", "not mapped" },
	{ "{\"ip\":[\"10.0.0.1\",\"10.0.0.1\"]}", "ip", "expected each only once" },
	{ "{\"name\":\"a\",\"name\":\"b\"}", "", "\"name\": this key is given twice" },
	{ "{\"name\":[\"x\\\"\",\"y:\"],\"ip\":1}", "name", "" },
	{ "[]", "", "expected one JSON object" },
	{ "7", "", "expected one JSON object" },
	{ "null", "", "expected one JSON object" },
	{ "", "", "not JSON: empty" },
	{ "{", "", "not JSON: unexpected end" },
	{ "{\"name\":\"a\",}", "", "not JSON" },
	{ "{'\"':1}", "", "a single quote" },
	{ "{'name':\"a\"}", "", "not JSON" },
	{ "{} x", "", "unexpected character at line 1, column 4" },
	{ "{}{}", "", "not JSON" },
	{ "{\"name\":\"\xff\xfe\"}", "", "not JSON" },
	{ "{\"name\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1"
	  "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
	  "", "not JSON" },
	{ "\x01\x02\x03", "", "not JSON" },
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_real); i++) {
		const struct bad *bad = &bad_real[i];
		struct error err = { 0 };
		char text[1024];
		/* A line that starts with a quote stands behind the good keys. */
		bool more = bad->json[0] == '"';

		snprintf(text, sizeof text, more ? "{" GOOD ",%s}" : "%s", bad->json);
		if (spec_from_text(text, false, &err))
			fail_msg("accepted: %s", text);
		if (strcmp(err.text, "") == 0 || !strstr(err.text, bad->words))
			fail_msg("%s: \"%s\" lacks \"%s\"", text, err.text, bad->words);
		if (bad->field[0] && err.kind != ERROR_INPUT)
			fail_msg("%s: kind %d", text, err.kind);
		if (strcmp(bad->field, err.field) != 0 &&
		    strcmp(bad->json, "\"response_delay\":NaN"))
			fail_msg("%s: field \"%s\"", text, err.field);
	}
}

/* What looks plain and is not: the short way must leave it to json-c. */
static void test_nearly_plain(void **state)
{
	static const char *const bad[] = {
		"{" GOOD ",}",
		"{" GOOD "} x",
		"{" GOOD "}}",
		"{" GOOD ",\"ttl\":30,\"ttl\":30}",
		"{" GOOD ",\"ttl\":030}",
		"{" GOOD ",\"ttl\":-1}",
		"{" GOOD ",\"ttl\":30x}",
		"{" GOOD ",\"pinned\":truex}",
		"{" GOOD ",\"nic\":[\"br0\",]}",
		"{" GOOD ",\"nic\":[\"br0\"}",
		"{" GOOD ",\"nic\":\"br0}",
		"{" GOOD ",\"nic\" \"br0\"}",
		"{" GOOD ",\"sim_boot\":1}",
		"[" GOOD "]",
		"{" GOOD,
		"{,}",
		"{",
		"",
	};
	static const char *const good[] = {
		"{" GOOD ",\"nic\":[ \"br0\" , \"br1\" ] , \"ttl\" : 0 }\n",
		"{" GOOD ",\"cmdline\":\"a \\\"b\\\" \\u00e4 \\/ \\\\ \\n\"}",
		"{" GOOD ",\"cmdline\":\"\xc3\xa4\"}",
		"{" GOOD ",\"pinned\":true,\"wake_any\":false,\"use_synjitsu\":\"1\"}",
		"{" GOOD ",\"response_delay\":1e-1,\"idle\":\"pause:2m,destroy:1h\"}",
		"{" GOOD
		",\"uuid\":\"01234567-89AB-cdef-0123-456789abcdef\",\"mac\":[],\"vcpus\":\"2\"}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error err = { 0 };

		if (spec_from_text(bad[i], false, &err))
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(err.kind, ERROR_INPUT);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		spec_free(must(good[i], false));
}

static void test_too_long(void **state)
{
	cleanup_free char *text = malloc(SPEC_JSON_MAX + 2);
	struct error err = { 0 };

	(void)state;
	memset(text, ' ', SPEC_JSON_MAX + 1);
	text[SPEC_JSON_MAX + 1] = '\0';
	assert_null(spec_from_text(text, true, &err));
	assert_non_null(strstr(err.text, "at most 65536 bytes"));
}

/* The largest specification stays within what a message carries. */
static void test_largest(void **state)
{
	struct json_object *object = json_object_new_object();
	struct json_object *dns = json_object_new_array(), *ip = json_object_new_array();
	char path[4096], text[256];
	struct error err = { 0 };

	(void)state;
	memset(path, '/', 4095);
	path[4095] = '\0';
	for (int i = 0; i < 64; i++) {
		int n = snprintf(text, sizeof text, "n%02d", i);

		while (n < 253) {
			text[n] = n % 60 == 59 ? '.' : 'x';
			n++;
		}
		text[n] = '\0';
		json_object_array_add(dns, json_object_new_string(text));
		snprintf(text, sizeof text, "1111:2222:3333:4444:5555:6666:7777:%x", 0x8000 + i);
		json_object_array_add(ip, json_object_new_string(text));
	}
	json_object_object_add(object, "name", json_object_new_string("n"));
	json_object_object_add(object, "dns", dns);
	json_object_object_add(object, "ip", ip);
	json_object_object_add(object, "memory", json_object_new_int(1024));
	json_object_object_add(object, "kernel", json_object_new_string(path));
	json_object_object_add(object, "ramdisk", json_object_new_string(path));
	memset(path, '"', 4095);
	json_object_object_add(object, "cmdline", json_object_new_string(path));
	cleanup_spec struct spec *spec = spec_from_json(object, false, &err);
	if (!spec)
		fail_msg("%s", err.text);
	cleanup_free char *all = canonical(spec);
	cleanup_spec struct spec *again = must(all, false);

	assert_non_null(again);
	assert_true(strlen(all) < SPEC_JSON_MAX);
	json_object_put(object);
}

/* Many long paths are too much. */
static void test_over_size(void **state)
{
	struct json_object *object = json_tokener_parse("{" GOOD "}"),
			   *disks = json_object_new_array();
	char path[4096];
	struct error err = { 0 };

	(void)state;
	memset(path, '/', sizeof path);
	strcpy(path + 4000, "@xvda");
	for (int i = 0; i < 16; i++)
		json_object_array_add(disks, json_object_new_string(path));
	json_object_object_add(object, "disk", disks);
	cleanup_spec struct spec *spec = spec_from_json(object, false, &err);
	if (!spec)
		fail_msg("%s", err.text);
	json_object_array_add(disks, json_object_new_string(path));
	assert_null(spec_from_json(object, false, &err));
	assert_non_null(strstr(err.text, "expected at most 65536 bytes of JSON, not 6"));
	json_object_put(object);
}

static void pairs(const char *const *arguments, size_t count, const char *expected)
{
	struct error err = { 0 };
	struct json_object *object = spec_pairs_to_json(arguments, count, &err);

	if (!object)
		fail_msg("%s: %s", arguments[0], err.text);
	assert_string_equal(json_object_to_json_string_ext(object, JSON_C_TO_STRING_NOSLASHESCAPE |
									   JSON_C_TO_STRING_PLAIN),
			    expected);
	json_object_put(object);
}

static void test_pairs(void **state)
{
	const char *original[] = { "dns=www.example.org,ip=10.0.0.1,\\\n   kernel=/k ,\n"
				   "memory=64000,name=www, nic=br0,\tnic=br1,nic=br2,",
				   "cmdline=a\\,b c=d,vcpus=2,response_delay=0.5" };
	struct error err = { 0 };

	(void)state;
	const char *disks[] = { "disk=images/stubetc.iso@xvda,disk=images/data.iso@xvdb",
				"idle=pause:2m\\,destroy:1h" };

	pairs(disks, 2,
	      "{\"disk\":[\"images/stubetc.iso@xvda\",\"images/data.iso@xvdb\"],"
	      "\"idle\":\"pause:2m,destroy:1h\"}");
	pairs(original, 2,
	      "{\"dns\":\"www.example.org\",\"ip\":\"10.0.0.1\",\"kernel\":\"/k\","
	      "\"memory\":\"64000\",\"name\":\"www\",\"nic\":[\"br0\",\"br1\",\"br2\"],"
	      "\"cmdline\":\"a,b c=d\",\"vcpus\":\"2\",\"response_delay\":\"0.5\"}");
	struct json_object *object = spec_pairs_to_json(original, 2, &err);
	cleanup_spec struct spec *spec = spec_from_json(object, false, &err);

	json_object_put(object);
	if (!spec)
		fail_msg("%s", err.text);
	assert_int_equal(spec->nic.n, 3);
	assert_int_equal(spec->vcpus, 2);
	assert_int_equal(spec->response_delay, 500);
	assert_int_equal(spec->memory, 64000);
}

static void test_bad_pairs(void **state)
{
	static const struct {
		const char *argument, *words;
	} bad[] = {
		{ "name", "\"name\": expected key=value" },
		{ "name=a,dns", "\"dns\": expected key=value" },
		{ "name=", "\"name=\": expected a value" },
		{ "name=a, dns = ,ip=b", "\"dns=\": expected a value" },
		{ "=a", "\"=a\": expected a key" },
		{ "name=a,,dns=b", "between commas" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error err = { 0 };

		assert_null(spec_pairs_to_json(&bad[i].argument, 1, &err));
		if (!strstr(err.text, bad[i].words))
			fail_msg("%s: %s", bad[i].argument, err.text);
	}
}

/* The same while a domain, or its image, is what the specification says. */
static void test_digest(void **state)
{
	static const struct {
		const char *keys;
		bool same;
	} cases[] = {
		{ "", true },
		{ ",\"ttl\":9,\"idle\":\"pause:2m\",\"wait_for_key\":\"up\",\"cpus\":\"1\"", true },
		{ ",\"ip\":\"10.0.0.2\",\"dns\":[\"a\",\"b\"]", true },
		{ ",\"type\":\"pvh\"", false },
		{ ",\"kernel\":\"/l\"", false },
		{ ",\"memory\":8192", false },
		{ ",\"cmdline\":\"x\"", false },
		{ ",\"nic\":\"br0\"", false },
		{ ",\"disk\":\"/a.iso@xvda\"", false },
		{ ",\"vcpus\":2", false },
		{ ",\"ramdisk\":\"/k\"", false },
	};
	uint64_t first = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[512];
		struct spec *spec;

		snprintf(text, sizeof text, "{\"name\":\"a\"%s%s%s%s%s}",
			 strstr(cases[i].keys, "dns") ? "" : ",\"dns\":\"a\"",
			 strstr(cases[i].keys, "ip\"") ? "" : ",\"ip\":\"10.0.0.1\"",
			 strstr(cases[i].keys, "kernel") ? "" : ",\"kernel\":\"/k\"",
			 strstr(cases[i].keys, "memory") ? "" : ",\"memory\":4096", cases[i].keys);
		spec = must(text, false);
		assert_int_not_equal(spec_digest(spec), 0);
		if (!i)
			first = spec_digest(spec);
		else if (cases[i].same != (spec_digest(spec) == first))
			fail_msg("%s", cases[i].keys);
		spec_free(spec);
	}
}

/* What is read without json-c's tree is what stands there, whatever stood before it. */
static bool put_value(void *arg, const char *key, size_t size, struct json_object *value)
{
	struct json_object *object = arg;
	char name[8];

	snprintf(name, sizeof name, "%.*s", (int)size, key);
	json_object_object_add(object, name, json_tokener_parse(json_object_to_json_string(value)));
	return true;
}

static void test_scan(void **state)
{
	static const char text[] =
		"{\"a\":\"one\",\"b\":\"a text that is longer than what an object has room for\","
		"\"c\":\"two\",\"d\":7,\"e\":90000000000,\"f\":8,\"g\":\"\",\"h\":true,"
		"\"i\":[\"one\",\"another text, of more than a few characters\",\"three\"],"
		"\"j\":[],\"k\":\"x\",\"l\":false,\"m\":0}";
	struct json_object *seen = json_object_new_object();

	(void)state;
	assert_true(spec_scan(text, put_value, seen));
	assert_string_equal(json_object_to_json_string_ext(seen, JSON_C_TO_STRING_PLAIN), text);
	json_object_put(seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),	     cmocka_unit_test(test_least),
		cmocka_unit_test(test_memory_forms), cmocka_unit_test(test_bad),
		cmocka_unit_test(test_too_long),     cmocka_unit_test(test_largest),
		cmocka_unit_test(test_life),	     cmocka_unit_test(test_over_size),
		cmocka_unit_test(test_pairs),	     cmocka_unit_test(test_bad_pairs),
		cmocka_unit_test(test_digest),	     cmocka_unit_test(test_nearly_plain),
		cmocka_unit_test(test_scan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
