/*
 * acme: certificates from authorities. It decides what is asked for and when; others have the keys and the network.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "crypto/crypto.h"
#include "os/clock.h"
#include "role/acme/acme_role.h"
#include "role/web_fetch.h"

enum { KEYS_TIMEOUT_MS = 30000 }; // to make a key of RSA takes a while

static struct role_start self;
static struct provider *providers;
static struct arena configuration = ARENA_LIMIT(64 << 20);
static struct packet *packet; // of keys' last answer
static bool has_certificates; // keys has said which there are

struct channel *acme_monitor(void)
{
    return &self.monitor;
}

struct provider *acme_provider(struct str name)
{
    for (struct provider *p = providers; p; p = p->next)
        if (p->is_configured && str_eq(p->name, name))
            return p;
    return NULL;
}

uint64_t acme_next_request(void)
{
    static uint64_t last;

    return ++last;
}

/* --- keys ------------------------------------------------------------------------------------------------------ */

static bool take_have(struct err *e)
{
    struct ipc_acme_have m;

    if (!ipc_acme_have_get(packet->body, &m, e))
        return false;
    wanted_have(m.provider, m.host, (enum ipc_key_kind)m.kind, m.chain);
    return true;
}

bool acme_ask(enum ipc_type type, struct str body, struct str *bytes, struct err *e)
{
    int64_t deadline = os_monotonic_ms() + KEYS_TIMEOUT_MS;
    struct service_peer *keys = service_peer_of(ROLE_KEYS);
    struct cur c = cur_of(body);
    struct ipc_acme_made m;
    uint64_t request;

    if (!keys)
        return fail(e, ERR_TEMPORARY, "the keys process is starting again");
    if (!ipc_get_u64(&c, 0, &request) || !channel_send(&keys->ch, type, body, NULL, 0, e))
        return false;
    for (;;) {
        int64_t left = deadline - os_monotonic_ms();

        if (channel_receive(&keys->ch, packet, left > 0 ? (int)left : 0, e) != CHANNEL_MESSAGE)
            return e->kind ? false : fail(e, ERR_TEMPORARY, "the keys process does not answer");
        if (packet->type == IPC_acme_have) {
            if (!take_have(e))
                return false;
            continue;
        }
        if (!ipc_acme_made_get(packet->body, &m, e))
            return false;
        if (m.request == request)
            break;
    }
    *bytes = m.bytes;
    return m.is_ok || fail(e, ERR_DENIED, "%.*s", STR_FMT(m.why));
}

/* --- the configuration --------------------------------------------------------------------------------------------- */

static void take_provider(const struct ipc_acme_provider *info)
{
    struct provider *p = providers;

    while (p && !str_eq(p->name, info->name))
        p = p->next;
    if (!p) {
        p = heap_alloc(sizeof *p);
        p->name = heap_dup(info->name);
        acme_authority_init(&p->authority, info->directory_url, info->contact, info->binding_key_id.n > 0);
        p->next = providers;
        providers = p;
    }
    p->info = *info;
    p->dns = (struct ipc_acme_dns){0}; // it comes after this, if there is one
    p->is_configured = true;
}

static void take_dns(const struct ipc_acme_dns *dns)
{
    struct provider *p = acme_provider(dns->provider);

    if (p)
        p->dns = *dns;
}

static bool use_configuration(struct str text, struct err *e)
{
    enum compiled_type type;
    struct str body;
    struct cur c;

    arena_reset(&configuration);
    c = cur_of(arena_dup(&configuration, text));
    for (struct provider *p = providers; p; p = p->next)
        p->is_configured = false;
    wanted_begin();
    while (compiled_next(&c, &type, &body, e)) {
        struct ipc_acme_provider provider;
        struct ipc_acme_host host;
        struct ipc_acme_dns dns;

        if (type == COMPILED_acme_provider && ipc_acme_provider_get(body, &provider, e))
            take_provider(&provider);
        if (type == COMPILED_acme_dns && ipc_acme_dns_get(body, &dns, e))
            take_dns(&dns);
        if (type == COMPILED_acme_host && ipc_acme_host_get(body, &host, e))
            wanted_name(host.provider, host.host, host.is_proactive);
    }
    return e->kind == ERR_NONE;
}

static bool on_config(struct packet *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(2 * COMPILED_MAX_BYTES);
    struct ipc_config config;
    struct str text;

    return ipc_config_get(m->body, &config, e) && role_read_config(m, &a, &text, e) && use_configuration(text, e) &&
           IPC_SEND(&self.monitor, config_done, NULL, 0, e, .number = config.number);
}

static bool on_monitor(struct packet *m, struct err *e)
{
    switch ((int)m->type) {
    case IPC_config:
        return on_config(m, e);
    case IPC_fetch_made:
        return web_fetch_made(m, e);
    case IPC_dns_hooked:
        return work_hooked(m, e);
    default:
        return fail(e, ERR_BUG, "unexpected message");
    }
}

/* --- front, and web -------------------------------------------------------------------------------------------------- */

static bool on_challenge(struct service_peer *p, struct packet *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct ipc_challenge_ask ask;
    struct str text = {0};
    enum ipc_challenge_status status;

    if (!ipc_challenge_ask_get(m->body, &ask, e))
        return false;
    status = work_challenge((enum ipc_challenge)ask.kind, arena_lower(&a, ask.host), ask.token, &text);
    return IPC_SEND(&p->ch, challenge_answer, NULL, 0, e, .status = (uint8_t)status, .text = text);
}

static bool on_message(struct service_peer *p, struct packet *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct ipc_cert_wanted want;

    switch ((int)m->type) {
    case IPC_challenge_ask:
        return on_challenge(p, m, e);
    case IPC_cert_wanted:
        if (!ipc_cert_wanted_get(m->body, &want, e))
            return false;
        wanted_by_client(arena_lower(&a, want.host));
        return true;
    case IPC_dialed:
        return update_dialed(m, e);
    case IPC_resolved:
        return update_resolved(m, e);
    case IPC_acme_made:
    case IPC_acme_have:
        return true; // too late: nobody waits for it any more
    default:
        return fail(e, ERR_DENIED, "unexpected message");
    }
}

// Not in the handling of a message: it may be asked again if keys does not answer.
static void learn_certificates(void)
{
    struct err e = {0};
    struct str none;

    has_certificates = ACME_ASK(&none, &e, acme_list, );
    if (!has_certificates)
        LOG(LOG_INFO, "autotls", "which certificates there are is not known yet", LOG_E(&e));
}

static void on_tick(void)
{
    int64_t now = os_now_unix_ms() / 1000;

    web_fetch_tick();
    update_tick();
    if (!has_certificates && service_peer_of(ROLE_KEYS))
        learn_certificates();
    if (!has_certificates)
        return;
    wanted_look(now);
    work_tick(now);
}

_Noreturn void acme_main(void)
{
    static const struct service_handlers handlers = {.message = on_message, .monitor = on_monitor, .tick = on_tick,
                                                     .tick_ms = 250}; // authorizations are often quick
    struct err e = {0};

    role_start(&self, ROLE_ACME);
    packet = packet_new();
    crypto_warm(); // certificates are looked at here
    if (!use_configuration(self.config, &e) || (self.n_dirs && (fchdir(self.dirs[0]) || !state_load(&e)))) {
        LOG(LOG_ERROR, "autotls", "cannot start", LOG_E(&e));
        exit(1);
    }
    service_run(&self, &handlers);
}
