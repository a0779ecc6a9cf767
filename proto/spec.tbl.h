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
 *   BOOL      bool                         true or false, 1 or 0, yes or no; false if not given
 *   IDLE      struct spec_idle             tiers `pause:2m,suspend:10m,destroy:1h`
 *   MACS      struct spec_texts            aa:bb:cc:dd:ee:ff, one for each nic
 * and the kinds of words, which help, man page and schema list from their tables in spec_word.c:
 *   TYPE      enum spec_type               STOP      enum spec_stop_mode
 *   IDLE_BY   enum spec_idle_by            FATE      enum spec_fate
 *   DEATH     enum spec_death
 */
SPEC_KEY(name, TEXT, 1, 63, "name of the service and of its domain: letters, digits, '-', '_', '.'")
SPEC_KEY(dns, NAMES, 1, 64, "DNS name that summons it; several are allowed")
SPEC_KEY(ip, ADDRESSES, 1, 64,
	 "its address, IPv4 or IPv6; several are allowed; rumprun_config's if it is not given")
SPEC_KEY(uuid, UUID, 0, 0, "UUID of the domain; made when it is not given")
SPEC_KEY(kernel, TEXT, 1, 4095, "absolute path of the kernel or unikernel; an hvm guest may have a disk instead")
SPEC_KEY(ramdisk, TEXT, 1, 4095, "absolute path of a ramdisk")
SPEC_KEY(cmdline, TEXT, 0, 4095, "the kernel's command line")
SPEC_KEY(memory, MEMORY, 1024, 1099511627776, "memory: a number of KiB, or a size such as \"64M\"")
SPEC_KEY(vcpus, NUMBER, 1, 128, "virtual CPUs; 1 if not given")
SPEC_KEY(type, TYPE, 0, 0, "kind of guest; pv if not given; hvm needs Xen's qemu")
SPEC_KEY(cpus, TEXT, 1, 255, "host CPUs it may run on, as in xl.cfg(5): \"0-3,^1\"")
SPEC_KEY(cpupool, TEXT, 1, 63, "cpupool it runs in, by name or number")
SPEC_KEY(nic, TEXTS, 0, 16, "bridge for a network interface; several are allowed, in order")
SPEC_KEY(mac, MACS, 0, 16, "MAC address for each nic; derived from the UUID if not given")
SPEC_KEY(script, TEXTS, 0, 16,
	 "absolute path of a script that plugs a nic, in place of jitsud; fewer than nics: in turn")
SPEC_KEY(disk, TEXTS, 0, 64,
	 "FILE@DEVICE such as /srv/a.iso@xvda, or a disk as in xl-disk-configuration(5); several are "
	 "allowed")
SPEC_KEY(rumprun_config, TEXT, 1, 4095,
	 "absolute path of the configuration that rumprun -T wrote, for the guest to read")
SPEC_KEY(rumprun_addr, TEXT, 1, 45, "IPv4 address over the one of rumprun_config")
SPEC_KEY(rumprun_mask, NUMBER, 0, 32, "length of the network's prefix over rumprun_config's mask")
SPEC_KEY(rumprun_gw, TEXT, 1, 45, "IPv4 gateway over the one of rumprun_config")
SPEC_KEY(rumprun_hostname, TEXT, 1, 63, "host name over the one of rumprun_config")
SPEC_KEY(ttl, NUMBER, 0, 604800, "TTL of its answers in seconds, and half the time it stays up unasked")
SPEC_KEY(ptr, NUMBER, 0, 1, "1: its addresses are answered with its first name (PTR), 0: not; jitsud's if not given")
SPEC_KEY(wake_any, BOOL, 0, 0, "queries for types that it has no records of (AAAA, HTTPS, …) start it too")
SPEC_KEY(wait_for_key, TEXT, 1, 1023,
	 "KEY or KEY=VALUE in xenstore, relative to the domain, that it writes when it is ready")
