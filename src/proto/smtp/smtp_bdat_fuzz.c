/*
 * Chunks: the result does not depend on the pieces; nothing is lost or added but the CRs that are
 * counted; stuffed and sent by DATA, it arrives as the same.
 */
#include <stdint.h>

#include "base/die.h"
#include "proto/smtp/smtp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void stuff(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '.' && (!i || (i > 1 && text.p[i - 1] == '\n' && text.p[i - 2] == '\r')))
            buf_put_char(out, '.');
        buf_put_char(out, text.p[i]);
    }
    BUF_PUT(out, "\r\n.\r\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF whole = BUF_LIMIT(1 << 22);
    AUTO_BUF pieces = BUF_LIMIT(1 << 22);
    AUTO_BUF stuffed = BUF_LIMIT(1 << 23);
    AUTO_BUF again = BUF_LIMIT(1 << 22);
    struct smtp_data d = {.is_chunked = true}, p = {.is_chunked = true}, back = {0};
    struct str in = str_at(data, size), left = in;
    struct smtp_bdat bdat;

    if (smtp_parse_bdat(in, &bdat) && !bdat.is_last && size > 20)
        die("a number of more than 20 digits");
    smtp_data_feed(&d, &left, &whole);
    smtp_data_end(&d, &whole);
    for (size_t at = 0, step = 1 + size % 5; at < size; at += step) {
        struct str piece = str_sub(in, at, step);

        smtp_data_feed(&p, &piece, &pieces);
    }
    smtp_data_end(&p, &pieces);
    if (left.n || d.is_done || d.size != whole.n || d.size - d.added != size)
        die("a chunk is taken whole");
    if (d.has_smuggling != p.has_smuggling || d.has_8bit != p.has_8bit ||
        !str_eq(buf_str(&whole), buf_str(&pieces)))
        die("BDAT depends on the pieces");
    if (d.has_smuggling)
        return 0;
    stuff(&stuffed, buf_str(&whole));
    left = buf_str(&stuffed);
    smtp_data_feed(&back, &left, &again);
    if (!back.is_done || left.n || back.has_smuggling || back.added || again.n < 2 ||
        !str_eq(str_sub(buf_str(&again), 0, again.n - 2), buf_str(&whole)))
        die("what came by BDAT changes when it goes on by DATA");
    return 0;
}
