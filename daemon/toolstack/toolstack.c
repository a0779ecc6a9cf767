#include "toolstack/toolstack.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/link.h"
#include "base/log.h"
#include "base/loop.h"
#include "proto/message.h"
#include "toolstack/backend.h"

static const struct backend_table *const backends[] = { &backend_libxl, &backend_sim };

/* An order that came while a survey was to be answered first. */
struct held {
	STAILQ_ENTRY(held) entry;
	bool start;
	uint32_t id, boot, domid, limit;
	uint8_t mode;
	char *spec;
};

/* The start last ordered for a service, and on which connection. */
struct started {
	uint32_t boot, connection;
};

struct toolstack {
	struct loop *loop;
	const struct backend_table *table;
	struct backend *backend;
	struct link *link; /* NULL while there is no engine */
	uint32_t connection;
	/*
	 * Until the survey of this connection is answered, which waits until nothing is under way,
	 * orders are held and nothing is reported: what ends now was ordered by an engine of
	 * before, and the survey tells what came of it.
	 */
	bool surveyed, survey_wanted;
	struct timer *survey_timer;
	STAILQ_HEAD(, held) held;
	struct started *started; /* by id */
	size_t started_size;
};

static void close_link(struct toolstack *toolstack)
{
	struct held *held;

	link_free(toolstack->link);
	toolstack->link = NULL;
	toolstack->surveyed = toolstack->survey_wanted = false;
	while ((held = STAILQ_FIRST(&toolstack->held))) {
		STAILQ_REMOVE_HEAD(&toolstack->held, entry);
		free(held->spec);
		free(held);
	}
}

static bool reporting(const struct toolstack *toolstack)
{
	return toolstack->link && toolstack->surveyed;
}

/* Orders */

static void send_start_failed(struct toolstack *toolstack, uint32_t id, uint32_t boot,
			      const struct error *err)
{
	message_send_start_failed(toolstack->link,
				  &(struct msg_start_failed){ .id = id,
							      .boot = boot,
							      .kind = (uint8_t)err->kind,
							      .field = err->field,
							      .text = err->text });
}

static struct spec *read_spec(const struct toolstack *toolstack, const char *text,
			      struct error *err)
{
	struct spec *spec = spec_from_text(text, toolstack->table->simulated, err);

	if (spec && !spec->has_uuid) {
		spec_free(spec);
		error_field(err, ERROR_INPUT, "uuid", NULL, "expected one with every order");
		return NULL;
	}
	return spec;
}

static void remember_start(struct toolstack *toolstack, uint32_t id, uint32_t boot)
{
	if (id >= toolstack->started_size) {
		size_t size = toolstack->started_size ? toolstack->started_size : 64;

		while (id >= size)
			size *= 2;
		toolstack->started = reallocarray(toolstack->started, size, sizeof(struct started));
		if (!toolstack->started)
			abort();
		memset(toolstack->started + toolstack->started_size, 0,
		       (size - toolstack->started_size) * sizeof(struct started));
		toolstack->started_size = size;
	}
	toolstack->started[id] = (struct started){ boot, toolstack->connection };
}

static bool is_ours(const struct toolstack *toolstack, uint32_t id, uint32_t boot)
{
	return reporting(toolstack) && id < toolstack->started_size &&
	       toolstack->started[id].boot == boot &&
	       toolstack->started[id].connection == toolstack->connection;
}

static void start(struct toolstack *toolstack, uint32_t id, uint32_t boot, const char *text)
{
	struct error err;
	struct spec *spec = read_spec(toolstack, text, &err);

	if (!spec) {
		log_warning("start of service %u refused: %s", id, err.text);
		send_start_failed(toolstack, id, boot, &err);
		return;
	}
	remember_start(toolstack, id, boot);
	toolstack->table->start(toolstack->backend, id, boot, spec);
}

static void stop(struct toolstack *toolstack, uint32_t id, uint32_t domid, uint8_t mode,
		 uint32_t limit)
{
	/* Domain 0 is the host itself. */
	if (domid == 0 || mode > SPEC_STOP_DESTROY) {
		message_send_stop_failed(
			toolstack->link,
			&(struct msg_stop_failed){
				.id = id,
				.domid = domid,
				.text = domid ? "unknown stop mode" : "domain 0 is no guest",
			});
		return;
	}
	toolstack->table->stop(toolstack->backend, id, domid, (enum spec_stop_mode)mode, limit);
}

/* Survey */

