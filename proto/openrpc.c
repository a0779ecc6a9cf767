#include "proto/openrpc.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "proto/control.h"
#include "proto/spec.h"
#include "proto/spec_kind.h"

#define OPENRPC_VERSION "1.2.6"

/* A value from JSON written here; dies on a slip in it. */
static struct json_object *__attribute__((format(printf, 1, 2))) json(const char *fmt, ...)
{
	cleanup_free char *text = NULL;
	struct json_object *value;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = vasprintf(&text, fmt, ap);
	va_end(ap);
	value = r < 0 ? NULL : json_tokener_parse(text);
	if (!value)
		abort();
	return value;
}

static void add_text(struct json_object *object, const char *key, const char *text)
{
	json_object_object_add(object, key, json_object_new_string(text));
}

/* One value, or an array of them. */
static struct json_object *one_or_several(const char *one, int64_t min, int64_t max)
{
	return json("{\"anyOf\": [%s, {\"type\": \"array\", \"items\": %s, \"minItems\": %lld, "
		    "\"maxItems\": %lld}]}",
		    one, one, (long long)min, (long long)max);
}

static struct json_object *words_schema(enum spec_kind kind)
{
	struct json_object *schema = json_object_new_object(), *list = json_object_new_array();
	const char *const *words;
	size_t count;

	words = spec_words(kind, &count);
	for (size_t i = 0; i < count; i++)
		if (words[i])
			json_object_array_add(list, json_object_new_string(words[i]));
	json_object_object_add(schema, "enum", list);
	return schema;
}

static struct json_object *key_schema(enum spec_kind kind, int64_t min, int64_t max)
{
	long long least = min, most = max;

	switch (kind) {
	case SPEC_KIND_TEXT:
		return json("{\"type\": \"string\", \"minLength\": %lld, \"maxLength\": %lld}",
			    least, most);
	case SPEC_KIND_TEXTS:
		return one_or_several("{\"type\": \"string\", \"minLength\": 1}", min, max);
	case SPEC_KIND_NAMES:
		return one_or_several("{\"type\": \"string\", \"minLength\": 1, "
				      "\"maxLength\": 254}",
				      min, max);
	case SPEC_KIND_ADDRESSES:
		return one_or_several("{\"type\": \"string\", \"anyOf\": [{\"format\": \"ipv4\"}, "
				      "{\"format\": \"ipv6\"}]}",
				      min, max);
	case SPEC_KIND_UUID:
		return json("{\"type\": \"string\", \"format\": \"uuid\"}");
	case SPEC_KIND_MEMORY:
		return json("{\"anyOf\": [{\"type\": \"integer\", \"minimum\": %lld, "
			    "\"maximum\": %lld}, "
			    "{\"type\": \"string\", \"pattern\": \"^[0-9]+[KkMmGgTt]?$\"}]}",
			    least, most);
	case SPEC_KIND_NUMBER:
	case SPEC_KIND_MSEC:
		return json("{\"anyOf\": [{\"type\": \"integer\", \"minimum\": %lld, "
			    "\"maximum\": %lld}, "
			    "{\"type\": \"string\", \"pattern\": \"^[0-9]+$\"}]}",
			    least, most);
	case SPEC_KIND_SECONDS:
		return json("{\"anyOf\": [{\"type\": \"number\", \"minimum\": %g, "
			    "\"maximum\": %g}, "
			    "{\"type\": \"string\", \"pattern\": \"^[0-9]+(\\\\.[0-9]+)?$\"}]}",
			    (double)min / 1000, (double)max / 1000);
	case SPEC_KIND_BOOL:
		return json(
			"{\"anyOf\": [{\"type\": \"boolean\"}, "
			"{\"enum\": [0, 1, \"0\", \"1\", \"false\", \"true\", \"no\", \"yes\"]}]}");
	case SPEC_KIND_IDLE:
		return one_or_several("{\"type\": \"string\", \"pattern\": "
				      "\"^[a-z]+:[0-9]+(ms|[smhd])(,[a-z]+:[0-9]+(ms|[smhd]))*$\"}",
				      1, SPEC_TIERS_MAX);
	case SPEC_KIND_MACS:
		return one_or_several("{\"type\": \"string\", \"pattern\": "
				      "\"^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}$\"}",
				      min, max);
	case SPEC_KIND_TYPE:
	case SPEC_KIND_STOP:
	case SPEC_KIND_IDLE_BY:
	case SPEC_KIND_FATE:
	case SPEC_KIND_DEATH:
		return words_schema(kind);
	case SPEC_KINDS:
		break;
	}
	abort();
}

