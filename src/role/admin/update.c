/*
 * Once a day: is there a newer version of this program (mox-imap-store-cli-config.md 5.9)? The DNS says so,
 * what changed comes by https with signatures, and the postmaster gets it as a message, once for each version.
 */
#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "policy/update.h"
#include "reports/reports.h"
#include "role/admin/admin.h"
#include "role/admin/lookup.h"
#include "role/web_fetch.h"

enum {
    DAY_S = 24 * 3600,
    RETRY_MS = 3600 * 1000, // when it could not be found out
};

static struct {
    struct arena a;
    struct str domain, url, key; // no domain: not looked for
} source;

static void run_check(void);

static struct {
    enum { IDLE, ASKING_DNS, FETCHING } state;
    struct lookup lookup;
    int64_t began_ms;      // this step
    int64_t not_before_ms; // the next attempt
    struct update_version known; // the newest that needs no telling: ours, or what was told
} check = {.lookup = {run_check}};

bool admin_use_updates(struct str text, struct err *e)
{
    struct cur c = cur_of(text);
    enum compiled_type type;
    struct ipc_updates_source m;
    struct str body;

    arena_fini(&source.a);
    source.a = (struct arena)ARENA_LIMIT(1 << 16);
    source.domain = source.url = source.key = STR("");
    while (compiled_next(&c, &type, &body, e))
        if (type == COMPILED_updates_source) {
            if (!ipc_updates_source_get(body, &m, e))
                return false;
            source.domain = arena_dup(&source.a, m.domain);
            source.url = arena_dup(&source.a, m.changelog_url);
            source.key = arena_dup(&source.a, m.public_key);
        }
    return !e->kind;
}

/* --- the end of a check --------------------------------------------------------------------------- */

static void end_check(void)
{
    lookup_end(&check.lookup);
    check.state = IDLE;
}

// How long one of the two steps of a check took.
static void measure(enum metric m, unsigned result)
{
    metric_observe(m, (const unsigned[METRIC_LABELS]){result}, os_monotonic_ms() - check.began_ms);
}

static void end_failed(const struct err *why)
{
    LOG(LOG_INFO, "updates", "cannot tell whether there is a newer version", LOG_E(why));
    check.not_before_ms = os_monotonic_ms() + RETRY_MS;
    end_check();
}

static bool note_checked(struct err *e)
{
    AUTO_BUF text = BUF_LIMIT(100);

    update_version_put(&text, &check.known);
    return reports_set_update_state(admin_reports, buf_str(&text), os_now_unix(), e) &&
           reports_commit(admin_reports, e);
}

static void end_checked(void)
{
    struct err e = {0};

    if (!note_checked(&e))
        end_failed(&e);
    else
        end_check();
}

/* --- what changed --------------------------------------------------------------------------------- */

// The queue takes what is said of a version once, also when we die before we have noted that.
static struct str name_of(struct arena *a, const struct update_version *version)
{
    AUTO_BUF text = BUF_LIMIT(40);

    update_version_put(&text, version);
    return arena_printf(a, "update.%.*s", STR_FMT(buf_str(&text)));
}

static bool tell(const struct update_change *changes, size_t n, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_BUF message = BUF_LIMIT(4 * UPDATE_MAX_CHANGELOG);
    struct str hostname = admin_settings()->hostname;
    struct str postmaster = arena_printf(&a, "postmaster@%.*s", STR_FMT(hostname));
    AUTO_BUF random = BUF_LIMIT(64);
    struct update_message m = {.hostname = hostname, .now_unix = os_now_unix(), .url = source.url};

    os_random_name(&random);
    m.random = buf_str(&random);
    return update_compose(&message, &m, changes, n, e) &&
           admin_submit(&(struct admin_mail){.from = postmaster, .to = &postmaster, .n_to = 1,
                                             .message = buf_str(&message), .name = name_of(&a, &changes[0].version)}, e);
}

