/* The domains that we watch: first frame, key, death and last words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"
#include "toolstack/libxl/console.h"
#include "toolstack/libxl/inside.h"
#include "toolstack/libxl/keys.h"
#include "toolstack/libxl/sleep.h"
#include "toolstack/vif.h"

struct guest *guest_find(const struct backend *backend, uint32_t domid)
{
	return domid < DOMIDS ? backend->guests[domid] : NULL;
}

static void close_ears(struct guest *guest)
{
	for (size_t i = 0; i < guest->ear_count; i++) {
		watch_free(guest->ears[i].watch);
		close(guest->ears[i].fd);
	}
	guest->ear_count = 0;
}

static void forget_key(struct guest *guest)
{
	if (guest->key)
		keys_unwatch(guest->backend->keys, guest->domid, guest->key);
	free(guest->key);
	guest->key = NULL;
}

void guest_free(struct guest *guest)
{
	close_ears(guest);
	forget_key(guest);
	console_free(guest->console);
	if (guest->watch)
		deaths_unwatch(guest->backend->deaths, guest->watch);
	guest->backend->guests[guest->domid] = NULL;
	free(guest);
}

struct guest *guest_new(struct backend *backend, uint32_t domid, const uint8_t uuid[16],
			const char *service, struct error *err)
{
	struct guest *guest = guest_find(backend, domid);

	/* The one of before is gone, or Xen would not give its number again. */
	if (guest)
		guest_free(guest);
	guest = domid < DOMIDS ? calloc(1, sizeof *guest) : NULL;
	if (!guest) {
		error_errno(err, "cannot keep account of domain %u", domid);
		return NULL;
	}
	guest->backend = backend;
	guest->domid = domid;
	memcpy(guest->uuid, uuid, sizeof guest->uuid);
	snprintf(guest->service, sizeof guest->service, "%s", service);
	backend->guests[domid] = guest;
	if (deaths_watch(backend->deaths, domid, &guest->watch, err) < 0) {
		guest_free(guest);
		return NULL;
	}
	return guest;
}

/* First frame */

static void tell_frame(struct guest *guest)
{
	struct backend *backend = guest->backend;

	if (!guest->heard)
		guest->heard = loop_now(backend->loop);
	backend->sink.frame(backend->arg, guest->id, guest->boot, guest->heard);
}

static void on_frame(void *arg, unsigned events)
{
	const struct ear *ear = arg;
	struct guest *guest = ear->guest;

	(void)events;
	if (!vif_heard(ear->fd))
		return;
	close_ears(guest);
	tell_frame(guest);
}

static void add_ear(struct guest *guest, int fd)
{
	struct ear *ear = &guest->ears[guest->ear_count++];

	ear->guest = guest;
	ear->fd = fd;
	ear->watch = watch_new(guest->backend->loop, fd, WATCH_READ, on_frame, ear);
	if (!ear->watch)
		abort();
}

void guest_listen(struct guest *guest, const struct build *build)
{
	for (size_t i = 0; i < build->frame_count; i++)
		add_ear(guest, build->frames[i]);
}

/* Of one that another toolstack has started. */
static void listen_again(struct guest *guest)
{
	char interface[VIF_NAME_MAX];
	uint64_t to = 0, from = 0;

	for (unsigned i = 0; i < BUILD_NICS_MAX; i++) {
		int fd;

		vif_name(interface, guest->domid, i);
		if (vif_traffic(interface, &to, &from) < 0)
			break;
		fd = vif_listen(interface, NULL);
		if (fd >= 0)
			add_ear(guest, fd);
		/* Only now what it has sent before is known for certain. */
		if (fd < 0 || (vif_traffic(interface, &to, &from) == 0 && from)) {
			close_ears(guest);
			tell_frame(guest);
			return;
		}
	}
}

/* Key */

int guest_await_key(struct guest *guest, const char *key, struct error *err)
{
	if (keys_watch(guest->backend->keys, guest->domid, key, err) < 0)
		return -1;
	guest->key = strdup(key);
	if (!guest->key)
		abort();
	return 0;
}

/* Linux' xen-netback writes 4 (XenbusStateConnected, xen/include/public/io/xenbus.h) when it has
 * joined the frontend's rings: frames reach the guest from here on. */
