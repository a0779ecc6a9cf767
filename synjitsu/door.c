#include "door.h"

#include <libxenvchan.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xenstore.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/named.h"
#include "base/stream.h"

#define BACKLOG		  4
#define RING_SIZE	  16384 /* bytes each way */
#define QUEUE_MAX	  65536 /* for a peer that does not read */
#define RETRY_USEC	  USEC_PER_SEC
#define DRAIN_USEC	  (10 * USEC_PER_MSEC)
#define XENSTORE_PATH_MAX 256

struct door {
	struct loop *loop;
	struct door_callbacks callbacks;
	void *arg;
	bool connected;
	uint8_t in[2 * SYNJITSU_MAX], out[QUEUE_MAX];
	size_t in_size, out_size;
	struct watch *watch; /* of the peer */
	struct timer *retry; /* opens the vchan again; or sends what its ring had no room for */
	struct stream stream;
	uint32_t client; /* of the vchan */
	int listening;	 /* UNIX socket */
	struct watch *listen_watch;
};

static void hang_up(struct door *door);
static void on_retry(void *arg);

static struct door *door_new(struct loop *loop, const struct door_callbacks *callbacks, void *arg)
{
	struct door *door = calloc(1, sizeof *door);

	if (!door)
		return NULL;
	door->loop = loop;
	door->callbacks = *callbacks;
	door->arg = arg;
	door->listening = door->stream.fd = -1;
	door->retry = timer_new(loop, on_retry, door);
	if (door->retry)
		return door;
	free(door);
	return NULL;
}

/* --- both ---------------------------------------------------------------------------------- */

static void flush(struct door *door)
{
	while (door->out_size) {
		int r = stream_write(&door->stream, door->out, door->out_size);

		if (r < 0) {
			hang_up(door);
			return;
		}
		if (r == 0) {
			timer_set(door->retry, DRAIN_USEC);
			return;
		}
		door->out_size -= (size_t)r;
		memmove(door->out, door->out + r, door->out_size);
	}
}

void door_send(struct door *door, const uint8_t *message, size_t size)
{
	if (!door->connected || size > QUEUE_MAX - door->out_size)
		return;
	memcpy(door->out + door->out_size, message, size);
	door->out_size += size;
	flush(door);
}

static void say_hello(struct door *door)
{
	uint8_t message[SYNJITSU_MAX];
	struct synjitsu_hello hello = { .magic = SYNJITSU_MAGIC, .version = SYNJITSU_VERSION };

	log_info("jitsud is connected");
	door->connected = true;
	door_send(door, message, synjitsu_pack_hello(message, sizeof message, &hello));
}

/* -1 if the peer is not to be read further. */
static int take_messages(struct door *door)
{
	size_t done = 0;
	struct error err;
	int r;

	while ((r = synjitsu_dispatch(door->in + done, door->in_size - done,
				      door->callbacks.handlers, door->arg, &err)) > 0)
		done += (size_t)r;
	door->in_size -= done;
	memmove(door->in, door->in + done, door->in_size);
	if (r < 0)
		log_error("jitsud: %s", err.text);
	return r;
}

static void read_all(struct door *door)
{
	int r;

	while ((r = stream_read(&door->stream, door->in + door->in_size,
				sizeof door->in - door->in_size)) > 0) {
		door->in_size += (size_t)r;
		if (take_messages(door) < 0) {
			r = -1;
			break;
		}
	}
	if (r < 0)
		hang_up(door);
}

/* --- vchan --------------------------------------------------------------------------------- */

/* Where jitsud looks, and the node that tells it that an original would not be there. */
static int announce(char path[XENSTORE_PATH_MAX], uint32_t client)
{
	struct xs_handle *xs = xs_open(0);
	struct xs_permissions permissions[2] = { { .perms = XS_PERM_NONE },
						 { .id = client, .perms = XS_PERM_READ } };
	char node[XENSTORE_PATH_MAX + 16], version[8];
	unsigned size;
	char *own;
	int r = -1;

	if (!xs)
		return -1;
	/* Domain 0 may have no domid to read. */
	own = xs_read(xs, XBT_NULL, "domid", &size);
	permissions[0].id = own ? (unsigned)atoi(own) : 0;
	free(own);
	snprintf(path, XENSTORE_PATH_MAX, "/local/domain/%u/data/vchan/%u/" SYNJITSU_PORT,
		 permissions[0].id, client);
	snprintf(node, sizeof node, "%s/%s", path, SYNJITSU_VERSION_NODE);
	snprintf(version, sizeof version, "%d", SYNJITSU_VERSION);
	if (xs_write(xs, XBT_NULL, node, version, (unsigned)strlen(version)) &&
	    xs_set_permissions(xs, XBT_NULL, node, permissions, 2))
		r = 0;
	xs_close(xs);
	return r;
}

