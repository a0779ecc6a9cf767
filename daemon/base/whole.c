#include "base/whole.h"

#include <errno.h>
#include <sys/types.h>
#include <unistd.h>

bool whole_read(int fd, void *to, size_t size, uint64_t at)
{
	uint8_t *p = to;

	while (size) {
		ssize_t r = at > INT64_MAX ? 0 : pread(fd, p, size, (off_t)at);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return false;
		p += r;
		at += (uint64_t)r;
		size -= (size_t)r;
	}
	return true;
}

bool whole_write(int fd, const void *from, size_t size, uint64_t at)
{
	const uint8_t *p = from;

	while (size) {
		ssize_t r = pwrite(fd, p, size, (off_t)at);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return false;
		p += r;
		at += (uint64_t)r;
		size -= (size_t)r;
	}
	return true;
}
