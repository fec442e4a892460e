/*
 * Any bytes as an index.db of upstream. Checksums of meta pages are made right, so that more than their
 * first bytes are looked at. Behind a 'T' it is one table instead: which, its description up to a NUL, and
 * records with their lengths.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cur.h"
#include "base/die.h"
#include "mailfile/bolt.h"
#include "mailfile/bolt_test.h"
#include "mailfile/upstream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_RECORDS = 64 };

static void sum(char *bytes, size_t size, size_t at)
{
    uint64_t h = 14695981039346656037u;

    if (at + 80 > size)
        return;
    for (size_t i = 0; i < 56; i++)
        h = (h ^ (unsigned char)bytes[at + 16 + i]) * 1099511628211u;
    memcpy(bytes + at + 72, &h, sizeof h);
}

static void put_table(struct buf *out, struct str description, const struct bolt_test_item *records, size_t n)
{
    AUTO_BUF types = BUF_LIMIT(1 << 20), all = BUF_LIMIT(1 << 20);
    struct bolt_test_item type = {str_at("\0\0\0\1", 4), description, false};

    bolt_test_bucket(&types, &type, 1);
    bolt_test_bucket(&all, records, n);
    bolt_test_bucket(out, (struct bolt_test_item[]){{STR("records"), buf_str(&all), true},
                                                    {STR("types"), buf_str(&types), true}}, 2);
}

static size_t records_of(struct str text, struct bolt_test_item out[MOST_RECORDS])
{
    struct cur c = cur_of(text);
    size_t n = 0;

    for (int length; n < MOST_RECORDS && (length = cur_next(&c)) >= 0; n++) {
        struct str record, key;

        // Two bytes for long ones; keys are as long as the first says.
        if (length == 255 && (length = cur_next(&c)) >= 0)
            length = 256 * length + 255;
        if (length < 0 || !cur_take(&c, (size_t)length, &record) || !record.n)
            break;
        key = str_from(record, 1);
        key = str_sub(key, 0, (unsigned char)record.p[0] & 15);
        out[n] = (struct bolt_test_item){key, str_from(record, 1 + key.n), record.p[0] & 16};
    }
    return n;
}

static void read_bytes(struct str file)
{
    AUTO_ARENA a = ARENA_LIMIT(512 << 20);
    struct upstream_account account;
    struct err e = {0};

    if (!upstream_read(file, &a, &account, &e) && !e.kind)
        die("refused without a reason");
}

static void read_table_of(struct str text)
{
    static const struct str names[] = {STR_("Mailbox"), STR_("Message"), STR_("NextUIDValidity"),
                                       STR_("Password"), STR_("Subscription"), STR_("SyncState")};
    static const struct str plain = STR_("{\"Fields\":[{\"Name\":\"ID\",\"Type\":{\"Kind\":\"int64\"}}]}");
    AUTO_BUF file = BUF_LIMIT(16 << 20);
    struct buf tables[COUNT(names)];
    struct bolt_test_item items[COUNT(names)], records[MOST_RECORDS];
    struct str description = {0};
    size_t which = text.n ? (unsigned char)text.p[0] % COUNT(names) : 0, n;

    text = str_from(text, 1);
    (void)!str_next(&text, '\0', &description);
    n = records_of(text, records);
    for (size_t i = 0; i < COUNT(names); i++) {
        tables[i] = (struct buf)BUF_LIMIT(4 << 20);
        put_table(&tables[i], i == which ? description : plain, records, i == which ? n : 0);
        items[i] = (struct bolt_test_item){names[i], buf_str(&tables[i]), true};
    }
    bolt_test_file(&file, items, COUNT(items));
    read_bytes(buf_str(&file));
    for (size_t i = 0; i < COUNT(names); i++)
        buf_fini(&tables[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes = malloc(size); // of exactly its length

    if (size)
        memcpy(bytes, data, size);
    sum(bytes, size, 0);
    sum(bytes, size, 1024);
    sum(bytes, size, 4096);
    if (size && bytes[0] == 'T')
        read_table_of(str_at(bytes + 1, size - 1));
    else
        read_bytes(str_at(bytes, size));
    free(bytes);
    return 0;
}
