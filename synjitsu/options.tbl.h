/*
 *   OPTION(member, letter, "long option", kind, "default", "VALUE", "help")
 *
 * Kinds: TEXTS (repeated), TEXT, NUMBER, FLAG.
 */
OPTION(interfaces, 'i', "interface", TEXTS, NULL, "NAME", "bridge of this machine whose guests it serves, or, in a driver domain, the interface that leads to them; several are allowed")
OPTION(client, 'c', "client", NUMBER, "0", "DOMID", "domain that jitsud runs in, which may connect by vchan")
OPTION(unix_path, 'u', "unix", TEXT, NULL, "PATH", "a UNIX socket for jitsud in place of the vchan, where there is no Xen")
OPTION(udp, 'U', "udp", FLAG, "0", NULL, "hold first datagrams of UDP too")
OPTION(wakes, 'w', "wakes", NUMBER, "100", "N", "at most so many sleeping services are woken a second")
OPTION(wakes_each, 'W', "wakes-each", NUMBER, "10", "N", "… by one source")
OPTION(log_level, 'l', "log-level", TEXT, "info", "LEVEL", "error, warning, info or debug")
