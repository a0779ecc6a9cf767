/*
 * engine: each pair of state and event of lifecycle.tbl.h, carried out by the engine between a dns
 * and a toolstack that are played. For each pair a service is led into the state, then that happens
 * which brings the event there: a message, an order of the administrator, a survey, time. Where
 * nothing does in that very state, the engine is handed the event by itself.
 */
#include "tests/unit/test_engine.h"

#include "engine/inside.h"
#include "engine/lifecycle.h"
#include "engine/registry.h"

#define DOMID 7u
#define STEPS 64

/* What the table was asked for: the linker leads lifecycle_step here. */
struct pair {
	enum lifecycle_state state;
	enum lifecycle_event event;
};

static struct pair passed[STEPS];
static size_t passed_count;
static bool impossible; /* one of them was no pair that can come */

struct lifecycle_step __real_lifecycle_step(enum lifecycle_state state, enum lifecycle_event event);
struct lifecycle_step __wrap_lifecycle_step(enum lifecycle_state state, enum lifecycle_event event);

struct lifecycle_step __wrap_lifecycle_step(enum lifecycle_state state, enum lifecycle_event event)
{
	struct pair *last = passed_count ? &passed[passed_count - 1] : NULL;
	bool looked = last && event == LIFECYCLE_EVENT_FOUND_RUNNING && last->event == event &&
		      last->state == state; /* the engine looks where it would lead to first */

	if (!looked && passed_count < STEPS)
		passed[passed_count++] = (struct pair){ state, event };
	impossible |= __real_lifecycle_step(state, event).verdict == LIFECYCLE_NEVER;
	return __real_lifecycle_step(state, event);
}

static struct answer answers[8]; /* of verbs, which may come late */
static size_t asked_count;

static struct service *service_a(struct world *w)
{
	return registry_by_id(w->engine->registry, 0);
}

static void order(struct world *w, verb_fn *verb, const char *more)
{
	char params[96];

	assert_true(asked_count < ARRAY_SIZE(answers));
	snprintf(params, sizeof params, "{\"name\":\"a\"%s}", more);
	call(w, verb, params, &answers[asked_count++]);
}

static void forget(struct world *w)
{
	w->dns_log[0] = w->toolstack_log[0] = '\0';
	passed_count = 0;
	impossible = false;
}

static void paused(struct world *w)
{
	SAY(toolstack, paused, .id = 0, .domid = DOMID, .at = loop_now(w->loop));
}

static void suspended(struct world *w)
{
	SAY(toolstack, suspended, .id = 0, .domid = DOMID, .at = loop_now(w->loop));
}

static void woken(struct world *w)
{
	SAY(toolstack, woken, .id = 0, .boot = w->boots[0], .at = loop_now(w->loop));
}

/* a is kept when it powers off, else what the keys' defaults say. */
static struct world *begin(void)
{
	struct world *w = world(1);

	add(w, "a",
	    "\"nic\":\"br0\",\"response_delay\":0.1,\"idle_by\":\"dns\",\"on_poweroff\":"
	    "\"preserve\","
	    "\"idle\":\"pause:2m,suspend:10m,destroy:1h\"");
	learn_uuid(w, "a", 0);
	return w;
}

static void finish(struct world *w)
{
	forget(w);
	end(w);
	for (size_t i = 0; i < asked_count; i++)
		clear(&answers[i]);
	asked_count = 0;
}

