#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/log.h"

void notify_manager(const char *state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t length = path ? strlen(path) : 0;
	cleanup_close int fd = -1;

	if (length == 0)
		return;
	if ((*path != '/' && *path != '@') || length >= sizeof address.sun_path) {
		log_warning("NOTIFY_SOCKET: \"%s\": expected a path or '@' and a name, at most %zu "
			    "bytes; the service manager is told nothing",
			    path, sizeof address.sun_path - 1);
		return;
	}
	memcpy(address.sun_path, path, length);
	if (*path == '@')
		address.sun_path[0] = '\0'; /* Linux's abstract sockets */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
		log_warning("telling the service manager %s: %s", state, strerror(errno));
}
