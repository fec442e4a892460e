/*
 * Command lines and their arguments: an address that parses is written back so that it parses to
 * the same.
 */
#include <stdint.h>
#include <string.h>

#include "base/die.h"
#include "proto/smtp/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What was said of reports is the same when a client says it again.
static void check_rcpt(struct smtp_reading *r, const struct smtp_recipient *to)
{
    AUTO_BUF address = BUF_LIMIT(10000);
    AUTO_BUF line = BUF_LIMIT(10000);
    struct smtp_send_rcpt put = {.may_be_utf8 = true, .notify = to->notify};
    struct smtp_recipient again;
    struct err e = {0};

    smtp_address_put(&address, &to->to);
    if (to->orcpt.n > SMTP_MAX_ORCPT || memchr(to->orcpt.p ? to->orcpt.p : "", '\n', to->orcpt.n))
        die("ORCPT that cannot be a line");
    put.address = buf_str(&address);
    if (!str_cut(to->orcpt, ';', &put.orcpt_type, &put.orcpt) || !str_is_ascii(to->orcpt))
        put.orcpt = put.orcpt_type = STR("");
    if (!r->is_submission || !smtp_put_rcpt(&line, &put, &e))
        return;
    if (!smtp_parse_rcpt(r, str_sub(buf_str(&line), 5, line.n - 7), &again, &e)) {
        if (line.n < SMTP_MAX_PATH)
            die("recipient is not one when written: %s", e.text);
        return;
    }
    if (again.notify != to->notify || (put.orcpt.n && !str_eq_ci(again.orcpt, to->orcpt)))
        die("what was said of reports is not the same when written");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF b = BUF_LIMIT(10000);
    struct smtp_command c;
    struct smtp_reading r = {.a = &a, .is_pedantic = size % 2, .is_submission = size % 3 == 0};
    struct smtp_mail m, again;
    struct smtp_recipient to;
    struct smtp_bdat bdat;
    struct err e = {0};

    if (size > SMTP_MAX_LINE)
        return 0;
    smtp_parse_command(str_at(data, size), &c);
    if (smtp_is_hello(c.argument))
        BUF_PUT(&b, "hello");
    if (smtp_parse_bdat(c.argument, &bdat) && c.argument.n > 25)
        die("a chunk size of more than 20 digits");
    if (smtp_parse_rcpt(&r, c.argument, &to, &e))
        check_rcpt(&r, &to);
    smtp_reply_put(&b, 550, STR("5.0.0"), str_at(data, size));
    buf_reset(&b);
    if (!smtp_parse_mail(&r, c.argument, &m, &e))
        return 0;
    BUF_PUT(&b, "FROM:<");
    smtp_address_put(&b, &m.from);
    BUF_PUT(&b, "> SMTPUTF8");
    if (b.n < SMTP_MAX_PATH && (!smtp_parse_mail(&r, buf_str(&b), &again, &e) ||
                                !str_eq(m.from.localpart, again.from.localpart)))
        die("address is not the same when written: %s", e.text);
    return 0;
}
