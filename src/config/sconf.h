/*
 * The format of the configuration files: lines, indented with tabs (mox-imap-store-cli-config.md
 * 4.2). Reading makes a tree that remembers its lines; writing changes single lines of the text, so
 * that comments and order stay as their author left them.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum { SCONF_MAX_BYTES = 16 << 20, SCONF_MAX_DEPTH = 16, SCONF_MAX_PROBLEMS = 200 };

struct sconf_node {
    struct str key;   // of an entry of a struct or map; empty for a list item
    struct str value; // the rest of its line
    bool is_item;     // "- value"
    unsigned line;    // from 1; 0 for the root
    unsigned end;     // the last line that belongs to it
    struct sconf_node *child, *next;
};

struct sconf {
    struct str name; // of the file, for messages
    struct str text;
    struct sconf_node *root;
    bool is_broken; // a line could not be read: what is missing may be in it
};

/* What is wrong with a configuration: "file:line: message" lines. */
struct problems {
    struct buf *out;
    size_t n;
};
void problem_add(struct problems *p, const struct sconf *file, const struct sconf_node *at,
                 const char *format, ...) PRINTF_LIKE(4, 5);

/* Parses text, which must outlive the tree. Of lines that cannot be read only the
 * first is a problem: those after it may be at another depth than was meant. They are passed over. */
void sconf_parse(struct arena *a, struct str name, struct str text, struct sconf *out,
                 struct problems *problems);

/* The entry of that key, or NULL. node may be NULL. */
const struct sconf_node *sconf_get(const struct sconf_node *node, const char *key);
/* Its value; empty when it is absent. */
struct str sconf_text(const struct sconf_node *node, const char *key);
bool sconf_bool(const struct sconf_node *node, const char *key);
/* A number; the default when it is absent, zero or malformed. */
uint64_t sconf_u64(const struct sconf_node *node, const char *key, uint64_t otherwise);
/* A FLOAT that is not negative, such as "0.95"; 0 when it is not there. */
double sconf_float(const struct sconf_node *node, const char *key);
#define SCONF_EACH(item, list)                                                                     \
    for (const struct sconf_node *item = (list) ? (list)->child : NULL; item; item = item->next)

/* A duration in Go's syntax ("1h30m", "15s") in nanoseconds. */
MUST_USE bool sconf_duration(struct str text, int64_t *out);

/*
 * Changes of the text, all else kept: a new value for an entry, a new block after the last entry
 * of a parent (its lines without indentation, which is added), removing an entry with its comments.
 */
void sconf_write_value(struct buf *out, const struct sconf *file, const struct sconf_node *node,
                       struct str value);
void sconf_write_added(struct buf *out, const struct sconf *file, const struct sconf_node *parent,
                       struct str block);
void sconf_write_removed(struct buf *out, const struct sconf *file, const struct sconf_node *node);
