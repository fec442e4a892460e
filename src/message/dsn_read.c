#include "base/cur.h"
#include "message/dsn.h"
#include "message/summary.h"
#include "text/encode.h"

struct reader {
    struct arena *a;
    struct dsn_report *out;
    size_t cap;
    bool has_message; // the fields of the message are behind us
};

// The only field of that name; *has says whether there is one. What is said twice contradicts itself.
static bool take_one(struct reader *r, struct str group, const char *name, struct str *out, bool *has,
                     struct err *e)
{
    struct header_field field;
    size_t n = header_count(group, str_of(name));

    *out = STR("");
    *has = n > 0;
    if (n > 1)
        return fail(e, ERR_SYNTAX, "%s is there %zu times", name, n);
    if (n && header_find(group, str_of(name), &field))
        *out = header_unfold(r->a, field.value);
    return true;
}

static bool require(struct reader *r, struct str group, const char *name, struct str *out, struct err *e)
{
    bool has;

    return take_one(r, group, name, out, &has, e) &&
           ((has && out->n) || fail(e, ERR_SYNTAX, "there is no %s", name));
}

/* "type; value" (RFC 3464 2.1.2): the value, if it is one of these types. */
static bool take_typed(struct str text, const char *type, const char *other, struct str *out)
{
    struct str before;

    if (!str_cut(text, ';', &before, out))
        return false;
    before = str_trim(before);
    *out = str_trim(*out);
    return out->n && (str_eq_ci(before, str_of(type)) || str_eq_ci(before, str_of(other)));
}

static bool parse_action(struct str word, enum dsn_action *out, struct err *e)
{
    for (enum dsn_action action = DSN_FAILED; action <= DSN_EXPANDED; action++)
        if (str_eq_ci(word, dsn_action_word(action))) {
            *out = action;
            return true;
        }
    return fail(e, ERR_SYNTAX, "no such action");
}

/* RFC 3463 2: class, subject, detail; a comment may follow (RFC 3464 2.1.1). */
static bool parse_status(struct str text, struct str *out, struct err *e)
{
    struct cur c = cur_of(text);
    uint64_t class, subject, detail;

    if (cur_u64(&c, 5, &class) && (class == 2 || class == 4 || class == 5) && cur_skip(&c, '.') &&
        cur_u64(&c, 999, &subject) && cur_skip(&c, '.') && cur_u64(&c, 999, &detail) &&
        (!cur_left(&c) || cur_peek(&c) == ' ' || cur_peek(&c) == '(' || cur_peek(&c) == '\t')) {
        *out = str_sub(text, 0, text.n - cur_left(&c));
        return true;
    }
    return fail(e, ERR_SYNTAX, "no status");
}

/* RFC 3464 2.3.6. Of other types than SMTP's there is no code. */
static void take_diagnostic(struct str text, struct dsn_said *out)
{
    struct cur c;
    uint64_t code;

    if (!take_typed(text, "smtp", "smtp", &out->text))
        return;
    c = cur_of(out->text);
    if (cur_u64(&c, 599, &code) && code >= 200 && (!cur_left(&c) || str_find(STR(" \t-"), (char)cur_peek(&c)) != STR_NONE))
        out->code = (unsigned)code;
}

static bool take_recipient(struct reader *r, struct str group, struct err *e)
{
    struct dsn_said to = {0};
    struct str final, action, status, diagnostic;
    bool has;

    if (!require(r, group, "Final-Recipient", &final, e) || !require(r, group, "Action", &action, e) ||
        !require(r, group, "Status", &status, e) || !parse_action(action, &to.action, e) ||
        !parse_status(status, &to.status, e) ||
        !take_one(r, group, "Diagnostic-Code", &diagnostic, &has, e) ||
        !take_one(r, group, "Original-Recipient", &to.original, &has, e))
        return false;
    if (!take_typed(final, "rfc822", "utf-8", &to.recipient))
        return fail(e, ERR_SYNTAX, "the recipient is no address");
    take_diagnostic(diagnostic, &to);
    if (r->out->n == DSN_MAX_RECIPIENTS)
        return fail(e, ERR_LIMIT, "too many recipients");
    *ARENA_PUSH(r->a, r->out->items, &r->out->n, &r->cap) = to;
    return true;
}

static bool take_group(struct reader *r, struct str group, struct err *e)
{
    struct str mta;
    bool has;

    if (r->has_message)
        return take_recipient(r, group, e);
    r->has_message = true;
    return require(r, group, "Reporting-MTA", &mta, e) &&
           take_one(r, group, "Original-Envelope-Id", &r->out->envid, &has, e);
}

/* RFC 3464 2.1: groups of fields with an empty line between them, or several. */
static bool take_status(struct reader *r, struct str bytes, struct err *e)
{
    AUTO_BUF group = BUF_LIMIT(DSN_MAX_STATUS + 2);
    struct cur c = cur_of(bytes);
    struct str line;
    bool is_ok = true;

    while (is_ok && cur_line(&c, &line)) {
        if (line.n) {
            buf_put(&group, line);
            BUF_PUT(&group, "\r\n");
        }
        if (group.n && (!line.n || !cur_left(&c))) {
            is_ok = group.full ? fail(e, ERR_LIMIT, "the fields are too long") : take_group(r, buf_str(&group), e);
            buf_reset(&group);
        }
    }
    return is_ok && (r->out->n || fail(e, ERR_SYNTAX, "no recipient"));
}

static bool is_status(const struct part *p)
{
    return str_eq(p->type, STR("message")) &&
           (str_eq(p->subtype, STR("delivery-status")) || str_eq(p->subtype, STR("global-delivery-status")));
}

bool dsn_read(struct arena *a, struct str message, const struct part *root, struct dsn_report *out, struct err *e)
{
    const struct part *status = message_is_dsn(root) && root->child ? root->child->next : NULL;
    AUTO_BUF bytes = BUF_LIMIT(DSN_MAX_STATUS);
    struct reader r = {.a = a, .out = out};
    struct transfer_decoder decoder = {0};

    *out = (struct dsn_report){0};
    if (!status || !is_status(status) || status->is_multipart)
        return fail(e, ERR_NOT_FOUND, "no delivery status");
    if (status->body_end - status->body_start > 2 * DSN_MAX_STATUS)
        return fail(e, ERR_LIMIT, "the delivery status is too long");
    decoder.encoding = transfer_of(status->encoding);
    transfer_feed(&decoder, str_sub(message, status->body_start, status->body_end - status->body_start), &bytes);
    transfer_end(&decoder, &bytes);
    if (bytes.full)
        return fail(e, ERR_LIMIT, "the delivery status is too long");
    return take_status(&r, arena_dup(a, buf_str(&bytes)), e);
}
