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
	"everything is written out. \"(failed)\" behind a state: the last start failed, and "
	"'jitsuctl show' says why.",
	"jitsuctl list\n"
	"jitsuctl --json list | jq -r '.services[] | select(.state == \"ready\") | .name'")
COMMAND(show, "NAME", 1, 1, "show all about one service",
	"Everything that is known of the service: its state, its specification, and its last boot "
	"with the times since the query that woke it.",
	"jitsuctl show www")
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
OPTION(help, 'h', "help", "", "", "explain the command, or jitsuctl")
OPTION(version, 'V', "version", "", "", "show jitsuctl's version")

#undef COMMAND
#undef OPTION
