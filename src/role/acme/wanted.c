#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "crypto/crypto.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "role/acme/acme_role.h"

enum {
    MAX_PROACTIVE = 10,      // names that are asked for without anybody having come (mox-web-http-api.md 6.2)
    BETWEEN_NAMES_S = 10,
    ALARM_EVERY_S = 86400,
    WINDOW_EVERY_S = 6 * 3600, // RFC 9773 4.3.3, unless the authority says otherwise
};

static struct wanted *all, **last = &all;
static size_t n_proactive;
static struct str last_host; // heap: whose turn it was
static int64_t next_host_at, alarm_at;

struct wanted *wanted_first(void)
{
    return all;
}

static uint64_t chance(void)
{
    uint64_t n;

    os_random(&n, sizeof n);
    return n;
}

struct wanted *wanted_of(struct str provider, struct str host, enum ipc_key_kind kind)
{
    struct wanted *w = all;

    while (w && !(w->kind == kind && str_eq(w->provider, provider) && str_eq(w->host, host)))
        w = w->next;
    if (w)
        return w;
    w = heap_alloc(sizeof *w);
    *w = (struct wanted){.provider = heap_dup(provider), .host = heap_dup(host), .kind = kind};
    *last = w;
    last = &w->next;
    return w;
}

void wanted_begin(void)
{
    for (struct wanted *w = all; w; w = w->next)
        w->is_configured = false;
    n_proactive = 0;
}

void wanted_name(struct str provider, struct str host, bool is_proactive)
{
    is_proactive = is_proactive && n_proactive++ < MAX_PROACTIVE;
    for (int kind = IPC_KEY_ECDSA; kind <= IPC_KEY_RSA; kind++) {
        struct wanted *w = wanted_of(provider, host, (enum ipc_key_kind)kind);

        w->is_configured = true;
        w->is_asked_for |= is_proactive;
    }
}

static void plan_renewal(struct wanted *w)
{
    const struct provider *p = acme_provider(w->provider);

    w->renew_at = acme_renew_at(w->not_before, w->not_after, p ? p->info.renew_before_s : 0, chance());
    w->ask_window_at = 0;
}

void wanted_have(struct str provider, struct str host, enum ipc_key_kind kind, struct str chain)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct wanted *w = wanted_of(provider, host, kind);
    struct cert_facts facts;
    struct err e = {0};

    if (!cert_facts_of(&a, chain, host, &facts, &e)) {
        LOG(LOG_ERROR, "autotls", "certificate not usable", LOG_S("host", host), LOG_E(&e));
        return;
    }
    w->not_before = facts.not_before;
    w->not_after = facts.not_after;
    heap_free(&w->id);
    w->id = heap_dup(acme_certificate_id(&a, facts.authority_key, facts.serial));
    w->is_asked_for = true; // and goes on being renewed, as long as the name is ours
    plan_renewal(w);
}

void wanted_by_client(struct str host)
{
    for (struct wanted *w = all; w; w = w->next)
        if (w->is_configured && !w->is_asked_for && str_eq(w->host, host)) {
            w->is_asked_for = true;
            LOG(LOG_INFO, "autotls", "a client asked for a name that a certificate will be requested for",
                LOG_S("host", host));
        }
}

bool wanted_is_ours(struct str host)
{
    for (const struct wanted *w = all; w; w = w->next)
        if (w->is_configured && str_eq(w->host, host))
            return true;
    return false;
}

/* --- whose turn it is ------------------------------------------------------------------------------------------------ */

static bool is_due(const struct wanted *w, int64_t now)
{
    return w->is_configured && w->is_asked_for && acme_provider(w->provider) && now >= w->not_before_try &&
           (!w->not_after || now >= w->renew_at);
}

// One name, both its kinds, and after a while the next.
struct wanted *wanted_next(int64_t now)
{
    for (struct wanted *w = all; w; w = w->next) {
        bool is_same_host = str_eq(w->host, last_host);

        if (!is_due(w, now) || (!is_same_host && now < next_host_at && now + BETWEEN_NAMES_S >= next_host_at))
            continue;
        if (!is_same_host) {
            heap_free(&last_host);
            last_host = heap_dup(w->host);
            next_host_at = now + BETWEEN_NAMES_S;
        }
        return w;
    }
    return NULL;
}

struct wanted *wanted_window(int64_t now)
{
    for (struct wanted *w = all; w; w = w->next) {
        const struct provider *p = acme_provider(w->provider);

        if (p && w->is_configured && w->not_after && w->id.n && p->authority.has_directory &&
            p->authority.directory.renewal_info.n && now >= w->ask_window_at && now < w->renew_at) {
            w->ask_window_at = now + WINDOW_EVERY_S + (int64_t)(chance() % 3600);
            return w;
        }
    }
    return NULL;
}

void wanted_failed(struct wanted *w, int64_t retry_after_s, const struct err *why)
{
    int64_t now = os_now_unix_ms() / 1000, wait;

    METRIC(autotls_cert_request_errors_total);
    w->failures++;
    wait = acme_retry_in(w->failures, retry_after_s, chance());
    w->not_before_try = now + wait;
    state_save();
    LOG(LOG_ERROR, "autotls", "no certificate from the authority", LOG_S("host", w->host), LOG_S("provider", w->provider),
        LOG_S("kind", w->kind == IPC_KEY_RSA ? STR("rsa") : STR("ecdsa")), LOG_E(why), LOG_N("failures", w->failures),
        LOG_N("retry_in_s", (uint64_t)wait));
}

// Once a day for all that are near their end.
void wanted_look(int64_t now)
{
    if (now < alarm_at && now + ALARM_EVERY_S >= alarm_at)
        return;
    alarm_at = now + ALARM_EVERY_S;
    for (const struct wanted *w = all; w; w = w->next)
        if (w->is_configured && w->not_after && acme_is_alarming(w->not_before, w->not_after, now))
            LOG(LOG_ERROR, "autotls", w->not_after > now ? "a certificate nears its end and is not renewed"
                                                          : "a certificate has ended and is not renewed",
                LOG_S("host", w->host), LOG_S("provider", w->provider), LOG_I("left_s", w->not_after - now));
}