SPEC_KEY(wait_for_key_limit, SECONDS, 0, 3600000, "longest wait for that key; 10 if not given")
SPEC_KEY(ready_port, NUMBER, 1, 65535, "TCP port that takes connections when it is ready")
SPEC_KEY(ready_port_limit, SECONDS, 0, 3600000, "longest wait for that port; 10 if not given")
SPEC_KEY(frame_limit, SECONDS, 0, 3600000,
	 "longest wait for the first frame from its nics, or, of a restored one, until its first nic "
	 "is connected again; 60 if not given")
SPEC_KEY(response_delay, SECONDS, 0, 60000, "seconds to wait, once it is ready, before the answer")
SPEC_KEY(wait_limit, MSEC, 0, 60000, "longest time in ms that an answer is held")
SPEC_KEY(stop_mode, STOP, 0, 0, "how it is put away; destroy if not given")
SPEC_KEY(shutdown_limit, SECONDS, 0, 3600000,
	 "how long it may take to shut down before it is destroyed; 10 if not given")
SPEC_KEY(idle, IDLE, 1, 31536000000,
	 "tiers in place of stop_mode, each after a time unused: \"pause:2m,suspend:10m,destroy:1h\"")
SPEC_KEY(idle_by, IDLE_BY, 0, 0, "what counts as use: queries, its traffic, or both; both if not given")
SPEC_KEY(idle_traffic, NUMBER, 0, 1000000000000,
	 "bytes a second from which its traffic counts as use; 200 if not given")
SPEC_KEY(pinned, BOOL, 0, 0, "never put away, and started when jitsud is")
SPEC_KEY(on_poweroff, FATE, 0, 0,
	 "when it powers off: forget it until the next query, start it again, or keep it to be looked "
	 "at; destroy if not given")
SPEC_KEY(on_reboot, FATE, 0, 0, "when it reboots; restart if not given")
SPEC_KEY(on_crash, FATE, 0, 0, "when it crashes; destroy if not given")
SPEC_KEY(use_synjitsu, BOOL, 0, 0, "hold what comes for it while it starts (needs --synjitsu)")
SPEC_KEY(wake, TEXTS, 0, 2,
	 "what starts it: dns, packet (needs --synjitsu; without dns, queries are answered at once), or both; dns if not given")
SPEC_KEY(ports, TEXTS, 0, 32, "ports whose packets start it, with wake packet; any if not given")
/* The simulated backend's, refused by the others. */
SPEC_KEY(sim_boot, MSEC, 0, 600000, "sim: ms to build the domain")
SPEC_KEY(sim_frame, MSEC, 0, 600000, "sim: ms from there to the first frame")
SPEC_KEY(sim_key, MSEC, 0, 600000, "sim: ms from there until it writes wait_for_key; never if not given")
SPEC_KEY(sim_port, MSEC, 0, 600000, "sim: ms from there until ready_port is open; at once if not given")
SPEC_KEY(sim_death, MSEC, 1, 86400000, "sim: ms after the first frame at which it dies by itself")
SPEC_KEY(sim_reason, DEATH, 0, 0, "sim: what it dies of; poweroff if not given")
SPEC_KEY(sim_console, TEXT, 1, 2000, "sim: its console's last lines when it dies")
SPEC_KEY(sim_fail, TEXT, 1, 200, "sim: the start fails with this text")
SPEC_KEY(sim_stop, MSEC, 0, 600000, "sim: ms to stop it")
SPEC_KEY(sim_deaf, BOOL, 0, 0, "sim: it does not shut down when told to")
SPEC_KEY(sim_wake, MSEC, 0, 600000, "sim: ms to unpause it")
SPEC_KEY(sim_wake_fail, TEXT, 1, 200, "sim: unpausing fails with this text")
SPEC_KEY(sim_suspend, MSEC, 0, 600000, "sim: ms to suspend it")
SPEC_KEY(sim_suspend_fail, TEXT, 1, 200, "sim: suspending fails with this text")
SPEC_KEY(sim_restore, MSEC, 0, 600000, "sim: ms to restore it from its image")
SPEC_KEY(sim_restore_fail, TEXT, 1, 200, "sim: restoring fails with this text, so it boots afresh")
SPEC_KEY(sim_traffic, NUMBER, 0, 1000000000000, "sim: bytes a second that it sends while it runs")
