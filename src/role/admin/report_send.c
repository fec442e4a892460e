/*
 * Our own reports (mox-smtp-delivery.md 5.4, 5.7): when they are due, who gets them, and what they say. One at a
 * time; the DNS is asked without waiting, since others are served meanwhile. With the same commit a report is kept
 * until somebody has taken it (report_letter.c, report_post.c), and what it tells is told.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ipc/dkim.h"
#include "ipc/metrics.h"
#include "ipc/resolve.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "message/header.h"
#include "policy/dns_later.h"
#include "policy/report_compose.h"
#include "reports/reports.h"
#include "role/admin/admin.h"
#include "text/date.h"
#include "text/deflate.h"
#include "text/url.h"

enum {
    HOUR_S = 3600,
    DAY_S = 24 * HOUR_S,
    MAX_JOBS = 100000,
    MAX_MESSAGE = 100 << 20, // mox-smtp-delivery.md 6.3
    MAX_SPACING_S = 300,
    DMARC_SPREAD_S = 45 * 60,
    TLS_SPREAD_S = 4 * HOUR_S,
    ANSWER_MS = 60 * 1000, // resolve has always answered by then, or has ended
    MEMORY = 256 << 20,
    // What cannot be told now (the DNS or another process does not answer) is told some minutes later, and then after
    // twice as many each time. In the end it stays until the next interval or start, or until it is too old.
    RETRY_MS = 5 * 60 * 1000,
    MAX_RETRIES = 6,
    MAX_WEB = 3, // addresses of web servers in one record: more would have us knock at many doors for one
};

/* A report that is due. */
struct job {
    bool is_tls;
    struct report_day tls; // or:
    struct str domain;     // in the same heap block; of either
    int64_t end_hour, end_unix;
    unsigned retries;
    bool is_resting;
    int64_t rest_until_ms;
    struct job *next;
};

static struct {
    struct job *first, **last;
    struct job *resting; // until they are tried again
    struct map names;    // of the jobs, resting or not
    int64_t start_ms;   // of the next job
    int64_t spacing_ms; // between their starts
    bool is_running;    // the first one: the DNS is asked
    int64_t begun_ms;   // since when
    struct dns_later later;
    uint64_t request; // 0: none
    int64_t asked_ms;
    uint64_t waiting; // a command's request, to be answered when all are done; 0: none
    int64_t next_dmarc_unix, next_tls_unix;
} queue = {.last = &queue.first};
static int64_t retry_ms = RETRY_MS;

void admin_send_begin(void)
{
    const char *setting = getenv("MOX_REPORT_RETRY_MS"); // tests do not wait for minutes
    struct cur c = cur_of(str_of(setting ? setting : ""));
    uint64_t ms;

    if (cur_u64(&c, RETRY_MS, &ms))
        retry_ms = (int64_t)ms;
}

/* --- who gets it ---------------------------------------------------------------------------------- */

struct recipient {
    bool is_web;         // address is a URL
    struct str address, uri;
    uint64_t max_size; // of the message; 0: any
};
struct recipients {
    struct recipient *items;
    size_t n, cap;
};
enum wanted { WANTED, NOT_WANTED, ASK_LATER };

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

static enum wanted dmarc_recipients(const struct dns *dns, struct arena *a, struct str domain,
                                    struct recipients *out)
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

static enum wanted tls_recipients(const struct dns *dns, struct arena *a, struct str domain,
                                  struct recipients *out)
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

static bool drop_suppressed(bool is_tls, struct recipients *r, struct err *e)
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

/* --- the message ---------------------------------------------------------------------------------- */

struct letter {
    struct report_message m;
    struct str host_domain;
    struct buf attachment, bytes; // packed; all of the message, empty when there is to be none
};

static void letter_fini(struct letter *l)
{
    buf_fini(&l->attachment);
    buf_fini(&l->bytes);
}
#define AUTO_LETTER CLEANUP(letter_fini) struct letter

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

