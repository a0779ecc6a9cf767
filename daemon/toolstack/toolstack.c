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
#include "toolstack/inside.h"
#include "toolstack/report.h"
#include "toolstack/synjitsu.h"

static const struct backend_table *const backends[] = { &backend_libxl, &backend_sim };

/* An order of any kind: held while a survey is to be answered first, then obeyed. */
struct order {
	STAILQ_ENTRY(order) entry;
	void (*obey)(struct toolstack *toolstack, const struct order *order);
	uint32_t id, boot, domid, limit;
	uint8_t mode, uuid[16];
	bool restore;
	const char *text; /* a specification, or a key; a held order owns it */
};

static void order_free(struct order *order)
{
	free((char *)(uintptr_t)order->text);
	free(order);
}

static void close_link(struct toolstack *toolstack)
{
	struct order *order;

	link_free(toolstack->link);
	toolstack->link = NULL;
	toolstack->surveyed = toolstack->survey_wanted = false;
	while ((order = STAILQ_FIRST(&toolstack->held))) {
		STAILQ_REMOVE_HEAD(&toolstack->held, entry);
		order_free(order);
	}
	if (toolstack->backend)
		toolstack->table->let_go(toolstack->backend);
	timer_set(toolstack->alone, LINK_ALONE_LIMIT);
}

static void on_alone(void *arg)
{
	struct toolstack *toolstack = arg;

	log_error("no connection to the engine for %u s; beginning anew",
		  (unsigned)(LINK_ALONE_LIMIT / USEC_PER_SEC));
	loop_quit(toolstack->loop);
}

bool toolstack_reporting(const struct toolstack *toolstack)
{
	return toolstack->link && toolstack->surveyed;
}

/* Orders */

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

bool toolstack_is_ours(const struct toolstack *toolstack, uint32_t id, uint32_t boot)
{
	return toolstack_reporting(toolstack) && id < toolstack->started_size &&
	       toolstack->started[id].boot == boot &&
	       toolstack->started[id].connection == toolstack->connection;
}

static void start(struct toolstack *toolstack, const struct order *order)
{
	struct error err;
	struct spec *spec = read_spec(toolstack, order->text, &err);

	if (!spec) {
		log_warning("start of service %u refused: %s", order->id, err.text);
		report_start_failed(toolstack, order->id, order->boot, &err);
		return;
	}
	remember_start(toolstack, order->id, order->boot);
	toolstack->table->start(toolstack->backend, order->id, order->boot, order->restore, spec);
}

static void wake(struct toolstack *toolstack, const struct order *order)
{
	remember_start(toolstack, order->id, order->boot);
	toolstack->table->wake(toolstack->backend, order->id, order->boot, order->domid);
}

static void adopt(struct toolstack *toolstack, const struct order *order)
{
	remember_start(toolstack, order->id, order->boot);
	toolstack->table->adopt(toolstack->backend, order->id, order->boot, order->domid,
				order->text);
}

static void stop(struct toolstack *toolstack, const struct order *order)
{
	/* Domain 0 is the host itself. */
	if (order->domid == 0 || order->mode >= SPEC_STOP_MODES) {
		message_send_stop_failed(
			toolstack->link,
			&(struct msg_stop_failed){
				.id = order->id,
				.domid = order->domid,
				.text = order->domid ? "unknown stop mode" : "domain 0 is no guest",
			});
		return;
	}
	toolstack->table->stop(toolstack->backend, order->id, order->domid,
			       (enum spec_stop_mode)order->mode, order->limit);
}

static void discard(struct toolstack *toolstack, const struct order *order)
{
	toolstack->table->discard(toolstack->backend, order->uuid);
}

/* At once, or when the survey that comes first is answered. */
static void take_order(struct toolstack *toolstack, const struct order *order)
{
	struct order *held;

	if (toolstack->surveyed && !toolstack->survey_wanted) {
		order->obey(toolstack, order);
		return;
	}
	held = malloc(sizeof *held);
	if (!held)
		abort();
	*held = *order;
	if (order->text && !(held->text = strdup(order->text)))
		abort();
	STAILQ_INSERT_TAIL(&toolstack->held, held, entry);
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
						.paused = domain->paused,
						.restored = domain->restored,
						.created = domain->created,
						.service = domain->service });
}

