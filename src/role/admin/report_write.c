/*
 * A report of ours as a message: signed, and to those who take one of its size.
 */
#include "base/log.h"
#include "ipc/dkim.h"
#include "os/clock.h"
#include "os/file.h"
#include "role/admin/report_send.h"
#include "text/date.h"

void letter_fini(struct letter *l)
{
    buf_fini(&l->attachment);
    buf_fini(&l->bytes);
}

/* DKIM-Signature fields; none when the host's domain has no keys. */
static bool sign(const struct letter *l, struct str message, struct buf *out, struct err *e)
{
    static const struct str more[] = {STR_("TLS-Report-Domain"), STR_("TLS-Report-Submitter")};
    ptrdiff_t end = str_find_str(message, STR("\r\n\r\n"));
    struct service_peer *dkim;
    struct packet *p;
    struct dkim_client client;
    bool is_ok;

    if (!l->host_domain.n)
        return true;
    if (end < 0)
        return fail(e, ERR_BUG, "a message without a header");
    if (!admin_peer(ROLE_DKIM, &dkim, e))
        return false;
    p = packet_new();
    client = (struct dkim_client){&dkim->ch, p};
    is_ok = dkim_client_sign(
        &client,
        &(struct dkim_client_message){.domain = l->host_domain,
                                      .header = str_sub(message, 0, (size_t)end + 2),
                                      .body = str_from(message, (size_t)end + 4), .fd = -1,
                                      .more = more, .n_more = l->m.kind == REPORT_TLS ? 2 : 0},
        out, e);
    packet_free(p);
    return is_ok;
}

/* Those among the recipients whose limit allows for a message of that size, or those whose does not. */
static void choose(struct arena *a, const struct recipients *all, uint64_t size, bool fits,
                   struct letter *l)
{
    struct str *to = ARENA_ARRAY(a, all->n, struct str);

    l->m.n_to = 0;
    for (size_t i = 0; i < all->n; i++)
        if ((!all->items[i].max_size || all->items[i].max_size >= size) == fits)
            to[l->m.n_to++] = all->items[i].address;
    l->m.to = to;
}

static bool keep_bytes(struct letter *l, struct str fields, struct str message, struct err *e)
{
    buf_put(&l->bytes, fields);
    buf_put(&l->bytes, message);
    return !l->bytes.full || fail(e, ERR_LIMIT, "the report is too large");
}

/* RFC 7489 7.2.2: when nobody takes one of that size, all are told. */
static bool write_too_large(struct letter *l, uint64_t size, struct str uri, struct err *e)
{
    AUTO_BUF message = BUF_LIMIT(1 << 20), fields = BUF_LIMIT(1 << 16);

    return report_compose_error(&message, &l->m, size, uri, e) &&
           sign(l, buf_str(&message), &fields, e) && keep_bytes(l, buf_str(&fields), buf_str(&message), e);
}

bool letter_write(struct arena *a, struct letter *l, const struct recipients *all, struct err *e)
{
    AUTO_BUF message = BUF_LIMIT(LETTER_MAX_BYTES), fields = BUF_LIMIT(1 << 16);
    uint64_t size;

    choose(a, all, 0, true, l);
    if (!report_compose(&message, &l->m, e) || !sign(l, buf_str(&message), &fields, e))
        return false;
    if (l->m.kind == REPORT_TLS && !fields.n) {
        // RFC 8460 3: others could have written it; it would not be believed.
        LOG(LOG_WARN, "admin", "a TLS report is not sent: the host's domain has no DKIM keys",
            LOG_S("domain", l->m.domain));
        return true;
    }
    size = message.n + fields.n;
    choose(a, all, size, true, l);
    if (!l->m.n_to) {
        choose(a, all, size, false, l);
        LOG(LOG_INFO, "admin", "a report is larger than its addresses take",
            LOG_S("domain", l->m.domain), LOG_N("size", size));
        return write_too_large(l, size, all->items[0].uri, e);
    }
    // The addresses that it does not go to are not in its header either.
    if (l->m.n_to < all->n) {
        buf_reset(&message);
        buf_reset(&fields);
        if (!report_compose(&message, &l->m, e) || !sign(l, buf_str(&message), &fields, e))
            return false;
    }
    return keep_bytes(l, buf_str(&fields), buf_str(&message), e);
}

bool letter_keep(struct arena *a, const struct letter *l, struct err *e)
{
    AUTO_BUF to = BUF_LIMIT(1 << 16);

    if (!l->bytes.n)
        return true;
    for (size_t i = 0; i < l->m.n_to; i++) {
        buf_put(&to, l->m.to[i]);
        BUF_PUT(&to, "\n");
    }
    return reports_letter_add(admin_reports,
                              &(struct report_letter){.name = l->m.random, .is_tls = l->m.kind == REPORT_TLS,
                                                      .domain = l->m.domain, .sender = l->m.from,
                                                      .recipients = arena_dup(a, buf_str(&to)),
                                                      .created_unix = l->m.now_unix,
                                                      .message = buf_str(&l->bytes)}, e);
}

void letter_start(struct arena *a, enum report_kind kind, struct str domain, struct letter *l)
{
    AUTO_BUF random = BUF_LIMIT(100);
    struct str hostname = admin_settings()->hostname;

    os_random_name(&random);
    *l = (struct letter){.m = {.kind = kind, .domain = domain, .submitter = hostname,
                               .now_unix = os_now_unix(), .random = arena_dup(a, buf_str(&random))},
                         .host_domain = admin_host_domain(hostname),
                         .attachment = BUF_LIMIT(LETTER_MAX_BYTES), .bytes = BUF_LIMIT(LETTER_MAX_BYTES)};
    l->m.from = arena_printf(a, "postmaster@%.*s",
                             STR_FMT(kind == REPORT_TLS && l->host_domain.n ? l->host_domain
                                                                            : hostname));
}

struct str report_day_name(struct arena *a, int64_t unix_seconds)
{
    AUTO_BUF out = BUF_LIMIT(100);

    date_put_rfc3339(&out, unix_seconds);
    return arena_printf(a, "%.4s%.2s%.2s", out.p, out.p + 5, out.p + 8);
}
