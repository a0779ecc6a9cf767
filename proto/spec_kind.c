#include "proto/spec_kind.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <json-c/json.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "proto/spec.h"

#define LIST_ENTRY_MAX 255 /* bytes of a text in a list */
#define DNS_NAME_MAX 253   /* RFC 1035 2.3.4: 255 octets on the wire */
#define DNS_LABEL_MAX 63
#define INTERFACE_MAX 15   /* IFNAMSIZ - 1 */

static void *member(const struct spec_key *key, struct spec *spec)
{
	return (char *)spec + key->offset;
}

static const void *const_member(const struct spec_key *key, const struct spec *spec)
{
	return (const char *)spec + key->offset;
}

static const char *shown(struct json_object *value)
{
	if (json_object_is_type(value, json_type_string))
		return json_object_get_string(value);
	return json_object_to_json_string_ext(value, JSON_C_TO_STRING_NOSLASHESCAPE);
}

#define BAD(key, value, ...) error_field(err, ERROR_INPUT, (key)->name, value, __VA_ARGS__)

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
		BAD(key, shown(value), "expected a string");
		return NULL;
	}
	text = json_object_get_string(value);
	size = (size_t)json_object_get_string_len(value);
	for (size_t i = 0; i < size; i++) {
		if ((iscntrl((unsigned char)text[i])) &&
		    !(lines && (text[i] == '\n' || text[i] == '\t'))) {
			BAD(key, text, "expected no control character, found 0x%02x at byte %zu",
			    (unsigned char)text[i], i);
			return NULL;
		}
	}
	if (size < min || size > max) {
		BAD(key, text, "expected %zu to %zu bytes, not %zu", min, max, size);
		return NULL;
	}
	return text;
}

/* What some keys' texts must be, beyond their kind. */

static int check_name(const struct spec_key *key, const char *text, struct error *err)
{
	bool digits = true;

	for (const char *c = text; *c; c++) {
		if (!isalnum((unsigned char)*c) && !strchr("-_.", *c))
			return BAD(key, text, "expected letters, digits, '-', '_' and '.' only");
		digits = digits && isdigit((unsigned char)*c);
	}
	if (!isalnum((unsigned char)text[0]) && text[0] != '_')
		return BAD(key, text, "expected a letter, a digit or '_' at the start");
	/* Xen's tools take a number for a domain's id. */
	if (digits)
		return BAD(key, text, "expected more than digits, which mean a domain's id");
	return 0;
}

static int check_path(const struct spec_key *key, const char *text, struct error *err)
{
	if (text[0] != '/')
		return BAD(key, text, "expected an absolute path");
	return 0;
}

static int check_interface(const struct spec_key *key, const char *text, struct error *err)
{
	size_t n = strlen(text);

	for (const char *c = text; *c; c++)
		if (!isgraph((unsigned char)*c) || strchr("/:,=@", *c))
			return BAD(key, text, "expected the name of a bridge");
	if (n > INTERFACE_MAX || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return BAD(key, text, "expected the name of a bridge, at most %d bytes",
			   INTERFACE_MAX);
	return 0;
}

static const struct {
	const char *key;
	int (*check)(const struct spec_key *key, const char *text, struct error *err);
} text_rules[] = {
	{ "name", check_name },
	{ "kernel", check_path },
	{ "ramdisk", check_path },
	{ "nic", check_interface },
};

static int check_rules(const struct spec_key *key, const char *text, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(text_rules); i++)
		if (strcmp(text_rules[i].key, key->name) == 0)
			return text_rules[i].check(key, text, err);
	return 0;
}

/* TEXT */

static int read_text(const struct spec_key *key, struct json_object *value, struct spec *spec,
		     struct error *err)
{
	bool lines = strcmp(key->name, "cmdline") == 0;
	const char *text =
		plain_text(key, value, (size_t)key->min, (size_t)key->max, lines, err);

	if (!text || check_rules(key, text, err) < 0)
		return -1;
	*(char **)member(key, spec) = copy(text);
	return 0;
}

static struct json_object *write_text(const struct spec_key *key, const struct spec *spec)
{
	const char *text = *(char *const *)const_member(key, spec);

	return text ? json_object_new_string(text) : NULL;
}