static void send_found(void *arg, const struct backend_domain *domain)
{
	struct toolstack *toolstack = arg;

	message_send_found(toolstack->link,
			   &(struct msg_found){ .domid = domain->domid,
						.uuid = { domain->uuid, sizeof domain->uuid },
						.whole = domain->whole,
						.running = domain->running,
						.service = domain->service });
}

static void survey(struct toolstack *toolstack)
{
	struct backend_host host = { 0 };
	struct error err;
	struct held *held;

	toolstack->survey_wanted = false;
	if (toolstack->table->survey(toolstack->backend, send_found, toolstack, &host, &err) < 0) {
		/* Half an answer would make the engine believe that guests are gone. */
		log_error("survey: %s", err.text);
		close_link(toolstack);
		return;
	}
	message_send_survey_end(toolstack->link,
				&(struct msg_survey_end){ .memory_free = host.memory_free,
							  .memory_total = host.memory_total,
							  .backend = toolstack->table->name,
							  .version = host.version });
	toolstack->surveyed = true;
	while ((held = STAILQ_FIRST(&toolstack->held))) {
		STAILQ_REMOVE_HEAD(&toolstack->held, entry);
		if (held->start)
			start(toolstack, held->id, held->boot, held->spec);
		else
			stop(toolstack, held->id, held->domid, held->mode, held->limit);
		free(held->spec);
		free(held);
	}
}

static void on_survey_timer(void *arg)
{
	struct toolstack *toolstack = arg;

	if (toolstack->link && toolstack->survey_wanted &&
	    toolstack->table->busy(toolstack->backend) == 0)
		survey(toolstack);
}

/* From the loop, so that whoever reports the end of an order has come to its own end. */
static void try_survey(struct toolstack *toolstack)
{
	if (toolstack->survey_wanted && toolstack->table->busy(toolstack->backend) == 0)
		timer_set(toolstack->survey_timer, 0);
}

/* From the backend */

static void on_created(void *arg, uint32_t id, uint32_t boot, uint32_t domid, uint64_t began,
		       uint64_t at)
{
	struct toolstack *toolstack = arg;

	if (is_ours(toolstack, id, boot))
		message_send_created(
			toolstack->link,
			&(struct msg_created){
				.id = id, .boot = boot, .domid = domid, .began = began, .at = at });
	try_survey(toolstack);
}

static void on_frame(void *arg, uint32_t id, uint32_t boot, uint64_t at)
{
	struct toolstack *toolstack = arg;

	if (is_ours(toolstack, id, boot))
		message_send_frame(toolstack->link, &(struct msg_frame){ id, boot, at });
}

static void on_start_failed(void *arg, uint32_t id, uint32_t boot, const struct error *err)
{
	struct toolstack *toolstack = arg;

	log_warning("start of service %u failed: %s", id, err->text);
	if (is_ours(toolstack, id, boot))
		send_start_failed(toolstack, id, boot, err);
	try_survey(toolstack);
}

static void on_died(void *arg, uint32_t domid, uint8_t reason)
{
	struct toolstack *toolstack = arg;

	log_info("domain %u died, reason %u", domid, reason);
	if (reporting(toolstack))
		message_send_died(toolstack->link,
				  &(struct msg_died){ .domid = domid, .reason = reason });
}

static void on_stopped(void *arg, uint32_t id, uint32_t domid, const struct error *err)
{
	struct toolstack *toolstack = arg;

	if (err)
		log_warning("stop of domain %u failed: %s", domid, err->text);
	if (reporting(toolstack) && err)
		message_send_stop_failed(toolstack->link,
					 &(struct msg_stop_failed){ id, domid, err->text });
	else if (reporting(toolstack))
		message_send_stopped(toolstack->link,
				     &(struct msg_stopped){ id, domid, loop_now(toolstack->loop) });
	try_survey(toolstack);
}

static const struct backend_sink sink = {
	.created = on_created,
	.frame = on_frame,
	.start_failed = on_start_failed,
	.died = on_died,
	.stopped = on_stopped,
};

/* From the engine */

static void hold(struct toolstack *toolstack, const struct held *order)
{
	struct held *held = malloc(sizeof *held);

	if (!held)
		abort();
	*held = *order;
	STAILQ_INSERT_TAIL(&toolstack->held, held, entry);
}

static void take_survey(void *arg, const struct msg_survey *m)
{
	struct toolstack *toolstack = arg;

	(void)m;
	toolstack->survey_wanted = true;
	try_survey(toolstack);
}

static void take_check(void *arg, const struct msg_check *m)
{
	struct toolstack *toolstack = arg;
	struct error err = { .kind = ERROR_NONE };
	cleanup_spec struct spec *spec = spec_from_text(m->spec, toolstack->table->simulated, &err);

	if (spec)
		toolstack->table->check(toolstack->backend, spec, &err);
	message_send_checked(toolstack->link, &(struct msg_checked){ .request = m->request,
								     .kind = (uint8_t)err.kind,
								     .field = err.field,
								     .text = err.text });
}