static bool write_letter(struct arena *a, struct letter *l, const struct recipients *all, struct err *e)
{
    AUTO_BUF message = BUF_LIMIT(MAX_MESSAGE), fields = BUF_LIMIT(1 << 16);
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

/* Until the queue has it. */
static bool keep_letter(struct arena *a, const struct letter *l, struct err *e)
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

static void start_letter(struct arena *a, enum report_kind kind, struct str domain, struct letter *l)
{
    AUTO_BUF random = BUF_LIMIT(100);
    struct str hostname = admin_settings()->hostname;

    os_random_name(&random);
    *l = (struct letter){.m = {.kind = kind, .domain = domain, .submitter = hostname,
                               .now_unix = os_now_unix(), .random = arena_dup(a, buf_str(&random))},
                         .host_domain = admin_host_domain(hostname),
                         .attachment = BUF_LIMIT(MAX_MESSAGE), .bytes = BUF_LIMIT(MAX_MESSAGE)};
    l->m.from = arena_printf(a, "postmaster@%.*s",
                             STR_FMT(kind == REPORT_TLS && l->host_domain.n ? l->host_domain
                                                                            : hostname));
}

/* "20261125" of a time. */
static struct str day_name(struct arena *a, int64_t unix_seconds)
{
    AUTO_BUF out = BUF_LIMIT(100);

    date_put_rfc3339(&out, unix_seconds);
    return arena_printf(a, "%.4s%.2s%.2s", out.p, out.p + 5, out.p + 8);
}

/* --- DMARC ---------------------------------------------------------------------------------------- */

static void split_overrides(struct arena *a, struct str words, struct dmarc_report_record *row)
{
    struct str one;

    while (str_next(&words, ' ', &one)) {
        // The schema knows no other words; RFC 9990's are told as comments.
        if (str_eq(one, STR("policy_test_mode")))
            *ARENA_PUSH(a, row->reasons, &row->n_reasons, &row->cap_reasons) =
                (struct dmarc_report_reason){STR("other"), one};
        else if (one.n)
            *ARENA_PUSH(a, row->reasons, &row->n_reasons, &row->cap_reasons) =
                (struct dmarc_report_reason){one, STR("")};
    }
}

static void split_signatures(struct arena *a, struct str lines, struct dmarc_report_record *row)
{
    struct cur c = cur_of(lines);
    struct str line, result, domain, selector;

    while (cur_line(&c, &line))
        if (str_cut(line, ' ', &result, &line) && str_cut(line, ' ', &domain, &selector))
            *ARENA_PUSH(a, row->dkim_results, &row->n_dkim, &row->cap_dkim) =
                (struct dmarc_report_dkim){domain, selector, result, STR("")};
}

static void fill_row(struct arena *a, const struct report_evaluation *m,
                     struct dmarc_report_record *row)
{
    *row = (struct dmarc_report_record){
        .source_ip = m->source_ip, .count = m->messages,
        .disposition = m->is_rejected ? STR("reject") : STR("none"),
        .dkim = m->is_dkim_aligned ? STR("pass") : STR("fail"),
        .spf = m->is_spf_aligned ? STR("pass") : STR("fail"),
        .header_from = m->header_from, .envelope_from = m->envelope_from,
        .envelope_to = m->envelope_to};
    split_overrides(a, m->overrides, row);
    split_signatures(a, m->dkim, row);
    if (m->spf_domain.n)
        *ARENA_PUSH(a, row->spf_results, &row->n_spf, &row->cap_spf) =
            (struct dmarc_report_spf){m->spf_domain, m->is_spf_helo ? STR("helo") : STR("mfrom"),
                                      m->spf, STR("")};
}

static struct str policy_name(enum dmarc_policy policy)
{
    return str_of(dmarc_policy_name(policy));
}

static bool fill_report(struct arena *a, const struct job *job, const struct report_evaluations *ev,
                        const struct letter *l, struct dmarc_report *out, struct err *e)
{
    struct dmarc_record record;

    if (!dmarc_record_parse(a, ev->record, &record, e))
        return false;
    *out = (struct dmarc_report){
        .org_name = l->m.submitter,
        .email = arena_printf(a, "postmaster@%.*s", STR_FMT(l->m.submitter)),
        .report_id = l->m.report_id, .begin = l->m.begin, .end = l->m.end, .domain = job->domain,
        .adkim = record.is_adkim_strict ? STR("s") : STR("r"),
        .aspf = record.is_aspf_strict ? STR("s") : STR("r"), .p = policy_name(record.p),
        .sp = policy_name(record.sp ? record.sp : record.p), .np = policy_name(record.np),
        .pct = arena_printf(a, "%u", record.pct), .fo = record.fo.n ? record.fo : STR("0"),
        .testing = record.is_test ? STR("y") : STR("")};
    out->records = ARENA_ARRAY(a, ev->n, struct dmarc_report_record);
    for (size_t i = 0; i < ev->n; i++)
        fill_row(a, &ev->rows[i], &out->records[out->n++]);
    return true;
}

static bool write_dmarc(struct arena *a, const struct job *job, const struct report_evaluations *ev,
                        const struct recipients *to, struct letter *l, struct err *e)
{
    AUTO_BUF xml = BUF_LIMIT(MAX_MESSAGE);
    int64_t interval_s = (int64_t)ev->interval_hours * HOUR_S;
    struct dmarc_report report;

    start_letter(a, REPORT_DMARC, job->domain, l);
    l->m.end = job->end_unix;
    l->m.begin = job->end_hour * HOUR_S - interval_s;
    while (l->m.begin > ev->first_hour * HOUR_S)
        l->m.begin -= interval_s;
    l->m.report_id = arena_printf(a, "%.*s.%02d.%.*s", STR_FMT(day_name(a, job->end_hour * HOUR_S)),
                                  (int)(job->end_hour % 24), STR_FMT(str_sub(l->m.random, 0, 12)));
    if (!fill_report(a, job, ev, l, &report, e))
        return false;
    dmarc_report_put(&xml, &report);
    gzip_put(&l->attachment, buf_str(&xml));
    if (xml.full || l->attachment.full)
        return fail(e, ERR_LIMIT, "the report is too large");
    l->m.attachment = buf_str(&l->attachment);
    return write_letter(a, l, to, e);
}

static bool has_reason(const struct job *job, bool *out, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    struct report_evaluations ev;

    if (!reports_evaluations(admin_reports, &a, job->domain, job->end_hour, &ev, e))
        return false;
    *out = ev.has_reason;
    return true;
}

static bool finish_dmarc(struct arena *a, const struct job *job, struct recipients *to, struct err *e)
{
    AUTO_LETTER l = {.m = {.n_to = 0}};
    struct report_evaluations ev;

    if (!reports_evaluations(admin_reports, a, job->domain, job->end_hour, &ev, e) ||
        !drop_suppressed(false, to, e) ||
        (to->n && ev.n && !write_dmarc(a, job, &ev, to, &l, e)))
        return false;
    return reports_begin(admin_reports, e) &&
           reports_end(admin_reports, keep_letter(a, &l, e) &&
                                          reports_drop_evaluations(admin_reports, job->domain, job->end_hour, e), e);
}

/* --- TLS ------------------------------------------------------------------------------------------ */

static struct str joined(struct arena *a, const struct recipients *r)
{
    AUTO_BUF out = BUF_LIMIT(1 << 16);

    for (size_t i = 0; i < r->n; i++) {
        if (i)
            BUF_PUT(&out, " ");
        buf_put(&out, r->items[i].address);
    }
    return arena_dup(a, buf_str(&out));
}

/* Until the web servers have it. */
static bool keep_for_web(const struct letter *l, const struct recipients *all, struct err *e)
{
    for (size_t i = 0; i < all->n; i++) {
        const struct web_report w = {.url = all->items[i].address, .domain = l->m.domain,
                                     .body = l->m.attachment, .created_unix = l->m.now_unix};

        if (!all->items[i].is_web || reports_web_add(admin_reports, &w, e))
            continue;
        if (e->kind != ERR_LIMIT)
            return false;
        LOG(LOG_WARN, "admin", "a report is not sent", LOG_E(e), LOG_S("url", w.url));
        *e = (struct err){0};
    }
    return true;
}

static bool write_tls(struct arena *a, const struct job *job, struct tlsrpt_policy *policies, size_t n,
                      const struct recipients *to, struct letter *l, struct err *e)
{
    AUTO_BUF json = BUF_LIMIT(MAX_MESSAGE);
    struct recipients by_mail = {0};
    struct tlsrpt_report report;

    start_letter(a, REPORT_TLS, job->domain, l);
    l->m.begin = job->tls.day * DAY_S;
    l->m.end = l->m.begin + DAY_S - 1;
    l->m.report_id = arena_printf(a, "%.*s.%.*s@%.*s", STR_FMT(day_name(a, l->m.begin)),
                                  STR_FMT(job->domain), STR_FMT(l->m.submitter));
    report = (struct tlsrpt_report){.organization_name = l->m.submitter, .contact_info = l->m.from,
                                    .report_id = l->m.report_id, .start = l->m.begin, .end = l->m.end,
                                    .policies = policies, .n = n};
    tlsrpt_report_put(&json, &report);
    gzip_put(&l->attachment, buf_str(&json));
    if (json.full || l->attachment.full)
        return fail(e, ERR_LIMIT, "the report is too large");
    l->m.attachment = buf_str(&l->attachment);
    for (size_t i = 0; i < to->n; i++)
        if (!to->items[i].is_web)
            *ARENA_PUSH(a, by_mail.items, &by_mail.n, &by_mail.cap) = to->items[i];
    return !by_mail.n || write_letter(a, l, &by_mail, e);
}

static bool finish_tls(struct arena *a, const struct job *job, struct recipients *to, struct err *e)
{
    struct str addresses = joined(a, to);
    AUTO_LETTER l = {.m = {.n_to = 0}};
    struct tlsrpt_policy *policies;
    uint64_t failures = 0;
    bool is_told;
    size_t n;

    if (!reports_tls_policies(admin_reports, a, &job->tls, addresses, &policies, &n, e) ||
        !drop_suppressed(true, to, e))
        return false;
    for (size_t i = 0; i < n; i++)
        failures += policies[i].total_failure_session_count;
    is_told = to->n && n && (failures || admin_settings()->reports_success);
    if (is_told && !write_tls(a, job, policies, n, to, &l, e))
        return false;
    return reports_begin(admin_reports, e) &&
           reports_end(admin_reports, (!is_told || (keep_for_web(&l, to, e) && keep_letter(a, &l, e))) &&
                                          reports_tls_told(admin_reports, &job->tls, addresses, e), e);
}

/* --- one after the other -------------------------------------------------------------------------- */

static struct str name_of(struct arena *a, const struct job *job)
{
    return arena_printf(a, "%d %d %lld %.*s", job->is_tls, job->tls.is_host, (long long)job->tls.day,
                        STR_FMT(job->domain));
}

static void append(struct job *job)
{
    job->next = NULL;
    *queue.last = job;
    queue.last = &job->next;
}

static void prepend(struct job *job)
{
    job->next = queue.first;
    queue.first = job;
    if (!job->next)
        queue.last = &job->next;
}

static void rest(struct job *job)
{
    job->rest_until_ms = os_monotonic_ms() + (retry_ms << job->retries++);
    job->is_resting = true;
    job->next = queue.resting;
    queue.resting = job;
}

/* Those that have rested long enough, or the one. */
static void wake(int64_t now_ms, const struct job *one)
{
    for (struct job **at = &queue.resting; *at;) {
        struct job *job = *at;

        if (job != one && job->rest_until_ms > now_ms) {
            at = &job->next;
            continue;
        }
        *at = job->next;
        job->is_resting = false;
        if (queue.is_running)
            append(job);
        else
            prepend(job);
    }
}

static void end_job(bool is_done)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct job *job = queue.first;

    queue.first = job->next;
    if (!queue.first)
        queue.last = &queue.first;
    if (!is_done && job->retries < MAX_RETRIES) {
        rest(job);
    } else {
        map_remove(&queue.names, name_of(&a, job));
        free(job);
    }
    dns_later_fini(&queue.later);
    queue.is_running = false;
    queue.request = 0;
    if (!queue.first && queue.waiting) {
        admin_answer_late(queue.waiting, true, STR(""));
        queue.waiting = 0;
    }
}

