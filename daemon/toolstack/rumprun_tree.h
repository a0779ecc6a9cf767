/*
 * The text of a rumprun configuration as a tree, in its order. What is taken is what the rumprun
 * tool writes and rumprun's reader accepts, and no more:
 * - all in front of the first `{` is ignored;
 * - commas may stand behind an opening bracket, in front of a closing one, several together, and
 *   behind the whole;
 * - keys may be repeated.
 *
 * json-c reads every string; the structure, the commas and the order are read here, because json-c
 * refuses the first two and keeps one of the repeated.
 *
 * Source: rumprun, app-tools/rumprun (json_append_ln and what calls it) for what is written;
 * lib/libbmk_core/jsmn.c for what is read.
 */
#ifndef JITSU_TOOLSTACK_RUMPRUN_TREE_H
#define JITSU_TOOLSTACK_RUMPRUN_TREE_H

#include <stddef.h>
#include <sys/queue.h>

struct error;

enum rumprun_kind { RUMPRUN_STRING, RUMPRUN_OBJECT, RUMPRUN_ARRAY, RUMPRUN_OTHER };

struct rumprun_place {
	unsigned line, column; /* from 1; a column is a byte */
};

STAILQ_HEAD(rumprun_nodes, rumprun_node);

struct rumprun_node {
	STAILQ_ENTRY(rumprun_node) entry;
	struct rumprun_nodes children; /* of an object or array */
	enum rumprun_kind kind;
	struct rumprun_place key_place, place;
	char *key;	  /* as written between its quotes; NULL in an array and for the whole */
	char *text;	  /* as written, a string without its quotes; NULL for an object or array */
	const char *over; /* the service's key whose value this is, NULL: the file's own */
};

/* The whole. The caller frees it. NULL with an error that names the place; path is only named. */
struct rumprun_node *rumprun_tree_read(const char *text, size_t size, const char *path,
				       struct error *err);

/* A string added at the end of an object; both texts are copied and need no escapes. */
struct rumprun_node *rumprun_tree_add(struct rumprun_node *object, const char *key,
				      const char *text);

/* The first child of that key behind `after` (NULL: from the first on), or NULL. */
struct rumprun_node *rumprun_tree_find(const struct rumprun_node *object,
				       const struct rumprun_node *after, const char *key);

/* JSON without white space, the keys repeated as they are. The caller frees it. */
char *rumprun_tree_write(const struct rumprun_node *root);

void rumprun_tree_free(struct rumprun_node *node);
static inline void rumprun_tree_free_p(struct rumprun_node **node)
{
	rumprun_tree_free(*node);
}
#define cleanup_rumprun_tree __attribute__((cleanup(rumprun_tree_free_p)))

#endif
