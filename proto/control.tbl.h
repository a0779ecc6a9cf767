/*
 * The control socket (JSON-RPC 2.0) as tables: they make the dispatch, the check of the
 * parameters, rpc.discover and openrpc.json, the lists in PROTOCOL.md, and jitsuctl's output.
 * An includer defines the macros that it wants; the others expand to nothing and all are
 * undefined at the end.
 *
 *   METHOD(id, "name", access, params, result, "help")
 *
 * access: READ, or WRITE for what changes something.
 * params: SPEC (the service's object itself, see spec.tbl.h), or a list of PARAM lines; NONE has
 *         none.
 * result: a list of FIELD lines, or openrpc.
 *
 *   PARAM(params, key, kind, needed, "help")      needed: NEEDED or OPTIONAL
 *   FIELD(result, key, kind, "help")              a field that does not apply is left out
 *
 * Kinds: TEXT, TEXTS (array of strings), BOOL, NUMBER (whole), KIB, MSEC, SECONDS (numbers in
 * that unit), DATE (Unix time), TIME (the same with fractions), COUNTS (an object of numbers), and
 * an object or array of objects described by SPEC or by another list of FIELDs: SPEC, VALUES (any
 * of its keys), BOOT, SERVICES, EVENTS.
 *
 *   CONTROL_ERROR(id, code, "kind", "meaning")    kind is data.kind of the error
 */
#ifndef METHOD
#define METHOD(id, name, access, params, result, help)
#endif
#ifndef PARAM
#define PARAM(params, key, kind, needed, help)
#endif
#ifndef FIELD
#define FIELD(result, key, kind, help)
#endif
#ifndef CONTROL_ERROR
#define CONTROL_ERROR(id, code, kind, meaning)
#endif

METHOD(service_add, "service.add", WRITE, SPEC, service,
       "Adds a service; it is stored when this answers.")
METHOD(service_remove, "service.remove", WRITE, NAME, removed,
       "Removes a service and destroys its domain.")
METHOD(service_list, "service.list", READ, LIST, services,
       "Every service, short: at most 10000 of them, and some MiB, in an answer.")
METHOD(service_get, "service.get", READ, NAME, service,
       "One service, whole, with its last boot.")
METHOD(service_set, "service.set", WRITE, SET, changed,
       "Changes keys of a service; it is stored when this answers.")
METHOD(service_start, "service.start", WRITE, NAME, service,
       "Starts it or wakes it, whatever failed before; answers when it is ready.")
METHOD(service_stop, "service.stop", WRITE, STOP, service,
       "Puts it away until somebody asks for it; answers when that is done.")
METHOD(service_pause, "service.pause", WRITE, NAME, service,
       "service.stop with the mode pause.")
METHOD(service_restart, "service.restart", WRITE, NAME, service,
       "Ends its domain and starts it anew; answers when it is ready.")
METHOD(service_pin, "service.pin", WRITE, NAME, service,
       "From now on it is never put to sleep, and started when jitsud starts; starts it.")
METHOD(service_unpin, "service.unpin", WRITE, NAME, service,
       "From now on it is put to sleep as it was before service.pin.")
METHOD(daemon_status, "daemon.status", READ, NONE, status,
       "The daemon: version, backend, counts.")
METHOD(events_subscribe, "events.subscribe", READ, EVENTS, subscribed,
       "From the answer on, events come on this connection as notifications.")
METHOD(rpc_discover, "rpc.discover", READ, NONE, openrpc,
       "This interface as an OpenRPC document.")

PARAM(NAME, name, TEXT, NEEDED, "the service's name")
PARAM(LIST, measure, BOOL, OPTIONAL,
      "have the traffic of every domain measured, for rx and tx of the next answer")
PARAM(LIST, limit, NUMBER, OPTIONAL, "at most so many, from 1 to 10000")
PARAM(LIST, from, NUMBER, OPTIONAL, "the answer's `next`, to go on where it ended")
PARAM(STOP, name, TEXT, NEEDED, "the service's name")
PARAM(STOP, mode, TEXT, OPTIONAL,
      "destroy, shutdown, suspend or pause; if not given, the service's stop_mode")
