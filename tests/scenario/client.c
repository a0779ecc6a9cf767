#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <json-c/json.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "world.h"

#define HEADER	    12
#define TYPE_OPT    41
#define OPTION_EDE  15
#define UDP_PAYLOAD 1232

/* A socket, and what came over it that nobody took: frames with two bytes of size each. */
struct stream {
	int fd;
	bool tcp;
	unsigned users;
	uint8_t *in;
	size_t size;
};

struct query {
	struct stream *stream;
	uint16_t id;
};

static const struct {
	const char *name;
	int type;
} types[] = {
	{ "A", 1 },    { "NS", 2 },    { "CNAME", 5 },	{ "SOA", 6 },
	{ "PTR", 12 }, { "MX", 15 },   { "TXT", 16 },	{ "AAAA", 28 },
	{ "SRV", 33 }, { "SVCB", 64 }, { "HTTPS", 65 }, { "ANY", 255 },
};

int client_type(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(types[i].name, name) == 0)
			return types[i].type;
	return -1;
}

const char *client_rcode(unsigned rcode)
{
	static const char *const names[] = { "NOERROR",	 "FORMERR", "SERVFAIL",
					     "NXDOMAIN", "NOTIMP",  "REFUSED" };

	return rcode < ARRAY_SIZE(names) ? names[rcode] : "RCODE?";
}

/* --- sockets --------------------------------------------------------------------------------- */

static int connected(int family, int type, const void *address, socklen_t size)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, address, size) < 0)
		world_die("connecting to the daemon");
	return fd;
}

/* Appends to *in what can be read now. False when the peer has closed. */
static bool read_more(int fd, uint8_t **in, size_t *size)
{
	for (;;) {
		uint8_t chunk[4096];
		ssize_t r = recv(fd, chunk, sizeof chunk, MSG_DONTWAIT);

		if (r <= 0)
			return r < 0 && errno == EAGAIN;
		*in = realloc(*in, *size + (size_t)r);
		if (!*in)
			world_die("realloc");
		memcpy(*in + *size, chunk, (size_t)r);
		*size += (size_t)r;
	}
}

static void fill(struct stream *stream)
{
	if (stream->tcp) {
		read_more(stream->fd, &stream->in, &stream->size);
		return;
	}
	for (;;) {
		uint8_t packet[65536];
		ssize_t r = recv(stream->fd, packet, sizeof packet, MSG_DONTWAIT);

		if (r < 0)
			return;
		stream->in = realloc(stream->in, stream->size + 2 + (size_t)r);
		if (!stream->in)
			world_die("realloc");
		stream->in[stream->size] = (uint8_t)(r >> 8);
		stream->in[stream->size + 1] = (uint8_t)r;
		memcpy(stream->in + stream->size + 2, packet, (size_t)r);
		stream->size += 2 + (size_t)r;
	}
}

/* --- asking ---------------------------------------------------------------------------------- */

static void put16(uint8_t **out, unsigned value)
{
	*(*out)++ = (uint8_t)(value >> 8);
	*(*out)++ = (uint8_t)value;
}

static void put_name(uint8_t **out, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");

		*(*out)++ = (uint8_t)n;
		memcpy(*out, name, n);
		*out += n;
		name += n + (name[n] == '.');
	}
	*(*out)++ = 0;
}

struct query *query_new(const struct sockaddr_in *server, const char *name, int type,
			const struct query_options *options)
{
	static uint16_t last_id;
	uint8_t packet[600], *out = packet + 2;
	struct query *query = calloc(1, sizeof *query);
	struct stream *stream = options->on ? options->on->stream : calloc(1, sizeof *stream);
	size_t skip = options->tcp ? 0 : 2, size;

	if (!query || !stream || strlen(name) > 400)
		world_die("making a query");
	if (!options->on) {
		stream->tcp = options->tcp;
		stream->fd = connected(AF_INET, options->tcp ? SOCK_STREAM : SOCK_DGRAM, server,
				       sizeof *server);
	}
	stream->users++;
	query->stream = stream;
	query->id = ++last_id;

	put16(&out, query->id);
	put16(&out, 0x0100); /* RD */
	put16(&out, 1);
	put16(&out, 0);
	put16(&out, 0);
	put16(&out, options->edns);
	put_name(&out, name);
	put16(&out, (unsigned)type);
	put16(&out, 1);
	if (options->edns) {
		*out++ = 0;
		put16(&out, TYPE_OPT);
		put16(&out, UDP_PAYLOAD);
		put16(&out, 0);
		put16(&out, 0);
		put16(&out, 0);
	}
	size = (size_t)(out - packet);
	packet[0] = (uint8_t)((size - 2) >> 8);
	packet[1] = (uint8_t)(size - 2);
	if (send(stream->fd, packet + skip, size - skip, MSG_NOSIGNAL) != (ssize_t)(size - skip) &&
	    !options->tcp)
		world_die("sending a query");
	return query;
}

void query_free(struct query *query)
{
	struct stream *stream = query->stream;

	if (--stream->users == 0) {
		close(stream->fd);
		free(stream->in);
		free(stream);
	}
	free(query);
}

/* --- reading an answer ----------------------------------------------------------------------- */

struct cursor {
	const uint8_t *data;
	size_t size, at;
	bool bad;
};

static unsigned get(struct cursor *c, unsigned bytes)
{
	unsigned value = 0;

	if (c->size - c->at < bytes) {
		c->bad = true;
		return 0;
	}
	while (bytes--)
		value = value << 8 | c->data[c->at++];
	return value;
}

