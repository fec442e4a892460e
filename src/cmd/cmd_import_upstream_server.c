/*
 * import upstream: what belongs to no account. Each of upstream's databases is read by a child that is confined to
 * the directory of the one of ours that it goes into. What an account is named for is taken with that account.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/confine.h"
#include "cmd/import_upstream.h"
#include "cmd/verbs.h"
#include "crypto/crypto.h"
#include "ipc/messages.h"
#include "mailfile/upstream_server.h"
#include "os/clock.h"
#include "os/fd.h"
#include "queue/adopt.h"
#include "role/auth/credentials.h"

enum { BATCH = 100, PROGRESS = 1000, MOST_TOLD = 100, DAY_S = 24 * 3600 };

struct server_takeover {
    const struct paths_names *accounts;
    bool all;
    struct config config;
    struct str file; // the database that is read
    int files;       // to the process that opens messages' files; -1: there are none
    uint64_t n_new, n_there, n_left; // of what is being counted
};

static bool is_wanted(const struct server_takeover *t, struct str account)
{
    for (size_t i = 0; i < t->accounts->n; i++)
        if (str_eq(account, str_of(t->accounts->items[i])))
            return true;
    return t->all;
}

static void count(struct server_takeover *t, bool is_new)
{
    if (is_new)
        t->n_new++;
    else
        t->n_there++;
}

static void tell(struct server_takeover *t, const char *what)
{
    if (t->n_new || t->n_there || t->n_left)
        printf("%s: %llu taken over", what, (unsigned long long)t->n_new);
    if (t->n_there)
        printf(", %llu were there already", (unsigned long long)t->n_there);
    if (t->n_left)
        printf(", %llu were not", (unsigned long long)t->n_left);
    if (t->n_new || t->n_there || t->n_left)
        printf("\n");
    t->n_new = t->n_there = t->n_left = 0;
}

/* --- the queue ------------------------------------------------------------------------------------ */

struct queue_takeover {
    struct server_takeover *t;
    struct queue *q;
    struct server_takeover retired, rules, suppressed, policies; // what is counted of them
    size_t n_pending; // not committed
    bool has_lost;
};

static bool commit_some(struct queue_takeover *x, struct err *e)
{
    if (++x->n_pending < BATCH)
        return true;
    x->n_pending = 0;
    return queue_commit(x->q, e);
}

static uint32_t keep_retired_s(const struct config *c, struct str account)
{
    int64_t ns = 0;

    SCONF_EACH (n, sconf_get(c->domains.root, "Accounts"))
        if (str_eq(n->key, account) && sconf_duration(sconf_text(n, "KeepRetiredMessagePeriod"), &ns) && ns > 0 &&
            ns / 1000000000 < UINT32_MAX)
            return (uint32_t)(ns / 1000000000);
    return 0;
}

static struct queue_adopted_result *results_of(struct arena *a, const struct upstream_queued *m)
{
    struct queue_adopted_result *out = ARENA_ARRAY(a, m->n_results + 1, struct queue_adopted_result);

    for (size_t i = 0; i < m->n_results; i++)
        out[i] = (struct queue_adopted_result){m->results[i].started_unix, m->results[i].duration_ms,
                                               m->results[i].is_success, m->results[i].code,
                                               m->results[i].enhanced, m->results[i].text};
    return out;
}

static bool adopt(struct queue_takeover *x, struct arena *a, const struct upstream_queued *m, int fd, uint64_t size,
                  bool is_retired, bool *is_new, struct err *e)
{
    struct queue_recipient to = {.address = m->recipient};
    // What has no reverse path is a report of that server's, about which nobody is told anything.
    struct queue_adopted out = {
        .number = m->id, .queued_unix = m->queued_unix, .next_attempt_unix = m->next_attempt_unix,
        .last_attempt_unix = m->last_attempt_unix, .transport = m->transport, .attempts = m->attempts,
        .is_held = m->is_held, .results = results_of(a, m), .n_results = m->n_results, .is_retired = is_retired,
        .is_success = m->is_success, .retired_size = m->size <= INT64_MAX ? m->size : 0,
        .last_activity_unix = m->last_activity_unix, .keep_until_unix = m->keep_until_unix,
        .m = {.origin = m->is_report || !m->reverse_path.n ? QUEUE_OWN_REPORT : QUEUE_SUBMITTED,
              .account = m->account, .reverse_path = m->reverse_path, .prefix = is_retired ? STR("") : m->prefix,
              .has_own_path = m->has_own_path, .recipients = &to, .n_recipients = 1, .is_8bit = m->is_8bit,
              .is_smtputf8 = m->is_smtputf8, .require_tls = m->require_tls, .future_release = m->future_release,
              .message_id = m->message_id, .max_attempts = m->max_attempts,
              .keep_retired_s = keep_retired_s(&x->t->config, m->account), .fd = fd, .size = size}};

    return queue_adopt(x->q, &out, is_new, e) && commit_some(x, e);
}

