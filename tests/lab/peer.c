/*
 * An original Synjitsu, as far as jitsud can tell: it serves a vchan for domain 0 at the original's
 * place and prints each record of 10 bytes with the time. `peer stall`: it never reads, and its
 * ring holds 1 KiB.
 */
#include <libxenvchan.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PLACE  "/local/domain/0/data/vchan/0/synjitsu"
#define RECORD 10
#define RING   1024

static bool read_all(struct libxenvchan *vchan, uint8_t *record)
{
	size_t done = 0;

	while (done < RECORD) {
		int r = libxenvchan_read(vchan, record + done, RECORD - done);

		if (r <= 0)
			return false;
		done += (size_t)r;
	}
	return true;
}

int main(int argc, char **argv)
{
	uint8_t record[RECORD];
	struct timespec now;
	struct libxenvchan *vchan = libxenvchan_server_init(NULL, 0, PLACE, RING, RING);

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!vchan) {
		perror(PLACE);
		return 1;
	}
	vchan->blocking = 1;
	vchan->server_persist = 1;
	puts("serves");
	if (argc > 1 && strcmp(argv[1], "stall") == 0)
		for (;;)
			pause();
	while (read_all(vchan, record)) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		printf("%lld.%09ld ", (long long)now.tv_sec, now.tv_nsec);
		for (int i = 0; i < RECORD; i++)
			printf("%02x", record[i]);
		putchar('\n');
	}
	return 0;
}
