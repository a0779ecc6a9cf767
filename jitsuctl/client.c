#include "jitsuctl/client.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

#define READ_SIZE	 (64u * 1024)
#define CONNECT_RETRY_MS 20

struct client {
	int fd;
	double timeout, deadline;
	int id;
	char *in; /* what came after the last line */
	size_t in_size, in_room;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Milliseconds for poll(), 0 when the time is over. */
static int left(const struct client *client)
{
	double ms = (client->deadline - now()) * 1000;

	return ms <= 0 ? 0 : ms > 1e9 ? 1000000000 : (int)ms + 1;
}

static enum status timed_out(const struct client *client, struct error *err)
{
	error_set(err, ERROR_BUSY, "the daemon did not answer within %g s (--timeout)",
		  client->timeout);
	return STATUS_FAILED;
}

static enum status gone(struct error *err)
{
	error_set(err, ERROR_SYSTEM, "the daemon went away before it answered");
	return STATUS_NO_DAEMON;
}

static enum status wait_for(struct client *client, short events, struct error *err)
{
	struct pollfd p = { .fd = client->fd, .events = events };
	int r;

	do {
		int ms = left(client);

		if (ms == 0)
			return timed_out(client, err);
		r = poll(&p, 1, ms);
	} while (r == 0 || (r < 0 && errno == EINTR));
	if (r < 0) {
		error_errno(err, "poll");
		return STATUS_FAILED;
	}
	return STATUS_DONE;
}

static enum status connect_to(struct client *client, const char *path, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof address.sun_path) {
		error_field(err, ERROR_INPUT, "socket", path,
			    "expected a path of at most %zu bytes", sizeof address.sun_path - 1);
		return STATUS_USAGE;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (client->fd < 0) {
		error_errno(err, "socket");
		return STATUS_FAILED;
	}
	while (connect(client->fd, (struct sockaddr *)&address, sizeof address) < 0) {
		/* A Unix socket whose queue is full cannot be waited for. */
		if (errno == EAGAIN && left(client)) {
			poll(NULL, 0, CONNECT_RETRY_MS);
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN)
			return timed_out(client, err);
		if (errno == EACCES || errno == EPERM) {
			error_set(err, ERROR_SYSTEM,
				  "%s: %s; it is for root and the socket's group", path,
				  strerror(errno));
			return STATUS_FAILED;
		}
		error_set(err, ERROR_SYSTEM, "%s: no daemon there: %s", path, strerror(errno));
		return STATUS_NO_DAEMON;
	}
	return STATUS_DONE;
}

enum status client_open(const char *path, double timeout, struct client **client, struct error *err)
{
	struct client *c = calloc(1, sizeof *c);
	enum status status;

	if (!c)
		abort();
	*c = (struct client){ .fd = -1, .timeout = timeout, .deadline = now() + timeout };
	status = connect_to(c, path, err);
	if (status == STATUS_DONE)
		*client = c;
	else
		client_free(c);
	return status;
}

void client_free(struct client *client)
{
	if (!client)
		return;
	if (client->fd >= 0)
		close(client->fd);
	free(client->in);
	free(client);
}

/* A daemon that closes early may have said why: a failure to send is left to the reader. */
static enum status send_all(struct client *client, const char *line, size_t size, struct error *err)
{
	while (size) {
		ssize_t r = send(client->fd, line, size, MSG_NOSIGNAL);

		if (r > 0) {
			line += r;
			size -= (size_t)r;
		} else if (errno == EAGAIN) {
			enum status status = wait_for(client, POLLOUT, err);

			if (status != STATUS_DONE)
				return status;
		} else if (errno != EINTR) {
			break;
		}
	}
	return STATUS_DONE;
}

/* The next line, without its newline, which the caller frees. */
static enum status read_line(struct client *client, char **line, size_t *size, struct error *err)
{
	size_t scanned = 0;

