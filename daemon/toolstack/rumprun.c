#include "toolstack/rumprun.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "toolstack/rumprun_tree.h"

/* Whom an error is about. */
struct check {
	const char *path;
	const struct spec *spec;
	const struct spec_texts *devices;
	struct spec_addresses *found;
	struct error *err;
};

typedef int text_check(const struct check *check, const struct rumprun_node *node);

static text_check filled, environment, directory;

/* Every key that rumprun knows. `in`: the key of the object that it is in, "" for the whole. */
enum value { TEXT, OBJECT, TEXTS, PROGRAMS };
static const struct key {
	const char *in, *name;
	enum value value;
	bool needed;
	const char *words; /* if it is one of some, apart by a space */
	text_check *check;
} keys[] = {
	{ "", "cmdline", TEXT, false, NULL, NULL },
	{ "", "rc", PROGRAMS, false, NULL, NULL },
	{ "", "rc_TESTING", PROGRAMS, false, NULL, NULL },
	{ "", "env", TEXT, false, NULL, environment },
	{ "", "hostname", TEXT, false, NULL, filled },
	{ "", "net", OBJECT, false, NULL, NULL },
	{ "", "blk", OBJECT, false, NULL, NULL },
	{ "net", "if", TEXT, true, NULL, filled },
	{ "net", "cloner", TEXT, false, NULL, NULL },
	{ "net", "type", TEXT, true, "inet inet6", NULL },
	{ "net", "method", TEXT, true, "static dhcp auto", NULL },
	{ "net", "addr", TEXT, false, NULL, NULL },
	{ "net", "mask", TEXT, false, NULL, NULL },
	{ "net", "gw", TEXT, false, NULL, NULL },
	{ "blk", "source", TEXT, true, "dev vnd etfs", NULL },
	{ "blk", "path", TEXT, true, NULL, filled },
	{ "blk", "fstype", TEXT, false, "blk kernfs", NULL },
	{ "blk", "mountpoint", TEXT, false, NULL, directory },
	{ "rc", "bin", TEXT, true, NULL, filled },
	{ "rc", "argv", TEXTS, true, NULL, NULL }, /* the reader stumbles over its absence */
	{ "rc", "runmode", TEXT, false, "& |", NULL },
};

static const char *const expected[] = {
	[TEXT] = "a string in quotes",
	[OBJECT] = "an object",
	[TEXTS] = "an array of strings",
	[PROGRAMS] = "an array of objects",
};

/* --- errors --- */

static int __attribute__((format(printf, 3, 4)))
bad(const struct check *check, const struct rumprun_node *node, const char *fmt, ...)
{
	char why[ERROR_TEXT_MAX], shown[80] = "";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	if (node->over)
		return error_field(check->err, ERROR_INPUT, node->over, node->text, "%s", why);
	if (node->text)
		snprintf(shown, sizeof shown, "\"%.64s\": ", node->text);
	return error_field(check->err, ERROR_INPUT, "rumprun_config", check->path,
			   "line %u, column %u: %s%s%s%s", node->place.line, node->place.column,
			   node->key ? node->key : "", node->key ? ": " : "", shown, why);
}

/* About a key that is there, or about an object that lacks one. */
static int __attribute__((format(printf, 4, 5)))
bad_key(const struct check *check, struct rumprun_place place, const char *key, const char *fmt,
	...)
{
	char why[ERROR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	return error_field(check->err, ERROR_INPUT, "rumprun_config", check->path,
			   "line %u, column %u: %.64s: %s", place.line, place.column, key, why);
}

/* --- single values --- */

static int filled(const struct check *check, const struct rumprun_node *node)
{
	return *node->text ? 0 : bad(check, node, "expected a text that is not empty");
}

static int environment(const struct check *check, const struct rumprun_node *node)
{
	const char *equals = strchr(node->text, '=');

	return equals && equals != node->text ? 0 : bad(check, node, "expected NAME=VALUE");
}

static int directory(const struct check *check, const struct rumprun_node *node)
{
	return node->text[0] == '/' ? 0 : bad(check, node, "expected an absolute path");
}

static int check_words(const struct check *check, const struct rumprun_node *node,
		       const char *words)
{
	size_t size = strlen(node->text);

	for (const char *word = words; *word; word += strspn(word, " ")) {
		size_t n = strcspn(word, " ");

		if (n == size && memcmp(word, node->text, n) == 0)
			return 0;
		word += n;
	}
	return bad(check, node, "expected one of: %s", words);
}

/* --- structure --- */

static int check_object(const struct check *check, const struct rumprun_node *object,
			const char *in);

static const struct key *find_key(const char *in, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i].in, in) == 0 && strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

