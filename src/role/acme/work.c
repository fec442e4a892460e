/*
 * One certificate at a time: what its job needs is done here. And questions of when to renew (RFC 9773).
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "role/acme/acme_role.h"
#include "role/web_fetch.h"

enum { HOOK_TIMEOUT_MS = 330 * 1000 }; // the monitor ends it before, and an update takes less

static struct {
    struct wanted *wanted; // NULL: nothing is being done
    struct provider *provider;
    struct acme_job job;
    int64_t resume_ms; // when it waits: until then; 0: it does not wait
    bool is_asking;    // a request is under way
    uint64_t hook;     // the request to set a record that is waited for; 0: none
    int64_t hook_until_ms;
    bool has_record;   // of dns-01, which is to be removed
    struct str authorization; // heap: what the challenge is answered with; empty: none
} work;

static struct wanted *window_of; // whose window is being asked for

/* A record is being removed: the next one is set when that has ended, since one program runs at a time. */
static uint64_t removing; // its request; 0: none
static int64_t removing_until_ms;

static void go_on(void);

// By an update of the DNS, or the administrator's program. The number of the request, or 0.
static uint64_t ask_for_record(struct str text, bool is_set, struct err *e)
{
    uint64_t request;

    if (work.provider->dns.server.n)
        return update_begin(work.provider, work.wanted->host, text, is_set, e);
    request = acme_next_request();
    return IPC_SEND(acme_monitor(), dns_hook, NULL, 0, e, .request = request, .provider = work.provider->name,
                    .host = work.wanted->host, .text = text, .is_set = is_set)
               ? request
               : 0;
}

// What dns-01 is answered with (RFC 8555 8.4).
static bool put_record(bool is_set, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    uint64_t request = ask_for_record(acme_dns_text(&a, work.authorization), is_set, e);

    if (!request)
        return false;
    work.hook = is_set ? request : 0;
    removing = is_set ? 0 : request;
    work.hook_until_ms = removing_until_ms = os_monotonic_ms() + HOOK_TIMEOUT_MS;
    work.has_record = is_set;
    return true;
}

static void end_work(void)
{
    struct err e = {0};

    if (work.has_record && !put_record(false, &e))
        LOG(LOG_INFO, "autotls", "a record is not removed from the DNS", LOG_S("host", work.wanted->host), LOG_E(&e));
    work.has_record = false;
    work.hook = 0;
    acme_job_fini(&work.job);
    heap_free(&work.authorization);
    work.wanted = NULL;
}

static void give_up(void)
{
    struct wanted *w = work.wanted;
    struct err why = work.job.why;
    int64_t retry_after_s = work.job.retry_after_s;

    end_work();
    wanted_failed(w, retry_after_s, &why);
}

static void fail_work(const struct err *why)
{
    acme_job_fail(&work.job, why);
    give_up();
}

static void finish(void)
{
    struct wanted *w = work.wanted;
    struct err e = {0};
    struct str none;

    if (!ACME_ASK(&none, &e, acme_store, .provider = w->provider, .host = w->host, .kind = (uint8_t)w->kind,
                  .chain = work.job.chain)) {
        fail_work(&e);
        return;
    }
    METRIC(autotls_certput_total);
    wanted_have(w->provider, w->host, w->kind, work.job.chain);
    w->failures = 0;
    w->not_before_try = 0;
    LOG(LOG_INFO, "autotls", "certificate issued", LOG_S("host", w->host), LOG_S("provider", w->provider),
        LOG_S("kind", w->kind == IPC_KEY_RSA ? STR("rsa") : STR("ecdsa")), LOG_I("not_after", w->not_after),
        LOG_I("renew_at", w->renew_at));
    end_work();
    state_save();
}

/* --- requests --------------------------------------------------------------------------------------------------------- */

static void on_answer(void *ctx, const struct ipc_web_fetched *m)
{
    struct str account = work.provider->authority.account;
    struct acme_answer answer = {.code = m->code, .location = m->location, .replay_nonce = m->replay_nonce,
                                 .retry_after = m->retry_after, .body = m->body};

    (void)ctx;
    work.is_asking = false;
    if (m->outcome != IPC_WEB_ANSWER)
        answer.failure = m->why.n ? m->why : STR("no answer");
    acme_job_answer(&work.job, &answer, os_now_unix_ms() / 1000);
    if (work.provider->authority.account.n && !account.n) {
        LOG(LOG_INFO, "autotls", "registered at the authority", LOG_S("provider", work.provider->name),
            LOG_S("account", work.provider->authority.account));
        state_save();
    }
    go_on();
}

