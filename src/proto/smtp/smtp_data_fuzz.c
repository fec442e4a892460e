/*
 * The DATA phase: the result does not depend on the pieces, and what comes out, stuffed again,
 * comes in as the same.
 */
#include <stdint.h>

#include "base/die.h"
#include "proto/smtp/smtp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF whole = BUF_LIMIT(1 << 22);
    AUTO_BUF pieces = BUF_LIMIT(1 << 22);
    struct smtp_data d = {0}, p = {0};
    struct str in = str_at(data, size), left = in;

    smtp_data_feed(&d, &left, &whole);
    for (size_t at = 0, step = 1 + size % 5; at < size && !p.is_done; at += step) {
        struct str piece = str_sub(in, at, step);

        smtp_data_feed(&p, &piece, &pieces);
    }
    if (d.is_done != p.is_done || d.has_smuggling != p.has_smuggling ||
        !str_eq(buf_str(&whole), buf_str(&pieces)))
        die("DATA depends on the pieces");
    // Without a bare CR, the message never holds one, nor a bare LF.
    for (size_t i = 0; i < whole.n && !d.has_smuggling; i++)
        if (whole.p[i] == '\n' && (!i || whole.p[i - 1] != '\r'))
            die("bare LF in a message");
    return 0;
}