static int unknown_key(const struct check *check, const struct rumprun_node *node, const char *in)
{
	char known[128] = "";

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		size_t used = strlen(known);

		if (strcmp(keys[i].in, in) == 0)
			snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "",
				 keys[i].name);
	}
	return bad_key(check, node->key_place, node->key, "unknown key%s%s; expected one of: %s",
		       *in ? " in " : "", in, known);
}

static int check_array(const struct check *check, const struct rumprun_node *array,
		       enum rumprun_kind kind, const char *what)
{
	const struct rumprun_node *node;

	STAILQ_FOREACH(node, &array->children, entry) {
		if (node->kind != kind)
			return bad(check, node, "expected in %s: %s", array->key, what);
		if (kind == RUMPRUN_OBJECT && check_object(check, node, "rc") < 0)
			return -1;
	}
	return 0;
}

static int check_value(const struct check *check, const struct rumprun_node *node,
		       const struct key *key)
{
	static const enum rumprun_kind kinds[] = {
		[TEXT] = RUMPRUN_STRING,
		[OBJECT] = RUMPRUN_OBJECT,
		[TEXTS] = RUMPRUN_ARRAY,
		[PROGRAMS] = RUMPRUN_ARRAY,
	};

	if (node->kind != kinds[key->value])
		return bad(check, node, "expected %s", expected[key->value]);
	if (key->value == OBJECT)
		return check_object(check, node, key->name);
	if (key->value == TEXTS)
		return check_array(check, node, RUMPRUN_STRING, expected[TEXT]);
	if (key->value == PROGRAMS)
		return check_array(check, node, RUMPRUN_OBJECT, "an object for each program");
	if (key->words)
		return check_words(check, node, key->words);
	return key->check ? key->check(check, node) : 0;
}

static int check_object(const struct check *check, const struct rumprun_node *object,
			const char *in)
{
	const struct rumprun_node *node, *again;

	STAILQ_FOREACH(node, &object->children, entry) {
		const struct key *key = find_key(in, node->key);

		if (!key)
			return unknown_key(check, node, in);
		again = *in ? rumprun_tree_find(object, node, node->key) : NULL;
		if (again)
			return bad_key(check, again->key_place, again->key,
				       "expected once in one %s; it is on line %u too", in,
				       node->key_place.line);
		if (check_value(check, node, key) < 0)
			return -1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i].in, in) == 0 && keys[i].needed &&
		    !rumprun_tree_find(object, NULL, keys[i].name))
			return bad_key(check, object->place, in, "expected in it the key %s",
				       keys[i].name);
	return 0;
}

/* --- net --- */

static const char *text_of(const struct rumprun_node *object, const char *key)
{
	const struct rumprun_node *node = rumprun_tree_find(object, NULL, key);

	return node && node->text ? node->text : "";
}

static int read_address(const struct check *check, const struct rumprun_node *node, int family,
			struct spec_address *out)
{
	*out = (struct spec_address){ .family = family };
	if (inet_pton(family, node->text, out->bytes) == 1)
		return 0;
	return bad(check, node, "expected an %s address", family == AF_INET ? "IPv4" : "IPv6");
}

static int check_mask(const struct check *check, const struct rumprun_node *node, int family)
{
	unsigned most = family == AF_INET ? 32 : 128, n = 0;
	const char *c = node->text;

	for (; isdigit((unsigned char)*c) && n <= most; c++)
		n = n * 10 + (unsigned)(*c - '0');
	if (*c || c == node->text || n > most)
		return bad(check, node, "expected the length of a prefix, from 0 to %u", most);
	return 0;
}

