/*
 * A guest's existing xl configuration (xl.cfg(5)) as a service. libxlutil reads it, as it does for
 * xl; what it cannot say is which keys there are, so these are looked for here.
 */
#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <libxlutil.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "jitsuctl/jitsuctl.h"
#include "proto/spec_kind.h"

#define SCRIPTS	      "/etc/xen/scripts/" /* where xl looks for those without a path */
#define BRIDGE_SCRIPT "vif-bridge"	  /* what jitsud does by itself */

struct xl {
	struct context *context;
	const char *path;
	XLU_Config *file;
	struct json_object *given; /* what the command line says, which goes first */
	struct json_object *found;
	unsigned line; /* of the key that is looked at */
	bool bad;
};

struct row {
	const char *key;
	void (*take)(struct xl *xl, const struct row *row);
	const char *to; /* the service's key, or the value that changes nothing */
};

/* Shows one of the keys that are wrong; all are looked at before it is given up. */
static void __attribute__((format(printf, 4, 5)))
bad(struct xl *xl, const char *key, const char *value, const char *fmt, ...)
{
	char why[ERROR_TEXT_MAX], where[PATH_MAX + 16];
	struct error err;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	error_field(&err, ERROR_INPUT, key, value, "%s", why);
	snprintf(where, sizeof where, "%s:%u", xl->path, xl->line);
	complain(xl->context, where, &err, NULL);
	xl->bad = true;
}

static bool is_given(const struct xl *xl, const char *key)
{
	return json_object_object_get_ex(xl->given, key, NULL);
}

static void found(struct xl *xl, const char *key, const char *text)
{
	json_object_object_add(xl->found, key, json_object_new_string(text));
}

/* NULL if it is not there, or is a list, which was said then. */
static const char *text_of(struct xl *xl, const char *key)
{
	const char *text = NULL;

	if (xlu_cfg_get_string(xl->file, key, &text, 1) == EINVAL)
		bad(xl, key, NULL, "expected one value, not a list");
	return text;
}

static bool number_of(struct xl *xl, const char *key, long *out)
{
	int rc = xlu_cfg_get_long(xl->file, key, out, 1);

	if (rc == ESRCH)
		return false;
	if (rc || *out < 1 || *out > INT32_MAX) {
		bad(xl, key, text_of(xl, key), "expected a number from 1 on");
		return false;
	}
	return true;
}

static void take_text(struct xl *xl, const struct row *row)
{
	const char *text = text_of(xl, row->key);

	if (text)
		found(xl, row->to, text);
}

/* As xl puts them together: cmdline alone, or root and extra. */
static void take_cmdline(struct xl *xl, const struct row *row)
{
	const char *cmdline = text_of(xl, "cmdline");
	const char *root = text_of(xl, "root"), *extra = text_of(xl, "extra");
	cleanup_free char *text = NULL;

	if (asprintf(&text, "%s%s%s%s", root ? "root=" : "", root ? root : "",
		     root && extra ? " " : "", extra ? extra : "") < 0)
		abort();
	found(xl, row->to, cmdline ? cmdline : text);
}

/* MiB there, KiB here. */
static void take_memory(struct xl *xl, const struct row *row)
{
	long mib;

	if (number_of(xl, row->key, &mib))
		json_object_object_add(xl->found, row->to, json_object_new_int64(mib * 1024));
}

static void take_number(struct xl *xl, const struct row *row)
{
	long n;

	if (number_of(xl, row->key, &n))
		json_object_object_add(xl->found, row->to, json_object_new_int64(n));
}

/* A limit that may only be what the other key says. */
static void take_limit(struct xl *xl, const struct row *row)
{
	long limit, n = 1;

	if (!number_of(xl, row->key, &limit))
		return;
	xlu_cfg_get_long(xl->file, row->to, &n, 1);
	if (limit != n)
		bad(xl, row->key, text_of(xl, row->key),
		    "expected as %s, %ld: a guest has the same all the time", row->to, n);
}