static void send_image(void *arg, const uint8_t uuid[16])
{
	struct toolstack *toolstack = arg;

	message_send_image(toolstack->link, &(struct msg_image){ .uuid = { uuid, 16 } });
}

static void survey(struct toolstack *toolstack)
{
	struct backend_survey findings = { send_found, send_image, toolstack };
	struct backend_host host = { 0 };
	struct error err;
	struct order *order;

	toolstack->survey_wanted = false;
	if (toolstack->table->survey(toolstack->backend, &findings, &err) < 0 ||
	    toolstack->table->host(toolstack->backend, &host, &err) < 0) {
		/* Half an answer would make the engine believe that guests are gone. */
		log_error("survey: %s", err.text);
		close_link(toolstack);
		return;
	}
	report_memory(toolstack, &host);
	message_send_survey_end(toolstack->link,
				&(struct msg_survey_end){ .memory_free = host.memory_free,
							  .memory_total = host.memory_total,
							  .backend = toolstack->table->name,
							  .version = host.version });
	toolstack->surveyed = true;
	while ((order = STAILQ_FIRST(&toolstack->held))) {
		STAILQ_REMOVE_HEAD(&toolstack->held, entry);
		order->obey(toolstack, order);
		order_free(order);
	}
}

static void on_survey_timer(void *arg)
{
	struct toolstack *toolstack = arg;

	if (toolstack->link && toolstack->survey_wanted &&
	    toolstack->table->busy(toolstack->backend) == 0)
		survey(toolstack);
}

void toolstack_try_survey(struct toolstack *toolstack)
{
	if (toolstack->survey_wanted && toolstack->table->busy(toolstack->backend) == 0)
		timer_set(toolstack->survey_timer, 0);
}

/* From the engine */

static void take_survey(void *arg, const struct msg_survey *m)
{
	struct toolstack *toolstack = arg;

	(void)m;
	toolstack->survey_wanted = true;
	toolstack_try_survey(toolstack);
}

static void take_check(void *arg, const struct msg_check *m)
{
	struct toolstack *toolstack = arg;
	struct error err = { .kind = ERROR_NONE };
	cleanup_spec struct spec *spec = spec_from_text(m->spec, toolstack->table->simulated, &err);
	cleanup_free char *addition = NULL;

	if (spec)
		toolstack->table->check(toolstack->backend, spec, &addition, &err);
	message_send_checked(toolstack->link,
			     &(struct msg_checked){ .request = m->request,
						    .kind = (uint8_t)err.kind,
						    .field = err.field,
						    .text = err.text,
						    .addition = addition ? addition : "" });
}

static void take_start(void *arg, const struct msg_start *m)
{
	take_order(arg, &(struct order){ .obey = start,
					 .id = m->id,
					 .boot = m->boot,
					 .restore = m->restore,
					 .text = m->spec });
}

static void take_wake(void *arg, const struct msg_wake *m)
{
	take_order(arg, &(struct order){
				.obey = wake, .id = m->id, .boot = m->boot, .domid = m->domid });
}

static void take_adopt(void *arg, const struct msg_adopt *m)
{
	take_order(arg, &(struct order){ .obey = adopt,
					 .id = m->id,
					 .boot = m->boot,
					 .domid = m->domid,
					 .text = m->key });
}

static void take_stop(void *arg, const struct msg_stop *m)
{
	take_order(arg, &(struct order){ .obey = stop,
					 .id = m->id,
					 .domid = m->domid,
					 .mode = m->mode,
					 .limit = m->limit });
}

static void take_discard(void *arg, const struct msg_discard *m)
{
	struct toolstack *toolstack = arg;
	struct order order = { .obey = discard, .id = m->id };

	if (m->uuid.size != sizeof order.uuid) {
		log_error("from the engine: discard: a UUID of %u bytes", (unsigned)m->uuid.size);
		close_link(toolstack);
		return;
	}
	memcpy(order.uuid, m->uuid.data, sizeof order.uuid);
	take_order(toolstack, &order);
}

