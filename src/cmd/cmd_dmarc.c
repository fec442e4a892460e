/*
 * Verbs about DMARC and TLS reporting.
 */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cmd/own_dns.h"
#include "cmd/paths.h"
#include "cmd/verbs.h"
#include "os/fd.h"
#include "policy/dkim.h"
#include "policy/dmarc.h"
#include "policy/dmarc_report.h"
#include "policy/psl.h"
#include "policy/report_mail.h"
#include "policy/spf/spf.h"
#include "policy/tlsrpt.h"
#include "reports/reports.h"
#include "text/date.h"
#include "text/encode.h"
#include "text/idna.h"

enum { MAX_MESSAGE = 100 << 20, MAX_OUTPUT = 64 << 20 };

static void print(const struct buf *out)
{
    fwrite(out->p, 1, out->n, stdout);
}

// What others wrote, on one line of a terminal.
static void put_quoted(struct buf *out, const char *before, struct str text)
{
    buf_printf(out, "%s\"", before);
    own_dns_put_text(out, text);
    BUF_PUT(out, "\"");
}

static bool read_all(int fd, struct buf *out, struct err *e)
{
    enum { PIECE = 256 * 1024 };
    ssize_t got;

    do {
        char *p = buf_room(out, PIECE);

        if (!p)
            return fail(e, ERR_LIMIT, "the message is too large");
        got = read(fd, p, PIECE);
        if (got > 0)
            buf_claim(out, (size_t)got);
    } while (got > 0);
    return got == 0 || fail_errno(e, "reading the message");
}

/* --- lookups -------------------------------------------------------------------------------------- */

static bool find(struct arena *a, const char *domain, struct dns *dns, struct dmarc_found *out,
                 struct err *e)
{
    struct str name;

    if (!domain_to_ascii(a, str_of(domain), &name, e) || !own_dns_open(dns, e))
        return false;
    psl_warm();
    dmarc_find(dns, a, name, out);
    if (out->result == AUTH_PASS)
        return true;
    if (out->result == AUTH_NONE)
        return fail(e, ERR_NOT_FOUND, "%s has no DMARC record", domain);
    return fail(e, out->result == AUTH_TEMPERROR ? ERR_TEMPORARY : ERR_SYNTAX, "%s: %.*s",
                auth_result_name(out->result), STR_FMT(out->why));
}

static void put_record(struct buf *out, const struct dmarc_found *found)
{
    buf_printf(out, "dmarc record at %.*s (%s): ", STR_FMT(found->domain),
               own_dns_security(found->is_secure));
    own_dns_put_text(out, found->text);
    BUF_PUT(out, "\n");
}

int cmd_dmarc_lookup(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    AUTO_BUF out = BUF_LIMIT(MAX_OUTPUT);
    struct dmarc_found found;
    struct dns dns;
    struct err e = {0};

    if (argc != 2)
        return cmd_usage("dmarc lookup");
    if (!find(&a, argv[1], &dns, &found, &e))
        return cmd_fail(&e);
    put_record(&out, &found);
    buf_printf(&out, "policy: %s\n", dmarc_policy_name(found.policy));
    print(&out);
    return 0;
}

/* Whether reports about the record can go there; one line. */
static bool put_consent(struct buf *out, const struct dns *dns, struct arena *a, const char *tag,
                        struct str about, const struct report_uri *uri)
{
    static const char *const answers[] = {"same organisation", "accepts reports",
                                          "does not accept reports", "temporary failure"};
    struct str localpart, to, why;
    struct report_uris rua;
    enum dmarc_consent consent;

    buf_printf(out, "%s ", tag);
    own_dns_put_text(out, uri->text);
    if (!report_uri_mailto(a, uri, &localpart, &to)) {
        BUF_PUT(out, ": no mail address, and is not used\n");
        return true;
    }
    consent = dmarc_report_consent(dns, a, about, to, &rua, &why);
    buf_printf(out, ": %s", answers[consent]);
    if (why.n)
        put_quoted(out, ": ", why);
    if (rua.n)
        BUF_PUT(out, ", instead at ");
    report_uris_put(out, &rua);
    BUF_PUT(out, "\n");
    return consent == DMARC_CONSENT_SAME || consent == DMARC_CONSENT_YES;
}

int cmd_dmarc_checkreportaddrs(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF out = BUF_LIMIT(MAX_OUTPUT);
    struct dmarc_found found;
    struct dns dns;
    struct err e = {0};
    bool is_ok = true;

    if (argc != 2)
        return cmd_usage("dmarc checkreportaddrs");
    if (!find(&a, argv[1], &dns, &found, &e))
        return cmd_fail(&e);
    put_record(&out, &found);
    for (size_t i = 0; i < found.record.rua.n; i++)
        is_ok &= put_consent(&out, &dns, &a, "rua", found.domain, &found.record.rua.items[i]);
    for (size_t i = 0; i < found.record.ruf.n; i++)
        is_ok &= put_consent(&out, &dns, &a, "ruf", found.domain, &found.record.ruf.items[i]);
    print(&out);
    return is_ok ? 0 : 1;
}