/* event: kept is reached in the midst of what that answers. */
static void lead_into(struct world *w, enum lifecycle_state state, enum lifecycle_event event)
{
	static const enum lifecycle_state up[] = { LIFECYCLE_OFF, LIFECYCLE_BUILDING,
						   LIFECYCLE_BOOTING, LIFECYCLE_SETTLING,
						   LIFECYCLE_READY };
	static const enum lifecycle_state down[] = { LIFECYCLE_RETIRING, LIFECYCLE_PAUSING,
						     LIFECYCLE_PAUSED, LIFECYCLE_SUSPENDING,
						     LIFECYCLE_SUSPENDED };

	if (state == LIFECYCLE_QUEUED) { /* for the survey */
		lose_toolstack(w);
		connect_toolstack(w);
		want(w, 0);
		return;
	}
	for (size_t i = 1; i < ARRAY_SIZE(up) && service_a(w)->state != state; i++) {
		if (up[i] == LIFECYCLE_BUILDING)
			want(w, 0);
		else if (up[i] == LIFECYCLE_BOOTING)
			created(w, 0, DOMID);
		else if (up[i] == LIFECYCLE_SETTLING)
			frame(w, 0);
		else
			loop_advance(w->loop, 100 * MS);
		if (up[i] == LIFECYCLE_BUILDING && state == LIFECYCLE_CANCELLED) {
			order(w, verb_service_stop, "");
			return;
		}
		if (up[i] == LIFECYCLE_BUILDING && state == LIFECYCLE_DOOMED) {
			order(w, verb_service_remove, "");
			return;
		}
	}
	switch (state) {
	case LIFECYCLE_OFF:
	case LIFECYCLE_BUILDING:
	case LIFECYCLE_BOOTING:
	case LIFECYCLE_SETTLING:
	case LIFECYCLE_READY:
		return;
	case LIFECYCLE_STOPPING:
	case LIFECYCLE_RESTARTING:
		order(w, verb_service_stop, ",\"mode\":\"destroy\"");
		if (state == LIFECYCLE_RESTARTING)
			want(w, 0);
		return;
	case LIFECYCLE_KEPT:
		if (event == LIFECYCLE_EVENT_PAUSED)
			lead_into(w, LIFECYCLE_PAUSING, event);
		else if (event == LIFECYCLE_EVENT_SUSPENDED ||
			 event == LIFECYCLE_EVENT_STILL_RUNNING ||
			 event == LIFECYCLE_EVENT_STILL_PAUSED)
			lead_into(w, LIFECYCLE_SUSPENDING, event);
		died(w, DOMID, 0);
		return;
	case LIFECYCLE_REMOVING:
		order(w, verb_service_remove, "");
		return;
	default:
		break;
	}
	for (size_t i = 0; i < ARRAY_SIZE(down) && service_a(w)->state != state; i++) {
		if (down[i] == LIFECYCLE_RETIRING)
			loop_advance(w->loop, 120 * SECOND);
		else if (down[i] == LIFECYCLE_PAUSING)
			retired(w, 0);
		else if (down[i] == LIFECYCLE_PAUSED)
			paused(w);
		else if (state == LIFECYCLE_WAKING) {
			want(w, 0);
			return;
		} else if (down[i] == LIFECYCLE_SUSPENDING)
			loop_advance(w->loop, 480 * SECOND);
		else
			suspended(w);
	}
}

/* A new toolstack, and what its survey finds. */
static void survey(struct world *w, enum lifecycle_event event)
{
	lose_toolstack(w);
	connect_toolstack(w);
	forget(w);
	if (event == LIFECYCLE_EVENT_FOUND_IMAGE)
		SAY(toolstack, image, .uuid = { w->uuids[0], 16 });
	else if (event != LIFECYCLE_EVENT_ABSENT)
		SAY(toolstack, found, .domid = DOMID, .uuid = { w->uuids[0], 16 },
		    .whole = event != LIFECYCLE_EVENT_FOUND_BROKEN,
		    .running = event == LIFECYCLE_EVENT_FOUND_RUNNING,
		    .paused = event == LIFECYCLE_EVENT_FOUND_PAUSED, .service = "a");
	survey_end(w);
}

/* reason: enum libxl_shutdown_reason. */
static void die(struct world *w, uint8_t reason)
{
	if (service_a(w)->entry.has_domain)
		died(w, service_a(w)->domid, reason);
	else
		service_died(service_a(w), reason, "");
}

/* The stop that is under way was a suspend, of a guest that was paused or not, and fails. */
static void suspend_fails(struct world *w, bool was_paused)
{
	service_a(w)->stop_mode = SPEC_STOP_SUSPEND;
	service_a(w)->was_paused = was_paused;
	stop_failed(w, 0, DOMID);
}

static void again(struct world *w)
{
	stop_failed(w, 0, DOMID);
	forget(w);
	loop_advance(w->loop, 60 * SECOND);
}

