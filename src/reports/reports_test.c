#include "reports/reports.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/map.h"
#include "base/test.h"
#include "db/sql.h"
#include "ipc/report.h"

static struct reports *open_new(void)
{
    char dir[] = "/tmp/mox-reports-XXXXXX";
    struct err e = {0};
    struct reports *r;

    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    r = reports_open(&e);
    CHECK(r != NULL);
    return r;
}

static void close_old(struct reports *r)
{
    reports_close(r);
    CHECK(chdir("/") == 0);
}

static uint64_t rows_of(const char *sql)
{
    struct err e = {0};
    struct db *d = db_open_reader("admin.db", &e);
    uint64_t n;

    CHECK(d != NULL);
    {
        AUTO_STMT s = db_prepare(d, sql, &e);

        CHECK(s && stmt_step(s, &e));
        n = stmt_u64(s, 0);
    }
    db_close(d);
    return n;
}

static struct dmarc_report_record rows[] = {
    {.source_ip = STR_("192.0.2.1"), .disposition = STR_("none"), .dkim = STR_("pass"),
     .spf = STR_("fail"), .count = 3, .header_from = STR_("ours.example")},
    {.source_ip = STR_("192.0.2.2"), .disposition = STR_("reject"), .dkim = STR_("fail"),
     .spf = STR_("fail"), .count = 4, .header_from = STR_("ours.example")},
};
static const struct dmarc_report example = {
    .org_name = STR_("theirs \"x\""), .report_id = STR_("id 1"), .begin = 86400, .end = 172799,
    .domain = STR_("ours.example"), .p = STR_("none"), .records = rows, .n = 2,
};

TEST(received_reports_are_kept_once)
{
    struct reports *r = open_new();
    const struct report_origin from = {STR_("theirs.example"), STR_("x@theirs.example"), 1000000};
    struct dmarc_report second = example;
    AUTO_BUF out = BUF_LIMIT(1 << 16);
    struct err e = {0};
    uint64_t last;

    CHECK(reports_add_dmarc(r, &from, &example, &e));
    CHECK(reports_add_dmarc(r, &from, &example, &e));
    second.report_id = STR("id 2");
    CHECK(reports_add_dmarc(r, &from, &second, &e));
    CHECK(reports_commit(r, &e));
    CHECK(reports_list(r, false, STR("ours.example"), 0, &out, &last, &e) && !last);
    CHECK_STR(buf_str(&out),
              STR("    1 1970-01-12T13:46:40Z domain \"ours.example\" period 1970-01-02T00:00:00Z to "
                  "1970-01-02T23:59:59Z by \"theirs ?x?\" from \"theirs.example\" id \"id 1\" pass 3 "
                  "fail 4\n"
                  "    3 1970-01-12T13:46:40Z domain \"ours.example\" period 1970-01-02T00:00:00Z to "
                  "1970-01-02T23:59:59Z by \"theirs ?x?\" from \"theirs.example\" id \"id 2\" pass 3 "
                  "fail 4\n"));
    buf_reset(&out);
    CHECK(reports_list(r, false, STR("others.example"), 0, &out, &last, &e) && !out.n);
    CHECK(reports_list(r, true, STR(""), 0, &out, &last, &e) && !out.n);
    CHECK(rows_of("SELECT count(*) FROM dmarc_row") == 4);
    CHECK(rows_of("SELECT n_rows FROM received_total") == 4);
    // Old ones go.
    CHECK(reports_expire(r, from.received_unix + REPORTS_KEPT_S, &e) && reports_commit(r, &e));
    CHECK(rows_of("SELECT count(*) FROM dmarc_row") == 4);
    CHECK(reports_expire(r, from.received_unix + REPORTS_KEPT_S + 1, &e) && reports_commit(r, &e));
    CHECK(rows_of("SELECT count(*) FROM dmarc_row") == 0);
    CHECK(rows_of("SELECT n_reports + n_rows FROM received_total") == 0);
    close_old(r);
}

