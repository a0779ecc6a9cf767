/* The index of a suspend image's pages, on streams made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "toolstack/libxl/pages.h"

#define TAIL	   16
#define NONE	   0xf000000000000000ull
#define PINNED	   0x9000000000000000ull
#define KINDS	   3
#define RECORD_MAX 1024

enum { PV = 1, HVM };
enum { INNER_END, INNER_PAGES, INNER_PARAMS = 10, INNER_VERIFY = 13 };

static int file(void)
{
	char path[] = "/tmp/test_pages.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

static void put(int fd, const void *p, size_t size)
{
	assert_int_equal(write(fd, p, size), size);
}

static void record(int fd, uint32_t type, const void *body, uint32_t length)
{
	static const uint8_t padding[8];

	put(fd, &type, sizeof type);
	put(fd, &length, sizeof length);
	put(fd, body, length);
	put(fd, padding, (8 - length % 8) % 8);
}

static void begin(int fd, uint32_t kind)
{
	struct {
		char magic[8];
		uint32_t version, options;
	} outer = { .version = htonl(2) };
	struct {
		uint64_t marker;
		char id[4];
		uint32_t version, options[2], kind;
		uint16_t shift, zero;
		uint32_t xen[2];
	} inner = { .marker = UINT64_MAX, .version = htonl(3), .kind = kind, .shift = 12 };

	memcpy(outer.magic, "LibxlFmt", 8);
	memcpy(inner.id, "XENF", 4);
	put(fd, &outer, sizeof outer);
	record(fd, 1, "", 0);
	put(fd, &inner, sizeof inner);
	record(fd, 0x11, "of the processor", 16);
}

static void end(int fd)
{
	record(fd, INNER_PARAMS, "five and", 5);
	record(fd, INNER_END, "", 0);
	record(fd, 0, "", 0);
}

/* Every KINDS-th page is zeros. */
static void make_page(uint8_t page[PAGES_SIZE], uint64_t gfn)
{
	memset(page, 0, PAGES_SIZE);
	if (gfn % KINDS)
		memcpy(page + (gfn * 8) % PAGES_SIZE, &gfn, sizeof gfn);
}

static void pages(int fd, uint64_t first, uint64_t count, uint64_t type)
{
	static uint64_t body[1 + RECORD_MAX + RECORD_MAX * PAGES_SIZE / 8];
	size_t words = 1 + count;

	body[0] = count;
	for (uint64_t i = 0; i < count; i++) {
		body[1 + i] = (first + i) | type;
		if (type != NONE) {
			make_page((uint8_t *)&body[words], first + i);
			words += PAGES_SIZE / sizeof *body;
		}
	}
	record(fd, INNER_PAGES, body, (uint32_t)(words * sizeof *body));
}

static off_t size_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_size;
}

static uint8_t *content(int fd, off_t from, off_t size)
{
	uint8_t *all = malloc((size_t)size + 1);

	assert_non_null(all);
	assert_int_equal(pread(fd, all, (size_t)size, from), size);
	return all;
}

/* Three blocks and a bit before and behind them, a hole, another block, single pages. */
static int whole(void)
{
	int fd = file();

	begin(fd, HVM);
	pages(fd, 500, 1000, 0);
	pages(fd, 1500, 600, 0);
	pages(fd, 2100, 1024, NONE);
	pages(fd, 4096, 512, 0);
	pages(fd, 8191, 1, 0);
	pages(fd, 9000, 1024, NONE);
	pages(fd, 0xfeffc, 3, 0);
	end(fd);
	return fd;
}

static const struct {
	uint64_t first, count;
} blocks[] = { { 512, 1536 }, { 4096, 512 } };

