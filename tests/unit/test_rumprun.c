/* Rumprun configurations: what the tool writes reaches its reader unchanged, what is broken is
 * refused with its place. Run from the top of the tree. */
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
#include "toolstack/rumprun.h"

#define SAMPLE "tests/unit/data/rumprun-xen.cfg"
#define TOKENS 256

/* --- a reader as forgiving as rumprun's: tokens in order, with the number of their children --- */

struct token {
	char type; /* { [ " or . for what has no quotes */
	char text[128];
	int size, parent;
};

static size_t read_tokens(const char *text, struct token *tokens)
{
	size_t n = 0;
	int parent = -1;

	text = strchr(text, '{');
	assert_non_null(text);
	for (; *text; text++) {
		struct token *token = &tokens[n];

		if (strchr(" \t\r\n", *text))
			continue;
		if (*text == ':') {
			parent = (int)n - 1;
		} else if (*text == ',') {
			if (parent >= 0 && !strchr("{[", tokens[parent].type))
				parent = tokens[parent].parent;
		} else if (*text == '}' || *text == ']') {
			while (parent >= 0 && !strchr("{[", tokens[parent].type))
				parent = tokens[parent].parent;
			assert_true(parent >= 0);
			assert_int_equal(tokens[parent].type, *text == '}' ? '{' : '[');
			parent = tokens[parent].parent;
		} else {
			size_t size;

			assert_true(n < TOKENS);
			*token = (struct token){ .type = *text, .parent = parent };
			if (parent >= 0)
				tokens[parent].size++;
			n++;
			if (*text == '{' || *text == '[') {
				parent = (int)n - 1;
				continue;
			}
			token->type = *text == '"' ? '"' : '.';
			text += *text == '"';
			for (size = 0; text[size] &&
				       (token->type == '"' ? text[size] != '"'
							   : !strchr(" \t\r\n,:]}", text[size]));)
				size += text[size] == '\\' ? 2 : 1;
			assert_true(size < sizeof token->text);
			memcpy(token->text, text, size);
			text += token->type == '"' ? size : size - 1;
		}
	}
	return n;
}

static void same_to_reader(const char *before, const char *after)
{
	static struct token was[TOKENS], is[TOKENS];
	size_t n = read_tokens(before, was), m = read_tokens(after, is);

	assert_int_equal(n, m);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(was[i].type, is[i].type);
		assert_string_equal(was[i].text, is[i].text);
		assert_int_equal(was[i].size, is[i].size);
	}
}

/* --- the service --- */

static char *sample(void)
{
	FILE *file = fopen(SAMPLE, "r");
	char *text = calloc(1, 65536);

	if (!file)
		fail_msg("%s is not there: is this the top of the tree?", SAMPLE);
	assert_true(fread(text, 1, 65535, file) > 0);
	fclose(file);
	return text;
}

static struct spec *service(const char *more)
{
	char text[1024];
	struct error err;
	struct spec *spec;

	snprintf(text, sizeof text,
		 "{\"name\":\"web\",\"dns\":\"web\",\"kernel\":\"/k\",\"memory\":\"64M\","
		 "\"rumprun_config\":\"/srv/json.cfg\"%s}",
		 more);
	spec = spec_from_text(text, false, &err);
	if (!spec)
		fail_msg("%s: %s", text, err.text);
	return spec;
}

static char first[] = "xvda", second[] = "xvdb", *names[] = { first, second };
static const struct spec_texts devices = { names, 2 };

static int take(const char *text, const char *more, struct rumprun *out, struct error *err)
{
	cleanup_spec struct spec *spec = service(more);

	return rumprun_read(text, strlen(text), "/srv/json.cfg", spec, &devices, out, err);
}

static struct rumprun must(const char *text, const char *more)
{
	struct rumprun out = { 0 };
	struct error err = { 0 };

