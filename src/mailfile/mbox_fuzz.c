/*
 * Any bytes as an mbox; and what is written of its messages is read back as they are.
 */
#include "base/cur.h"
#include "base/die.h"
#include "mailfile/mailfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_written(struct str message)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    AUTO_BUF out = BUF_LIMIT(64 << 20);
    AUTO_BUF again = BUF_LIMIT(64 << 20);
    struct mailfile_message m = {.received_unix = 1136214245}, read = {0};
    struct mbox_reader r = {0};
    struct err e = {0};
    unsigned n = 0;
    struct str line;
    struct cur c;
    bool is_begin;

    mbox_flags(&a, message, &m);
    mbox_put(&out, message, STR(""), &m);
    c = cur_of(buf_str(&out));
    while (cur_line(&c, &line)) {
        if (!mbox_line(&r, line, &again, &is_begin, &e))
            die("%s", e.text);
        n += is_begin;
        if (is_begin && mbox_received(line) != m.received_unix)
            die("another time");
    }
    if (n != 1)
        die("one message became %u", n);
    mbox_flags(&a, buf_str(&again), &read);
    if ((read.flags & m.flags) != m.flags)
        die("flags are gone");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF out = BUF_LIMIT(16 << 20);
    struct cur c = cur_of(str_at(data, size));
    struct mbox_reader r = {0};
    struct err e = {0};
    struct str line;
    bool is_begin;

    while (cur_line(&c, &line) && mbox_line(&r, line, &out, &is_begin, &e))
        if (is_begin) {
            mbox_received(line);
            if (out.n)
                check_written(buf_str(&out));
            buf_reset(&out);
        }
    if (out.n)
        check_written(buf_str(&out));
    return 0;
}
