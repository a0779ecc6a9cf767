/* Very many services: read at start, at rest, told to dns, woken, and at rest again. */
#include "test_engine.h"

#include "engine/inside.h"

enum { N = 20000 };

static unsigned told, ends;
static bool *seen;

static void many_begin(void *arg, const struct msg_table_begin *m)
{
	(void)arg, (void)m;
}

static void many_service(void *arg, const struct msg_service *m)
{
	(void)arg;
	assert_in_range(m->id, 0, N + 10);
	assert_false(m->ready);
	told += !seen[m->id];
	seen[m->id] = true;
}

static void many_services(void *arg, const struct msg_services *m)
{
	static const struct message_handlers handlers = { .service = many_service };

	assert_int_equal(message_dispatch_list(m->list, &handlers, arg, NULL), 0);
}

static void many_end(void *arg, const struct msg_table_end *m)
{
	(void)arg, (void)m;
	ends++;
}

static void many_forget(void *arg, const struct msg_forget *m)
{
	(void)arg;
	told -= seen[m->id];
	seen[m->id] = false;
}

static void ignore_failed(void *arg, const struct msg_failed *m)
{
	(void)arg, (void)m;
}

static void on_many(void *arg, const uint8_t *data, size_t size, int fd)
{
	static const struct message_handlers handlers = {
		.table_begin = many_begin,
		.service = many_service,
		.services = many_services,
		.table_end = many_end,
		.forget = many_forget,
		.failed = ignore_failed,
	};
	struct error err;

	(void)fd;
	if (message_dispatch(data, size, &handlers, arg, &err) < 0)
		fail_msg("%s", err.text);
}

static void connect_many(struct world *w)
{
	static const struct link_callbacks callbacks = { on_many, on_dns_closed };
	int fds[2];

	told = ends = 0;
	memset(seen, 0, (N + 16) * sizeof *seen);
	link_free(w->dns);
	assert_int_equal(link_pair(fds), 0);
	w->dns = link_new(w->loop, fds[0], &callbacks, w);
	engine_connect_dns(w->engine, fds[1]);
}

static void settle(struct world *w)
{
	for (int i = 0; i < 400; i++)
		loop_advance(w->loop, MS);
}

/* N of them, the last one twice. */
static void write_file(void)
{
	char path[] = "/tmp/jitsu-load-XXXXXX";
	int fd = mkstemp(path);
	FILE *file = fdopen(dup(fd), "w");

	unlink(path);
	for (unsigned i = 0; i <= N; i++) {
		unsigned n = i < N ? i : N - 1;

		fprintf(file,
			"%s{\"name\":\"s%u\",\"dns\":\"s%u.example\",\"ip\":\"10.0.%u.%u\",\"ttl\":"
			"60}",
			i ? ",\n" : "[", n, n, n / 250, n % 250 + 1);
	}
	fprintf(file, "]");
	fclose(file);
	given = (struct engine_source){ .fd = fd, .path = "many.json" };
}

static unsigned services(struct world *w)
{
	struct answer answer;
	unsigned n;

	call(w, verb_daemon_status, "{}", &answer);
	n = (unsigned)atoi(at(answer.result, "services"));
	clear(&answer);
	return n;
}

static void test_many(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	struct answer answer;
	char uuid[64], text[64];
	unsigned listed = 0, next = 0;

	(void)state;
	unlink(store_path);
	seen = calloc(N + 16, sizeof *seen);
	w->loop = loop_new(LOOP_CLOCK_FAKE);
	w->approve = w->quiet = true;
	write_file();
	engine_start(w, store_path, 4, NULL, 0);
	connect_many(w);
	assert_int_equal(ends, 0);
	connect_toolstack(w);
	survey_end(w);
	settle(w);
	assert_int_equal(services(w), N);
	assert_int_equal(told, N);
	assert_int_equal(ends, 1);
	/* One is looked at, one that would be in the way is refused, one is removed. */
	is(w, "s12345", "ip", "[ \"10.0.49.96\" ]");
	is(w, "s12345", "state", "off");
	call(w, verb_service_get, "{\"name\":\"s777\"}", &answer);
	snprintf(uuid, sizeof uuid, "%s", at(answer.result, "uuid"));
	clear(&answer);
	call(w, verb_service_add, "{\"name\":\"x\",\"dns\":\"x\",\"ip\":\"10.0.0.1\"}", &answer);
	assert_null(answer.result);
	assert_non_null(strstr(answer.err.text, "service \"s0\" has it"));
	call(w, verb_service_remove, "{\"name\":\"s19999\"}", &answer);
	assert_non_null(answer.result);
	clear(&answer);
	settle(w);
	assert_int_equal(told, N - 1);
	/* Listed in pieces. */
	do {
		struct json_object *more;

		snprintf(text, sizeof text, "{\"limit\":7000,\"from\":%u}", next);
		call(w, verb_service_list, text, &answer);
		listed += (unsigned)json_object_array_length(
			json_object_object_get(answer.result, "services"));
		next = json_object_object_get_ex(answer.result, "next", &more)
			       ? (unsigned)json_object_get_int(more)
			       : 0;
		clear(&answer);
	} while (next);
	assert_int_equal(listed, N - 1);
	call(w, verb_service_list, "{\"limit\":10001}", &answer);
	assert_string_equal(answer.err.field, "limit");
	/* A new dns is told all; one that is wanted amid that is told, and boots. */
	connect_many(w);
	want(w, 19000);
	settle(w);
	assert_int_equal(told, N - 1);
	assert_int_equal(ends, 1);
	is(w, "s19000", "phase", "building");
	engine_free(w->engine);
	/* Another engine has them all, as they were, and the one that is gone anew. */
	engine_start(w, store_path, 4, NULL, 0);
	assert_int_equal(services(w), N - 1);
	connect_many(w);
	connect_toolstack(w);
	survey_end(w);
	settle(w);
	assert_int_equal(told, N);
	is(w, "s777", "uuid", uuid);
	is(w, "s777", "boots", "0");
	close(given.fd);
	given.path = NULL;
	w->dns_log[0] = w->toolstack_log[0] = '\0';
	end(w);
	free(seen);
}

/* What is looked at goes to rest again: nothing grows. */
static void test_rests_again(void **state)
{
	static const char *const one[] = { "{\"name\":\"a\",\"dns\":\"a\",\"ip\":\"10.9.9.9\"}" };
	struct world *w = calloc(1, sizeof *w);

	(void)state;
	unlink(store_path);
	w->loop = loop_new(LOOP_CLOCK_FAKE);
	w->approve = true;
	engine_start(w, store_path, 4, one, 1);
	connect_dns(w);
	connect_toolstack(w);
	survey_end(w);
	settle(w);
	assert_null(registry_awake(w->engine->registry, 0));
	is(w, "a", "ip", "[ \"10.9.9.9\" ]");
	settle(w);
	assert_null(registry_awake(w->engine->registry, 0));
	/* An added one as well as a given one; one that is pinned never. */
	add(w, "b", "");
	add(w, "c", "\"pinned\":true");
	settle(w);
	assert_null(registry_awake(w->engine->registry, 1));
	assert_non_null(registry_awake(w->engine->registry, 2));
	/* What was asked for is remembered. */
	want(w, 0);
	SAY(toolstack, start_failed, .id = 0, .boot = w->boots[0], .kind = ERROR_SYSTEM,
	    .field = "", .text = "no");
	settle(w);
	is(w, "a", "state", "failed");
	settle(w);
	assert_non_null(registry_awake(w->engine->registry, 0));
	w->dns_log[0] = w->toolstack_log[0] = '\0';
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_rests_again),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
