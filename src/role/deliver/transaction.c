/*
 * Saying a message: MAIL, RCPT, and DATA or BDAT, with what every recipient hears.
 */
#include <string.h>

#include "base/log.h"
#include "role/deliver/deliver.h"

static void decide(struct rcpt *r, enum ipc_delivery outcome, const struct failure *f, bool is_tls)
{
    r->outcome = outcome;
    r->is_accepted = false;
    r->f = *f;
    r->is_tls = is_tls;
}

static enum ipc_delivery outcome_of(const struct failure *f)
{
    return f->is_permanent ? IPC_FAILED_FOR_GOOD : IPC_FAILED_FOR_NOW;
}

// All that have none yet, or of these only those that RCPT took.
static void decide_all(struct deliver *d, struct message *m, bool only_accepted,
                       enum ipc_delivery outcome, const struct failure *f)
{
    for (size_t i = 0; i < m->n; i++)
        if (!m->rcpts[i].outcome && (!only_accepted || m->rcpts[i].is_accepted))
            decide(&m->rcpts[i], outcome, f, d->conn.stream.tls != NULL);
}

static void name_server(const struct conn *c, struct failure *f)
{
    f->mta = c->host;
    f->has_ip = c->has_ip;
    f->ip = c->ip;
}

// It had time for what was said before, and has none for this.
static enum said said_going(const struct conn *c, struct message *m, struct failure *f)
{
    failed_reply(c, f, &m->a, "4.3.2");
    return SAID_STALE;
}

// What cannot be an answer to what was said: nobody knows what the server takes its next words for, and
// whether it has the message.
static enum said lost_track(struct deliver *d, struct message *m, const char *why, struct failure *f)
{
    d->conn.is_spent = true;
    failed(f, &m->a, false, "4.5.0", "%s", why);
    name_server(&d->conn, f);
    decide_all(d, m, true, IPC_FAILED_FOR_NOW, f);
    return SAID;
}

/* What was read of a message, for those who look at what kind of bytes these are. */
struct scan {
    bool is_body; // the header has ended
    char last, before;
};

// Byte by byte, since it matters where the header ends; what is left is of the body.
static void scan_header(struct message *m, struct scan *s, struct str *piece)
{
    for (; piece->n && !s->is_body; *piece = str_from(*piece, 1)) {
        char ch = piece->p[0];

        m->has_bare |= (s->last == '\r') != (ch == '\n');
        m->has_nul |= ch == '\0';
        m->has_utf8_header |= (unsigned char)ch >= 128;
        // CR LF CR LF ends the header.
        s->is_body = ch == '\r' && s->last == '\n' && s->before == '\r';
        s->before = s->last;
        s->last = ch;
    }
    m->has_8bit |= m->has_utf8_header;
}

static void scan_body(struct message *m, struct scan *s, struct str piece)
{
    m->has_nul = m->has_nul || str_find(piece, '\0') >= 0;
    m->has_8bit = m->has_8bit || !str_is_ascii(piece);
    while (piece.n && !m->has_bare) {
        ptrdiff_t cr;
        size_t n;

        if (s->last == '\r') { // is followed by LF
            m->has_bare = piece.p[0] != '\n';
            s->last = piece.p[0];
            piece = str_from(piece, 1);
            continue;
        }
        cr = str_find(piece, '\r');
        n = cr < 0 ? piece.n : (size_t)cr + 1;
        m->has_bare = str_find(str_sub(piece, 0, n), '\n') >= 0;
        s->last = piece.p[n - 1];
        piece = str_from(piece, n);
    }
}

// What kind of bytes these are: once per message.
static bool scan(struct message *m)
{
    struct scan s = {false, 'x', 'x'};
    struct str piece;

    if (m->is_scanned)
        return true;
    for (uint64_t at = 0; at < m->info.size; at += piece.n) {
        struct str rest;

        if (!message_read(m, at, &piece))
            return false;
        rest = piece;
        scan_header(m, &s, &rest);
        scan_body(m, &s, rest);
    }
    m->has_bare |= s.last == '\r';
    return m->is_scanned = true;
}

static bool needs_utf8(const struct message *m)
{
    bool is_ascii = str_is_ascii(m->info.reverse_path);

    // A domain has another spelling; a localpart has none.
    for (size_t i = 0; i < m->n && is_ascii; i++)
        is_ascii = str_is_ascii(m->rcpts[i].address);
    return m->info.is_smtputf8 && (!is_ascii || m->has_utf8_header);
}

