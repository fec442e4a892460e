/*
 * Any bytes as an index.db of upstream. Checksums of meta pages are made right, so that more than their
 * first bytes are looked at.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "mailfile/bolt.h"
#include "mailfile/upstream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void sum(char *bytes, size_t size, size_t at)
{
    uint64_t h = 14695981039346656037u;

    if (at + 80 > size)
        return;
    for (size_t i = 0; i < 56; i++)
        h = (h ^ (unsigned char)bytes[at + 16 + i]) * 1099511628211u;
    memcpy(bytes + at + 72, &h, sizeof h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(512 << 20);
    struct upstream_account account;
    struct err e = {0};
    char *bytes = malloc(size); // of exactly its length

    if (size)
        memcpy(bytes, data, size);
    sum(bytes, size, 0);
    sum(bytes, size, 1024);
    sum(bytes, size, 4096);
    (void)!upstream_read(str_at(bytes, size), &a, &account, &e);
    free(bytes);
    return 0;
}
