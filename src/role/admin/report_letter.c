/*
 * Reports by mail, from when they were written until the queue has them. Each has a name by which the queue knows it:
 * one that is given again, because nobody heard that it was taken, is not sent twice.
 */
#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "reports/reports.h"
#include "role/admin/admin.h"

enum {
    AT_ONCE = 50,
    FIRST_WAIT_S = 5, // until the queue is asked again; doubled each time
    LAST_WAIT_S = 3600,
    GIVE_UP_S = 48 * 3600, // shorter than the queue knows names (NAMES_KEPT_S)
    MAX_TO = 1000,
    MEMORY = REPORTS_MAX_LETTER_BYTES + (16 << 20),
};

static bool submit(struct arena *a, const struct report_letter *l, struct err *e)
{
    struct str *to = NULL, one, rest = l->recipients;
    size_t n = 0, cap = 0;

    while (n < MAX_TO && str_next(&rest, '\n', &one))
        if (one.n)
            *ARENA_PUSH(a, to, &n, &cap) = one;
    // RFC 8460 5.3: a report about TLS that fails must not need it.
    return admin_submit(&(struct admin_mail){.from = l->sender, .to = to, .n_to = n, .message = l->message,
                                             .requires_no_tls = l->is_tls, .name = l->name}, e);
}

static bool note_taken(const struct report_letter *l, struct err *e)
{
    if (l->is_tls)
        METRIC(tlsrptsend_report_queued_total);
    else
        METRIC(dmarcdb_report_queued_total);
    LOG(LOG_INFO, "admin", "report sent", LOG_S("kind", l->is_tls ? STR("tls") : STR("dmarc")),
        LOG_S("domain", l->domain), LOG_S("to", l->recipients), LOG_N("size", l->message.n));
    return reports_letter_done(admin_reports, l->id, e);
}

static bool note_not_taken(const struct report_letter *l, const struct err *why, struct err *e)
{
    int64_t now = os_now_unix();
    int64_t wait_s = (int64_t)FIRST_WAIT_S << (l->attempts < 12 ? l->attempts : 12);

    if (now - l->created_unix < GIVE_UP_S) {
        LOG(LOG_WARN, "admin", "a report waits for the queue", LOG_S("domain", l->domain), LOG_E(why));
        return reports_letter_again(admin_reports, l->id, now + (wait_s < LAST_WAIT_S ? wait_s : LAST_WAIT_S), e);
    }
    if (l->is_tls)
        METRIC(tlsrptsend_report_error_total);
    else
        METRIC(dmarcdb_report_error_total);
    LOG(LOG_ERROR, "admin", "a report is not sent", LOG_S("domain", l->domain), LOG_E(why));
    return reports_letter_done(admin_reports, l->id, e);
}

// One; false when there is none, or none is taken now.
static bool give_one(void)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    struct report_letter l;
    struct err why = {0}, e = {0};
    bool found, is_taken = false;

    if (reports_letter_next(admin_reports, &a, os_now_unix(), &l, &found, &e) && found) {
        is_taken = submit(&a, &l, &why);
        (void)!(is_taken ? note_taken(&l, &e) : note_not_taken(&l, &why, &e));
    }
    if (e.kind)
        LOG(LOG_ERROR, "admin", "reports for the queue", LOG_E(&e));
    return is_taken && !e.kind;
}

void admin_letters_tick(void)
{
    struct err e = {0};

    for (size_t i = 0; i < AT_ONCE && give_one(); i++)
        continue;
    if (!reports_commit(admin_reports, &e))
        LOG(LOG_ERROR, "admin", "noting reports for the queue", LOG_E(&e));
}
