/*
 * A specification from its text and back without a JSON tree between, for where there are very
 * many. What is read here is what machines and most people write: a flat object of plain texts,
 * whole numbers, true and false, and lists of plain texts. Everything else is left to json-c, so
 * that there is one judge of what is JSON and one of what is wrong.
 */
#include <arpa/inet.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "proto/spec.h"
#include "proto/spec_kind.h"

#define DIGITS_MAX 15  /* what is longer json-c judges */
#define USUAL	   256 /* bytes of a text; most are shorter */
#define TEXT_FLAGS (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

static const char *skip_space(const char *c)
{
	while (*c == ' ' || *c == '\n' || *c == '\t' || *c == '\r')
		c++;
	return c;
}

/* Behind the quote that ends it; NULL: not a plain one. */
static const char *skip_text(const char *c)
{
	while (*c >= 0x20 && *c < 0x7f && *c != '"' && *c != '\\')
		c++;
	return *c == '"' ? c + 1 : NULL;
}

static const char *scan_text(const char *c, struct json_object **out)
{
	const char *end = *c == '"' ? skip_text(c + 1) : NULL;

	if (end)
		*out = json_object_new_string_len(c + 1, (int)(end - c - 2));
	return end;
}

/* Numbers are looked at one after the other: they share an object. */
static const char *scan_number(const char *c, struct json_object **shared, struct json_object **out)
{
	const char *start = c;
	int64_t n = 0;

	while (*c >= '0' && *c <= '9' && c - start < DIGITS_MAX)
		n = n * 10 + (*c++ - '0');
	if (c == start || (*start == '0' && c - start > 1) || (*c && !strchr(" \t\r\n,}", *c)))
		return NULL;
	if (!*shared)
		*shared = json_object_new_int64(n);
	json_object_set_int64(*shared, n);
	*out = json_object_get(*shared);
	return c;
}

static const char *scan_list(const char *c, struct json_object **out)
{
	*out = json_object_new_array();
	c = skip_space(c + 1);
	if (*c == ']')
		return c + 1;
	for (;;) {
		struct json_object *text;

		c = scan_text(c, &text);
		if (!c)
			return NULL;
		json_object_array_add(*out, text);
		c = skip_space(c);
		if (*c == ']')
			return c + 1;
		if (*c != ',')
			return NULL;
		c = skip_space(c + 1);
	}
}

/* Behind the value, NULL if it is not of those. *out is the caller's either way. */
static const char *scan_value(const char *c, struct json_object **number, struct json_object **out)
{
	static const struct {
		const char *word;
		size_t size;
		bool value;
	} words[] = { { "true", 4, true }, { "false", 5, false } };

	if (*c == '"')
		return scan_text(c, out);
	if (*c == '[')
		return scan_list(c, out);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strncmp(c, words[i].word, words[i].size) != 0)
			continue;
		*out = json_object_new_boolean(words[i].value);
		return c + words[i].size;
	}
	return scan_number(c, number, out);
}

/* A member: its key, a colon, its value. */
static const char *scan_member(const char *c, struct json_object **number, spec_take_fn *take,
			       void *arg)
{
	const char *key = c + 1, *end = *c == '"' ? skip_text(key) : NULL;
	struct json_object *value = NULL;

	if (!end)
		return NULL;
	c = skip_space(end);
	c = *c == ':' ? scan_value(skip_space(c + 1), number, &value) : NULL;
	if (c && !take(arg, key, (size_t)(end - 1 - key), value))
		c = NULL;
	json_object_put(value);
	return c;
}

bool spec_scan(const char *text, spec_take_fn *take, void *arg)
{
	const char *c = skip_space(text);
	struct json_object *number = NULL;

	if (*c != '{')
		return false;
	do {
		c = scan_member(skip_space(c + 1), &number, take, arg);
		c = c ? skip_space(c) : NULL;
	} while (c && *c == ',');
	json_object_put(number);
	return c && *c == '}' && !*skip_space(c + 1);
}

/* Writing: as json-c writes, plain and without escaped slashes. */

static char *reserve(struct spec_writer *w, size_t size)
{
	if (w->room - w->size < size) {
		w->room = 2 * (w->room + size);
		w->text = realloc(w->text, w->room);
		if (!w->text)
			abort();
	}
	return w->text + w->size;
}

static void put(struct spec_writer *w, const char *bytes, size_t size)
{
	memcpy(reserve(w, size), bytes, size);
	w->size += size;
}

static void put_json(struct spec_writer *w, struct json_object *value)
{
	size_t size;
	const char *text = json_object_to_json_string_length(value, TEXT_FLAGS, &size);

	put(w, text, size);
	json_object_put(value);
}