static void hold(struct toolstack *toolstack, const struct order *order)
{
	struct msg_hold m = { .id = order->id,
			      .how = order->mode,
			      .domid = order->domid,
			      .port = (uint16_t)order->limit,
			      .spec = order->text };
	struct error err;

	if (toolstack->synjitsu &&
	    synjitsu_hold(toolstack->synjitsu, &m, toolstack->table->simulated, &err) < 0)
		log_warning("hold of service %u refused: %s", order->id, err.text);
}

static void take_hold(void *arg, const struct msg_hold *m)
{
	take_order(arg, &(struct order){ .obey = hold,
					 .id = m->id,
					 .mode = m->how,
					 .domid = m->domid,
					 .limit = m->port,
					 .text = m->spec });
}

/* Answered at any time; one that is not there has no traffic. */
static void take_measure(void *arg, const struct msg_measure *m)
{
	struct toolstack *toolstack = arg;
	struct backend_traffic traffic = { 0 };

	if (m->domid > 0)
		toolstack->table->measure(toolstack->backend, m->domid, &traffic);
	message_send_measured(toolstack->link, &(struct msg_measured){ .id = m->id,
								       .domid = m->domid,
								       .rx = traffic.rx,
								       .tx = traffic.tx });
}

/* Always answered. */
static void take_weigh(void *arg, const struct msg_weigh *m)
{
	struct toolstack *toolstack = arg;
	struct backend_host host = { 0 };
	struct error err;

	(void)m;
	if (toolstack->table->host(toolstack->backend, &host, &err) < 0) {
		log_warning("%s", err.text);
		host = (struct backend_host){ 0 };
	}
	report_memory(toolstack, &host);
}

static const struct message_handlers handlers = {
	.survey = take_survey,
	.check = take_check,
	.start = take_start,
	.stop = take_stop,
	.wake = take_wake,
	.adopt = take_adopt,
	.discard = take_discard,
	.hold = take_hold,
	.measure = take_measure,
	.weigh = take_weigh,
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
	unsigned busy = toolstack->table->busy(toolstack->backend);

	if (busy)
		log_warning("the engine is gone; %u orders under way go on", busy);
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
	toolstack->alone = timer_new(loop, on_alone, toolstack);
	if (!toolstack->survey_timer || !toolstack->alone) {
		error_errno(err, "cannot start the toolstack");
		goto fail;
	}
	toolstack->backend = toolstack->table->open(
		loop, &(struct backend_config){ config->boots, config->suspend_dir }, &report_sink,
		toolstack, err);
	if (!toolstack->backend)
		goto fail;
	if (config->synjitsu && !(toolstack->synjitsu = synjitsu_new(loop, config->synjitsu,
								     report_knock, toolstack, err)))
		goto fail;
	timer_set(toolstack->alone, LINK_ALONE_LIMIT);
	return toolstack;
fail:
	toolstack_free(toolstack);
	return NULL;
}

void toolstack_connect_engine(struct toolstack *toolstack, int fd)
{
	static const struct link_callbacks callbacks = { on_message, on_closed };

	close_link(toolstack);
	timer_cancel(toolstack->alone);
	if (toolstack->synjitsu)
		synjitsu_forget_all(toolstack->synjitsu);
	toolstack->connection++;
	toolstack->link = link_new(toolstack->loop, fd, &callbacks, toolstack);
	if (!toolstack->link)
		abort();
}

void toolstack_free(struct toolstack *toolstack)
{
	if (!toolstack)
		return;
	if (toolstack->alone)
		close_link(toolstack);
	if (toolstack->backend)
		toolstack->table->close(toolstack->backend);
	synjitsu_free(toolstack->synjitsu);
	timer_free(toolstack->survey_timer);
	timer_free(toolstack->alone);
	free(toolstack->started);
	free(toolstack);
}
