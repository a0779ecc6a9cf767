#include "hyper.h"

#include <xen/io/console.h>
#include "text.h"

#define PAGE_FLAGS 0x67 /* present, writable, user, accessed, dirty */

static const struct start_info *start_info;
static struct xencons_interface *console;
static uint64_t began;
static unsigned grants = GNTTAB_NR_RESERVED_ENTRIES;

/* Other frames are mapped over these two pages. */
static union {
	struct shared_info info;
	uint8_t page[LAYOUT_PAGE];
} shared __attribute__((aligned(LAYOUT_PAGE)));

static union {
	struct grant_entry_v1 entries[LAYOUT_PAGE / sizeof(struct grant_entry_v1)];
	uint8_t page[LAYOUT_PAGE];
} grant_table __attribute__((aligned(LAYOUT_PAGE)));

static void map(void *page, uint64_t machine)
{
	if (hypercall(__HYPERVISOR_update_va_mapping, (unsigned long)page, machine | PAGE_FLAGS,
		      UVMF_INVLPG) != 0)
		hyper_panic("cannot map a page");
}

static void map_grant_table(void)
{
	xen_pfn_t frame = 0;
	struct gnttab_setup_table setup = { .dom = DOMID_SELF, .nr_frames = 1 };

	set_xen_guest_handle(setup.frame_list, &frame);
	if (hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_setup_table, &setup, 1ul) != 0 ||
	    setup.status != 0)
		hyper_panic("there is no grant table");
	map(&grant_table, frame * LAYOUT_PAGE);
}

void hyper_init(const struct start_info *info)
{
	start_info = info;
	console = hyper_page(info->console.domU.mfn);
	map(&shared, info->shared_info);
	map_grant_table();
	began = hyper_now();
}

const struct start_info *hyper_info(void)
{
	return start_info;
}

void hyper_shutdown(unsigned reason)
{
	struct sched_shutdown shutdown = { .reason = reason };

	for (;;)
		hypercall(__HYPERVISOR_sched_op, (unsigned long)SCHEDOP_shutdown, &shutdown);
}

void hyper_panic(const char *what)
{
	hyper_say("dies: %s", what);
	hyper_shutdown(SHUTDOWN_crash);
}

static uint64_t tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

/* By the formula at struct vcpu_time_info; an odd version, or another one, means that Xen wrote. */
uint64_t hyper_now(void)
{
	const volatile struct vcpu_time_info *time = &shared.info.vcpu_info[0].time;
	uint32_t version;
	uint64_t now;

	do {
		version = time->version;
		xen_rmb();
		uint64_t delta = tsc() - time->tsc_timestamp;
		delta = time->tsc_shift < 0 ? delta >> -time->tsc_shift : delta << time->tsc_shift;
		now = time->system_time +
		      (uint64_t)(((unsigned __int128)delta * time->tsc_to_system_mul) >> 32);
		xen_rmb();
	} while ((version & 1) || version != time->version);
	return now;
}

uint64_t hyper_uptime(void)
{
	return hyper_now() - began;
}

void *hyper_page(xen_pfn_t mfn)
{
	return (void *)(LAYOUT_BASE + machine_to_phys_mapping[mfn] * LAYOUT_PAGE);
}

grant_ref_t hyper_grant(const void *page, domid_t to)
{
	const xen_pfn_t *frames = (const xen_pfn_t *)start_info->mfn_list;
	struct grant_entry_v1 *entry = &grant_table.entries[grants];

	if (grants == sizeof(grant_table.entries) / sizeof(grant_table.entries[0]))
		hyper_panic("the grant table is full");
	entry->domid = to;
	entry->frame = (uint32_t)frames[((unsigned long)page - LAYOUT_BASE) / LAYOUT_PAGE];
	xen_wmb();
	entry->flags = GTF_permit_access;
	return grants++;
}

evtchn_port_t hyper_port(domid_t remote)
{
	struct evtchn_alloc_unbound unbound = { .dom = DOMID_SELF, .remote_dom = remote };

	if (hypercall(__HYPERVISOR_event_channel_op, (unsigned long)EVTCHNOP_alloc_unbound,
		      &unbound) != 0)
		hyper_panic("there is no event channel");
	return unbound.port;
}

void hyper_notify(evtchn_port_t port)
{
	struct evtchn_send send = { .port = port };

	hypercall(__HYPERVISOR_event_channel_op, (unsigned long)EVTCHNOP_send, &send);
}

void hyper_wait(evtchn_port_t *ports, unsigned count, uint64_t until)
{
	struct sched_poll poll = { .nr_ports = count, .timeout = until == HYPER_NEVER ? 0 : until };

	set_xen_guest_handle(poll.ports, ports);
	hypercall(__HYPERVISOR_sched_op, (unsigned long)SCHEDOP_poll, &poll);
	for (unsigned i = 0; i < count; i++)
		__atomic_fetch_and(&shared.info.evtchn_pending[ports[i] / 64],
				   ~(1ul << ports[i] % 64), __ATOMIC_SEQ_CST);
}

static void write_console(const char *text, size_t size)
{
	XENCONS_RING_IDX at = console->out_prod;

	for (size_t i = 0; i < size; i++) {
		if (at - *(volatile XENCONS_RING_IDX *)&console->out_cons >= sizeof(console->out))
			break;
		console->out[MASK_XENCONS_IDX(at++, console->out)] = text[i];
	}
	xen_wmb();
	console->out_prod = at;
	hyper_notify(start_info->console.domU.evtchn);
}

void hyper_say(const char *format, ...)
{
	char line[160];
	va_list arguments;

	memcpy(line, "guest: ", 7);
	va_start(arguments, format);
	size_t length = 7 + text_vformat(line + 7, sizeof(line) - 9, format, arguments);
	va_end(arguments);
	line[length++] = '\r';
	line[length++] = '\n';
	write_console(line, length);
}