static const struct {
	const char *key;
	enum spec_kind kind;
	int64_t min, max;
	const char *help;
} spec_rows[] = {
#define SPEC_KEY(key, kind, min, max, help) { #key, SPEC_KIND_##kind, min, max, help },
#include "proto/spec.tbl.h"
#undef SPEC_KEY
};

/* Always; what spec_from_json wants besides depends on the backend and on other keys. */
static const char *const spec_needed[] = { "name", "dns" };

static bool is_needed(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(spec_needed); i++) {
		if (strcmp(spec_needed[i], key) == 0)
			return true;
	}
	return false;
}

static struct json_object *descriptor(const char *key, const char *help, bool needed,
				      struct json_object *schema)
{
	struct json_object *object = json_object_new_object();

	add_text(object, "name", key);
	add_text(object, "description", help);
	json_object_object_add(object, "required", json_object_new_boolean(needed));
	json_object_object_add(object, "schema", schema);
	return object;
}

static struct json_object *field_schema(enum control_kind kind)
{
	static const char *const schemas[] = {
		[CONTROL_TEXT] = "{\"type\": \"string\"}",
		[CONTROL_TEXTS] = "{\"type\": \"array\", \"items\": {\"type\": \"string\"}}",
		[CONTROL_BOOL] = "{\"type\": \"boolean\"}",
		[CONTROL_NUMBER] = "{\"type\": \"integer\"}",
		[CONTROL_KIB] = "{\"type\": \"integer\", \"minimum\": 0}",
		[CONTROL_MSEC] = "{\"type\": \"number\", \"minimum\": 0}",
		[CONTROL_SECONDS] = "{\"type\": \"number\", \"minimum\": 0}",
		[CONTROL_DATE] = "{\"type\": \"integer\"}",
		[CONTROL_TIME] = "{\"type\": \"number\"}",
		[CONTROL_COUNTS] = "{\"type\": \"object\", \"additionalProperties\": "
				   "{\"type\": \"integer\", \"minimum\": 0}}",
		[CONTROL_SPEC] = "{\"$ref\": \"#/components/schemas/spec\"}",
		[CONTROL_VALUES] = "{\"type\": \"object\"}",
		[CONTROL_BOOT] = "{\"$ref\": \"#/components/schemas/boot\"}",
		[CONTROL_SERVICES] = "{\"type\": \"array\", \"items\": "
				     "{\"$ref\": \"#/components/schemas/service\"}}",
		[CONTROL_EVENTS] = "{\"type\": \"array\", \"items\": "
				   "{\"$ref\": \"#/components/schemas/event\"}}",
	};

	return json("%s", schemas[kind]);
}

static struct json_object *params_of(const struct control_method *method)
{
	struct json_object *params = json_object_new_array();

	if (method->params == CONTROL_PARAMS_SPEC) {
		for (size_t i = 0; i < ARRAY_SIZE(spec_rows); i++)
			json_object_array_add(
				params, descriptor(spec_rows[i].key, spec_rows[i].help,
						   is_needed(spec_rows[i].key),
						   key_schema(spec_rows[i].kind, spec_rows[i].min,
							      spec_rows[i].max)));
	}
	for (const struct control_param *p = control_params; p->key; p++) {
		if (p->params == method->params)
			json_object_array_add(params, descriptor(p->key, p->help, p->needed,
								 field_schema(p->kind)));
	}
	return params;
}

