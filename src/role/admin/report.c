/*
 * Reports: those about our domains, from the accounts that got them, and what is gathered for ours
 * (mox-smtp-delivery.md 5).
 */
#include "base/log.h"
#include "ipc/metrics.h"
#include "ipc/report.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "policy/dns.h"
#include "reports/reports.h"
#include "role/admin/admin.h"
#include "role/admin/lookup.h"
#include "text/idna.h"
#include "text/url.h"

enum {
    REPORT_MEMORY = 256 << 20, // of a report that is taken; see ipc/report.c
    MAX_CHANNELS = 8,          // of one account
    EXPIRE_S = 3600,
};

struct reports *admin_reports;

/* --- reports that came ---------------------------------------------------------------------------- */

// What somebody writes into a report makes no number run over.
static uint64_t at_most(uint64_t n)
{
    return n < UINT32_MAX ? n : UINT32_MAX;
}

// domain: one of ours.
static void count_dmarc(const struct dmarc_report *report, struct str domain)
{
    const enum metric m = METRIC_dmarcdb_policy_evaluated_total;
    const unsigned name = metric_name(domain);

    for (size_t i = 0; i < report->n; i++) {
        const struct dmarc_report_record *row = &report->records[i];
        uint64_t n = at_most(row->count);

        METRIC_ADD(dmarcdb_policy_evaluated_total, n, name, metric_word(m, 1, row->disposition), metric_word(m, 2, row->dkim),
                   metric_word(m, 3, row->spf));
        for (size_t j = 0; j < row->n_dkim; j++)
            METRIC_ADD(dmarcdb_dkim_result_total, n,
                       metric_word(METRIC_dmarcdb_dkim_result_total, 0, row->dkim_results[j].result));
        for (size_t j = 0; j < row->n_spf; j++)
            METRIC_ADD(dmarcdb_spf_result_total, n,
                       metric_word(METRIC_dmarcdb_spf_result_total, 0, row->spf_results[j].result));
    }
}

static void count_tls(const struct tlsrpt_policy *policy)
{
    const enum metric m = METRIC_tlsrptdb_session_total;

    METRIC_ADD(tlsrptdb_session_total, at_most(policy->total_successful_session_count), metric_word(m, 0, STR("success")));
    for (size_t i = 0; i < policy->n_failures; i++)
        METRIC_ADD(tlsrptdb_session_total, at_most(policy->failures[i].failed_session_count),
                   metric_word(m, 0, policy->failures[i].result_type));
}

static bool store_dmarc(struct arena *a, const struct service_peer *p,
                        const struct report_origin *from, struct str bytes, struct err *e)
{
    struct dmarc_report *report;
    bool is_host;

    if (!ipc_get_dmarc_report(a, bytes, &report, e))
        return false;
    if (!admin_is_reporting(p->account, report->domain, false, &is_host))
        return fail(e, ERR_DENIED, "it is about %.*s, whose reports do not come here",
                    STR_FMT(str_sub(report->domain, 0, 100)));
    if (!reports_add_dmarc(admin_reports, from, report, e))
        return false;
    count_dmarc(report, arena_lower(a, report->domain));
    return true;
}

// Each domain of ours in it once.
static bool store_tls(struct arena *a, const struct service_peer *p,
                      const struct report_origin *from, struct str bytes, struct err *e)
{
    struct tlsrpt_report *report;
    size_t n = 0;

    if (!ipc_get_tls_report(a, bytes, &report, e))
        return false;
    for (size_t i = 0; i < report->n; i++) {
        struct str domain = report->policies[i].policy_domain;
        bool is_host, is_seen = false;

        if (!admin_is_reporting(p->account, domain, true, &is_host))
            continue;
        for (size_t j = 0; j < i && !is_seen; j++)
            is_seen = str_eq(report->policies[j].policy_domain, domain);
        if (!is_seen && !reports_add_tls(admin_reports, from, domain, is_host, report, e))
            return false;
        count_tls(&report->policies[i]);
        n++;
    }
    return n || fail(e, ERR_DENIED, "it is about no domain whose reports come here");
}

static bool store(const struct service_peer *p, struct packet *m, struct err *e)
{
    struct arena a = ARENA_LIMIT(REPORT_MEMORY);
    struct ipc_report_received r;
    struct report_origin from;
    AUTO_FD fd = -1;
    struct str bytes;
    bool is_ok;

    if (!ipc_report_received_get(m->body, &r, e))
        return false;
    fd = packet_take_fd(m, 0);
    if (!os_memfile_is_sealed(fd))
        return fail(e, ERR_DENIED, "the report is not sealed");
    from = (struct report_origin){r.from_domain, r.mail_from, os_now_unix()};
    is_ok = os_read_fd(&a, fd, IPC_REPORT_BYTES, &bytes, e) &&
            (r.is_tls ? store_tls(&a, p, &from, bytes, e) : store_dmarc(&a, p, &from, bytes, e)) &&
            reports_commit(admin_reports, e);
    arena_fini(&a);
    return is_ok;
}

