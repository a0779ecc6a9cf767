/* Services as the control methods show them, and how they are named there. */
#ifndef JITSU_ENGINE_LISTING_H
#define JITSU_ENGINE_LISTING_H

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct error;
struct json_object;
struct service;

/* The FIELD(service, …) lines, up to `measured` or all of them. */
struct json_object *listing_service(const struct service *service, bool whole);

/* The service of params' `name`, NULL with an error. */
struct service *listing_named(struct engine *engine, struct json_object *params, struct error *err);

/* Members; put takes the value. Time: µs as a number of `unit`, with three decimals. */
void listing_put(struct json_object *object, const char *key, struct json_object *value);
void listing_put_text(struct json_object *object, const char *key, const char *text);
void listing_put_number(struct json_object *object, const char *key, uint64_t n);
void listing_put_time(struct json_object *object, const char *key, int64_t usec, int64_t unit);

#endif
