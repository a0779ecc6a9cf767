#include "proto/spec_kind.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "proto/spec.h"

#define LIST_ENTRY_MAX 255  /* bytes of a name, an address and the like in a list */
#define TEXT_ENTRY_MAX 4351 /* of a text: a path and what stands beside it */
#define DNS_NAME_MAX   253  /* RFC 1035 2.3.4: 255 octets on the wire */
#define DNS_LABEL_MAX  63

static char *copy(const char *text)
{
	char *out = strdup(text);

	if (!out)
		abort();
	return out;
}

/* The string itself, without NUL or other control characters inside. NULL with an error. */
static const char *plain_text(const struct spec_key *key, struct json_object *value, size_t min,
			      size_t max, bool lines, struct error *err)
{
	const char *text;
	size_t size;

	if (!json_object_is_type(value, json_type_string)) {
		SPEC_BAD(key, spec_shown(value), "expected a string");
		return NULL;
	}
	text = json_object_get_string(value);
	size = (size_t)json_object_get_string_len(value);
	for (size_t i = 0; i < size; i++) {
		if ((iscntrl((unsigned char)text[i])) &&
		    !(lines && (text[i] == '\n' || text[i] == '\t'))) {
			SPEC_BAD(key, text,
				 "expected no control character, found 0x%02x at byte %zu",
				 (unsigned char)text[i], i);
			return NULL;
		}
	}
	if (size < min || size > max) {
		SPEC_BAD(key, text, "expected %zu to %zu bytes, not %zu", min, max, size);
		return NULL;
	}
	return text;
}

/* TEXT */

static int read_text(const struct spec_key *key, struct json_object *value, struct spec *spec,
		     struct error *err)
{
	bool lines = strcmp(key->name, "cmdline") == 0 || strcmp(key->name, "sim_console") == 0;
	const char *text = plain_text(key, value, (size_t)key->min, (size_t)key->max, lines, err);

	if (!text || spec_check_text(key, text, err) < 0)
		return -1;
	*(char **)spec_member(key, spec) = copy(text);
	return 0;
}

static struct json_object *write_text(const struct spec_key *key, const struct spec *spec)
{
	const char *text = *(char *const *)spec_const_member(key, spec);

	return text ? json_object_new_string(text) : NULL;
}

static void release_text(const struct spec_key *key, struct spec *spec)
{
	free(*(char **)spec_member(key, spec));
}

/* Lists: one value or an array of them. */

typedef int entry_fn(const struct spec_key *key, struct json_object *value, struct spec *spec,
		     struct error *err);

static int read_list(const struct spec_key *key, struct json_object *value, struct spec *spec,
		     entry_fn *entry, struct error *err)
{
	size_t n;

	if (!json_object_is_type(value, json_type_array)) {
		if (!json_object_is_type(value, json_type_string))
			return SPEC_BAD(key, spec_shown(value),
					"expected a string or an array of strings");
		return entry(key, value, spec, err);
	}
	n = json_object_array_length(value);
	if (n < (size_t)key->min || n > (size_t)key->max)
		return SPEC_BAD(key, NULL, "expected %lld to %lld entries, not %zu",
				(long long)key->min, (long long)key->max, n);
	for (size_t i = 0; i < n; i++)
		if (entry(key, json_object_array_get_idx(value, i), spec, err) < 0)
			return -1;
	return 0;
}

static void texts_add(struct spec_texts *texts, const char *text)
{
	texts->v = reallocarray(texts->v, texts->n + 1, sizeof *texts->v);
	if (!texts->v)
		abort();
	texts->v[texts->n++] = copy(text);
}

static int texts_add_once(const struct spec_key *key, struct spec_texts *texts, const char *text,
			  struct error *err)
{
	for (size_t i = 0; i < texts->n; i++)
		if (strcmp(texts->v[i], text) == 0)
			return SPEC_BAD(key, text, "expected each only once");
	texts_add(texts, text);
	return 0;
}