// Whether the server takes this message at all. RFC 1870 6, 3030 3, 6152 3, 6531 3.2.
static bool is_fit(const struct conn *c, struct message *m, struct failure *f)
{
    const struct smtp_offer *o = &c->offer;
    bool is_ok = true;

    if (!scan(m))
        is_ok = failed(f, &m->a, false, "4.3.0", "reading the message");
    else if (o->has_size && o->size && m->info.size > o->size)
        is_ok = failed(f, &m->a, true, "5.3.4", "the message has %llu octets, and the server takes %llu",
                       (unsigned long long)m->info.size, (unsigned long long)o->size);
    else if (needs_utf8(m) && !o->smtputf8)
        is_ok = failed(f, &m->a, true, "5.6.7", "the server does not support SMTPUTF8, which the "
                       "message needs");
    else if ((m->has_bare || m->has_nul) && !(o->binarymime && o->chunking && m->info.is_binary))
        is_ok = failed(f, &m->a, true, "5.6.3", "the server does not support BINARYMIME, which the "
                       "message needs");
    else if (m->has_8bit && !o->eightbitmime && !(o->binarymime && o->chunking))
        is_ok = failed(f, &m->a, true, "5.6.3", "the server does not support 8BITMIME, which the "
                       "message needs");
    if (!is_ok)
        name_server(c, f);
    return is_ok;
}

static bool put_mail(const struct conn *c, const struct message *m, struct buf *out, struct err *e)
{
    const struct smtp_offer *o = &c->offer;
    bool is_binary = (m->has_bare || m->has_nul) && o->binarymime;
    struct smtp_send_mail mail = {.reverse_path = m->info.reverse_path,
                                  .has_size = o->has_size,
                                  .size = m->info.size,
                                  .is_binary = is_binary,
                                  .is_8bitmime = !is_binary && m->has_8bit && o->eightbitmime,
                                  .is_smtputf8 = needs_utf8(m),
                                  .is_requiretls = c->says_requiretls,
                                  .ret = o->dsn ? (enum smtp_ret)m->info.ret : SMTP_RET_NONE,
                                  .envid = o->dsn ? m->info.envid : STR("")};

    return smtp_put_mail(out, &mail, e);
}

static bool put_rcpt(const struct conn *c, const struct message *m, const struct rcpt *r,
                     struct buf *out, struct err *e)
{
    struct smtp_send_rcpt rcpt = {.address = r->address, .may_be_utf8 = needs_utf8(m)};

    if (c->offer.dsn) {
        rcpt.notify = r->notify;
        str_cut(r->orcpt, ';', &rcpt.orcpt_type, &rcpt.orcpt);
    }
    return smtp_put_rcpt(out, &rcpt, e);
}

/* --- the content -------------------------------------------------------------------------------- */

// The text of the message, with the end of DATA; pieces are written as they fill.
static bool write_data(struct deliver *d, struct message *m, struct failure *f)
{
    AUTO_BUF out = BUF_LIMIT(3 * BLOCK_BYTES);
    struct err e = {0};
    struct str piece;
    int state = 0;

    for (uint64_t at = 0; at < m->info.size; at += piece.n) {
        if (!message_read(m, at, &piece) || !smtp_stuff(&out, &state, piece, &e))
            return failed(f, &m->a, false, "4.3.0", "reading the message: %s", e.text);
        if (out.n < BLOCK_BYTES)
            continue;
        if (!conn_write(d, buf_str(&out), BLOCK_MS, &m->a, f))
            return false;
        buf_reset(&out);
    }
    if (!smtp_stuff_end(&out, state, &e))
        return failed(f, &m->a, false, "4.3.0", "the end of the message: %s", e.text);
    // From here on the server may have it: what came before must be settled.
    if (!deliver_may_end(d))
        return failed(f, &m->a, false, "4.3.0", "the queue is going");
    return conn_write(d, buf_str(&out), BLOCK_MS, &m->a, f);
}