TEST(a_flood_of_reports_is_refused)
{
    struct reports *r = open_new();
    struct report_origin from = {STR_("theirs.example"), STR_(""), 1000000};
    struct dmarc_report m = example;
    AUTO_ARENA a = ARENA_LIMIT(32 << 20);
    struct err e = {0};

    for (size_t i = 0; i < REPORTS_MAX_DAY; i++) {
        m.report_id = arena_printf(&a, "%zu", i);
        CHECK(reports_add_dmarc(r, &from, &m, &e));
    }
    m.report_id = STR("one more");
    CHECK(!reports_add_dmarc(r, &from, &m, &e) && e.kind == ERR_LIMIT);
    e = (struct err){0};
    from.received_unix += 24 * 3600;
    CHECK(reports_add_dmarc(r, &from, &m, &e));
    // Of many senders: the oldest go. Their rows count too.
    m.n = 0;
    for (size_t i = 0; i < REPORTS_MAX_RECEIVED; i++) {
        from.from_domain = arena_printf(&a, "%zu.example", i / 100);
        m.report_id = arena_printf(&a, "%zu", i);
        CHECK(reports_add_dmarc(r, &from, &m, &e));
    }
    CHECK(reports_commit(r, &e));
    CHECK(rows_of("SELECT count(*) FROM dmarc_report") == REPORTS_MAX_RECEIVED);
    CHECK(rows_of("SELECT count(*) FROM dmarc_row") == 0);
    CHECK(rows_of("SELECT n_reports FROM received_total") == REPORTS_MAX_RECEIVED);
    close_old(r);
}

TEST(tls_reports_by_domain)
{
    struct reports *r = open_new();
    const struct report_origin from = {STR_("theirs.example"), STR_("x@theirs.example"), 1000000};
    struct tlsrpt_failure failure = {.result_type = STR_("certificate-expired"),
                                     .failed_session_count = 2};
    struct str line = STR_("version: STSv1");
    struct tlsrpt_policy policies[] = {
        {.policy_type = STR_("sts"), .policy_domain = STR_("ours.example"), .policy_string = &line,
         .n_policy_string = 1, .total_successful_session_count = 7, .total_failure_session_count = 2,
         .failures = &failure, .n_failures = 1},
        {.policy_type = STR_("tlsa"), .policy_domain = STR_("mail.ours.example")},
    };
    const struct tlsrpt_report m = {.organization_name = STR_("o"), .report_id = STR_("i"),
                                    .start = 86400, .end = 172799, .policies = policies, .n = 2};
    AUTO_BUF out = BUF_LIMIT(1 << 16), bytes = BUF_LIMIT(1 << 16);
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct tlsrpt_report *again;
    struct err e = {0};
    uint64_t last;

    ipc_put_tls_report(&bytes, &m);
    CHECK(ipc_get_tls_report(&a, buf_str(&bytes), &again, &e));
    CHECK(reports_add_tls(r, &from, STR("ours.example"), false, again, &e));
    CHECK(reports_add_tls(r, &from, STR("mail.ours.example"), true, again, &e));
    CHECK(reports_commit(r, &e));
    CHECK(rows_of("SELECT count(*) FROM tls_report") == 2);
    CHECK(rows_of("SELECT n_rows FROM received_total WHERE domain = 'ours.example'") == 2);
    CHECK(rows_of("SELECT count(*) FROM tls_row_failure WHERE sessions = 2") == 1);
    CHECK(reports_list(r, true, STR("ours.example"), 0, &out, &last, &e));
    CHECK(str_ends(buf_str(&out), STR("id \"i\" pass 7 fail 2\n")));
    close_old(r);
}

