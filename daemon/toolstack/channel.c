#include "toolstack/channel.h"

#include <ctype.h>
#include <libxenvchan.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <xen/xen.h>
#include <xenstore.h>

#include "base/error.h"
#include "base/loop.h"
#include "base/stream.h"
#include "proto/synjitsu.h"

#define UNIX	  "unix:"
#define PATH_SIZE 256

struct channel {
	struct channel_callbacks callbacks;
	void *arg;
	bool original;
	struct watch *watch;
	struct stream stream;
	struct xs_handle *xs; /* hears of domains that end */
	struct watch *xs_watch;
	uint32_t domid, own; /* the peer's, and ours */
};

int channel_check(const char *peer, struct error *err)
{
	if (!*peer || strcmp(peer, UNIX) == 0)
		return error_field(err, ERROR_INPUT, "synjitsu", peer,
				   "expected a domain's UUID, name or number");
	return 0;
}

/* --- UNIX socket --------------------------------------------------------------------------- */

static void on_unix(void *arg, unsigned events)
{
	struct channel *channel = arg;

	(void)events;
	channel->callbacks.moved(channel->arg);
}

static int open_unix(struct channel *channel, struct loop *loop, const char *path,
		     struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof address.sun_path)
		return error_field(err, ERROR_INPUT, "synjitsu", path, "expected a shorter path");
	memcpy(address.sun_path, path, strlen(path));
	channel->stream.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (channel->stream.fd < 0 ||
	    connect(channel->stream.fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
	    !(channel->watch = watch_new(loop, channel->stream.fd, WATCH_READ, on_unix, channel)))
		return error_errno(err, "%s", path);
	return 0;
}

/* --- vchan --------------------------------------------------------------------------------- */

static bool reads_as(struct xs_handle *xs, const char *path, const char *wanted, size_t skip)
{
	unsigned size;
	char *value = xs_read(xs, XBT_NULL, path, &size);
	bool same = value && size > skip && strcmp(value + skip, wanted) == 0;

	free(value);
	return same;
}

/* By number; else by its name; else by its UUID, which is in the path of its /vm. 0 or -1. */
static int find_domain(struct xs_handle *xs, const char *peer, uint32_t *domid)
{
	char path[PATH_SIZE], **domains, *end;
	unsigned count;
	unsigned long number = strtoul(peer, &end, 10);
	int r = -1;

	if (isdigit((unsigned char)*peer) && !*end && number < DOMID_FIRST_RESERVED) {
		*domid = (uint32_t)number;
		return 0;
	}
	domains = xs_directory(xs, XBT_NULL, "/local/domain", &count);
	for (unsigned i = 0; domains && r < 0 && i < count; i++) {
		snprintf(path, sizeof path, "/local/domain/%s/name", domains[i]);
		if (!reads_as(xs, path, peer, 0)) {
			snprintf(path, sizeof path, "/local/domain/%s/vm", domains[i]);
			if (!reads_as(xs, path, peer, strlen("/vm/")))
				continue;
		}
		*domid = (uint32_t)strtoul(domains[i], NULL, 10);
		r = 0;
	}
	free(domains);
	return r;
}

/* The domain that we run in: 0 where xenstore does not say. */
static uint32_t own_domain(struct xs_handle *xs)
{
	unsigned size;
	char *value = xs_read(xs, XBT_NULL, "domid", &size);
	uint32_t domid = value ? (uint32_t)strtoul(value, NULL, 10) : 0;

	free(value);
	return domid;
}

static void on_vchan(void *arg, unsigned events)
{
	struct channel *channel = arg;

	(void)events;
	libxenvchan_wait(channel->stream.vchan);
	channel->callbacks.moved(channel->arg);
}

/* No event comes on the vchan when the peer's domain is destroyed, and while it is mapped here
 * that domain cannot go. */
static void on_xenstore(void *arg, unsigned events)
{
	struct channel *channel = arg;
	bool news = false;
	char **watched;

	(void)events;
	while ((watched = xs_check_watch(channel->xs))) {
		news = true;
		free(watched);
	}
	if (news && channel->domid && !xs_is_domain_introduced(channel->xs, channel->domid))
		channel->callbacks.closed(channel->arg);
}

static int open_vchan(struct channel *channel, struct loop *loop, const char *peer,
		      struct error *err)
{
	char path[PATH_SIZE], version[PATH_SIZE + 16];
	unsigned size;
	char *value;

	channel->xs = xs_open(0);
	if (!channel->xs)
		return error_errno(err, "cannot reach xenstore");
	if (find_domain(channel->xs, peer, &channel->domid) < 0)
		return error_set(err, ERROR_ABSENT, "there is no domain \"%s\"", peer);
	channel->own = own_domain(channel->xs);
	snprintf(path, sizeof path, "/local/domain/%u/data/vchan/%u/" SYNJITSU_PORT, channel->domid,
		 channel->own);
	snprintf(version, sizeof version, "%s/%s", path, SYNJITSU_VERSION_NODE);
	value = xs_read(channel->xs, XBT_NULL, version, &size);
	channel->original = !value;
	free(value);
	channel->stream.vchan = libxenvchan_client_init(NULL, (int)channel->domid, path);
	if (!channel->stream.vchan)
		return error_set(err, ERROR_ABSENT, "domain %u serves no vchan at %s",
				 channel->domid, path);
	/* libxenvchan leaves both as they are. */
	channel->stream.vchan->blocking = 0;
	channel->stream.vchan->server_persist = 0;
	channel->watch = watch_new(loop, libxenvchan_fd_for_select(channel->stream.vchan),
				   WATCH_READ, on_vchan, channel);
	if (!xs_watch(channel->xs, "@releaseDomain", "") ||
	    !(channel->xs_watch =
		      watch_new(loop, xs_fileno(channel->xs), WATCH_READ, on_xenstore, channel)) ||
	    !channel->watch)
		return error_errno(err, "cannot watch domain %u", channel->domid);
	return 0;
}

/* --- either -------------------------------------------------------------------------------- */

struct channel *channel_open(struct loop *loop, const char *peer,
			     const struct channel_callbacks *callbacks, void *arg,
			     struct error *err)
{
	struct channel *channel = calloc(1, sizeof *channel);
	int r;

	if (!channel) {
		error_errno(err, "no memory");
		return NULL;
	}
	channel->callbacks = *callbacks;
	channel->arg = arg;
	channel->stream.fd = -1;
	if (strncmp(peer, UNIX, strlen(UNIX)) == 0)
		r = open_unix(channel, loop, peer + strlen(UNIX), err);
	else
		r = open_vchan(channel, loop, peer, err);
	if (r == 0)
		return channel;
	channel_close(channel);
	return NULL;
}

void channel_close(struct channel *channel)
{
	if (!channel)
		return;
	watch_free(channel->watch);
	watch_free(channel->xs_watch);
	stream_close(&channel->stream);
	if (channel->xs)
		xs_close(channel->xs);
	free(channel);
}

int64_t channel_domid(const struct channel *channel)
{
	return channel->domid != channel->own ? (int64_t)channel->domid : -1;
}

bool channel_is_original(const struct channel *channel)
{
	return channel->original;
}

int channel_read(struct channel *channel, void *data, size_t size)
{
	return stream_read(&channel->stream, data, size);
}

int channel_write(struct channel *channel, const void *data, size_t size)
{
	return stream_write(&channel->stream, data, size);
}