static void lose(struct queue_takeover *x, const struct upstream_queued *m, const char *why)
{
    x->has_lost = true;
    if (++x->t->n_left <= MOST_TOLD)
        cmd_say(stderr, "message %llu in the queue: %s\n", (unsigned long long)m->id, why);
}

static bool on_queued(void *ctx, const struct upstream_queued *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(128 << 20);
    struct queue_takeover *x = ctx;
    AUTO_FD fd = -1;
    struct stat st;
    bool is_new;

    if (!is_wanted(x->t, m->account))
        return true;
    fd = upstream_open_file(x->t->files, m->id);
    if (!m->recipient.n)
        lose(x, m, "its recipient's address is none");
    else if (fd < 0 || fstat(fd, &st))
        lose(x, m, "its file cannot be read");
    else if (m->size != m->prefix.n + (uint64_t)st.st_size)
        lose(x, m, "its file has another size than is said"); // half a message is not sent
    else if (adopt(x, &a, m, fd, (uint64_t)st.st_size, false, &is_new, e))
        count(x->t, is_new);
    else
        return fail_in(e, "message %llu in the queue", (unsigned long long)m->id);
    if ((x->t->n_new + x->t->n_there) % PROGRESS == 0 && x->t->n_new + x->t->n_there)
        fprintf(stderr, "%llu messages of the queue...\n", (unsigned long long)(x->t->n_new + x->t->n_there));
    return true;
}

static bool on_retired(void *ctx, const struct upstream_queued *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(128 << 20);
    struct queue_takeover *x = ctx;
    bool is_new;

    if (!is_wanted(x->t, m->account) || !m->recipient.n || m->keep_until_unix <= os_now_unix())
        return true;
    if (!adopt(x, &a, m, -1, 0, true, &is_new, e))
        return fail_in(e, "message %llu that was in the queue", (unsigned long long)m->id);
    count(&x->retired, is_new);
    return true;
}

static bool on_hold_rule(void *ctx, const struct upstream_hold_rule *rule, struct err *e)
{
    struct queue_takeover *x = ctx;
    bool is_new;

    if (!(rule->account.n ? is_wanted(x->t, rule->account) : x->t->all))
        return true;
    if (!queue_adopt_hold_rule(x->q, rule->account, rule->sender_domain, rule->recipient_domain, &is_new, e))
        return false;
    count(&x->rules, is_new);
    return true;
}

static bool on_suppression(void *ctx, const struct upstream_suppression *s, struct err *e)
{
    struct queue_takeover *x = ctx;
    struct queue_adopted_suppression one = {s->account, s->address.n ? s->address : s->base_address, s->reason,
                                            s->is_manual, s->created_unix};
    bool is_new;

    if (!is_wanted(x->t, s->account))
        return true;
    if (!queue_adopt_suppression(x->q, &one, &is_new, e) || !commit_some(x, e))
        return false;
    count(&x->suppressed, is_new);
    return true;
}

static int end_queue(struct queue_takeover *x, bool is_ok, struct err *e)
{
    is_ok = is_ok && queue_commit(x->q, e);
    queue_close(x->q);
    return is_ok ? x->has_lost : cmd_fail(e);
}

/* In the child, in the directory of queue.db. */
static int take_queue(void *ctx)
{
    struct queue_takeover x = {.t = ctx};
    struct upstream_queue_reader r = {&x, on_queued, on_retired, on_hold_rule, on_suppression, 0};
    struct err e = {0};
    bool is_ok;

    x.q = queue_open(&e);
    is_ok = x.q && upstream_queue_read(x.t->file, &r, &e);
    if (!is_ok)
        (void)fail_in(&e, "queue");
    tell(x.t, "messages in the queue");
    tell(&x.retired, "messages that were in the queue");
    tell(&x.rules, "rules for holding");
    tell(&x.suppressed, "addresses that are not written to");
    if (r.n_hooks && x.t->all)
        printf("%llu calls of web servers are not taken over: there are none here\n", (unsigned long long)r.n_hooks);
    return end_queue(&x, is_ok, &e);
}