static void finish(struct arena *a, enum wanted wanted, struct recipients *to)
{
    const struct job *job = queue.first;
    struct err e = {0};
    bool is_ok = true;

    if (wanted == NOT_WANTED)
        to->n = 0;
    if (wanted != ASK_LATER)
        is_ok = job->is_tls ? finish_tls(a, job, to, &e) : finish_dmarc(a, job, to, &e);
    if (is_ok)
        is_ok = reports_commit(admin_reports, &e);
    if (!is_ok && job->is_tls)
        METRIC(tlsrptsend_report_error_total);
    else if (!is_ok)
        METRIC(dmarcdb_report_error_total);
    if (!is_ok)
        LOG(LOG_ERROR, "admin", "a report is not written", LOG_E(&e), LOG_S("domain", job->domain),
            LOG_N("tries", job->retries + 1));
    else if (wanted == ASK_LATER)
        LOG(LOG_INFO, "admin", "a report waits for the DNS", LOG_S("domain", job->domain),
            LOG_N("tries", job->retries + 1));
    else
        admin_letters_tick();
    end_job(is_ok && wanted != ASK_LATER);
}

/* Asks resolve for what is missing; it is asked again with the next tick when it is not there. */
static void ask(void)
{
    struct service_peer *resolve = service_peer_of(ROLE_RESOLVE);
    struct err e = {0};

    if (!resolve)
        return;
    queue.request = admin_next_request();
    queue.asked_ms = os_monotonic_ms();
    if (!IPC_SEND(&resolve->ch, resolve, NULL, 0, &e, .request = queue.request,
                  .type = queue.later.type, .name = queue.later.name))
        queue.request = 0;
}