static void release_text(const struct spec_key *key, struct spec *spec)
{
	free(*(char **)member(key, spec));
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
			return BAD(key, shown(value), "expected a string or an array of strings");
		return entry(key, value, spec, err);
	}
	n = json_object_array_length(value);
	if (n < (size_t)key->min || n > (size_t)key->max)
		return BAD(key, NULL, "expected %lld to %lld entries, not %zu",
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
			return BAD(key, text, "expected each only once");
	texts_add(texts, text);
	return 0;
}

static struct json_object *write_texts(const struct spec_key *key, const struct spec *spec)
{
	const struct spec_texts *texts = const_member(key, spec);
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
	struct spec_texts *texts = member(key, spec);

	for (size_t i = 0; i < texts->n; i++)
		free(texts->v[i]);
	free(texts->v);
}

/* TEXTS */

static int texts_entry(const struct spec_key *key, struct json_object *value, struct spec *spec,
		       struct error *err)
{
	const char *text = plain_text(key, value, 1, LIST_ENTRY_MAX, false, err);

	if (!text || check_rules(key, text, err) < 0)
		return -1;
	texts_add(member(key, spec), text);
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
		return BAD(key, whole, "expected a DNS name without empty labels");
	if (n > DNS_LABEL_MAX)
		return BAD(key, whole, "expected labels of at most %d characters", DNS_LABEL_MAX);
	if (n == 1 && label[0] == '*' && first)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (label[i] == '*')
			return BAD(key, whole, "expected '*' only as the whole first label");
		if (!isalnum((unsigned char)label[i]) && label[i] != '-' && label[i] != '_')
			return BAD(key, whole,
				   "expected a DNS name of letters, digits, '-' and '_'");
	}
	if (label[0] == '-' || label[n - 1] == '-')
		return BAD(key, whole, "expected no '-' at the start or end of a label");
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
		return BAD(key, text, "expected a DNS name below the root");
	if (n > DNS_NAME_MAX)
		return BAD(key, text, "expected at most %d characters, not %zu", DNS_NAME_MAX, n);
	if (inet_pton(AF_INET, name, &ignored) == 1)
		return BAD(key, text, "expected a DNS name, not an address");
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
	return texts_add_once(key, member(key, spec), name, err);
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
		return BAD(key, text, "expected the address of one host");
	if (address->family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6))
		return BAD(key, text, "expected IPv4 addresses as such, not mapped into IPv6");
	return 0;
}

static int addresses_entry(const struct spec_key *key, struct json_object *value,
			   struct spec *spec, struct error *err)
{
	const char *text = plain_text(key, value, 1, LIST_ENTRY_MAX, false, err);
	struct spec_addresses *list = member(key, spec);
	struct spec_address address = { .family = AF_INET };

	if (!text)
		return -1;
	if (inet_pton(AF_INET, text, address.bytes) != 1) {
		address.family = AF_INET6;
		if (inet_pton(AF_INET6, text, address.bytes) != 1)
			return BAD(key, text, "expected an IPv4 or IPv6 address");
	}
	if (check_address(key, text, &address, err) < 0)
		return -1;
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i].family == address.family &&
		    memcmp(list->v[i].bytes, address.bytes, sizeof address.bytes) == 0)
			return BAD(key, text, "expected each only once");
	list->v = reallocarray(list->v, list->n + 1, sizeof *list->v);
	if (!list->v)
		abort();
	list->v[list->n++] = address;
	return 0;
}

static int read_addresses(const struct spec_key *key, struct json_object *value,
			  struct spec *spec, struct error *err)
{
	return read_list(key, value, spec, addresses_entry, err);
}

static struct json_object *write_addresses(const struct spec_key *key, const struct spec *spec)
{
	const struct spec_addresses *list = const_member(key, spec);
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
	struct spec_addresses *list = member(key, spec);

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
		return BAD(key, text, "expected a UUID such as "
				      "01234567-89ab-4cde-8f01-23456789abcd");
	if (!any)
		return BAD(key, text, "expected other than zeros, which is domain 0");
	memcpy(spec->uuid, uuid, sizeof uuid);
	spec->has_uuid = true;
	return 0;
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
			return BAD(key, text, "expected a MAC address such as 00:16:3e:01:02:03");
		any |= mac[i];
	}
	if (mac[0] & 1 || !any)
		return BAD(key, text, "expected the MAC address of one interface");
	snprintf(canonical, sizeof canonical, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
		 mac[2], mac[3], mac[4], mac[5]);
	return texts_add_once(key, member(key, spec), canonical, err);
}

