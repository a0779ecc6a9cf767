/*
 * jitsud's settings: one line each makes the command-line option, the key of jitsud.conf, the
 * check, and the line of `jitsud --help`. Letters and long names are the original's where it had
 * the option.
 *
 *   CONFIG(member, letter, "long option", "key in the file", kind, min, max, "default", "VALUE", "help")
 *
 * Kinds: TEXT (char *; max is of its bytes, 0: any), PATH (the same, made absolute),
 * TEXTS (struct config_texts: repeated options, or a list in the file),
 * NUMBER (int64_t), SECONDS (int64_t in ms, given in seconds), FLAG (int64_t 0 or 1).
 * Letter 0: none. Key "": not for the file. Default NULL: none.
 */
CONFIG(bind, 'b', "bind", "bind", TEXTS, 1, 16, "127.0.0.1", "ADDR", "address to answer DNS on, IPv4 or IPv6; several are allowed")
CONFIG(listen, 'l', "listen", "listen", NUMBER, 1, 65535, "53", "PORT", "port to answer DNS on, UDP and TCP")
CONFIG(dns_threads, 0, "dns-threads", "dns_threads", NUMBER, 1, 16, "1", "N", "threads that answer for services that are up, each with UDP sockets of its own")
CONFIG(forwarder, 'f', "forwarder", "forwarder", TEXTS, 0, 16, NULL, "ADDR", "where to send queries for other names; 0.0.0.0: nowhere; not given: the servers of --resolv-conf")
CONFIG(forward_port, 'p', "port", "forward_port", NUMBER, 1, 65535, "53", "PORT", "port to forward to")
CONFIG(resolv_conf, 0, "resolv-conf", "resolv_conf", PATH, 0, 0, "/etc/resolv.conf", "FILE", "whose servers are forwarded to where --forwarder is not given; read again when it changes")
CONFIG(allow_recursion, 0, "allow-recursion", "allow_recursion", TEXTS, 0, 64, "local", "NETWORK", "who may have other names forwarded: addresses, networks, local (loopback and the networks of this host's interfaces), any or none")
CONFIG(forward_special, 0, "forward-special", "forward_special", TEXTS, 0, 128, NULL, "ZONE", "forward this zone of private addresses or special-use name, such as 10.in-addr.arpa, which is kept home otherwise; or all")
CONFIG(response_delay, 'd', "delay", "response_delay", SECONDS, 0, 60000, "0.1", "SECONDS", "time between a guest's readiness and the answer")
CONFIG(ttl, 't', "ttl", "ttl", NUMBER, 0, 604800, "60", "SECONDS", "TTL of answers; a guest is put away after twice that without a query")
CONFIG(wait_limit, 0, "wait-limit", "wait_limit", NUMBER, 0, 60000, "700", "MS", "longest time an answer is held, in milliseconds")
CONFIG(mode, 'm', "mode", "mode", TEXT, 0, 0, "destroy", "MODE", "how guests are put away: destroy, shutdown, suspend or pause")
CONFIG(zones, 0, "zones", "zones", TEXTS, 0, 64, NULL, "ZONE", "a zone that is all ours: names in it that no service has do not exist; several are allowed")
CONFIG(ns, 0, "ns", "ns", TEXTS, 0, 16, NULL, "NAME[=ADDR]", "name server of the zones, with its address if that is in one of them; ns.ZONE, with the addresses of --bind, if none is given")
CONFIG(mbox, 0, "mbox", "mbox", TEXT, 0, 0, NULL, "MAILBOX", "who is responsible for the zones; hostmaster@ZONE if not given")
CONFIG(ptr, 0, "ptr", "ptr", NUMBER, 0, 1, "1", "0|1", "answer for the names of services' addresses (PTR), unless a service says otherwise")
CONFIG(identity, 0, "identity", "identity", TEXT, 0, 255, NULL, "TEXT", "what to answer to id.server and NSID; they are refused or ignored if not given")
CONFIG(rate_limit, 0, "rate-limit", "rate_limit", NUMBER, 0, 1000000, "200", "N", "UDP answers a second to a client network (/24, /56), with five times that at once; 0: no limit")
CONFIG(rate_slip, 0, "rate-slip", "rate_slip", NUMBER, 0, 100, "2", "N", "over the rate every N-th query is answered TC, so that a real client comes back over TCP; 0: none")
CONFIG(wakes, 0, "wakes", "wakes", NUMBER, 0, 100000, "50", "N", "services that queries may start, a second, with ten times that at once; 0: no bound")
CONFIG(wakes_per_network, 0, "wakes-per-network", "wakes_per_network", NUMBER, 0, 100000, "5", "N", "the same for each client network; 0: no bound")
CONFIG(limits_exempt, 0, "limits-exempt", "limits_exempt", TEXTS, 0, 64, "local", "NETWORK", "clients without limits of their own: addresses, networks, local, any or none")
CONFIG(cookies, 0, "cookies", "cookies", NUMBER, 0, 1, "1", "0|1", "DNS cookies: clients that show one are not limited")
CONFIG(cookie_secret, 0, "cookie-secret", "cookie_secret", TEXTS, 0, 4, NULL, "HEX", "32 hexadecimal digits that servers of one address share; the first makes cookies, all are taken; drawn at the start and changed each day if not given")
CONFIG(tcp_connections, 0, "tcp-connections", "tcp_connections", NUMBER, 16, 60000, "2048", "N", "TCP connections at once; when they are so many the longest idle is closed")
CONFIG(tcp_per_network, 0, "tcp-per-network", "tcp_per_network", NUMBER, 0, 60000, "64", "N", "the same for each client network; 0: no bound")
CONFIG(backend, 'x', "backend", "backend", TEXT, 0, 0, "libxl", "BACKEND", "libxl, or sim (no virtual machines, for development)")
CONFIG(connect, 'c', "connect", "connect", TEXT, 0, 0, "xen:///", "URI", "the original's connection string; libxl knows xen:/// only")
CONFIG(persistdb, 0, "persistdb", "persistdb", PATH, 0, 0, "/var/lib/jitsu/jitsu.db", "PATH", "where services are kept; :memory: keeps nothing")
CONFIG(control, 0, "control", "control", PATH, 0, 0, "/run/jitsu/control.sock", "PATH", "the control socket")
CONFIG(services, 0, "services", "services", TEXTS, 0, 64, NULL, "FILE", "a JSON file with an array of services to have from the start")
CONFIG(services_dir, 0, "services-dir", "services_dir", PATH, 0, 0, "/etc/jitsu/services.d", "DIR", "a folder of *.json files, each one service or an array of them")
CONFIG(boots, 0, "boots", "boots", NUMBER, 1, 64, "4", "N", "how many guests may be building at once; others queue")
CONFIG(suspend_dir, 0, "suspend-dir", "suspend_dir", PATH, 0, 0, "/var/lib/jitsu/suspend", "DIR", "where suspended guests are kept: a folder of root's alone, made if it is not there; on a tmpfs they wake faster")
CONFIG(synjitsu, 0, "synjitsu", "synjitsu", TEXT, 0, 0, NULL, "DOMAIN", "UUID, name or number of the domain that a Synjitsu runs in, 0 is this host's; it holds the addresses of services that are being started")
CONFIG(reserve, 0, "reserve", "reserve", NUMBER, 0, 1048576, "64", "MIB", "memory of the host, in MiB, that no guest gets; idle guests make room for a start")
CONFIG(user, 0, "user", "user", TEXT, 0, 0, "jitsu", "USER", "user of the processes that need no privilege, when started as root")
CONFIG(sandbox, 0, "sandbox", "sandbox", NUMBER, 0, 1, "1", "0|1", "let those processes make only the system calls that they need (seccomp)")
CONFIG(log_level, 0, "log-level", "log_level", TEXT, 0, 0, "info", "LEVEL", "error, warning, info or debug")
CONFIG(foreground, 0, "foreground", "", FLAG, 0, 1, "0", NULL, "stay in the foreground, log to standard error instead of syslog")
CONFIG(config, 0, "config", "", TEXT, 0, 0, "/etc/jitsu/jitsud.conf", "FILE", "settings, in the syntax of xl.conf; need not exist unless given")
CONFIG(check, 0, "check-config", "", FLAG, 0, 1, "0", NULL, "read all settings, say what is wrong, and end")
