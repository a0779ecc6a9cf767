/* What single keys' texts must be, beyond their kind. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "proto/spec.h"
#include "proto/spec_kind.h"

#define INTERFACE_MAX 15 /* IFNAMSIZ - 1 */

static int check_name(const struct spec_key *key, const char *text, struct error *err)
{
	bool digits = true;

	for (const char *c = text; *c; c++) {
		if (!isalnum((unsigned char)*c) && !strchr("-_.", *c))
			return SPEC_BAD(key, text,
					"expected letters, digits, '-', '_' and '.' only");
		digits = digits && isdigit((unsigned char)*c);
	}
	if (!isalnum((unsigned char)text[0]) && text[0] != '_')
		return SPEC_BAD(key, text, "expected a letter, a digit or '_' at the start");
	/* Xen's tools take a number for a domain's id. */
	if (digits)
		return SPEC_BAD(key, text, "expected more than digits, which mean a domain's id");
	return 0;
}

static int check_path(const struct spec_key *key, const char *text, struct error *err)
{
	if (text[0] != '/')
		return SPEC_BAD(key, text, "expected an absolute path");
	return 0;
}

static int check_interface(const struct spec_key *key, const char *text, struct error *err)
{
	size_t n = strlen(text);

	for (const char *c = text; *c; c++)
		if (!isgraph((unsigned char)*c) || strchr("/:,=@", *c))
			return SPEC_BAD(key, text, "expected the name of a bridge");
	if (n > INTERFACE_MAX || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return SPEC_BAD(key, text, "expected the name of a bridge, at most %d bytes",
				INTERFACE_MAX);
	return 0;
}

/* xen-vbd-interface(7): the names that Xen's tools know. */
static bool is_device(const char *text)
{
	static const char *const prefixes[] = { "xvd", "hd", "sd" };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		size_t n = strlen(prefixes[i]), letters, digits;

		if (strncmp(text, prefixes[i], n) != 0)
			continue;
		letters = strspn(text + n, "abcdefghijklmnopqrstuvwxyz");
		digits = strspn(text + n + letters, "0123456789");
		return letters >= 1 && letters <= 3 && digits <= 2 && !text[n + letters + digits];
	}
	return false;
}

/*
 * The shape alone: the original's FILE@DEVICE, or else Xen's syntax, which has a comma or an
 * equals sign. Whether that is right only libxlutil can say, in the toolstack's check.
 */
static int check_disk(const struct spec_key *key, const char *text, struct error *err)
{
	const char *at = strrchr(text, '@');

	if (strpbrk(text, ",="))
		return 0;
	if (!at)
		return SPEC_BAD(key, text,
				"expected FILE@DEVICE such as /srv/a.iso@xvda, or "
				"xl-disk-configuration(5)'s syntax");
	if (text[0] != '/')
		return SPEC_BAD(key, text, "expected an absolute path in front of '@'");
	if (!is_device(at + 1))
		return SPEC_BAD(key, text, "expected behind '@' a device such as xvda, hda or sda");
	return 0;
}

static int check_ipv4(const struct spec_key *key, const char *text, struct error *err)
{
	struct in_addr address;

	if (inet_pton(AF_INET, text, &address) != 1)
		return SPEC_BAD(key, text, "expected an IPv4 address");
	return 0;
}

static int check_hostname(const struct spec_key *key, const char *text, struct error *err)
{
	for (const char *c = text; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("-.", *c))
			return SPEC_BAD(key, text, "expected letters, digits, '-' and '.' only");
	return 0;
}

/* docs/misc/xenstore.txt: what a path is made of. Relative, so that it stays the domain's. */
static int check_xenstore(const struct spec_key *key, const char *text, struct error *err)
{
	size_t n = strcspn(text, "=");

	if (n == 0 || text[0] == '/')
		return SPEC_BAD(key, text,
				"expected a key relative to the domain's, such as data/ready");
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("-/_@", text[i]))
			return SPEC_BAD(
				key, text,
				"expected letters, digits, '-', '_', '@' and '/' in the key");
	if (text[n - 1] == '/' || memmem(text, n, "//", 2))
		return SPEC_BAD(key, text, "expected no empty part between '/'");
	return 0;
}

/* The shape alone, as above. */
static int check_cpus(const struct spec_key *key, const char *text, struct error *err)
{
	for (const char *c = text; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr(",-^: ", *c))
			return SPEC_BAD(
				key, text,
				"expected CPUs as in xl.cfg(5), such as \"0-3,^1\" or \"all\"");
	return 0;
}

static int check_cpupool(const struct spec_key *key, const char *text, struct error *err)
{
	for (const char *c = text; *c; c++)
		if (!isgraph((unsigned char)*c) || *c == '/')
			return SPEC_BAD(key, text, "expected the name or number of a cpupool");
	return 0;
}

static const char *const wakes[] = { [SPEC_WAKE_DNS] = "dns", [SPEC_WAKE_PACKET] = "packet" };

/* One of them, or both with a comma. */
static int check_wake(const struct spec_key *key, const char *text, struct error *err)
{
	for (const char *part = text;; part++) {
		size_t n = strcspn(part, ","), i = 0;

		while (i < ARRAY_SIZE(wakes) &&
		       (strlen(wakes[i]) != n || strncmp(wakes[i], part, n) != 0))
			i++;
		if (i == ARRAY_SIZE(wakes))
			return SPEC_BAD(key, text, "expected dns, packet, or both");
		part += n;
		if (!*part)
			return 0;
	}
}

bool spec_wakes_by(const struct spec *spec, enum spec_wake wake)
{
	for (size_t i = 0; i < spec->wake.n; i++)
		if (strstr(spec->wake.v[i], wakes[wake]))
			return true;
	return spec->wake.n == 0 && wake == SPEC_WAKE_DNS;
}

static int check_port(const struct spec_key *key, const char *text, struct error *err)
{
	size_t n = strlen(text);

	if (n == 0 || n > 5 || strspn(text, "0123456789") != n || atoi(text) < 1 ||
	    atoi(text) > 65535)
		return SPEC_BAD(key, text, "expected a port, from 1 to 65535");
	return 0;
}

static const struct {
	const char *key;
	int (*check)(const struct spec_key *key, const char *text, struct error *err);
} rules[] = {
	{ "name", check_name },
	{ "kernel", check_path },
	{ "ramdisk", check_path },
	{ "cpus", check_cpus },
	{ "cpupool", check_cpupool },
	{ "nic", check_interface },
	{ "script", check_path },
	{ "disk", check_disk },
	{ "rumprun_config", check_path },
	{ "rumprun_addr", check_ipv4 },
	{ "rumprun_gw", check_ipv4 },
	{ "rumprun_hostname", check_hostname },
	{ "wait_for_key", check_xenstore },
	{ "wake", check_wake },
	{ "ports", check_port },
};

int spec_check_text(const struct spec_key *key, const char *text, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (strcmp(rules[i].key, key->name) == 0)
			return rules[i].check(key, text, err);
	return 0;
}
