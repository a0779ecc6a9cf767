#include "toolstack/rumprun_tree.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

#define DEPTH_MAX 8 /* rc, its array, a program's object, argv: 4 are used */

struct reader {
	const char *path, *at, *end;
	struct rumprun_place place; /* of `at` */
	struct error *err;
};

#define READER_BAD(reader, fmt, ...)                                                               \
	error_field((reader)->err, ERROR_INPUT, "rumprun_config", (reader)->path,                  \
		    "line %u, column %u: " fmt, (reader)->place.line, (reader)->place.column,      \
		    ##__VA_ARGS__)

static void advance(struct reader *reader, size_t bytes)
{
	for (; bytes; bytes--) {
		reader->place.column++;
		if (*reader->at++ == '\n') {
			reader->place.line++;
			reader->place.column = 1;
		}
	}
}

/* The next character, white space skipped; 0 at the end. */
static char next(struct reader *reader)
{
	while (reader->at < reader->end && strchr(" \t\r\n", *reader->at))
		advance(reader, 1);
	return reader->at < reader->end ? *reader->at : '\0';
}

static size_t skip_commas(struct reader *reader)
{
	size_t n = 0;

	for (; next(reader) == ','; n++)
		advance(reader, 1);
	return n;
}

static int unexpected(struct reader *reader, const char *expected)
{
	char c = next(reader);

	if (c == '\0')
		return READER_BAD(reader, "the end of the file; expected %s", expected);
	if ((unsigned char)c <= ' ' || (unsigned char)c >= 0x7f)
		return READER_BAD(reader, "byte 0x%02x; expected %s", (unsigned char)c, expected);
	return READER_BAD(reader, "'%c'; expected %s", c, expected);
}

static char *copy(const char *text, size_t size)
{
	char *out = strndup(text, size);

	if (!out)
		abort();
	return out;
}

/* A string, its quotes left out. As written, not decoded: rumprun's reader decodes nothing. */
static char *read_string(struct reader *reader)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *value;
	enum json_tokener_error rc;
	size_t size;

	if (!tokener)
		abort();
	json_tokener_set_flags(tokener, JSON_TOKENER_VALIDATE_UTF8);
	value = json_tokener_parse_ex(tokener, reader->at, (int)(reader->end - reader->at));
	rc = json_tokener_get_error(tokener);
	size = json_tokener_get_parse_end(tokener);
	json_tokener_free(tokener);
	json_object_put(value);
	if (rc == json_tokener_success) {
		char *text;

		while (reader->at[size - 1] != '"')
			size--; /* it takes the white space behind as well */
		text = copy(reader->at + 1, size - 2);
		advance(reader, size);
		return text;
	}
	if (rc == json_tokener_continue)
		READER_BAD(reader, "a string that has no end; expected '\"' behind it");
	else
		READER_BAD(reader, "a string that is not JSON: %s", json_tokener_error_desc(rc));
	return NULL;
}

/* What is neither string nor bracket: a number, a word. Taken, so that the check can name it. */
static char *read_other(struct reader *reader)
{
	size_t size = 0, left = (size_t)(reader->end - reader->at);
	char *text;

	while (size < left && !strchr(" \t\r\n,:{}[]\"", reader->at[size]))
		size++;
	text = copy(reader->at, size);
	advance(reader, size);
	return text;
}

static struct rumprun_node *new_node(enum rumprun_kind kind, struct rumprun_place place)
{
	struct rumprun_node *node = calloc(1, sizeof *node);

	if (!node)
		abort();
	node->kind = kind;
	node->place = node->key_place = place;
	STAILQ_INIT(&node->children);
	return node;
}

static struct rumprun_node *read_value(struct reader *reader, unsigned depth);

/* A key and its value, or a value alone, to the end of parent. */
static int read_child(struct reader *reader, struct rumprun_node *parent, unsigned depth)
{
	cleanup_free char *key = NULL;
	struct rumprun_place key_place = reader->place;
	struct rumprun_node *child;

	if (parent->kind == RUMPRUN_OBJECT) {
		if (next(reader) != '"')
			return unexpected(reader, "a key in quotes, or '}'");
		key_place = reader->place;
		key = read_string(reader);
		if (!key)
			return -1;
		if (next(reader) != ':')
			return unexpected(reader, "':' behind the key");
		advance(reader, 1);
	}
	child = read_value(reader, depth);
	if (!child)
		return -1;
	child->key = TAKE(key);
	if (child->key)
		child->key_place = key_place;
	STAILQ_INSERT_TAIL(&parent->children, child, entry);
	return 0;
}

