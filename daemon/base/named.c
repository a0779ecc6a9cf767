#include "base/named.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

bool named_fits(const char *path, const char *field, struct error *err)
{
	size_t room = sizeof((struct sockaddr_un *)NULL)->sun_path;

	if (*path && strlen(path) < room)
		return true;
	error_field(err, ERROR_INPUT, field, path, "expected a path of at most %zu bytes",
		    room - 1);
	return false;
}

/* Makes room for a new socket. */
static int clear(const struct sockaddr_un *address, int fd, const char *field, struct error *err)
{
	const char *path = address->sun_path;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : error_errno(err, "%s: \"%s\"", field, path);
	if (!S_ISSOCK(st.st_mode))
		return error_field(err, ERROR_CONFLICT, field, path,
				   "something else is there; expected a socket or nothing");
	/* EAGAIN: served by somebody who is busy. */
	if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN)
		return error_field(err, ERROR_CONFLICT, field, path,
				   "another daemon serves this socket");
	if (errno == ECONNREFUSED)
		unlink(path);
	return 0;
}

int named_listen(const char *path, mode_t mode, int backlog, const char *field, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask;
	int r;

	if (!named_fits(path, field, err))
		return -1;
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (fd < 0)
		return error_errno(err, "%s: \"%s\"", field, path);
	if (clear(&address, fd, field, err) < 0)
		return -1;
	mask = umask(~mode & 0777);
	r = bind(fd, (struct sockaddr *)&address, sizeof address);
	umask(mask);
	if (r < 0 || listen(fd, backlog) < 0)
		return error_errno(err, "%s: \"%s\": cannot listen", field, path);
	return TAKE_FD(fd);
}
