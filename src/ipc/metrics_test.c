#include "ipc/metrics.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "os/fd.h"

static bool has_line(const struct buf *text, struct str line)
{
    struct str rest = buf_str(text), one;

    while (str_next(&rest, '\n', &one))
        if (str_eq(one, line))
            return true;
    return false;
}

// Two processes of a role count in one page, which outlives both; another role's is added.
TEST(metrics_of_processes)
{
    const struct metrics_page *pages[ROLE_COUNT] = {0};
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    struct err e = {0};

    for (int role = ROLE_SESSION; role <= ROLE_QUEUE; role += ROLE_QUEUE - ROLE_SESSION) {
        AUTO_FD fd = metrics_file(&e);
        AUTO_FD reader = metrics_file_read_only(fd, &e);

        CHECK(fd >= 0 && reader >= 0);
        pages[role] = metrics_map(reader, &e);
        CHECK(pages[role]);
        CHECK(ftruncate(fd, 0) < 0 && write(reader, "x", 1) < 0);
        for (int i = 0; i < 2; i++) {
            pid_t pid = fork();
            int status;

            if (!pid) {
                if (!metrics_use(fd, &e))
                    _exit(1);
                METRIC(smtpserver_connection_total, 1);
                METRIC(logging_level_error_total);
                METRIC_TIME(smtpserver_command_duration_seconds, 7, 0, metric_word(METRIC_smtpserver_command_duration_seconds, 1,
                            STR("RCPT")), 550, metric_enhanced(STR("5.1.10")));
                METRIC_TIME(smtpserver_command_duration_seconds, 1000000, 0, 5, 550, metric_enhanced(STR("5.1.10")));
                METRIC_SET(connections_count, 3 + (uint64_t)i, 2, metric_name(STR("public")));
                _exit(0);
            }
            CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        }
    }
    metrics_put(&out, pages);
    CHECK(has_line(&out, STR("# TYPE mox_smtpserver_connection_total counter")));
    CHECK(has_line(&out, STR("mox_smtpserver_connection_total{kind=\"submission\"} 4")));
    CHECK(has_line(&out, STR("mox_logging_level_error_total{role=\"session\"} 2")));
    CHECK(has_line(&out, STR("mox_logging_level_error_total{role=\"queue\"} 2")));
    CHECK(has_line(&out, STR("mox_connections_count{protocol=\"imap\",listener=\"public\"} 8"))); // 4 and 4
    CHECK(has_line(&out, STR("mox_smtpserver_delivery_starttls_total 0")));
    CHECK(str_find_str(buf_str(&out), STR("mox_imap")) == STR_NONE);
#define SERIES "{kind=\"smtp\",cmd=\"rcpt\",code=\"550\",ecode=\"1.10\""
    CHECK(has_line(&out, STR("mox_smtpserver_command_duration_seconds_bucket" SERIES ",le=\"0.005\"} 0")));
    CHECK(has_line(&out, STR("mox_smtpserver_command_duration_seconds_bucket" SERIES ",le=\"0.01\"} 4")));
    CHECK(has_line(&out, STR("mox_smtpserver_command_duration_seconds_bucket" SERIES ",le=\"120\"} 4")));
    CHECK(has_line(&out, STR("mox_smtpserver_command_duration_seconds_bucket" SERIES ",le=\"+Inf\"} 8")));
    CHECK(has_line(&out, STR("mox_smtpserver_command_duration_seconds_sum" SERIES "} 4000.028")));
    CHECK(has_line(&out, STR("mox_smtpserver_command_duration_seconds_count" SERIES "} 8")));
}

TEST(metric_values)
{
    CHECK(metric_word(METRIC_smtpserver_connection_total, 0, STR("submission")) == 1);
    CHECK(metric_word(METRIC_smtpserver_connection_total, 0, STR("nobody knows")) == 1); // the last
    CHECK(metric_word(METRIC_spf_verify_duration_seconds, 0, STR("PASS")) == 1);
    CHECK(metric_enhanced(STR("4.3.0")) == 300 && metric_enhanced(STR("5.7.25")) == 725);
    CHECK(!metric_enhanced(STR("")) && !metric_enhanced(STR("5.7")) && !metric_enhanced(STR("5.7.1000")));
}

