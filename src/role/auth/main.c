/*
 * auth: who may log in, and which account an address belongs to.
 *
 * A session hears only yes or no; what a login or an address entitles to goes to the monitor.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/die.h"
#include "base/log.h"
#include "crypto/crypto.h"
#include "message/header.h"
#include "os/clock.h"
#include "role/auth/auth.h"
#include "role/auth/hasher.h"
#include "role/ratelimit.h"

enum {
    GOOD_LOGIN_MS = 15 * 60 * 1000, // how long a verified password is remembered
    MAX_GOOD_LOGINS = 10000,
    MAX_ATTEMPTS = 1000, // waiting to be written
};

struct auth auth;

static struct str unknown_hash; // verified when there is no such account, so that time tells nothing
static unsigned char memory_key[32];
static struct map good_logins; // HMAC of account, hash and password -> heap int64_t expiry
static struct ratelimit per_minute = RATELIMIT(60 * 1000, 10, 30, 90);
static struct ratelimit per_day = RATELIMIT(24 * 3600 * 1000, 50, 150, 450);

static struct login_attempt attempts[MAX_ATTEMPTS];
static struct arena attempts_arena = ARENA_LIMIT(8 << 20);
static size_t n_attempts;

/* --- configuration ------------------------------------------------------------------------------ */

static bool collect_texts(struct str compiled, struct buf texts[2], struct err *e)
{
    struct cur c = cur_of(compiled);
    enum compiled_type type;
    struct str body;

    while (compiled_next(&c, &type, &body, e)) {
        struct ipc_text_piece piece;

        if (type != COMPILED_text_piece)
            continue;
        if (!ipc_text_piece_get(body, &piece, e))
            return false;
        buf_put(&texts[piece.file], piece.bytes);
    }
    return e->kind == ERR_NONE;
}

static struct loaded *load(struct str compiled, struct err *e)
{
    struct buf texts[2] = {BUF_LIMIT(SCONF_MAX_BYTES), BUF_LIMIT(SCONF_MAX_BYTES)};
    struct loaded *l = heap_alloc(sizeof *l);
    AUTO_BUF problems = BUF_LIMIT(1 << 16);
    bool is_ok = collect_texts(compiled, texts, e);

    l->a = (struct arena)ARENA_LIMIT(512 << 20);
    if (is_ok && !config_load(&l->a, STR("mox.conf"), arena_dup(&l->a, buf_str(&texts[0])),
                              STR("domains.conf"), arena_dup(&l->a, buf_str(&texts[1])),
                              &l->config, &problems))
        is_ok = fail(e, ERR_BUG, "%.*s", STR_FMT(buf_str(&problems)));
    buf_fini(&texts[0]);
    buf_fini(&texts[1]);
    if (!is_ok) {
        arena_fini(&l->a);
        free(l);
        return NULL;
    }
    l->directory = directory_new(&l->config);
    return l;
}

static bool on_monitor(struct packet *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(COMPILED_MAX_BYTES + (1 << 20));
    struct ipc_config config;
    struct loaded *fresh;
    struct str text;

    if (m->type != IPC_config || !ipc_config_get(m->body, &config, e) ||
        !role_read_config(m, &a, &text, e) || !(fresh = load(text, e)))
        return e->kind ? false : fail(e, ERR_BUG, "unexpected message");
    directory_free(auth.loaded->directory);
    arena_fini(&auth.loaded->a);
    free(auth.loaded);
    auth.loaded = fresh;
    return IPC_SEND(&auth.start.monitor, config_done, NULL, 0, e, .number = config.number);
}

/* --- logins ------------------------------------------------------------------------------------- */

static const char *protocol_name(uint8_t protocol)
{
    return protocol == IPC_PROTOCOL_IMAP ? "imap" : "submission";
}

static void note_attempt(const struct service_peer *p, struct str account, struct str login,
                         struct str mechanism, const char *result)
{
    LOG(LOG_INFO, "auth", "login attempt", LOG_S("result", str_of(result)),
        LOG_S("login", login), LOG_S("account", account), LOG_S("remote", p->remote),
        LOG_S("protocol", str_of(protocol_name(p->protocol))), LOG_X("cid", p->conn));
    if (n_attempts < MAX_ATTEMPTS && attempts_arena.used < (6u << 20))
        attempts[n_attempts++] = (struct login_attempt){
            arena_dup(&attempts_arena, account), arena_dup(&attempts_arena, login),
            arena_dup(&attempts_arena, p->remote), str_of(protocol_name(p->protocol)),
            arena_dup(&attempts_arena, mechanism), str_of(result)};
}

static void write_attempts(void)
{
    struct err e = {0};

    if (n_attempts && !credentials_note(auth.credentials, attempts, n_attempts, &e))
        LOG(LOG_ERROR, "auth", "login attempts not recorded", LOG_E(&e));
    n_attempts = 0;
    arena_reset(&attempts_arena);
}

