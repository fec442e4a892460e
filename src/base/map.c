#include "base/map.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

static uint64_t seed0, seed1;

void str_hash_seed(uint64_t k0, uint64_t k1)
{
    seed0 = k0;
    seed1 = k1;
}

static inline uint64_t rotate(uint64_t v, int bits)
{
    return v << bits | v >> (64 - bits);
}

static inline __attribute__((always_inline)) void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static inline uint64_t load4(const char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

// Fewer than eight bytes, first one lowest. Without a loop, whose end would be guessed wrong for most words.
static inline uint64_t load(const char *p, size_t n)
{
    const unsigned char *u = (const unsigned char *)p;

    if (n >= 4) // the two overlap
        return load4(p) | load4(p + n - 4) << (8 * (n - 4));
    return n ? (uint64_t)u[0] | (uint64_t)u[n / 2] << (8 * (n / 2)) | (uint64_t)u[n - 1] << (8 * (n - 1)) : 0;
}

uint64_t str_hash(struct str s)
{
    return str_hash_keyed(seed0, seed1, s);
}

uint64_t str_hash_keyed(uint64_t k0, uint64_t k1, struct str s)
{
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du,
                     k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)s.n << 56;
    size_t i = 0;

    for (; s.n - i >= 8; i += 8) {
        uint64_t m;

        memcpy(&m, s.p + i, 8);
        m = le64toh(m);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    if (i < s.n)
        last |= load(s.p + i, s.n - i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int round = 0; round < 3; round++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void map_fini(struct map *m)
{
    for (size_t i = 0; i < m->cap; i++)
        free((void *)(uintptr_t)m->entries[i].key.p);
    free(m->entries);
    *m = (struct map){0};
}

// Where key is, or the free place where it would go. The table is never full.
static struct map_entry *place(const struct map *m, struct str key)
{
    size_t i = str_hash(key) & (m->cap - 1);

    while (m->entries[i].key.p && !str_eq(m->entries[i].key, key))
        i = (i + 1) & (m->cap - 1);
    return &m->entries[i];
}

void *map_get(const struct map *m, struct str key)
{
    return m->cap ? place(m, key)->value : NULL;
}

static void grow(struct map *m)
{
    struct map bigger = {.cap = m->cap ? m->cap * 2 : 16, .count = m->count};

    bigger.entries = heap_array(bigger.cap, sizeof *bigger.entries);
    for (size_t i = 0; i < m->cap; i++)
        if (m->entries[i].key.p)
            *place(&bigger, m->entries[i].key) = m->entries[i];
    free(m->entries);
    *m = bigger;
}

void *map_put(struct map *m, struct str key, void *value)
{
    struct map_entry *e;
    void *old;
    char *copy;

    if (m->count + 1 > m->cap / 4 * 3)
        grow(m);
    e = place(m, key);
    old = e->value;
    e->value = value;
    if (e->key.p)
        return old;
    copy = heap_alloc(key.n + 1); // one more, so that an empty key has an address too
    if (key.n)
        memcpy(copy, key.p, key.n);
    e->key = str_at(copy, key.n);
    m->count++;
    return NULL;
}

void *map_remove(struct map *m, struct str key)
{
    struct map_entry *e = m->cap ? place(m, key) : NULL;
    size_t hole, i;
    void *value;

    if (!e || !e->key.p)
        return NULL;
    value = e->value;
    free((void *)(uintptr_t)e->key.p);
    *e = (struct map_entry){0};
    m->count--;
    // Entries behind the hole that would not be found past it move up.
    hole = (size_t)(e - m->entries);
    for (i = (hole + 1) & (m->cap - 1); m->entries[i].key.p; i = (i + 1) & (m->cap - 1)) {
        size_t home = str_hash(m->entries[i].key) & (m->cap - 1);

        if (((i - home) & (m->cap - 1)) >= ((i - hole) & (m->cap - 1))) {
            m->entries[hole] = m->entries[i];
            m->entries[i] = (struct map_entry){0};
            hole = i;
        }
    }
    return value;
}

struct map_entry *map_each(const struct map *m, size_t *at)
{
    while (*at < m->cap) {
        struct map_entry *e = &m->entries[(*at)++];

        if (e->key.p)
            return e;
    }
    return NULL;
}