/* From its start, with the answers that there are. */
static void run_job(void)
{
    struct arena a = ARENA_LIMIT(MEMORY);
    const struct job *job = queue.first;
    struct dns dns = dns_later_dns(&queue.later);
    struct recipients to = {0};
    enum wanted wanted;

    dns_later_begin(&queue.later);
    wanted = job->is_tls ? tls_recipients(&dns, &a, job->domain, &to)
                         : dmarc_recipients(&dns, &a, job->domain, &to);
    if (queue.later.is_missing) {
        ask();
    } else {
        if (job->is_tls)
            METRIC_TIME(tlsrpt_lookup_duration_seconds, os_monotonic_ms() - queue.begun_ms,
                        wanted == WANTED      ? METRIC_TLSRPT_OK
                        : wanted == ASK_LATER ? METRIC_TLSRPT_TEMPORARY
                                              : METRIC_TLSRPT_NONE);
        finish(&a, wanted, &to);
    }
    arena_fini(&a);
}

static void start_job(void)
{
    bool wants = true;
    struct err e = {0};

    dns_later_init(&queue.later);
    queue.is_running = true;
    queue.begun_ms = os_monotonic_ms();
    if (!queue.first->retries)
        queue.start_ms = queue.begun_ms + queue.spacing_ms;
    // Nobody is asked about domains that are not told anyway.
    if (!queue.first->is_tls && !has_reason(queue.first, &wants, &e))
        LOG(LOG_ERROR, "admin", "reading evaluations", LOG_E(&e));
    if (wants) {
        run_job();
    } else {
        AUTO_ARENA a = ARENA_LIMIT(MEMORY);
        struct recipients none = {0};

        finish(&a, NOT_WANTED, &none);
    }
}