static void take_builder(struct xl *xl, const struct row *row)
{
	static const char *const builders[][2] = { { "hvm", "hvm" },
						   { "generic", "pv" },
						   { "linux", "pv" } };
	const char *builder = text_of(xl, row->key);

	if (!builder || xlu_cfg_get_string(xl->file, "type", &(const char *){ NULL }, 1) == 0)
		return; /* type goes first, as with xl */
	for (size_t i = 0; i < ARRAY_SIZE(builders); i++) {
		if (strcmp(builder, builders[i][0]) == 0) {
			found(xl, row->to, builders[i][1]);
			return;
		}
	}
	bad(xl, row->key, builder, "expected hvm or generic, or type in its place");
}

static void take_fate(struct xl *xl, const struct row *row)
{
	const char *text = text_of(xl, row->key);
	const char *const *words;
	char known[64];
	size_t n;

	if (!text)
		return;
	words = spec_words(SPEC_KIND_FATE, &n);
	for (size_t i = 0; i < n; i++) {
		if (words[i] && strcmp(words[i], text) == 0) {
			found(xl, row->to, text);
			return;
		}
	}
	spec_words_join(SPEC_KIND_FATE, known, sizeof known);
	bad(xl, row->key, text, "expected one of: %s", known);
}

/* Harmless with the value that libxl takes by itself. */
static void take_default(struct xl *xl, const struct row *row)
{
	const char *text = text_of(xl, row->key);

	if (text && strcmp(text, row->to) != 0)
		bad(xl, row->key, text, "jitsud can honour only %s", row->to);
}

static void take_cpus(struct xl *xl, const struct row *row)
{
	if (xlu_cfg_get_list(xl->file, row->key, NULL, NULL, 1) == 0)
		bad(xl, row->key, NULL,
		    "expected one text for all virtual CPUs, not a list of one for each");
	else
		take_text(xl, row);
}

static void take_disks(struct xl *xl, const struct row *row)
{
	struct json_object *disks = json_object_new_array();
	XLU_ConfigList *list;
	int n;

	if (xlu_cfg_get_list(xl->file, row->key, &list, &n, 1)) {
		bad(xl, row->key, NULL, "expected a list in brackets");
		n = 0;
	}
	for (int i = 0; i < n; i++) {
		const char *disk = xlu_cfg_get_listitem(list, i);

		if (disk)
			json_object_array_add(disks, json_object_new_string(disk));
		else
			bad(xl, row->key, NULL, "expected a list of texts");
	}
	json_object_object_add(xl->found, row->to, disks);
}

/* --- vif --- */

struct vifs {
	struct json_object *nic, *mac, *script;
};

static void add_script(struct vifs *vifs, const char *script)
{
	cleanup_free char *path = NULL;

	if (strncmp(script, SCRIPTS, strlen(SCRIPTS)) == 0)
		script += strlen(SCRIPTS);
	if (strcmp(script, BRIDGE_SCRIPT) == 0)
		return;
	if (asprintf(&path, "%s%s", *script == '/' ? "" : SCRIPTS, script) < 0)
		abort();
	json_object_array_add(vifs->script, json_object_new_string(path));
}

/* One `key=value` of a vif. */
static void take_vif_part(struct xl *xl, struct vifs *vifs, char *part, const char **bridge,
			  const char **mac)
{
	char *value = strchr(part, '=');

	part += strspn(part, " \t");
	if (!*part)
		return;
	if (value)
		*value++ = '\0';
	else
		value = part + strlen(part);
	if (strcmp(part, "bridge") == 0)
		*bridge = value;
	else if (strcmp(part, "mac") == 0)
		*mac = value;
	else if (strcmp(part, "script") == 0)
		add_script(vifs, value);
	else if (strcmp(part, "type") != 0 || (strcmp(value, "vif") && strcmp(value, "netfront")))
		bad(xl, "vif", part, "jitsud can honour only bridge, mac and script in it");
}