int guest_await_nic(struct guest *guest, struct error *err)
{
	char key[64];

	snprintf(key, sizeof key, "/local/domain/0/backend/vif/%u/0/state=4", guest->domid);
	return guest_await_key(guest, key, err);
}

void guest_on_key(void *arg, uint32_t domid)
{
	struct backend *backend = arg;
	struct guest *guest = guest_find(backend, domid);
	cleanup_free char *value = NULL;
	char name[KEYS_NAME_MAX];

	/* One that was reported may still have events on their way. */
	if (!guest || !guest->key)
		return;
	keys_name(name, guest->key);
	value = xen_read(deaths_xen(backend->deaths), domid, name);
	if (!keys_match(guest->key, value))
		return;
	forget_key(guest);
	if (*name == '/') {
		tell_frame(guest);
		return;
	}
	guest->keyed = loop_now(backend->loop);
	backend->sink.key(backend->arg, guest->id, guest->boot, guest->keyed);
}

/* Adoption */

void guest_adopt(struct backend *backend, uint32_t id, uint32_t boot, uint32_t domid,
		 const char *key)
{
	struct guest *guest = guest_find(backend, domid);
	struct error err;

	if (!guest || guest->dead)
		return;
	guest->id = id;
	guest->boot = boot;
	if (guest->heard)
		tell_frame(guest);
	else if (!guest->ear_count)
		listen_again(guest);
	if (*key && guest->keyed)
		backend->sink.key(backend->arg, id, boot, guest->keyed);
	else if (*key && !guest->key && guest_await_key(guest, key, &err) < 0)
		abort(); /* xenstore is lost to us */
}

/* Death */

static void on_last_words(void *arg, const char *text)
{
	struct guest *guest = arg;
	struct backend *backend = guest->backend;
	uint32_t domid = guest->domid;
	uint8_t reason = guest->reason;

	guest->console = NULL;
	if (reason == BACKEND_DESTROYED_BEHIND_US)
		guest_free(guest);
	backend->sink.died(backend->arg, domid, reason, text);
}

static void tell_death(struct guest *guest)
{
	struct xen *xen = deaths_xen(guest->backend->deaths);
	cleanup_free char *tty = guest->reason == BACKEND_DESTROYED_BEHIND_US
					 ? NULL
					 : xen_read(xen, guest->domid, "console/tty");

	console_free(guest->console);
	guest->console = console_read(guest->backend->loop, guest->service, guest->console_from,
				      tty, on_last_words, guest);
}

void guest_on_death(void *arg, uint32_t domid, enum deaths_kind kind, uint8_t reason)
{
	struct backend *backend = arg;
	struct guest *guest = guest_find(backend, domid);
	bool gone = kind == DEATHS_GONE;

	if (!guest || (!gone && guest->suspending && reason == LIBXL_SHUTDOWN_REASON_SUSPEND))
		return;
	if (!gone && guest->undone && reason == LIBXL_SHUTDOWN_REASON_SUSPEND) {
		guest->undone = false;
		if (sleep_undo(deaths_xen(backend->deaths), domid)) {
			guest_carry_on(guest);
			return;
		}
	}
	/* Told once; but one that was destroyed meanwhile has no terminal to read any more. */
	if (guest->dead && !(gone && guest->console)) {
		if (gone && !guest->stopping)
			guest_free(guest);
		return;
	}
	guest->dead = true;
	guest->reason = gone ? BACKEND_DESTROYED_BEHIND_US : reason;
	close_ears(guest);
	forget_key(guest);
	/* A guest that is being stopped is kept until then, so that it is not stopped twice. */
	if (guest->stopping)
		stop_on_shutdown(backend, domid);
	else
		tell_death(guest);
}

void guest_carry_on(struct guest *guest)
{
	struct backend *backend = guest->backend;
	struct error err;

	guest->stopping = guest->suspending = false;
	if (guest->dead) {
		tell_death(guest);
		return;
	}
	/* libxl tells of a shutdown once, and that for a suspend may have been it. */
	deaths_unwatch(backend->deaths, guest->watch);
	guest->watch = NULL;
	if (deaths_watch(backend->deaths, guest->domid, &guest->watch, &err) < 0)
		abort(); /* a domain that runs unwatched: begin anew and adopt it */
}