static struct json_object *errors(void)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < CONTROL_ERRORS; i++) {
		struct json_object *row = json_object_new_object(),
				   *data = json_object_new_object();

		json_object_object_add(row, "code", json_object_new_int(control_errors[i].code));
		add_text(row, "message", control_errors[i].meaning);
		add_text(data, "kind", control_errors[i].kind);
		json_object_object_add(row, "data", data);
		json_object_array_add(list, row);
	}
	return list;
}

static struct json_object *result_of(const struct control_method *method)
{
	struct json_object *result = json_object_new_object();

	add_text(result, "name", method->result);
	json_object_object_add(
		result, "schema",
		strcmp(method->result, "openrpc") == 0
			? json("{\"type\": \"object\"}")
			: json("{\"$ref\": \"#/components/schemas/%s\"}", method->result));
	return result;
}

static struct json_object *methods(void)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < CONTROL_METHODS; i++) {
		const struct control_method *method = &control_methods[i];
		struct json_object *row = json_object_new_object();

		add_text(row, "name", method->name);
		add_text(row, "summary", method->help);
		add_text(row, "paramStructure", "by-name");
		json_object_object_add(row, "params", params_of(method));
		json_object_object_add(row, "result", result_of(method));
		json_object_object_add(row, "errors", errors());
		add_text(row, "x-access", method->access == CONTROL_WRITE ? "write" : "read");
		json_object_array_add(list, row);
	}
	return list;
}

static struct json_object *property(const char *help, struct json_object *schema)
{
	add_text(schema, "description", help);
	return schema;
}

static struct json_object *spec_schema(void)
{
	struct json_object *schema =
		json("{\"type\": \"object\", \"additionalProperties\": false}");
	struct json_object *properties = json_object_new_object(),
			   *needed = json_object_new_array();

	for (size_t i = 0; i < ARRAY_SIZE(spec_rows); i++)
		json_object_object_add(
			properties, spec_rows[i].key,
			property(spec_rows[i].help, key_schema(spec_rows[i].kind, spec_rows[i].min,
							       spec_rows[i].max)));
	for (size_t i = 0; i < ARRAY_SIZE(spec_needed); i++)
		json_object_array_add(needed, json_object_new_string(spec_needed[i]));
	json_object_object_add(schema, "properties", properties);
	json_object_object_add(schema, "required", needed);
	return schema;
}

/* One schema for each result that has FIELD lines, and the specification's. */
static struct json_object *schemas(void)
{
	struct json_object *all = json_object_new_object(), *schema, *properties;

	for (const struct control_field *f = control_fields; f->key; f++) {
		if (!json_object_object_get_ex(all, f->result, &schema)) {
			schema = json("{\"type\": \"object\", \"properties\": {}}");
			json_object_object_add(all, f->result, schema);
		}
		json_object_object_get_ex(schema, "properties", &properties);
		json_object_object_add(properties, f->key,
				       property(f->help, field_schema(f->kind)));
	}
	json_object_object_add(all, "spec", spec_schema());
	return all;
}

struct json_object *openrpc_document(void)
{
	struct json_object *document = json_object_new_object(), *info = json_object_new_object(),
			   *components = json_object_new_object();

	add_text(document, "openrpc", OPENRPC_VERSION);
	add_text(info, "title", "jitsud");
	add_text(info, "version", CONTROL_VERSION);
	add_text(info, "description",
		 "JSON-RPC 2.0 on a Unix stream socket, one message a line; see PROTOCOL.md.");
	json_object_object_add(document, "info", info);
	json_object_object_add(document, "methods", methods());
	json_object_object_add(components, "schemas", schemas());
	json_object_object_add(document, "components", components);
	return document;
}
