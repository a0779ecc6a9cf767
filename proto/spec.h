/*
 * A service's specification: one JSON object, the same in the control protocol, in files, in the
 * store, and on its way to the toolstack. Keys and their meaning: spec.tbl.h.
 */
#ifndef JITSU_PROTO_SPEC_H
#define JITSU_PROTO_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct json_object;

#define SPEC_UNSET    INT64_C(-1)
#define SPEC_JSON_MAX (64 * 1024)

/* 0 of each kind of words but the type: not given. */
enum spec_type { SPEC_TYPE_PV, SPEC_TYPE_PVH, SPEC_TYPE_HVM };
enum spec_stop_mode {
	SPEC_STOP_UNSET,
	SPEC_STOP_DESTROY,
	SPEC_STOP_SHUTDOWN,
	SPEC_STOP_SUSPEND,
	SPEC_STOP_PAUSE,
	SPEC_STOP_MODES
};
enum spec_idle_by { SPEC_IDLE_BY_UNSET, SPEC_IDLE_BY_DNS, SPEC_IDLE_BY_TRAFFIC, SPEC_IDLE_BY_BOTH };
/* Xen's words for what follows a guest's end. */
enum spec_fate { SPEC_FATE_UNSET, SPEC_FATE_DESTROY, SPEC_FATE_RESTART, SPEC_FATE_PRESERVE };
enum spec_death { SPEC_DEATH_UNSET, SPEC_DEATH_POWEROFF, SPEC_DEATH_REBOOT, SPEC_DEATH_CRASH };

struct spec_texts {
	char **v;
	size_t n;
};

struct spec_address {
	int family; /* AF_INET, AF_INET6 */
	uint8_t bytes[16];
};

struct spec_addresses {
	struct spec_address *v;
	size_t n;
};

#define SPEC_TIERS_MAX 3

/* The tiers of its sleep, in their order: later and deeper each. */
struct spec_idle {
	struct spec_tier {
		enum spec_stop_mode mode;
		int64_t after; /* ms since it was last used */
	} v[SPEC_TIERS_MAX];
	size_t n;
};

struct spec {
	char *name;
	struct spec_texts dns; /* presentation format, lower case, without the last dot */
	struct spec_addresses ip;
	uint8_t uuid[16];
	bool has_uuid;
	char *kernel, *ramdisk, *cmdline; /* NULL if not given */
	uint64_t memory;		  /* KiB; 0 if not given */
	int64_t vcpus;
	enum spec_type type;
	char *cpus, *cpupool;
	struct spec_texts nic, mac, script, disk;
	char *rumprun_config, *rumprun_addr, *rumprun_gw, *rumprun_hostname;
	int64_t rumprun_mask;
	int64_t ttl, response_delay, wait_limit, ptr;
	char *wait_for_key;
	int64_t wait_for_key_limit, ready_port, ready_port_limit, frame_limit;
	enum spec_stop_mode stop_mode;
	int64_t shutdown_limit;
	struct spec_idle idle; /* n is 0 if not given */
	enum spec_idle_by idle_by;
	int64_t idle_traffic;
	bool pinned, wake_any, use_synjitsu;
	struct spec_texts wake, ports;
	enum spec_fate on_poweroff, on_reboot, on_crash;
	int64_t sim_boot, sim_frame, sim_key, sim_port, sim_death, sim_stop, sim_wake, sim_suspend,
		sim_restore, sim_traffic;
	char *sim_fail, *sim_console, *sim_wake_fail, *sim_suspend_fail, *sim_restore_fail;
	bool sim_deaf;
	enum spec_death sim_reason;
};

/*
 * Reads and checks a specification on its own: keys, types, ranges, what must be there (name, dns,
 * ip unless rumprun_config may have it, kernel unless an hvm guest has a disk, memory; with
 * `simulated` the kernel and the memory may be left out, and only then may sim_* keys be there),
 * and what excludes what. NULL with an error that names field, value and what is expected.
 * The object stays the caller's.
 */
struct spec *spec_from_json(struct json_object *object, bool simulated, struct error *err);

/* The same from text: one JSON object and nothing after it. */
struct spec *spec_from_text(const char *text, bool simulated, struct error *err);

/* The original's form: `dns=www.example.org,ip=10.0.0.1,kernel=…`, keys repeated for several
 * values, several arguments joined. An object to give to spec_from_json; the caller puts it.
 * NULL with an error. A comma inside a value is written `\,`. */
struct json_object *spec_pairs_to_json(const char *const *arguments, size_t count,
				       struct error *err);

/* The name in a specification's text, which may be wrong otherwise, as it is; the caller frees it.
 * NULL if there is none that could be shown. */
char *spec_text_name(const char *text);

/* The canonical object: every given key, in the table's order. The caller puts it. */
struct json_object *spec_to_json(const struct spec *spec);
/* Its text, as it is stored and sent; the caller frees it. *common, if it is asked for: from where
 * on the text has no name, dns, ip and uuid, which no two services share. */
char *spec_to_text(const struct spec *spec, size_t *size, size_t *common);
/* It gets the UUID of such a text. False if there is none, and nothing is changed. */
bool spec_take_uuid(struct spec *spec, const char *text);
/* A number of the keys that a domain is made of: while it is the same, a domain, or its suspend
 * image, is as the specification says. Never 0. */
uint64_t spec_digest(const struct spec *spec);

/* The MAC of its i-th nic, given or derived from the UUID within Xen's 00:16:3e. */
void spec_mac(const struct spec *spec, size_t i, uint8_t mac[6]);

/* Does that wake it? */
enum spec_wake { SPEC_WAKE_DNS, SPEC_WAKE_PACKET };
bool spec_wakes_by(const struct spec *spec, enum spec_wake wake);

/* The script of its i-th nic, or NULL: those given are taken in turn. */
const char *spec_script(const struct spec *spec, size_t i);

/* A mode's word (a constant) and back: SPEC_STOP_UNSET if it is none. */
const char *spec_stop_word(enum spec_stop_mode mode);
enum spec_stop_mode spec_stop_find(const char *word);

void spec_free(struct spec *spec);
static inline void spec_free_p(struct spec **spec)
{
	spec_free(*spec);
}
#define cleanup_spec __attribute__((cleanup(spec_free_p)))

#endif
