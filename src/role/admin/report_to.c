/*
 * Who gets a report of ours: the addresses that the domain's record names, in so far as they may be told.
 */
#include "message/header.h"
#include "os/clock.h"
#include "role/admin/report_send.h"
#include "text/url.h"

enum { MAX_WEB = 3 }; // addresses of web servers in one record: more would have us knock at many doors for one

static void add_recipient(struct arena *a, const struct report_uri *uri, struct recipients *out)
{
    AUTO_BUF address = BUF_LIMIT(IPC_MAX_ADDRESS);
    struct str localpart, domain;

    if (!report_uri_mailto(a, uri, &localpart, &domain))
        return;
    address_put_localpart(&address, localpart);
    BUF_PUT(&address, "@");
    buf_put(&address, domain);
    for (size_t i = 0; i < out->n; i++)
        if (str_eq_ci(out->items[i].address, buf_str(&address)))
            return;
    if (!address.full && str_is_ascii(buf_str(&address)))
        *ARENA_PUSH(a, out->items, &out->n, &out->cap) =
            (struct recipient){.address = arena_dup(a, buf_str(&address)), .uri = uri->text,
                               .max_size = uri->max_size};
}

/* RFC 8460 3: reports by POST. Whoever published the record has said so; DNSSEC or not, as with mailto. */
static void add_web(struct arena *a, const struct report_uri *uri, struct recipients *out)
{
    struct url url;
    size_t n = 0;

    if (!url_parse(uri->text, &url, &(struct err){0}) || !url.is_https)
        return;
    for (size_t i = 0; i < out->n; i++) {
        if (str_eq(out->items[i].address, uri->text))
            return;
        n += out->items[i].is_web;
    }
    if (n < MAX_WEB)
        *ARENA_PUSH(a, out->items, &out->n, &out->cap) =
            (struct recipient){.is_web = true, .address = arena_dup(a, uri->text), .uri = uri->text};
}

// RFC 7489 7.1: others than the domain's own organisation must have agreed.
static enum wanted add_dmarc_uri(const struct dns *dns, struct arena *a, struct str about,
                                 const struct report_uri *uri, struct recipients *out)
{
    struct report_uris instead;
    struct str localpart, to, why;

    if (!report_uri_mailto(a, uri, &localpart, &to))
        return NOT_WANTED;
    switch (dmarc_report_consent(dns, a, about, to, &instead, &why)) {
    case DMARC_CONSENT_TEMPORARY:
        return ASK_LATER;
    case DMARC_CONSENT_NO:
        return NOT_WANTED;
    case DMARC_CONSENT_SAME:
    case DMARC_CONSENT_YES:
        break;
    }
    for (size_t i = 0; i < instead.n; i++)
        add_recipient(a, &instead.items[i], out);
    if (!instead.n)
        add_recipient(a, uri, out);
    return WANTED;
}

enum wanted report_to_dmarc(const struct dns *dns, struct arena *a, struct str domain, struct recipients *out)
{
    struct dmarc_found found;
    enum wanted wanted = NOT_WANTED;

    dmarc_find(dns, a, domain, &found);
    if (found.result == AUTH_TEMPERROR)
        return ASK_LATER;
    if (found.result != AUTH_PASS || !str_eq(found.domain, domain))
        return NOT_WANTED;
    for (size_t i = 0; i < found.record.rua.n; i++) {
        enum wanted one = add_dmarc_uri(dns, a, domain, &found.record.rua.items[i], out);

        if (one == ASK_LATER)
            return ASK_LATER;
        wanted = one == WANTED ? WANTED : wanted;
    }
    return wanted;
}

enum wanted report_to_tls(const struct dns *dns, struct arena *a, struct str domain, struct recipients *out)
{
    struct tlsrpt_record record;
    struct str text;
    bool is_secure;
    struct err e = {0};

    if (!tlsrpt_find(dns, a, domain, &record, &text, &is_secure, &e))
        return e.kind == ERR_TEMPORARY ? ASK_LATER : NOT_WANTED;
    for (size_t i = 0; i < record.rua.n; i++) {
        add_recipient(a, &record.rua.items[i], out);
        add_web(a, &record.rua.items[i], out);
    }
    return out->n ? WANTED : NOT_WANTED;
}

bool report_to_wanted(bool is_tls, struct recipients *r, struct err *e)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n; i++) {
        bool is_suppressed;

        if (!reports_is_suppressed(admin_reports, is_tls, r->items[i].address, os_now_unix(),
                                   &is_suppressed, e))
            return false;
        if (!is_suppressed)
            r->items[n++] = r->items[i];
    }
    r->n = n;
    return true;
}