int cmd_tlsrpt_lookup(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    AUTO_BUF out = BUF_LIMIT(MAX_OUTPUT);
    struct tlsrpt_record record;
    struct str domain, text;
    struct dns dns;
    struct err e = {0};
    bool is_secure;

    if (argc != 2)
        return cmd_usage("tlsrpt lookup");
    if (!domain_to_ascii(&a, str_of(argv[1]), &domain, &e) || !own_dns_open(&dns, &e) ||
        !tlsrpt_find(&dns, &a, domain, &record, &text, &is_secure, &e))
        return cmd_fail(&e);
    own_dns_put_text(&out, text);
    buf_printf(&out, "\n(%s)\n", own_dns_security(is_secure));
    print(&out);
    return 0;
}

/* --- verify --------------------------------------------------------------------------------------- */

/* An address, of which SPF wants the parts; empty for the null reverse path. */
static bool set_mail_from(struct arena *a, const char *text, struct spf_query *q, struct err *e)
{
    struct address address;

    if (!*text)
        return true;
    if (!address_parse_spec(a, str_of(text), &address) || !address.domain.n)
        return fail(e, ERR_SYNTAX, "\"%s\" is no address", text);
    q->local_part = address.localpart;
    q->domain = address.domain;
    return true;
}

static void verify_spf(struct buf *out, const struct dns *dns, struct arena *a,
                       const struct spf_query *q, struct dmarc_input *in)
{
    struct spf_result r;

    if (!q->domain.n && !q->helo.n)
        return;
    spf_check(dns, a, q, SPF_MAILFROM, &r);
    in->spf = r.status;
    in->spf_domain = r.domain;
    in->is_spf_helo = r.identity == SPF_HELO;
    buf_printf(out, "spf: %s, %s %.*s (%s)", auth_result_name(r.status),
               in->is_spf_helo ? "helo" : "mailfrom", STR_FMT(r.domain),
               own_dns_security(r.is_secure));
    if (r.why.n)
        put_quoted(out, ", ", r.why);
    BUF_PUT(out, "\n");
}

static void verify_dkim(struct buf *out, const struct dns *dns, struct arena *a, struct str message,
                        uint64_t body_start, struct dmarc_input *in)
{
    struct dkim_policy policy = {.now_unix = time(NULL), .is_public_suffix = psl_is_suffix};
    struct err e = {0};
    struct dkim_header *header =
        dkim_header_parse(a, str_sub(message, 0, (size_t)body_start), &e);
    struct dkim_bodies *bodies;
    struct dkim_verification v;
    struct dmarc_dkim *dkim;

    if (!header) {
        buf_printf(out, "dkim: %s\n", e.text);
        return;
    }
    bodies = dkim_bodies_new();
    dkim_verify_begin(a, header, &policy, dns, bodies, &v);
    dkim_bodies_feed(bodies, str_from(message, (size_t)body_start));
    dkim_bodies_end(bodies);
    dkim_verify_end(&v);
    dkim_bodies_free(bodies);
    dkim = ARENA_ARRAY(a, v.n + 1, struct dmarc_dkim);
    in->dkim = dkim;
    if (!v.n)
        BUF_PUT(out, "dkim: none\n");
    for (size_t i = 0; i < v.n; i++) {
        const struct dkim_result *r = &v.results[i];

        buf_printf(out, "dkim: %s", auth_result_name(r->status));
        if (r->has_signature) {
            buf_printf(out, ", %.*s._domainkey.%.*s (%s)", STR_FMT(r->signature.selector),
                       STR_FMT(r->signature.domain), own_dns_security(r->is_secure));
            dkim[in->n_dkim++] = (struct dmarc_dkim){r->signature.domain, r->signature.selector,
                                                     r->status};
        }
        if (r->why.n)
            put_quoted(out, ", ", r->why);
        BUF_PUT(out, "\n");
    }
}

