/*
 * Memory with one lifetime: the process, a connection or a command. Freed all at once.
 *
 * Out of memory, or past the ceiling, ends the process: sizes from outside are checked
 * against a limit before they get here, so only our own mistakes reach the ceiling.
 */
#pragma once

#include "base/compiler.h"
#include "base/str.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; // newest first
    char *p, *end;              // what is left of the newest
    size_t used, limit;         // bytes held, and their ceiling
};

/* Initialiser of an arena that may grow to limit_bytes. Nothing is allocated before first use. */
#define ARENA_LIMIT(limit_bytes)                                                                   \
    {                                                                                              \
        .limit = (limit_bytes)                                                                     \
    }

/* An arena that is freed when its scope ends. */
#define AUTO_ARENA CLEANUP(arena_fini) struct arena

void arena_fini(struct arena *a);
/* Forgets everything allocated; keeps one block for the next use. */
void arena_reset(struct arena *a);

/* n zeroed bytes, aligned for any type. */
void *arena_alloc(struct arena *a, size_t n);
/* count zeroed elements of size bytes; the product is checked. */
void *arena_array(struct arena *a, size_t count, size_t size);
#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, count, type) ((type *)arena_array((a), (count), sizeof(type)))

void arena_grow(struct arena *a, void **array, size_t count, size_t *cap, size_t size);
/*
 * Room for one more element behind *count in an array that grows by doubling: returns the
 * address of the zeroed new element and counts it. Start with array NULL, count and cap 0.
 */
static inline void *arena_push(struct arena *a, void **array, size_t *count, size_t *cap, size_t size)
{
    if (*count == *cap)
        arena_grow(a, array, *count, cap, size);
    return (char *)*array + (*count)++ * size;
}
#define ARENA_PUSH(a, array, count, cap)                                                           \
    ((__typeof__(*(array)) *)arena_push((a), (void **)&(array), (count), (cap), sizeof(*(array))))

/* A copy of s. */
struct str arena_dup(struct arena *a, struct str s);
/* A NUL-terminated copy for a system call, or NULL if s holds a NUL. */
char *arena_cstring(struct arena *a, struct str s);
/* Formatted text. */
struct str arena_printf(struct arena *a, const char *format, ...) PRINTF_LIKE(2, 3);
/* A copy with ASCII letters in lower case. */
struct str arena_lower(struct arena *a, struct str s);
struct str arena_upper(struct arena *a, struct str s);

/* Heap memory for objects with their own lifetime: zeroed, never NULL. */
void *heap_alloc(size_t n);
void *heap_array(size_t count, size_t size);
void *heap_resize(void *p, size_t count, size_t size);
/* Text with its own lifetime. Freeing empties it; what is empty may be freed. */
struct str heap_dup(struct str s);
void heap_free(struct str *s);
