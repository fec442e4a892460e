#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/die.h"

#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

enum { FIRST_BLOCK = 4096, MAX_BLOCK = 1 << 20, KEEP_BLOCK = 1 << 16, ALIGN = 16 };

struct arena_block {
    struct arena_block *older;
    size_t size; // of data
    _Alignas(ALIGN) char data[];
};

static void new_block(struct arena *a, size_t n)
{
    size_t size = a->blocks ? a->blocks->size * 2 : FIRST_BLOCK;
    struct arena_block *b;

    if (size > MAX_BLOCK)
        size = MAX_BLOCK;
    if (size < n)
        size = n;
    if (size > a->limit - a->used)
        size = n; // the last block before the ceiling is as large as needed
    if (size > a->limit - a->used)
        die("arena: %zu bytes on top of %zu pass the ceiling of %zu", n, a->used, a->limit);
    b = malloc(sizeof *b + size);
    if (!b)
        die("out of memory");
    b->older = a->blocks;
    b->size = size;
    a->blocks = b;
    a->used += size;
    a->p = b->data;
    a->end = b->data + size;
    POISON(b->data, size);
}

void *arena_alloc(struct arena *a, size_t n)
{
    size_t rounded;
    char *p;

    if (__builtin_add_overflow(n, (size_t)(ALIGN - 1), &rounded))
        die("arena: size overflow");
    rounded &= ~(size_t)(ALIGN - 1);
    if (rounded > (size_t)(a->end - a->p) || !a->p)
        new_block(a, rounded);
    p = a->p;
    a->p += rounded;
    UNPOISON(p, n);
    memset(p, 0, n);
    return p;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t n;

    if (__builtin_mul_overflow(count, size, &n))
        die("arena: size overflow");
    return arena_alloc(a, n);
}

void arena_grow(struct arena *a, void **array, size_t count, size_t *cap, size_t size)
{
    size_t new_cap = *cap ? *cap * 2 : 8;
    void *grown = arena_array(a, new_cap, size);

    if (count)
        memcpy(grown, *array, count * size);
    *array = grown;
    *cap = new_cap;
}

static void free_blocks(struct arena_block *b)
{
    while (b) {
        struct arena_block *older = b->older;

        UNPOISON(b->data, b->size);
        free(b);
        b = older;
    }
}

void arena_fini(struct arena *a)
{
    free_blocks(a->blocks);
    *a = (struct arena)ARENA_LIMIT(a->limit);
}

void arena_reset(struct arena *a)
{
    struct arena_block *newest = a->blocks;

    if (!newest)
        return;
    if (newest->size > KEEP_BLOCK) {
        arena_fini(a);
        return;
    }
    free_blocks(newest->older);
    newest->older = NULL;
    a->used = newest->size;
    a->p = newest->data;
    a->end = newest->data + newest->size;
    POISON(newest->data, newest->size);
}

struct str arena_dup(struct arena *a, struct str s)
{
    char *p;

    if (!s.n)
        return (struct str){"", 0};
    p = arena_alloc(a, s.n);
    memcpy(p, s.p, s.n);
    return str_at(p, s.n);
}

char *arena_cstring(struct arena *a, struct str s)
{
    char *p;

    if (str_find(s, '\0') != STR_NONE)
        return NULL;
    p = arena_alloc(a, s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    return p;
}

struct str arena_printf(struct arena *a, const char *format, ...)
{
    va_list args, again;
    char *p;
    int n;

    if (!format)
        die("arena_printf: no format");
    va_start(args, format);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0)
        die("arena_printf: bad format");
    p = arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return str_at(p, (size_t)n);
}

struct str arena_lower(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n);

    for (size_t i = 0; i < s.n; i++)
        p[i] = ascii_lower(s.p[i]);
    return str_at(p, s.n);
}

struct str arena_upper(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n);

    for (size_t i = 0; i < s.n; i++)
        p[i] = ascii_upper(s.p[i]);
    return str_at(p, s.n);
}

void *heap_alloc(size_t n)
{
    return heap_array(1, n);
}

void *heap_array(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1); // checks the product itself

    if (!p)
        die("out of memory");
    return p;
}

void *heap_resize(void *p, size_t count, size_t size)
{
    p = reallocarray(p, count ? count : 1, size ? size : 1);
    if (!p)
        die("out of memory");
    return p;
}

struct str heap_dup(struct str s)
{
    char *p = heap_alloc(s.n + 1);

    if (s.n)
        memcpy(p, s.p, s.n);
    return (struct str){p, s.n};
}

void heap_free(struct str *s)
{
    free((void *)(uintptr_t)s->p);
    *s = (struct str){0};
}
