/*
 * What is made from the tables and kept in the tree is as the tables are: openrpc.json, the tables
 * in PROTOCOL.md, jitsuctl's man page and completion. With JITSU_REGENERATE=1 they are written
 * instead. Run from the top of the tree.
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "proto/control.h"
#include "proto/message.h"
#include "proto/openrpc.h"
#include "proto/spec.h"
#include "proto/spec_kind.h"

#define PROTOCOL "proto/PROTOCOL.md"

static char *read_stream(FILE *file)
{
	size_t room = 1 << 20;
	char *text = calloc(1, room);
	size_t used;

	assert_non_null(file);
	used = fread(text, 1, room - 1, file);
	assert_true(used < room - 1);
	return text;
}

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text;

	if (!file)
		fail_msg("%s is not there: is this the top of the tree?", path);
	text = read_stream(file);
	fclose(file);
	return text;
}

static bool regenerate(void)
{
	const char *value = getenv("JITSU_REGENERATE");

	return value && *value;
}

static void check_equal(const char *path, const char *expected)
{
	cleanup_free char *actual = NULL;

	if (regenerate()) {
		FILE *file = fopen(path, "w");

		assert_non_null(file);
		fputs(expected, file);
		assert_int_equal(fclose(file), 0);
		return;
	}
	actual = read_file(path);
	if (strcmp(actual, expected) != 0) {
		size_t at = 0, line = 1;

		for (; actual[at] == expected[at]; at++)
			line += actual[at] == '\n';
		fail_msg("%s is not what the tables say from line %zu on; "
			 "run this with JITSU_REGENERATE=1",
			 path, line);
	}
}

static void openrpc(void **state)
{
	struct json_object *document = openrpc_document();
	cleanup_free char *text = NULL;

	(void)state;
	assert_true(asprintf(&text, "%s\n",
			     json_object_to_json_string_ext(
				     document, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						       JSON_C_TO_STRING_NOSLASHESCAPE)) > 0);
	check_equal("proto/openrpc.json", text);
	json_object_put(document);
}

/* The words of the schema's enumerations are those that spec.c takes, and no others. */
static void openrpc_words(void **state)
{
	static const char *const keys[] = { "type",	 "stop_mode", "idle_by",   "on_poweroff",
					    "on_reboot", "on_crash",  "sim_reason" };
	struct json_object *document = openrpc_document(), *at = document;

	(void)state;
	at = json_object_object_get(at, "components");
	at = json_object_object_get(at, "schemas");
	at = json_object_object_get(json_object_object_get(at, "spec"), "properties");
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		struct json_object *words =
			json_object_object_get(json_object_object_get(at, keys[i]), "enum");
		struct json_object *service = json_object_new_object();
		char expected[256] = "";
		struct error err;

		json_object_object_add(service, keys[i], json_object_new_string("?"));
		assert_null(spec_from_json(service, true, &err));
		json_object_put(service);
		for (size_t k = 0; k < json_object_array_length(words); k++) {
			if (k)
				strcat(expected, ", ");
			strcat(expected,
			       json_object_get_string(json_object_array_get_idx(words, k)));
		}
		assert_non_null(strstr(err.text, "expected one of: "));
		assert_string_equal(strstr(err.text, "expected one of: ") + 17, expected);
	}
	json_object_put(document);
}

/* --- PROTOCOL.md --- */

static void write_params(FILE *out, enum control_params params)
{
	const char *separator = "";

	if (params == CONTROL_PARAMS_NONE)
		fputs("none", out);
	if (params == CONTROL_PARAMS_SPEC)
		fputs("a service's keys", out);
	for (const struct control_param *p = control_params; p->key; p++) {
		if (p->params != params)
			continue;
		fprintf(out, "%s`%s`: %s%s", separator, p->key, p->help,
			p->needed ? "" : " (optional)");
		separator = "; ";
	}
}

static void write_methods(FILE *out)
{
	fputs("| method | access | parameters | result | what it does |\n|---|---|---|---|---|\n",
	      out);
	for (size_t i = 0; i < CONTROL_METHODS; i++) {
		const struct control_method *m = &control_methods[i];

		fprintf(out, "| `%s` | %s | ", m->name,
			m->access == CONTROL_WRITE ? "write" : "read");
		write_params(out, m->params);
		fprintf(out, " | %s | %s |\n", m->result, m->help);
	}
}

static void write_errors(FILE *out)
{
	fputs("| code | kind | meaning |\n|---|---|---|\n", out);
	for (size_t i = 0; i < CONTROL_ERRORS; i++)
		fprintf(out, "| %d | `%s` | %s |\n", control_errors[i].code, control_errors[i].kind,
			control_errors[i].meaning);
}