static bool on_policy(void *ctx, const struct upstream_policy *p, struct err *e)
{
    struct queue_takeover *x = ctx;
    struct queue_adopted_policy one = {p->domain, p->id, &p->policy, p->updated_unix, p->used_unix,
                                       p->valid_until_unix};
    bool is_new;

    if (!queue_adopt_policy(x->q, &one, &is_new, e) || !commit_some(x, e))
        return false;
    count(&x->policies, is_new);
    return true;
}

static int take_policies(void *ctx)
{
    struct queue_takeover x = {.t = ctx};
    struct err e = {0};
    bool is_ok;

    x.q = queue_open(&e);
    is_ok = x.q && upstream_policies_read(x.t->file, on_policy, &x, &e);
    if (!is_ok)
        (void)fail_in(&e, "MTA-STS policies");
    tell(&x.policies, "MTA-STS policies of other domains");
    return end_queue(&x, is_ok, &e);
}

/* --- reports -------------------------------------------------------------------------------------- */

struct reports_takeover {
    struct server_takeover *t;
    struct reports *r;
    int64_t now_unix;
    size_t n_pending;
    bool is_gathered; // what is read has to be all there or not at all
};

// One that cannot be kept is left, and the others are taken.
static bool kept(struct reports_takeover *x, bool is_ok, struct err *e)
{
    if (!is_ok && e->kind != ERR_LIMIT)
        return false;
    if (is_ok)
        count(x->t, x->is_gathered || reports_was_new(x->r));
    else
        x->t->n_left++;
    *e = (struct err){0};
    if (x->is_gathered || ++x->n_pending < BATCH)
        return true;
    x->n_pending = 0;
    return reports_commit(x->r, e);
}

static bool is_too_old(const struct reports_takeover *x, int64_t received_unix)
{
    return received_unix <= x->now_unix - REPORTS_KEPT_S;
}

static bool on_dmarc(void *ctx, const struct report_origin *from, const struct dmarc_report *report, struct err *e)
{
    struct reports_takeover *x = ctx;

    return is_too_old(x, from->received_unix) || kept(x, reports_add_dmarc(x->r, from, report, e), e);
}

static bool on_tls(void *ctx, const struct report_origin *from, struct str domain, bool is_host,
                   const struct tlsrpt_report *report, struct err *e)
{
    struct reports_takeover *x = ctx;

    return is_too_old(x, from->received_unix) ||
           kept(x, reports_add_tls(x->r, from, domain, is_host, report, e), e);
}

static bool on_evaluation(void *ctx, int64_t at_unix, const struct report_evaluation *m, struct err *e)
{
    struct reports_takeover *x = ctx;

    return at_unix <= x->now_unix - REPORTS_GATHERED_S || at_unix > x->now_unix ||
           kept(x, reports_add_evaluation(x->r, at_unix, m, e), e);
}

static bool on_result(void *ctx, int64_t day_unix, const struct report_tls_result *m, struct err *e)
{
    struct reports_takeover *x = ctx;

    return day_unix <= x->now_unix - REPORTS_GATHERED_S - DAY_S || day_unix > x->now_unix ||
           kept(x, reports_add_tls_result(x->r, day_unix, m, e), e);
}

static bool on_suppressed(void *ctx, bool is_tls, struct str address, int64_t until_unix, struct str comment,
                          struct err *e)
{
    struct reports_takeover *x = ctx;

    return until_unix <= x->now_unix || reports_suppress(x->r, is_tls, address, until_unix, comment, e);
}

typedef bool read_fn(struct str file, const struct upstream_reports_reader *r, struct err *e);

// In the child, in the directory of admin.db. Without a commit after a failure: what is gathered counts once.
static int take_reports(struct server_takeover *t, read_fn *read_reports, const char *what, bool is_gathered)
{
    struct reports_takeover x = {.t = t, .now_unix = os_now_unix(), .is_gathered = is_gathered};
    const struct upstream_reports_reader r = {&x, on_dmarc, on_tls, on_evaluation, on_result, on_suppressed};
    struct err e = {0};

    x.r = reports_open(&e);
    if (!x.r || !read_reports(t->file, &r, &e) || !reports_commit(x.r, &e)) {
        (void)fail_in(&e, "%s", what);
        return cmd_fail(&e);
    }
    reports_close(x.r);
    tell(t, what);
    return 0;
}

