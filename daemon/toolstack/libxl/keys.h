/*
 * Keys in xenstore that tell of guests: one connection with watches, in the loop.
 */
#ifndef JITSU_TOOLSTACK_LIBXL_KEYS_H
#define JITSU_TOOLSTACK_LIBXL_KEYS_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct keys;
struct loop;

/* A watched key of that domain may have changed: at least once, soon after keys_watch. */
typedef void keys_fn(void *arg, uint32_t domid);

/* NULL with an error. fn is called from the loop only. */
struct keys *keys_new(struct loop *loop, keys_fn *fn, void *arg, struct error *err);
void keys_free(struct keys *keys);

/* `key` is KEY or KEY=VALUE, relative to the domain's folder or, with a slash first, a whole path.
 * One a domain. 0, or -1 with an error. */
int keys_watch(struct keys *keys, uint32_t domid, const char *key, struct error *err);
void keys_unwatch(struct keys *keys, uint32_t domid, const char *key);

/* Is there a value (NULL: none) that `key` waits for? */
bool keys_match(const char *key, const char *value);

/* KEY of KEY=VALUE. */
#define KEYS_NAME_MAX 1024
void keys_name(char out[KEYS_NAME_MAX], const char *key);

#endif