static void write_causes(FILE *out)
{
	static const struct {
		const char *text, *meaning;
	} rows[] = {
#define CAUSE(id, text, meaning) { text, meaning },
#include "proto/cause.tbl.h"
#undef CAUSE
	};

	fputs("| why | of which changes |\n|---|---|\n", out);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		fprintf(out, "| %s | %s |\n", rows[i].text, rows[i].meaning);
}

static void write_fields(FILE *out)
{
	static const char *const kinds[] = {
		[CONTROL_TEXT] = "text",
		[CONTROL_TEXTS] = "array of texts",
		[CONTROL_BOOL] = "true, false",
		[CONTROL_NUMBER] = "whole number",
		[CONTROL_KIB] = "KiB",
		[CONTROL_MSEC] = "ms",
		[CONTROL_SECONDS] = "s",
		[CONTROL_DATE] = "s since 1970",
		[CONTROL_TIME] = "s since 1970, with fractions",
		[CONTROL_COUNTS] = "object of numbers",
		[CONTROL_SPEC] = "the keys of a service",
		[CONTROL_VALUES] = "keys of a service",
		[CONTROL_BOOT] = "boot",
		[CONTROL_SERVICES] = "array of service",
		[CONTROL_EVENTS] = "array of event",
	};
	const char *result = "";

	for (const struct control_field *f = control_fields; f->key; f++) {
		if (strcmp(f->result, result) != 0)
			fprintf(out, "%s**%s**\n\n| key | value | meaning |\n|---|---|---|\n",
				*result ? "\n" : "", f->result);
		result = f->result;
		fprintf(out, "| `%s` | %s | %s |\n", f->key, kinds[f->kind], f->help);
	}
}

static void write_keys(FILE *out)
{
	static const struct {
		const char *key, *kind;
		enum spec_kind id;
		double min, max;
		const char *help;
	} rows[] = {
#define SPEC_KEY(key, kind, min, max, help) { #key, #kind, SPEC_KIND_##kind, min, max, help },
#include "proto/spec.tbl.h"
#undef SPEC_KEY
	};
	static const struct {
		const char *kind, *value;
		double scale; /* 0: no range to tell */
	} kinds[] = {
		{ "TEXT", "text, %.0f to %.0f bytes", 1 },
		{ "TEXTS", "text, or an array of %.0f to %.0f", 1 },
		{ "NAMES", "name, or an array of %.0f to %.0f", 1 },
		{ "ADDRESSES", "address, or an array of %.0f to %.0f", 1 },
		{ "MACS", "MAC, or an array of %.0f to %.0f", 1 },
		{ "MEMORY", "KiB, %.0f to %.0f, or a size", 1 },
		{ "NUMBER", "number, %.0f to %.0f", 1 },
		{ "SECONDS", "seconds, %.0f to %.0f", 1000 },
		{ "MSEC", "ms, %.0f to %.0f", 1 },
		{ "UUID", "UUID", 0 },
		{ "BOOL", "true or false", 0 },
		{ "IDLE", "`MODE:TIME`, or several apart by commas, or an array", 0 },
	};

	fputs("| key | value | meaning |\n|---|---|---|\n", out);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char words[128];
		size_t k = 0;

		spec_words_join(rows[i].id, words, sizeof words);
		while (k < ARRAY_SIZE(kinds) && strcmp(kinds[k].kind, rows[i].kind) != 0)
			k++;
		if (k == ARRAY_SIZE(kinds) && !*words)
			fail_msg("kind %s is not described here", rows[i].kind);
		fprintf(out, "| `%s` | ", rows[i].key);
		if (*words) {
			fprintf(out, "one of: %s", words);
		} else if (kinds[k].scale > 0) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			fprintf(out, kinds[k].value, rows[i].min / kinds[k].scale,
				rows[i].max / kinds[k].scale);
#pragma GCC diagnostic pop
		} else {
			fputs(kinds[k].value, out);
		}
		fprintf(out, " | %s |\n", rows[i].help);
	}
}

/* `U32(id) U64(at)` as `id: u32, at: u64`. */
static void write_message_fields(FILE *out, const char *fields)
{
	const char *separator = "";

	for (const char *c = fields; *c;) {
		size_t kind = strcspn(c, "("), name = strcspn(c + kind + 1, ")");

		fprintf(out, "%s%.*s: ", separator, (int)name, c + kind + 1);
		for (size_t i = 0; i < kind; i++)
			fputc(c[i] >= 'A' && c[i] <= 'Z' ? c[i] - 'A' + 'a' : c[i], out);
		separator = ", ";
		c += kind + name + 2;
		c += strspn(c, " ");
	}
}

