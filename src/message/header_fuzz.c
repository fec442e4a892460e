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
        if (!date_parse(line, &date))
            date.unix_seconds = 0;
    }
    return 0;
}
