#include "toolstack/report.h"

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "proto/message.h"
#include "toolstack/inside.h"
#include "toolstack/synjitsu.h"

void report_start_failed(struct toolstack *toolstack, uint32_t id, uint32_t boot,
			 const struct error *err)
{
	message_send_start_failed(toolstack->link,
				  &(struct msg_start_failed){ .id = id,
							      .boot = boot,
							      .kind = (uint8_t)err->kind,
							      .field = err->field,
							      .text = err->text });
}

void report_memory(struct toolstack *toolstack, const struct backend_host *host)
{
	message_send_memory(toolstack->link, &(struct msg_memory){ .free = host->memory_free,
								   .total = host->memory_total });
}

/* Every order that takes or gives memory has come to its end. */
static void tell_memory(struct toolstack *toolstack)
{
	struct backend_host host = { 0 };
	struct error err;

	if (!toolstack_reporting(toolstack))
		return;
	if (toolstack->table->host(toolstack->backend, &host, &err) < 0)
		log_warning("%s", err.text);
	else
		report_memory(toolstack, &host);
}

static void on_created(void *arg, const struct backend_created *created)
{
	struct toolstack *toolstack = arg;

	if (created->note[0])
		log_warning("service %u was not restored but booted: %s", created->id,
			    created->note);
	if (toolstack_is_ours(toolstack, created->id, created->boot))
		message_send_created(toolstack->link,
				     &(struct msg_created){ .id = created->id,
							    .boot = created->boot,
							    .domid = created->domid,
							    .restored = created->restored,
							    .began = created->began,
							    .at = created->at,
							    .note = created->note });
	if (toolstack->synjitsu)
		synjitsu_guest(toolstack->synjitsu, created->id, created->domid);
	tell_memory(toolstack);
	toolstack_try_survey(toolstack);
}

void report_knock(void *arg, uint32_t id, struct bytes source)
{
	struct toolstack *toolstack = arg;

	if (toolstack_reporting(toolstack))
		message_send_knock(toolstack->link,
				   &(struct msg_knock){ .id = id,
							.at = loop_now(toolstack->loop),
							.source = source });
}

static void on_frame(void *arg, uint32_t id, uint32_t boot, uint64_t at)
{
	struct toolstack *toolstack = arg;

	if (toolstack_is_ours(toolstack, id, boot))
		message_send_frame(toolstack->link, &(struct msg_frame){ id, boot, at });
}

static void on_key(void *arg, uint32_t id, uint32_t boot, uint64_t at)
{
	struct toolstack *toolstack = arg;

	if (toolstack_is_ours(toolstack, id, boot))
		message_send_key(toolstack->link, &(struct msg_key){ id, boot, at });
}

static void on_start_failed(void *arg, uint32_t id, uint32_t boot, const struct error *err)
{
	struct toolstack *toolstack = arg;

	log_warning("start of service %u failed: %s", id, err->text);
	if (toolstack_is_ours(toolstack, id, boot))
		report_start_failed(toolstack, id, boot, err);
	tell_memory(toolstack);
	toolstack_try_survey(toolstack);
}

static void on_woken(void *arg, uint32_t id, uint32_t boot, uint64_t at, const struct error *err)
{
	struct toolstack *toolstack = arg;

	if (err)
		log_warning("wake of service %u failed: %s", id, err->text);
	if (toolstack_is_ours(toolstack, id, boot) && err)
		message_send_wake_failed(toolstack->link,
					 &(struct msg_wake_failed){ id, boot, err->text });
	else if (toolstack_is_ours(toolstack, id, boot))
		message_send_woken(toolstack->link, &(struct msg_woken){ id, boot, at });
	toolstack_try_survey(toolstack);
}

static void on_died(void *arg, uint32_t domid, uint8_t reason, const char *console)
{
	struct toolstack *toolstack = arg;

	log_info("domain %u died, reason %u", domid, reason);
	if (toolstack_reporting(toolstack))
		message_send_died(toolstack->link, &(struct msg_died){ domid, reason, console });
	if (reason == BACKEND_DESTROYED_BEHIND_US)
		tell_memory(toolstack);
}

static void on_stopped(void *arg, uint32_t id, uint32_t domid, enum backend_end end, uint64_t at,
		       const struct error *err)
{
	struct toolstack *toolstack = arg;

	if (err) {
		log_warning("stop of domain %u failed: %s", domid, err->text);
		if (toolstack_reporting(toolstack))
			message_send_stop_failed(toolstack->link,
						 &(struct msg_stop_failed){ id, domid, err->text });
	} else if (toolstack_reporting(toolstack)) {
		switch (end) {
		case BACKEND_GONE:
			message_send_stopped(toolstack->link,
					     &(struct msg_stopped){ id, domid, at });
			break;
		case BACKEND_PAUSED:
			message_send_paused(toolstack->link, &(struct msg_paused){ id, domid, at });
			break;
		case BACKEND_SUSPENDED:
			message_send_suspended(toolstack->link,
					       &(struct msg_suspended){ id, domid, at });
			break;
		}
		if (end != BACKEND_PAUSED)
			tell_memory(toolstack);
	}
	toolstack_try_survey(toolstack);
}

const struct backend_sink report_sink = {
	.created = on_created,
	.frame = on_frame,
	.key = on_key,
	.start_failed = on_start_failed,
	.woken = on_woken,
	.died = on_died,
	.stopped = on_stopped,
};