static bool on_received(struct service_peer *p, struct packet *m, struct err *e)
{
    struct err why = {0};
    bool is_ok = store(p, m, &why);

    LOG(LOG_INFO, "admin", is_ok ? "report stored" : "report not stored",
        LOG_S("account", p->account), LOG_E(&why));
    return IPC_SEND(&p->ch, report_taken, NULL, 0, e,
                    .outcome = is_ok                        ? IPC_REPORT_STORED
                               : why.kind == ERR_TEMPORARY || why.kind == ERR_BUG
                                   ? IPC_REPORT_TEMPORARY
                                   : IPC_REPORT_REFUSED,
                    .why = str_of(why.text));
}

/* --- what is gathered ----------------------------------------------------------------------------- */

// A-labels, and names of hosts that others chose.
static bool is_domain(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '_' && s.p[i] != '.')
            return false;
    return s.n && dns_name_is_ok(s);
}

static bool is_word(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_is_alpha(s.p[i]) && s.p[i] != '_')
            return false;
    return s.n > 0;
}

static bool are_words(struct str s)
{
    struct str one;

    while (str_next(&s, ' ', &one)) {
        if (!is_word(one))
            return false;
    }
    return true;
}

// Lines "result domain selector", which go into a report as they are.
static bool are_signatures(struct str s)
{
    struct cur c = cur_of(s);
    struct str line, result, domain, selector;

    while (cur_line(&c, &line)) {
        enum auth_result ignored;

        if (!str_cut(line, ' ', &result, &line) || !str_cut(line, ' ', &domain, &selector) ||
            !auth_result_parse(result, &ignored) || !is_domain(domain) || !is_domain(selector))
            return false;
    }
    return true;
}

static bool check_evaluation(const struct ipc_dmarc_evaluation *m, struct err *e)
{
    enum auth_result ignored;

    return (is_domain(m->policy_domain) && is_domain(m->header_from) &&
            (!m->envelope_from.n || is_domain(m->envelope_from)) && is_domain(m->envelope_to) &&
            (!m->spf_domain.n || (is_domain(m->spf_domain) && auth_result_parse(m->spf, &ignored))) &&
            are_words(m->overrides) && are_signatures(m->dkim)) ||
           fail(e, ERR_DENIED, "an evaluation that no session would tell");
}

static bool on_evaluation(struct service_peer *p, struct packet *packet, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct ipc_dmarc_evaluation m;
    struct dmarc_record record;
    struct err why = {0};

    if (!ipc_dmarc_evaluation_get(packet->body, &m, e) || !check_evaluation(&m, e) ||
        !dmarc_record_parse(&a, m.record, &record, e))
        return false;
    if (!reports_add_evaluation(
            admin_reports, os_now_unix(),
            &(struct report_evaluation){
                .policy_domain = m.policy_domain, .record = m.record, .source_ip = p->remote,
                .overrides = m.overrides, .header_from = m.header_from,
                .envelope_from = m.envelope_from, .envelope_to = m.envelope_to,
                .spf_domain = m.spf_domain, .spf = m.spf, .dkim = m.dkim,
                .is_optional = m.is_optional, .is_rejected = m.is_rejected,
                .is_spf_aligned = m.is_spf_aligned, .is_dkim_aligned = m.is_dkim_aligned,
                .is_spf_helo = m.is_spf_helo,
                .interval_hours = dmarc_interval_hours(record.ri)}, &why))
        LOG(LOG_INFO, "admin", "an evaluation is not kept", LOG_E(&why));
    return true;
}

static bool on_tls_result(struct packet *packet, struct err *e)
{
    struct ipc_tls_result m;
    struct err why = {0};

    if (!ipc_tls_result_get(packet->body, &m, e))
        return false;
    if (!is_domain(m.policy_domain) || !is_domain(m.recipient_domain))
        return fail(e, ERR_DENIED, "a TLS result of no domain");
    if (!m.is_host) // there is one for each connection
        admin_watch_connection();
    if (admin_settings()->no_tls_reports)
        return true;
    if (!reports_add_tls_result(
            admin_reports, os_now_unix(),
            &(struct report_tls_result){
                .policy_domain = m.policy_domain, .recipient_domain = m.recipient_domain,
                .policy_strings = m.policy_strings, .mx_hosts = m.mx_hosts, .is_host = m.is_host,
                .policy_type = (enum report_policy)m.policy_type, .successes = m.successes,
                .failures = m.failures, .result_type = m.result_type, .sending_ip = m.sending_ip,
                .mx_host = m.mx_host, .mx_helo = m.mx_helo, .receiving_ip = m.receiving_ip,
                .additional = m.additional, .reason_code = m.reason_code}, &why))
        LOG(LOG_INFO, "admin", "a TLS result is not kept", LOG_E(&why));
    return true;
}

/* --- the loop ------------------------------------------------------------------------------------- */

bool admin_hear_report(struct service_peer *p, struct packet *m, bool *is_ours, struct err *e)
{
    *is_ours = true;
    switch ((int)m->type) {
    case IPC_report_received:
        return on_received(p, m, e);
    case IPC_dmarc_evaluation:
        return on_evaluation(p, m, e);
    case IPC_tls_result:
        return on_tls_result(m, e);
    case IPC_resolved:
        return lookup_resolved(m, e);
    case IPC_dkim_selector:
    case IPC_dkim_signed:
        return true; // too late for whoever asked
    default:
        *is_ours = false;
        return false;
    }
}

