/* engine/lifecycle: every pair of state and event, and what must hold over all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/lifecycle.h"

#define EACH(state, event)                                                                         \
	for (enum lifecycle_state state = 0; state < LIFECYCLE_STATES; state++)                    \
		for (enum lifecycle_event event = 0; event < LIFECYCLE_EVENTS; event++)

#define S(id)	       LIFECYCLE_##id
#define E(id)	       LIFECYCLE_EVENT_##id
#define DOES(step, id) (((step).actions >> LIFECYCLE_DO_##id) & 1)

static void fail_pair(enum lifecycle_state state, enum lifecycle_event event, const char *what)
{
	fail_msg("%s x %s: %s", lifecycle_state_name(state), lifecycle_event_name(event), what);
}

static void test_every_pair(void **state)
{
	unsigned counts[4] = { 0 };

	(void)state;
	EACH(from, event)
	{
		struct lifecycle_step step = lifecycle_step(from, event);

		counts[step.verdict]++;
		if (step.verdict == LIFECYCLE_UNDEFINED)
			fail_pair(from, event, "not in the table");
		if (step.verdict != LIFECYCLE_GO && (step.next != from || step.actions))
			fail_pair(from, event, "changes something and is no transition");
		if (step.verdict == LIFECYCLE_GO && step.next == from && !step.actions)
			fail_pair(from, event, "a transition that does nothing");
	}
	print_message("%d states x %d events: %u transitions, %u ignored, %u impossible, "
		      "%u undefined\n",
		      LIFECYCLE_STATES, LIFECYCLE_EVENTS, counts[LIFECYCLE_GO],
		      counts[LIFECYCLE_IGNORE], counts[LIFECYCLE_NEVER],
		      counts[LIFECYCLE_UNDEFINED]);
}

/* A transition into a state brings what makes the state end. */
static void test_no_dead_end(void **state)
{
	(void)state;
	EACH(from, event)
	{
		struct lifecycle_step step = lifecycle_step(from, event);
		bool bad = false;

		if (step.verdict != LIFECYCLE_GO)
			continue;
		switch (step.next) {
		case S(QUEUED):
			bad = !DOES(step, QUEUE);
			break;
		case S(BUILDING):
			bad = !DOES(step, START) && from != S(CANCELLED);
			break;
		case S(BOOTING):
			bad = !DOES(step, WAIT_SIGNS);
			break;
		case S(SETTLING):
			bad = !DOES(step, WAIT_DELAY);
			break;
		case S(READY):
			bad = !DOES(step, WAIT_IDLE) || !DOES(step, TELL_READY);
			break;
		case S(RETIRING):
			bad = !DOES(step, TELL_RETIRE);
			break;
		case S(PAUSING):
			bad = !DOES(step, PAUSE);
			break;
		case S(SUSPENDING):
			bad = !DOES(step, SUSPEND);
			break;
		case S(PAUSED):
		case S(SUSPENDED):
			bad = !DOES(step, WAIT_IDLE) && from != step.next;
			break;
		case S(WAKING):
			bad = !DOES(step, WAKE);
			break;
		case S(RESTARTING): /* a pause or a suspend under way ends it, too */
			bad = !DOES(step, STOP) && from != step.next && from != S(PAUSING) &&
			      from != S(SUSPENDING);
			break;
		case S(STOPPING):
		case S(REMOVING):
			bad = !DOES(step, STOP) && !DOES(step, WAIT_STOP) && from != step.next;
			break;
		case S(CANCELLED):
			bad = from != S(BUILDING);
			break;
		case S(DOOMED):
			bad = from != S(BUILDING) && from != S(CANCELLED);
			break;
		default:
			break;
		}
		if (bad)
			fail_pair(from, event, "nothing makes the next state end");
		/* Who gives it a place, or refuses one, takes it out. */
		if (from == S(QUEUED) && step.next != S(QUEUED) && event != E(PLACE) &&
		    event != E(REFUSED) && !DOES(step, UNQUEUE))
			fail_pair(from, event, "leaves the queue's entry behind");
	}
}