static bool has_address(const struct spec_addresses *list, const struct spec_address *address)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i].family == address->family &&
		    memcmp(list->v[i].bytes, address->bytes, sizeof address->bytes) == 0)
			return true;
	return false;
}

static void add_address(struct spec_addresses *list, const struct spec_address *address)
{
	list->v = reallocarray(list->v, list->n + 1, sizeof *list->v);
	if (!list->v)
		abort();
	list->v[list->n++] = *address;
}

static int check_static(struct check *check, const struct rumprun_node *net, int family)
{
	const struct rumprun_node *addr = rumprun_tree_find(net, NULL, "addr");
	const struct rumprun_node *mask = rumprun_tree_find(net, NULL, "mask");
	const struct rumprun_node *gw = rumprun_tree_find(net, NULL, "gw");
	struct spec_address address, gateway;

	if (!addr || !mask)
		return bad_key(check, net->place, net->key,
			       "expected in it the key %s, as method "
			       "is static",
			       addr ? "mask" : "addr");
	if (read_address(check, addr, family, &address) < 0 ||
	    check_mask(check, mask, family) < 0 ||
	    (gw && read_address(check, gw, family, &gateway) < 0))
		return -1;
	if (check->spec->ip.n && !has_address(&check->spec->ip, &address))
		return bad(check, addr, "expected one of the service's addresses (ip)");
	if (has_address(check->found, &address))
		return bad(check, addr, "expected each address once");
	add_address(check->found, &address);
	return 0;
}

static int check_net(struct check *check, const struct rumprun_node *net)
{
	const struct rumprun_node *method = rumprun_tree_find(net, NULL, "method");
	int family = strcmp(text_of(net, "type"), "inet") == 0 ? AF_INET : AF_INET6;

	if (strcmp(method->text, "static") == 0)
		return check_static(check, net, family);
	return check_words(check, method, family == AF_INET ? "static dhcp" : "static auto");
}

/* --- blk --- */

static int check_blk(const struct check *check, const struct rumprun_node *blk)
{
	const struct rumprun_node *path = rumprun_tree_find(blk, NULL, "path");
	const struct rumprun_node *mountpoint = rumprun_tree_find(blk, NULL, "mountpoint");

	if (mountpoint && !rumprun_tree_find(blk, NULL, "fstype"))
		return bad_key(check, blk->place, blk->key,
			       "expected in it the key fstype, as it has a mountpoint");
	if (strcmp(text_of(blk, "source"), "etfs") != 0)
		return 0;
	for (size_t i = 0; i < check->devices->n; i++)
		if (strcmp(check->devices->v[i], path->text) == 0)
			return 0;
	return bad(check, path, "expected the device of one of the service's disks (disk)");
}

/* --- what the service sets --- */

/* The first entry for IPv4, whose values the service may replace. */
static struct rumprun_node *first_inet(const struct rumprun_node *root)
{
	struct rumprun_node *net = NULL;

	while ((net = rumprun_tree_find(root, net, "net")))
		if (net->kind == RUMPRUN_OBJECT && strcmp(text_of(net, "type"), "inet") == 0)
			return net;
	return NULL;
}

static void set_text(struct rumprun_node *node, const char *text, const char *over)
{
	if (node->kind != RUMPRUN_STRING && node->kind != RUMPRUN_OTHER)
		return; /* the check refuses what it is */
	free(node->text);
	node->text = strdup(text);
	if (!node->text)
		abort();
	node->kind = RUMPRUN_STRING;
	node->over = over;
}

/* All of that key, as the reader goes by the last; or a new one. */
static void replace(struct rumprun_node *object, const char *key, const char *text,
		    const char *over)
{
	struct rumprun_node *node = rumprun_tree_find(object, NULL, key);

	if (!node)
		node = rumprun_tree_add(object, key, text);
	for (; node; node = rumprun_tree_find(object, node, key))
		set_text(node, text, over);
}

