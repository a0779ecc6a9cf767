/* engine/dispatch: a request and its reply, without a socket. */
#include "tests/unit/test_control.h"

#include "engine/dispatch.h"

static unsigned replies;
static char *last_reply;

static void on_reply(void *arg, const char *line, size_t size)
{
	assert_ptr_equal(arg, &replies);
	replies++;
	free(last_reply);
	last_reply = line ? strndup(line, size) : NULL;
	if (line) {
		struct json_object *value;

		assert_int_equal(strlen(last_reply), size);
		assert_int_equal(last_reply[size - 1], '\n');
		assert_ptr_equal(strchr(last_reply, '\n'), last_reply + size - 1);
		assert_int_equal(control_parse(line, size, &value, NULL), 0);
		json_object_put(value);
	}
}

static struct json_object *on_subscribe(void *arg, size_t recent, struct error *err)
{
	(void)arg;
	(void)recent;
	(void)err;
	return json_object_new_object();
}

static const struct dispatch_client dispatch_client = { on_reply, on_subscribe };

static void read_access(void **state)
{
	(void)state;
	for (size_t i = 0; i < CONTROL_METHODS; i++) {
		char text[200];
		bool denied;

		snprintf(text, sizeof text,
			 "{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"id\":1,\"params\":{}}",
			 control_methods[i].name);
		assert_null(dispatch_message(loop, NULL, CONTROL_READ, &dispatch_client, text,
					     strlen(text), &replies));
		denied = strstr(last_reply, "\"error\":{\"code\":-32006") != NULL;
		assert_int_equal(denied, control_methods[i].access == CONTROL_WRITE);
	}
	free(TAKE(last_reply));
}

static uint64_t random_state;

static uint32_t random_below(uint32_t limit)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(random_state >> 33) % limit;
}

static size_t mutate(char *text, size_t size, size_t room)
{
	static const char *const tokens[] = {
		"\"",
		"{",
		"}",
		"[",
		"]",
		",",
		":",
		"null",
		"true",
		"-1e999",
		"\\u0000",
		"\\ud800",
		"\"id\"",
		"\"jsonrpc\"",
		"\"2.0\"",
		"\"params\":",
		"\xff",
		"\xc3\xa9",
		"\xed\xa0\x80",
		"99999999999999999999",
		"\"service.add\"",
		"\"name\":\"slow\"",
		"NaN",
		"/*",
		"\n",
		"",
	};

	for (uint32_t n = 1 + random_below(4); n; n--) {
		size_t at = random_below((uint32_t)size + 1), length;
		const char *token = tokens[random_below(ARRAY_SIZE(tokens))];

		switch (random_below(4)) {
		case 0:
			if (at < size)
				text[at] = (char)random_below(256);
			break;
		case 1:
			length = strlen(token);
			if (size + length > room)
				break;
			memmove(text + at + length, text + at, size - at);
			memcpy(text + at, token, length);
			size += length;
			break;
		case 2:
			length = random_below(8);
			if (length > size - at)
				length = size - at;
			memmove(text + at, text + at + length, size - at - length);
			size -= length;
			break;
		default:
			length = random_below(32);
			if (length > size - at || size + length > room)
				break;
			memmove(text + at + length, text + at, size - at);
			size += length;
		}
	}
	return size;
}

static void fuzz(void **state)
{
	static const char *const seeds[] = {
		STATUS,
		"{\"jsonrpc\":\"2.0\",\"method\":\"service.add\",\"id\":1,\"params\":{\"name\":"
		"\"w\","
		"\"dns\":[\"w.org\",\"v.org\"],\"ip\":\"10.0.0.1\",\"memory\":\"64M\",\"ttl\":60}}",
		"{\"jsonrpc\":\"2.0\",\"method\":\"service.get\",\"params\":{\"name\":\"w\"},"
		"\"id\":\"x\"}",
		"[{\"jsonrpc\":\"2.0\",\"method\":\"service.list\",\"id\":1},{\"jsonrpc\":\"2.0\","
		"\"method\":\"service.remove\",\"params\":{\"name\":\"w\"},\"id\":2}]",
	};
	const char *given = getenv("JITSU_FUZZ_SEED"), *rounds = getenv("JITSU_FUZZ_ROUNDS");
	unsigned long count = rounds ? strtoul(rounds, NULL, 10) : 20000;

	(void)state;
	random_state = given ? strtoull(given, NULL, 10) : 42;
	for (unsigned long i = 0; i < count; i++) {
		char text[1024];
		size_t size;
		unsigned before = replies;
		struct dispatch *d;
		char *exact;

		if (random_below(8) == 0) {
			size = random_below(200);
			for (size_t k = 0; k < size; k++)
				text[k] = (char)random_below(256);
		} else {
			const char *seed = seeds[random_below(ARRAY_SIZE(seeds))];

			size = strlen(seed);
			memcpy(text, seed, size);
			size = mutate(text, size, sizeof text);
		}
		exact = malloc(size ? size : 1); /* so that ASan sees a read past its end */
		memcpy(exact, text, size);
		d = dispatch_message(loop, NULL, CONTROL_WRITE, &dispatch_client, exact, size,
				     &replies);
		free(exact);
		assert_int_equal(replies, before + (d ? 0 : 1));
		if (d && random_below(2)) {
			dispatch_abandon(d);
			before--;
		}
		for (int turn = 0; turn < 4; turn++) {
			fake_answer_slow();
			loop_advance(loop, 0);
		}
		assert_int_equal(replies, before + 1);
		if (fake_count > 100)
			fake_reset();
	}
	free(TAKE(last_reply));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(read_access),
		TEST(fuzz),
	};

	log_open("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("dispatch", tests, NULL, NULL);
}