static void take_start(void *arg, const struct msg_start *m)
{
	struct toolstack *toolstack = arg;
	char *spec;

	if (toolstack->surveyed && !toolstack->survey_wanted) {
		start(toolstack, m->id, m->boot, m->spec);
		return;
	}
	spec = strdup(m->spec);
	if (!spec)
		abort();
	hold(toolstack,
	     &(struct held){ .start = true, .id = m->id, .boot = m->boot, .spec = spec });
}

static void take_stop(void *arg, const struct msg_stop *m)
{
	struct toolstack *toolstack = arg;

	if (toolstack->surveyed && !toolstack->survey_wanted)
		stop(toolstack, m->id, m->domid, m->mode, m->limit);
	else
		hold(toolstack,
		     &(struct held){
			     .id = m->id, .domid = m->domid, .mode = m->mode, .limit = m->limit });
}

static void take_wake(void *arg, const struct msg_wake *m)
{
	struct toolstack *toolstack = arg;

	message_send_wake_failed(toolstack->link,
				 &(struct msg_wake_failed){ .id = m->id,
							    .boot = m->boot,
							    .text = "it is not paused" });
}

static void take_discard(void *arg, const struct msg_discard *m)
{
	(void)arg;
	(void)m;
}

static void take_measure(void *arg, const struct msg_measure *m)
{
	struct toolstack *toolstack = arg;

	message_send_measured(toolstack->link,
			      &(struct msg_measured){ .id = m->id, .domid = m->domid });
}

static const struct message_handlers handlers = {
	.survey = take_survey,
	.check = take_check,
	.start = take_start,
	.stop = take_stop,
	.wake = take_wake,
	.discard = take_discard,
	.measure = take_measure,
};

static void on_message(void *arg, const uint8_t *data, size_t size, int fd)
{
	struct toolstack *toolstack = arg;
	struct error err;

	if (fd >= 0)
		close(fd);
	if (message_dispatch(data, size, &handlers, toolstack, &err) < 0) {
		log_error("from the engine: %s", err.text);
		close_link(toolstack);
	}
}

static void on_closed(void *arg)
{
	struct toolstack *toolstack = arg;

	log_warning("the engine is gone; %u orders under way go on",
		    toolstack->table->busy(toolstack->backend));
	close_link(toolstack);
}

/* Life cycle */

const char *const *toolstack_backends(void)
{
	static const char *names[ARRAY_SIZE(backends) + 1];

	for (size_t i = 0; i < ARRAY_SIZE(backends); i++)
		names[i] = backends[i]->name;
	return names;
}

struct toolstack *toolstack_new(struct loop *loop, const struct toolstack_config *config,
				struct error *err)
{
	struct toolstack *toolstack = calloc(1, sizeof *toolstack);

	if (!toolstack) {
		error_errno(err, "cannot start the toolstack");
		return NULL;
	}
	toolstack->loop = loop;
	STAILQ_INIT(&toolstack->held);
	for (size_t i = 0; i < ARRAY_SIZE(backends); i++)
		if (strcmp(config->backend, backends[i]->name) == 0)
			toolstack->table = backends[i];
	if (!toolstack->table) {
		error_field(err, ERROR_INPUT, "backend", config->backend, "expected libxl or sim");
		goto fail;
	}
	toolstack->survey_timer = timer_new(loop, on_survey_timer, toolstack);
	if (!toolstack->survey_timer) {
		error_errno(err, "cannot start the toolstack");
		goto fail;
	}
	toolstack->backend = toolstack->table->open(loop, config->boots, &sink, toolstack, err);
	if (!toolstack->backend)
		goto fail;
	return toolstack;
fail:
	toolstack_free(toolstack);
	return NULL;
}

void toolstack_connect_engine(struct toolstack *toolstack, int fd)
{
	static const struct link_callbacks callbacks = { on_message, on_closed };

	close_link(toolstack);
	toolstack->connection++;
	toolstack->link = link_new(toolstack->loop, fd, &callbacks, toolstack);
	if (!toolstack->link)
		abort();
}

void toolstack_free(struct toolstack *toolstack)
{
	if (!toolstack)
		return;
	close_link(toolstack);
	if (toolstack->backend)
		toolstack->table->close(toolstack->backend);
	timer_free(toolstack->survey_timer);
	free(toolstack->started);
	free(toolstack);
}