static struct json_object *write_texts(const struct spec_key *key, const struct spec *spec)
{
	const struct spec_texts *texts = spec_const_member(key, spec);
	struct json_object *array;

	if (texts->n == 0)
		return NULL;
	array = json_object_new_array_ext((int)texts->n);
	for (size_t i = 0; i < texts->n; i++)
		json_object_array_add(array, json_object_new_string(texts->v[i]));
	return array;
}

static void release_texts(const struct spec_key *key, struct spec *spec)
{
	struct spec_texts *texts = spec_member(key, spec);

	for (size_t i = 0; i < texts->n; i++)
		free(texts->v[i]);
	free(texts->v);
}

/* TEXTS */

static int texts_entry(const struct spec_key *key, struct json_object *value, struct spec *spec,
		       struct error *err)
{
	const char *text = plain_text(key, value, 1, TEXT_ENTRY_MAX, false, err);

	if (!text || spec_check_text(key, text, err) < 0)
		return -1;
	texts_add(spec_member(key, spec), text);
	return 0;
}

static int read_texts(const struct spec_key *key, struct json_object *value, struct spec *spec,
		      struct error *err)
{
	return read_list(key, value, spec, texts_entry, err);
}

/* NAMES: RFC 1035 2.3.1 and 2.3.4, with '_' as in RFC 8552, a wildcard as in RFC 4592. */

static int check_label(const struct spec_key *key, const char *whole, const char *label, size_t n,
		       bool first, struct error *err)
{
	if (n == 0)
		return SPEC_BAD(key, whole, "expected a DNS name without empty labels");
	if (n > DNS_LABEL_MAX)
		return SPEC_BAD(key, whole, "expected labels of at most %d characters",
				DNS_LABEL_MAX);
	if (n == 1 && label[0] == '*' && first)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (label[i] == '*')
			return SPEC_BAD(key, whole, "expected '*' only as the whole first label");
		if (!isalnum((unsigned char)label[i]) && label[i] != '-' && label[i] != '_')
			return SPEC_BAD(key, whole,
					"expected a DNS name of letters, digits, '-' and '_'");
	}
	if (label[0] == '-' || label[n - 1] == '-')
		return SPEC_BAD(key, whole, "expected no '-' at the start or end of a label");
	return 0;
}

static int names_entry(const struct spec_key *key, struct json_object *value, struct spec *spec,
		       struct error *err)
{
	const char *text = plain_text(key, value, 1, LIST_ENTRY_MAX, false, err);
	cleanup_free char *name = NULL;
	struct in_addr ignored;
	size_t n;

	if (!text)
		return -1;
	name = copy(text);
	n = strlen(name);
	if (name[n - 1] == '.')
		name[--n] = '\0';
	if (n == 0 || strcmp(name, "*") == 0)
		return SPEC_BAD(key, text, "expected a DNS name below the root");
	if (n > DNS_NAME_MAX)
		return SPEC_BAD(key, text, "expected at most %d characters, not %zu", DNS_NAME_MAX,
				n);
	if (inet_pton(AF_INET, name, &ignored) == 1)
		return SPEC_BAD(key, text, "expected a DNS name, not an address");
	for (char *c = name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	for (const char *label = name;;) {
		size_t size = strcspn(label, ".");

		if (check_label(key, text, label, size, label == name, err) < 0)
			return -1;
		if (!label[size])
			break;
		label += size + 1;
	}
	return texts_add_once(key, spec_member(key, spec), name, err);
}

static int read_names(const struct spec_key *key, struct json_object *value, struct spec *spec,
		      struct error *err)
{
	return read_list(key, value, spec, names_entry, err);
}

/* ADDRESSES */

static int check_address(const struct spec_key *key, const char *text,
			 const struct spec_address *address, struct error *err)
{
	struct in_addr v4;
	struct in6_addr v6;

	memcpy(&v4, address->bytes, sizeof v4);
	memcpy(&v6, address->bytes, sizeof v6);
	if (address->family == AF_INET
		    ? v4.s_addr == htonl(INADDR_ANY) || v4.s_addr == htonl(INADDR_BROADCAST) ||
			      IN_MULTICAST(ntohl(v4.s_addr))
		    : IN6_IS_ADDR_UNSPECIFIED(&v6) || IN6_IS_ADDR_MULTICAST(&v6))
		return SPEC_BAD(key, text, "expected the address of one host");
	if (address->family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6))
		return SPEC_BAD(key, text, "expected IPv4 addresses as such, not mapped into IPv6");
	return 0;
}

