/*
 * TLS reports that go to web servers (RFC 8460 5.4): one at a time, by a fetch process each. What a server does not
 * take it is asked to take again for a day, at times that grow further apart. What we do not know, because we died
 * while it was being asked, is not asked again: it has the report, since fetch outlives us, or will miss one of a day.
 */
#include "base/log.h"
#include "os/clock.h"
#include "policy/tlsrpt.h"
#include "reports/reports.h"
#include "role/admin/admin.h"
#include "role/web_fetch.h"

enum {
    DAY_S = 24 * 3600,
    FIRST_WAIT_S = 300, // doubled each time
    NO_PROCESS_S = 5,   // until there may be one
    MAX_ANSWER = 4096,
};

static struct {
    bool is_under_way;
    bool is_to_note;   // what became of it; until the disk has that, no other is sent
    int64_t next_unix; // when it is to be sent again; 0: never
    struct arena a;
    struct web_report report; // its texts are in a
} post;

/* Whether asking again may help: the server did not answer, or said that it was not its day. */
static bool may_retry(const struct ipc_web_fetched *m)
{
    return m->outcome != IPC_WEB_ANSWER || m->code >= 500 || m->code == 408 || m->code == 425 || m->code == 429;
}

static bool note(struct err *e)
{
    bool is_ok = post.next_unix ? reports_web_again(admin_reports, post.report.id, post.next_unix, e)
                                : reports_web_done(admin_reports, post.report.id, e);
    struct err other = {0};

    // Also when it failed: nobody has to wait for the database until the next second.
    return reports_commit(admin_reports, is_ok ? e : &other) && is_ok;
}

// Without it the report would stand there as one that nobody knows of, and be lost.
static void note_or_later(void)
{
    struct err e = {0};
    bool is_noted = note(&e);

    if (!is_noted && !post.is_to_note)
        LOG(LOG_ERROR, "admin", "noting a report for a web server, which is tried until it can be", LOG_E(&e));
    post.is_to_note = !is_noted;
}

/* When it is to be sent again; 0: never. */
static int64_t next_after(const struct ipc_web_fetched *m)
{
    int64_t now = os_now_unix();
    int64_t next = now + ((int64_t)FIRST_WAIT_S << (post.report.attempts < 10 ? post.report.attempts : 10));
    bool is_taken = m->outcome == IPC_WEB_ANSWER && m->code / 100 == 2;

    if (is_taken)
        LOG(LOG_INFO, "admin", "report sent", LOG_S("kind", STR("tls")), LOG_S("domain", post.report.domain),
            LOG_S("url", post.report.url), LOG_N("code", m->code), LOG_N("size", post.report.body.n));
    else if (may_retry(m) && next < post.report.created_unix + DAY_S)
        return next;
    else
        LOG(LOG_INFO, "admin", "a web server does not take a report", LOG_S("domain", post.report.domain),
            LOG_S("url", post.report.url), LOG_N("code", m->code), LOG_S("why", m->why));
    return 0;
}

static void on_answer(void *ctx, const struct ipc_web_fetched *m)
{
    (void)ctx;
    LOG(LOG_DEBUG, "admin", "report posted", LOG_S("url", post.report.url), LOG_N("outcome", m->outcome),
        LOG_N("code", m->code), LOG_S("why", m->why));
    post.next_unix = next_after(m);
    note_or_later();
    arena_fini(&post.a);
    post.is_under_way = false;
}

static void start(void)
{
    struct web_request request = {.method = IPC_WEB_POST, .fields = STR("Content-Type: application/tlsrpt+gzip"),
                                  .url = post.report.url, .body = post.report.body, .max_body = MAX_ANSWER};
    struct err e = {0};

    // On the disk before the first byte is sent.
    if (!reports_web_begun(admin_reports, post.report.id, &e) || !reports_commit(admin_reports, &e)) {
        LOG(LOG_ERROR, "admin", "noting a report for a web server", LOG_E(&e));
        return;
    }
    post.is_under_way = web_fetch(admin_monitor(), &request, on_answer, &post, &e);
    if (post.is_under_way)
        return;
    LOG(LOG_INFO, "admin", "a report waits for a process that sends it", LOG_E(&e));
    post.next_unix = os_now_unix() + NO_PROCESS_S;
    note_or_later();
}

// What was being sent when this process's predecessor died.
static void forget_unknown(void)
{
    bool found = true;
    struct err e = {0};

    while (found) {
        AUTO_ARENA a = ARENA_LIMIT(2 * REPORTS_MAX_WEB_BODY);
        struct web_report w;

        if (!reports_web_unknown(admin_reports, &a, &w, &found, &e) ||
            (found && !(reports_web_done(admin_reports, w.id, &e) && reports_commit(admin_reports, &e)))) {
            LOG(LOG_ERROR, "admin", "reading reports for web servers", LOG_E(&e));
            return;
        }
        if (found)
            LOG(LOG_WARN, "admin", "nobody knows whether a web server has taken a report", LOG_S("domain", w.domain),
                LOG_S("url", w.url));
    }
}

bool admin_post_is_under_way(void)
{
    return post.is_under_way;
}

void admin_post_tick(void)
{
    static bool has_begun;
    bool found = false;
    struct err e = {0};

    if (post.is_to_note)
        note_or_later();
    if (post.is_under_way || post.is_to_note)
        return;
    if (!has_begun)
        forget_unknown();
    has_begun = true;
    post.a = (struct arena)ARENA_LIMIT(2 * REPORTS_MAX_WEB_BODY);
    if (!reports_web_next(admin_reports, &post.a, os_now_unix(), &post.report, &found, &e))
        LOG(LOG_ERROR, "admin", "reading reports for web servers", LOG_E(&e));
    if (found)
        start();
    if (!post.is_under_way)
        arena_fini(&post.a);
}
