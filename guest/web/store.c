#include "store.h"

#include <xen/io/xs_wire.h>
#include "text.h"

static volatile struct xenstore_domain_interface *ring;
static evtchn_port_t port;
static uint32_t last_request;
static bool fired;

void store_open(void)
{
	ring = hyper_page(hyper_info()->store_mfn);
	port = hyper_info()->store_evtchn;
}

evtchn_port_t store_port(void)
{
	return port;
}

static void put(const void *data, size_t size)
{
	const char *from = data;

	for (size_t i = 0; i < size; i++) {
		while (ring->req_prod - ring->req_cons == XENSTORE_RING_SIZE) {
			hyper_notify(port);
			hyper_wait(&port, 1, HYPER_NEVER);
		}
		ring->req[MASK_XENSTORE_IDX(ring->req_prod)] = from[i];
		xen_wmb();
		ring->req_prod++;
	}
}

static void get(void *data, size_t size)
{
	char *to = data;

	for (size_t i = 0; i < size; i++) {
		while (ring->rsp_prod == ring->rsp_cons) {
			hyper_notify(port);
			hyper_wait(&port, 1, HYPER_NEVER);
		}
		xen_rmb();
		to[i] = ring->rsp[MASK_XENSTORE_IDX(ring->rsp_cons)];
		xen_mb();
		ring->rsp_cons++;
	}
}

/* A path with its 0, and what follows it. */
static void request(uint32_t type, const char *path, const char *value, size_t size)
{
	size_t length = strlen(path) + 1;
	struct xsd_sockmsg message = { .type = type,
				       .req_id = ++last_request,
				       .len = (uint32_t)(length + size) };

	put(&message, sizeof(message));
	put(path, length);
	put(value, size);
	hyper_notify(port);
}

/* Takes one message; what does not fit into the text is dropped, and the text gets its 0. */
static struct xsd_sockmsg take(char *text, size_t size)
{
	struct xsd_sockmsg message;
	size_t length = 0;
	char byte;

	get(&message, sizeof(message));
	for (uint32_t i = 0; i < message.len; i++) {
		get(&byte, 1);
		if (length < size - 1)
			text[length++] = byte;
	}
	text[length] = '\0';
	hyper_notify(port);
	if (message.type == XS_WATCH_EVENT)
		fired = true;
	return message;
}

bool store_read(const char *path, char *value, size_t size)
{
	struct xsd_sockmsg message;

	request(XS_READ, path, NULL, 0);
	do {
		message = take(value, size);
		if (message.type == XS_ERROR && message.req_id != last_request)
			hyper_say("xenstore refused a request: %s", value);
	} while (message.type == XS_WATCH_EVENT || message.req_id != last_request);
	return message.type == XS_READ;
}

bool store_read_number(const char *path, uint32_t *number)
{
	char value[16];
	const char *at = value;

	if (!store_read(path, value, sizeof(value)))
		return false;
	*number = text_number(&at);
	return at > value;
}

void store_write(const char *path, const char *value)
{
	request(XS_WRITE, path, value, strlen(value));
}

void store_write_number(const char *path, uint32_t number)
{
	char value[16];

	text_format(value, sizeof(value), "%u", number);
	store_write(path, value);
}

void store_watch(const char *path)
{
	request(XS_WATCH, path, "w", 2);
}

bool store_changed(void)
{
	char text[32];

	while (ring->rsp_prod != ring->rsp_cons) {
		if (take(text, sizeof(text)).type == XS_ERROR)
			hyper_say("xenstore refused a request: %s", text);
	}
	bool changed = fired;
	fired = false;
	return changed;
}
