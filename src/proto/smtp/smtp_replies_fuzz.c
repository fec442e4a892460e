/*
 * What a server says, in pieces of changing size: the same replies come out however it is cut, and
 * every line of them is one line. The first byte says how it is cut.
 */
#include <stdint.h>

#include "base/die.h"
#include "proto/smtp/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// All replies of the input, as "code enhanced text\n.\n"; false at the first that is none.
static bool read_all(struct str in, size_t piece, struct buf *out)
{
    struct smtp_reply r = SMTP_REPLY;
    struct err e = {0};
    bool ok = true;

    while (in.n && ok) {
        struct str part = str_sub(in, 0, piece);
        size_t had = part.n;

        ok = smtp_reply_feed(&r, &part, &e);
        in = str_from(in, had - part.n);
        if (ok && r.is_complete) {
            if (r.code < 200 || r.code > 599 || r.text.full || r.n_lines > SMTP_REPLY_MAX_LINES)
                die("a reply past its limits");
            buf_printf(out, "%u %s ", r.code, r.enhanced);
            buf_put(out, buf_str(&r.text));
            BUF_PUT(out, "\n.\n");
            smtp_reply_reset(&r);
        }
    }
    smtp_reply_fini(&r);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    AUTO_BUF whole = BUF_LIMIT(1 << 20), pieces = BUF_LIMIT(1 << 20), b = BUF_LIMIT(1 << 18);
    struct smtp_offer offer;
    struct smtp_send_rcpt to = {.notify = size % 16};
    struct smtp_send_mail mail = {.is_smtputf8 = size % 2};
    struct err e = {0};
    struct str in;
    int state = 0;

    if (size < 2 || size > 60000)
        return 0;
    in = str_at(data + 1, size - 1);
    if (read_all(in, SIZE_MAX, &whole) != read_all(in, data[0] % 64 + 1u, &pieces) ||
        !str_eq(buf_str(&whole), buf_str(&pieces)))
        die("a reply depends on how it is cut");
    for (size_t i = 0; i < whole.n; i++)
        if ((unsigned char)whole.p[i] < 32 && whole.p[i] != '\n')
            die("a control character of a server");
    smtp_offer_parse(&a, in, &offer);
    (void)smtp_offer_has_auth(&offer, STR("PLAIN"));
    to.address = mail.reverse_path = mail.envid = to.orcpt = to.orcpt_type = in;
    to.may_be_utf8 = data[0] % 2;
    if (smtp_put_rcpt(&b, &to, &e) && (str_find(buf_str(&b), '\r') != (ptrdiff_t)b.n - 2 ||
                                       str_find(buf_str(&b), '\n') != (ptrdiff_t)b.n - 1))
        die("a command that is two");
    buf_reset(&b);
    if (smtp_put_mail(&b, &mail, &e) && str_find(buf_str(&b), '\n') != (ptrdiff_t)b.n - 1)
        die("a command that is two");
    if (smtp_put_hello(&b, true, in, &e) && str_find(in, '\n') != STR_NONE)
        die("a hello that is two commands");
    buf_reset(&b);
    if (smtp_stuff(&b, &state, in, &e) && smtp_stuff_end(&b, state, &e)) {
        ptrdiff_t end = str_find_str(buf_str(&b), STR("\r\n.\r\n"));

        if (end != STR_NONE && end != (ptrdiff_t)b.n - 5)
            die("an end of DATA within the message");
    }
    return 0;
}