static void take_vif(struct xl *xl, struct vifs *vifs, const char *vif)
{
	cleanup_free char *text = strdup(vif ? vif : "");
	char *rest = text, *part;
	const char *bridge = NULL, *mac = NULL;

	if (!text)
		abort();
	if (!vif) {
		bad(xl, "vif", NULL, "expected a list of texts");
		return;
	}
	while ((part = strsep(&rest, ",")))
		take_vif_part(xl, vifs, part, &bridge, &mac);
	if (!bridge && !is_given(xl, "nic"))
		bad(xl, "vif", vif, "expected bridge=NAME in it, or nic=NAME on the command line");
	if (mac && json_object_array_length(vifs->mac) < json_object_array_length(vifs->nic))
		bad(xl, "vif", vif, "expected a mac in the vifs before it too");
	json_object_array_add(vifs->nic, json_object_new_string(bridge ? bridge : ""));
	if (mac)
		json_object_array_add(vifs->mac, json_object_new_string(mac));
}

static void take_vifs(struct xl *xl, const struct row *row)
{
	struct vifs vifs = { json_object_new_array(), json_object_new_array(),
			     json_object_new_array() };
	XLU_ConfigList *list;
	size_t scripts;
	int n;

	if (xlu_cfg_get_list(xl->file, row->key, &list, &n, 1)) {
		bad(xl, row->key, NULL, "expected a list in brackets");
		n = 0;
	}
	for (int i = 0; i < n; i++)
		take_vif(xl, &vifs, xlu_cfg_get_listitem(list, i));
	scripts = json_object_array_length(vifs.script);
	if (scripts && scripts != (size_t)n)
		bad(xl, row->key, NULL, "expected the script of each vif where one has its own");
	json_object_object_add(xl->found, "nic", vifs.nic);
	json_object_object_add(xl->found, "mac", vifs.mac);
	json_object_object_add(xl->found, "script", vifs.script);
}

/* --- the whole --- */

static const struct row rows[] = {
	{ "name", take_text, "name" },
	{ "uuid", take_text, "uuid" },
	{ "kernel", take_text, "kernel" },
	{ "ramdisk", take_text, "ramdisk" },
	{ "cmdline", take_cmdline, "cmdline" },
	{ "root", take_cmdline, "cmdline" },
	{ "extra", take_cmdline, "cmdline" },
	{ "memory", take_memory, "memory" },
	{ "maxmem", take_limit, "memory" },
	{ "vcpus", take_number, "vcpus" },
	{ "maxvcpus", take_limit, "vcpus" },
	{ "type", take_text, "type" },
	{ "builder", take_builder, "type" },
	{ "vif", take_vifs, "nic" },
	{ "disk", take_disks, "disk" },
	{ "cpus", take_cpus, "cpus" },
	{ "pool", take_text, "cpupool" },
	{ "on_poweroff", take_fate, "on_poweroff" },
	{ "on_reboot", take_fate, "on_reboot" },
	{ "on_crash", take_fate, "on_crash" },
	{ "on_watchdog", take_default, "destroy" },
	{ "acpi", take_default, "1" },
	{ "apic", take_default, "1" },
	{ "pae", take_default, "1" },
	{ "localtime", take_default, "0" },
	{ "nestedhvm", take_default, "0" },
	{ "device_model_version", take_default, "qemu-xen" },
	{ "xen_platform_pci", take_default, "1" },
	{ "boot", take_default, "c" },
	{ "serial", take_default, "pty" },
	{ "vga", take_default, "none" },
	{ "vnc", take_default, "0" },
	{ "sdl", take_default, "0" },
	{ "usb", take_default, "0" },
	{ "nomigrate", take_default, "0" },
	{ "driver_domain", take_default, "0" },
};

