/*
 * jitsuctl's commands and options: one line each makes the dispatch, the check of the arguments,
 * `jitsuctl help`, the man page and the completion.
 *
 *   COMMAND(id, "arguments", least, most, "summary", "text", "examples")
 *
 * The command's name is its id, its function command_ID. least..most: number of arguments, MANY
 * for no limit. A summary of "" hides it from the help. Paragraphs of the text and examples are
 * apart by a newline.
 *
 *   OPTION(id, 'letter', "long", "argument", "command", "help")
 *
 * argument: "" if it takes none. command: the only one that takes it, "" for all. id is
 * OPTION_id's and a case in main.c.
 */
#ifndef COMMAND
#define COMMAND(id, arguments, least, most, summary, text, examples)
#endif
#ifndef OPTION
#define OPTION(id, letter, name, argument, command, help)
#endif

COMMAND(add, "KEY=VALUE,... | FILE... | -", 1, MANY, "add a service, or those of a file",
	"Adds a service given as KEY=VALUE pairs, apart by commas, a key repeated for several values; "
	"several arguments are taken as one list, so the lines of a shell script can stay as they are. "
	"A comma inside a value is written \\,.\n"
	"Or adds the services of JSON files, '-' being standard input: each holds one object, or an "
	"array of them. They are added in their order; one that is refused is named with its file, "
	"its place and its name, and the others go on unless --stop is given.\n"
	"With --xl-cfg the pairs go with the guest's existing xl configuration: its name, uuid, kernel, "
	"ramdisk, command line, memory, vcpus, type, vif, disk, cpus, pool and what follows its end are "
	"taken unless the pairs have them; every key that jitsud cannot honour is named, and then "
	"nothing is added.\n"
	"kernel, ramdisk, script, rumprun_config and the file of a disk may be relative to the current "
	"directory, as with xl.",
	"jitsuctl add dns=www.example.org,ip=10.0.0.1,kernel=mirage-www.xen,memory=64000,name=www,nic=br0\n"
	"jitsuctl add www.json\n"
	"jitsuctl add --xl-cfg web.cfg dns=www.example.org ip=10.0.0.1\n"
	"jq '.[0]' services.json | jitsuctl add -")
COMMAND(remove, "NAME...", 1, MANY, "remove services and destroy their domains",
	"Removes each of the services, and destroys its domain if it has one. One that cannot be "
	"removed is named, and the others are removed all the same.",
	"jitsuctl remove www")
COMMAND(list, "", 0, 0, "list all services",
	"A line a service: its name, its state, the domain while there is one, its memory, the "
	"queries for it and the time since the last one, its addresses and its DNS names. On a "
	"terminal what is too wide is cut, and of several names the first is shown; in a pipe "
	"everything is written out. \"failed\": its last start failed, or its domain died, and it is "
	"tried again when somebody asks, though not before the time that is shown; 'jitsuctl show' "
	"says why, and 'jitsuctl start' tries it at once. \"afresh\": it was asleep but could not "
	"be restored or woken, and was booted instead; 'jitsuctl show' says why. More than some thousand "
	"come in pieces, each in the order of its names, and with --json each an object.",
	"jitsuctl list\n"
	"jitsuctl --json list | jq -r '.services[] | select(.state == \"ready\") | .name'")
COMMAND(show, "NAME", 1, 1, "show all about one service",
	"Everything that is known of the service: its state, its specification, and its last boot "
	"with the times since the query that woke it.",
	"jitsuctl show www")
COMMAND(start, "NAME...", 1, MANY, "start services, or wake them",
	"Starts each of the services, or wakes it if it sleeps, and waits until it is ready. What "
	"failed before is forgotten: it is tried at once. One that was kept for inspection is ended "
	"first.",
	"jitsuctl start www")
COMMAND(stop, "NAME...", 1, MANY, "put services away until somebody asks for them",
	"Puts each of the services away, in use or not, and waits until that is done: as --mode says, "
	"else by its stop_mode. The next query starts or wakes it again.",
	"jitsuctl stop www\n"
	"jitsuctl stop --mode suspend www")
COMMAND(pause, "NAME...", 1, MANY, "pause services: they keep their memory and wake at once",
	"The same as 'stop --mode pause'.",
	"jitsuctl pause www")
COMMAND(restart, "NAME...", 1, MANY, "end the domains of services and start them anew",
	"Destroys the domain of each of the services, builds it anew, and waits until it is ready. "
	"Queries meanwhile wait.",
	"jitsuctl restart www")
