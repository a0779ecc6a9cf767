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

#define SPEC_UNSET INT64_C(-1)
#define SPEC_JSON_MAX (64 * 1024)

enum spec_type { SPEC_TYPE_PV, SPEC_TYPE_PVH };
enum spec_stop_mode { SPEC_STOP_UNSET, SPEC_STOP_DESTROY };

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
	struct spec_texts nic, mac;
	int64_t ttl, response_delay, wait_limit;
	enum spec_stop_mode stop_mode;
	int64_t sim_boot, sim_frame, sim_death, sim_stop;
	char *sim_fail;
};

/*
 * Reads and checks a specification on its own: keys, types, ranges, what must be there (name, dns,
 * ip, kernel, memory; with `simulated` the kernel and the memory may be left out, and only then
 * may sim_* keys be there). NULL with an error that names field, value and what is expected.
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

/* The canonical object: every given key, in the table's order. The caller puts it. */
struct json_object *spec_to_json(const struct spec *spec);

/* The MAC of its i-th nic, given or derived from the UUID within Xen's 00:16:3e. */
void spec_mac(const struct spec *spec, size_t i, uint8_t mac[6]);

void spec_free(struct spec *spec);
static inline void spec_free_p(struct spec **spec)
{
	spec_free(*spec);
}
#define cleanup_spec __attribute__((cleanup(spec_free_p)))

#endif