static bool reply(struct service_peer *p, enum ipc_outcome outcome, const char *text,
                  struct err *e)
{
    return IPC_SEND(&p->ch, auth_reply, NULL, 0, e, .outcome = (uint8_t)outcome, .text = str_of(text));
}

static void memory_of(struct str account, struct str hash, struct str password,
                      unsigned char out[SHA256_BYTES])
{
    AUTO_BUF b = BUF_LIMIT(1 << 16);

    ipc_put_str(&b, account);
    ipc_put_str(&b, hash);
    ipc_put_str(&b, password);
    hmac_sha256(str_at(memory_key, sizeof memory_key), buf_str(&b), out);
    explicit_bzero(b.p, b.n);
}

static void forget_good_logins(void)
{
    struct map_entry *entry;

    for (size_t i = 0; (entry = map_each(&good_logins, &i));)
        free(entry->value);
    map_fini(&good_logins);
}

static bool is_remembered(const unsigned char key[SHA256_BYTES])
{
    int64_t *until = map_get(&good_logins, str_at(key, SHA256_BYTES));

    return until && *until > os_monotonic_ms();
}

static void remember(const unsigned char key[SHA256_BYTES])
{
    int64_t *until = heap_alloc(sizeof *until);

    if (good_logins.count >= MAX_GOOD_LOGINS)
        forget_good_logins();
    *until = os_monotonic_ms() + GOOD_LOGIN_MS;
    free(map_put(&good_logins, str_at(key, SHA256_BYTES), until));
}

static struct str heap_dup(struct str s)
{
    char *p = heap_alloc(s.n + 1);

    if (s.n)
        memcpy(p, s.p, s.n);
    return (struct str){p, s.n};
}

// The user of the login is known. The monitor hears it first, so that it knows when it is asked.
static bool accept(struct service_peer *p, struct str account, struct str login, struct err *e)
{
    struct client *client = p->data;

    free((void *)(uintptr_t)client->account.p);
    client->account = heap_dup(account);
    ratelimit_reset(&per_minute, p->remote);
    ratelimit_reset(&per_day, p->remote);
    note_attempt(p, account, login, STR("plain"), "ok");
    return IPC_SEND(&auth.start.monitor, login_ok, NULL, 0, e, .conn = p->conn, .account = account,
                    .login = login) &&
           reply(p, IPC_OK, "", e);
}

static bool refuse(struct service_peer *p, struct str account, struct str login,
                   const char *result, struct err *e)
{
    (void)ratelimit_add(&per_minute, p->remote, 1);
    (void)ratelimit_add(&per_day, p->remote, 1);
    note_attempt(p, account, login, STR("plain"), result);
    return reply(p, IPC_BAD, "bad user name or password", e);
}

// The password was right: what else stands in the way of this account?
static bool admit(struct service_peer *p, struct str account, struct str login, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF text = BUF_LIMIT(1024);
    struct address address;
    struct str disabled = {0};

    if (address_parse_spec(&a, login, &address))
        (void)directory_login(auth.loaded->directory, &a, address.localpart, address.domain,
                              &disabled);
    if (!disabled.n)
        return accept(p, account, login, e);
    note_attempt(p, account, login, STR("plain"), "logindisabled");
    BUF_PUT(&text, "login disabled for account: ");
    buf_put(&text, disabled);
    return IPC_SEND(&p->ch, auth_reply, NULL, 0, e, .outcome = IPC_BAD, .text = buf_str(&text));
}

static void on_hashed(void *ctx, int events);

// Threads come after the sandbox, which covers only threads made inside it: with the first login.
static void start_hashing(void)
{
    static bool is_started;
    struct err e = {0};
    int fd;

    if (is_started)
        return;
    is_started = true;
    hasher_start(&fd);
    if (!event_add(service_loop(), fd, EVENT_READ, on_hashed, NULL, &e))
        die("event loop: %s", e.text);
}

/* RFC 4616: [authzid] NUL authcid NUL passwd. */
static bool auth_plain(struct service_peer *p, struct str response, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct client *client = p->data;
    struct hash_job job = {.peer = p->id};
    struct str authzid, rest, disabled;
    unsigned char key[SHA256_BYTES];
    struct address address;
    struct err why = {0};

    if (!str_cut(response, 0, &authzid, &rest) || !str_cut(rest, 0, &job.login, &job.password) ||
        str_find(job.password, 0) != STR_NONE || !job.login.n || job.login.n > IPC_MAX_ADDRESS ||
        job.password.n > PASSWORD_MAX_BYTES)
        return reply(p, IPC_SYNTAX, "malformed PLAIN message", e);
    if (authzid.n && !str_eq(authzid, job.login))
        return refuse(p, STR(""), job.login, "badcreds", e);
    if (address_parse_spec(&a, job.login, &address))
        job.account = directory_login(auth.loaded->directory, &a, address.localpart, address.domain,
                                      &disabled);
    job.has_account = job.account.n && credentials_hash(auth.credentials, &a, job.account, &job.hash,
                                                         &why);
    if (job.account.n && !job.has_account && why.kind != ERR_NOT_FOUND) {
        LOG(LOG_ERROR, "auth", "reading credentials", LOG_E(&why));
        return reply(p, IPC_TEMPORARY, "cannot check the password now", e);
    }
    if (!job.has_account)
        job.hash = unknown_hash;
    memory_of(job.account, job.hash, job.password, key);
    if (job.has_account && is_remembered(key))
        return admit(p, job.account, job.login, e);
    start_hashing();
    if (!hasher_add(&job))
        return reply(p, IPC_TEMPORARY, "too many logins at once, try again", e);
    client->is_busy = true;
    return true;
}