/* Invariant 2: a start is ordered for a queued service alone, and a place is given once. */
static void test_started_once(void **state)
{
	(void)state;
	EACH(from, event)
	{
		struct lifecycle_step step = lifecycle_step(from, event);

		if (DOES(step, START) && (from != S(QUEUED) || event != E(PLACE)))
			fail_pair(from, event, "starts it");
		if (DOES(step, QUEUE) && from == S(QUEUED))
			fail_pair(from, event, "queues it twice");
		if (DOES(step, WAKE) && step.next != S(WAKING))
			fail_pair(from, event, "wakes it and does not wait for that");
		if (DOES(step, START) && DOES(step, STOP))
			fail_pair(from, event, "starts and stops it");
	}
}

/* Invariant 3: what is ready is stopped only by way of retire, or because it is dead, removed,
 * or put away by the administrator. */
static void test_in_use_never_stopped(void **state)
{
	(void)state;
	EACH(from, event)
	{
		struct lifecycle_step step = lifecycle_step(from, event);
		bool may = event == E(DIED) || event == E(DIED_RESTART) || event == E(REMOVE) ||
			   event == E(RESTART) || event == E(FOUND_BROKEN);
		bool put = event == E(PUT_OFF) || event == E(PUT_PAUSED) ||
			   event == E(PUT_SUSPENDED);
		bool stops = DOES(step, STOP) || DOES(step, PAUSE) || DOES(step, SUSPEND);

		/* PUT in state READY is the administrator's order; the policies say IDLE_DUE. */
		if (from == S(READY) && stops && !may && !put)
			fail_pair(from, event, "stops what is ready");
		if (from == S(RETIRING) && stops && !may && !put)
			fail_pair(from, event, "stops it before dns lets its queries wait");
	}
}

/* remove always wins: shown no more from that event on, and never again. */
static void test_removed_stays_removed(void **state)
{
	(void)state;
	EACH(from, event)
	{
		struct lifecycle_step step = lifecycle_step(from, event);
		bool was = lifecycle_public(from) == LIFECYCLE_PUBLIC_REMOVED;
		bool is = lifecycle_public(step.next) == LIFECYCLE_PUBLIC_REMOVED;

		if (was && !is)
			fail_pair(from, event, "comes back");
		if (!was && (event == E(REMOVE)) != is)
			fail_pair(from, event, "is or is not removed");
		if (!was && event == E(REMOVE) && !DOES(step, TELL_FORGET))
			fail_pair(from, event, "dns still has it");
		if (was && step.verdict == LIFECYCLE_GO &&
		    (DOES(step, TELL_READY) || DOES(step, TELL_FAILED) || DOES(step, TELL_ASLEEP)))
			fail_pair(from, event, "dns hears of it");
	}
}

/* Whoever wants it hears of it: in each state a want leads on, is answered, or is remembered. */
static void test_wants_are_answered(void **state)
{
	static const enum lifecycle_event wants[] = { E(WANT), E(WANT_HELD) };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		for (enum lifecycle_state from = 0; from < LIFECYCLE_STATES; from++) {
			struct lifecycle_step step = lifecycle_step(from, wants[i]);
			enum lifecycle_public shown = lifecycle_public(step.next);

			if (shown != LIFECYCLE_PUBLIC_REMOVED &&
			    shown != LIFECYCLE_PUBLIC_STARTING && !DOES(step, TELL_READY) &&
			    !DOES(step, TELL_FAILED))
				fail_pair(from, wants[i], "nobody hears of it");
		}
	}
	/* And whoever waits while it is starting hears how that ends. */
	EACH(from, event)
	{
		struct lifecycle_step step = lifecycle_step(from, event);
		enum lifecycle_public was = lifecycle_public(from),
				      is = lifecycle_public(step.next);

		if (was != LIFECYCLE_PUBLIC_STARTING || is == was || is == LIFECYCLE_PUBLIC_REMOVED)
			continue;
		if (!DOES(step, TELL_READY) && !DOES(step, TELL_FAILED))
			fail_pair(from, event, "who waits hears nothing");
	}
}