COMMAND(pin, "NAME...", 1, MANY, "never put these services to sleep",
	"Starts each of the services; from now on it stays up, and is started when jitsud starts.",
	"jitsuctl pin www")
COMMAND(unpin, "NAME...", 1, MANY, "let these services sleep again",
	"From now on each of the services is put to sleep when it is idle, by its own policy.",
	"jitsuctl unpin www")
COMMAND(set, "NAME KEY=VALUE...", 2, MANY, "change keys of a service",
	"Changes keys of the service, and says which of them are in force now and which from its next "
	"boot on. A guest that sleeps in a suspend image is booted afresh at its next wake if a key was "
	"changed that its domain is made of, and its notice says so; one that is paused goes on as it "
	"is. Each argument is one key with its value, in which commas mean nothing; a key comes "
	"several times for several values. KEY= without a value takes the key away. 'jitsuctl help "
	"add' lists the keys.",
	"jitsuctl set www ttl=30 idle=pause:2m,suspend:10m,destroy:1h\n"
	"jitsuctl set www dns=www.example.org dns=example.org cmdline=")
COMMAND(console, "NAME", 1, 1, "connect to the console of a service",
	"Runs Xen's own 'xl console' for the service's domain; leave it with Ctrl-]. It must run "
	"already, and be a domain: a simulated one has no console.",
	"jitsuctl console www")
COMMAND(events, "", 0, 0, "show what happened to the services",
	"A line an event: when, which service, from which state to which, and why. The last 256 "
	"events, or with --follow the last 10 and then whatever happens, until it is interrupted. "
	"With --json an event a line.",
	"jitsuctl events --follow\n"
	"jitsuctl --json events --follow | jq -r 'select(.kind == \"failure\").why'")
COMMAND(trace, "NAME", 1, 1, "show where the time of a service's last wake went",
	"The phases of its last boot, restore or wake, from the query to the answer, as bars, in "
	"milliseconds: queue, its wait for a place; build, of the domain; then the signs that it was "
	"ready: key, port, frame (of a restored one: its nic is connected again); settle, its "
	"response_delay; answer. In a pipe a line a phase: its name, its begin and its end, apart "
	"by tabs.",
	"jitsuctl trace www")
COMMAND(top, "", 0, 0, "show the services that are used, again and again",
	"A table of the services, the most used first, drawn anew until q is pressed: state, memory, "
	"how long its last wake took, queries and traffic a second. In a pipe, or with --once, one "
	"table, after one interval.",
	"jitsuctl top\n"
	"jitsuctl top --once --interval 10")
COMMAND(status, "", 0, 0, "show the daemon's state",
	"The daemon's version and backend, how many services are in which state, the host's memory, "
	"and domains that bear jitsud's mark but belong to no service.",
	"jitsuctl status")
COMMAND(version, "", 0, 0, "show the versions of jitsuctl and of the daemon",
	"Both versions. Without a daemon its own, and exit status 3.",
	"jitsuctl version")
COMMAND(help, "[COMMAND]", 0, 1, "explain a command",
	"Explains the command; 'jitsuctl help add' lists every key of a service.",
	"jitsuctl help add")
COMMAND(document, "man | bash", 1, 1, "", "", "")

OPTION(socket, 's', "socket", "PATH", "",
       "the daemon's control socket; else the environment's JITSU_SOCKET, else " CONTROL_SOCKET)
OPTION(json, 'j', "json", "", "",
       "write the daemon's answers as JSON, one document a line; errors too, as {\"error\": ...}")
OPTION(timeout, 't', "timeout", "SECONDS", "", "how long to wait for each answer; 60 if not given")
OPTION(stop, 0, "stop", "", "add", "stop at the first service that is refused")
OPTION(xl_cfg, 0, "xl-cfg", "FILE", "add", "take the rest from this xl configuration")
OPTION(mode, 'm', "mode", "MODE", "stop", "destroy, shutdown, suspend or pause")
OPTION(follow, 'f', "follow", "", "events", "go on with what happens")
OPTION(interval, 'i', "interval", "SECONDS", "top", "how long between two tables; 2 if not given")
OPTION(once, '1', "once", "", "top", "one table, as in a pipe")
OPTION(help, 'h', "help", "", "", "explain the command, or jitsuctl")
OPTION(version, 'V', "version", "", "", "show jitsuctl's version")

#undef COMMAND
#undef OPTION
