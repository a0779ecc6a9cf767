/* Several threads that answer (dns_threads): what they say, and that a change counts for all of
 * them once it is made. Worth most under ThreadSanitizer: SANITIZE=thread. */
#include "tests/unit/test_dns.h"

#include <pthread.h>
#include <stdatomic.h>

#include "dns/answer.h"

#define THREADS 4
#define CLIENTS 48 /* sockets: the kernel spreads them over the threads */

static int fds[CLIENTS];

static struct world *start_with(const struct dns_settings *settings)
{
	static const struct service services[] = {
		{ .id = 1, .ready = true, .names = "www.example.org", .addresses = "10.0.0.1" },
		{ .id = 2, .names = "asleep.example.org", .addresses = "10.0.0.2" },
		{ .id = 3,
		  .ready = true,
		  .names = "pool.example.org",
		  .addresses = "10.0.0.3 10.0.0.4" },
	};
	struct dns_config config = {
		.udp_count = THREADS, .tcp_count = 1, .threads = THREADS, .settings = settings
	};
	struct world *w = calloc(1, sizeof *w);
	int usage = usage_create();
	struct error err;

	assert_non_null(w);
	log_open("test", LOG_LEVEL_ERROR);
	w->loop = loop_new(LOOP_CLOCK_FAKE);
	w->usage = usage_map(usage);
	close(usage);
	config.usage = w->usage;
	for (int i = 0; i < THREADS; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
		socklen_t size = sizeof w->udp;

		if (i == 0)
			w->udp = (struct sockaddr_in){ .sin_family = AF_INET,
						       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
		assert_int_equal(bind(fd, (struct sockaddr *)&w->udp, sizeof w->udp), 0);
		assert_int_equal(getsockname(fd, (struct sockaddr *)&w->udp, &size), 0);
		config.udp_fds[i] = fd;
	}
	config.tcp_fds[0] = bound(SOCK_STREAM, &w->tcp);
	w->dns = dns_new(w->loop, &config, &err);
	assert_non_null(w->dns);
	connect_engine(w);
	tell_table(w, services, ARRAY_SIZE(services));
	for (int i = 0; i < CLIENTS; i++)
		fds[i] = caller(SOCK_DGRAM, &w->udp);
	return w;
}

static struct world *start(void)
{
	return start_with(NULL);
}

static void finish(struct world *w)
{
	for (int i = 0; i < CLIENTS; i++)
		close(fds[i]);
	dns_free(w->dns);
	link_free(w->engine);
	loop_free(w->loop);
	munmap(w->usage, USAGE_BYTES);
	free(w);
}

static void test_answers(void **state)
{
	struct world *w = start();

	(void)state;
	for (int i = 0; i < CLIENTS; i++) {
		ask(fds[i], 1, "WWW.example.org", WIRE_A, 0);
		ask(fds[i], 2, "other.example.org", WIRE_A, EDNS);
		ask(fds[i], 3, "asleep.example.org", WIRE_A, 0);
	}
	expect_heard(w, "want 2;");
	for (int i = 0; i < CLIENTS; i++) {
		static struct packet p;

		for (int k = 0; k < 2; k++) {
			assert_true(get_packet(w, fds[i], &p, PATIENCE));
			assert_string_equal(describe(&p), p.data[1] == 1 ? "0 aa; 10.0.0.1 60"
									 : "5; OPT 1232 ede 20 ");
		}
		expect_nothing(w, fds[i]);
	}
	tell(w, ready, 2);
	for (int i = 0; i < CLIENTS; i++)
		expect_answer(w, fds[i], 3, "0 aa; 10.0.0.2 60");
	expect_heard(w, "answered 2 48;");
	assert_int_equal(w->usage[1].queries, CLIENTS);
	assert_int_equal(w->usage[2].queries, CLIENTS);
	assert_int_equal(w->dns->hot.answered, CLIENTS);
	finish(w);
}

/* A client network has one allowance, whichever threads its queries come to. */
static void test_one_rate(void **state)
{
	static const struct dns_settings settings = { .rate = 1 }; /* 5 at once */
	struct world *w = start_with(&settings);
	unsigned answered = 0;

	(void)state;
	for (int i = 0; i < CLIENTS; i++)
		ask(fds[i], 1, "www.example.org", WIRE_A, 0);
	for (int i = 0; i < CLIENTS; i++) {
		static struct packet p;

		answered += get_packet(w, fds[i], &p, 5);
	}
	/* One for each second that this took, and some where two threads met. */
	assert_in_range(answered, 5, 5 * THREADS / 2);
	finish(w);
}

static atomic_bool stop;

/* Asks for one name by all sockets again and again, and does not look at what comes back. */
static void *flood(void *arg)
{
	struct packet p = make_query(9, "pool.example.org", WIRE_A, 0);

	(void)arg;
	while (!atomic_load(&stop))
		for (int i = 0; i < CLIENTS; i++)
			if (send(fds[i], p.data, p.size, 0) < 0 && errno != ECONNREFUSED &&
			    errno != ENOBUFS)
				return NULL;
	return NULL;
}

static void test_retired(void **state)
{
	static struct packet late;
	struct world *w = start();
	int one = caller(SOCK_DGRAM, &w->udp);
	pthread_t thread;

	(void)state;
	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&thread, NULL, flood, NULL), 0);
	for (int round = 0; round < 20; round++) {
		char address[32];
		uint64_t answered, queries;

		/* The table changes meanwhile, and grows. */
		for (unsigned i = 0; i < 40; i++) {
			snprintf(address, sizeof address, "n%u.test", (unsigned)round * 40 + i);
			tell_service(w, (struct service){ 100 + (unsigned)round * 40 + i, true,
							  address, "10.0.0.9", 0, 0, 0 });
			if (i % 4 == 0)
				tell(w, forget, 100 + (unsigned)round * 40 + i);
		}
		snprintf(address, sizeof address, "10.0.1.%d", round);
		tell_service(w, (struct service){ 1, true, "www.example.org", address, 0, 0, 0 });
		for (int i = 0; i < 20; i++) {
			snprintf(address, sizeof address, "0 aa; 10.0.1.%d 60", round);
			static struct packet p;

			/* The flood may leave no room for it. */
			do
				ask(one, (uint16_t)i, "www.example.org", WIRE_A, 0);
			while (!get_packet(w, one, &p, 20));
			assert_string_equal(describe(&p), address);
		}
		while (get_packet(w, one, &late, 5))
			;
		message_send_retire(w->engine, &(struct msg_retire){ 3 });
		for (int i = 0; i < PATIENCE && !strstr(w->log, "retired 3;"); i++)
			loop_settle(w->loop);
		assert_non_null(strstr(w->log, "retired 3;"));
		w->log[0] = '\0';
		/* Nothing is said for it from here on; for another there may be, to what `one` had
		 * asked again. */
		queries = w->usage[3].queries;
		poll(NULL, 0, 3);
		assert_int_equal(w->usage[3].queries, queries);
		answered = w->dns->hot.answered;
		message_send_ready(w->engine, &(struct msg_ready){ 3 });
		for (int i = 0; i < PATIENCE && w->dns->hot.answered == answered; i++) {
			loop_settle(w->loop);
			poll(NULL, 0, 1);
		}
		assert_true(w->dns->hot.answered > answered);
		w->log[0] = '\0';
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	settle(w);
	close(one);
	finish(w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_one_rate),
		cmocka_unit_test(test_retired),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