TEST(evaluations_that_are_the_same_are_counted)
{
    struct reports *r = open_new();
    struct report_evaluation m = {.policy_domain = STR_("theirs.example"), .interval_hours = 24,
                                  .record = STR_("v=DMARC1;p=none;rua=mailto:a@theirs.example"),
                                  .source_ip = STR_("192.0.2.1"), .header_from = STR_("theirs.example"),
                                  .envelope_to = STR_("ours.example")};
    AUTO_ARENA a = ARENA_LIMIT(32 << 20);
    struct err e = {0};

    CHECK(reports_add_evaluation(r, 7200, &m, &e) && reports_add_evaluation(r, 10799, &m, &e));
    CHECK(reports_add_evaluation(r, 10800, &m, &e));
    m.is_rejected = true;
    CHECK(reports_add_evaluation(r, 10800, &m, &e) && reports_commit(r, &e));
    CHECK(rows_of("SELECT count(*) FROM evaluation") == 3);
    CHECK(rows_of("SELECT messages FROM evaluation WHERE hour = 2") == 2);
    CHECK(rows_of("SELECT n_rows FROM evaluation_total") == 3);
    CHECK(reports_expire(r, 10800 + REPORTS_GATHERED_S, &e) && reports_commit(r, &e));
    CHECK(rows_of("SELECT count(*) FROM evaluation") == 2);
    CHECK(rows_of("SELECT n_rows FROM evaluation_total") == 2);
    // More is not kept, so that nobody fills the disk with names.
    for (size_t i = 2; i < REPORTS_MAX_EVALUATIONS; i++) {
        m.source_ip = arena_printf(&a, "10.0.%zu.%zu", i / 256, i % 256);
        CHECK(reports_add_evaluation(r, 10800, &m, &e));
    }
    m.source_ip = STR("192.0.2.9");
    CHECK(!reports_add_evaluation(r, 10800, &m, &e) && e.kind == ERR_LIMIT);
    e = (struct err){0};
    m.policy_domain = STR("others.example");
    CHECK(reports_add_evaluation(r, 10800, &m, &e));
    CHECK(reports_expire(r, INT64_C(1) << 33, &e) && reports_commit(r, &e));
    CHECK(rows_of("SELECT (SELECT count(*) FROM evaluation) + "
                  "(SELECT count(*) FROM evaluation_total)") == 0);
    close_old(r);
}

TEST(tls_results_of_a_day_are_one)
{
    enum { DAY = 24 * 3600 };
    struct reports *r = open_new();
    struct report_tls_result m = {.policy_domain = STR_("theirs.example"),
                                  .recipient_domain = STR_("theirs.example"), .successes = 3};
    struct err e = {0};

    CHECK(reports_add_tls_result(r, 5 * DAY, &m, &e));
    m.successes = 0;
    m.failures = 2;
    m.result_type = STR("starttls-not-supported");
    CHECK(reports_add_tls_result(r, 5 * DAY + 1, &m, &e));
    CHECK(reports_add_tls_result(r, 5 * DAY + 2, &m, &e));
    m.result_type = STR("certificate-expired");
    CHECK(reports_add_tls_result(r, 5 * DAY + 3, &m, &e));
    CHECK(reports_add_tls_result(r, 6 * DAY, &m, &e) && reports_commit(r, &e));
    CHECK(rows_of("SELECT count(*) FROM tls_result") == 2);
    CHECK(rows_of("SELECT successes * 100 + failures FROM tls_result WHERE day = 5") == 306);
    CHECK(rows_of("SELECT count(*) FROM tls_failure") == 3);
    CHECK(rows_of("SELECT sessions FROM tls_failure WHERE result_type LIKE 'starttls%'") == 4);
    CHECK(reports_expire(r, 8 * DAY + DAY / 2 + DAY - 1, &e) && reports_commit(r, &e));
    CHECK(rows_of("SELECT count(*) FROM tls_result") == 1);
    CHECK(rows_of("SELECT count(*) FROM tls_failure") == 1);
    close_old(r);
}

TEST(what_an_account_sends_as_a_report)
{
    AUTO_BUF bytes = BUF_LIMIT(1 << 16), again = BUF_LIMIT(1 << 16);
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct dmarc_report *report;
    struct dmarc_report bad = example;
    struct err e = {0};

    ipc_put_dmarc_report(&bytes, &example);
    CHECK(ipc_get_dmarc_report(&a, buf_str(&bytes), &report, &e));
    ipc_put_dmarc_report(&again, report);
    CHECK(str_eq(buf_str(&bytes), buf_str(&again)));
    for (size_t n = 0; n < bytes.n; n++) {
        AUTO_EXACT part = exact_copy(str_sub(buf_str(&bytes), 0, n));

        CHECK_CASE(!ipc_get_dmarc_report(&a, part.str, &report, &e), n);
    }
    bad.p = STR("\xff");
    buf_reset(&bytes);
    ipc_put_dmarc_report(&bytes, &bad);
    CHECK(!ipc_get_dmarc_report(&a, buf_str(&bytes), &report, &e));
    bad = example;
    bad.end = 1;
    buf_reset(&bytes);
    ipc_put_dmarc_report(&bytes, &bad);
    CHECK(!ipc_get_dmarc_report(&a, buf_str(&bytes), &report, &e));
}

