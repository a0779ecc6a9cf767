/*
 * The control socket's protocol, for both ends: JSON-RPC 2.0, one message a line. Methods, their
 * parameters, their results and the error codes: control.tbl.h; PROTOCOL.md says it in words.
 */
#ifndef JITSU_PROTO_CONTROL_H
#define JITSU_PROTO_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct json_object;

/* Version of this interface, in rpc.discover: the first number changes when a client breaks. */
#define CONTROL_VERSION	  "1.0.0"
#define CONTROL_SOCKET	  "/run/jitsu/control.sock"
#define CONTROL_LINE_MAX  (1024 * 1024) /* of a request, without its newline */
#define CONTROL_BATCH_MAX 1000

enum control_access { CONTROL_READ, CONTROL_WRITE };
enum control_params {
	CONTROL_PARAMS_NONE,
	CONTROL_PARAMS_NAME,
	CONTROL_PARAMS_SPEC,
	CONTROL_PARAMS_LIST,
	CONTROL_PARAMS_STOP,
	CONTROL_PARAMS_SET,
	CONTROL_PARAMS_EVENTS,
};
enum control_kind {
	CONTROL_TEXT,
	CONTROL_TEXTS,
	CONTROL_BOOL,
	CONTROL_NUMBER,
	CONTROL_KIB,
	CONTROL_MSEC,
	CONTROL_SECONDS,
	CONTROL_DATE,
	CONTROL_TIME,
	CONTROL_COUNTS,
	CONTROL_SPEC,
	CONTROL_VALUES,
	CONTROL_BOOT,
	CONTROL_SERVICES,
	CONTROL_EVENTS,
};

enum control_method_id {
#define METHOD(id, name, access, params, result, help) CONTROL_METHOD_##id,
#include "proto/control.tbl.h"
	CONTROL_METHODS
};

enum control_error {
#define CONTROL_ERROR(id, code, kind, meaning) CONTROL_ERROR_##id,
#include "proto/control.tbl.h"
	CONTROL_ERRORS
};

struct control_method {
	const char *name;
	enum control_access access;
	enum control_params params;
	const char *result, *help;
};

struct control_param {
	enum control_params params;
	const char *key;
	enum control_kind kind;
	bool needed;
	const char *help;
};

struct control_field {
	const char *result, *key;
	enum control_kind kind;
	const char *help;
};

struct control_error_row {
	int code;
	const char *kind, *meaning;
};

extern const struct control_method control_methods[CONTROL_METHODS];
extern const struct control_error_row control_errors[CONTROL_ERRORS];
/* These end with a row whose key is NULL. */
extern const struct control_param control_params[];
extern const struct control_field control_fields[];

/* The row of a method, CONTROL_METHODS if there is none of that name. */
enum control_method_id control_method_find(const char *name);

/* Text that may travel: UTF-8 (RFC 3629), no control characters but tab, CR and LF. */
bool control_text_valid(const char *text, size_t size);

/* Strict JSON (RFC 8259), one value and nothing after it, no U+0000 in its strings. 0 and *value,
 * which the caller puts (NULL for null), or -1 with an error that says where. */
int control_parse(const char *text, size_t size, struct json_object **value, struct error *err);

/* Checks params (NULL: not given) against the method's PARAM lines. A service's specification is
 * only looked at for being an object: its keys are spec_from_json's. 0, or -1 with an error. */
int control_bind(const struct control_method *method, struct json_object *params,
		 struct error *err);

/* Envelopes; the caller puts them. id (may be NULL, for null) is shared, params and result are
 * taken over. The text is made valid UTF-8 where it is not. */
struct json_object *control_request(const char *method, struct json_object *params,
				    struct json_object *id);
struct json_object *control_notification(const char *method, struct json_object *params);
struct json_object *control_success(struct json_object *id, struct json_object *result);
struct json_object *control_failure(struct json_object *id, enum control_error code,
				    const char *field, const char *text);

/* How an error of base/error.h is shown on the wire, and back. */
enum control_error control_error_of(enum error_kind kind);
/* Reads the `error` member of a response into *err; ERROR_SYSTEM for a kind that is not ours. */
void control_error_read(struct json_object *error, struct error *err);

/* The object as a line that ends in '\n'; *size without the NUL. The caller frees it. */
char *control_line(struct json_object *object, size_t *size);

#endif