static int addresses_entry(const struct spec_key *key, struct json_object *value, struct spec *spec,
			   struct error *err)
{
	const char *text = plain_text(key, value, 1, LIST_ENTRY_MAX, false, err);
	struct spec_addresses *list = spec_member(key, spec);
	struct spec_address address = { .family = AF_INET };

	if (!text)
		return -1;
	if (inet_pton(AF_INET, text, address.bytes) != 1) {
		address.family = AF_INET6;
		if (inet_pton(AF_INET6, text, address.bytes) != 1)
			return SPEC_BAD(key, text, "expected an IPv4 or IPv6 address");
	}
	if (check_address(key, text, &address, err) < 0)
		return -1;
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i].family == address.family &&
		    memcmp(list->v[i].bytes, address.bytes, sizeof address.bytes) == 0)
			return SPEC_BAD(key, text, "expected each only once");
	list->v = reallocarray(list->v, list->n + 1, sizeof *list->v);
	if (!list->v)
		abort();
	list->v[list->n++] = address;
	return 0;
}

static int read_addresses(const struct spec_key *key, struct json_object *value, struct spec *spec,
			  struct error *err)
{
	return read_list(key, value, spec, addresses_entry, err);
}

static struct json_object *write_addresses(const struct spec_key *key, const struct spec *spec)
{
	const struct spec_addresses *list = spec_const_member(key, spec);
	struct json_object *array;
	char text[INET6_ADDRSTRLEN];

	if (list->n == 0)
		return NULL;
	array = json_object_new_array_ext((int)list->n);
	for (size_t i = 0; i < list->n; i++) {
		inet_ntop(list->v[i].family, list->v[i].bytes, text, sizeof text);
		json_object_array_add(array, json_object_new_string(text));
	}
	return array;
}

static void release_addresses(const struct spec_key *key, struct spec *spec)
{
	struct spec_addresses *list = spec_member(key, spec);

	free(list->v);
}

/* UUID (RFC 4122 section 3, the dashes may be left out) and MACS */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int hex_byte(const char *text, uint8_t *out)
{
	int high = hex_value(text[0]), low = high < 0 ? -1 : hex_value(text[1]);

	if (low < 0)
		return -1;
	*out = (uint8_t)(high << 4 | low);
	return 0;
}

static int read_uuid(const struct spec_key *key, struct json_object *value, struct spec *spec,
		     struct error *err)
{
	const char *text = plain_text(key, value, 1, LIST_ENTRY_MAX, false, err);
	const char *c = text;
	uint8_t uuid[16], any = 0;
	bool dashes;

	if (!text)
		return -1;
	dashes = strlen(text) == 36;
	for (size_t i = 0; i < sizeof uuid; i++, c += 2) {
		if (dashes && (i == 4 || i == 6 || i == 8 || i == 10) && *c++ != '-')
			break;
		if (hex_byte(c, &uuid[i]) < 0)
			break;
		any |= uuid[i];
	}
	if (c != text + (dashes ? 36 : 32) || *c)
		return SPEC_BAD(key, text,
				"expected a UUID such as "
				"01234567-89ab-4cde-8f01-23456789abcd");
	if (!any)
		return SPEC_BAD(key, text, "expected other than zeros, which is domain 0");
	memcpy(spec->uuid, uuid, sizeof uuid);
	spec->has_uuid = true;
	return 0;
}