TEST(reports_of_the_first_version)
{
    char dir[] = "/tmp/mox-reports-XXXXXX";
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct report_days due;
    struct err e = {0};
    struct reports *r;
    struct db *d;

    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    d = db_open("admin.db", sql_admin, 1, &e);
    CHECK(d && db_exec(d, "INSERT INTO tls_result (policy_domain, day, recipient_domain, is_host, "
                          "policy_type, policy_strings, mx_hosts, successes, failures) "
                          "VALUES ('x.example', 5, 'x.example', 0, 0, '', '', 1, 2)", &e));
    db_close(d);
    r = reports_open(&e);
    CHECK(r && reports_due_tls(r, &a, 6, &due, &e) && due.n == 1);
    CHECK_STR(due.items[0].domain, STR("x.example"));
    CHECK(reports_due_tls(r, &a, 5, &due, &e) && due.n == 0);
    close_old(r);
}

TEST(evaluations_are_due_when_their_interval_ends)
{
    struct reports *r = open_new();
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct report_evaluation m = {.policy_domain = STR_("day.example"), .interval_hours = 24,
                                  .record = STR_("v=DMARC1;p=none;rua=mailto:a@day.example"),
                                  .source_ip = STR_("192.0.2.1"), .header_from = STR_("day.example"),
                                  .envelope_to = STR_("ours.example"), .is_optional = true};
    static const struct {
        int64_t hour;
        size_t n;
    } cases[] = {{240, 3}, {241, 1}, {242, 1}, {246, 2}, {252, 2}, {264, 3}};
    struct report_evaluations ev;
    struct report_names due;
    struct err e = {0};

    CHECK(reports_add_evaluation(r, 230 * 3600, &m, &e));
    m.is_optional = false;
    m.record = STR("v=DMARC1;p=reject;rua=mailto:a@day.example");
    CHECK(reports_add_evaluation(r, 231 * 3600, &m, &e));
    m.policy_domain = STR("six.example");
    m.interval_hours = 6;
    m.is_optional = true;
    CHECK(reports_add_evaluation(r, 230 * 3600, &m, &e));
    m.policy_domain = STR("hour.example");
    m.interval_hours = 1;
    CHECK(reports_add_evaluation(r, 230 * 3600, &m, &e));
    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK(reports_due_dmarc(r, &a, cases[i].hour, false, &due, &e));
        CHECK_CASE(due.n == cases[i].n, i);
    }
    CHECK(reports_due_dmarc(r, &a, 230, true, &due, &e) && due.n == 0);
    CHECK(reports_due_dmarc(r, &a, 231, true, &due, &e) && due.n == 3);
    // Of several hours together; the policy is the one of the last message.
    CHECK(reports_evaluations(r, &a, STR("day.example"), 232, &ev, &e));
    CHECK(ev.n == 1 && ev.rows[0].messages == 2 && ev.has_reason && ev.first_hour == 230 &&
          ev.interval_hours == 24);
    CHECK_STR(ev.record, m.record);
    CHECK(reports_evaluations(r, &a, STR("six.example"), 232, &ev, &e) && !ev.has_reason);
    CHECK(reports_drop_evaluations(r, STR("day.example"), 231, &e));
    CHECK(reports_evaluations(r, &a, STR("day.example"), 232, &ev, &e) && ev.rows[0].messages == 1);
    CHECK(reports_commit(r, &e) && rows_of("SELECT sum(n_rows) FROM evaluation_total") == 3);
    close_old(r);
}

