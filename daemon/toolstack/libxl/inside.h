/*
 * What the parts of the libxl backend share: backend_libxl.c (the table, the survey), guest.c (the
 * domains that we watch), start.c and stop.c (orders).
 */
#ifndef JITSU_TOOLSTACK_LIBXL_INSIDE_H
#define JITSU_TOOLSTACK_LIBXL_INSIDE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "toolstack/backend.h"
#include "toolstack/libxl/build.h"
#include "toolstack/libxl/deaths.h"

struct console;
struct crew;
struct keys;

#define DOMIDS 0x7ff0 /* DOMID_FIRST_RESERVED, xen/include/public/xen.h */

/* A packet socket on one nic of a guest that has not sent a frame yet. */
struct ear {
	struct guest *guest;
	int fd;
	struct watch *watch;
};

/* A domain of ours, from its creation or the survey to its end. */
struct guest {
	struct backend *backend;
	uint32_t domid, id, boot;
	uint8_t uuid[16];
	char service[64];
	bool paused;
	bool dead;	 /* its death was told, or is known */
	bool stopping;	 /* a stop is under way: its end is no news */
	bool suspending; /* such a one: that it shuts down for it is not its death */
	bool undone;	 /* such a one was undone, but the guest may hear of it still */
	uint8_t reason;	 /* of its death */
	libxl_evgen_domain_death *watch;
	struct ear ears[BUILD_NICS_MAX];
	size_t ear_count;
	uint64_t heard, keyed;	 /* when its first frame and its key came; 0: not yet */
	char *key;		 /* what it waits for in xenstore: see keys_watch */
	off_t console_from;	 /* where its lines begin in xenconsoled's log */
	struct console *console; /* its last words are being read */
};

struct stop;
STAILQ_HEAD(stops, stop);

struct spent;
LIST_HEAD(spents, spent);

struct backend {
	struct loop *loop;
	struct backend_sink sink;
	void *arg;
	struct deaths *deaths;
	struct keys *keys;
	struct crew *crew;     /* builds and destroys */
	struct crew *sleepers; /* suspends, which builds shall not wait for */
	int images;	       /* see images_open; -1: none */
	bool closing;
	unsigned busy;
	struct stops stops;   /* under way, and behind each those that wait for it */
	struct spents spents; /* images that guests were restored from, to be closed */
	struct guest *guests[DOMIDS];
};

/* guest.c */
struct guest *guest_find(const struct backend *backend, uint32_t domid);
/* In place of one of before with that number. NULL with an error. */
struct guest *guest_new(struct backend *backend, uint32_t domid, const uint8_t uuid[16],
			const char *service, struct error *err);
void guest_free(struct guest *guest);
/* Reports its first frame; takes the descriptors. */
void guest_listen(struct guest *guest, const struct build *build);
/* Reports when its wait_for_key is there. 0, or -1 with an error. */
int guest_await_key(struct guest *guest, const char *key, struct error *err);
/* Of a restored one, in place of its key: reports when its first nic is connected again, as its
 * first frame. 0, or -1 with an error. */
int guest_await_nic(struct guest *guest, struct error *err);
/* As in the table of backend.h. */
void guest_adopt(struct backend *backend, uint32_t id, uint32_t boot, uint32_t domid,
		 const char *key);
/* A stop has failed: it is watched as before, and a death that was no news is told. */
void guest_carry_on(struct guest *guest);
deaths_fn guest_on_death;
void guest_on_key(void *arg, uint32_t domid);

/* start.c, stop.c: as in the table of backend.h. */
void start_order(struct backend *backend, uint32_t id, uint32_t boot, bool restore,
		 struct spec *spec);
void stop_order(struct backend *backend, uint32_t id, uint32_t domid, enum spec_stop_mode mode,
		uint32_t limit);
void stop_let_go(struct backend *backend);
void stop_wake(struct backend *backend, uint32_t id, uint32_t boot, uint32_t domid);
/* A guest that is being stopped has shut down. */
void stop_on_shutdown(struct backend *backend, uint32_t domid);
/* Those that still wait, when the backend is closed. */
void stop_drop_all(struct backend *backend);

/* Takes the descriptor of an image without a name, and closes it in a second, by a worker. */
void spent_add(struct backend *backend, int fd);
/* Those that are not closed yet, when the backend is. */
void spent_drop_all(struct backend *backend);

#endif
