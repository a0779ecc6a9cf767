/*
 * rpc SOCKET METHOD [PARAMS]: one JSON-RPC request to jitsud. Prints the milliseconds from request
 * to answer and, after a space, the answer. Ends with 1 if that is an error.
 */
#include "common.h"

#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX (16 * 1024 * 1024)

int main(int argc, char **argv)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	static char answer[ANSWER_MAX];
	uint64_t began, ended;
	size_t used = 0;
	char *request;
	int fd, size;

	if (argc < 3 || argc > 4)
		errx(2, "usage: rpc SOCKET METHOD [PARAMS]");
	if (strlen(argv[1]) >= sizeof un.sun_path)
		errx(2, "%s: too long for a socket", argv[1]);
	strcpy(un.sun_path, argv[1]);
	size = asprintf(&request, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\"%s%s}\n", argv[2],
			argc > 3 ? ",\"params\":" : "", argc > 3 ? argv[3] : "");
	if (size < 0)
		err(1, "memory");
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&un, sizeof un) < 0)
		err(1, "%s", argv[1]);

	began = now_ns();
	if (write(fd, request, (size_t)size) != size)
		err(1, "%s", argv[1]);
	while (used == 0 || answer[used - 1] != '\n') {
		ssize_t r = read(fd, answer + used, sizeof answer - 1 - used);

		if (r <= 0)
			errx(1, "%s: closed before the answer", argv[1]);
		used += (size_t)r;
	}
	ended = now_ns();
	answer[used] = '\0';
	printf("%.3f %s", (double)(ended - began) / 1e6, answer);
	return strstr(answer, "\"error\":{") || strstr(answer, "\"error\": {") ? 1 : 0;
}