static void put_text(struct spec_writer *w, const char *text)
{
	size_t size = 0;
	char *out;

	while ((unsigned char)text[size] >= 0x20 && (unsigned char)text[size] < 0x7f &&
	       text[size] != '"' && text[size] != '\\')
		size++;
	if (text[size]) { /* something to escape */
		put_json(w, json_object_new_string(text));
		return;
	}
	out = reserve(w, size + 2);
	*out = '"';
	memcpy(out + 1, text, size);
	out[size + 1] = '"';
	w->size += size + 2;
}

static void put_number(struct spec_writer *w, uint64_t n)
{
	char digits[20], *c = digits + sizeof digits;

	do
		*--c = (char)('0' + n % 10);
	while (n /= 10);
	put(w, c, (size_t)(digits + sizeof digits - c));
}

static void put_texts(struct spec_writer *w, const struct spec_texts *texts)
{
	for (size_t i = 0; i < texts->n; i++) {
		put(w, i ? "," : "[", 1);
		put_text(w, texts->v[i]);
	}
	put(w, "]", 1);
}

static void put_address(struct spec_writer *w, const struct spec_address *address)
{
	char text[INET6_ADDRSTRLEN];

	if (address->family != AF_INET) {
		inet_ntop(address->family, address->bytes, text, sizeof text);
		put_text(w, text);
		return;
	}
	for (size_t i = 0; i < 4; i++) {
		put(w, i ? "." : "\"", 1);
		put_number(w, address->bytes[i]);
	}
	put(w, "\"", 1);
}

static void put_addresses(struct spec_writer *w, const struct spec_addresses *list)
{
	for (size_t i = 0; i < list->n; i++) {
		put(w, i ? "," : "[", 1);
		put_address(w, &list->v[i]);
	}
	put(w, "]", 1);
}

static void put_uuid(struct spec_writer *w, const uint8_t uuid[16])
{
	static const char hex[] = "0123456789abcdef";
	char text[38], *c = text;

	*c++ = '"';
	for (size_t i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*c++ = '-';
		*c++ = hex[uuid[i] >> 4];
		*c++ = hex[uuid[i] & 15];
	}
	*c++ = '"';
	put(w, text, (size_t)(c - text));
}

static void put_key(struct spec_writer *w, const struct spec_key *key)
{
	char *start = reserve(w, key->size + 4), *out = start;

	if (w->size > 1)
		*out++ = ',';
	*out++ = '"';
	memcpy(out, key->name, key->size);
	out += key->size;
	*out++ = '"';
	*out++ = ':';
	w->size += (size_t)(out - start);
}

void spec_write_member(struct spec_writer *w, const struct spec_key *key, const struct spec *spec)
{
	const void *member = spec_const_member(key, spec);
	struct json_object *value;
	const char *word;
	size_t count;

	switch (key->kind) {
	case SPEC_KIND_TEXT:
		if (*(char *const *)member) {
			put_key(w, key);
			put_text(w, *(char *const *)member);
		}
		break;
	case SPEC_KIND_TEXTS:
	case SPEC_KIND_NAMES:
	case SPEC_KIND_MACS:
		if (((const struct spec_texts *)member)->n) {
			put_key(w, key);
			put_texts(w, member);
		}
		break;
	case SPEC_KIND_ADDRESSES:
		if (spec->ip.n) {
			put_key(w, key);
			put_addresses(w, member);
		}
		break;
	case SPEC_KIND_UUID:
		if (spec->has_uuid) {
			put_key(w, key);
			put_uuid(w, spec->uuid);
		}
		break;
	case SPEC_KIND_NUMBER:
	case SPEC_KIND_MSEC:
		if (*(const int64_t *)member != SPEC_UNSET) {
			put_key(w, key);
			put_number(w, (uint64_t) * (const int64_t *)member);
		}
		break;
	case SPEC_KIND_TYPE:
	case SPEC_KIND_STOP:
	case SPEC_KIND_IDLE_BY:
	case SPEC_KIND_FATE:
	case SPEC_KIND_DEATH:
		word = spec_words(key->kind, &count)[*(const unsigned *)member];
		if (word) {
			put_key(w, key);
			put_text(w, word);
		}
		break;
	case SPEC_KIND_BOOL:
		if (*(const bool *)member) {
			put_key(w, key);
			put(w, "true", 4);
		}
		break;
	default:
		value = spec_kinds[key->kind].write(key, spec);
		if (value) {
			put_key(w, key);
			put_json(w, value);
		}
		break;
	}
}

void spec_write_begin(struct spec_writer *w)
{
	*w = (struct spec_writer){ .text = malloc(USUAL), .room = USUAL };
	if (!w->text)
		abort();
	put(w, "{", 1);
}

char *spec_write_end(struct spec_writer *w, size_t *size)
{
	put(w, "}", 2);
	*size = w->size - 1;
	return w->text;
}
