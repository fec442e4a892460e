/*
 * Login attempts: a log line at once, a row in the database within a second.
 */
#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "role/auth/auth.h"
#include "text/encode.h"

enum {
    MAX_WAITING = 1000, // what comes more in a second is in the log only
    MAX_BYTES = 6 << 20,
    PRUNE_MS = 3600 * 1000,
};

static struct login_attempt waiting[MAX_WAITING];
static struct arena texts = ARENA_LIMIT(8 << 20);
static size_t n_waiting;

struct str record_protocol(uint8_t protocol)
{
    return protocol == IPC_PROTOCOL_IMAP ? STR("imap") : STR("submission");
}

struct login_attempt record_facts(struct arena *a, const struct service_peer *p,
                                  struct str mechanism)
{
    AUTO_BUF key = BUF_LIMIT(100);

    base64url_encode(&key, p->client_key);
    return (struct login_attempt){.remote_ip = arena_dup(a, p->remote),
                                  .local_ip = arena_dup(a, p->local), .tls = arena_dup(a, p->tls),
                                  .client_key = arena_dup(a, buf_str(&key)),
                                  .protocol = record_protocol(p->protocol), .mechanism = mechanism};
}

void record_attempt(const struct login_attempt *facts, struct str account, struct str login,
                    const char *result)
{
    const struct login_attempt *t = facts;

    if (!account.n)
        account = STR("-"); // mox-imap-store-cli-config.md 2.3
    LOG(LOG_INFO, "auth", "login attempt", LOG_S("result", str_of(result)), LOG_S("login", login),
        LOG_S("account", account), LOG_S("mechanism", t->mechanism),
        LOG_S("remote", t->remote_ip), LOG_S("local", t->local_ip), LOG_S("tls", t->tls),
        LOG_S("key", t->client_key), LOG_S("protocol", t->protocol));
    METRIC(authentication_total, metric_word(METRIC_authentication_total, 0, t->protocol),
           metric_word(METRIC_authentication_total, 1, t->mechanism),
           metric_word(METRIC_authentication_total, 2, str_of(result)));
    if (n_waiting == MAX_WAITING || texts.used > MAX_BYTES)
        return;
    waiting[n_waiting++] = (struct login_attempt){
        arena_dup(&texts, account), arena_dup(&texts, login), arena_dup(&texts, t->remote_ip),
        arena_dup(&texts, t->local_ip), arena_dup(&texts, t->tls), arena_dup(&texts, t->client_key),
        t->protocol, arena_dup(&texts, t->mechanism), str_of(result)};
}

void record_write(void)
{
    static int64_t pruned_ms = -PRUNE_MS;
    struct err e = {0};

    if (n_waiting && !credentials_note(auth.credentials, waiting, n_waiting, &e))
        LOG(LOG_ERROR, "auth", "login attempts not recorded", LOG_E(&e));
    n_waiting = 0;
    arena_reset(&texts);
    if (os_monotonic_ms() - pruned_ms < PRUNE_MS)
        return;
    pruned_ms = os_monotonic_ms();
    if (!credentials_prune(auth.credentials, &e))
        LOG(LOG_ERROR, "auth", "old login attempts not removed", LOG_E(&e));
}