/* An object or array, from its opening bracket on. */
static struct rumprun_node *read_container(struct reader *reader, unsigned depth)
{
	bool object = *reader->at == '{';
	char end = object ? '}' : ']';
	cleanup_rumprun_tree struct rumprun_node *node =
		new_node(object ? RUMPRUN_OBJECT : RUMPRUN_ARRAY, reader->place);

	if (depth == DEPTH_MAX) {
		READER_BAD(reader, "expected at most %d brackets in one another", DEPTH_MAX);
		return NULL;
	}
	advance(reader, 1);
	skip_commas(reader);
	while (next(reader) != end) {
		if (read_child(reader, node, depth + 1) < 0)
			return NULL;
		if (skip_commas(reader) == 0 && next(reader) != end) {
			unexpected(reader, object ? "',' or '}'" : "',' or ']'");
			return NULL;
		}
	}
	advance(reader, 1);
	return TAKE(node);
}

static struct rumprun_node *read_value(struct reader *reader, unsigned depth)
{
	char c = next(reader);
	struct rumprun_place place = reader->place;
	struct rumprun_node *node;
	char *text;

	if (c == '{' || c == '[')
		return read_container(reader, depth);
	if (c == '\0' || strchr(",:}]", c)) {
		unexpected(reader, "a value");
		return NULL;
	}
	text = c == '"' ? read_string(reader) : read_other(reader);
	if (!text)
		return NULL;
	node = new_node(c == '"' ? RUMPRUN_STRING : RUMPRUN_OTHER, place);
	node->text = text;
	return node;
}

struct rumprun_node *rumprun_tree_read(const char *text, size_t size, const char *path,
				       struct error *err)
{
	struct reader reader = {
		.path = path, .at = text, .end = text + size, .place = { 1, 1 }, .err = err
	};
	cleanup_rumprun_tree struct rumprun_node *root = NULL;
	const char *zero = memchr(text, '\0', size), *open = memchr(text, '{', size);

	if (zero) {
		advance(&reader, (size_t)(zero - text));
		READER_BAD(&reader, "byte 0x00; expected text");
		return NULL;
	}
	if (!open) {
		advance(&reader, size);
		READER_BAD(&reader, "the end of the file; expected a configuration that starts "
				    "with '{'");
		return NULL;
	}
	advance(&reader, (size_t)(open - text));
	root = read_value(&reader, 0);
	if (!root)
		return NULL;
	skip_commas(&reader);
	if (next(&reader)) {
		unexpected(&reader, "nothing behind the last '}'");
		return NULL;
	}
	return TAKE(root);
}

struct rumprun_node *rumprun_tree_add(struct rumprun_node *object, const char *key,
				      const char *text)
{
	struct rumprun_node *node = new_node(RUMPRUN_STRING, object->place);

	node->key = copy(key, strlen(key));
	node->text = copy(text, strlen(text));
	STAILQ_INSERT_TAIL(&object->children, node, entry);
	return node;
}

struct rumprun_node *rumprun_tree_find(const struct rumprun_node *object,
				       const struct rumprun_node *after, const char *key)
{
	struct rumprun_node *node = after ? STAILQ_NEXT(after, entry)
					  : STAILQ_FIRST(&object->children);

	while (node && strcmp(node->key, key) != 0)
		node = STAILQ_NEXT(node, entry);
	return node;
}

static void write_node(FILE *out, const struct rumprun_node *node)
{
	const struct rumprun_node *child;

	if (node->key)
		fprintf(out, "\"%s\":", node->key);
	switch (node->kind) {
	case RUMPRUN_STRING:
		fprintf(out, "\"%s\"", node->text);
		break;
	case RUMPRUN_OTHER:
		fputs(node->text, out);
		break;
	case RUMPRUN_OBJECT:
	case RUMPRUN_ARRAY:
		fputc(node->kind == RUMPRUN_OBJECT ? '{' : '[', out);
		STAILQ_FOREACH(child, &node->children, entry) {
			if (child != STAILQ_FIRST(&node->children))
				fputc(',', out);
			write_node(out, child);
		}
		fputc(node->kind == RUMPRUN_OBJECT ? '}' : ']', out);
		break;
	}
}

char *rumprun_tree_write(const struct rumprun_node *root)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	write_node(out, root);
	if (fclose(out) != 0 || !text)
		abort();
	return text;
}

void rumprun_tree_free(struct rumprun_node *node)
{
	struct rumprun_node *child;

	if (!node)
		return;
	while ((child = STAILQ_FIRST(&node->children))) {
		STAILQ_REMOVE_HEAD(&node->children, entry);
		rumprun_tree_free(child);
	}
	free(node->key);
	free(node->text);
	free(node);
}