PARAM(SET, name, TEXT, NEEDED, "the service's name")
PARAM(SET, values, VALUES, NEEDED, "an object of a service's keys; null takes a key away")
PARAM(EVENTS, recent, NUMBER, OPTIONAL,
      "how many of the last events to answer with, of the 256 that are kept; 0 if not given")

/* In service.list up to measured. */
FIELD(service, name, TEXT, "the service's name")
FIELD(service, state, TEXT, "off, starting, ready, stopping, paused, suspended, "
      "kept (dead, left for inspection) or failed (off, since its last start failed)")
FIELD(service, simulated, BOOL, "true: no virtual machine is behind it (backend sim)")
FIELD(service, dns, TEXTS, "the names that summon it")
FIELD(service, ip, TEXTS, "its addresses")
FIELD(service, memory, KIB, "memory of its domain in KiB")
FIELD(service, domid, NUMBER, "its domain, while there is one")
FIELD(service, uuid, TEXT, "UUID of its domain")
FIELD(service, queries, NUMBER, "DNS queries for it since the daemon started")
FIELD(service, asked, SECONDS, "seconds since it was last asked for")
FIELD(service, boots, NUMBER, "how often it was started since the daemon started")
FIELD(service, failures, NUMBER, "how many of its starts and stops failed since then")
FIELD(service, error, TEXT, "why its last start failed, or how it died, until a start succeeds")
FIELD(service, failures_in_row, NUMBER, "how many failures there were in a row")
FIELD(service, retry, SECONDS, "seconds until it may be started again after failures")
FIELD(service, pinned, BOOL, "true: never put to sleep")
FIELD(service, wake, MSEC, "from the last query that woke it until it was ready")
FIELD(service, rx, NUMBER, "bytes that its domain received, when that was last measured")
FIELD(service, tx, NUMBER, "bytes that its domain sent, then")
FIELD(service, measured, SECONDS, "seconds since then")
FIELD(service, death, TEXT, "how its last domain that ended by itself did so, until service.start")
FIELD(service, console, TEXT, "the last lines of that domain's console")
FIELD(service, why, TEXT, "why it is in that state, a text of the table below")
FIELD(service, notice, TEXT, "why it was booted afresh although it was asleep")
FIELD(service, phase, TEXT, "the state within, a name of LIFECYCLE.md")
FIELD(service, awaits, TEXT, "the sign of readiness that is awaited: key, port or frame")
FIELD(service, image, BOOL, "true: there is a suspend image of it")
FIELD(service, added, DATE, "when it was added, Unix time")
FIELD(service, boot, BOOT, "its last boot, unless it was found running")
FIELD(service, spec, SPEC, "the specification as it is stored")

/* Times count from the query that woke it. */
FIELD(boot, want, NUMBER, "that query, CLOCK_MONOTONIC of the host in microseconds")
FIELD(boot, how, TEXT, "booted, restored from its suspend image, or woken from its pause")
FIELD(boot, began, MSEC, "building the domain began")
FIELD(boot, created, MSEC, "the domain is built and runs, or runs again")
FIELD(boot, key, MSEC, "its wait_for_key was there")
FIELD(boot, port, MSEC, "its ready_port took a connection")
FIELD(boot, frame, MSEC,
      "its first frame came out of a vif; of a restored one: its nic was connected again")
FIELD(boot, missed, TEXTS, "those of key, port and frame that did not come within their limit")
FIELD(boot, ready, MSEC, "ready: the response delay is over, too")
FIELD(boot, answered, MSEC, "those who waited have their answer")
FIELD(boot, waiters, NUMBER, "how many queries waited")
FIELD(boot, late, BOOL, "true: answered at the wait limit, before it was ready")
FIELD(boot, idle, MSEC, "found to be idle")
FIELD(boot, retired, MSEC, "queries for it wait from here on")
FIELD(boot, stopped, MSEC, "its domain is paused, or gone")

