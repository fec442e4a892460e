/*
 * A map from text to a pointer. Keys are copied; values belong to the caller.
 * Hashing is keyed per process, so that chosen keys do not collide on purpose.
 */
#pragma once

#include "base/str.h"

struct map_entry {
    struct str key; // owned by the map; p NULL when the place is free
    void *value;
};

struct map {
    struct map_entry *entries;
    size_t count, cap; // cap is 0 or a power of two
};

void map_fini(struct map *m);
/* The value of key, or NULL. */
void *map_get(const struct map *m, struct str key);
/* Sets the value (not NULL) of key and returns the one it replaces, or NULL. */
void *map_put(struct map *m, struct str key, void *value);
/* Removes key and returns its value, or NULL. */
void *map_remove(struct map *m, struct str key);
/* Walks all entries in no particular order: start with *at 0; NULL at the end. */
struct map_entry *map_each(const struct map *m, size_t *at);

/* SipHash-1-3 of s under the process's key; also good for other tables. */
uint64_t str_hash(struct str s);
/* The same under a key of the caller's, for hashes that are stored. */
uint64_t str_hash_keyed(uint64_t k0, uint64_t k1, struct str s);
/* Sets the key once at start, from a random source; tests leave it at zero. */
void str_hash_seed(uint64_t k0, uint64_t k1);