static void skip(struct cursor *c, size_t bytes)
{
	if (c->size - c->at < bytes)
		c->bad = true;
	else
		c->at += bytes;
}

static void skip_name(struct cursor *c)
{
	while (!c->bad) {
		unsigned n = get(c, 1);

		if (n >= 0xc0) {
			skip(c, 1);
			return;
		}
		if (n == 0)
			return;
		skip(c, n);
	}
}

static void read_options(struct cursor *c, size_t size, struct answer *answer)
{
	size_t end = c->at + size;

	while (!c->bad && c->at < end) {
		unsigned code = get(c, 2), length = get(c, 2);

		if (code == OPTION_EDE && length >= 2 && c->size - c->at >= 2)
			answer->info_code = c->data[c->at] << 8 | c->data[c->at + 1];
		skip(c, length);
	}
	if (c->at != end)
		c->bad = true;
}

static void read_record(struct cursor *c, unsigned section, bool first, struct answer *answer)
{
	unsigned type, size;
	uint32_t ttl;
	int family;

	skip_name(c);
	type = get(c, 2);
	skip(c, 2);
	ttl = get(c, 4);
	size = get(c, 2);
	if (c->bad || c->size - c->at < size) {
		c->bad = true;
		return;
	}
	if (type == TYPE_OPT && section == 2) {
		answer->edns = true;
		read_options(c, size, answer);
		return;
	}
	if (first && (section == 0 || (section == 1 && answer->answers == 0)))
		answer->ttl = ttl;
	family = type == 1 && size == 4 ? AF_INET : type == 28 && size == 16 ? AF_INET6 : 0;
	if (section == 0 && family && answer->address_count < ANSWER_ADDRESSES_MAX)
		inet_ntop(family, c->data + c->at, answer->addresses[answer->address_count++],
			  sizeof answer->addresses[0]);
	skip(c, size);
}

static int read_answer(const uint8_t *data, size_t size, struct answer *answer, const char **why)
{
	struct cursor c = { .data = data, .size = size, .at = 2 };
	unsigned flags = get(&c, 2), questions = get(&c, 2), counts[3];

	for (unsigned i = 0; i < 3; i++)
		counts[i] = get(&c, 2);
	*answer = (struct answer){ .rcode = flags & 15,
				   .authoritative = flags & 0x0400,
				   .truncated = flags & 0x0200,
				   .answers = counts[0],
				   .authorities = counts[1],
				   .info_code = -1 };
	if (!(flags & 0x8000)) {
		*why = "it is a query, no answer";
		return -1;
	}
	if (questions != 1) {
		*why = "it does not repeat the question";
		return -1;
	}
	skip_name(&c);
	skip(&c, 4);
	for (unsigned section = 0; section < 3; section++)
		for (unsigned i = 0; i < counts[section] && !c.bad; i++)
			read_record(&c, section, i == 0, answer);
	if (c.bad || c.at != size) {
		*why = c.bad ? "it ends too early" : "bytes are left at its end";
		return -1;
	}
	return 1;
}

int query_answer(struct query *query, struct answer *answer, const char **why)
{
	struct stream *stream = query->stream;
	size_t at = 0;

	fill(stream);
	while (stream->size - at >= 2) {
		size_t size = (size_t)(stream->in[at] << 8 | stream->in[at + 1]);
		const uint8_t *data = stream->in + at + 2;
		int r;

		if (stream->size - at - 2 < size)
			return 0;
		if (size < HEADER) {
			*why = "it is shorter than a header";
			return -1;
		}
		if ((data[0] << 8 | data[1]) != query->id) {
			at += 2 + size;
			continue;
		}
		r = read_answer(data, size, answer, why);
		stream->size -= 2 + size;
		memmove(stream->in + at, stream->in + at + 2 + size, stream->size - at);
		return r;
	}
	return 0;
}

/* --- JSON-RPC -------------------------------------------------------------------------------- */

struct call {
	int fd;
	uint8_t *in;
	size_t size;
};

struct call *call_new(const struct sockaddr_un *server, const char *method, const char *params)
{
	struct json_object *request = json_object_new_object(), *object = NULL;
	struct call *call = calloc(1, sizeof *call);
	const char *text;

	if (!request || !call)
		world_die("making a request");
	if (params) {
		object = json_tokener_parse(params);
		if (!object) {
			json_object_put(request);
			free(call);
			return NULL;
		}
	}
	json_object_object_add(request, "jsonrpc", json_object_new_string("2.0"));
	json_object_object_add(request, "id", json_object_new_int(1));
	json_object_object_add(request, "method", json_object_new_string(method));
	if (object)
		json_object_object_add(request, "params", object);
	text = json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN);
	call->fd = connected(AF_UNIX, SOCK_STREAM, server, sizeof *server);
	if (send(call->fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text) ||
	    send(call->fd, "\n", 1, MSG_NOSIGNAL) != 1)
		world_die("sending a request");
	json_object_put(request);
	return call;
}

struct json_object *call_response(struct call *call, bool *closed)
{
	struct json_object *response;
	uint8_t *end;

	*closed = !read_more(call->fd, &call->in, &call->size);
	end = call->size ? memchr(call->in, '\n', call->size) : NULL;
	if (!end)
		return NULL;
	*end = '\0';
	response = json_tokener_parse((char *)call->in);
	call->size -= (size_t)(end + 1 - call->in);
	memmove(call->in, end + 1, call->size);
	return response;
}

void call_free(struct call *call)
{
	close(call->fd);
	free(call->in);
	free(call);
}
