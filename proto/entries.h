/*
 * Services in a file: one object, or an array of them, read piece by piece, so that a file of a
 * million costs no more memory than its longest entry. Only the outline is looked at here, where an
 * entry begins and ends; what is in it the reader of a specification judges (spec.h).
 */
#ifndef JITSU_PROTO_ENTRIES_H
#define JITSU_PROTO_ENTRIES_H

#include <stdbool.h>
#include <stddef.h>

struct entries;
struct error;

/* Reads fd, which stays the caller's, from its beginning, wherever others have read it to;
 * `stream`: from where it is, for what is no file. */
struct entries *entries_new(int fd, bool stream);
/* NULL is allowed. */
void entries_free(struct entries *entries);

/* 1 and the next entry, NUL-terminated, valid until the next call; 0 at the end; -1 with an error
 * that names line and entry: then nothing more comes. An entry is at most SPEC_JSON_MAX bytes. */
int entries_next(struct entries *entries, const char **text, size_t *size, struct error *err);
/* How many have come; and were they of an array? */
size_t entries_count(const struct entries *entries);
bool entries_array(const struct entries *entries);

#endif