// A registration is the public key with what the job says, and the binding to another account, if there is a key for it.
static bool add_binding(const struct acme_request *r, struct buf *payload, struct err *e)
{
    struct str binding;

    buf_put(payload, r->payload);
    if (r->wants_binding) {
        if (!ACME_ASK(&binding, e, acme_bind, .provider = work.provider->name, .url = r->url))
            return false;
        BUF_PUT(payload, ",\"externalAccountBinding\":");
        buf_put(payload, binding);
    }
    BUF_PUT(payload, "}");
    return true;
}

static bool sign(const struct acme_request *r, struct str *body, struct err *e)
{
    const struct acme_authority *y = &work.provider->authority;
    AUTO_BUF payload = BUF_LIMIT(IPC_MAX_TEXT * 16);
    struct str nonce = str_at(y->nonce, y->nonce_bytes);

    if (!r->is_registration)
        buf_put(&payload, r->payload);
    else if (!add_binding(r, &payload, e))
        return false;
    return ACME_ASK(body, e, acme_sign, .provider = work.provider->name, .url = r->url, .nonce = nonce,
                    .kid = r->is_registration ? STR("") : y->account, .payload = buf_str(&payload));
}

static bool send_request(const struct acme_request *r, struct err *e)
{
    struct web_request web = {.method = r->method == ACME_HEAD ? IPC_WEB_HEAD : IPC_WEB_GET, .url = r->url,
                              .max_body = ACME_MAX_ANSWER};

    if (r->method == ACME_POST) {
        web.method = IPC_WEB_POST;
        web.fields = STR("Content-Type: application/jose+json");
        if (!sign(r, &web.body, e))
            return false;
    }
    work.is_asking = web_fetch(acme_monitor(), &web, on_answer, &work, e);
    return work.is_asking;
}

/* --- challenges -------------------------------------------------------------------------------------------------------- */

static bool learn_key(struct provider *p, struct err *e)
{
    struct str jwk;

    if (p->jwk.n)
        return true;
    if (!ACME_ASK(&jwk, e, acme_key, .provider = p->name))
        return false;
    p->jwk = heap_dup(jwk);
    return true;
}

static bool set_challenge(struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct str token = work.job.authorization.challenges[work.job.kind].token;

    if (!learn_key(work.provider, e))
        return false;
    heap_free(&work.authorization);
    work.authorization = heap_dup(acme_key_authorization(&a, token, work.provider->jwk));
    LOG(LOG_DEBUG, "autotls", "challenge", LOG_S("host", work.wanted->host),
        LOG_S("kind", str_of(acme_kind_name(work.job.kind))));
    if (work.job.kind == ACME_DNS)
        return put_record(true, e);
    acme_job_challenge_set(&work.job);
    return true;
}

void work_updated(uint64_t number, const struct err *why)
{
    if (removing == number)
        removing = 0;
    if (!work.wanted || !work.hook || work.hook != number)
        return; // given up meanwhile, or a record was removed
    work.hook = 0;
    if (why) {
        fail_work(why);
    } else {
        acme_job_challenge_set(&work.job);
        go_on();
    }
}

bool work_hooked(struct packet *m, struct err *e)
{
    struct ipc_dns_hooked done;
    struct err why = {0};

    if (!ipc_dns_hooked_get(m->body, &done, e))
        return false;
    if (!done.is_ok)
        (void)fail(&why, ERR_TEMPORARY, "setting a record in the DNS: %.*s", STR_FMT(done.why));
    work_updated(done.request, done.is_ok ? NULL : &why);
    return true;
}

enum ipc_challenge_status work_challenge(enum ipc_challenge kind, struct str host, struct str token, struct str *text)
{
    enum acme_kind own = kind == IPC_CHALLENGE_HTTP ? ACME_HTTP : ACME_TLS_ALPN;

    if (!wanted_is_ours(host))
        return IPC_CHALLENGE_NOT_OURS;
    if (!work.wanted || !work.authorization.n || work.job.kind != own || !str_eq(work.wanted->host, host) ||
        (own == ACME_HTTP && !str_eq(work.job.authorization.challenges[own].token, token)))
        return IPC_CHALLENGE_UNKNOWN;
    *text = work.authorization;
    return IPC_CHALLENGE_OK;
}

