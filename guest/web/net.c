#include "net.h"

#include <xen/io/netif.h>
#include <xen/io/xenbus.h>
#include "store.h"
#include "text.h"

#define BUFFERS 64 /* in each direction */

typedef uint8_t page[LAYOUT_PAGE] __attribute__((aligned(LAYOUT_PAGE)));

static page tx_page, rx_page, tx_buffers[BUFFERS], rx_buffers[BUFFERS];
static grant_ref_t tx_grants[BUFFERS], rx_grants[BUFFERS];
static uint16_t tx_free[BUFFERS];
static unsigned tx_free_count;
static netif_tx_front_ring_t tx;
static netif_rx_front_ring_t rx;
static evtchn_port_t port;
static char backend_state[80];
static uint8_t mac[6];
static enum xenbus_state state = XenbusStateInitialising;

static void notify_if(bool wanted)
{
	if (wanted)
		hyper_notify(port);
}

static void read_mac(void)
{
	char text[18] = "";

	store_read("device/vif/0/mac", text, sizeof(text));
	for (unsigned i = 0; text[i]; i++) {
		unsigned digit = (unsigned)text[i] | 0x20;
		if (text[i] != ':')
			mac[i / 3] = (uint8_t)(mac[i / 3] << 4 |
					       (digit <= '9' ? digit - '0' : digit - 'a' + 10));
	}
}

/* Gives the buffer to the backend, to be filled. */
static void offer(uint16_t id)
{
	struct netif_rx_request *request = RING_GET_REQUEST(&rx, rx.req_prod_pvt++);

	request->id = id;
	request->gref = rx_grants[id];
}

static void make_rings(domid_t backend)
{
	bool notify;

	XEN_FRONT_RING_INIT(&tx, (struct netif_tx_sring *)tx_page, LAYOUT_PAGE);
	XEN_FRONT_RING_INIT(&rx, (struct netif_rx_sring *)rx_page, LAYOUT_PAGE);
	for (uint16_t i = 0; i < BUFFERS; i++) {
		tx_grants[i] = hyper_grant(tx_buffers[i], backend);
		rx_grants[i] = hyper_grant(rx_buffers[i], backend);
		tx_free[tx_free_count++] = i;
		offer(i);
	}
	RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&rx, notify);
	(void)notify; /* nobody is there yet */
}

bool net_open(void)
{
	char path[64];
	uint32_t backend;

	if (!store_read("device/vif/0/backend", path, sizeof(path)) ||
	    !store_read_number("device/vif/0/backend-id", &backend))
		return false;
	text_format(backend_state, sizeof(backend_state), "%s/state", path);
	store_watch(backend_state);
	read_mac();
	make_rings((domid_t)backend);
	port = hyper_port((domid_t)backend);
	store_write_number("device/vif/0/tx-ring-ref", hyper_grant(tx_page, (domid_t)backend));
	store_write_number("device/vif/0/rx-ring-ref", hyper_grant(rx_page, (domid_t)backend));
	store_write_number("device/vif/0/event-channel", port);
	store_write("device/vif/0/request-rx-copy", "1");
	store_write("device/vif/0/feature-rx-notify", "1");
	store_write("device/vif/0/feature-no-csum-offload", "1");
	return true;
}

evtchn_port_t net_port(void)
{
	return port;
}

const uint8_t *net_mac(void)
{
	return mac;
}

bool net_connected(void)
{
	uint32_t theirs;

	if (!backend_state[0] || !store_read_number(backend_state, &theirs))
		return false;
	if (state == XenbusStateInitialising && theirs >= XenbusStateInitWait) {
		state = XenbusStateConnected;
		store_write_number("device/vif/0/state", state);
	}
	return theirs == XenbusStateConnected;
}

/* Takes back what the backend has sent. */
static void reap(void)
{
	RING_IDX end = *(volatile RING_IDX *)&tx.sring->rsp_prod;

	xen_rmb();
	for (; tx.rsp_cons != end; tx.rsp_cons++) {
		uint16_t id = RING_GET_RESPONSE(&tx, tx.rsp_cons)->id;
		if (id < BUFFERS && tx_free_count < BUFFERS)
			tx_free[tx_free_count++] = id;
	}
}

void net_send(const void *frame, size_t size)
{
	bool notify;

	reap();
	if (tx_free_count == 0 || size > WIRE_FRAME_MAX)
		return;
	uint16_t id = tx_free[--tx_free_count];
	memcpy(tx_buffers[id], frame, size);
	*RING_GET_REQUEST(&tx, tx.req_prod_pvt++) = (struct netif_tx_request){
		.gref = tx_grants[id],
		.id = id,
		.size = (uint16_t)size,
	};
	RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&tx, notify);
	notify_if(notify);
}

/* Without feature-sg and GSO a response is a frame; what is more than that is not ours to read. */
static void take(const struct netif_rx_response *response,
		 void (*receive)(uint8_t *frame, size_t size, bool trusted))
{
	if (response->id >= BUFFERS)
		return;
	if (response->status > 0 && response->offset + response->status <= LAYOUT_PAGE &&
	    !(response->flags & (NETRXF_more_data | NETRXF_extra_info)))
		receive(rx_buffers[response->id] + response->offset, (size_t)response->status,
			response->flags & (NETRXF_data_validated | NETRXF_csum_blank));
	offer(response->id);
}

void net_poll(void (*receive)(uint8_t *frame, size_t size, bool trusted))
{
	int more = port != 0;
	bool notify;

	while (more) {
		RING_IDX end = *(volatile RING_IDX *)&rx.sring->rsp_prod;
		xen_rmb();
		for (; rx.rsp_cons != end; rx.rsp_cons++) {
			struct netif_rx_response response = *RING_GET_RESPONSE(&rx, rx.rsp_cons);
			take(&response, receive);
		}
		RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&rx, notify);
		notify_if(notify);
		RING_FINAL_CHECK_FOR_RESPONSES(&rx, more);
	}
}