static void put(struct world *w, const char *more, enum spec_stop_mode mode)
{
	if (service_a(w)->state == LIFECYCLE_RETIRING)
		service_put(service_a(w), mode); /* its last look is over, or it has to give way */
	else
		order(w, verb_service_stop, more);
}

/* What brings the event, if anything does in this state. */
static void cause(struct world *w, enum lifecycle_event event)
{
	struct service *a = service_a(w);

	switch (event) {
	case LIFECYCLE_EVENT_WANT_HELD:
		a->failure.retry_at = loop_now(w->loop) + 1000 * SECOND;
		want(w, 0);
		break;
	case LIFECYCLE_EVENT_WANT:
		want(w, 0);
		break;
	case LIFECYCLE_EVENT_PLACE:
		service_place(a);
		break;
	case LIFECYCLE_EVENT_REFUSED:
		service_refuse(a, "no memory");
		break;
	case LIFECYCLE_EVENT_CREATED:
		created(w, 0, DOMID);
		break;
	case LIFECYCLE_EVENT_SERVING:
		frame(w, 0);
		break;
	case LIFECYCLE_EVENT_DELAY_DONE:
		loop_advance(w->loop, 100 * MS);
		break;
	case LIFECYCLE_EVENT_START_FAILED:
		start_failed(w, 0);
		break;
	case LIFECYCLE_EVENT_WOKEN:
		woken(w);
		break;
	case LIFECYCLE_EVENT_WAKE_FAILED:
		SAY(toolstack, wake_failed, .id = 0, .boot = w->boots[0], .text = "it sleeps on");
		break;
	case LIFECYCLE_EVENT_DIED:
		die(w, 3); /* a crash */
		break;
	case LIFECYCLE_EVENT_DIED_RESTART:
		die(w, 1); /* a reboot */
		break;
	case LIFECYCLE_EVENT_DIED_KEEP:
		die(w, 0); /* a power-off */
		break;
	case LIFECYCLE_EVENT_IDLE_DUE:
		loop_advance(w->loop, 120 * SECOND);
		break;
	case LIFECYCLE_EVENT_PUT_PAUSED:
		put(w, ",\"mode\":\"pause\"", SPEC_STOP_PAUSE);
		break;
	case LIFECYCLE_EVENT_PUT_SUSPENDED:
		put(w, ",\"mode\":\"suspend\"", SPEC_STOP_SUSPEND);
		break;
	case LIFECYCLE_EVENT_PUT_OFF:
		put(w, ",\"mode\":\"destroy\"", SPEC_STOP_DESTROY);
		break;
	case LIFECYCLE_EVENT_IN_USE:
		asked(w, 0);
		retired(w, 0);
		break;
	case LIFECYCLE_EVENT_PAUSED:
		paused(w);
		break;
	case LIFECYCLE_EVENT_SUSPENDED:
		suspended(w);
		break;
	case LIFECYCLE_EVENT_STOPPED:
		stopped(w, 0, DOMID);
		break;
	case LIFECYCLE_EVENT_STOP_FAILED:
		stop_failed(w, 0, DOMID);
		break;
	case LIFECYCLE_EVENT_STILL_RUNNING:
		suspend_fails(w, false);
		break;
	case LIFECYCLE_EVENT_STILL_PAUSED:
		suspend_fails(w, true);
		break;
	case LIFECYCLE_EVENT_STOP_AGAIN:
		again(w);
		break;
	case LIFECYCLE_EVENT_RESTART:
		order(w, verb_service_restart, "");
		break;
	case LIFECYCLE_EVENT_REMOVE:
		order(w, verb_service_remove, "");
		break;
	default:
		survey(w, event);
		break;
	}
	loop_settle(w->loop);
}

static bool came(enum lifecycle_state state, enum lifecycle_event event)
{
	return passed_count && passed[0].state == state && passed[0].event == event;
}

static void __attribute__((noreturn))
fail_pair(enum lifecycle_state state, enum lifecycle_event event, const char *what,
	  const char *more)
{
	fail_msg("%s, %s: %s: %s", lifecycle_state_name(state), lifecycle_event_name(event), what,
		 more);
	abort();
}