	if (take(text, more, &out, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return out;
}

/* --- tests --- */

static void test_sample(void **state)
{
	cleanup_free char *text = sample();
	struct rumprun out = must(text, ",\"ip\":[\"10.0.0.2\",\"10.0.0.1\"]");
	struct json_object *json = json_tokener_parse(out.text);

	(void)state;
	same_to_reader(text, out.text);
	assert_non_null(json); /* JSON now, whatever a reader keeps of the repeated keys */
	json_object_put(json);
	assert_null(strpbrk(out.text, "\n\t"));
	rumprun_release(&out);
	assert_null(out.text);
}

/* The reader of this test does tell texts apart. */
static void test_reader(void **state)
{
	static struct token tokens[TOKENS];

	(void)state;
	assert_int_equal(read_tokens("x{, \"a\" : [, \"b\\\"\", 7,], \"a\":{},},", tokens), 7);
	assert_int_equal(tokens[0].size, 2);
	assert_int_equal(tokens[1].size, 1);
	assert_int_equal(tokens[2].size, 2);
	assert_string_equal(tokens[3].text, "b\\\"");
	assert_int_equal(tokens[4].type, '.');
	assert_int_equal(tokens[6].type, '{');
}

static void test_ip_found(void **state)
{
	static const char six[] =
		"{\"net\":{\"if\":\"x\",\"type\":\"inet6\",\"method\":\"static\",\"addr\":\"fd00::"
		"1\","
		"\"mask\":\"64\"},\"net\":{\"if\":\"x\",\"type\":\"inet\",\"method\":\"static\","
		"\"addr\":\"10.1.1.1\",\"mask\":\"8\",\"gw\":\"10.0.0.1\"}}";
	cleanup_free char *text = sample();
	cleanup_spec struct spec *without = service(""), *with = service(",\"ip\":\"10.0.0.1\"");
	struct rumprun out = must(text, ""), both = must(six, "");
	cleanup_free char *one = rumprun_addition(&out, without);
	cleanup_free char *none = rumprun_addition(&out, with);
	cleanup_free char *two = rumprun_addition(&both, without);

	(void)state;
	assert_string_equal(one, "{\"ip\":[\"10.0.0.1\"]}");
	assert_string_equal(none, "{}");
	assert_string_equal(two, "{\"ip\":[\"fd00::1\",\"10.1.1.1\"]}");
	rumprun_release(&out);
	rumprun_release(&both);
}

/* What stands where the sample's text stood, its lines kept. */
static char *with(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	char *out;

	assert_non_null(at);
	assert_true(asprintf(&out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
	return out;
}

static void test_over(void **state)
{
	cleanup_free char *text = sample();
	cleanup_free char *a = with(text, "\"10.0.0.1\"", "\"10.9.0.7\"");
	cleanup_free char *b = with(a, "\"24\"", "\"16\"");
	cleanup_free char *c = with(b, "\"10.0.1.1\"", "\"10.9.0.1\"");
	cleanup_free char *expected = with(c, "\"web\"", "\"web-7\"");
	struct rumprun out = must(text,
				  ",\"rumprun_addr\":\"10.9.0.7\",\"rumprun_mask\":16,"
				  "\"rumprun_gw\":\"10.9.0.1\",\"rumprun_hostname\":\"web-7\","
				  "\"ip\":\"10.9.0.7\"");
	static const char least[] =
		"{\"net\":{\"if\":\"x\",\"type\":\"inet\",\"method\":\"static\"}}";
	struct rumprun added = must(least, ",\"rumprun_addr\":\"10.9.0.7\",\"rumprun_mask\":16,"
					   "\"rumprun_gw\":\"10.9.0.1\","
					   "\"rumprun_hostname\":\"web-7\"");

	(void)state;
	same_to_reader(expected, out.text);
	same_to_reader("{\"net\":{\"if\":\"x\",\"type\":\"inet\",\"method\":\"static\","
		       "\"addr\":\"10.9.0.7\",\"mask\":\"16\",\"gw\":\"10.9.0.1\"},"
		       "\"hostname\":\"web-7\"}",
		       added.text);
	assert_int_equal(added.ip.n, 1);
	rumprun_release(&out);
	rumprun_release(&added);
}

static void test_taken(void **state)
{
	static const char *const texts[] = {
		"{}",
		"{,,},,\n",
		"console=x {\"cmdline\":\"a \\\"b c\\\" \\\\ \\u0041\",\"env\":\"A=\\/x=y\"},",
		"{\"rc\":[,{\"bin\":\"a\",\"argv\":[,],},{,\"bin\":\"b\",\"argv\":[\"-x\",\"\"],"
		"\"runmode\":\"&\"}],\"hostname\":\"h\"}",
		"{\"rc_TESTING\":[]}",
		"{\"hostname\":\"a\",\"hostname\":\"b\",\"env\":\"A=\",\"env\":\"A=\"}",
		"{\"net\":{\"if\":\"x\",\"type\":\"inet\",\"method\":\"dhcp\"}}",
		"{\"net\":{\"if\":\"x\",\"type\":\"inet6\",\"method\":\"auto\"}}",
		"{\"blk\":{\"source\":\"etfs\",\"path\":\"xvdb\"}}",
		"{\"blk\":{\"source\":\"vnd\",\"path\":\"images/a\",\"fstype\":\"blk\","
		"\"mountpoint\":\"/a\"}}",
		"{\"env\":\"A=\xc3\xa4\tb\"}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct rumprun out = must(texts[i], ",\"ip\":\"10.0.0.1\"");

		same_to_reader(texts[i], out.text);
		rumprun_release(&out);
	}
}

/* A change of the sample, and what the error says of it. */
static void test_broken(void **state)
{
	static const struct {
		const char *from, *to, *words;
	} rows[] = {
		{ "{, \n\t\"env\"", "\n\t\"env\"",
		  "line 10, column 2: '\"'; expected nothing behind the last '}'" },
		{ "{, \n\t\"env\"", "[, \n\t\"env\"", "" },
		{ "\"env\": \"A=1\"", "\"env\" \"A=1\"", "line 2, column 8: '\"'; expected ':'" },
		{ "\"env\": \"A=1\",", "\"env\": \"A=1\"",
		  "line 3, column 2: '\"'; expected ',' or '}'" },
		{ "\"A=1\"", "\"A\"", "line 2, column 9: env: \"A\": expected NAME=VALUE" },
		{ "\"A=1\"", "\"=1\"", "env: \"=1\": expected NAME=VALUE" },
		{ "\"A=1\"", ",", "line 2, column 9: ','; expected a value" },
		{ "\"A=1\"", "'A=1'",
		  "line 2, column 9: env: \"'A=1'\": expected a string in quotes" },
		{ "\"A=1\"", "{\"A\":\"1\"}",
		  "line 2, column 9: env: expected a string in quotes" },
		{ "\"A=1\"", "\"A=\\x\"", "line 2, column 9: a string that is not JSON" },
		{ "\"A=1\"", "\"A=\xff\"", "line 2, column 9: a string that is not JSON" },
		{ "\"env\"", "\"evn\"",
		  "line 2, column 2: evn: unknown key; expected one of: cmdline" },
		{ "\"env\"", "\"\"", "line 2, column 2: : unknown key" },
		{ "\"env\"", "env", "line 2, column 2: 'e'; expected a key in quotes" },
		{ "\"24\"", "24", "line 22, column 11: mask: \"24\": expected a string in quotes" },
		{ "\"24\"", "\"255.255.255.0\"",
		  "line 22, column 11: mask: \"255.255.255.0\": expected the length of a prefix" },
		{ "\"24\"", "\"33\"",
		  "mask: \"33\": expected the length of a prefix, from 0 to 32" },
		{ "\"10.0.0.1\"", "\"10.0.0.300\"",
		  "line 21, column 11: addr: \"10.0.0.300\": expected an IPv4 address" },
		{ "\"10.0.0.1\"", "\"10.0.0\\u002e1\"", "expected an IPv4 address" },
		{ "\"10.0.0.1\"", "\"10.0.0.2\"",
		  "line 21, column 11: addr: \"10.0.0.2\": expected one of the service's "
		  "addresses" },
		{ "\"10.0.1.1\"", "\"gateway\"",
		  "line 23, column 10: gw: \"gateway\": expected an IPv4" },
		{ "\"inet\"", "\"ipv4\"",
		  "line 19, column 11: type: \"ipv4\": expected one of: inet inet6" },
		{ "\"inet\"", "\"inet6\"", "addr: \"10.0.0.1\": expected an IPv6 address" },
		{ "\"static\"", "\"auto\"",
		  "line 20, column 13: method: \"auto\": expected one of: static dhcp" },
		{ "\"mask\"", "\"netmask\"",
		  "line 22, column 3: netmask: unknown key in net; expected one of: if, cloner, "
		  "type" },
		{ "\"mask\"", "\"addr\"",
		  "line 22, column 3: addr: expected once in one net; it is on line 21 too" },
		{ "\"mask\":\t\"24\", ", "",
		  "line 16, column 11: net: expected in it the key mask" },
		{ "\"if\":\t\t\"xenif0\", ", "",
		  "line 16, column 11: net: expected in it the key if" },
		{ "\"xvdb\"", "\"xvdc\"",
		  "line 12, column 11: path: \"xvdc\": expected the device of one of the "
		  "service's" },
		{ "\"source\":\t\"etfs\", ", "",
		  "line 4, column 11: blk: expected in it the key source" },
		{ "\"etfs\"", "\"file\"",
		  "line 5, column 13: source: \"file\": expected one of: dev vnd etfs" },
		{ "\"kernfs\"", "\"kern\"", "fstype: \"kern\": expected one of: blk kernfs" },
		{ "\"/etc\"", "\"etc\"", "mountpoint: \"etc\": expected an absolute path" },
		{ "\"fstype\":\t\"blk\", ", "",
		  "line 4, column 11: blk: expected in it the key fstype" },
		{ "\"blk\" :  {", "\"blk\" :  [", "line 5, column 11: ':'; expected ',' or ']'" },
		{ "\"hostname\": \"web\"", "\"hostname\": \"\"",
		  "line 32, column 14: hostname: \"\": expected a text that is not empty" },
		{ "\"hostname\": \"web\"", "\"hostname\": \"web",
		  "line 32, column 14: a string that has no end" },
		{ "\"hostname\": \"web\", \n},", "\"hostname\": \"web\", \n",
		  "the end of the file; expected a key in quotes, or '}'" },
		{ "\n}, \n", "\n}, {}\n",
		  "line 33, column 4: '{'; expected nothing behind the last '}'" },
		{ "\n}, \n", "\n}}\n", "expected nothing behind the last '}'" },
		{ "\"cmdline\": ", "\"rc\": [{\"bin\":\"x\"}], \"cmdline\": ",
		  "line 31, column 9: rc: expected in it the key argv" },
		{ "\"cmdline\": ", "\"rc\": [{\"bin\":\"x\",\"argv\":[\"a\",1]}], \"cmdline\": ",
		  "line 31, column 32: \"1\": expected in argv: a string in quotes" },
		{ "\"cmdline\": ",
		  "\"rc\": [{\"bin\":\"x\",\"argv\":[],\"runmode\":\";\"}], \"cmdline\": ",
		  "runmode: \";\": expected one of: & |" },
		{ "\"cmdline\": ", "\"rc\": [\"x\"], \"cmdline\": ",
		  "expected in rc: an object for each" },
		{ "\"cmdline\": ", "\"rc\": {}, \"cmdline\": ", "rc: expected an array of objects" },
		{ "\"cmdline\": ", "\"rc\": [[[[[[[[[[[]]]]]]]]]]], \"cmdline\": ",
		  "at most 8 brackets" },
	};
	cleanup_free char *text = sample();
	struct rumprun out = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *broken = with(text, rows[i].from, rows[i].to);
		struct error err = { 0 };

		if (take(broken, ",\"ip\":\"10.0.0.1\"", &out, &err) == 0)
			fail_msg("accepted: %s", rows[i].to);
		assert_null(out.text);
		assert_string_equal(err.field, "rumprun_config");
		assert_int_equal(err.kind, ERROR_INPUT);
		if (!strstr(err.text, rows[i].words) || !strstr(err.text, "/srv/json.cfg"))
			fail_msg("\"%s\" lacks \"%s\"", err.text, rows[i].words);
	}
}

/* What is wrong with the service rather than with the file. */
static void test_refused(void **state)
{
	static const char dhcp[] = "{\"net\":{\"if\":\"x\",\"type\":\"inet\",\"method\":\"dhcp\"}}";
	cleanup_free char *text = sample(), *long_text = calloc(1, 70000);
	const struct {
		const char *text, *more, *field, *words;
	} rows[] = {
		{ dhcp, "", "ip",
		  "missing; expected where rumprun_config /srv/json.cfg has no net" },
		{ "{}", "", "ip", "missing" },
		{ dhcp, ",\"rumprun_addr\":\"10.0.0.1\"", "rumprun_addr",
		  "\"10.0.0.1\": expected only where rumprun_config /srv/json.cfg has a net" },
		{ "{}", ",\"rumprun_gw\":\"10.0.0.1\"", "rumprun_gw", "has a net of type inet" },
		{ text, ",\"ip\":\"10.0.0.1\",\"rumprun_addr\":\"10.0.0.3\"", "rumprun_addr",
		  "\"10.0.0.3\": expected one of the service's addresses" },
		{ "", "", "rumprun_config", "line 1, column 1: the end of the file" },
		{ "\n  ", "", "rumprun_config", "line 2, column 3: the end of the file" },
		{ long_text, ",\"ip\":\"::1\"", "rumprun_config", "which xenstore takes" },
	};

	(void)state;
	memset(long_text + sprintf(long_text, "{\"cmdline\":\""), 'x', 5000);
	strcat(long_text, "\"}");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rumprun out = { 0 };
		struct error err = { 0 };

		if (take(rows[i].text, rows[i].more, &out, &err) == 0)
			fail_msg("accepted: %s", rows[i].text);
		assert_string_equal(err.field, rows[i].field);
		if (!strstr(err.text, rows[i].words))
			fail_msg("\"%s\" lacks \"%s\"", err.text, rows[i].words);
	}
	memset(long_text, ' ', 65537);
	struct rumprun out;
	struct error err = { 0 };
	assert_int_equal(take(long_text, "", &out, &err), -1);
	assert_non_null(strstr(err.text, "expected at most 65536 bytes, not 65537"));
	cleanup_spec struct spec *spec = service("");
	assert_int_equal(rumprun_read("{\n\0}", 4, "/f", spec, &devices, &out, &err), -1);
	assert_non_null(strstr(err.text, "line 2, column 1: byte 0x00"));
}

/* Whatever becomes of the text: an error with words, or what its reader sees the same. */
static void test_mutations(void **state)
{
	static const char bytes[] = "{}[]\",:\\ \n\tu0ax\x80\xff";
	cleanup_free char *text = sample();
	size_t size = strlen(text), taken = 0;
	unsigned random = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		cleanup_free char *broken = strdup(text);
		struct rumprun out = { 0 };
		struct error err = { 0 };

		for (int i = 0; i <= round % 3; i++) {
			random = random * 1103515245u + 12345u;
			broken[(random >> 8) % size] = bytes[(random >> 4) % (sizeof bytes - 1)];
		}
		if (round % 7 == 0)
			broken[(random >> 9) % size] = '\0';
		if (take(broken, round % 2 ? "" : ",\"rumprun_hostname\":\"h\"", &out, &err) < 0) {
			assert_int_not_equal(*err.text, '\0');
			assert_null(out.text);
			continue;
		}
		taken++;
		if (round % 2)
			same_to_reader(broken, out.text);
		rumprun_release(&out);
	}
	assert_true(taken > 100); /* white space and names that do not matter */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sample),	 cmocka_unit_test(test_reader),
		cmocka_unit_test(test_ip_found), cmocka_unit_test(test_over),
		cmocka_unit_test(test_taken),	 cmocka_unit_test(test_broken),
		cmocka_unit_test(test_refused),	 cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests_name("rumprun", tests, NULL, NULL);
}