static void take_key(struct xl *xl, const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (strcmp(rows[i].key, key) == 0) {
			rows[i].take(xl, &rows[i]);
			return;
		}
	}
	bad(xl, key, NULL, "jitsud cannot honour this key");
}

/* Over a value to its end: a line's or a semicolon, outside of quotes, brackets and remarks. */
static const char *skip_value(const char *c, unsigned *line)
{
	unsigned depth = 0;

	for (; *c && !(depth == 0 && (*c == '\n' || *c == ';')); c++) {
		if (*c == '#') {
			c += strcspn(c, "\n") - 1;
		} else if (*c == '"' || *c == '\'') {
			char quote = *c;

			for (c++; *c && *c != quote; c++) {
				if (*c == '\\' && c[1])
					c++;
				*line += *c == '\n';
			}
			if (!*c)
				break;
		} else {
			depth += *c == '[';
			depth -= *c == ']' && depth;
			*line += *c == '\n';
		}
	}
	return c;
}

/* Every key of a text that libxlutil has taken, once, where it stands first. */
static void take_keys(struct xl *xl, const char *text)
{
	struct json_object *seen = json_object_new_object();
	unsigned line = 1;

	for (const char *c = text; *c;) {
		size_t n = strspn(
			c, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");

		if (n) {
			cleanup_free char *key = strndup(c, n);

			if (!key)
				abort();
			xl->line = line;
			if (!json_object_object_get_ex(seen, key, NULL))
				take_key(xl, key);
			json_object_object_add(seen, key, NULL);
			c = skip_value(c + n, &line);
		} else if (*c == '#') {
			c += strcspn(c, "\n");
		} else {
			line += *c++ == '\n';
		}
	}
	json_object_put(seen);
}

/* What libxlutil said, in one line without its own prefix. */
static void complain_syntax(struct context *context, const char *path, char *messages)
{
	struct error err;
	size_t prefix = strlen(path);

	messages[strcspn(messages, "\n")] = '\0';
	if (strncmp(messages, path, prefix) == 0 && messages[prefix] == ':')
		messages += prefix + 1;
	error_set(&err, ERROR_INPUT, "%s", *messages ? messages : "not an xl configuration");
	complain(context, path, &err, NULL);
}

static bool read_config(struct xl *xl, const char *text, size_t size)
{
	char *messages = NULL;
	size_t used;
	FILE *report = open_memstream(&messages, &used);
	bool read;

	if (!report)
		abort();
	xl->file = xlu_cfg_init(report, xl->path);
	if (!xl->file)
		abort();
	read = xlu_cfg_readdata(xl->file, text, (int)size) == 0;
	if (read)
		take_keys(xl, text);
	xlu_cfg_destroy(xl->file);
	fclose(report);
	if (!read)
		complain_syntax(xl->context, xl->path, messages);
	free(messages);
	return read && !xl->bad;
}

enum status xlcfg_merge(struct context *context, const char *path, struct json_object *service)
{
	cleanup_free char *text = NULL;
	struct xl xl = { .context = context, .path = path, .given = service };
	struct error err;
	size_t size;
	bool read;

	text = read_text(path, &size, &err);
	if (!text) {
		complain(context, path, &err, NULL);
		return STATUS_FAILED;
	}
	if (strlen(text) != size) {
		error_set(&err, ERROR_INPUT, "expected text without zero bytes");
		complain(context, path, &err, NULL);
		return STATUS_FAILED;
	}
	xl.found = json_object_new_object();
	read = read_config(&xl, text, size);
	if (read) {
		json_object_object_foreach(xl.found, key, value)
		{
			bool empty = json_object_is_type(value, json_type_array) &&
				     json_object_array_length(value) == 0;

			if (!empty && !is_given(&xl, key))
				json_object_object_add(service, key, json_object_get(value));
		}
	}
	json_object_put(xl.found);
	return read ? STATUS_DONE : STATUS_FAILED;
}