/* What dns is told agrees with the state. */
static void test_dns_agrees(void **state)
{
	(void)state;
	EACH(from, event)
	{
		struct lifecycle_step step = lifecycle_step(from, event);

		if (step.verdict != LIFECYCLE_GO)
			continue;
		if (DOES(step, TELL_READY) != (step.next == S(READY)))
			fail_pair(from, event, "ready");
		if (from == S(READY) && step.next != S(READY) && !DOES(step, TELL_ASLEEP) &&
		    !DOES(step, TELL_RETIRE) && !DOES(step, TELL_FAILED) &&
		    !DOES(step, TELL_FORGET))
			fail_pair(from, event, "dns goes on answering");
	}
}

/* After a survey every state knows what to do with each finding. */
static void test_surveys_decide(void **state)
{
	static const enum lifecycle_event findings[] = { E(FOUND_RUNNING), E(FOUND_PAUSED),
							 E(FOUND_KEPT),	   E(FOUND_BROKEN),
							 E(FOUND_IMAGE),   E(ABSENT) };

	(void)state;
	for (size_t i = 0; i < sizeof findings / sizeof findings[0]; i++)
		for (enum lifecycle_state from = 0; from < S(GONE); from++)
			if (lifecycle_step(from, findings[i]).verdict == LIFECYCLE_NEVER)
				fail_pair(from, findings[i], "undecided");
	for (enum lifecycle_state from = 0; from < S(GONE); from++)
		if (from != S(KEPT) && !DOES(lifecycle_step(from, E(FOUND_BROKEN)), STOP))
			fail_pair(from, E(FOUND_BROKEN), "leaves it there");
}

/* From everywhere, everything that should be reached can be. */
static void test_reachable(void **state)
{
	bool reached[LIFECYCLE_STATES] = { [S(OFF)] = true };
	bool more = true;

	(void)state;
	while (more) {
		more = false;
		EACH(from, event)
		{
			struct lifecycle_step step = lifecycle_step(from, event);

			if (reached[from] && !reached[step.next]) {
				reached[step.next] = true;
				more = true;
			}
		}
	}
	for (enum lifecycle_state from = 0; from < LIFECYCLE_STATES; from++)
		if (!reached[from])
			fail_msg("%s cannot be reached", lifecycle_state_name(from));
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(lifecycle_state_name(S(RESTARTING)), "restarting");
	assert_string_equal(lifecycle_event_name(E(STOP_AGAIN)), "STOP_AGAIN");
	assert_string_equal(lifecycle_action_name(LIFECYCLE_DO_TELL_READY), "TELL_READY");
	assert_string_equal(lifecycle_public_name(lifecycle_public(S(RETIRING))), "stopping");
	assert_string_equal(lifecycle_public_name(lifecycle_public(S(SUSPENDED))), "suspended");
	assert_true(lifecycle_builds(S(CANCELLED)) && lifecycle_builds(S(DOOMED)) &&
		    !lifecycle_builds(S(BOOTING)));
}

/* --- LIFECYCLE.md --- */

#define DOCUMENT "daemon/engine/LIFECYCLE.md"

static const struct {
	const char *id, *name, *meaning;
} states[] = {
#define STATE(id, name, public, meaning) { #id, name, meaning },
#include "engine/lifecycle.tbl.h"
};

static const char *const event_meanings[] = {
#define EVENT(id, meaning) meaning,
#include "engine/lifecycle.tbl.h"
};

static const char *const action_meanings[] = {
#define ACTION(id, meaning) meaning,
#include "engine/lifecycle.tbl.h"
};

static bool of_survey(enum lifecycle_event event)
{
	return event >= E(FOUND_RUNNING);
}

/* The events that lead from one state to the other, in one arrow. */
static void write_arrow(FILE *out, enum lifecycle_state from, enum lifecycle_state to)
{
	const char *separator = "";

	for (enum lifecycle_event event = 0; event < LIFECYCLE_EVENTS; event++) {
		struct lifecycle_step step = lifecycle_step(from, event);

		if (step.verdict != LIFECYCLE_GO || step.next != to || of_survey(event) ||
		    event == E(REMOVE))
			continue;
		if (!*separator)
			fprintf(out, "    %s --> %s : ", states[from].name, states[to].name);
		fprintf(out, "%s%s", separator, lifecycle_event_name(event));
		separator = ", ";
	}
	if (*separator)
		fputc('\n', out);
}

