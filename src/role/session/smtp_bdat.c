/*
 * BDAT (RFC 3030): a message in chunks of announced sizes.
 *
 * Whatever the answer, a chunk's bytes are read before it is given: they would be taken for commands
 * otherwise, and a client may have sent further chunks already (RFC 3030 2). A chunk that is refused
 * ends the transaction.
 */
#include "os/clock.h"
#include "role/session/smtp.h"

/* Why a chunk is refused; code 0 when it is taken. */
struct refusal {
    unsigned code;
    const char *enhanced;
    struct str text;
};

static struct refusal reason_to_refuse(const struct smtp_session *c, const struct smtp_bdat *b)
{
    uint64_t limit = c->s->port->max_message_bytes;

    if (!c->has_hello)
        return (struct refusal){503, "5.5.1", STR("EHLO or HELO comes first")};
    if (!c->has_mail)
        return (struct refusal){503, "5.5.1", STR("MAIL comes before BDAT")};
    if (!c->n_rcpts)
        return (struct refusal){554, "5.5.1", STR("no valid recipients")};
    if (b->size > limit - c->spool.received)
        return (struct refusal){552, limit < SMTP_USUAL_SIZE ? "5.2.3" : "5.3.4",
                                STR("message too large")};
    return (struct refusal){0};
}

static void keep(struct smtp_session *c, struct str bytes)
{
    AUTO_BUF text = BUF_LIMIT(4 * SESSION_BUFFER);
    struct smtp_spool *p = &c->spool;

    p->received += bytes.n;
    if (c->mail.body == SMTP_BODY_BINARYMIME) {
        smtp_spool_write(p, bytes);
        return;
    }
    smtp_data_feed(&p->text, &bytes, &text);
    smtp_spool_write(p, buf_str(&text));
}

// Reads the chunk. False when the client is gone.
static bool receive(struct smtp_session *c, uint64_t left, bool is_kept, int64_t deadline_ms)
{
    while (left) {
        size_t most = left < SESSION_BUFFER ? (size_t)left : SESSION_BUFFER;
        struct str in = str_sub(buf_str(&c->s->in), 0, most);

        if (!in.n) {
            if (!smtp_read_message(c, deadline_ms))
                return false;
            continue;
        }
        if (is_kept)
            keep(c, in);
        session_used(c->s, in.n);
        left -= in.n;
    }
    return true;
}

static void swallow(struct smtp_session *c, const struct smtp_bdat *b, const struct refusal *why)
{
    c->bad += c->has_mail;
    if (!receive(c, b->size, false, os_monotonic_ms() + SMTP_DATA_MS)) {
        c->is_ending = true;
        return;
    }
    smtp_reply(c, why->code, why->enhanced, why->text);
    if (c->has_hello)
        smtp_reset(c);
}

static void end_of_chunks(struct smtp_session *c)
{
    AUTO_BUF text = BUF_LIMIT(16);

    smtp_data_end(&c->spool.text, &text);
    smtp_spool_write(&c->spool, buf_str(&text));
    smtp_message_end(c);
}

void smtp_cmd_bdat(struct smtp_session *c, const struct smtp_command *cmd)
{
    struct str argument = c->is_submission ? cmd->argument : str_trim(cmd->argument);
    struct smtp_bdat b;
    struct refusal why;

    if (!smtp_parse_bdat(argument, &b)) {
        // Where the chunk ends and the next command begins is anybody's guess.
        SMTP_REPLY(c, 501, "5.5.4", "BDAT takes a size and perhaps LAST");
        c->is_ending = true;
        return;
    }
    why = reason_to_refuse(c, &b);
    if (why.code) {
        swallow(c, &b, &why);
        return;
    }
    if (c->spool.fd < 0 && !smtp_spool_open(c)) {
        c->is_ending = true;
        return;
    }
    c->spool.text.is_chunked = true;
    if (!receive(c, b.size, true, c->spool.deadline_ms))
        c->is_ending = true;
    else if (b.is_last)
        end_of_chunks(c);
    else if (c->spool.text.has_smuggling || c->spool.has_failed)
        smtp_message_end(c); // says why
    else
        SMTP_REPLY(c, 250, "2.0.0", "and the next one");
}
