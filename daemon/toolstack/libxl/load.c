#include "toolstack/libxl/load.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include <xenctrl.h>
#include <xen/sys/privcmd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/whole.h"
#include "toolstack/libxl/pages.h"
#include "toolstack/libxl/xen.h"

#define BLOCK_ORDER 9
#define BLOCK_SIZE  ((size_t)PAGES_BLOCK * PAGES_SIZE)
#define BATCH	    512 /* blocks that one child fills: 1 GiB */

struct cursor {
	const struct pages_run *run;
	uint64_t done; /* of it */
};

struct work {
	int privcmd, image;
	domid_t domid;
	struct cursor from;
	size_t blocks;
	xen_pfn_t frames[PAGES_BLOCK];
	int errors[PAGES_BLOCK];
};

/* The next pages of it, at most so many. */
static struct pages_run step(struct cursor *cursor, uint64_t most)
{
	const struct pages_run *run = cursor->run;
	struct pages_run now = { .gfn = run->gfn + cursor->done,
				 .count = run->count - cursor->done };

	if (run->at)
		now.at = run->at + cursor->done * PAGES_SIZE;
	if (now.count > most)
		now.count = most;
	cursor->done += now.count;
	if (cursor->done == run->count)
		*cursor = (struct cursor){ run + 1, 0 };
	return now;
}

static uint64_t step_block(struct cursor *cursor)
{
	struct pages_run run = step(cursor, PAGES_BLOCK);
	uint64_t first = run.gfn;

	for (uint64_t left = PAGES_BLOCK - run.count; left > 0; left -= run.count)
		run = step(cursor, left);
	return first;
}

/* Frames */

static int populate(struct xen *xen, uint32_t domid, struct cursor from, size_t blocks,
		    struct error *err)
{
	for (size_t i = 0; i < blocks; i++) {
		xen_pfn_t first = step_block(&from), all[PAGES_BLOCK];

		if (xc_domain_populate_physmap(xen_calls(xen), domid, 1, BLOCK_ORDER, 0, &first) ==
		    1)
			continue;
		for (size_t page = 0; page < PAGES_BLOCK; page++)
			all[page] = first + page;
		if (xc_domain_populate_physmap_exact(xen_calls(xen), domid, PAGES_BLOCK, 0, 0, all))
			return xen_error(xen, ERROR_NOMEM, err, "no memory for domain %u", domid);
	}
	return 0;
}

/* What holds what */

/* Past the caches: nobody reads it soon. */
static void clear(uint8_t *to, size_t size)
{
#ifdef __SSE2__
	for (size_t at = 0; at < size; at += sizeof(__m128i))
		_mm_stream_si128((__m128i *)(void *)(to + at), _mm_setzero_si128());
	_mm_sfence();
#else
	memset(to, 0, size);
#endif
}

static bool fill_run(int image, uint8_t *to, const struct pages_run *run)
{
	size_t size = run->count * PAGES_SIZE;

	if (run->at)
		return whole_read(image, to, size, run->at);
	clear(to, size);
	return true;
}

/* One that is not would be told nowhere else. */
static bool all_mapped(const struct work *work)
{
	for (size_t i = 0; i < PAGES_BLOCK; i++)
		if (work->errors[i])
			return false;
	return true;
}

static uint8_t *map(struct work *work, uint64_t first)
{
	uint8_t *at = mmap(NULL, BLOCK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, work->privcmd, 0);
	privcmd_mmapbatch_v2_t batch = { .num = PAGES_BLOCK,
					 .dom = work->domid,
					 .addr = (uintptr_t)at,
					 .arr = work->frames,
					 .err = work->errors };

	if (at == MAP_FAILED)
		return NULL;
	for (size_t i = 0; i < PAGES_BLOCK; i++)
		work->frames[i] = first + i;
	if (ioctl(work->privcmd, IOCTL_PRIVCMD_MMAPBATCH_V2, &batch) == 0 && all_mapped(work))
		return at;
	munmap(at, BLOCK_SIZE);
	return NULL;
}

/* Nothing but system calls: it may be the child of a process that has threads. */
static bool fill(struct work *work, bool child)
{
	struct cursor cursor = work->from;

	for (size_t i = 0; i < work->blocks; i++) {
		struct pages_run run = step(&cursor, PAGES_BLOCK);
		uint64_t done = run.count;
		uint8_t *at = map(work, run.gfn);
		bool filled = at && fill_run(work->image, at, &run);

		while (filled && done < PAGES_BLOCK) {
			run = step(&cursor, PAGES_BLOCK - done);
			filled = fill_run(work->image, at + done * PAGES_SIZE, &run);
			done += run.count;
		}
		if (at && !child)
			munmap(at, BLOCK_SIZE);
		if (!filled)
			return false;
	}
	return true;
}

/*
 * In a child, for how it ends: page tables of a process that is no more are given up as a whole,
 * while a pv dom0's munmap has Xen emulate a write for each page, which costs as much as to map it.
 */
static bool fill_apart(struct work *work)
{
	pid_t pid = fork(), ended;
	int status;

	if (pid < 0)
		return fill(work, false);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(fill(work, true) ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	do
		ended = waitpid(pid, &status, 0);
	while (ended < 0 && errno == EINTR);
	return ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

static size_t blocks_of(const struct pages *pages)
{
	uint64_t all = 0;

	for (size_t i = 0; i < pages->count; i++)
		all += pages->runs[i].count;
	return all / PAGES_BLOCK;
}

int load_pages(struct xen *xen, uint32_t domid, int image, const struct pages *pages,
	       struct error *err)
{
	cleanup_close int privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
	cleanup_free struct work *work = calloc(1, sizeof *work);
	struct cursor cursor = { .run = pages->runs };
	size_t left = blocks_of(pages);

	if (!work)
		abort();
	if (privcmd < 0 || !xen_calls(xen))
		return error_errno(err, "cannot reach Xen to fill domain %u", domid);
	*work = (struct work){ .privcmd = privcmd, .image = image, .domid = (domid_t)domid };
	while (left) {
		work->from = cursor;
		work->blocks = left < BATCH ? left : BATCH;
		if (populate(xen, domid, cursor, work->blocks, err) < 0)
			return -1;
		if (!fill_apart(work))
			return error_set(err, ERROR_SYSTEM,
					 "cannot fill domain %u from its suspend image", domid);
		left -= work->blocks;
		for (size_t i = 0; i < work->blocks; i++)
			step_block(&cursor);
	}
	return 0;
}
