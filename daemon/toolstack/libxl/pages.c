#include "toolstack/libxl/pages.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/whole.h"

enum { OUTER_END, OUTER_LIBXC }; /* libxl's records */
enum { INNER_END, INNER_PAGES, INNER_VERIFY = 13, INNER_CHECKPOINT };

#define OUTER_BIG_ENDIAN 1u
#define INNER_VERSION	 3
#define INNER_HVM	 2
#define RECORD_MAX	 (64u * 1024 * 1024)
#define RECORD_PAGES	 512 /* of those that we write */
#define FRAME_MASK	 ((1ull << 52) - 1)
#define TYPE_SHIFT	 60
#define TYPE_NORMAL	 0x0ull
#define TYPE_NONE	 0xfull

struct record {
	uint32_t type, length;
};

struct outer {
	char magic[8];
	uint32_t version, options; /* big endian */
};

struct inner {
	uint8_t magic[8];
	char id[4];
	uint32_t version; /* big endian */
	uint16_t options; /* big endian */
	uint16_t zero[3];
	uint32_t type;
	uint16_t page_shift, zero2;
	uint32_t xen[2];
};

/* Behind the runs. */
struct footer {
	char magic[8];
	uint64_t head, index, runs, sum;
};

static const char magic[8] = "pages 1";

#define DAMAGED "the suspend image is damaged: its index does not fit it"

struct piece {
	off_t at;
	uint64_t size;
};

struct list {
	struct pages_run *v;
	size_t n, room;
};

struct scan {
	int fd;
	off_t at; /* of what is read next */
	struct piece *pieces;
	size_t piece_count, before; /* so many of them are before the first page */
	struct list runs;
	uint8_t *body;
	size_t body_room;
};

/* Behind what was written before. */
static bool append(int fd, const void *from, size_t size, off_t *at)
{
	if (!whole_write(fd, from, size, (uint64_t)*at))
		return false;
	*at += (off_t)size;
	return true;
}

static void add(struct list *list, uint64_t gfn, uint64_t count, uint64_t at)
{
	struct pages_run *last = list->n ? &list->v[list->n - 1] : NULL;

	if (last && last->gfn + last->count == gfn &&
	    (at ? last->at && last->at + last->count * PAGES_SIZE == at : !last->at)) {
		last->count += count;
		return;
	}
	if (list->n == list->room) {
		list->room = list->room ? 2 * list->room : 256;
		list->v = reallocarray(list->v, list->room, sizeof *list->v);
		if (!list->v)
			abort();
	}
	list->v[list->n++] = (struct pages_run){ gfn, count, at };
}

/* Reading: false if it is not what we know. */

static void keep(struct scan *scan, off_t at, uint64_t size)
{
	struct piece *last = scan->piece_count ? &scan->pieces[scan->piece_count - 1] : NULL;

	if (last && last->at + (off_t)last->size == at && scan->piece_count != scan->before) {
		last->size += size;
		return;
	}
	scan->pieces = reallocarray(scan->pieces, scan->piece_count + 1, sizeof *scan->pieces);
	if (!scan->pieces)
		abort();
	scan->pieces[scan->piece_count++] = (struct piece){ at, size };
}

static bool next_record(struct scan *scan, struct record *record, off_t *body)
{
	if (!whole_read(scan->fd, record, sizeof *record, scan->at) || record->length > RECORD_MAX)
		return false;
	*body = scan->at + (off_t)sizeof *record;
	scan->at = *body + (off_t)((record->length + 7u) & ~7u);
	return true;
}

static bool is_zero(const uint8_t page[PAGES_SIZE])
{
	const uint64_t *word = (const uint64_t *)(const void *)page;

	for (size_t i = 0; i < PAGES_SIZE / sizeof *word; i += 8)
		if (word[i] | word[i + 1] | word[i + 2] | word[i + 3] | word[i + 4] | word[i + 5] |
		    word[i + 6] | word[i + 7])
			return false;
	return true;
}

static bool read_body(struct scan *scan, const struct record *record, off_t body)
{
	if (record->length > scan->body_room) {
		free(scan->body);
		scan->body = malloc(record->length);
		if (!scan->body)
			abort();
		scan->body_room = record->length;
	}
	return whole_read(scan->fd, scan->body, record->length, body);
}

/* A count, as many frames with their types, the pages of those that have any. */
static bool read_pages(struct scan *scan, const struct record *record, off_t body)
{
	const uint64_t *frames;
	uint64_t count, at;

	if (record->length < sizeof *frames || !read_body(scan, record, body))
		return false;
	count = *(const uint32_t *)(const void *)scan->body;
	frames = (const uint64_t *)(const void *)scan->body + 1;
	at = (count + 1) * sizeof *frames;
	if (record->length < at)
		return false;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t type = frames[i] >> TYPE_SHIFT;

		if (type == TYPE_NONE)
			continue;
		if (type != TYPE_NORMAL || record->length < at + PAGES_SIZE)
			return false;
		add(&scan->runs, frames[i] & FRAME_MASK, 1,
		    is_zero(scan->body + at) ? 0 : (uint64_t)body + at);
		at += PAGES_SIZE;
	}
	return record->length == at;
}