static int read_macs(const struct spec_key *key, struct json_object *value, struct spec *spec,
		     struct error *err)
{
	return read_list(key, value, spec, macs_entry, err);
}

/* Numbers: as JSON numbers, or as strings, since the key=value form knows nothing else. */

/* Decimal digits at the start of text; *end is set behind them. -1: none, or too many. */
static int digits(const char *text, uint64_t *out, const char **end)
{
	uint64_t n = 0;
	const char *c = text;

	for (; isdigit((unsigned char)*c); c++)
		if (__builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*c - '0'), &n) || n > INT64_MAX)
			return -1;
	*out = n;
	*end = c;
	return c == text ? -1 : 0;
}

static int whole_number(struct json_object *value, int64_t *out)
{
	const char *end;
	uint64_t n;

	if (json_object_is_type(value, json_type_int)) {
		*out = json_object_get_int64(value); /* saturates, so that the range check finds it */
		return 0;
	}
	if (!json_object_is_type(value, json_type_string) ||
	    strlen(json_object_get_string(value)) != (size_t)json_object_get_string_len(value) ||
	    digits(json_object_get_string(value), &n, &end) < 0 || *end)
		return -1;
	*out = (int64_t)n;
	return 0;
}

static int read_whole(const struct spec_key *key, struct json_object *value, struct spec *spec,
		      const char *what, struct error *err)
{
	int64_t n;

	if (whole_number(value, &n) < 0 || n < key->min || n > key->max)
		return BAD(key, shown(value), "expected a whole number%s from %lld to %lld", what,
			   (long long)key->min, (long long)key->max);
	*(int64_t *)member(key, spec) = n;
	return 0;
}

static int read_number(const struct spec_key *key, struct json_object *value, struct spec *spec,
		       struct error *err)
{
	return read_whole(key, value, spec, "", err);
}

static int read_msec(const struct spec_key *key, struct json_object *value, struct spec *spec,
		     struct error *err)
{
	return read_whole(key, value, spec, " of milliseconds", err);
}

static struct json_object *write_number(const struct spec_key *key, const struct spec *spec)
{
	int64_t n = *(const int64_t *)const_member(key, spec);

	return n == SPEC_UNSET ? NULL : json_object_new_int64(n);
}

static int seconds_text(const char *text, int64_t *ms)
{
	const char *end;
	uint64_t whole, part = 0, scale = 100;

	if (digits(text, &whole, &end) < 0 || whole > INT64_MAX / 1000 - 1)
		return -1;
	if (*end == '.') {
		if (!isdigit((unsigned char)*++end))
			return -1;
		for (; isdigit((unsigned char)*end); end++, scale /= 10)
			part += scale * (uint64_t)(*end - '0');
	}
	*ms = (int64_t)(whole * 1000 + part);
	return *end ? -1 : 0;
}

static int read_seconds(const struct spec_key *key, struct json_object *value, struct spec *spec,
			struct error *err)
{
	int64_t ms = -1;

	if (json_object_is_type(value, json_type_string)) {
		if (seconds_text(json_object_get_string(value), &ms) < 0)
			ms = -1;
	} else if (json_object_is_type(value, json_type_int) ||
		   json_object_is_type(value, json_type_double)) {
		double n = json_object_get_double(value);

		if (isfinite(n) && n >= 0 && n <= (double)key->max)
			ms = llround(n * 1000);
	}
	if (ms < key->min || ms > key->max)
		return BAD(key, shown(value), "expected seconds, from %g to %g",
			   (double)key->min / 1000, (double)key->max / 1000);
	*(int64_t *)member(key, spec) = ms;
	return 0;
}

static struct json_object *write_seconds(const struct spec_key *key, const struct spec *spec)
{
	int64_t ms = *(const int64_t *)const_member(key, spec);
	char text[32];

	if (ms == SPEC_UNSET)
		return NULL;
	if (ms % 1000 == 0)
		return json_object_new_int64(ms / 1000);
	snprintf(text, sizeof text, "%lld.%03lld", (long long)(ms / 1000), (long long)(ms % 1000));
	return json_object_new_double_s((double)ms / 1000, text);
}

static int memory_text(const char *text, uint64_t *kib)
{
	static const struct {
		const char *unit;
		unsigned shift;
	} units[] = { { "", 0 }, { "K", 0 }, { "M", 10 }, { "G", 20 }, { "T", 30 } };
	const char *end;
	uint64_t n;

	if (digits(text, &n, &end) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcasecmp(end, units[i].unit) == 0 && n <= UINT64_MAX >> units[i].shift) {
			*kib = n << units[i].shift;
			return 0;
		}
	}
	return -1;
}

