#include "engine/store.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"

#define STORE_VERSION  1
#define COLUMNS	       "SELECT id, name, spec, added, doomed FROM services"
#define APPLICATION_ID 0x4a495453 /* "JITS", as file(1) sees it */

struct store {
	sqlite3 *db;
	char *path;
	sqlite3_stmt *get, *from, *add, *update, *doom, *remove;
	bool group;	 /* store_begin's transaction is open */
	bool group_lost; /* it was ended, and failed: store_commit will say so */
	struct error group_error;
};

static int failed(struct store *store, const char *what, struct error *err)
{
	int code = sqlite3_errcode(store->db);

	switch (code) {
	case SQLITE_NOTADB:
		return error_set(err, ERROR_SYSTEM, "%s: not a store of jitsud's", store->path);
	case SQLITE_CORRUPT:
		return error_set(err, ERROR_SYSTEM, "%s: the store is damaged (%s)", store->path,
				 sqlite3_errmsg(store->db));
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return error_set(err, ERROR_BUSY, "%s: the store is in use by another process",
				 store->path);
	case SQLITE_FULL:
		return error_set(err, ERROR_SYSTEM, "%s: no room left on the disk to %s",
				 store->path, what);
	default: {
		int reason = sqlite3_system_errno(store->db);
		const char *text = sqlite3_errmsg(store->db);

		return reason ? error_set(err, ERROR_SYSTEM, "%s: cannot %s: %s (%s)", store->path,
					  what, text, strerror(reason))
			      : error_set(err, ERROR_SYSTEM, "%s: cannot %s: %s", store->path, what,
					  text);
	}
	}
}

static int run(struct store *store, const char *sql, const char *what, struct error *err)
{
	return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK
		       ? 0
		       : failed(store, what, err);
}

static int number(struct store *store, const char *sql, int64_t *out, struct error *err)
{
	sqlite3_stmt *statement = NULL;
	int rc = -1;

	if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) == SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW) {
		*out = sqlite3_column_int64(statement, 0);
		rc = 0;
	} else {
		failed(store, "read it", err);
	}
	sqlite3_finalize(statement);
	return rc;
}

/* An empty file becomes a store; anything else must be one, whole and of a known version. */
static int check_schema(struct store *store, struct error *err)
{
	int64_t version, application, tables;

	if (number(store, "PRAGMA user_version", &version, err) < 0 ||
	    number(store, "PRAGMA application_id", &application, err) < 0 ||
	    number(store, "SELECT count(*) FROM sqlite_schema", &tables, err) < 0)
		return -1;
	if (tables == 0 && application == 0 && version == 0)
		return run(store,
			   "BEGIN IMMEDIATE;"
			   "CREATE TABLE services ("
			   " id INTEGER PRIMARY KEY,"
			   " name TEXT NOT NULL,"
			   " spec TEXT NOT NULL,"
			   " added INTEGER NOT NULL,"
			   " doomed INTEGER NOT NULL DEFAULT 0) STRICT;"
			   "PRAGMA application_id = 0x4a495453;"
			   "PRAGMA user_version = 1;"
			   "COMMIT",
			   "create its table", err);
	if (application != APPLICATION_ID)
		return error_set(err, ERROR_SYSTEM,
				 "%s: a database of another program, not a store of jitsud's",
				 store->path);
	if (version > STORE_VERSION)
		return error_set(err, ERROR_SYSTEM,
				 "%s: the store is of version %lld, made by a newer jitsud; this "
				 "one reads up to %d",
				 store->path, (long long)version, STORE_VERSION);
	return 0;
}