TEST(tls_results_are_told_to_domains_and_then_to_hosts)
{
    enum { DAY = 24 * 3600 };
    struct reports *r = open_new();
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct report_tls_result m = {.policy_domain = STR_("one.example"),
                                  .recipient_domain = STR_("one.example"), .successes = 3};
    struct report_tls_result host = {.policy_domain = STR_("mx.example"), .is_host = true,
                                     .policy_type = REPORT_POLICY_TLSA, .failures = 2,
                                     .policy_strings = STR_("3 1 1 AA\n3 1 1 BB"),
                                     .result_type = STR_("dane-required")};
    struct tlsrpt_policy *p;
    struct report_days due;
    struct err e = {0};
    size_t n;

    CHECK(reports_add_tls_result(r, 5 * DAY, &m, &e));
    host.recipient_domain = STR("one.example");
    CHECK(reports_add_tls_result(r, 5 * DAY, &host, &e));
    host.recipient_domain = STR("two.example");
    CHECK(reports_add_tls_result(r, 5 * DAY, &host, &e));
    CHECK(reports_due_tls(r, &a, 6, &due, &e) && due.n == 3);
    CHECK_STR(due.items[0].domain, STR("one.example"));
    CHECK_STR(due.items[1].domain, STR("two.example"));
    CHECK_STR(due.items[2].domain, STR("mx.example"));
    CHECK(reports_tls_policies(r, &a, &due.items[0], STR("x@y"), &p, &n, &e) && n == 2);
    CHECK_STR(p[0].policy_type, STR("no-policy-found"));
    CHECK(p[0].total_successful_session_count == 3 && !p[0].n_failures);
    CHECK(p[1].n_policy_string == 2 && p[1].n_failures == 1 &&
          p[1].failures[0].failed_session_count == 2);
    CHECK(reports_tls_told(r, &due.items[0], STR("x@y"), &e));
    CHECK(reports_tls_told(r, &due.items[1], STR(""), &e));
    CHECK(reports_due_tls(r, &a, 6, &due, &e) && due.n == 1 && due.items[0].is_host);
    // A host whose address heard of one domain already hears of the other.
    CHECK(reports_tls_policies(r, &a, &due.items[0], STR("x@y"), &p, &n, &e) && n == 1);
    CHECK(p[0].total_failure_session_count == 2 && p[0].failures[0].failed_session_count == 2);
    CHECK(reports_tls_policies(r, &a, &due.items[0], STR("z@y"), &p, &n, &e) && n == 1);
    CHECK(p[0].total_failure_session_count == 4 && p[0].failures[0].failed_session_count == 4);
    CHECK(reports_tls_told(r, &due.items[0], STR("z@y"), &e) && reports_commit(r, &e));
    CHECK(rows_of("SELECT (SELECT count(*) FROM tls_result) + (SELECT count(*) FROM tls_failure)") == 0);
    close_old(r);
}

TEST(a_host_of_the_domains_own_name)
{
    struct reports *r = open_new();
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct report_tls_result m = {.policy_domain = STR_("one.example"),
                                  .recipient_domain = STR_("one.example"), .successes = 1};
    const struct report_day day = {STR_("one.example"), 5, false};
    struct tlsrpt_policy *p;
    struct err e = {0};
    size_t n;

    CHECK(reports_add_tls_result(r, 5 * 86400, &m, &e));
    m.is_host = true;
    CHECK(reports_add_tls_result(r, 5 * 86400, &m, &e));
    CHECK(reports_tls_policies(r, &a, &day, STR(""), &p, &n, &e) && n == 2);
    m.policy_type = REPORT_POLICY_TLSA;
    CHECK(reports_add_tls_result(r, 5 * 86400, &m, &e));
    CHECK(reports_tls_policies(r, &a, &day, STR(""), &p, &n, &e) && n == 2);
    CHECK(reports_commit(r, &e));
    close_old(r);
}

TEST(suppressed_addresses)
{
    struct reports *r = open_new();
    AUTO_BUF out = BUF_LIMIT(1000);
    struct err e = {0};
    bool is;

    CHECK(reports_suppress(r, false, STR("A@x.example"), 1000, STR("why"), &e));
    CHECK(reports_is_suppressed(r, false, STR("a@X.example"), 999, &is, &e) && is);
    CHECK(reports_is_suppressed(r, false, STR("a@x.example"), 1000, &is, &e) && !is);
    CHECK(reports_is_suppressed(r, true, STR("a@x.example"), 0, &is, &e) && !is);
    CHECK(reports_list_suppressed(r, false, &out, &e));
    CHECK_STR(buf_str(&out), STR("a@x.example until 1970-01-01T00:16:40Z why\n"));
    CHECK(reports_unsuppress(r, false, STR("a@x.example"), &e));
    CHECK(!reports_unsuppress(r, false, STR("a@x.example"), &e) && e.kind == ERR_NOT_FOUND);
    close_old(r);
}

