/*
 * Our own reports (mox-smtp-delivery.md 5.4, 5.7): when they are due. One at a time; the DNS is asked without waiting,
 * since others are served meanwhile. With the same commit a report is kept until somebody has taken it
 * (report_letter.c, report_post.c), and what it tells is told.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "os/file.h"
#include "role/admin/lookup.h"
#include "role/admin/report_send.h"

enum {
    MAX_JOBS = 100000,
    MAX_SPACING_S = 300,
    DMARC_SPREAD_S = 45 * 60,
    TLS_SPREAD_S = 4 * HOUR_S,
    // What cannot be told now (the DNS or another process does not answer) is told some minutes later, and then after
    // twice as many each time. In the end it stays until the next interval or start, or until it is too old.
    RETRY_MS = 5 * 60 * 1000,
    MAX_RETRIES = 6,
};

static void run_job(void);

static struct {
    struct report_job *first, **last;
    struct report_job *resting; // until they are tried again
    struct map names;    // of the jobs, resting or not
    int64_t start_ms;   // of the next job
    int64_t spacing_ms; // between their starts
    struct lookup lookup; // of the first one, while it is open: the DNS is asked
    int64_t begun_ms;   // since when
    uint64_t waiting; // a command's request, to be answered when all are done; 0: none
    int64_t next_dmarc_unix, next_tls_unix;
} queue = {.last = &queue.first, .lookup = {run_job}};
static int64_t retry_ms = RETRY_MS;

void admin_send_begin(void)
{
    const char *setting = getenv("MOX_REPORT_RETRY_MS"); // tests do not wait for minutes
    struct cur c = cur_of(str_of(setting ? setting : ""));
    uint64_t ms;

    if (cur_u64(&c, RETRY_MS, &ms))
        retry_ms = (int64_t)ms;
}

/* --- one after the other -------------------------------------------------------------------------- */

static struct str name_of(struct arena *a, const struct report_job *job)
{
    return arena_printf(a, "%d %d %lld %.*s", job->is_tls, job->tls.is_host, (long long)job->tls.day,
                        STR_FMT(job->domain));
}

static void append(struct report_job *job)
{
    job->next = NULL;
    *queue.last = job;
    queue.last = &job->next;
}

static void prepend(struct report_job *job)
{
    job->next = queue.first;
    queue.first = job;
    if (!job->next)
        queue.last = &job->next;
}

static void rest(struct report_job *job)
{
    job->rest_until_ms = os_monotonic_ms() + (retry_ms << job->retries++);
    job->is_resting = true;
    job->next = queue.resting;
    queue.resting = job;
}

/* Those that have rested long enough, or the one. */
static void wake(int64_t now_ms, const struct report_job *one)
{
    for (struct report_job **at = &queue.resting; *at;) {
        struct report_job *job = *at;

        if (job != one && job->rest_until_ms > now_ms) {
            at = &job->next;
            continue;
        }
        *at = job->next;
        job->is_resting = false;
        if (queue.lookup.is_open)
            append(job);
        else
            prepend(job);
    }
}

static void end_job(bool is_done)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct report_job *job = queue.first;

    queue.first = job->next;
    if (!queue.first)
        queue.last = &queue.first;
    if (!is_done && job->retries < MAX_RETRIES) {
        rest(job);
    } else {
        map_remove(&queue.names, name_of(&a, job));
        free(job);
    }
    lookup_end(&queue.lookup);
    if (!queue.first && queue.waiting) {
        admin_answer_late(queue.waiting, true, STR(""));
        queue.waiting = 0;
    }
}

static void finish(struct arena *a, enum wanted wanted, struct recipients *to)
{
    const struct report_job *job = queue.first;
    struct err e = {0};
    bool is_ok = true;

    if (wanted == NOT_WANTED)
        to->n = 0;
    if (wanted != ASK_LATER)
        is_ok = job->is_tls ? report_tls_finish(a, job, to, &e) : report_dmarc_finish(a, job, to, &e);
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

/* From its start, with the answers that there are. */
static void run_job(void)
{
    struct arena a = ARENA_LIMIT(REPORT_MAX_MEMORY);
    const struct report_job *job = queue.first;
    struct dns dns = lookup_dns(&queue.lookup);
    struct recipients to = {0};
    enum wanted wanted;

    wanted = job->is_tls ? report_to_tls(&dns, &a, job->domain, &to)
                         : report_to_dmarc(&dns, &a, job->domain, &to);
    if (!lookup_is_missing(&queue.lookup)) {
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

    lookup_begin(&queue.lookup);
    queue.begun_ms = os_monotonic_ms();
    if (!queue.first->retries)
        queue.start_ms = queue.begun_ms + queue.spacing_ms;
    // Nobody is asked about domains that are not told anyway.
    if (!queue.first->is_tls && !report_dmarc_has_reason(queue.first, &wants, &e))
        LOG(LOG_ERROR, "admin", "reading evaluations", LOG_E(&e));
    if (wants) {
        run_job();
    } else {
        AUTO_ARENA a = ARENA_LIMIT(REPORT_MAX_MEMORY);
        struct recipients none = {0};

        finish(&a, NOT_WANTED, &none);
    }
}

/* --- when ----------------------------------------------------------------------------------------- */

static void add_job(const struct report_job *like)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct report_job *job = map_get(&queue.names, name_of(&a, like));
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
    AUTO_ARENA a = ARENA_LIMIT(REPORT_MAX_MEMORY);
    struct report_names due;
    struct err e = {0};

    if (admin_settings()->no_dmarc_reports)
        return;
    if (!reports_due_dmarc(admin_reports, &a, end_hour, all, &due, &e)) {
        LOG(LOG_ERROR, "admin", "reading evaluations", LOG_E(&e));
        return;
    }
    for (size_t i = 0; i < due.n; i++)
        add_job(&(struct report_job){.domain = due.items[i], .end_hour = end_hour, .end_unix = end_unix});
    spread(due.n, DMARC_SPREAD_S);
}

static void schedule_tls(int64_t before_day)
{
    AUTO_ARENA a = ARENA_LIMIT(REPORT_MAX_MEMORY);
    struct report_days due;
    struct err e = {0};

    if (admin_settings()->no_tls_reports)
        return;
    if (!reports_due_tls(admin_reports, &a, before_day, &due, &e)) {
        LOG(LOG_ERROR, "admin", "reading TLS results", LOG_E(&e));
        return;
    }
    for (size_t i = 0; i < due.n; i++)
        add_job(&(struct report_job){.is_tls = true, .domain = due.items[i].domain, .tls = due.items[i]});
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
static int64_t after_the_hour(int64_t now)
{
    return (now / HOUR_S + 1) * HOUR_S + 30 + chance(60);
}

static int64_t after_midnight(int64_t now)
{
    return (now / DAY_S + 1) * DAY_S + 240 + chance(120);
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

        queue.next_dmarc_unix = after_the_hour(now);
        queue.next_tls_unix = after_midnight(now);
        if (tls > now && tls < queue.next_tls_unix)
            queue.next_tls_unix = tls;
    }
    if (is_dmarc_due)
        schedule_dmarc(hour, hour * HOUR_S - 1, false);
    if (is_first) // what was due while we were not there, or could not be told
        schedule_dmarc(now / DAY_S * 24, now / DAY_S * DAY_S - 1, false);
    if (is_tls_due) {
        queue.next_tls_unix = after_midnight(now);
        schedule_tls(now / DAY_S);
    }
}

void admin_send_tick(void)
{
    int64_t now = os_monotonic_ms();

    look_at_clock();
    if (queue.lookup.is_open)
        return;
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