static bool read_inner(struct scan *scan)
{
	static const uint8_t marker[8] = { 255, 255, 255, 255, 255, 255, 255, 255 };
	struct inner head;
	struct record record;
	off_t from = scan->at, body;

	if (!whole_read(scan->fd, &head, sizeof head, from) ||
	    memcmp(head.magic, marker, sizeof marker) != 0 || memcmp(head.id, "XENF", 4) != 0 ||
	    ntohl(head.version) != INNER_VERSION || head.options || head.type != INNER_HVM ||
	    head.page_shift != 12)
		return false;
	scan->at += (off_t)sizeof head;
	keep(scan, from, sizeof head);
	do {
		from = scan->at;
		if (!next_record(scan, &record, &body) || record.type == INNER_VERIFY ||
		    record.type == INNER_CHECKPOINT)
			return false;
		if (record.type != INNER_PAGES) {
			keep(scan, from, (uint64_t)(scan->at - from));
			continue;
		}
		if (!scan->before)
			scan->before = scan->piece_count;
		if (!read_pages(scan, &record, body))
			return false;
	} while (record.type != INNER_END);
	return scan->before;
}

static bool read_outer(struct scan *scan)
{
	struct outer head;
	struct record record;
	off_t from = 0, body;

	if (!whole_read(scan->fd, &head, sizeof head, 0) ||
	    memcmp(head.magic, "LibxlFmt", sizeof head.magic) != 0 || ntohl(head.version) != 2 ||
	    (ntohl(head.options) & OUTER_BIG_ENDIAN))
		return false;
	scan->at = sizeof head;
	keep(scan, 0, sizeof head);
	do {
		from = scan->at;
		if (!next_record(scan, &record, &body) ||
		    (record.type != OUTER_LIBXC && record.type != OUTER_END))
			return false;
		keep(scan, from, (uint64_t)(scan->at - from));
		if (record.type == OUTER_LIBXC && (scan->before || !read_inner(scan)))
			return false;
	} while (record.type != OUTER_END);
	return scan->before;
}

static int by_frame(const void *a, const void *b)
{
	uint64_t left = ((const struct pages_run *)a)->gfn,
		 right = ((const struct pages_run *)b)->gfn;

	return left < right ? -1 : left > right;
}

/* Of a run, the pages in [from, to). */
static void cut(struct list *to, const struct pages_run *run, uint64_t first, uint64_t end)
{
	uint64_t from = run->gfn > first ? run->gfn : first;

	if (end > run->gfn + run->count)
		end = run->gfn + run->count;
	if (from < end)
		add(to, from, end - from, run->at ? run->at + (from - run->gfn) * PAGES_SIZE : 0);
}

/* What makes up whole blocks, and the rest. False if a page is there twice. */
static bool part(struct list *all, struct list *blocks, struct list *rest)
{
	qsort(all->v, all->n, sizeof *all->v, by_frame);
	for (size_t i = 0, next; i < all->n; i = next) {
		uint64_t end = all->v[i].gfn + all->v[i].count, first, last;

		for (next = i + 1; next < all->n && all->v[next].gfn <= end; next++) {
			if (all->v[next].gfn < end)
				return false;
			end += all->v[next].count;
		}
		first = (all->v[i].gfn + PAGES_BLOCK - 1) / PAGES_BLOCK * PAGES_BLOCK;
		last = end / PAGES_BLOCK * PAGES_BLOCK;
		if (first > last)
			first = last = end;
		for (size_t j = i; j < next; j++) {
			cut(rest, &all->v[j], 0, first);
			cut(blocks, &all->v[j], first, last);
			cut(rest, &all->v[j], last, UINT64_MAX);
		}
	}
	return true;
}

/* Writing: false with errno. */

static bool copy(int fd, off_t from, uint64_t size, off_t *at)
{
	uint8_t buffer[16 * PAGES_SIZE];

	while (size) {
		size_t now = size < sizeof buffer ? (size_t)size : sizeof buffer;

		if (!whole_read(fd, buffer, now, from) || !append(fd, buffer, now, at))
			return false;
		from += (off_t)now;
		size -= now;
	}
	return true;
}

static bool write_run(int fd, const struct pages_run *run, off_t *at)
{
	static const uint8_t zeros[PAGES_SIZE];

	for (uint64_t done = 0, now; done < run->count; done += now) {
		struct record record = { .type = INNER_PAGES };
		uint64_t frames[RECORD_PAGES + 1];

		now = run->count - done < RECORD_PAGES ? run->count - done : RECORD_PAGES;
		record.length = (uint32_t)(sizeof *frames * (now + 1) + now * PAGES_SIZE);
		frames[0] = now;
		for (uint64_t i = 0; i < now; i++)
			frames[i + 1] = run->gfn + done + i;
		if (!append(fd, &record, sizeof record, at) ||
		    !append(fd, frames, sizeof *frames * (now + 1), at))
			return false;
		if (run->at &&
		    !copy(fd, (off_t)(run->at + done * PAGES_SIZE), now * PAGES_SIZE, at))
			return false;
		for (uint64_t i = 0; !run->at && i < now; i++)
			if (!append(fd, zeros, sizeof zeros, at))
				return false;
	}
	return true;
}