void admin_report_tick(void)
{
    static int64_t expired_unix;
    int64_t now = os_now_unix();
    struct err e = {0};

    if (now - expired_unix > EXPIRE_S) {
        expired_unix = now;
        if (!reports_expire(admin_reports, now, &e))
            LOG(LOG_ERROR, "admin", "removing what is old", LOG_E(&e));
    }
    admin_send_tick();
    admin_letters_tick();
    // What was gathered since the last second; a crash loses no more than that.
    e = (struct err){0};
    if (!reports_commit(admin_reports, &e))
        LOG(LOG_ERROR, "admin", "what was gathered is lost", LOG_E(&e));
}

/* --- commands ------------------------------------------------------------------------------------- */

static bool list(struct ctl *c, bool is_tls, struct str domain, struct err *e)
{
    AUTO_BUF out = BUF_LIMIT(IPC_MAX_LINES);
    struct str ascii = STR("");
    struct err why = {0};
    uint64_t after = 0;
    bool is_first = true;

    if (domain.n && !domain_to_ascii(&c->a, domain, &ascii, &why))
        return admin_answer(c, &why, e);
    do {
        buf_reset(&out);
        if (!reports_list(admin_reports, is_tls, ascii, after, &out, &after, &why))
            return admin_answer(c, &why, e);
        if ((is_first && !admin_put(c, STR("ok\n"), e)) ||
            (out.n && !admin_put_piece(c, buf_str(&out), e)))
            return false;
        is_first = false;
    } while (after);
    return admin_put(c, STR("0\n"), e);
}

static bool run_dmarc_send(struct ctl *c, const struct str *arguments, struct err *e)
{
    (void)arguments;
    return admin_send_all(c, false, e);
}

static bool run_tls_send(struct ctl *c, const struct str *arguments, struct err *e)
{
    (void)arguments;
    return admin_send_all(c, true, e);
}

static bool run_suppress_list(struct ctl *c, const struct str *arguments, struct err *e)
{
    AUTO_BUF out = BUF_LIMIT(4 << 20);
    struct err why = {0};

    if (!reports_list_suppressed(admin_reports, str_eq(arguments[0], STR("tls")), &out, &why))
        return admin_answer(c, &why, e);
    return admin_put(c, STR("ok\n"), e) && (!out.n || admin_put_piece(c, buf_str(&out), e)) &&
           admin_put(c, STR("0\n"), e);
}

// As records have it: of reports about TLS a web server's, too.
static bool is_address(struct str text, bool is_tls)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct address address;
    struct url url;

    return (address_parse_spec(&a, text, &address) && address.domain.n) ||
           (is_tls && url_parse(text, &url, &(struct err){0}) && url.is_https);
}

static bool suppress(const struct str *arguments, struct err *e)
{
    enum { DAY_S = 24 * 3600, MAX_DAYS = 100 * 365 };
    bool is_tls = str_eq(arguments[0], STR("tls"));
    uint64_t days;

    if (!is_address(arguments[1], is_tls))
        return fail(e, ERR_SYNTAX, "\"%.*s\" is no address", STR_FMT(str_sub(arguments[1], 0, 100)));
    if (!str_u64(arguments[2], MAX_DAYS, &days))
        return fail(e, ERR_SYNTAX, "an address and a number of days are needed");
    return reports_suppress(admin_reports, is_tls, arguments[1],
                            os_now_unix() + (int64_t)days * DAY_S, arguments[3], e) &&
           reports_commit(admin_reports, e);
}

// dmarc or tls, address, days, comment.
static bool run_suppress_add(struct ctl *c, const struct str *arguments, struct err *e)
{
    struct err why = {0};

    (void)!suppress(arguments, &why);
    return admin_answer(c, &why, e);
}

static bool run_suppress_remove(struct ctl *c, const struct str *arguments, struct err *e)
{
    struct err why = {0};

    if (reports_unsuppress(admin_reports, str_eq(arguments[0], STR("tls")), arguments[1], &why))
        (void)!reports_commit(admin_reports, &why);
    return admin_answer(c, &why, e);
}

static bool run_dmarc_list(struct ctl *c, const struct str *arguments, struct err *e)
{
    return list(c, false, arguments[0], e);
}

static bool run_tls_list(struct ctl *c, const struct str *arguments, struct err *e)
{
    return list(c, true, arguments[0], e);
}

const struct command report_commands[] = {
    {STR_("dmarcreports"), 1, run_dmarc_list},
    {STR_("dmarcsendreports"), 0, run_dmarc_send},
    {STR_("tlssendreports"), 0, run_tls_send},
    {STR_("reportsuppresslist"), 1, run_suppress_list},
    {STR_("reportsuppressadd"), 4, run_suppress_add},
    {STR_("reportsuppressrm"), 2, run_suppress_remove},
    {STR_("tlsreports"), 1, run_tls_list},
};
const size_t report_command_count = COUNT(report_commands);
