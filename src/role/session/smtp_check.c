/*
 * What a session must know of a message before it goes on (mox-smtp-delivery.md 1.8).
 */
#include <unistd.h>

#include "base/log.h"
#include "message/mime.h"
#include "role/session/smtp.h"

enum { PIECE = 64 * 1024, MAX_LINE = 1000 };

static bool read_start(struct smtp_session *c, struct smtp_message *m, size_t most, struct err *e)
{
    size_t n = m->size < most ? (size_t)m->size : most;
    char *p = arena_alloc(&c->a, n + 1);
    ssize_t got = pread(m->fd, p, n, 0);

    if (got < 0 || (size_t)got != n)
        return fail_errno(e, "reading the message back");
    m->header = str_at(p, n);
    return true;
}

// The header block at the start of the message. ERR_LIMIT: what we do not see of it, others would.
static bool read_header(struct smtp_session *c, struct smtp_message *m, struct err *e)
{
    ptrdiff_t end = -1;

    for (size_t n = SMTP_HEADER_LOOK; end < 0; n *= 2) {
        if (n > SMTP_MAX_HEADER)
            return fail(e, ERR_LIMIT, "the header is too long");
        if (!read_start(c, m, n, e))
            return false;
        if (str_starts(m->header, STR("\r\n"))) {
            m->header = STR("");
            m->has_separator = true;
            m->body_start = 2;
            return true;
        }
        end = str_find_str(m->header, STR("\r\n\r\n"));
        if (m->size <= n)
            break;
    }
    m->has_separator = end >= 0;
    m->body_start = m->size;
    if (end >= 0) {
        m->header = str_sub(m->header, 0, (size_t)end + 2);
        m->body_start = (uint64_t)end + 4;
    }
    return true;
}

/* What a pass over the whole message finds. */
struct scan {
    struct part *root;
    bool is_broken;     // the MIME structure was given up
    bool has_long_line; // RFC 5322 2.1.1
};

static void measure_lines(struct str bytes, size_t *line, struct scan *out)
{
    while (bytes.n) {
        ptrdiff_t lf = str_find(bytes, '\n');
        size_t n = lf == STR_NONE ? bytes.n : (size_t)lf + 1;

        *line += n;
        out->has_long_line |= *line > MAX_LINE;
        if (lf != STR_NONE)
            *line = 0;
        bytes = str_from(bytes, n);
    }
}

static bool scan(struct arena *a, const struct smtp_message *m, struct scan *out, struct err *e)
{
    struct mime_parser *parser = mime_parser_new(a);
    char *piece = arena_alloc(a, PIECE);
    ssize_t got = 0;
    size_t line = 0;

    for (uint64_t at = 0; at < m->size; at += (uint64_t)got) {
        got = pread(m->fd, piece, PIECE, (off_t)at);
        if (got <= 0)
            break;
        mime_parser_feed(parser, str_at(piece, (size_t)got));
        measure_lines(str_at(piece, (size_t)got), &line, out);
    }
    out->root = mime_parser_end(parser, &out->is_broken);
    return got > 0 || !m->size || fail_errno(e, "reading the message back");
}

static bool has_8bit_bytes(const struct smtp_message *m, uint64_t from, uint64_t to)
{
    char piece[4096];

    while (from < to) {
        size_t n = to - from < sizeof piece ? (size_t)(to - from) : sizeof piece;
        ssize_t got = pread(m->fd, piece, n, (off_t)from);

        if (got <= 0 || !str_is_ascii(str_at(piece, (size_t)got)))
            return true;
        from += (uint64_t)got;
    }
    return false;
}

// Whether the header of some part has letters that only SMTPUTF8 carries (RFC 6531 3.6).
static bool has_utf8_header(const struct smtp_message *m, const struct part *p)
{
    for (; p; p = p->next)
        if (has_8bit_bytes(m, p->header_start, p->body_start) ||
            (p->child && has_utf8_header(m, p->child)))
            return true;
    return false;
}