static int take_dmarc(void *ctx)
{
    return take_reports(ctx, upstream_dmarc_read, "DMARC reports", false);
}

static int take_tls(void *ctx)
{
    return take_reports(ctx, upstream_tls_read, "TLS reports", false);
}

static int take_evaluations(void *ctx)
{
    return take_reports(ctx, upstream_evaluations_read, "messages for DMARC reports to others", true);
}

static int take_results(void *ctx)
{
    return take_reports(ctx, upstream_results_read, "results for TLS reports to others", true);
}

// What is gathered for reports to others can be added once only: nothing tells it from more of the same.
struct gathered {
    bool dmarc, tls; // there is some here
};

static int look_for_gathered(void *ctx)
{
    struct gathered *out = ctx;
    struct err e = {0};
    struct reports *r = reports_open(&e);

    if (!r)
        return cmd_fail(&e);
    *out = (struct gathered){reports_has_gathered(r, false), reports_has_gathered(r, true)};
    reports_close(r);
    return 0;
}

/* --- logins --------------------------------------------------------------------------------------- */

struct auth_takeover {
    struct server_takeover *t;
    struct credentials *c;
    struct arena a; // of the batch
    struct login_attempts attempts[BATCH];
    size_t n;
    uint64_t n_keys_left;
};

static bool on_key(void *ctx, const struct upstream_client_key *k, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct auth_takeover *x = ctx;
    struct client_key key = {.name = k->name, .cert = k->cert, .account = k->account, .login = k->login,
                             .no_imap_preauth = k->no_imap_preauth};
    struct cert_key made;
    struct err why = {0};
    bool is_ok;

    if (!is_wanted(x->t, k->account))
        return true;
    // What the certificate says counts.
    is_ok = cert_key_of(&a, k->cert, &made, &why) &&
            str_eq(str_at(made.fingerprint, sizeof made.fingerprint), k->fingerprint);
    key.type = made.type;
    key.fingerprint = k->fingerprint;
    if (!is_ok || k->name.n > IPC_MAX_NAME || k->login.n > IPC_MAX_ADDRESS) {
        x->t->n_left++;
        cmd_say(stderr, "key \"%.*s\" of account %.*s: %s\n", STR_FMT(k->name), STR_FMT(k->account),
                why.kind ? why.text : "it is not that of its certificate");
        return true;
    }
    is_ok = client_key_add(x->c, &key, e);
    if (!is_ok && e->kind != ERR_CONFLICT)
        return false;
    *e = (struct err){0};
    count(x->t, is_ok);
    return true;
}

static bool put_attempts(struct auth_takeover *x, struct err *e)
{
    uint64_t n_new = 0;
    bool is_ok = !x->n || credentials_adopt_attempts(x->c, x->attempts, x->n, &n_new, e);

    x->n = 0;
    arena_reset(&x->a);
    return is_ok;
}

static bool on_login(void *ctx, const struct upstream_login *l, struct err *e)
{
    struct auth_takeover *x = ctx;

    if (!is_wanted(x->t, l->account) || l->last_unix <= os_now_unix() - (int64_t)ATTEMPT_DAYS * DAY_S)
        return true;
    x->attempts[x->n++] = (struct login_attempts){
        .first_unix = l->first_unix, .last_unix = l->last_unix, .count = l->count <= INT64_MAX ? l->count : 1,
        .what = {arena_dup(&x->a, l->account), arena_dup(&x->a, l->login), arena_dup(&x->a, l->remote_ip),
                 arena_dup(&x->a, l->local_ip), arena_dup(&x->a, l->tls), arena_dup(&x->a, l->client_key),
                 arena_dup(&x->a, l->protocol), arena_dup(&x->a, l->mechanism), arena_dup(&x->a, l->result)}};
    return x->n < BATCH || put_attempts(x, e);
}