static unsigned count(const char *log, const char *word)
{
	unsigned n = 0;

	for (; (log = strstr(log, word)); log += strlen(word))
		n++;
	return n;
}

/* What has passed is a way through the table that ends where the service is now, dns was told what
 * stands on it and nothing else, and the toolstack got no order that does not. */
static void is_carried_out(struct world *w, enum lifecycle_state state, enum lifecycle_event event)
{
	static const struct {
		enum lifecycle_action action;
		const char *says;
	} tells[] = {
		{ LIFECYCLE_DO_TELL_FORGET, "forget 0; " },
		{ LIFECYCLE_DO_TELL_FAILED, "failed 0; " },
		{ LIFECYCLE_DO_TELL_ASLEEP, "asleep 0; " },
		{ LIFECYCLE_DO_TELL_RETIRE, "retire 0; " },
		{ LIFECYCLE_DO_TELL_READY, "ready 0; " },
	};
	unsigned done[LIFECYCLE_ACTIONS] = { 0 }, stops = 0;
	enum lifecycle_state at = state;
	char said[LOG_MAX] = "";

	for (size_t i = 0; i < passed_count; i++) {
		struct lifecycle_step step =
			__real_lifecycle_step(passed[i].state, passed[i].event);

		if (passed[i].state != at)
			fail_pair(state, event, "went on from",
				  lifecycle_state_name(passed[i].state));
		if (step.verdict != LIFECYCLE_GO)
			continue;
		at = step.next;
		for (unsigned k = 0; k < LIFECYCLE_ACTIONS; k++)
			done[k] += step.actions >> k & 1;
		for (size_t k = 0; k < ARRAY_SIZE(tells); k++)
			if (step.actions >> tells[k].action & 1)
				strcat(said, tells[k].says);
	}
	if (at == LIFECYCLE_GONE ? service_a(w) != NULL : service_a(w)->state != at)
		fail_pair(state, event, "did not end", lifecycle_state_name(at));
	if (strcmp(w->dns_log, said) != 0)
		fail_pair(state, event, "dns was told", w->dns_log);
	stops = count(w->toolstack_log, "stop 0 ") + count(w->toolstack_log, "pause 0 ") +
		count(w->toolstack_log, "suspend 0 ");
	if (count(w->toolstack_log, "start 0; ") + count(w->toolstack_log, "restore 0; ") !=
		    done[LIFECYCLE_DO_START] ||
	    count(w->toolstack_log, "wake 0 ") != done[LIFECYCLE_DO_WAKE] ||
	    stops > done[LIFECYCLE_DO_STOP] + done[LIFECYCLE_DO_PAUSE] + done[LIFECYCLE_DO_SUSPEND])
		fail_pair(state, event, "the toolstack was told", w->toolstack_log);
}

/* Does what was ordered, until the service is at rest. False if it never is. */
static bool comes_to_rest(struct world *w)
{
	for (int i = 0; i < 50; i++) {
		struct service *a = service_a(w);

		if (!a)
			return true;
		if (!w->engine->surveyed) {
			survey_end(w);
			continue;
		}
		if (a->stop_ordered && a->stop_mode == SPEC_STOP_PAUSE) {
			paused(w);
			continue;
		}
		if (a->stop_ordered && a->stop_mode == SPEC_STOP_SUSPEND) {
			suspended(w);
			continue;
		}
		if (a->stop_ordered) {
			stopped(w, 0, a->domid);
			continue;
		}
		switch (a->state) {
		case LIFECYCLE_OFF:
		case LIFECYCLE_READY:
		case LIFECYCLE_PAUSED:
		case LIFECYCLE_SUSPENDED:
		case LIFECYCLE_KEPT:
			return true;
		case LIFECYCLE_BUILDING:
		case LIFECYCLE_CANCELLED:
		case LIFECYCLE_DOOMED:
			created(w, 0, DOMID);
			break;
		case LIFECYCLE_BOOTING:
			frame(w, 0);
			break;
		case LIFECYCLE_RETIRING:
			retired(w, 0);
			break;
		case LIFECYCLE_WAKING:
			woken(w);
			break;
		default: /* its delay, or until the stop is tried again */
			loop_advance(w->loop, 60 * SECOND);
			break;
		}
	}
	return false;
}