// RFC 3030 2: one chunk, which is the last.
static bool write_chunk(struct deliver *d, struct message *m, struct failure *f)
{
    AUTO_BUF out = BUF_LIMIT(2 * BLOCK_BYTES);
    struct str piece = {0};
    uint64_t at = 0;

    if (!deliver_may_end(d))
        return failed(f, &m->a, false, "4.3.0", "the queue is going");
    buf_printf(&out, "BDAT %llu LAST\r\n", (unsigned long long)m->info.size);
    do {
        if (at < m->info.size && !message_read(m, at, &piece))
            return failed(f, &m->a, false, "4.3.0", "reading the message");
        buf_put(&out, piece);
        at += piece.n;
        if (!conn_write(d, buf_str(&out), BLOCK_MS, &m->a, f))
            return false;
        buf_reset(&out);
    } while (at < m->info.size);
    return true;
}

/* --- the envelope ------------------------------------------------------------------------------- */

// RFC 5321 4.5.3.1.10: too many recipients; the rest goes with another transaction, when some went.
static bool is_too_many(const struct conn *c, bool has_accepted)
{
    return has_accepted && (c->reply.code == 452 || c->reply.code == 552);
}

// mox-smtp-delivery.md 3.3: one family of addresses may be in bad repute and the other not. Nothing
// was tried before at this host, so the next attempt takes the other one.
static void soften(const struct deliver *d, const struct message *m, struct failure *f)
{
    if (f->is_permanent && d->conn.is_dual && str_starts(f->enhanced, STR("5.7.")) &&
        str_find_str(buf_str(&m->tried), d->conn.host) < 0)
        f->is_permanent = false;
}

static void heard_rcpt(struct deliver *d, struct message *m, struct rcpt *r, bool *has_accepted)
{
    struct conn *c = &d->conn;
    struct failure f;

    if (c->reply.code / 100 == 2) {
        r->is_accepted = *has_accepted = true;
        r->is_dsn_passed = c->offer.dsn;
        return;
    }
    if (is_too_many(c, *has_accepted)) {
        r->is_put_off = true;
        return;
    }
    failed_reply(c, &f, &m->a, c->reply.code >= 500 ? "5.0.0" : "4.0.0");
    if (c->reply.code == 552)
        f.is_permanent = false; // mox-smtp-delivery.md 3.4
    soften(d, m, &f);
    decide(r, outcome_of(&f), &f, c->stream.tls != NULL);
}

// What is left of the replies when the server has gone in the midst of them.
static enum said gone(struct deliver *d, struct message *m, const struct failure *f, bool has_decided)
{
    (void)d;
    for (size_t i = 0; i < m->n; i++)
        m->rcpts[i].is_accepted = false;
    if (!has_decided)
        return SAID_NEXT_HOST;
    // Some have their answer, and another host is not asked about the others now.
    decide_all(d, m, false, IPC_FAILED_FOR_NOW, f);
    return SAID;
}

// The reply to what ended the message, for all that RCPT took.
static void heard_end(struct deliver *d, struct message *m, struct failure *f)
{
    struct conn *c = &d->conn;

    failed_reply(c, f, &m->a, c->reply.code >= 500 ? "5.0.0" : c->reply.code >= 400 ? "4.0.0" : "2.0.0");
    if (c->reply.code / 100 == 2) {
        decide_all(d, m, true, IPC_DELIVERED, f);
        return;
    }
    soften(d, m, f);
    decide_all(d, m, true, outcome_of(f), f);
}

// RFC 5321 4.3.2: DATA has 354, or a refusal. A success would be one of a message that was not said yet.
static void refused_data(struct deliver *d, struct message *m, struct failure *f)
{
    if (d->conn.reply.code < 400)
        lost_track(d, m, "the server answers DATA before the message", f);
    else
        heard_end(d, m, f);
}

// RSET when the last transaction was not completed (RFC 5321 4.1.1.5).
static bool clean_up(struct deliver *d, struct message *m, struct failure *f)
{
    struct conn *c = &d->conn;

    if (!c->has_transaction)
        return true;
    c->has_transaction = false;
    if (!conn_command(d, STR("RSET\r\n"), COMMAND_MS, &m->a, f))
        return false;
    return c->reply.code / 100 == 2 || failed_reply(c, f, &m->a, "4.5.0");
}

static size_t put_rcpts(struct deliver *d, struct message *m, struct buf *out, size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < m->n && n < max; i++) {
        struct rcpt *r = &m->rcpts[i];
        struct failure f;
        struct err e = {0};

        r->is_put_off = false;
        if (r->outcome)
            continue;
        if (put_rcpt(&d->conn, m, r, out, &e)) {
            n++;
            continue;
        }
        failed(&f, &m->a, true, "5.1.3", "the address cannot be sent: %s", e.text);
        decide(r, IPC_FAILED_FOR_GOOD, &f, d->conn.stream.tls != NULL);
    }
    return n;
}

