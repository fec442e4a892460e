#include "policy/report_compose.h"

#include <string.h>

#include "message/header.h"
#include "text/date.h"
#include "text/encode.h"

struct str report_file_name(struct arena *a, const struct report_message *m)
{
    return arena_printf(a, "%.*s!%.*s!%lld!%lld.%s.gz", STR_FMT(m->submitter), STR_FMT(m->domain),
                        (long long)m->begin, (long long)m->end,
                        m->kind == REPORT_TLS ? "json" : "xml");
}

static struct str addresses(struct arena *a, const struct report_message *m)
{
    AUTO_BUF out = BUF_LIMIT(1 << 16);

    for (size_t i = 0; i < m->n_to; i++) {
        buf_put(&out, i ? STR(", <") : STR("<"));
        buf_put(&out, m->to[i]);
        BUF_PUT(&out, ">");
    }
    return arena_dup(a, buf_str(&out));
}

static struct str date_of(struct arena *a, const struct report_message *m)
{
    AUTO_BUF out = BUF_LIMIT(100);

    date_put(&out, (struct date){m->now_unix, 0});
    return arena_dup(a, buf_str(&out));
}

static struct str subject_of(struct arena *a, const struct report_message *m)
{
    // RFC 7489 7.2.1.1, RFC 8460 5.2.
    return arena_printf(a, "Report Domain: %.*s Submitter: %.*s Report-ID: <%.*s>",
                        STR_FMT(m->domain), STR_FMT(m->submitter), STR_FMT(m->report_id));
}

/* All but what says what the body is. */
static bool put_header(struct buf *out, struct arena *a, const struct report_message *m,
                       struct str subject, struct err *e)
{
    struct str to = addresses(a, m);
    struct str from = arena_printf(a, "<%.*s>", STR_FMT(m->from));
    struct str id = arena_printf(a, "<%.*s@%.*s>", STR_FMT(m->random), STR_FMT(m->submitter));

    if (!header_put(out, STR("From"), from, e) || !header_put(out, STR("To"), to, e) ||
        !header_put(out, STR("Subject"), subject, e) || !header_put(out, STR("Date"), date_of(a, m), e) ||
        !header_put(out, STR("Message-Id"), id, e))
        return false;
    // RFC 8460 5.3, and 5.4: it must come also where TLS does not work.
    if (m->kind == REPORT_TLS &&
        (!header_put(out, STR("TLS-Report-Domain"), m->domain, e) ||
         !header_put(out, STR("TLS-Report-Submitter"), m->submitter, e) ||
         !header_put(out, STR("TLS-Required"), STR("No"), e)))
        return false;
    return header_put(out, STR("User-Agent"), STR("mox/" MOX_VERSION), e) &&
           header_put(out, STR("MIME-Version"), STR("1.0"), e);
}

static void put_text(struct buf *out, const struct report_message *m)
{
    buf_printf(out, "This is %s report about %.*s, from %.*s, for the time from\r\n",
               m->kind == REPORT_TLS ? "a TLS" : "an aggregate DMARC", STR_FMT(m->domain),
               STR_FMT(m->submitter));
    date_put_rfc3339(out, m->begin);
    BUF_PUT(out, " to ");
    date_put_rfc3339(out, m->end);
    BUF_PUT(out, ".\r\nIt is attached.\r\n");
}

// What stands between quotes and in lines of our own making: host names and the like.
static bool check_names(const struct report_message *m, struct err *e)
{
    const struct str names[] = {m->domain, m->submitter, m->random};

    for (size_t i = 0; i < COUNT(names); i++)
        for (size_t k = 0; k < names[i].n; k++)
            if (!ascii_is_alnum(names[i].p[k]) && !strchr("-_.", names[i].p[k]))
                return fail(e, ERR_SYNTAX, "a name that cannot be in a report");
    return true;
}

bool report_compose(struct buf *out, const struct report_message *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    bool is_tls = m->kind == REPORT_TLS;
    struct str name = report_file_name(&a, m);

    if (!check_names(m, e) || !put_header(out, &a, m, subject_of(&a, m), e))
        return false;
    buf_printf(out, "Content-Type: multipart/%s;\r\n\tboundary=\"%.*s\"\r\n\r\n",
               is_tls ? "report; report-type=\"tlsrpt\"" : "mixed", STR_FMT(m->random));
    buf_printf(out, "--%.*s\r\nContent-Type: text/plain; charset=us-ascii\r\n"
                    "Content-Transfer-Encoding: 7bit\r\n\r\n", STR_FMT(m->random));
    put_text(out, m);
    buf_printf(out, "\r\n--%.*s\r\nContent-Type: application/%s;\r\n\tname=\"%.*s\"\r\n"
                    "Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment;\r\n"
                    "\tfilename=\"%.*s\"\r\n\r\n",
               STR_FMT(m->random), is_tls ? "tlsrpt+gzip" : "gzip", STR_FMT(name), STR_FMT(name));
    base64_encode_lines(out, m->attachment);
    buf_printf(out, "--%.*s--\r\n", STR_FMT(m->random));
    return !out->full || fail(e, ERR_LIMIT, "the report is too large for a message");
}

bool report_compose_error(struct buf *out, const struct report_message *m, uint64_t size,
                          struct str uri, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);

    if (!check_names(m, e) || !put_header(out, &a, m, subject_of(&a, m), e))
        return false;
    BUF_PUT(out, "Content-Type: text/plain; charset=us-ascii\r\n"
                 "Content-Transfer-Encoding: 7bit\r\n\r\nReport-Date: ");
    buf_put(out, date_of(&a, m));
    buf_printf(out, "\r\nReport-Domain: %.*s\r\nReport-ID: %.*s\r\nReport-Size: %llu\r\n"
                    "Submitter: %.*s\r\nSubmitting-URI: %.*s\r\n",
               STR_FMT(m->domain), STR_FMT(m->report_id), (unsigned long long)size,
               STR_FMT(m->submitter), STR_FMT(uri));
    return !out->full || fail(e, ERR_LIMIT, "the report is too large for a message");
}