	for (;;) {
		char *newline =
			client->in ? memchr(client->in + scanned, '\n', client->in_size - scanned)
				   : NULL;
		enum status status;
		ssize_t r;

		if (newline) {
			char *rest = newline + 1;

			*size = (size_t)(newline - client->in);
			*line = strndup(client->in, *size);
			if (!*line)
				abort();
			client->in_size -= *size + 1;
			memmove(client->in, rest, client->in_size);
			return STATUS_DONE;
		}
		scanned = client->in_size;
		if (client->in_room - client->in_size < READ_SIZE) {
			client->in_room = 2 * client->in_room + READ_SIZE;
			client->in = realloc(client->in, client->in_room);
			if (!client->in)
				abort();
		}
		status = wait_for(client, POLLIN, err);
		if (status != STATUS_DONE)
			return status;
		r = recv(client->fd, client->in + client->in_size, READ_SIZE, 0);
		if (r == 0 || (r < 0 && errno != EAGAIN && errno != EINTR))
			return gone(err);
		if (r > 0)
			client->in_size += (size_t)r;
	}
}

/* Is it the answer to our request? An error without an id is taken for it, too: the daemon could
 * not read the request. */
static bool is_answer(struct json_object *response, int id, struct json_object **error)
{
	struct json_object *answered = NULL;
	bool has_id = json_object_object_get_ex(response, "id", &answered);

	*error = NULL;
	json_object_object_get_ex(response, "error", error);
	return has_id && (answered ? json_object_get_int(answered) == id : *error != NULL);
}

static enum status read_answer(struct client *client, struct json_object **result,
			       struct json_object **refusal, struct error *err)
{
	for (;;) {
		cleanup_free char *line = NULL;
		struct json_object *response = NULL, *error, *value = NULL;
		enum status status;
		size_t size;

		status = read_line(client, &line, &size, err);
		if (status != STATUS_DONE)
			return status;
		if (control_parse(line, size, &response, err) < 0 ||
		    !json_object_is_type(response, json_type_object)) {
			json_object_put(response);
			error_set(err, ERROR_SYSTEM, "what answers there is no jitsud");
			return STATUS_FAILED;
		}
		if (!is_answer(response, client->id, &error)) {
			json_object_put(response);
			continue;
		}
		if (error) {
			control_error_read(error, err);
			*refusal = json_object_get(error);
			json_object_put(response);
			return STATUS_FAILED;
		}
		json_object_object_get_ex(response, "result", &value);
		*result = json_object_get(value);
		json_object_put(response);
		if (*result)
			return STATUS_DONE;
		error_set(err, ERROR_SYSTEM, "the daemon's answer has neither result nor error");
		return STATUS_FAILED;
	}
}

enum status client_call(struct client *client, const char *method, struct json_object *params,
			struct json_object **result, struct json_object **refusal,
			struct error *err)
{
	struct json_object *id = json_object_new_int(++client->id);
	struct json_object *request = control_request(method, params, id);
	cleanup_free char *line = NULL;
	enum status status;
	size_t size;

	*result = *refusal = NULL;
	client->deadline = now() + client->timeout;
	line = control_line(request, &size);
	json_object_put(request);
	json_object_put(id);
	status = send_all(client, line, size, err);
	return status == STATUS_DONE ? read_answer(client, result, refusal, err) : status;
}

enum status client_next(struct client *client, struct json_object **event, struct error *err)
{
	client->deadline = INFINITY;
	for (;;) {
		cleanup_free char *line = NULL;
		struct json_object *message = NULL, *method, *params;
		enum status status;
		size_t size;

		status = read_line(client, &line, &size, err);
		if (status == STATUS_NO_DAEMON)
			error_set(err, ERROR_SYSTEM, "the daemon went away");
		if (status != STATUS_DONE)
			return status;
		if (control_parse(line, size, &message, err) == 0 &&
		    json_object_is_type(message, json_type_object) &&
		    json_object_object_get_ex(message, "method", &method) &&
		    json_object_is_type(method, json_type_string) &&
		    strcmp(json_object_get_string(method), "event") == 0 &&
		    json_object_object_get_ex(message, "params", &params)) {
			*event = json_object_get(params);
			json_object_put(message);
			return STATUS_DONE;
		}
		json_object_put(message);
	}
}
