/*
 * A suspend image that is restored faster. libxl writes one stream, and restoring it hands each
 * page of memory through three programs' buffers, into frames taken one by one. Behind the stream
 * we write a second, short one, without most of the pages, and where in the file these are: the
 * domain is restored from the short one, and its memory filled by load_pages. The first one stays
 * good for restoring without us.
 *
 * The streams: xen/docs/specs/libxl-migration-stream.pandoc, libxc-migration-stream.pandoc.
 */
#ifndef JITSU_TOOLSTACK_LIBXL_PAGES_H
#define JITSU_TOOLSTACK_LIBXL_PAGES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

#define PAGES_SIZE  4096
#define PAGES_BLOCK 512 /* pages of a 2 MiB page */

/* Pages of the guest that follow one another, in the file too. */
struct pages_run {
	uint64_t gfn, count;
	uint64_t at; /* in the file; 0: they hold nothing but zeros, which no file has for us */
};

/* By gfn; they make up whole blocks, each of them at a multiple of PAGES_BLOCK. */
struct pages {
	off_t head; /* of the short stream */
	size_t count;
	struct pages_run *runs; /* pages_release */
};

/* Adds to a file that holds nothing but the stream of an hvm or pvh domain without device model,
 * read from its beginning; its offset is not used, nor kept. 0; or -1 with an error, and the file
 * is as it was. */
int pages_index(int fd, struct error *err);

/* What was added, in a file that now has `tail` more bytes at its end. None (count is 0) is no
 * error; -1 with an error if the file is not as it was written. */
int pages_open(int fd, size_t tail, struct pages *out, struct error *err);
void pages_release(struct pages *pages);

#endif
