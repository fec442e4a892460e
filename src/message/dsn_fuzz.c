/*
 * Reports about hostile envelopes, replies and messages: the report is one all the same, and read back it has
 * the parts and fields that were written.
 */
#include <stdint.h>

#include "message/dsn_test.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Texts end with a NUL; the last is the rest.
static struct str take(struct str *rest)
{
    struct str text;

    if (!str_cut(*rest, '\0', &text, rest)) {
        text = *rest;
        *rest = STR("");
    }
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF out = BUF_LIMIT(16 << 20);
    struct str rest = str_at(data, size);
    struct dsn_recipient to[3];
    struct dsn d = {.hostname = STR("mox.example"), .from = STR("postmaster@mox.example"),
                    .boundary = STR("gBxvWDcQ3hQxA5dP0bKzJw"), .recipients = to,
                    .message_id = STR("<x@mox.example>"), .now_unix = 1795000000,
                    .queued_unix = 1794900000};
    struct err e = {0};
    bool has_8bit;

    if (size < 2 || size > 100000)
        return 0;
    d.is_utf8 = data[0] & 1;
    d.is_full = data[0] & 2;
    d.n_recipients = 1 + data[1] % COUNT(to);
    rest = str_from(rest, 2);
    d.to = take(&rest);
    d.envid = take(&rest);
    d.references = take(&rest);
    d.received_from = take(&rest);
    for (size_t i = 0; i < d.n_recipients; i++) {
        to[i] = (struct dsn_recipient){.action = (enum dsn_action)(data[0] >> 2) % 5,
                                       .status = STR("5.1.1"), .code = data[1] & 0x80 ? 550 : 0,
                                       .last_attempt_unix = 1794950000,
                                       .retry_until_unix = data[1] & 0x40 ? 1795100000 : 0};
        to[i].address = take(&rest);
        to[i].original = take(&rest);
        to[i].remote_name = take(&rest);
        to[i].remote_address = take(&rest);
        to[i].text = take(&rest);
    }
    d.original = rest;
    if (!d.is_utf8 && !str_is_ascii(d.to))
        return 0;
    if (dsn_put(&out, &d, &has_8bit, &e))
        dsn_check(&d, buf_str(&out), has_8bit);
    else if (str_find_str(rest, d.boundary) == STR_NONE)
        die("no report: %s", e.text);
    return 0;
}