static int check_whole(struct store *store, struct error *err)
{
	sqlite3_stmt *statement = NULL;
	const char *found;
	int rc = 0;

	if (sqlite3_prepare_v2(store->db, "PRAGMA quick_check(1)", -1, &statement, NULL) !=
		    SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_ROW) {
		rc = failed(store, "check it", err);
	} else {
		found = (const char *)sqlite3_column_text(statement, 0);
		if (!found || strcmp(found, "ok") != 0)
			rc = error_set(err, ERROR_SYSTEM, "%s: the store is damaged (%s)",
				       store->path, found ? found : "out of memory");
	}
	sqlite3_finalize(statement);
	return rc;
}

static int prepare(struct store *store, const char *sql, sqlite3_stmt **out, struct error *err)
{
	return sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) ==
			       SQLITE_OK
		       ? 0
		       : failed(store, "use its table", err);
}

static int open_all(struct store *store, struct error *err)
{
	if (!*store->path)
		return error_set(err, ERROR_INPUT, "the store's path is empty");
	if (sqlite3_open_v2(store->path, &store->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
			    NULL) != SQLITE_OK)
		return store->db ? failed(store, "open the store", err)
				 : error_set(err, ERROR_SYSTEM, "out of memory");
	/* In memory a page is never written again, so large ones only save what lies between them. */
	if (strcmp(store->path, ":memory:") == 0 &&
	    run(store, "PRAGMA page_size = 16384", "set its pages", err) < 0)
		return -1;
	/* FULL syncs the log at each commit: WAL's default would lose the last ones with the power.
	 * EXCLUSIVE keeps a second daemon out, and needs no shared memory beside the file. */
	if (run(store, "PRAGMA locking_mode = EXCLUSIVE", "lock it", err) < 0 ||
	    check_schema(store, err) < 0 ||
	    run(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL", "keep its log",
		err) < 0 ||
	    check_whole(store, err) < 0)
		return -1;
	if (prepare(store, COLUMNS " WHERE id = ?1", &store->get, err) < 0 ||
	    prepare(store, COLUMNS " WHERE id >= ?1 ORDER BY id LIMIT ?2", &store->from, err) < 0 ||
	    prepare(store, "INSERT INTO services (id, name, spec, added) VALUES (?, ?, ?, ?)",
		    &store->add, err) < 0 ||
	    prepare(store, "UPDATE services SET spec = ?2 WHERE id = ?1", &store->update, err) <
		    0 ||
	    prepare(store, "UPDATE services SET doomed = 1 WHERE id = ?1", &store->doom, err) < 0 ||
	    prepare(store, "DELETE FROM services WHERE id = ?1", &store->remove, err) < 0)
		return -1;
	return 0;
}

struct store *store_open(const char *path, struct error *err)
{
	struct store *store = calloc(1, sizeof *store);

	if (!store || !(store->path = strdup(path)))
		abort();
	if (open_all(store, err) < 0) {
		store_close(store);
		return NULL;
	}
	return store;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	sqlite3_finalize(store->get);
	sqlite3_finalize(store->from);
	sqlite3_finalize(store->add);
	sqlite3_finalize(store->update);
	sqlite3_finalize(store->doom);
	sqlite3_finalize(store->remove);
	if (sqlite3_close(store->db) != SQLITE_OK)
		log_error("%s: cannot be closed: %s", store->path, sqlite3_errmsg(store->db));
	free(store->path);
	free(store);
}

static int each_row(struct store *store, sqlite3_stmt *statement, store_each_fn *each, void *arg,
		    size_t *count, struct error *err)
{
	int rc = 0, code;

	for (*count = 0; rc == 0 && (code = sqlite3_step(statement)) != SQLITE_DONE; ++*count) {
		int64_t id = sqlite3_column_int64(statement, 0);
		const char *name = (const char *)sqlite3_column_text(statement, 1);
		const char *spec = (const char *)sqlite3_column_text(statement, 2);

		if (code != SQLITE_ROW)
			rc = failed(store, "read the services", err);
		else if (id < 0 || id > UINT32_MAX || !name || !spec)
			rc = error_set(err, ERROR_SYSTEM, "%s: the store is damaged (row %lld)",
				       store->path, (long long)id);
		else
			rc = each(arg, (uint32_t)id, name, spec, sqlite3_column_int64(statement, 3),
				  sqlite3_column_int(statement, 4), err);
	}
	sqlite3_reset(statement);
	return rc;
}