bool admin_send_resolved(struct packet *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    struct ipc_resolved r;
    struct dns_answer answer;

    if (!ipc_resolved_get(m->body, &r, e))
        return false;
    if (!queue.is_running || r.request != queue.request)
        return true; // too late
    if (!resolve_take_answer(&a, queue.later.type, &r, &answer, e))
        return false;
    queue.request = 0;
    dns_later_put(&queue.later, &answer);
    run_job();
    return true;
}

/* --- when ----------------------------------------------------------------------------------------- */

static void add_job(const struct job *like)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct job *job = map_get(&queue.names, name_of(&a, like));
    char *text;

    if (job && job->is_resting) { // it has more to tell now
        job->end_hour = like->end_hour;
        job->end_unix = like->end_unix;
        wake(INT64_MIN, job);
    }
    if (job || queue.names.count >= MAX_JOBS)
        return; // the last one is not over yet
    job = heap_alloc(sizeof *job + like->domain.n);
    text = (char *)(job + 1);
    memcpy(text, like->domain.p, like->domain.n);
    *job = *like;
    job->domain = job->tls.domain = str_at(text, like->domain.n);
    append(job);
    map_put(&queue.names, name_of(&a, job), job);
}

static void spread(size_t n, int64_t seconds)
{
    int64_t each = n ? seconds / (int64_t)n : 0;

    queue.spacing_ms = 1000 * (each < MAX_SPACING_S ? each : MAX_SPACING_S);
}