static int set_over(const struct check *check, struct rumprun_node *root)
{
	const struct spec *spec = check->spec;
	char mask[8] = "";
	const struct {
		const char *name, *key, *text;
	} over[] = {
		{ "rumprun_addr", "addr", spec->rumprun_addr },
		{ "rumprun_mask", "mask", spec->rumprun_mask == SPEC_UNSET ? NULL : mask },
		{ "rumprun_gw", "gw", spec->rumprun_gw },
	};
	struct rumprun_node *net = first_inet(root);

	if (spec->rumprun_mask != SPEC_UNSET)
		snprintf(mask, sizeof mask, "%d", (int)spec->rumprun_mask);
	for (size_t i = 0; i < ARRAY_SIZE(over); i++) {
		if (!over[i].text)
			continue;
		if (!net || strcmp(text_of(net, "method"), "static") != 0)
			return error_field(check->err, ERROR_INPUT, over[i].name, over[i].text,
					   "expected only where rumprun_config %.128s has a net of "
					   "type inet%s",
					   check->path, net ? " and method static" : "");
		replace(net, over[i].key, over[i].text, over[i].name);
	}
	if (spec->rumprun_hostname)
		replace(root, "hostname", spec->rumprun_hostname, "rumprun_hostname");
	return 0;
}

/* --- the whole --- */

static int check_all(struct check *check, const struct rumprun_node *root)
{
	const struct rumprun_node *node;

	if (check_object(check, root, "") < 0)
		return -1;
	STAILQ_FOREACH(node, &root->children, entry) {
		if (strcmp(node->key, "net") == 0 && check_net(check, node) < 0)
			return -1;
		if (strcmp(node->key, "blk") == 0 && check_blk(check, node) < 0)
			return -1;
	}
	if (check->spec->ip.n == 0 && check->found->n == 0)
		return error_field(check->err, ERROR_INPUT, "ip", NULL,
				   "missing; expected where rumprun_config %.128s has no net of "
				   "method static",
				   check->path);
	return 0;
}

int rumprun_read(const char *text, size_t size, const char *path, const struct spec *spec,
		 const struct spec_texts *devices, struct rumprun *out, struct error *err)
{
	__attribute__((cleanup(rumprun_release))) struct rumprun made = { 0 };
	struct check check = {
		.path = path, .spec = spec, .devices = devices, .found = &made.ip, .err = err
	};
	cleanup_rumprun_tree struct rumprun_node *root = NULL;

	if (size > RUMPRUN_FILE_MAX)
		return error_field(err, ERROR_INPUT, "rumprun_config", path,
				   "expected at most %d bytes, not %zu", RUMPRUN_FILE_MAX, size);
	root = rumprun_tree_read(text, size, path, err);
	if (!root || set_over(&check, root) < 0 || check_all(&check, root) < 0)
		return -1;
	made.text = rumprun_tree_write(root);
	if (strlen(made.text) > RUMPRUN_TEXT_MAX)
		return error_field(err, ERROR_INPUT, "rumprun_config", path,
				   "expected at most %d bytes, which xenstore takes; without white "
				   "space it has %zu",
				   RUMPRUN_TEXT_MAX, strlen(made.text));
	*out = made;
	made = (struct rumprun){ 0 };
	return 0;
}

char *rumprun_addition(const struct rumprun *rumprun, const struct spec *spec)
{
	struct json_object *object = json_object_new_object(), *array;
	char text[INET6_ADDRSTRLEN], *out;

	if (spec->ip.n == 0) {
		array = json_object_new_array();
		for (size_t i = 0; i < rumprun->ip.n; i++) {
			inet_ntop(rumprun->ip.v[i].family, rumprun->ip.v[i].bytes, text,
				  sizeof text);
			json_object_array_add(array, json_object_new_string(text));
		}
		json_object_object_add(object, "ip", array);
	}
	out = strdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
	if (!out)
		abort();
	json_object_put(object);
	return out;
}

void rumprun_release(struct rumprun *rumprun)
{
	free(rumprun->text);
	free(rumprun->ip.v);
	*rumprun = (struct rumprun){ 0 };
}