static int indexed(void)
{
	struct error err;
	int fd = whole();

	if (pages_index(fd, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(lseek(fd, 0, SEEK_END), size_of(fd));
	put(fd, "sixteen of ours.", TAIL);
	return fd;
}

static void test_where_pages_are(void **state)
{
	struct pages found;
	struct error err;
	int fd = indexed();
	uint64_t at = blocks[0].first;
	size_t block = 0;

	(void)state;
	assert_int_equal(pages_open(fd, TAIL, &found, &err), 0);
	assert_true(found.count > 0);
	for (size_t i = 0; i < found.count; i++) {
		const struct pages_run *run = &found.runs[i];

		for (uint64_t j = 0; j < run->count; j++, at++) {
			uint8_t expected[PAGES_SIZE];

			if (at == blocks[block].first + blocks[block].count)
				at = blocks[++block].first;
			assert_int_equal(run->gfn + j, at);
			make_page(expected, at);
			assert_int_equal(run->at == 0, at % KINDS == 0);
			if (run->at) {
				uint8_t *page =
					content(fd, (off_t)(run->at + j * PAGES_SIZE), PAGES_SIZE);

				assert_memory_equal(page, expected, PAGES_SIZE);
				free(page);
			}
		}
	}
	assert_int_equal(block, 1);
	assert_int_equal(at, 4096 + 512);
	pages_release(&found);
	close(fd);
}

/* A record for each that is all zeros, or not. */
static void runs(int fd, uint64_t first, uint64_t end)
{
	for (uint64_t count; first < end; first += count) {
		count = first % KINDS ? KINDS - first % KINDS : 1;
		if (count > end - first)
			count = end - first;
		pages(fd, first, count, 0);
	}
}

/* The long one is untouched, the short one has the rest of the pages, and nothing of those that the
 * domain has not got. */
static void test_streams(void **state)
{
	struct pages found;
	struct error err;
	int before = whole(), fd = indexed(), expected = file();
	uint8_t *one, *two;

	(void)state;
	one = content(before, 0, size_of(before));
	two = content(fd, 0, size_of(before));
	assert_memory_equal(one, two, (size_t)size_of(before));
	free(one);
	free(two);

	begin(expected, HVM);
	runs(expected, 500, 512);
	runs(expected, 2048, 2100);
	runs(expected, 8191, 8192);
	runs(expected, 0xfeffc, 0xfefff);
	end(expected);
	assert_int_equal(pages_open(fd, TAIL, &found, &err), 0);
	one = content(expected, 0, size_of(expected));
	two = content(fd, found.head, size_of(expected));
	assert_memory_equal(one, two, (size_t)size_of(expected));
	free(one);
	free(two);
	pages_release(&found);
	close(before);
	close(fd);
	close(expected);
}

static void refused(int fd)
{
	struct pages found;
	struct error err;
	off_t size = size_of(fd);

	assert_int_equal(pages_index(fd, &err), -1);
	assert_int_equal(err.kind, ERROR_SYSTEM);
	assert_int_equal(size_of(fd), size);
	lseek(fd, 0, SEEK_END);
	put(fd, "sixteen of ours.", TAIL);
	assert_int_equal(pages_open(fd, TAIL, &found, &err), 0);
	assert_int_equal(found.count, 0);
	close(fd);
}

static void test_other_streams(void **state)
{
	int fd = file();

	(void)state;
	refused(fd); /* nothing */
	fd = file();
	begin(fd, PV);
	pages(fd, 0, 1024, 0);
	end(fd);
	refused(fd);
	fd = file(); /* a page table */
	begin(fd, HVM);
	pages(fd, 0, 1024, PINNED);
	end(fd);
	refused(fd);
	fd = file(); /* twice */
	begin(fd, HVM);
	pages(fd, 0, 1024, 0);
	pages(fd, 1023, 1, 0);
	end(fd);
	refused(fd);
	fd = file();
	begin(fd, HVM);
	pages(fd, 0, 1024, 0);
	record(fd, INNER_VERIFY, "", 0);
	end(fd);
	refused(fd);
	fd = file(); /* of a device model */
	begin(fd, HVM);
	pages(fd, 0, 1024, 0);
	record(fd, INNER_END, "", 0);
	record(fd, 3, "qemu", 4);
	record(fd, 0, "", 0);
	refused(fd);
	fd = whole();
	assert_int_equal(ftruncate(fd, size_of(fd) - 8), 0);
	refused(fd);
	fd = whole();
	put(fd, "more", 4);
	refused(fd);
}

static void damaged(int fd)
{
	struct pages found;
	struct error err;

	assert_int_equal(pages_open(fd, TAIL, &found, &err), -1);
	assert_int_equal(err.kind, ERROR_SYSTEM);
	assert_non_null(strstr(err.text, "damaged"));
	assert_int_equal(found.count, 0);
}

static void test_damaged(void **state)
{
	struct pages found;
	struct error err;
	int fd = indexed();
	off_t size = size_of(fd), half = size / 2, index;
	uint8_t *rest = content(fd, half + 5000, size - half - 5000);

	(void)state;
	/* A piece is missing. */
	assert_int_equal(pwrite(fd, rest, (size_t)(size - half - 5000), half), size - half - 5000);
	assert_int_equal(ftruncate(fd, size - 5000), 0);
	damaged(fd);
	close(fd);
	free(rest);
	/* Every byte of the index, but for the word that says there is one. */
	fd = indexed();
	assert_int_equal(pages_open(fd, TAIL, &found, &err), 0);
	index = size - TAIL - 40 - (off_t)(found.count * sizeof *found.runs);
	pages_release(&found);
	for (off_t at = index; at < size - TAIL; at += 7) {
		uint8_t was, is;

		if (at >= size - TAIL - 40 && at < size - TAIL - 32)
			continue;
		assert_int_equal(pread(fd, &was, 1, at), 1);
		is = was ^ 0x10;
		assert_int_equal(pwrite(fd, &is, 1, at), 1);
		damaged(fd);
		assert_int_equal(pwrite(fd, &was, 1, at), 1);
	}
	assert_int_equal(pages_open(fd, TAIL, &found, &err), 0);
	pages_release(&found);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_where_pages_are),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_other_streams),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
