#include "base/stream.h"

#include <errno.h>
#include <libxenvchan.h>
#include <sys/socket.h>
#include <unistd.h>

int stream_read(const struct stream *stream, void *data, size_t size)
{
	ssize_t r;

	if (stream->vchan) {
		r = libxenvchan_read(stream->vchan, data, size);
		return r > 0 ? (int)r : r == 0 && libxenvchan_is_open(stream->vchan) == 1 ? 0 : -1;
	}
	r = recv(stream->fd, data, size, MSG_DONTWAIT);
	return r > 0 ? (int)r : r < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

int stream_write(const struct stream *stream, const void *data, size_t size)
{
	ssize_t r;

	if (stream->vchan)
		return libxenvchan_write(stream->vchan, data, size);
	r = send(stream->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	return r >= 0 ? (int)r : errno == EAGAIN || errno == EINTR ? 0 : -1;
}

void stream_close(struct stream *stream)
{
	if (stream->vchan)
		libxenvchan_close(stream->vchan);
	stream->vchan = NULL;
	if (stream->fd >= 0)
		close(stream->fd);
	stream->fd = -1;
}