static void on_vchan(void *arg, unsigned events)
{
	struct door *door = arg;
	int open;

	(void)events;
	libxenvchan_wait(door->stream.vchan);
	open = libxenvchan_is_open(door->stream.vchan);
	if (open == 1 && !door->connected)
		say_hello(door);
	if (!door->stream.vchan || (open == 2 && !door->connected))
		return;
	read_all(door);
	if (door->stream.vchan)
		flush(door);
}

static int serve_vchan(struct door *door, struct error *err)
{
	char path[XENSTORE_PATH_MAX];

	if (announce(path, door->client) < 0)
		return error_errno(err, "cannot write to xenstore");
	door->stream.vchan =
		libxenvchan_server_init(NULL, (int)door->client, path, RING_SIZE, RING_SIZE);
	if (!door->stream.vchan)
		return error_errno(err, "cannot serve a vchan at %s", path);
	door->stream.vchan->blocking = 0;
	door->watch = watch_new(door->loop, libxenvchan_fd_for_select(door->stream.vchan),
				WATCH_READ, on_vchan, door);
	if (!door->watch)
		return error_errno(err, "cannot watch a vchan");
	return 0;
}

/* What the peer has left in the rings must not meet its successor: they are made anew. */
static void on_retry(void *arg)
{
	struct door *door = arg;
	struct error err;

	if (door->connected) {
		flush(door);
		return;
	}
	if (door->listening >= 0 || door->stream.vchan)
		return;
	if (serve_vchan(door, &err) == 0)
		return;
	log_error("%s", err.text);
	timer_set(door->retry, RETRY_USEC);
}

struct door *door_open_vchan(struct loop *loop, uint32_t client,
			     const struct door_callbacks *callbacks, void *arg, struct error *err)
{
	struct door *door = door_new(loop, callbacks, arg);

	if (!door) {
		error_errno(err, "vchan");
		return NULL;
	}
	door->client = client;
	if (serve_vchan(door, err) == 0)
		return door;
	door_close(door);
	return NULL;
}

/* --- UNIX socket --------------------------------------------------------------------------- */

static void on_unix(void *arg, unsigned events)
{
	(void)events;
	read_all(arg);
}

static void on_connection(void *arg, unsigned events)
{
	struct door *door = arg;
	int fd = accept4(door->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	hang_up(door);
	door->stream.fd = fd;
	door->watch = watch_new(door->loop, fd, WATCH_READ, on_unix, door);
	if (door->watch)
		say_hello(door);
	else
		hang_up(door);
}

struct door *door_open_unix(struct loop *loop, const char *path,
			    const struct door_callbacks *callbacks, void *arg, struct error *err)
{
	struct door *door = door_new(loop, callbacks, arg);

	if (!door)
		abort();
	door->listening = named_listen(path, 0600, BACKLOG, "--unix", err);
	if (door->listening < 0) {
		door_close(door);
		return NULL;
	}
	door->listen_watch = watch_new(loop, door->listening, WATCH_READ, on_connection, door);
	if (!door->listen_watch)
		abort();
	return door;
}

/* --- the end ------------------------------------------------------------------------------- */

static void hang_up(struct door *door)
{
	bool connected = door->connected;

	watch_free(door->watch);
	door->watch = NULL;
	stream_close(&door->stream);
	door->connected = false;
	door->in_size = door->out_size = 0;
	if (door->listening < 0)
		timer_set(door->retry, 0);
	if (connected) {
		log_warning("jitsud is gone");
		door->callbacks.closed(door->arg);
	}
}

void door_close(struct door *door)
{
	if (!door)
		return;
	watch_free(door->watch);
	watch_free(door->listen_watch);
	timer_free(door->retry);
	stream_close(&door->stream);
	if (door->listening >= 0)
		close(door->listening);
	free(door);
}
