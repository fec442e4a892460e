/*
 * Header blocks: fields, unfolding, parameters (RFC 2231), encoded words (RFC 2047), dates and
 * message ids, whatever the field's name.
 */
#include <stdint.h>

#include "base/die.h"
#include "message/summary.h"
#include "text/date.h"
#include "text/encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What was read is written so that it is read as the same, in each form.
static void check_date(struct date date)
{
    AUTO_BUF b = BUF_LIMIT(1000);
    struct date again;
    int64_t seconds;

    date_put(&b, date);
    if (!date_parse(buf_str(&b), &again) || again.unix_seconds != date.unix_seconds)
        die("a date is not read as it was written: %.*s", STR_FMT(buf_str(&b)));
    buf_reset(&b);
    date_put_imap(&b, date);
    if (!date_parse_imap(buf_str(&b), &again) || again.unix_seconds != date.unix_seconds)
        die("a date of IMAP is not read as it was written: %.*s", STR_FMT(buf_str(&b)));
    buf_reset(&b);
    date_put_rfc3339(&b, date.unix_seconds);
    if (!date_parse_rfc3339(buf_str(&b), &seconds) || seconds != date.unix_seconds)
        die("a date is not read as it was written: %.*s", STR_FMT(buf_str(&b)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(512 << 20);
    struct cur c = cur_of(str_at(data, size));
    struct header_field f;

    if (size > 20000)
        return 0;
    while (header_next(&c, &f)) {
        struct str line = header_unfold(&a, f.value), decoded = encoded_word_decode(&a, line);
        struct cur p = cur_of(f.value);
        struct envelope env = {.references = line, .in_reply_to = line};
        struct str_list ids;
        struct params params;
        struct date date;
        bool is_reply;

        if (!utf8_is_valid(decoded))
            die("decoded words are not UTF-8");
        param_parse(&a, &p, &params);
        for (size_t i = 0; i < params.n; i++)
            if (!utf8_is_valid(params.items[i].value))
                die("a parameter is not UTF-8");
        message_references(&a, &env, &ids);
        message_id_canonical(&a, line);
        subject_base(&a, decoded, &is_reply);
        message_preview(&a, decoded);
        if (date_parse(line, &date))
            check_date(date);
        if (date_parse_imap(line, &date))
            check_date(date);
    }
    return 0;
}