static int read_memory(const struct spec_key *key, struct json_object *value, struct spec *spec,
		       struct error *err)
{
	uint64_t kib = 0;
	int rc = -1;

	if (json_object_is_type(value, json_type_string)) {
		rc = memory_text(json_object_get_string(value), &kib);
	} else if (json_object_is_type(value, json_type_int) && json_object_get_int64(value) >= 0) {
		kib = (uint64_t)json_object_get_int64(value);
		rc = 0;
	}
	if (rc < 0)
		return BAD(key, shown(value),
			   "expected a number of KiB, or a size such as \"64M\" or \"1G\"");
	if (kib < (uint64_t)key->min || kib > (uint64_t)key->max)
		return BAD(key, shown(value), "expected from %lld to %lld KiB, this is %llu KiB",
			   (long long)key->min, (long long)key->max, (unsigned long long)kib);
	*(uint64_t *)member(key, spec) = kib;
	return 0;
}

static struct json_object *write_memory(const struct spec_key *key, const struct spec *spec)
{
	uint64_t kib = *(const uint64_t *)const_member(key, spec);

	return kib ? json_object_new_int64((int64_t)kib) : NULL;
}

/* Words: TYPE and STOP */

static const char *const type_words[] = { [SPEC_TYPE_PV] = "pv", [SPEC_TYPE_PVH] = "pvh" };
static const char *const stop_words[] = { [SPEC_STOP_DESTROY] = "destroy" };

/* The word's place in words, or -1 with an error that lists them. */
static int read_word(const struct spec_key *key, struct json_object *value,
		     const char *const *words, size_t count, struct error *err)
{
	char known[128] = "";

	for (size_t i = 0; i < count; i++) {
		size_t used = strlen(known);

		if (!words[i])
			continue;
		if (json_object_is_type(value, json_type_string) &&
		    strcmp(json_object_get_string(value), words[i]) == 0)
			return (int)i;
		snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", words[i]);
	}
	return BAD(key, shown(value), "expected one of: %s", known);
}

static int read_type(const struct spec_key *key, struct json_object *value, struct spec *spec,
		     struct error *err)
{
	int i = read_word(key, value, type_words, ARRAY_SIZE(type_words), err);

	if (i < 0)
		return -1;
	*(enum spec_type *)member(key, spec) = (enum spec_type)i;
	return 0;
}

static struct json_object *write_type(const struct spec_key *key, const struct spec *spec)
{
	return json_object_new_string(type_words[*(const enum spec_type *)const_member(key, spec)]);
}

static int read_stop(const struct spec_key *key, struct json_object *value, struct spec *spec,
		     struct error *err)
{
	int i = read_word(key, value, stop_words, ARRAY_SIZE(stop_words), err);

	if (i < 0)
		return -1;
	*(enum spec_stop_mode *)member(key, spec) = (enum spec_stop_mode)i;
	return 0;
}

static struct json_object *write_stop(const struct spec_key *key, const struct spec *spec)
{
	enum spec_stop_mode mode = *(const enum spec_stop_mode *)const_member(key, spec);

	return mode == SPEC_STOP_UNSET ? NULL : json_object_new_string(stop_words[mode]);
}

const struct spec_kind_ops spec_kinds[] = {
	[SPEC_KIND_TEXT] = { read_text, write_text, release_text },
	[SPEC_KIND_TEXTS] = { read_texts, write_texts, release_texts },
	[SPEC_KIND_NAMES] = { read_names, write_texts, release_texts },
	[SPEC_KIND_ADDRESSES] = { read_addresses, write_addresses, release_addresses },
	[SPEC_KIND_UUID] = { read_uuid, write_uuid, NULL },
	[SPEC_KIND_MEMORY] = { read_memory, write_memory, NULL },
	[SPEC_KIND_NUMBER] = { read_number, write_number, NULL },
	[SPEC_KIND_SECONDS] = { read_seconds, write_seconds, NULL },
	[SPEC_KIND_MSEC] = { read_msec, write_number, NULL },
	[SPEC_KIND_TYPE] = { read_type, write_type, NULL },
	[SPEC_KIND_STOP] = { read_stop, write_stop, NULL },
	[SPEC_KIND_MACS] = { read_macs, write_texts, release_texts },
};