static void write_messages(FILE *out)
{
	static const struct {
		const char *name;
		enum room from, to;
		const char *fields, *meaning;
	} rows[] = {
#define MESSAGE(name, from, to, fields, meaning)                                                   \
	{ #name, ROOM_##from, ROOM_##to, #fields, meaning },
#include "proto/message.tbl.h"
#undef MESSAGE
	};

	fputs("| from | to | message | fields | meaning |\n|---|---|---|---|---|\n", out);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		fprintf(out, "| %s | %s | `%s` | ", room_name(rows[i].from), room_name(rows[i].to),
			rows[i].name);
		write_message_fields(out, rows[i].fields);
		fprintf(out, " | %s |\n", rows[i].meaning);
	}
}

static void write_synjitsu(FILE *out)
{
	static const struct {
		const char *name;
		unsigned number;
		const char *direction, *fields, *meaning;
	} rows[] = {
#define SYNJITSU(name, number, direction, fields, meaning)                                         \
	{ #name, number, #direction, #fields, meaning },
#include "proto/synjitsu.tbl.h"
#undef SYNJITSU
	};

	fputs("| number | message | direction | fields | meaning |\n|---|---|---|---|---|\n", out);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		fprintf(out, "| %u | `%s` | %s | ", rows[i].number, rows[i].name,
			strcmp(rows[i].direction, "DOWN") == 0 ? "to Synjitsu"
			: strcmp(rows[i].direction, "UP") == 0 ? "to jitsud"
							       : "both");
		write_message_fields(out, rows[i].fields);
		fprintf(out, " | %s |\n", rows[i].meaning);
	}
}

/* The document with what is between the section's marks made anew. */
static char *with_section(const char *document, const char *name, void (*write)(FILE *))
{
	char begin[64], end[64], *text = NULL;
	const char *from, *to;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	snprintf(begin, sizeof begin, "<!-- made: %s -->\n", name);
	snprintf(end, sizeof end, "<!-- end: %s -->\n", name);
	from = strstr(document, begin);
	to = from ? strstr(from, end) : NULL;
	if (!to)
		fail_msg("%s has no section %s", PROTOCOL, name);
	from += strlen(begin);
	fwrite(document, 1, (size_t)(from - document), out);
	write(out);
	fputs(to, out);
	fclose(out);
	return text;
}

static void protocol(void **state)
{
	static const struct {
		const char *name;
		void (*write)(FILE *);
	} sections[] = {
		{ "methods", write_methods },	{ "errors", write_errors },
		{ "results", write_fields },	{ "keys", write_keys },
		{ "messages", write_messages }, { "causes", write_causes },
		{ "synjitsu", write_synjitsu },
	};
	char *text = read_file(PROTOCOL);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		cleanup_free char *before = text;

		text = with_section(before, sections[i].name, sections[i].write);
	}
	check_equal(PROTOCOL, text);
	free(text);
}

/* Every method has its example, and every example is what it says: `-->` a request, `<--` one
 * line of JSON. */
static void examples(void **state)
{
	cleanup_free char *text = read_file(PROTOCOL);
	bool shown[CONTROL_METHODS] = { false };
	char *rest = text, *line;

	(void)state;
	while ((line = strsep(&rest, "\n"))) {
		struct json_object *value, *method;
		struct error err;

		if (strncmp(line, "--> ", 4) != 0 && strncmp(line, "<-- ", 4) != 0)
			continue;
		if (control_parse(line + 4, strlen(line + 4), &value, &err) < 0)
			fail_msg("%s: %s", err.text, line);
		if (json_object_is_type(value, json_type_object) &&
		    json_object_object_get_ex(value, "method", &method)) {
			enum control_method_id id =
				control_method_find(json_object_get_string(method));

			if (id < CONTROL_METHODS)
				shown[id] = true;
		}
		json_object_put(value);
	}
	for (size_t i = 0; i < CONTROL_METHODS; i++) {
		if (!shown[i])
			fail_msg("%s has no example in " PROTOCOL, control_methods[i].name);
	}
}

static void made_by_jitsuctl(const char *what, const char *path)
{
	char self[PATH_MAX] = "";
	cleanup_free char *command = NULL, *text = NULL;
	FILE *pipe;

	assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
	*strrchr(self, '/') = '\0';
	assert_true(asprintf(&command, "'%s/../../jitsuctl' document %s", self, what) > 0);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	text = read_stream(pipe);
	assert_int_equal(pclose(pipe), 0);
	check_equal(path, text);
}

static void man_page(void **state)
{
	(void)state;
	made_by_jitsuctl("man", "jitsuctl/jitsuctl.1");
}

static void completion(void **state)
{
	(void)state;
	made_by_jitsuctl("bash", "jitsuctl/jitsuctl.bash");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(openrpc),  cmocka_unit_test(openrpc_words),
		cmocka_unit_test(protocol), cmocka_unit_test(examples),
		cmocka_unit_test(man_page), cmocka_unit_test(completion),
	};

	return cmocka_run_group_tests_name("documents", tests, NULL, NULL);
}