static bool take_changelog(const struct ipc_web_fetched *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF version = BUF_LIMIT(100);
    struct update_change *changes;
    size_t n;

    if (m->outcome != IPC_WEB_ANSWER)
        return fail(e, ERR_TEMPORARY, "%.*s: %.*s", STR_FMT(source.url), STR_FMT(m->why));
    if (m->code != 200)
        return fail(e, ERR_TEMPORARY, "%.*s: HTTP status %u", STR_FMT(source.url), m->code);
    if (!update_changelog_parse(&a, m->body, source.key, &check.known, &changes, &n, e))
        return fail_in(e, "%.*s", STR_FMT(source.url));
    if (!n)
        return fail(e, ERR_NOT_FOUND, "%.*s knows of no newer version, but the DNS does",
                    STR_FMT(source.url));
    if (!tell(changes, n, e))
        return false;
    check.known = changes[0].version;
    update_version_put(&version, &check.known);
    LOG(LOG_INFO, "updates", "the postmaster is told of a newer version", LOG_S("version", buf_str(&version)));
    return true;
}

static void on_changelog(void *ctx, const struct ipc_web_fetched *m)
{
    struct err e = {0};
    bool is_ok;

    (void)ctx;
    if (check.state != FETCHING)
        return;
    is_ok = take_changelog(m, &e);
    measure(METRIC_updates_fetchchangelog_duration_seconds, is_ok ? METRIC_UPDATE_OK : METRIC_UPDATE_ERROR);
    if (is_ok)
        end_checked();
    else
        end_failed(&e);
}

static void fetch_changelog(void)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_BUF version = BUF_LIMIT(100);
    struct err e = {0};
    struct web_request r = {.method = IPC_WEB_GET, .max_body = UPDATE_MAX_CHANGELOG};

    update_version_put(&version, &check.known);
    r.url = update_changelog_url(&a, source.url, buf_str(&version));
    end_check();
    check.began_ms = os_monotonic_ms();
    if (web_fetch(admin_monitor(), &r, on_changelog, &check, &e))
        check.state = FETCHING;
    else
        end_failed(&e);
}

/* --- the record ----------------------------------------------------------------------------------- */

// From its start, with the answers that there are.
static void run_check(void)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct dns dns = lookup_dns(&check.lookup);
    struct update_version latest;
    struct err e = {0};
    bool is_found;

    is_found = update_find(&dns, &a, source.domain, &latest, &e);
    if (lookup_is_missing(&check.lookup))
        return;
    measure(METRIC_updates_lookup_duration_seconds, is_found ? METRIC_UPDATE_OK : METRIC_UPDATE_ERROR);
    if (!is_found)
        end_failed(&e);
    else if (update_version_compare(&latest, &check.known) <= 0)
        end_checked();
    else
        fetch_changelog();
}

/* --- when ----------------------------------------------------------------------------------------- */

static bool is_due(bool *due, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    int64_t checked_unix, now = os_now_unix();
    struct update_version told;
    struct str known;

    if (!reports_update_state(admin_reports, &a, &known, &checked_unix, e))
        return false;
    if (!update_version_parse(STR(MOX_VERSION), &check.known))
        return fail(e, ERR_BUG, "this program has no version");
    if (update_version_parse(known, &told) && update_version_compare(&told, &check.known) > 0)
        check.known = told;
    // A clock that was set back does not make us wait.
    *due = now >= checked_unix + DAY_S || now < checked_unix - DAY_S;
    return true;
}

void admin_update_tick(void)
{
    enum { LOOK_MS = 60 * 1000 };
    int64_t now = os_monotonic_ms();
    bool due = false;
    struct err e = {0};

    if (check.state != IDLE || !source.domain.n || now < check.not_before_ms)
        return;
    check.not_before_ms = now + LOOK_MS;
    if (!is_due(&due, &e))
        end_failed(&e);
    else if (due) {
        lookup_begin(&check.lookup);
        check.state = ASKING_DNS;
        check.began_ms = now;
        run_check();
    }
}