TEST(update_state_is_kept)
{
    char dir[] = "/tmp/mox-reports-XXXXXX";
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    int64_t checked_unix;
    struct str known;
    struct err e = {0};
    struct reports *r;
    struct db *d;

    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    d = db_open("admin.db", sql_admin, 3, &e);
    CHECK(d != NULL);
    db_close(d);
    r = reports_open(&e);
    CHECK(r && reports_update_state(r, &a, &known, &checked_unix, &e) && !known.n && !checked_unix);
    CHECK(reports_set_update_state(r, STR("v1.2.3"), 1000000, &e));
    reports_close(r);
    r = reports_open(&e);
    CHECK(r && reports_update_state(r, &a, &known, &checked_unix, &e) && checked_unix == 1000000);
    CHECK_STR(known, STR("v1.2.3"));
    close_old(r);
}

TEST(removals_are_noted_until_they_end)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct reports *r = open_new();
    enum removal_step step;
    struct str account;
    struct err e = {0};

    CHECK(reports_next_removal(r, &a, STR(""), &account, &step, &e) && !account.n);
    CHECK(reports_note_removal(r, STR("bob"), REMOVAL_ASKED, &e) && reports_note_removal(r, STR("ann"), REMOVAL_ASKED, &e) &&
          reports_note_removal(r, STR("ann"), REMOVAL_WRITTEN, &e));
    CHECK(reports_next_removal(r, &a, STR(""), &account, &step, &e) && step == REMOVAL_WRITTEN);
    CHECK_STR(account, STR("ann"));
    CHECK(reports_next_removal(r, &a, account, &account, &step, &e) && step == REMOVAL_ASKED);
    CHECK_STR(account, STR("bob"));
    CHECK(reports_next_removal(r, &a, account, &account, &step, &e) && !account.n);
    CHECK(reports_end_removal(r, STR("ann"), &e) && reports_next_removal(r, &a, STR(""), &account, &step, &e));
    CHECK_STR(account, STR("bob"));
    CHECK(reports_end_removal(r, STR("bob"), &e) && reports_next_removal(r, &a, STR(""), &account, &step, &e) && !account.n);
    close_old(r);
}

TEST(reports_wait_for_web_servers)
{
    char dir[] = "/tmp/mox-reports-XXXXXX";
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct web_report w = {.url = STR_("https://a.example/x"), .domain = STR_("a.example"),
                           .body = STR_("\x1f\x8b\0\n"), .created_unix = 1000};
    struct err e = {0};
    struct reports *r;
    struct db *d;
    bool found;

    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    d = db_open("admin.db", sql_admin, 4, &e); // one of before they did
    CHECK(d != NULL);
    db_close(d);
    r = reports_open(&e);
    CHECK(r && reports_web_next(r, &a, 2000, &w, &found, &e) && !found);
    CHECK(reports_web_add(r, &w, &e));
    w.url = STR("https://b.example/x");
    w.created_unix = 1001;
    CHECK(reports_web_add(r, &w, &e));
    CHECK(reports_web_next(r, &a, 999, &w, &found, &e) && !found);
    CHECK(reports_web_next(r, &a, 2000, &w, &found, &e) && found && w.created_unix == 1000 && !w.attempts);
    CHECK_STR(w.url, STR("https://a.example/x"));
    CHECK_STR(w.body, STR("\x1f\x8b\0\n"));
    CHECK(reports_web_again(r, w.id, 3000, &e));
    CHECK(reports_web_next(r, &a, 2000, &w, &found, &e) && found);
    CHECK_STR(w.url, STR("https://b.example/x"));
    CHECK(reports_web_done(r, w.id, &e));
    CHECK(reports_web_next(r, &a, 2000, &w, &found, &e) && !found);
    reports_close(r);
    r = reports_open(&e);
    CHECK(r && reports_web_next(r, &a, 3000, &w, &found, &e) && found && w.attempts == 1);
    CHECK_STR(w.domain, STR("a.example"));
    w.body.n = REPORTS_MAX_WEB_BODY + 1; // not looked at
    CHECK(!reports_web_add(r, &w, &e) && e.kind == ERR_LIMIT);
    close_old(r);
}