/* Wherever that has led to: if it is not removed, whoever asks for it now is served. */
static void goes_on(struct world *w, enum lifecycle_state state, enum lifecycle_event event)
{
	if (!comes_to_rest(w))
		fail_pair(state, event, "does not come to rest",
			  lifecycle_state_name(service_a(w)->state));
	if (impossible)
		fail_pair(state, event, "something came", "that cannot come");
	if (!service_a(w))
		return;
	if (service_a(w)->state == LIFECYCLE_KEPT)
		order(w, verb_service_start, "");
	service_a(w)->failure.retry_at = 0;
	want(w, 0);
	if (!comes_to_rest(w) || service_a(w)->state != LIFECYCLE_READY || impossible)
		fail_pair(state, event, "cannot be served again",
			  lifecycle_state_name(service_a(w)->state));
}

static struct world *in_state(enum lifecycle_state state, enum lifecycle_event event)
{
	struct world *w = begin();

	lead_into(w, state, event);
	if (service_a(w)->state != state)
		fail_pair(state, event, "the state is not reached, but",
			  lifecycle_state_name(service_a(w)->state));
	forget(w);
	return w;
}

/* Returns whether something brings the event there. */
static bool try_pair(enum lifecycle_state state, enum lifecycle_event event)
{
	struct world *w = in_state(state, event);
	bool by_itself;

	cause(w, event);
	by_itself = came(state, event);
	if (by_itself && impossible)
		fail_pair(state, event, "something came", "that cannot come");
	if (!by_itself) {
		finish(w);
		w = in_state(state, event);
		service_event(service_a(w), event);
		loop_settle(w->loop);
	}
	is_carried_out(w, state, event);
	if (by_itself)
		goes_on(w, state, event);
	finish(w);
	return by_itself;
}

static void each(enum lifecycle_verdict verdict, unsigned *all, unsigned *caused)
{
	*all = *caused = 0;
	print_message("handed to it:");
	for (int state = 0; state < LIFECYCLE_GONE; state++) { /* gone is no state to be in */
		for (int event = 0; event < LIFECYCLE_EVENTS; event++) {
			if (__real_lifecycle_step(state, event).verdict != verdict)
				continue;
			(*all)++;
			if (try_pair(state, event))
				++*caused;
			else
				print_message(" %s/%s", lifecycle_state_name(state),
					      lifecycle_event_name(event));
		}
	}
	print_message("\n");
}

static void test_transitions(void **state)
{
	unsigned all, caused;

	(void)state;
	each(LIFECYCLE_GO, &all, &caused);
	print_message("%u transitions carried out, %u of them by what brings their event\n", all,
		      caused);
	assert_true(caused > all * 9 / 10);
}

static void test_ignored(void **state)
{
	unsigned all, caused;

	(void)state;
	each(LIFECYCLE_IGNORE, &all, &caused);
	print_message("%u pairs that are ignored, %u of them by what brings their event\n", all,
		      caused);
}

/* Logged as an error, and nothing changes. */
static void test_impossible(void **state)
{
	unsigned all = 0;
	int to = dup(STDERR_FILENO);

	(void)state;
	assert_non_null(freopen("/dev/null", "w", stderr));
	for (int from = 0; from < LIFECYCLE_GONE; from++) {
		for (int event = 0; event < LIFECYCLE_EVENTS; event++) {
			struct world *w;

			if (__real_lifecycle_step(from, event).verdict != LIFECYCLE_NEVER)
				continue;
			w = in_state(from, event);
			service_event(service_a(w), event);
			loop_settle(w->loop);
			assert_int_equal(passed_count, 1);
			assert_int_equal(service_a(w)->state, from);
			DNS("");
			TOOLSTACK("");
			finish(w);
			all++;
		}
	}
	dup2(to, STDERR_FILENO);
	close(to);
	print_message("%u impossible pairs change nothing\n", all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transitions),
		cmocka_unit_test(test_ignored),
		cmocka_unit_test(test_impossible),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