/* --- the job -------------------------------------------------------------------------------------------------------------- */

static bool make_csr(struct err *e)
{
    const struct wanted *w = work.wanted;
    struct str der;

    if (!ACME_ASK(&der, e, acme_csr, .provider = w->provider, .host = w->host, .kind = (uint8_t)w->kind))
        return false;
    acme_job_csr(&work.job, der);
    return true;
}

// Until it has to wait for somebody.
static void go_on(void)
{
    struct acme_request request;
    struct err e = {0};
    bool is_ok = true;

    while (is_ok && work.wanted && !work.is_asking && !work.resume_ms && !work.hook)
        switch (acme_job_next(&work.job, &request)) {
        case ACME_NEED_REQUEST:
            is_ok = send_request(&request, &e);
            break;
        case ACME_NEED_CHALLENGE:
            is_ok = set_challenge(&e);
            break;
        case ACME_NEED_CSR:
            is_ok = make_csr(&e);
            break;
        case ACME_NEED_WAIT:
            work.resume_ms = os_monotonic_ms() + work.job.wait_ms;
            break;
        case ACME_NEED_NOTHING:
            finish();
            break;
        case ACME_NEED_GIVE_UP:
            give_up();
            break;
        }
    if (!is_ok)
        fail_work(&e);
}

static void begin_work(struct wanted *w)
{
    work.wanted = w;
    work.provider = acme_provider(w->provider);
    work.resume_ms = 0;
    acme_job_init(&work.job, &work.provider->authority, w->host, work.provider->info.kinds, w->not_after ? w->id : STR(""));
    go_on();
}

/* --- windows (RFC 9773) ------------------------------------------------------------------------------------------------------ */

static void on_window(void *ctx, const struct ipc_web_fetched *m)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    int64_t now = os_now_unix_ms() / 1000, asked;
    struct wanted *w = window_of;
    struct acme_window window;
    uint64_t random;
    struct err e = {0};

    (void)ctx;
    window_of = NULL;
    os_random(&random, sizeof random);
    asked = acme_retry_after(m->retry_after, now);
    if (asked)
        w->ask_window_at = now + (asked < 60 ? 60 : asked > 86400 ? 86400 : asked);
    // Without a window, the time that is planned holds.
    if (m->outcome != IPC_WEB_ANSWER || m->code != 200 || !acme_window_parse(&a, m->body, &window, &e))
        return;
    if (w->renew_at >= window.start && w->renew_at < window.end)
        return; // chosen before
    w->renew_at = acme_renew_in_window(&window, w->not_after, random);
    LOG(LOG_INFO, "autotls", "the authority says when to renew", LOG_S("host", w->host), LOG_I("renew_at", w->renew_at),
        LOG_S("why", window.explanation_url));
}

static void ask_window(struct wanted *w)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    const struct provider *p = acme_provider(w->provider);
    struct web_request web = {.method = IPC_WEB_GET, .max_body = ACME_MAX_ANSWER,
                              .url = arena_printf(&a, "%.*s/%.*s", STR_FMT(p->authority.directory.renewal_info),
                                                  STR_FMT(w->id))};
    struct err e = {0};

    window_of = w;
    if (!web_fetch(acme_monitor(), &web, on_window, &window_of, &e)) {
        window_of = NULL;
        LOG(LOG_DEBUG, "autotls", "asking when to renew", LOG_E(&e));
    }
}

void work_tick(int64_t now)
{
    struct wanted *w;

    if (work.wanted && work.resume_ms && os_monotonic_ms() >= work.resume_ms) {
        work.resume_ms = 0;
        go_on();
    }
    if (work.wanted && work.hook && os_monotonic_ms() > work.hook_until_ms) {
        struct err e = {0};

        (void)fail(&e, ERR_TEMPORARY, "setting a record in the DNS takes too long");
        fail_work(&e);
    }
    if (removing && os_monotonic_ms() > removing_until_ms)
        removing = 0;
    if (!work.wanted && !removing && (w = wanted_next(now)))
        begin_work(w);
    if (!window_of && !work.wanted && (w = wanted_window(now)))
        ask_window(w);
}
