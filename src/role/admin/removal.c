/*
 * Accounts that go: what auth, queue and the monitor have of them goes too, so that another of its name is another. That is
 * several steps over several databases. A note is there from before domains.conf changes until the last of them, and who finds
 * one at its start goes on with it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "os/clock.h"
#include "reports/reports.h"
#include "role/admin/admin.h"

enum { AGAIN_MS = 5000, ERASE_AGAIN_MS = 60 * 1000 };

struct removal {
    uint64_t request; // the change that is on its way; 0: none is any more
    enum removal_step step;
    bool is_refused; // the change: it stays an account, and the note goes
    bool is_asked;   // the monitor, what became of its mail
    bool is_anew;    // it is an account again, and not by a command of ours: those wait for the end
    bool is_erased;
    int64_t not_before_ms; // the next attempt
    struct str account;    // in the same heap block
    struct removal *next;
};
static struct removal *removals;

static struct removal *find(struct str account)
{
    struct removal *r = removals;

    while (r && !str_eq(r->account, account))
        r = r->next;
    return r;
}

static struct removal *add(struct str account, enum removal_step step, uint64_t request)
{
    struct removal *r = heap_alloc(sizeof *r + account.n);
    char *copy = (char *)(r + 1);

    memcpy(copy, account.p, account.n);
    *r = (struct removal){.request = request, .step = step, .account = {copy, account.n}, .next = removals};
    return removals = r;
}

static bool end(struct removal *r, struct err *e)
{
    struct removal **at = &removals;

    if (!reports_end_removal(admin_reports, r->account, e))
        return false;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    free(r);
    return true;
}

bool removals_begin(struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    enum removal_step step;
    struct str account = {0};

    for (;;) {
        if (!reports_next_removal(admin_reports, &a, account, &account, &step, e))
            return false;
        if (!account.n)
            return true;
        (void)add(account, step, 0);
    }
}

bool removal_begin(struct str account, uint64_t request, struct err *e)
{
    if (!removal_is_over(account, e) || !reports_note_removal(admin_reports, account, REMOVAL_ASKED, e))
        return false;
    (void)add(account, REMOVAL_ASKED, request);
    return true;
}

bool removal_is_over(struct str account, struct err *e)
{
    return !find(account) || fail(e, ERR_CONFLICT, "account %.*s is being removed, and what is known of it: try again later",
                                  STR_FMT(account));
}

bool removal_has_forgotten(struct str account, struct err *e)
{
    for (const struct removal *r = removals; r; r = r->next)
        if (r->step != REMOVAL_FORGOTTEN && (!account.n || str_eq(r->account, account)))
            return fail(e, ERR_CONFLICT, "what is known of a removed account %.*s goes first: try again later",
                        STR_FMT(r->account));
    return true;
}

/* --- what there is of it ---------------------------------------------------------------------------- */

static bool forget(const struct removal *r, struct err *e)
{
    struct ipc_admin_reply reply = {0};
    struct service_peer *auth, *queue;

    // Both at once: at a start one is there before the other.
    if (!admin_peer(ROLE_AUTH, &auth, e) || !admin_peer(ROLE_QUEUE, &queue, e) ||
        !IPC_SEND(&auth->ch, forget_account, NULL, 0, e, .account = r->account, .is_anew = r->is_anew) ||
        !admin_await(&auth->ch, &reply, e))
        return false;
    do {
        if (!IPC_SEND(&queue->ch, queue_command, NULL, 0, e, .verb = IPC_QUEUE_FORGET, .value = r->account,
                      .after = reply.more) ||
            !admin_await(&queue->ch, &reply, e))
            return false;
    } while (reply.more);
    return true;
}

static bool step(struct removal *r, enum removal_step to, struct err *e)
{
    if (!reports_note_removal(admin_reports, r->account, to, e))
        return false;
    r->step = to;
    return true;
}

// As far as it goes now.
static bool go_on(struct removal *r, struct err *e)
{
    r->not_before_ms = os_monotonic_ms() + AGAIN_MS;
    if (r->is_refused)
        return end(r, e);
    if (!r->is_asked && !r->is_erased) {
        if (!IPC_SEND(admin_monitor(), account_erase, NULL, 0, e, .account = r->account))
            return false;
        r->is_asked = true;
    }
    // Whether the change came that a process asked for which ended, the monitor knows.
    if (r->step == REMOVAL_WRITTEN && !(forget(r, e) && step(r, REMOVAL_FORGOTTEN, e))) {
        // Until the next attempt somebody may write it into domains.conf anew, which the monitor knows.
        if (r->is_erased && !r->is_anew)
            r->is_asked = r->is_erased = false;
        return false;
    }
    return r->step != REMOVAL_FORGOTTEN || !r->is_erased || end(r, e);
}

static void go_on_or_later(struct removal *r)
{
    struct str account = r->account;
    struct err e = {0};

    if (!go_on(r, &e))
        LOG(LOG_ERROR, "admin", "forgetting an account", LOG_E(&e), LOG_S("account", account));
}

bool removal_changed(uint64_t request, bool is_ok, struct err *e)
{
    struct removal *r = removals;

    while (r && r->request != request)
        r = r->next;
    if (!r)
        return true;
    r->request = 0;
    r->is_refused = !is_ok;
    if (!is_ok) {
        go_on_or_later(r);
        return true;
    }
    return (step(r, REMOVAL_WRITTEN, e) && go_on(r, e)) ||
           fail_in(e, "the account is gone, and what is known of it goes as soon as that can be done");
}

void removal_erased(const struct ipc_account_erased *erased)
{
    struct removal *r = find(erased->account);
    struct err e = {0};

    if (!r)
        return;
    if (erased->outcome == IPC_ERASED_FAILED) {
        r->is_asked = false;
        r->not_before_ms = os_monotonic_ms() + ERASE_AGAIN_MS;
        return;
    }
    r->is_erased = !r->request || erased->outcome == IPC_ERASED;
    if (r->request) // whose answer is on its way
        return;
    if (erased->outcome == IPC_ERASED_NOT && r->step == REMOVAL_ASKED) {
        r->is_refused = true;
    } else if (erased->outcome == IPC_ERASED_NOT) {
        r->is_anew = true;
        LOG(LOG_WARN, "admin", "an account was written into domains.conf anew before its removal had ended: it keeps the mail",
            LOG_S("account", r->account));
    } else if (r->step == REMOVAL_ASKED && !step(r, REMOVAL_WRITTEN, &e)) {
        LOG(LOG_ERROR, "admin", "noting that an account is gone", LOG_E(&e), LOG_S("account", r->account));
        r->is_asked = r->is_erased = false; // it is asked again
        return;
    }
    go_on_or_later(r);
}

void removals_tick(void)
{
    struct removal *next;

    for (struct removal *r = removals; r; r = next) {
        next = r->next;
        if (!r->request && os_monotonic_ms() >= r->not_before_ms)
            go_on_or_later(r);
    }
}

void removals_retry(void)
{
    for (struct removal *r = removals; r; r = r->next)
        r->not_before_ms = 0;
    removals_tick();
}