static void on_hashed(void *ctx, int events)
{
    struct hash_job *job;

    (void)ctx, (void)events;
    while ((job = hasher_take())) {
        struct service_peer *p = service_peer_by_id(job->peer);
        struct err e = {0};
        bool is_good = job->is_good && job->has_account;

        if (is_good) {
            unsigned char key[SHA256_BYTES];

            memory_of(job->account, job->hash, job->password, key);
            remember(key);
        }
        if (p) {
            ((struct client *)p->data)->is_busy = false;
            if (!(is_good ? admit(p, job->account, job->login, &e)
                          : refuse(p, job->account, job->login,
                                   job->account.n ? "badpassword" : "baduser", &e)))
                LOG(LOG_DEBUG, "auth", "answering a session", LOG_E(&e));
        }
        explicit_bzero((void *)(uintptr_t)job->password.p, job->password.n);
        free(job);
    }
}

static bool on_auth_step(struct service_peer *p, struct packet *m, struct err *e)
{
    struct client *client = p->data;
    struct ipc_auth_step step;

    if (!ipc_auth_step_get(m->body, &step, e))
        return false;
    if (client->account.n || client->is_busy)
        return fail(e, ERR_DENIED, "a login is done or under way");
    if (!ratelimit_can(&per_minute, p->remote, 1) || !ratelimit_can(&per_day, p->remote, 1))
        return reply(p, IPC_LIMITED, "too many failed logins, try again later", e);
    if (str_eq(step.mechanism, STR("PLAIN")))
        return auth_plain(p, step.response, e);
    return reply(p, IPC_UNKNOWN, "mechanism not supported", e);
}

/* --- administration ----------------------------------------------------------------------------- */

static bool has_account(struct str name)
{
    SCONF_EACH (n, sconf_get(auth.loaded->config.domains.root, "Accounts"))
        if (str_eq(n->key, name))
            return true;
    return false;
}

static bool on_set_password(struct service_peer *p, struct packet *packet, struct err *e)
{
    struct ipc_set_password m;
    struct err why = {0};
    bool is_ok;

    if (!ipc_set_password_get(packet->body, &m, e))
        return false;
    is_ok = has_account(m.account) ? credentials_set(auth.credentials, m.account, m.password, &why)
                                   : fail(&why, ERR_NOT_FOUND, "no account %.*s",
                                          STR_FMT(m.account));
    if (is_ok) {
        forget_good_logins();
        LOG(LOG_INFO, "auth", "password changed", LOG_S("account", m.account));
    }
    return IPC_SEND(&p->ch, admin_reply, NULL, 0, e, .is_ok = is_ok, .text = str_of(why.text));
}

/* --- the loop ----------------------------------------------------------------------------------- */

static bool on_message(struct service_peer *p, struct packet *m, struct err *e)
{
    switch ((int)m->type) {
    case IPC_auth_step:
        return on_auth_step(p, m, e);
    case IPC_rcpt_check:
        return auth_rcpt_check(p, m, e);
    case IPC_from_check:
        return auth_from_check(p, m, e);
    case IPC_set_password:
        return on_set_password(p, m, e);
    default:
        return fail(e, ERR_DENIED, "unexpected message");
    }
}

static void on_opened(struct service_peer *p)
{
    p->data = heap_alloc(sizeof(struct client));
}

static void on_closed(struct service_peer *p)
{
    struct client *client = p->data;

    free((void *)(uintptr_t)client->account.p);
    free(client);
}

static void on_stop(void)
{
    write_attempts();
    credentials_close(auth.credentials);
    exit(0);
}

_Noreturn void auth_main(void)
{
    static const struct service_handlers handlers = {.message = on_message, .opened = on_opened,
                                                     .closed = on_closed, .monitor = on_monitor,
                                                     .tick = write_attempts, .stop = on_stop};
    static struct arena a = ARENA_LIMIT(1 << 20);
    struct err e = {0};

    role_start(&auth.start, ROLE_AUTH);
    crypto_warm();
    os_random(memory_key, sizeof memory_key);
    if (fchdir(auth.start.dirs[0]) || !(auth.credentials = credentials_open(&e)) ||
        !(auth.loaded = load(auth.start.config, &e)) ||
        !password_hash(&a, STR("no such account"), &unknown_hash, &e)) {
        LOG(LOG_ERROR, "auth", "cannot start", LOG_E(&e));
        exit(1);
    }
    service_run(&auth.start, &handlers);
}