TEST(a_report_that_is_being_sent_is_not_due)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct web_report w = {.url = STR_("https://a.example/x"), .domain = STR_("a.example"), .body = STR_("x"),
                           .created_unix = 1000};
    struct reports *r = open_new();
    struct err e = {0};
    bool found;

    CHECK(reports_web_add(r, &w, &e) && reports_web_unknown(r, &a, &w, &found, &e) && !found);
    CHECK(reports_web_next(r, &a, 2000, &w, &found, &e) && found);
    CHECK(reports_web_begun(r, w.id, &e) && reports_commit(r, &e));
    CHECK(reports_web_next(r, &a, 2000, &w, &found, &e) && !found);
    CHECK(reports_web_again(r, w.id, 3000, &e)); // it was not taken
    CHECK(reports_web_next(r, &a, 3000, &w, &found, &e) && found);
    CHECK(reports_web_begun(r, w.id, &e));
    reports_close(r); // and nothing was heard
    r = reports_open(&e);
    CHECK(r && reports_web_next(r, &a, 9000, &w, &found, &e) && !found);
    CHECK(reports_web_unknown(r, &a, &w, &found, &e) && found);
    CHECK_STR(w.url, STR("https://a.example/x"));
    CHECK(reports_web_done(r, w.id, &e) && reports_web_unknown(r, &a, &w, &found, &e) && !found);
    close_old(r);
}

TEST(letters_wait_for_the_queue)
{
    char dir[] = "/tmp/mox-reports-XXXXXX";
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct report_letter l = {.name = STR_("n1"), .is_tls = true, .domain = STR_("a.example"),
                              .sender = STR_("postmaster@x"), .recipients = STR_("r@a.example\ns@a.example\n"),
                              .message = STR_("m\0\r\n"), .created_unix = 1000};
    struct err e = {0};
    struct reports *r;
    struct db *d;
    bool found;

    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    d = db_open("admin.db", sql_admin, 5, &e); // one of before they did
    CHECK(d && db_exec(d, "INSERT INTO web_report (url, domain, body, created_unix, next_unix) "
                          "VALUES ('https://a.example/x', 'a.example', 'x', 5, 5)", &e));
    db_close(d);
    r = reports_open(&e);
    CHECK(r && reports_web_next(r, &a, 5, &(struct web_report){.id = 0}, &found, &e) && found);
    CHECK(reports_letter_next(r, &a, 2000, &l, &found, &e) && !found);
    CHECK(reports_letter_add(r, &l, &e) && !reports_letter_add(r, &l, &e)); // a name is one letter's
    // With what it goes with, or not at all.
    e = (struct err){0};
    l.name = STR("n2");
    CHECK(reports_begin(r, &e) && reports_letter_add(r, &l, &e) && !reports_end(r, false, &e));
    l.name = STR("n3");
    l.is_tls = false;
    CHECK(reports_begin(r, &e) && reports_letter_add(r, &l, &e) && reports_end(r, true, &e));
    CHECK(reports_letter_next(r, &a, 2000, &l, &found, &e) && found && l.is_tls && l.created_unix == 1000);
    CHECK_STR(l.name, STR("n1"));
    CHECK_STR(l.sender, STR("postmaster@x"));
    CHECK_STR(l.recipients, STR("r@a.example\ns@a.example\n"));
    CHECK_STR(l.message, STR("m\0\r\n"));
    CHECK(reports_letter_again(r, l.id, 3000, &e));
    reports_close(r);
    r = reports_open(&e);
    CHECK(r && reports_letter_next(r, &a, 2000, &l, &found, &e) && found && !l.is_tls);
    CHECK_STR(l.name, STR("n3"));
    CHECK(reports_letter_done(r, l.id, &e) && reports_letter_next(r, &a, 2000, &l, &found, &e) && !found);
    CHECK(reports_letter_next(r, &a, 3000, &l, &found, &e) && found && l.attempts == 1);
    l.name = STR("n4");
    l.message.n = REPORTS_MAX_LETTER_BYTES; // not looked at
    CHECK(!reports_letter_add(r, &l, &e) && e.kind == ERR_LIMIT);
    close_old(r);
}
