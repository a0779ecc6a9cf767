/*
 * What a service is made of: one line a key. It makes the structure's reader and writer, the
 * checks, `jitsuctl help add`, the man page and the schema in openrpc.json.
 *
 *   SPEC_KEY(key, kind, min, max, "help")
 *
 * The key is also the member of struct spec. Kinds and their members (see spec.h):
 *   TEXT      char *                       min..max bytes
 *   TEXTS     struct spec_texts            a string or an array; min..max entries
 *   NAMES     struct spec_texts            DNS names, one or several, a wildcard `*.` allowed
 *   ADDRESSES struct spec_addresses        IPv4 or IPv6, one or several
 *   UUID      uint8_t[16], bool has_uuid
 *   MEMORY    uint64_t                     KiB; a number of KiB, or "64M", "1G"
 *   NUMBER    int64_t, SPEC_UNSET          min..max
 *   SECONDS   int64_t in ms, SPEC_UNSET    a number of seconds, fractions allowed; min..max in ms
 *   MSEC      int64_t in ms, SPEC_UNSET    a number of ms; min..max
 *   TYPE      enum spec_type               pv, pvh
 *   STOP      enum spec_stop_mode          destroy
 *   MACS      struct spec_texts            aa:bb:cc:dd:ee:ff, one for each nic
 */
SPEC_KEY(name, TEXT, 1, 63, "name of the service and of its domain: letters, digits, '-', '_', '.'")
SPEC_KEY(dns, NAMES, 1, 64, "DNS name that summons it; several are allowed")
SPEC_KEY(ip, ADDRESSES, 1, 64, "its address, IPv4 or IPv6; several are allowed")
SPEC_KEY(uuid, UUID, 0, 0, "UUID of the domain; made when it is not given")
SPEC_KEY(kernel, TEXT, 1, 4095, "absolute path of the kernel or unikernel")
SPEC_KEY(ramdisk, TEXT, 1, 4095, "absolute path of a ramdisk")
SPEC_KEY(cmdline, TEXT, 0, 4095, "the kernel's command line")
SPEC_KEY(memory, MEMORY, 1024, 1099511627776, "memory: a number of KiB, or a size such as \"64M\"")
SPEC_KEY(vcpus, NUMBER, 1, 128, "virtual CPUs; 1 if not given")
SPEC_KEY(type, TYPE, 0, 0, "pv or pvh; pv if not given")
SPEC_KEY(nic, TEXTS, 0, 16, "bridge for a network interface; several are allowed, in order")
SPEC_KEY(mac, MACS, 0, 16, "MAC address for each nic; derived from the UUID if not given")
SPEC_KEY(ttl, NUMBER, 0, 604800, "TTL of its answers in seconds, and half the time it stays up unasked")
SPEC_KEY(response_delay, SECONDS, 0, 60000, "seconds to wait, once it is ready, before the answer")
SPEC_KEY(wait_limit, MSEC, 0, 60000, "longest time in ms that an answer is held")
SPEC_KEY(stop_mode, STOP, 0, 0, "how it is put away: destroy")
/* The simulated backend's, refused by the others. */
SPEC_KEY(sim_boot, MSEC, 0, 600000, "sim: ms to build the domain")
SPEC_KEY(sim_frame, MSEC, 0, 600000, "sim: ms from there to the first frame")
SPEC_KEY(sim_death, MSEC, 1, 86400000, "sim: ms after the first frame at which it dies by itself")
SPEC_KEY(sim_fail, TEXT, 1, 200, "sim: the start fails with this text")
SPEC_KEY(sim_stop, MSEC, 0, 600000, "sim: ms to stop it")
