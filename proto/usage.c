#include "proto/usage.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

_Static_assert(sizeof(struct usage_counters) <= 4096, "the counters have a page");

int usage_create(void)
{
	int fd = memfd_create("jitsu-usage", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)USAGE_BYTES) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

struct usage *usage_map(int fd)
{
	void *map = mmap(NULL, USAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return map == MAP_FAILED ? NULL : map;
}

void usage_clear_from(struct usage *usage, uint32_t slot)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t end = (uintptr_t)(usage + USAGE_SLOTS) & ~(page - 1);

	for (; slot < USAGE_SLOTS && (uintptr_t)(usage + slot) & (page - 1); slot++)
		usage_clear(&usage[slot]);
	if ((uintptr_t)(usage + slot) < end &&
	    madvise(usage + slot, end - (uintptr_t)(usage + slot), MADV_REMOVE) == 0)
		slot = (uint32_t)((struct usage *)end - usage);
	for (; slot < USAGE_SLOTS; slot++) /* no page of its own, or no file behind it */
		usage_clear(&usage[slot]);
}