static bool write_head(const struct scan *scan, const struct list *rest, off_t *at)
{
	for (size_t i = 0; i < scan->piece_count; i++) {
		for (size_t j = 0; i == scan->before && j < rest->n; j++)
			if (!write_run(scan->fd, &rest->v[j], at))
				return false;
		if (!copy(scan->fd, scan->pieces[i].at, scan->pieces[i].size, at))
			return false;
	}
	return true;
}

/* FNV-1a, of whole words. */
static uint64_t sum_of(const struct pages_run *runs, const struct footer *footer)
{
	const uint64_t *words = (const uint64_t *)runs;
	uint64_t sum = 0xcbf29ce484222325;

	for (size_t i = 0; i < footer->runs * sizeof *runs / sizeof *words; i++)
		sum = (sum ^ words[i]) * 0x100000001b3;
	sum = (sum ^ footer->head) * 0x100000001b3;
	sum = (sum ^ footer->index) * 0x100000001b3;
	return sum;
}

static bool write_all(const struct scan *scan, const struct list *blocks, const struct list *rest)
{
	struct footer footer = { .head = (uint64_t)scan->at, .runs = blocks->n };
	off_t at = scan->at;

	memcpy(footer.magic, magic, sizeof magic);
	if (!write_head(scan, rest, &at))
		return false;
	footer.index = (uint64_t)at;
	footer.sum = sum_of(blocks->v, &footer);
	return append(scan->fd, blocks->v, blocks->n * sizeof *blocks->v, &at) &&
	       append(scan->fd, &footer, sizeof footer, &at);
}

int pages_index(int fd, struct error *err)
{
	struct scan scan = { .fd = fd };
	struct list blocks = { 0 }, rest = { 0 };
	struct stat st;
	int r = -1;

	if (fstat(fd, &st) < 0 || !read_outer(&scan) || scan.at != st.st_size ||
	    !part(&scan.runs, &blocks, &rest)) {
		error_set(err, ERROR_SYSTEM, "a stream that is not known at byte %lld",
			  (long long)scan.at);
	} else if (!write_all(&scan, &blocks, &rest)) {
		error_errno(err, "cannot write where its pages are");
		if (ftruncate(fd, scan.at) < 0)
			error_errno(err, "cannot cut it to what it was");
	} else {
		r = 0;
	}
	free(scan.pieces);
	free(scan.runs.v);
	free(scan.body);
	free(blocks.v);
	free(rest.v);
	return r;
}

/* Opening */

static bool good(const struct pages *pages, uint64_t end)
{
	uint64_t block = 0, next = 0;

	for (size_t i = 0; i < pages->count; i++) {
		const struct pages_run *run = &pages->runs[i];

		if (!run->count || run->count > end || run->gfn > FRAME_MASK || run->at > end ||
		    (run->at && run->at + run->count * PAGES_SIZE > end))
			return false;
		if (block % PAGES_BLOCK ? run->gfn != next
					: run->gfn % PAGES_BLOCK || run->gfn < next)
			return false;
		block += run->count;
		next = run->gfn + run->count;
	}
	return block % PAGES_BLOCK == 0;
}

int pages_open(int fd, size_t tail, struct pages *out, struct error *err)
{
	struct footer footer;
	struct pages pages = { 0 };
	struct stat st;
	off_t end;

	*out = pages;
	if (fstat(fd, &st) < 0)
		return error_errno(err, "cannot read the suspend image");
	end = st.st_size - (off_t)(tail + sizeof footer);
	if (end < 0 || !whole_read(fd, &footer, sizeof footer, end) ||
	    memcmp(footer.magic, magic, sizeof magic) != 0)
		return 0;
	if (footer.index > (uint64_t)end || footer.head > footer.index ||
	    ((uint64_t)end - footer.index) / sizeof *pages.runs != footer.runs ||
	    ((uint64_t)end - footer.index) % sizeof *pages.runs)
		return error_set(err, ERROR_SYSTEM, DAMAGED);
	pages.head = (off_t)footer.head;
	pages.count = footer.runs;
	pages.runs = calloc(pages.count + 1, sizeof *pages.runs);
	if (!pages.runs)
		abort();
	if (!whole_read(fd, pages.runs, pages.count * sizeof *pages.runs, (off_t)footer.index) ||
	    sum_of(pages.runs, &footer) != footer.sum || !good(&pages, footer.head)) {
		free(pages.runs);
		return error_set(err, ERROR_SYSTEM, DAMAGED);
	}
	*out = pages;
	return 0;
}

void pages_release(struct pages *pages)
{
	free(pages->runs);
	*pages = (struct pages){ 0 };
}
