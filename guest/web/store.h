/*
 * A client of xenstore, over the ring that every domain has (xen/io/xs_wire.h). Paths are those of
 * our domain unless absolute.
 */
#ifndef WEB_STORE_H
#define WEB_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include "hyper.h"

void store_open(void);
evtchn_port_t store_port(void);

/* Waits for the answer. False if there is no such node; a value is cut to what fits. */
bool store_read(const char *path, char *value, size_t size);
bool store_read_number(const char *path, uint32_t *number);

/* Do not wait for the answer; what xenstore refuses is said on the console. */
void store_write(const char *path, const char *value);
void store_write_number(const char *path, uint32_t number);
void store_watch(const char *path);

/* Whether any watch has fired since the last call. */
bool store_changed(void);

#endif
