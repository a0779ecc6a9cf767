#include "seen.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "proto/message.h"
#include "world.h"

struct line {
	char *text;
	size_t used, room;
};

static void __attribute__((format(printf, 2, 3))) add(struct line *line, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line->text + line->used, line->room - line->used, fmt, ap);
	va_end(ap);
	line->used += (size_t)n;
	if (line->used >= line->room)
		line->used = line->room - 1;
}

#define U8(f)	 add(line, " " #f "=%u", m->f);
#define U16(f)	 add(line, " " #f "=%u", m->f);
#define U32(f)	 add(line, " " #f "=%u", m->f);
#define U64(f)	 add(line, " " #f "=%llu", (unsigned long long)m->f);
#define TEXT(f)	 add(line, " " #f "=%s", m->f);
#define BYTES(f) add(line, " " #f "=[%u]", m->f.size);
#define MESSAGE(name, from, to, fields, meaning)                                                   \
	static void show_##name(void *arg, const struct msg_##name *m)                             \
	{                                                                                          \
		struct line *line = arg;                                                           \
                                                                                                   \
		add(line, " " #name);                                                              \
		fields                                                                             \
	}
#include "proto/message.tbl.h"
#undef MESSAGE
#undef U8
#undef U16
#undef U32
#undef U64
#undef TEXT
#undef BYTES

static const struct message_handlers show = {
#define MESSAGE(name, from, to, fields, meaning) .name = show_##name,
#include "proto/message.tbl.h"
#undef MESSAGE
};

static void *grow(void *array, size_t count, size_t size)
{
	void *grown = reallocarray(array, count, size);

	if (!grown)
		world_die("reallocarray");
	return grown;
}

static void note_boot(struct seen *seen, const char *service)
{
	size_t i = 0;

	while (i < seen->boot_count && strcmp(seen->boots[i].service, service) != 0)
		i++;
	if (i == seen->boot_count) {
		seen->boots = grow(seen->boots, i + 1, sizeof *seen->boots);
		seen->boots[i] = (struct seen_boots){ .boots = 0 };
		snprintf(seen->boots[i].service, SEEN_NAME_SIZE, "%s", service);
		seen->boot_count++;
	}
	seen->boots[i].boots++;
}

static void on_start(void *arg, const struct msg_start *m)
{
	struct seen *seen = arg;
	struct json_object *spec = json_tokener_parse(m->spec), *name = NULL;

	if (!spec || !json_object_object_get_ex(spec, "name", &name))
		world_die("start without a name");
	note_boot(seen, json_object_get_string(name));
	if (m->id >= seen->started_count) {
		seen->started = grow(seen->started, m->id + 1, sizeof *seen->started);
		seen->started_count = m->id + 1;
	}
	snprintf(seen->started[m->id], SEEN_NAME_SIZE, "%s", json_object_get_string(name));
	json_object_put(spec);
}

static void put_domain(struct seen *seen, struct seen_domains *domains, uint32_t domid,
		       const char *service)
{
	for (size_t i = 0; i < domains->n; i++)
		if (strcmp(domains->v[i].service, service) == 0)
			snprintf(seen->broken, sizeof seen->broken,
				 "%s has two domains at once, %u and %u", service,
				 domains->v[i].domid, domid);
	domains->v = grow(domains->v, domains->n + 1, sizeof *domains->v);
	domains->v[domains->n].domid = domid;
	snprintf(domains->v[domains->n].service, SEEN_NAME_SIZE, "%s", service);
	domains->n++;
}

static void on_created(void *arg, const struct msg_created *m)
{
	struct seen *seen = arg;

	put_domain(seen, &seen->domains, m->domid, seen->started[m->id]);
}

static void on_survey(void *arg, const struct msg_survey *m)
{
	struct seen *seen = arg;

	(void)m;
	seen->found.n = 0;
}

static void on_found(void *arg, const struct msg_found *m)
{
	struct seen *seen = arg;

	put_domain(seen, &seen->found, m->domid, m->service);
}

static void on_survey_end(void *arg, const struct msg_survey_end *m)
{
	struct seen *seen = arg;

	(void)m;
	free(seen->domains.v);
	seen->domains = seen->found;
	seen->found = (struct seen_domains){ NULL, 0 };
}

static void gone(struct seen *seen, uint32_t domid)
{
	struct seen_domains *domains = &seen->domains;

	for (size_t i = 0; i < domains->n; i++) {
		if (domains->v[i].domid != domid)
			continue;
		domains->v[i] = domains->v[--domains->n];
		return;
	}
}

static void on_stopped(void *arg, const struct msg_stopped *m)
{
	gone(arg, m->domid);
}

static void on_suspended(void *arg, const struct msg_suspended *m)
{
	gone(arg, m->domid);
}

static void on_died(void *arg, const struct msg_died *m)
{
	if (m->reason == 255) /* else it is still there, for the engine to stop */
		gone(arg, m->domid);
}

void seen_message(struct seen *seen, uint64_t at, const char *way, const uint8_t *data, size_t size)
{
	static const struct message_handlers counted = {
		.start = on_start,
		.created = on_created,
		.stopped = on_stopped,
		.suspended = on_suspended,
		.died = on_died,
		.survey = on_survey,
		.found = on_found,
		.survey_end = on_survey_end,
	};
	struct line line = { seen->trace[seen->traced++ % SEEN_TRACE_LINES], 0, SEEN_TRACE_WIDTH };
	struct error err;

	add(&line, "%6llu.%03llu ms  %s:", (unsigned long long)(at / 1000),
	    (unsigned long long)(at % 1000), way);
	if (message_dispatch(data, size, &show, &line, &err) < 0) {
		fprintf(stderr, "scenario: %s sent: %s\n", way, err.text);
		exit(99);
	}
	switch (data[0]) {
	case MESSAGE_start:
	case MESSAGE_created:
	case MESSAGE_stopped:
	case MESSAGE_suspended:
	case MESSAGE_died:
	case MESSAGE_survey:
	case MESSAGE_found:
	case MESSAGE_survey_end:
		message_dispatch(data, size, &counted, seen, NULL);
	}
}

const char *seen_trace(struct seen *seen)
{
	size_t first = seen->traced > SEEN_TRACE_LINES ? seen->traced - SEEN_TRACE_LINES : 0;
	char *end = seen->trace_text;

	*end = '\0';
	for (size_t i = first; i < seen->traced; i++) {
		end = stpcpy(end, seen->trace[i % SEEN_TRACE_LINES]);
		end = stpcpy(end, "\n");
	}
	return seen->trace_text;
}

unsigned seen_boots(const struct seen *seen, const char *service)
{
	for (size_t i = 0; i < seen->boot_count; i++)
		if (strcmp(seen->boots[i].service, service) == 0)
			return seen->boots[i].boots;
	return 0;
}

void seen_no_domains(struct seen *seen)
{
	seen->domains.n = seen->found.n = 0;
}

void seen_clear(struct seen *seen)
{
	free(seen->boots);
	free(seen->domains.v);
	free(seen->found.v);
	free(seen->started);
	*seen = (struct seen){ .boots = NULL };
}