TEST(metrics_with_names)
{
    const struct metrics_page *pages[ROLE_COUNT] = {[ROLE_ADMIN] = metrics_own()};
    struct metrics_page *other = calloc(1, sizeof *other);
    unsigned zone = metric_name(STR("bl.example")), ip = metric_name(STR("192.0.2.1"));
    AUTO_BUF out = BUF_LIMIT(16 << 20);
    char many[300];

    CHECK(zone && ip && zone != ip && metric_name(STR("bl.example")) == zone && !metric_name(STR("")));
    METRIC_SET(dnsbl_ips_success, 1, zone, ip);
    METRIC_SET(dnsbl_ips_success, -1, zone, 0);
    METRIC_SET(dnsbl_ips_success, 1, ip, zone);
    METRIC_SET(dnsbl_ips_success, METRIC_GONE, ip, zone);
    METRIC_TIME(dnsbl_lookup_duration_seconds, 3, zone, 1);
    // Another role has the same name elsewhere, and one that is not for a label.
    memcpy(other, metrics_own(), sizeof *other);
    memset(other->names, 0, sizeof other->names);
    other->names[zone - 1] = (struct metrics_name){2, "a\"b\\c\nd"};
    other->names[ip - 1] = (struct metrics_name){2, "bl.example"};
    pages[ROLE_SESSION] = other;
    metrics_put(&out, pages);
    CHECK(has_line(&out, STR("mox_dnsbl_ips_success{zone=\"bl.example\",ip=\"192.0.2.1\"} 1")));
    CHECK(has_line(&out, STR("mox_dnsbl_ips_success{zone=\"a?b?c?d\",ip=\"bl.example\"} 1")));
    CHECK(has_line(&out, STR("mox_dnsbl_ips_success{zone=\"bl.example\",ip=\"\"} -1")));
    CHECK(str_find_str(buf_str(&out), STR("{zone=\"192.0.2.1\"")) == STR_NONE);
    CHECK(has_line(&out, STR("mox_dnsbl_lookup_duration_seconds_count{zone=\"bl.example\",status=\"fail\"} 1")));
    free(other);
    // With more names than there is room for, the rest is one.
    for (unsigned i = 0; i < 2 * METRICS_NAMES; i++) {
        int n = snprintf(many, sizeof many, "%0*u", i % 2 ? 280 : 3, i);

        METRIC_SET(dnsbl_ips_success, 1, metric_name(str_at(many, (size_t)n)), 0);
    }
    CHECK(metric_name(STR("one more")) == METRICS_NAMES + 1 && metric_name(STR("bl.example")) == zone);
    buf_reset(&out);
    pages[ROLE_SESSION] = NULL;
    metrics_put(&out, pages);
    CHECK(has_line(&out, STR("mox_dnsbl_ips_success{zone=\"(other)\",ip=\"\"} 1")));
    memset((void *)(uintptr_t)metrics_own()->names, 0, sizeof metrics_own()->names);
}

// A server that says something else each time.
TEST(metrics_have_room_beside_what_others_say)
{
    const enum metric m = METRIC_smtpclient_command_duration_seconds;
    const struct metrics_page *pages[ROLE_COUNT] = {0};
    AUTO_BUF out = BUF_LIMIT(16 << 20);
    struct err e = {0};
    AUTO_FD fd = metrics_file(&e);
    int status;
    pid_t pid;

    pages[ROLE_DELIVER] = metrics_map(fd, &e);
    CHECK(pages[ROLE_DELIVER]);
    pid = fork();
    if (!pid) {
        if (!metrics_use(fd, &e))
            _exit(1);
        for (unsigned command = 0; command < 10; command++)
            for (unsigned code = 400; code < 600; code++)
                for (unsigned subject = 0; subject < 8; subject++)
                    for (unsigned detail = 0; detail < 31; detail++) {
                        char enhanced[20];
                        int n = snprintf(enhanced, sizeof enhanced, "%u.%u", subject, detail);

                        METRIC_TIME(smtpclient_command_duration_seconds, 1, command, metric_code(code),
                                    metric_foreign_word(m, 2, str_at(enhanced, (size_t)n)));
                    }
        METRIC(dane_verify_total);
        METRIC(queue_tlsrequiredno_ignored_total, 1);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    metrics_put(&out, pages);
    CHECK(has_line(&out, STR("mox_dane_verify_total 1")));
    CHECK(has_line(&out, STR("mox_queue_tlsrequiredno_ignored_total{ignored=\"mtastsmx\"} 1")));
    CHECK(str_find_str(buf_str(&out), STR("secode=\"7.1\"")) > 0 && str_find_str(buf_str(&out), STR("secode=\"other\"")) > 0);
}

// A page that somebody wrote what he liked into: as many series as fit, and no others than ours.
TEST(metrics_of_a_role_that_was_taken_over)
{
    struct metrics_page *page = calloc(1, sizeof *page);
    const struct metrics_page *pages[ROLE_COUNT] = {[ROLE_SESSION] = page};
    AUTO_BUF out = BUF_LIMIT(16 << 20);
    uint64_t key = 1;

    for (size_t i = 0; i < METRICS_PLACES; i++) {
        page->places[i] = (struct metrics_place){key, UINT64_MAX};
        key = key * 6364136223846793005u + 1442695040888963407u;
        key ^= i % 2 ? key << 53 : 0;
    }
    metrics_put(&out, pages);
    CHECK(!out.full && out.n);
    for (struct str rest = buf_str(&out), line; str_next(&rest, '\n', &line);)
        CHECK(str_starts(line, STR("mox_")) || str_starts(line, STR("# ")));
    free(page);
}

// More series than there is room for are not counted, and nothing stalls.
TEST(metrics_page_that_is_full)
{
    const struct metrics_page *pages[ROLE_COUNT] = {[ROLE_SESSION] = metrics_own()};
    AUTO_BUF out = BUF_LIMIT(16 << 20);

    for (unsigned code = 0; code < 1000; code++)
        for (unsigned ecode = 0; ecode < 20; ecode++)
            METRIC_TIME(smtpserver_command_duration_seconds, 1, 0, 5, code, ecode);
    metrics_put(&out, pages);
    CHECK(out.n && !out.full);
}
