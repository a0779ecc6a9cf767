#include <stdio.h>
#include <string.h>

#include "client.h"
#include "step.h"

#define SETTLE_EVERY 100 /* queries sent at once; the sockets' buffers hold more */

int step_query(struct script *script, char *args)
{
	struct label *label = step_label_new(script, step_word(&args));
	struct query_options options = { .tcp = false };
	const struct sockaddr_in *server;
	const char *name = step_word(&args), *type = step_word(&args);

	if (!label)
		return -1;
	if (client_type(type) < 0)
		return step_fail(script, "'%s': no type that is known here", type);
	while (*args) {
		const char *option = step_word(&args);

		if (strcmp(option, "tcp") == 0) {
			options.tcp = true;
		} else if (strcmp(option, "edns") == 0) {
			options.edns = true;
		} else if (strcmp(option, "on") == 0) {
			const struct label *other = step_label(script, step_word(&args));

			if (!other || !other->query)
				return step_fail(script, "on: no such query");
			options.on = other->query;
			options.tcp = true;
		} else {
			return step_fail(script, "'%s': expected tcp, edns or on LABEL", option);
		}
	}
	server = (options.tcp ? world_dns_tcp : world_dns_udp)(step_world(script));
	label->query = query_new(server, name, client_type(type), &options);
	if (++script->unsettled >= SETTLE_EVERY)
		step_settle(script);
	return 0;
}

/* As query_answer, for a label. */
static int take(struct script *script, const char *name, struct answer *answer)
{
	const struct label *label = step_label(script, name);
	const char *why;
	int r;

	if (!label || !label->query)
		return step_fail(script, "'%s': no such query", name);
	r = query_answer(label->query, answer, &why);
	if (r < 0)
		step_fail(script, "the answer to %s is malformed: %s", name, why);
	return r;
}

/* What an answer says, as `expect` writes it. */
static const char *shown(const struct answer *answer, char *text, size_t room)
{
	size_t used = (size_t)snprintf(text, room, "%s", client_rcode(answer->rcode));

	for (size_t i = 0; i < answer->address_count && used < room; i++)
		used += (size_t)snprintf(text + used, room - used, " %s", answer->addresses[i]);
	if (used < room)
		snprintf(text + used, room - used, " (ttl=%u ede=%d tc=%d aa=%d records=%u)",
			 answer->ttl, answer->info_code, answer->truncated, answer->authoritative,
			 answer->answers);
	return text;
}

static bool take_address(struct answer *answer, const char *address)
{
	for (size_t i = 0; i < answer->address_count; i++) {
		if (strcmp(answer->addresses[i], address) != 0)
			continue;
		answer->address_count--;
		memmove(answer->addresses[i], answer->addresses[answer->address_count],
			sizeof answer->addresses[i]);
		return true;
	}
	return false;
}

int step_expect(struct script *script, char *args)
{
	const char *name = step_word(&args), *rcode = step_word(&args);
	struct answer answer;
	char text[512], expected[512];
	int r = take(script, name, &answer);
	bool right;

	if (r < 0)
		return -1;
	snprintf(expected, sizeof expected, "%s%s%s", rcode, *args ? " " : "", args);
	if (r == 0)
		return step_fail(script, "query %s: expected %s, there is no answer", name,
				 expected);
	shown(&answer, text, sizeof text);
	right = strcmp(client_rcode(answer.rcode), rcode) == 0;
	while (*args) {
		const char *thing = step_word(&args);
		unsigned value = 0;
		const char *sign = strchr(thing, '=');

		if (sign && step_number(script, sign + 1, &value) < 0)
			return -1;
		if (!sign)
			right = take_address(&answer, thing) && right;
		else if (strncmp(thing, "ttl=", 4) == 0)
			right = answer.ttl == value && right;
		else if (strncmp(thing, "ede=", 4) == 0)
			right = answer.info_code == (int)value && right;
		else if (strncmp(thing, "tc=", 3) == 0)
			right = answer.truncated == value && right;
		else if (strncmp(thing, "aa=", 3) == 0)
			right = answer.authoritative == value && right;
		else
			return step_fail(
				script, "'%s': expected an address, ttl=, ede=, tc= or aa=", thing);
	}
	if (!right || answer.address_count)
		return step_fail(script, "query %s: expected %s, there is %s", name, expected,
				 text);
	return 0;
}

int step_expect_none(struct script *script, char *args)
{
	const char *name = step_word(&args);
	struct answer answer;
	char text[512];
	int r = take(script, name, &answer);

	if (r < 0)
		return -1;
	if (r > 0)
		return step_fail(script, "query %s: expected no answer, there is %s", name,
				 shown(&answer, text, sizeof text));
	return 0;
}
