/*
 * The lab's quick guest: a unikernel that answers ARP, ping and HTTP, for tests that want a guest
 * on the network well before a client's TCP would try again. tests/lab/README.md has its switches.
 */
#include "hyper.h"
#include "ip.h"
#include "net.h"
#include "store.h"
#include "tcp.h"
#include "text.h"

#define ANNOUNCEMENTS 3 /* the bridge's port may open a little later than the backend connects */
#define ANNOUNCE_GAP  (HYPER_SECOND / 10)

static const char *cmdline;
static char page[TCP_ANSWER_MAX];
static bool deaf, connected, listens;
static uint64_t address_at, listen_at, announce_at = HYPER_NEVER;
static unsigned announced;

_Noreturn void main_start(const struct start_info *info);

static uint64_t delay(const char *name)
{
	char value[16];

	text_switch(cmdline, name, value, sizeof(value));
	return text_seconds(value);
}

static void make_page(void)
{
	char name[64], body[128];
	unsigned ms = (unsigned)(hyper_uptime() / 1000000);

	text_switch(cmdline, "hostname", name, sizeof(name));
	size_t size = text_format(body, sizeof(body),
				  "jitsu-lab-guest\nhostname %s\nuptime %u.%03u\n",
				  name[0] ? name : "guest", ms / 1000, ms % 1000);
	size = text_format(page, sizeof(page),
			   "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\nContent-Length: %u\r\n"
			   "Connection: close\r\n\r\n%s",
			   (unsigned)size, body);
	tcp_listen(page, size);
	hyper_say("serves HTTP, up %u.%03u s", ms / 1000, ms % 1000);
}

/* What its time has come for; returns when to look again. */
static uint64_t steps(uint64_t now)
{
	char address[32], gateway[16];

	if (!connected)
		return HYPER_NEVER;
	if (announce_at == HYPER_NEVER && announced == 0) {
		if (now < address_at)
			return address_at;
		text_switch(cmdline, "ip", address, sizeof(address));
		text_switch(cmdline, "gw", gateway, sizeof(gateway));
		if (!ip_open(address, gateway))
			hyper_panic("the command line has no ip=ADDRESS/BITS");
		announce_at = now;
		listen_at += now;
	}
	if (!listens && now >= listen_at) {
		make_page();
		listens = true;
	}
	if (now >= announce_at) {
		ip_announce();
		announce_at = ++announced < ANNOUNCEMENTS ? now + ANNOUNCE_GAP : HYPER_NEVER;
	}
	return listens || announce_at < listen_at ? announce_at : listen_at;
}

/* What the toolstack wishes in control/shutdown; an empty one says that we have read it. */
static void control(void)
{
	char wish[16];

	if (deaf || !store_read("control/shutdown", wish, sizeof(wish)) || wish[0] == '\0')
		return;
	if (text_same(wish, "poweroff") || text_same(wish, "halt") || text_same(wish, "reboot")) {
		store_write("control/shutdown", "");
		hyper_say("%s", wish);
		hyper_shutdown(text_same(wish, "reboot") ? SHUTDOWN_reboot : SHUTDOWN_poweroff);
	}
}

void main_start(const struct start_info *info)
{
	char value[4];

	hyper_init(info);
	cmdline = (const char *)info->cmd_line;
	text_switch(cmdline, "deaf", value, sizeof(value));
	deaf = value[0] != '\0';
	address_at = hyper_now() + delay("arp_delay");
	listen_at = delay("listen_delay");
	store_open();
	store_watch("control/shutdown");
	if (!net_open())
		hyper_say("there is no network device");

	evtchn_port_t ports[] = { store_port(), net_port() };
	for (;;) {
		while (store_changed()) {
			control();
			connected = connected || net_connected();
		}
		uint64_t now = hyper_now();
		uint64_t until = steps(now);
		net_poll(ip_receive);
		uint64_t retry = tcp_timers(now);
		hyper_wait(ports, net_port() ? 2 : 1, until < retry ? until : retry);
	}
}