FIELD(removed, name, TEXT, "the service that is gone")
FIELD(removed, destroyed, BOOL, "false: after 30 s its domain is still there; it is tried further")

FIELD(services, simulated, BOOL, "true: no virtual machine is behind any of them (backend sim)")
FIELD(services, services, SERVICES, "one object a service; those of one answer in the order of their names")
FIELD(services, next, NUMBER, "there are more: `from` for them")

FIELD(status, version, TEXT, "the daemon's version")
FIELD(status, backend, TEXT, "what starts the domains: libxl, sim")
FIELD(status, backend_version, TEXT, "version of the hypervisor")
FIELD(status, simulated, BOOL, "true: no virtual machine is behind any service (backend sim)")
FIELD(status, dns, BOOL, "the room that answers queries is connected")
FIELD(status, toolstack, BOOL, "the room that starts domains is connected and has named them all")
FIELD(status, listen, TEXT, "where DNS is served")
FIELD(status, store, TEXT, "where the services are kept; \":memory:\" keeps nothing")
FIELD(status, uptime, SECONDS, "seconds since the engine started")
FIELD(status, services, NUMBER, "how many services there are")
FIELD(status, states, COUNTS, "how many of them are in each state")
FIELD(status, boots, NUMBER, "starts since the engine started")
FIELD(status, failures, NUMBER, "starts that failed since the engine started")
FIELD(status, limited, COUNTS, "queries that met a limit on their client network or on starts, by limit")
FIELD(status, memory_free, KIB, "free memory of the host in KiB")
FIELD(status, memory_total, KIB, "memory of the host in KiB")
FIELD(status, reserve, KIB, "memory of the host that no guest gets, in KiB")
FIELD(status, orphans, TEXTS,
      "domains that bear our mark, and suspend images, that no service owns")

FIELD(changed, name, TEXT, "the service")
FIELD(changed, now, TEXTS, "keys that count from now on")
FIELD(changed, later, TEXTS, "keys that count from its next boot on; a suspend image of before, if one of them shapes the "
      "domain, is not restored then")

FIELD(subscribed, events, EVENTS, "the last events before this, the oldest first")

/* The params of a notification `event`. */
FIELD(event, time, TIME, "when it happened, Unix time")
FIELD(event, kind, TEXT,
      "state: it went over into another one; failure: of a start, a stop or a wake; added, "
      "removed, changed: the service; dropped: the last that a subscriber hears who does not read")
FIELD(event, service, TEXT, "the service's name")
FIELD(event, from, TEXT, "the state that it left")
FIELD(event, to, TEXT, "the state that it is in")
FIELD(event, why, TEXT, "what made it so, for people")

/* JSON-RPC's own. */
CONTROL_ERROR(PARSE, -32700, "parse", "the line is not JSON; id is null")
CONTROL_ERROR(REQUEST, -32600, "request", "JSON, but no request; id is null if it has none")
CONTROL_ERROR(METHOD, -32601, "method", "no such method")
CONTROL_ERROR(PARAMS, -32602, "params", "a parameter is missing, unknown or of the wrong type")
CONTROL_ERROR(INTERNAL, -32603, "internal", "a fault in the daemon")
/* Ours: one for each kind of base/error.h, and denied. */
CONTROL_ERROR(INPUT, -32001, "input", "what was asked for is wrong; the asker can mend it")
CONTROL_ERROR(CONFLICT, -32002, "conflict", "it is taken, or in the way of something else")
CONTROL_ERROR(ABSENT, -32003, "absent", "no such thing")
CONTROL_ERROR(BUSY, -32004, "busy", "not now; asking again may succeed")
CONTROL_ERROR(SYSTEM, -32005, "system", "a system call, a library or Xen failed")
CONTROL_ERROR(DENIED, -32006, "denied", "the caller may not use this method")

#undef METHOD
#undef PARAM
#undef FIELD
#undef CONTROL_ERROR
