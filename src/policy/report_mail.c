#include "policy/report_mail.h"

#include "text/encode.h"

enum verdict { NO, YES, BY_CONTENT };

struct kind_of_part {
    const char *type, *subtype;
    enum verdict verdict;
};

static const struct kind_of_part dmarc_parts[] = {
    {"application", "zip", YES},          {"application", "x-zip-compressed", YES},
    {"application", "gzip", YES},         {"application", "x-gzip", YES},
    {"text", "xml", YES},                 {"application", "xml", YES},
    {"application", "octet-stream", BY_CONTENT}, {"", "", BY_CONTENT},
};
static const struct kind_of_part tls_parts[] = {
    {"application", "tlsrpt+json", YES},
    {"application", "tlsrpt+gzip", YES},
    {"application", "tlsrpt", YES}, // of drafts of the RFC, and still sent
};

static enum verdict verdict_by_type(const struct part *p, enum report_kind kind)
{
    const struct kind_of_part *parts = kind == REPORT_TLS ? tls_parts : dmarc_parts;
    size_t n = kind == REPORT_TLS ? COUNT(tls_parts) : COUNT(dmarc_parts);

    if (p->is_multipart || p->is_message)
        return NO;
    for (size_t i = 0; i < n; i++)
        if (str_eq(p->type, str_of(parts[i].type)) && str_eq(p->subtype, str_of(parts[i].subtype)))
            return parts[i].verdict;
    return NO;
}

static struct str body_of(struct str message, const struct part *p)
{
    struct str body = str_from(message, (size_t)p->body_start);

    return str_sub(body, 0, (size_t)(p->body_end - p->body_start));
}

/* Packed or XML, by the first bytes of the decoded body. */
static bool looks_like_report(struct str message, const struct part *p)
{
    enum { ENOUGH = 512 };
    AUTO_BUF start = BUF_LIMIT(4 * ENOUGH);
    struct transfer_decoder decoder = {.encoding = transfer_of(p->encoding)};

    transfer_feed(&decoder, str_sub(body_of(message, p), 0, ENOUGH), &start);
    transfer_end(&decoder, &start);
    return str_starts(buf_str(&start), STR("PK\3\4")) ||
           str_starts(buf_str(&start), STR("\x1f\x8b")) ||
           str_starts(str_trim(buf_str(&start)), STR("<"));
}

/* Depth first; embedded messages are somebody else's. */
static const struct part *find_part(struct str message, const struct part *p,
                                    enum report_kind kind)
{
    const struct part *found = NULL;

    if (kind == REPORT_TLS && p->is_multipart && str_eq(p->subtype, STR("report")) &&
        !str_eq_ci(param_get(&p->params, STR("report-type")), STR("tlsrpt")))
        return NULL;
    switch (verdict_by_type(p, kind)) {
    case YES:
        return p;
    case BY_CONTENT:
        return looks_like_report(message, p) ? p : NULL;
    case NO:
        break;
    }
    for (const struct part *child = p->is_multipart ? p->child : NULL; child && !found;
         child = child->next)
        found = find_part(message, child, kind);
    return found;
}

static bool unpack_part(struct str message, const struct part *p, struct unpacker *u,
                        struct err *e)
{
    AUTO_BUF decoded = BUF_LIMIT(4 * UNPACK_PIECE);
    struct transfer_decoder decoder = {.encoding = transfer_of(p->encoding)};

    for (struct str body = body_of(message, p); body.n; body = str_from(body, UNPACK_PIECE)) {
        buf_reset(&decoded);
        transfer_feed(&decoder, str_sub(body, 0, UNPACK_PIECE), &decoded);
        if (!unpacker_feed(u, buf_str(&decoded), e))
            return false;
    }
    buf_reset(&decoded);
    transfer_end(&decoder, &decoded);
    return unpacker_feed(u, buf_str(&decoded), e) && unpacker_end(u, e);
}

bool report_unpack(struct str message, const struct part *root, enum report_kind kind,
                   unpack_sink_fn *sink, void *ctx, struct err *e)
{
    const struct part *p;
    struct unpacker *u;
    bool is_ok;

    if (message.n > REPORT_MAX_MESSAGE)
        return fail(e, ERR_LIMIT, "the message is larger than a report may be");
    p = find_part(message, root, kind);
    if (!p)
        return fail(e, ERR_NOT_FOUND, "the message has no part with a report");
    u = unpacker_new(REPORT_MAX_SIZE, sink, ctx);
    is_ok = unpack_part(message, p, u, e);
    unpacker_free(u);
    return is_ok;
}
