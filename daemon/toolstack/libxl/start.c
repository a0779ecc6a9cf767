#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "toolstack/libxl/console.h"
#include "toolstack/libxl/crew.h"
#include "toolstack/libxl/inside.h"

struct start {
	struct crew_job job; /* first */
	struct backend *backend;
	uint32_t id, boot;
	int images; /* where to look for its image */
	bool restore;
	struct spec *spec;
	struct build build;
	off_t console_from;
	int rc;
	struct error err;
};

static void start_work(struct crew_job *job, struct xen *xen)
{
	struct start *start = (struct start *)job;

	start->console_from = console_begin(start->spec->name);
	start->rc = build_start(xen, start->spec, start->images, start->restore, &start->build,
				&start->err);
}

static void start_free(struct start *start)
{
	for (size_t i = 0; i < start->build.frame_count; i++)
		close(start->build.frames[i]);
	if (start->build.image >= 0)
		close(start->build.image);
	spec_free(start->spec);
	free(start);
}

/* A restored one says nothing anew: it need not send a frame, nor does it write its key. */
static int await_signs(struct guest *guest, const struct build *build, const struct spec *spec,
		       struct error *err)
{
	if (build->restored) {
		for (size_t i = 0; i < build->frame_count; i++)
			close(build->frames[i]);
		return spec->nic.n ? guest_await_nic(guest, err) : 0;
	}
	guest_listen(guest, build);
	return spec->wait_for_key ? guest_await_key(guest, spec->wait_for_key, err) : 0;
}

static void report(struct start *start)
{
	struct backend *backend = start->backend;
	struct build *build = &start->build;
	const struct spec *spec = start->spec;
	struct guest *guest = guest_new(backend, build->domid, spec->uuid, spec->name, &start->err);

	if (!guest)
		abort(); /* a domain that runs unwatched: begin anew and adopt it */
	guest->id = start->id;
	guest->boot = start->boot;
	guest->console_from = start->console_from;
	if (await_signs(guest, build, spec, &start->err) < 0)
		abort(); /* xenstore is lost to us */
	build->frame_count = 0;
	if (build->image >= 0)
		spent_add(backend, TAKE_FD(build->image));
	backend->sink.created(backend->arg, &(struct backend_created){ .id = start->id,
								       .boot = start->boot,
								       .domid = build->domid,
								       .restored = build->restored,
								       .began = build->began,
								       .at = build->at,
								       .note = build->note });
}

static void start_done(struct crew_job *job)
{
	struct start *start = (struct start *)job;
	struct backend *backend = start->backend;

	backend->busy--;
	/* When closing, who comes after us adopts it. */
	if (!backend->closing && start->rc < 0)
		backend->sink.start_failed(backend->arg, start->id, start->boot, &start->err);
	else if (!backend->closing)
		report(start);
	start_free(start);
}

void start_order(struct backend *backend, uint32_t id, uint32_t boot, bool restore,
		 struct spec *spec)
{
	struct start *start = calloc(1, sizeof *start);

	if (!start)
		abort();
	*start = (struct start){ .job = { .work = start_work, .done = start_done },
				 .backend = backend,
				 .id = id,
				 .boot = boot,
				 .images = backend->images,
				 .restore = restore,
				 .spec = spec,
				 .build = { .image = -1 } };
	backend->busy++;
	crew_push(backend->crew, &start->job);
}