int store_each(struct store *store, store_each_fn *each, void *arg, struct error *err)
{
	return store_from(store, 0, UINT32_MAX, each, arg, err);
}

int store_get(struct store *store, uint32_t id, store_each_fn *each, void *arg, struct error *err)
{
	size_t count;

	sqlite3_bind_int64(store->get, 1, id);
	if (each_row(store, store->get, each, arg, &count, err) < 0)
		return -1;
	if (count == 0)
		return error_set(err, ERROR_SYSTEM, "%s: the store is damaged (row %u is missing)",
				 store->path, id);
	return 0;
}

int store_from(struct store *store, uint32_t id, uint32_t n, store_each_fn *each, void *arg,
	       struct error *err)
{
	size_t count;

	sqlite3_bind_int64(store->from, 1, id);
	sqlite3_bind_int64(store->from, 2, n);
	return each_row(store, store->from, each, arg, &count, err);
}

static int step(struct store *store, sqlite3_stmt *statement, const char *what, struct error *err)
{
	int rc = 0;

	if (sqlite3_step(statement) != SQLITE_DONE)
		rc = failed(store, what, err);
	else if (sqlite3_changes(store->db) != 1)
		rc = error_set(err, ERROR_SYSTEM, "%s: cannot %s: it is not there", store->path,
			       what);
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return rc;
}

/* An error within it may have made SQLite take all of it back already. */
static int end_group(struct store *store, struct error *err)
{
	bool whole = !sqlite3_get_autocommit(store->db);
	int rc = whole ? run(store, "COMMIT", "store the services", err)
		       : error_set(err, ERROR_SYSTEM, "%s: the services were not stored",
				   store->path);

	store->group = false;
	if (rc < 0 && !sqlite3_get_autocommit(store->db))
		run(store, "ROLLBACK", "take them back", NULL);
	return rc;
}

/* Before what is on disk when it returns: the group may have been lost by then, and is told so. */
static void flush(struct store *store)
{
	if (store->group)
		store->group_lost = end_group(store, &store->group_error) < 0;
}

int store_begin(struct store *store, struct error *err)
{
	if (store->group || store->group_lost)
		return 0;
	if (run(store, "BEGIN IMMEDIATE", "store the services", err) < 0)
		return -1;
	store->group = true;
	return 0;
}

int store_commit(struct store *store, struct error *err)
{
	if (store->group_lost) {
		store->group_lost = false;
		*err = store->group_error;
		return -1;
	}
	return store->group ? end_group(store, err) : 0;
}

int store_add(struct store *store, uint32_t id, const char *name, const char *spec, int64_t added,
	      struct error *err)
{
	sqlite3_bind_int64(store->add, 1, id);
	sqlite3_bind_text(store->add, 2, name, -1, SQLITE_STATIC);
	sqlite3_bind_text(store->add, 3, spec, -1, SQLITE_STATIC);
	sqlite3_bind_int64(store->add, 4, added);
	return step(store, store->add, "store the service", err);
}

int store_update(struct store *store, uint32_t id, const char *spec, struct error *err)
{
	flush(store);
	sqlite3_bind_int64(store->update, 1, id);
	sqlite3_bind_text(store->update, 2, spec, -1, SQLITE_STATIC);
	return step(store, store->update, "change the service", err);
}

int store_doom(struct store *store, uint32_t id, struct error *err)
{
	flush(store);
	sqlite3_bind_int64(store->doom, 1, id);
	return step(store, store->doom, "remove the service", err);
}

int store_remove(struct store *store, uint32_t id, struct error *err)
{
	flush(store);
	sqlite3_bind_int64(store->remove, 1, id);
	return step(store, store->remove, "remove the service", err);
}