static bool has_utf8_address(const struct smtp_session *c)
{
    bool has = !str_is_ascii(c->mail.from.localpart);

    for (size_t i = 0; i < c->n_rcpts && !has; i++)
        has = !str_is_ascii(c->rcpts[i].localpart);
    return has;
}

// The message itself says what it needs; then what was announced is no hindrance on its way.
static bool check_structure(struct smtp_session *c, struct smtp_message *m)
{
    bool must_parse = c->is_pedantic && c->s->start->settings.is_localserve;
    bool asks = c->mail.is_smtputf8 || c->is_submission || c->is_pedantic;
    AUTO_ARENA a = ARENA_LIMIT(2 * MIME_MEMORY);
    struct scan found = {0};
    struct err e = {0};

    m->needs_utf8 = has_utf8_address(c);
    if (!must_parse && !(asks && m->has_8bit))
        return true;
    if (!scan(&a, m, &found, &e)) {
        LOG(LOG_ERROR, smtp_package(c), "reading a message back", LOG_E(&e));
        SMTP_REPLY(c, 451, "4.3.0", "temporary failure, try again later");
        return false;
    }
    m->needs_utf8 = m->needs_utf8 || (m->has_8bit && has_utf8_header(m, found.root));
    if (must_parse && (found.is_broken || !header_is_strict(m->header) ||
                       (found.has_long_line && !m->is_binary))) {
        SMTP_REPLY(c, 554, "5.6.0", "the message cannot be parsed in full, says pedantic localserve");
        return false;
    }
    if (c->is_pedantic && m->needs_utf8 && !c->mail.is_smtputf8) {
        SMTP_REPLY(c, 550, "5.6.0", "the message needs SMTPUTF8, which was not asked for");
        return false;
    }
    return true;
}

bool smtp_check_message(struct smtp_session *c, struct smtp_message *m)
{
    bool is_8bit_announced =
        c->mail.body == SMTP_BODY_8BITMIME || c->mail.body == SMTP_BODY_BINARYMIME;
    struct err e = {0};

    if (!read_header(c, m, &e)) {
        if (e.kind == ERR_LIMIT) {
            SMTP_REPLY(c, 552, "5.3.4", "the header of the message is longer than 512 KiB");
            return false;
        }
        LOG(LOG_ERROR, smtp_package(c), "reading a message back", LOG_E(&e));
        SMTP_REPLY(c, 451, "4.3.0", "temporary failure, try again later");
        return false;
    }
    if (c->is_submission && !m->has_separator) {
        SMTP_REPLY(c, 554, "5.6.0", "no blank line between header and body");
        return false;
    }
    if (c->is_submission && c->is_pedantic && m->has_8bit && !is_8bit_announced) {
        SMTP_REPLY(c, 500, "5.6.0", "8-bit data without BODY=8BITMIME");
        return false;
    }
    return check_structure(c, m);
}

bool smtp_find_from(struct smtp_session *c, const struct smtp_message *m, struct address *out,
                    bool *is_strict)
{
    struct address_list from;
    struct header_field field;

    if (header_count(m->header, STR("From")) != 1 ||
        !header_find(m->header, STR("From"), &field))
        return false;
    address_parse_list(&c->a, field.value, &from);
    if (from.n != 1)
        return false;
    *out = from.items[0];
    *is_strict = !from.has_errors;
    return true;
}

bool smtp_may_post(struct smtp_session *c, const struct smtp_message *m,
                   const struct smtp_rcpt *rcpt, bool *is_allowed, struct err *e)
{
    struct ipc_list_check question = {.localpart = rcpt->localpart, .domain = rcpt->domain};
    struct address from = {0};
    bool is_strict;

    *is_allowed = true;
    if (!rcpt->is_list)
        return true;
    if (smtp_find_from(c, m, &from, &is_strict) && from.localpart.n <= IPC_MAX_ADDRESS &&
        from.domain.n <= IPC_MAX_ADDRESS) {
        question.from_localpart = from.localpart;
        question.from_domain = from.domain;
    }
    return session_check_list(c->s, &question, is_allowed, e);
}