static size_t most_rcpts(const struct conn *c)
{
    return c->offer.rcpt_max && c->offer.rcpt_max < MAX_RCPTS_AT_ONCE ? (size_t)c->offer.rcpt_max
                                                                       : MAX_RCPTS_AT_ONCE;
}

// The replies to MAIL, each RCPT, and DATA when it was said with them.
static enum said hear_envelope(struct deliver *d, struct message *m, size_t n, bool has_data,
                               bool *may_send, struct failure *f)
{
    struct conn *c = &d->conn;
    bool is_first = true, is_stale, has_accepted = false, is_mail_refused;
    size_t heard = 0;

    *may_send = false;
    if (!conn_reply(d, STR("MAIL"), COMMAND_MS, &m->a, f, &is_stale))
        return is_stale && c->n_messages ? SAID_STALE : SAID_NEXT_HOST;
    if (c->reply.code == 421 && c->n_messages)
        return said_going(c, m, f);
    is_mail_refused = c->reply.code / 100 != 2;
    if (is_mail_refused) {
        failed_reply(c, f, &m->a, c->reply.code >= 500 ? "5.0.0" : "4.0.0");
        soften(d, m, f);
    }
    for (size_t i = 0; i < m->n && heard < n; i++) {
        struct failure lost;

        if (m->rcpts[i].outcome)
            continue;
        heard++;
        // mox-smtp-delivery.md 3.4: the answer to MAIL counts, even if the server goes after it.
        if (!conn_reply(d, STR("RCPT"), COMMAND_MS, &m->a, &lost, &is_stale)) {
            if (is_mail_refused)
                break;
            *f = lost;
            return gone(d, m, f, !is_first);
        }
        is_first = false;
        if (!is_mail_refused)
            heard_rcpt(d, m, &m->rcpts[i], &has_accepted);
    }
    if (is_mail_refused && (c->is_spent || !has_data ||
                            !conn_reply(d, STR("DATA"), DATA_MS, &m->a, &(struct failure){0}, &is_stale))) {
        // nothing more to hear
    } else if (has_data && !is_mail_refused) {
        struct failure lost;

        if (!conn_reply(d, STR("DATA"), DATA_MS, &m->a, &lost, &is_stale)) {
            *f = lost;
            return gone(d, m, f, true);
        }
    }
    if (has_data && c->reply.code == 354 && (is_mail_refused || !has_accepted)) {
        struct failure ignored;

        // RFC 2920 3.1: DATA was taken without a recipient; nothing is what it gets.
        if (!conn_command(d, STR(".\r\n"), END_MS, &m->a, &ignored))
            c->is_spent = true;
    } else if (has_data && !is_mail_refused && has_accepted) {
        *may_send = c->reply.code == 354;
        if (!*may_send)
            refused_data(d, m, f);
    }
    if (!has_data)
        *may_send = has_accepted;
    if (!is_mail_refused)
        return SAID;
    if (!f->is_permanent)
        return SAID_NEXT_HOST;
    decide_all(d, m, false, IPC_FAILED_FOR_GOOD, f);
    return SAID;
}

// One command at a time, for servers without PIPELINING: as above.
static enum said say_slowly(struct deliver *d, struct message *m, struct str commands, size_t n,
                            bool *may_send, struct failure *f)
{
    struct conn *c = &d->conn;
    struct cur lines = cur_of(commands);
    bool has_accepted = false, is_stale;
    size_t said = 0;
    struct str line;

    *may_send = false;
    if (!cur_line(&lines, &line) || !conn_write(d, str_at(commands.p, line.n + 2), COMMAND_MS, &m->a, f) ||
        !conn_reply(d, STR("MAIL"), COMMAND_MS, &m->a, f, &is_stale))
        return c->n_messages && !c->reply.n_bytes ? SAID_STALE : SAID_NEXT_HOST;
    if (c->reply.code == 421 && c->n_messages)
        return said_going(c, m, f);
    if (c->reply.code / 100 != 2) {
        failed_reply(c, f, &m->a, c->reply.code >= 500 ? "5.0.0" : "4.0.0");
        soften(d, m, f);
        if (!f->is_permanent)
            return SAID_NEXT_HOST;
        decide_all(d, m, false, IPC_FAILED_FOR_GOOD, f);
        return SAID;
    }
    for (size_t i = 0; i < m->n && said < n; i++) {
        struct rcpt *r = &m->rcpts[i];

        if (r->outcome || !cur_line(&lines, &line))
            continue;
        said++;
        if (!conn_command(d, str_at(line.p, line.n + 2), COMMAND_MS, &m->a, f))
            return gone(d, m, f, said > 1);
        heard_rcpt(d, m, r, &has_accepted);
        if (r->is_put_off)
            break; // so are those behind it
    }
    *may_send = has_accepted;
    return SAID;
}