/* In the child, in the directory of auth.db. */
static int take_logins(void *ctx)
{
    struct auth_takeover *x = heap_alloc(sizeof *x);
    const struct upstream_auth_reader r = {x, on_key, on_login};
    struct err e = {0};
    bool is_ok;
    int left;

    x->t = ctx;
    x->a = (struct arena)ARENA_LIMIT(64 << 20);
    x->c = credentials_open(&e);
    is_ok = x->c && upstream_auth_read(x->t->file, &r, &e) && put_attempts(x, &e);
    credentials_close(x->c);
    left = x->t->n_left > 0;
    tell(x->t, "keys of clients");
    arena_fini(&x->a);
    free(x);
    if (!is_ok)
        (void)fail_in(&e, "keys of clients and logins");
    return is_ok ? left : cmd_fail(&e);
}

/* --- all of it ------------------------------------------------------------------------------------ */

struct source {
    const char *file, *our_dir;
    confine_fn *fn;
    bool is_of_all;   // none of it is an account's
    const char *gathered; // what that is, of what can be added once only
};

static bool run(struct str data, int theirs, const struct source *s, struct server_takeover *t, int *code,
                struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    AUTO_FD fd = -1;
    AUTO_FD to = -1;
    struct err missing = {0};
    const char *path;
    bool is_ok;

    if (!upstream_map(theirs, s->file, &t->file, &fd, &missing)) {
        if (missing.kind == ERR_NOT_FOUND)
            return true;
        *e = missing;
        return false;
    }
    is_ok = upstream_make_dir(&a, data, s->our_dir, UPSTREAM_DIR_MODE, &path, e);
    to = is_ok ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    is_ok = is_ok && (to >= 0 || fail_errno(e, "opening %s", path)) && confine_run(to, -1, s->fn, t, code, e);
    upstream_unmap(t->file);
    return is_ok || fail_in(e, "%s", s->file);
}

static bool has_gathered(struct str data, struct gathered *out, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    AUTO_FD dir = -1;
    struct gathered *shared = confine_shared(sizeof *shared);
    const char *path;
    int code;

    if (!upstream_make_dir(&a, data, "admin", UPSTREAM_DIR_MODE, &path, e))
        return false;
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return fail_errno(e, "opening %s", path);
    if (!confine_run(dir, -1, look_for_gathered, shared, &code, e))
        return false;
    *out = *shared;
    return !code || fail(e, ERR_BUG, "the reports cannot be opened");
}

static bool open_queue(int theirs, int *files, struct err *e)
{
    AUTO_FD queue = openat(theirs, "queue", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    *files = -1;
    return queue < 0 || upstream_start_opener(queue, files, e);
}

bool upstream_take_server(struct str data, struct str theirs, const struct paths_names *accounts, bool all,
                          int *code, struct err *e)
{
    static const struct source sources[] = {
        {"queue/index.db", "queue", take_queue, false, NULL},
        {"auth.db", "auth", take_logins, false, NULL},
        {"mtasts.db", "queue", take_policies, true, NULL},
        {"dmarcrpt.db", "admin", take_dmarc, true, NULL},
        {"tlsrpt.db", "admin", take_tls, true, NULL},
        {"dmarceval.db", "admin", take_evaluations, true, "DMARC reports"},
        {"tlsrptresult.db", "admin", take_results, true, "TLS reports"},
    };
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF problems = BUF_LIMIT(1 << 20);
    AUTO_FD dir = open(arena_cstring(&a, theirs), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct server_takeover t = {.accounts = accounts, .all = all, .files = -1};
    AUTO_FD files = -1;
    struct gathered there = {false, false};

    *code = 0;
    if (dir < 0)
        return fail_errno(e, "opening %.*s", STR_FMT(theirs));
    if (!paths_load(&a, &t.config, &problems, e) || !open_queue(dir, &files, e) ||
        (all && !has_gathered(data, &there, e)))
        return false;
    t.files = files;
    for (size_t i = 0; i < COUNT(sources); i++) {
        struct err why = {0};
        int own = 0;

        if (sources[i].is_of_all && !all)
            continue;
        if (sources[i].gathered && (sources[i].fn == take_results ? there.tls : there.dmarc)) {
            if (faccessat(dir, sources[i].file, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                printf("what is gathered for %s: there is some here already, and upstream's is left\n", sources[i].gathered);
            continue;
        }
        if (!run(data, dir, &sources[i], &t, &own, &why))
            own = cmd_fail(&why);
        if (own)
            *code = own;
    }
    return true;
}