static bool verify(char **argv, struct buf *out, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(256 << 20);
    AUTO_BUF file = BUF_LIMIT(MAX_MESSAGE), message = BUF_LIMIT(2 * MAX_MESSAGE);
    struct spf_query q = {.helo = str_of(argv[3]), .receiver = STR("localhost"),
                          .now_unix = (uint64_t)time(NULL)};
    struct dmarc_input in = {0};
    struct dmarc_result result;
    struct part *root;
    struct dns dns;
    char last = 0;
    bool is_broken;

    if (!ip_parse(str_of(argv[1]), &q.ip))
        return fail(e, ERR_SYNTAX, "\"%s\" is no IP address", argv[1]);
    if (!set_mail_from(&a, argv[2], &q, e) || !read_all(STDIN_FILENO, &file, e))
        return false;
    crlf_put(&message, buf_str(&file), &last); // files have line ends of their own
    root = mime_parse(&a, buf_str(&message), &is_broken);
    if (!dmarc_from(&a, str_sub(buf_str(&message), 0, (size_t)root->body_start), &in.from, e) ||
        !own_dns_open(&dns, e))
        return false;
    psl_warm();
    verify_spf(out, &dns, &a, &q, &in);
    verify_dkim(out, &dns, &a, buf_str(&message), root->body_start, &in);
    dmarc_evaluate(&dns, &a, &in, &result);
    buf_printf(out, "dmarc from: %.*s\ndmarc status: %s\ndmarc reject: %s\n", STR_FMT(in.from),
               auth_result_name(result.status), result.is_reject ? "yes" : "no");
    if (result.found.why.n) {
        put_quoted(out, "dmarc error: ", result.found.why);
        BUF_PUT(out, "\n");
    }
    if (result.found.result == AUTH_PASS)
        put_record(out, &result.found);
    return true;
}

int cmd_dmarc_verify(int argc, char **argv)
{
    AUTO_BUF out = BUF_LIMIT(MAX_OUTPUT);
    struct err e = {0};

    if (argc != 4)
        return cmd_usage("dmarc verify");
    if (!verify(argv, &out, &e))
        return cmd_fail(&e);
    print(&out);
    return 0;
}

/* --- reports -------------------------------------------------------------------------------------- */

static void put_dmarc_record(struct buf *out, const struct dmarc_report_record *r)
{
    put_quoted(out, "\tfrom ", r->header_from);
    put_quoted(out, ", envelope from ", r->envelope_from);
    put_quoted(out, ", to ", r->envelope_to);
    put_quoted(out, "\n\t\tip ", r->source_ip);
    buf_printf(out, ", count %llu", (unsigned long long)r->count);
    put_quoted(out, ", disposition ", r->disposition);
    put_quoted(out, ", aligned dkim ", r->dkim);
    put_quoted(out, ", spf ", r->spf);
    BUF_PUT(out, "\n");
    for (size_t i = 0; i < r->n_reasons; i++) {
        put_quoted(out, "\t\treason ", r->reasons[i].type);
        put_quoted(out, ", ", r->reasons[i].comment);
        BUF_PUT(out, "\n");
    }
    for (size_t i = 0; i < r->n_dkim; i++) {
        put_quoted(out, "\t\tdkim ", r->dkim_results[i].result);
        put_quoted(out, ", domain ", r->dkim_results[i].domain);
        put_quoted(out, ", selector ", r->dkim_results[i].selector);
        put_quoted(out, ", ", r->dkim_results[i].human_result);
        BUF_PUT(out, "\n");
    }
    for (size_t i = 0; i < r->n_spf; i++) {
        put_quoted(out, "\t\tspf ", r->spf_results[i].result);
        put_quoted(out, ", domain ", r->spf_results[i].domain);
        put_quoted(out, ", scope ", r->spf_results[i].scope);
        put_quoted(out, ", ", r->spf_results[i].human_result);
        BUF_PUT(out, "\n");
    }
}

static void put_dmarc_report(struct buf *out, const struct dmarc_report *r)
{
    BUF_PUT(out, "Report: period ");
    date_put_rfc3339(out, r->begin);
    BUF_PUT(out, " to ");
    date_put_rfc3339(out, r->end);
    put_quoted(out, ", organisation ", r->org_name);
    put_quoted(out, ", email ", r->email);
    put_quoted(out, ", id ", r->report_id);
    BUF_PUT(out, "\n");
    for (size_t i = 0; i < r->n_errors; i++) {
        put_quoted(out, "Error: ", r->errors[i]);
        BUF_PUT(out, "\n");
    }
    put_quoted(out, "Policy: domain ", r->domain);
    put_quoted(out, ", p ", r->p);
    put_quoted(out, ", sp ", r->sp);
    put_quoted(out, ", np ", r->np);
    put_quoted(out, ", adkim ", r->adkim);
    put_quoted(out, ", aspf ", r->aspf);
    put_quoted(out, ", pct ", r->pct);
    put_quoted(out, ", testing ", r->testing);
    put_quoted(out, ", fo ", r->fo);
    BUF_PUT(out, "\n");
    for (size_t i = 0; i < r->n; i++)
        put_dmarc_record(out, &r->records[i]);
}