static void write_actions(FILE *out, unsigned actions)
{
	const char *separator = "";

	for (enum lifecycle_action action = 0; action < LIFECYCLE_ACTIONS; action++) {
		if (!(actions >> action & 1))
			continue;
		fprintf(out, "%s%s", separator, lifecycle_action_name(action));
		separator = ", ";
	}
}

static void write_document(FILE *out)
{
	fputs("# The life of a service\n\n"
	      "Made from `lifecycle.tbl.h` by `JITSU_REGENERATE=1 tests/unit/test_lifecycle`; the "
	      "test notices when\nthey differ. The picture leaves out removal, surveys, and what "
	      "leaves a state as it is; the tables\nhave all. `tests/unit/test_pairs.c` has the "
	      "engine carry out every one of them.\n\n```mermaid\nstateDiagram-v2\n"
	      "    [*] --> off\n",
	      out);
	for (enum lifecycle_state from = 0; from < LIFECYCLE_STATES; from++)
		for (enum lifecycle_state to = 0; to < LIFECYCLE_STATES; to++)
			if (from != to && lifecycle_public(from) != LIFECYCLE_PUBLIC_REMOVED)
				write_arrow(out, from, to);
	fputs("```\n\n## States\n\n| state | listed as | meaning |\n|---|---|---|\n", out);
	for (enum lifecycle_state state = 0; state < LIFECYCLE_STATES; state++)
		fprintf(out, "| %s | %s | %s |\n", states[state].name,
			lifecycle_public_name(lifecycle_public(state)), states[state].meaning);
	fputs("\n## Events\n\n| event | meaning |\n|---|---|\n", out);
	for (enum lifecycle_event event = 0; event < LIFECYCLE_EVENTS; event++)
		fprintf(out, "| %s | %s |\n", lifecycle_event_name(event), event_meanings[event]);
	fputs("\n## Actions\n\n| action | meaning |\n|---|---|\n", out);
	for (enum lifecycle_action action = 0; action < LIFECYCLE_ACTIONS; action++)
		fprintf(out, "| %s | %s |\n", lifecycle_action_name(action),
			action_meanings[action]);
	fputs("\n## Transitions\n\n`-`: may come and changes nothing. An event that is not listed "
	      "for a state cannot come in it.\n",
	      out);
	for (enum lifecycle_state state = 0; state < LIFECYCLE_STATES; state++) {
		fprintf(out, "\n### %s\n\n| event | next | actions |\n|---|---|---|\n",
			states[state].name);
		for (enum lifecycle_event event = 0; event < LIFECYCLE_EVENTS; event++) {
			struct lifecycle_step step = lifecycle_step(state, event);

			if (step.verdict == LIFECYCLE_NEVER)
				continue;
			fprintf(out, "| %s | %s | ", lifecycle_event_name(event),
				step.verdict == LIFECYCLE_GO ? states[step.next].name : "-");
			write_actions(out, step.actions);
			fputs(" |\n", out);
		}
	}
}

static void test_document(void **state)
{
	const char *regenerate = getenv("JITSU_REGENERATE");
	char *expected = NULL, *there;
	size_t size = 0, room;
	FILE *out = open_memstream(&expected, &size), *file;

	(void)state;
	write_document(out);
	fclose(out);
	file = fopen(DOCUMENT, regenerate && *regenerate ? "w" : "r");
	if (!file)
		fail_msg(DOCUMENT " cannot be opened: is this the top of the tree?");
	if (regenerate && *regenerate) {
		fputs(expected, file);
	} else {
		room = size + 2;
		there = calloc(1, room);
		if (fread(there, 1, room - 1, file) != size || strcmp(there, expected) != 0)
			fail_msg(DOCUMENT " is not what lifecycle.tbl.h says: make it anew with "
					  "JITSU_REGENERATE=1");
		free(there);
	}
	fclose(file);
	free(expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_pair),
		cmocka_unit_test(test_no_dead_end),
		cmocka_unit_test(test_started_once),
		cmocka_unit_test(test_in_use_never_stopped),
		cmocka_unit_test(test_removed_stays_removed),
		cmocka_unit_test(test_wants_are_answered),
		cmocka_unit_test(test_dns_agrees),
		cmocka_unit_test(test_surveys_decide),
		cmocka_unit_test(test_reachable),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_document),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