bool spec_take_uuid(struct spec *spec, const char *text)
{
	static const char key[] = "\"uuid\":\"";
	const char *c = strstr(text, key); /* no value before it can hold that */
	uint8_t uuid[16];

	if (!c)
		return false;
	c += sizeof key - 1;
	for (size_t i = 0; i < sizeof uuid; i++, c += 2) {
		c += i == 4 || i == 6 || i == 8 || i == 10;
		if (hex_byte(c, &uuid[i]) < 0)
			return false;
	}
	memcpy(spec->uuid, uuid, sizeof uuid);
	spec->has_uuid = true;
	return true;
}

static struct json_object *write_uuid(const struct spec_key *key, const struct spec *spec)
{
	char text[37], *out = text;

	(void)key;
	if (!spec->has_uuid)
		return NULL;
	for (size_t i = 0; i < sizeof spec->uuid; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		out += sprintf(out, "%02x", spec->uuid[i]);
	}
	return json_object_new_string(text);
}

static int macs_entry(const struct spec_key *key, struct json_object *value, struct spec *spec,
		      struct error *err)
{
	const char *text = plain_text(key, value, 1, LIST_ENTRY_MAX, false, err);
	char canonical[18];
	uint8_t mac[6], any = 0;

	if (!text)
		return -1;
	for (size_t i = 0; i < sizeof mac; i++) {
		if (strlen(text) != 17 || hex_byte(text + 3 * i, &mac[i]) < 0 ||
		    (i < 5 && text[3 * i + 2] != ':' && text[3 * i + 2] != '-'))
			return SPEC_BAD(key, text,
					"expected a MAC address such as 00:16:3e:01:02:03");
		any |= mac[i];
	}
	if (mac[0] & 1 || !any)
		return SPEC_BAD(key, text, "expected the MAC address of one interface");
	snprintf(canonical, sizeof canonical, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
		 mac[2], mac[3], mac[4], mac[5]);
	return texts_add_once(key, spec_member(key, spec), canonical, err);
}

static int read_macs(const struct spec_key *key, struct json_object *value, struct spec *spec,
		     struct error *err)
{
	return read_list(key, value, spec, macs_entry, err);
}

const struct spec_kind_ops spec_kinds[] = {
	[SPEC_KIND_TEXT] = { read_text, write_text, release_text, false },
	[SPEC_KIND_TEXTS] = { read_texts, write_texts, release_texts, false },
	[SPEC_KIND_NAMES] = { read_names, write_texts, release_texts, false },
	[SPEC_KIND_ADDRESSES] = { read_addresses, write_addresses, release_addresses, false },
	[SPEC_KIND_UUID] = { read_uuid, write_uuid, NULL, false },
	[SPEC_KIND_MEMORY] = { spec_read_memory, spec_write_memory, NULL, false },
	[SPEC_KIND_NUMBER] = { spec_read_number, spec_write_number, NULL, true },
	[SPEC_KIND_SECONDS] = { spec_read_seconds, spec_write_seconds, NULL, true },
	[SPEC_KIND_MSEC] = { spec_read_msec, spec_write_number, NULL, true },
	[SPEC_KIND_BOOL] = { spec_read_bool, spec_write_bool, NULL, false },
	[SPEC_KIND_IDLE] = { spec_read_idle, spec_write_idle, NULL, false },
	[SPEC_KIND_MACS] = { read_macs, write_texts, release_texts, false },
	[SPEC_KIND_TYPE] = { spec_read_word, spec_write_word, NULL, false },
	[SPEC_KIND_STOP] = { spec_read_word, spec_write_word, NULL, false },
	[SPEC_KIND_IDLE_BY] = { spec_read_word, spec_write_word, NULL, false },
	[SPEC_KIND_FATE] = { spec_read_word, spec_write_word, NULL, false },
	[SPEC_KIND_DEATH] = { spec_read_word, spec_write_word, NULL, false },
};
