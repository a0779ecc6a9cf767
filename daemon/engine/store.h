/*
 * Services on disk: what was added is there after kill -9 and power loss, from the moment that
 * store_add returns. SQLite; only store.c includes it.
 */
#ifndef JITSU_ENGINE_STORE_H
#define JITSU_ENGINE_STORE_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct store;

/* Opens or creates the file, alone: a second daemon on it gets an error. ":memory:" keeps nothing.
 * NULL with an error that names the file: damaged, foreign, of a newer version, in use. */
struct store *store_open(const char *path, struct error *err);
/* NULL is allowed. */
void store_close(struct store *store);

/* Each service, by id; texts are valid during the call. Stops at an each() that fails. `doomed`:
 * see store_doom. 0, or -1 with an error. */
typedef int store_each_fn(void *arg, uint32_t id, const char *name, const char *spec, int64_t added,
			  bool doomed, struct error *err);
int store_each(struct store *store, store_each_fn *each, void *arg, struct error *err);

/* The same for one, which must be there, and for at most n of them from an id on. */
int store_get(struct store *store, uint32_t id, store_each_fn *each, void *arg, struct error *err);
int store_from(struct store *store, uint32_t id, uint32_t n, store_each_fn *each, void *arg,
	       struct error *err);

/* What store_add does from here on is on disk when store_commit returns 0, all of it; at an error
 * nothing of it is. Any other change in between ends the group first. 0, or -1 with an error. */
int store_begin(struct store *store, struct error *err);
int store_commit(struct store *store, struct error *err);

/* Durable when they return 0 (store_add in a group: when that is committed); -1 with an error, and
 * then nothing is changed. `added` is Unix time in s. The id must be new, and so must the name,
 * which is not looked at (or, for the others, the id be there). */
int store_add(struct store *store, uint32_t id, const char *name, const char *spec, int64_t added,
	      struct error *err);
int store_update(struct store *store, uint32_t id, const char *spec, struct error *err);
/* It was removed, but its domain may still be there: who opens the store next has to see to that.
 * store_remove is still to come. */
int store_doom(struct store *store, uint32_t id, struct error *err);
int store_remove(struct store *store, uint32_t id, struct error *err);

#endif