static void schedule_dmarc(int64_t end_hour, int64_t end_unix, bool all)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    struct report_names due;
    struct err e = {0};

    if (admin_settings()->no_dmarc_reports)
        return;
    if (!reports_due_dmarc(admin_reports, &a, end_hour, all, &due, &e)) {
        LOG(LOG_ERROR, "admin", "reading evaluations", LOG_E(&e));
        return;
    }
    for (size_t i = 0; i < due.n; i++)
        add_job(&(struct job){.domain = due.items[i], .end_hour = end_hour, .end_unix = end_unix});
    spread(due.n, DMARC_SPREAD_S);
}

static void schedule_tls(int64_t before_day)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    struct report_days due;
    struct err e = {0};

    if (admin_settings()->no_tls_reports)
        return;
    if (!reports_due_tls(admin_reports, &a, before_day, &due, &e)) {
        LOG(LOG_ERROR, "admin", "reading TLS results", LOG_E(&e));
        return;
    }
    for (size_t i = 0; i < due.n; i++)
        add_job(&(struct job){.is_tls = true, .domain = due.items[i].domain, .tls = due.items[i]});
    spread(due.n, TLS_SPREAD_S);
}

static int64_t chance(uint32_t n)
{
    uint32_t random;

    os_random(&random, sizeof random);
    return random % n;
}

// mox-smtp-delivery.md 5.4 and 5.7: some time after the hour and after midnight, so that not everybody
// sends at once.
static void set_times(int64_t now)
{
    queue.next_dmarc_unix = (now / HOUR_S + 1) * HOUR_S + 30 + chance(60);
    queue.next_tls_unix = (now / DAY_S + 1) * DAY_S + 240 + chance(120);
}

static void look_at_clock(void)
{
    int64_t now = os_now_unix();
    bool is_first = !queue.next_dmarc_unix;
    bool is_dmarc_due = !is_first && now >= queue.next_dmarc_unix;
    bool is_tls_due = is_first || now >= queue.next_tls_unix;
    int64_t hour = queue.next_dmarc_unix / HOUR_S;

    // A clock that was set back does not make us wait.
    if (is_first || is_dmarc_due || queue.next_dmarc_unix > now + 2 * HOUR_S) {
        int64_t tls = queue.next_tls_unix;

        set_times(now);
        if (tls > now && tls < queue.next_tls_unix)
            queue.next_tls_unix = tls;
    }
    if (is_dmarc_due)
        schedule_dmarc(hour, hour * HOUR_S - 1, false);
    if (is_first) // what was due while we were not there, or could not be told
        schedule_dmarc(now / DAY_S * 24, now / DAY_S * DAY_S - 1, false);
    if (is_tls_due) {
        queue.next_tls_unix = (now / DAY_S + 1) * DAY_S + 240 + chance(120);
        schedule_tls(now / DAY_S);
    }
}

void admin_send_tick(void)
{
    int64_t now = os_monotonic_ms();

    look_at_clock();
    if (queue.is_running) {
        if (!queue.request || now - queue.asked_ms > ANSWER_MS)
            run_job();
        return;
    }
    wake(now, NULL);
    // Those that are tried again have had their place among the others.
    if (queue.first && (now >= queue.start_ms || queue.waiting || queue.first->retries))
        start_job();
}

bool admin_send_all(struct ctl *c, bool is_tls, struct err *e)
{
    int64_t now = os_now_unix();
    struct err why = {0};

    if (queue.waiting)
        (void)fail(&why, ERR_TEMPORARY, "reports are being sent already, try again later");
    else if (is_tls)
        schedule_tls(now / DAY_S + 1);
    else
        schedule_dmarc(now / HOUR_S + 1, now, true);
    if (why.kind || !queue.first)
        return admin_answer(c, &why, e);
    c->waits_for = queue.waiting = admin_next_request();
    return true;
}