static bool show_report(const char *path, enum report_kind kind, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(MIME_MEMORY + DMARC_REPORT_MEMORY + TLSRPT_REPORT_MEMORY);
    AUTO_BUF message = BUF_LIMIT(MAX_MESSAGE), out = BUF_LIMIT(MAX_OUTPUT);
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    struct dmarc_report *dmarc;
    struct tlsrpt_report *tls;
    struct part *root;
    bool is_broken;

    if (fd < 0)
        return fail_errno(e, "opening %s", path);
    if (!read_all(fd, &message, e))
        return false;
    root = mime_parse(&a, buf_str(&message), &is_broken);
    if (kind == REPORT_DMARC) {
        if (!dmarc_report_of_message(&a, buf_str(&message), root, &dmarc, e))
            return fail_in(e, "%s", path);
        put_dmarc_report(&out, dmarc);
    } else {
        if (!tlsrpt_report_of_message(&a, buf_str(&message), root, &tls, e))
            return fail_in(e, "%s", path);
        tlsrpt_report_put(&out, tls);
    }
    print(&out);
    return true;
}

/* --- adding to the database ----------------------------------------------------------------------- */

// Beside a running server: SQLite has one of both wait.
static struct reports *open_reports(struct arena *a, struct err *e)
{
    struct str data;
    const char *dir;

    if (!paths_data_dir(a, &data, e))
        return NULL;
    dir = arena_cstring(a, arena_printf(a, "%.*s/admin", STR_FMT(data)));
    if (chdir(dir))
        return fail_errno(e, "entering %s", dir), NULL;
    return reports_open(e);
}

// Each domain of the report once: here nobody knows which are ours.
static bool add_tls(struct reports *r, const struct report_origin *from,
                    const struct tlsrpt_report *report, struct err *e)
{
    for (size_t i = 0; i < report->n; i++) {
        struct str domain = report->policies[i].policy_domain;
        bool is_seen = false;

        for (size_t j = 0; j < i && !is_seen; j++)
            is_seen = str_eq(report->policies[j].policy_domain, domain);
        if (!is_seen && !reports_add_tls(r, from, domain, false, report, e))
            return false;
    }
    return true;
}

static bool add_report(struct arena *a, struct str from_domain, enum report_kind kind, struct err *e)
{
    AUTO_BUF message = BUF_LIMIT(MAX_MESSAGE);
    struct report_origin from = {.received_unix = time(NULL)};
    struct dmarc_report *dmarc = NULL;
    struct tlsrpt_report *tls = NULL;
    struct reports *r;
    struct part *root;
    bool is_broken, is_ok;

    if (!domain_to_ascii(a, from_domain, &from.from_domain, e) || !read_all(STDIN_FILENO, &message, e))
        return false;
    root = mime_parse(a, buf_str(&message), &is_broken);
    if (kind == REPORT_DMARC ? !dmarc_report_of_message(a, buf_str(&message), root, &dmarc, e)
                             : !tlsrpt_report_of_message(a, buf_str(&message), root, &tls, e))
        return false;
    r = open_reports(a, e);
    if (!r)
        return false;
    is_ok = (dmarc ? reports_add_dmarc(r, &from, dmarc, e) : add_tls(r, &from, tls, e)) &&
            reports_commit(r, e);
    reports_close(r);
    return is_ok;
}

static int cmd_addreport(int argc, char **argv, const char *words, enum report_kind kind)
{
    struct arena a = ARENA_LIMIT(MIME_MEMORY + DMARC_REPORT_MEMORY + TLSRPT_REPORT_MEMORY);
    struct err e = {0};
    bool is_ok;

    if (argc != 2)
        return cmd_usage(words);
    is_ok = add_report(&a, str_of(argv[1]), kind, &e);
    arena_fini(&a);
    return is_ok ? 0 : cmd_fail(&e);
}

int cmd_dmarcdb_addreport(int argc, char **argv)
{
    return cmd_addreport(argc, argv, "dmarcdb addreport", REPORT_DMARC);
}

int cmd_tlsrptdb_addreport(int argc, char **argv)
{
    return cmd_addreport(argc, argv, "tlsrptdb addreport", REPORT_TLS);
}

/* --- showing -------------------------------------------------------------------------------------- */

static int show_reports(int argc, char **argv, const char *words, enum report_kind kind)
{
    struct err e = {0};

    if (argc < 2)
        return cmd_usage(words);
    for (int i = 1; i < argc; i++)
        if (!show_report(argv[i], kind, &e))
            return cmd_fail(&e);
    return 0;
}

int cmd_dmarc_parsereportmsg(int argc, char **argv)
{
    return show_reports(argc, argv, "dmarc parsereportmsg", REPORT_DMARC);
}

int cmd_tlsrpt_parsereportmsg(int argc, char **argv)
{
    return show_reports(argc, argv, "tlsrpt parsereportmsg", REPORT_TLS);
}