static enum said say_data(struct deliver *d, struct message *m, bool has_data, struct failure *f)
{
    struct conn *c = &d->conn;
    bool is_chunked = c->offer.chunking, is_stale;
    bool is_ok;

    if (!is_chunked && !has_data) {
        if (!conn_command(d, STR("DATA\r\n"), DATA_MS, &m->a, f))
            return gone(d, m, f, true);
        if (c->reply.code != 354) {
            refused_data(d, m, f);
            return SAID;
        }
    }
    // What is here already would be taken for the answer to what is not said yet.
    if (c->in.n)
        return lost_track(d, m, "the server says more than was asked for", f);
    is_ok = is_chunked ? write_chunk(d, m, f) : write_data(d, m, f);
    // A server that refuses in the midst of it may say so before it hangs up.
    if (!is_ok)
        c->is_spent = true;
    if (is_ok && conn_reply(d, is_chunked ? STR("BDAT") : STR("."), END_MS, &m->a, f, &is_stale)) {
        if (c->reply.code == 354)
            return lost_track(d, m, "the server asks for the message again", f);
        c->has_transaction = c->reply.code / 100 != 2;
        heard_end(d, m, f);
        return SAID;
    }
    // Nobody knows whether it has the message: another server is not asked.
    decide_all(d, m, true, IPC_FAILED_FOR_NOW, f);
    return SAID;
}

// One transaction, for as many recipients as fit.
static enum said say_once(struct deliver *d, struct message *m, struct failure *f)
{
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    struct conn *c = &d->conn;
    bool has_data = c->offer.pipelining && !c->offer.chunking, may_send;
    struct err e = {0};
    enum said said;
    size_t n;

    if (!clean_up(d, m, f))
        return c->n_messages ? SAID_STALE : SAID_NEXT_HOST;
    if (!put_mail(c, m, &out, &e)) {
        failed(f, &m->a, true, "5.1.7", "the sender's address cannot be sent: %s", e.text);
        decide_all(d, m, false, IPC_FAILED_FOR_GOOD, f);
        return SAID;
    }
    n = put_rcpts(d, m, &out, most_rcpts(c));
    if (!n)
        return SAID;
    c->has_transaction = true;
    if (c->offer.pipelining) { // RFC 2920 3.1
        if (has_data)
            BUF_PUT(&out, "DATA\r\n");
        if (c->in.n || !conn_write(d, buf_str(&out), COMMAND_MS, &m->a, f)) {
            if (c->in.n)
                failed(f, &m->a, false, "4.5.0", "the server says more than was asked for");
            c->is_spent = true;
            return c->n_messages ? SAID_STALE : SAID_NEXT_HOST;
        }
        said = hear_envelope(d, m, n, has_data, &may_send, f);
    } else {
        said = say_slowly(d, m, buf_str(&out), n, &may_send, f);
    }
    return said == SAID && may_send ? say_data(d, m, has_data, f) : said;
}

static bool is_decided(const struct message *m)
{
    for (size_t i = 0; i < m->n; i++)
        if (!m->rcpts[i].outcome)
            return false;
    return true;
}

enum said message_say(struct deliver *d, struct message *m, struct failure *f)
{
    struct conn *c = &d->conn;
    enum said said = SAID;

    if (!is_fit(c, m, f)) {
        decide_all(d, m, false, outcome_of(f), f);
        return SAID;
    }
    // Each decides some: either one is accepted, or all that were said have their answer.
    while (said == SAID && !is_decided(m)) {
        if (c->is_spent) {
            failed(f, &m->a, false, "4.4.2", "the server closed the connection");
            decide_all(d, m, false, IPC_FAILED_FOR_NOW, f);
            return SAID;
        }
        said = say_once(d, m, f);
        if (said == SAID)
            c->n_messages++;
    }
    if (c->offer.mail_max && c->n_messages >= c->offer.mail_max)
        c->is_spent = true;
    return said;
}
