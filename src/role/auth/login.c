/*
 * Who may log in: SASL exchanges step by step, and keys of clients.
 *
 * A session hears only what it has to tell its client; that somebody has logged in goes to the
 * monitor, before the session is told. The limiter, one for all protocols, is asked before any work.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/die.h"
#include "base/log.h"
#include "ipc/metrics.h"
#include "message/header.h"
#include "os/clock.h"
#include "role/auth/auth.h"
#include "role/auth/hasher.h"
#include "role/ratelimit.h"
#include "text/encode.h"
#include "text/idna.h"
#include "text/prep.h"

enum {
    GOOD_LOGIN_MS = 15 * 60 * 1000, // how long a verified password is remembered
    MAX_GOOD_LOGINS = 10000,
};

enum awaited {
    AWAIT_FIRST,    // the client's first message
    AWAIT_PASSWORD, // LOGIN: the name is known
    AWAIT_DIGEST,   // CRAM-MD5
    AWAIT_FINAL,    // SCRAM's proof
    AWAIT_EMPTY,    // SCRAM: the client has seen our signature
    AWAIT_ANYTHING, // SCRAM: the client has seen that it failed
};

/* One exchange. Its texts live in a. While a password is verified, it belongs to the hasher. */
struct exchange {
    struct hash_job job;
    struct arena a;
    uint64_t peer; // who began it
    enum sasl_mechanism mechanism;
    enum awaited awaited;
    struct login_attempt facts;
    struct str login, account; // account empty when there is none
    struct str disabled;       // why its logins are
    unsigned char memory[SHA256_BYTES]; // of name and password among the good logins
    struct str challenge;      // CRAM-MD5
    struct scram scram;
    struct scram_secret secret;
    bool lacks_secret; // the account is there, what the mechanism needs is not yet
    enum ipc_outcome failure; // when awaiting anything
};

static struct ratelimit per_minute = RATELIMIT(60 * 1000, 10, 30, 90);
static struct ratelimit per_day = RATELIMIT(24 * 3600 * 1000, 50, 150, 450);
static struct str unknown_hash; // verified when there is no such account, so that time tells nothing
static unsigned char fake_secret[32];
static unsigned char memory_key[32];
static struct map good_logins; // HMAC of account, hash and password -> heap int64_t expiry

bool login_prepare(struct err *e)
{
    static struct arena a = ARENA_LIMIT(1 << 20);

    os_random(memory_key, sizeof memory_key);
    return password_hash(&a, STR("no such account"), &unknown_hash, e) &&
           credentials_secret(auth.credentials, "fake credentials", fake_secret, e);
}

/* --- passwords that were right -------------------------------------------------------------------- */

static void memory_of(struct exchange *x)
{
    AUTO_BUF b = BUF_LIMIT(1 << 16);

    ipc_put_str(&b, x->account);
    ipc_put_str(&b, x->job.hash);
    ipc_put_str(&b, x->job.password);
    hmac_sha256(str_at(memory_key, sizeof memory_key), buf_str(&b), x->memory);
    explicit_bzero(b.p, b.n);
}

void login_forget(void)
{
    struct map_entry *entry;

    for (size_t i = 0; (entry = map_each(&good_logins, &i));)
        free(entry->value);
    map_fini(&good_logins);
}

static bool is_remembered(const struct exchange *x)
{
    int64_t *until = map_get(&good_logins, str_at(x->memory, sizeof x->memory));

    return until && *until > os_monotonic_ms();
}

static void remember(const struct exchange *x)
{
    int64_t *until = heap_alloc(sizeof *until);

    if (good_logins.count >= MAX_GOOD_LOGINS)
        login_forget();
    *until = os_monotonic_ms() + GOOD_LOGIN_MS;
    free(map_put(&good_logins, str_at(x->memory, sizeof x->memory), until));
}

/* --- beginnings and ends -------------------------------------------------------------------------- */

static bool reply(struct service_peer *p, enum ipc_outcome outcome, struct str text, struct err *e)
{
    return IPC_SEND(&p->ch, auth_reply, NULL, 0, e, .outcome = (uint8_t)outcome, .text = text);
}

static struct exchange *exchange_new(const struct service_peer *p, struct str log_name)
{
    struct exchange *x = heap_alloc(sizeof *x);

    x->a = (struct arena)ARENA_LIMIT(1 << 20);
    x->peer = p->id;
    x->facts = record_facts(&x->a, p, log_name);
    return x;
}

static void exchange_free(struct exchange *x)
{
    if (!x)
        return;
    if (x->job.password.n)
        explicit_bzero((void *)(uintptr_t)x->job.password.p, x->job.password.n);
    explicit_bzero(&x->job.derived, sizeof x->job.derived);
    explicit_bzero(&x->secret, sizeof x->secret);
    arena_fini(&x->a);
    free(x);
}

static void count_failure(const struct exchange *x)
{
    (void)ratelimit_add(&per_minute, x->facts.remote_ip, 1);
    (void)ratelimit_add(&per_day, x->facts.remote_ip, 1);
}

// Nothing comes of it. p may be NULL: the session is gone. Frees the exchange.
static bool end(struct service_peer *p, struct exchange *x, enum ipc_outcome outcome,
                const char *result, struct str text, struct err *e)
{
    bool is_ok;

    record_attempt(&x->facts, x->account, x->login, result);
    is_ok = !p || reply(p, outcome, text, e);
    exchange_free(x);
    return is_ok;
}

// The client has not proved that it is who it says. Counts.
static bool refuse(struct service_peer *p, struct exchange *x, enum ipc_outcome outcome,
                   const char *result, struct err *e)
{
    count_failure(x);
    return end(p, x, outcome, result, STR("bad user name or password"), e);
}

static bool malformed(struct service_peer *p, struct exchange *x, struct err *e)
{
    return end(p, x, IPC_SYNTAX, "badprotocol", STR("malformed message"), e);
}

// Our own trouble.
static bool trouble(struct service_peer *p, struct exchange *x, const char *what,
                    const struct err *why, struct err *e)
{
    LOG(LOG_ERROR, "auth", what, LOG_E(why), LOG_S("account", x->account));
    return end(p, x, IPC_TEMPORARY, "error", STR("cannot check credentials now, try again"), e);
}

static struct str key_account(const struct service_peer *p, struct arena *a)
{
    struct client_key k = {0};
    struct err why = {0};

    if (p->client_key.n && !client_key_get(auth.credentials, a, p->client_key, &k, &why) &&
        why.kind != ERR_NOT_FOUND)
        LOG(LOG_ERROR, "auth", "reading clients' keys", LOG_E(&why));
    return k.account;
}

// The client has proved who it is. What else stands in the way? The monitor hears of a login first,
// so that it knows when it is asked.
static bool admit(struct service_peer *p, struct exchange *x, struct err *e)
{
    struct client *client = p->data;
    struct str of_key = key_account(p, &x->a);
    struct err why = {0};

    // Who has shown a key is its account, whatever else it knows.
    if (of_key.n && !str_eq(of_key, x->account))
        return refuse(p, x, IPC_BAD, "badcreds", e);
    if (x->disabled.n) {
        struct str text = arena_printf(&x->a, "login disabled for account: %.*s",
                                       STR_FMT(str_sub(x->disabled, 0, IPC_MAX_TEXT)));

        return end(p, x, IPC_DISABLED, "logindisabled", text, e);
    }
    if (!IPC_SEND(&auth.start.monitor, login_ok, NULL, 0, &why, .conn = p->conn,
                  .account = x->account, .login = x->login))
        return trouble(p, x, "telling the monitor of a login", &why, e);
    heap_free(&client->account);
    client->account = heap_dup(x->account);
    client->is_by_key = false;
    ratelimit_reset(&per_minute, p->remote);
    ratelimit_reset(&per_day, p->remote);
    return end(p, x, IPC_OK, "ok", x->login, e);
}

// The exchange goes on: it waits for the client's next message.
static bool challenge(struct service_peer *p, struct exchange *x, enum awaited awaited,
                      struct str text, struct err *e)
{
    struct client *client = p->data;

    x->awaited = awaited;
    client->exchange = x;
    return reply(p, IPC_CONTINUE, text, e);
}

// Names are compared in normal form C (mox-smtp-delivery.md 1.5).
static void set_login(struct exchange *x, struct str name)
{
    struct str account, disabled;

    x->login = arena_dup(&x->a, text_nfc(&x->a, name));
    account = auth_account_of(&x->a, x->login, &disabled);
    x->account = arena_dup(&x->a, account); // the configuration may change before the next message
    x->disabled = arena_dup(&x->a, disabled);
}

// May who logs in as x->login act as the identity asked for? An empty one is the login's own.
static bool is_own_identity(struct exchange *x, struct str authzid)
{
    return !authzid.n || str_eq(text_nfc(&x->a, authzid), x->login);
}

/* --- PLAIN and LOGIN ------------------------------------------------------------------------------- */

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

static bool check_password(struct service_peer *p, struct exchange *x, struct str name,
                           struct str password, struct err *e)
{
    struct client *client = p->data;
    struct password stored = {0};
    struct err why = {0};

    if (!name.n || name.n > SASL_MAX_NAME || password.n > PASSWORD_MAX_BYTES ||
        !utf8_is_valid(name) || str_find(name, 0) != STR_NONE || str_find(password, 0) != STR_NONE)
        return malformed(p, x, e);
    set_login(x, name);
    if (!password.n) // which nobody has
        return refuse(p, x, IPC_BAD, x->account.n ? "badpassword" : "baduser", e);
    x->job.password = arena_dup(&x->a, text_opaque(&x->a, password));
    if (x->account.n && !credentials_password(auth.credentials, &x->a, x->account, &stored, &why) &&
        why.kind != ERR_NOT_FOUND)
        return trouble(p, x, "reading credentials", &why, e);
    x->job.hash = stored.hash.n ? stored.hash : unknown_hash;
    x->job.wants_derived = stored.hash.n && !stored.has_derived;
    memory_of(x);
    if (stored.hash.n && is_remembered(x))
        return admit(p, x, e);
    start_hashing();
    if (!hasher_add(&x->job))
        return end(p, x, IPC_TEMPORARY, "error", STR("too many logins at once, try again"), e);
    client->is_busy = true;
    return true;
}

// What the other mechanisms need, from a password that was right and of which only a hash was known.
static void keep_derived(const struct exchange *x)
{
    struct err e = {0};

    if (!credentials_derive(auth.credentials, x->account, x->job.hash, &x->job.derived, &e))
        LOG(LOG_ERROR, "auth", "storing derived credentials", LOG_E(&e),
            LOG_S("account", x->account));
    else
        LOG(LOG_INFO, "auth", "credentials for SCRAM and CRAM-MD5 derived",
            LOG_S("account", x->account));
}

static void after_hash(struct exchange *x)
{
    struct service_peer *p = service_peer_by_id(x->peer);
    bool is_good = x->job.is_good && !str_eq(x->job.hash, unknown_hash);
    struct err e = {0};
    bool is_ok;

    if (p)
        ((struct client *)p->data)->is_busy = false;
    if (is_good) {
        remember(x);
        if (x->job.wants_derived)
            keep_derived(x);
    }
    if (!is_good)
        is_ok = refuse(p, x, IPC_BAD, x->account.n ? "badpassword" : "baduser", &e);
    else
        is_ok = p ? admit(p, x, &e) : end(NULL, x, IPC_ABORTED, "aborted", STR(""), &e);
    if (!is_ok)
        LOG(LOG_DEBUG, "auth", "answering a session", LOG_E(&e));
}

static void on_hashed(void *ctx, int events)
{
    struct hash_job *job;

    (void)ctx, (void)events;
    while ((job = hasher_take()))
        after_hash((struct exchange *)(void *)((char *)job - offsetof(struct exchange, job)));
}

/* RFC 4616. */
static bool step_plain(struct service_peer *p, struct exchange *x, struct str response,
                       struct err *e)
{
    struct sasl_plain m;
    struct err why = {0};

    if (!sasl_plain_parse(response, &m, &why))
        return malformed(p, x, e);
    set_login(x, m.authcid);
    if (!is_own_identity(x, m.authzid))
        return refuse(p, x, IPC_ROLE, "badcreds", e);
    return check_password(p, x, m.authcid, m.password, e);
}

/* The mechanism without a specification: name and password, each asked for. */
static bool step_login(struct service_peer *p, struct exchange *x, struct str response,
                       struct err *e)
{
    if (x->awaited == AWAIT_PASSWORD)
        return check_password(p, x, x->login, response, e);
    if (response.n > SASL_MAX_NAME)
        return malformed(p, x, e);
    x->login = arena_dup(&x->a, response);
    return challenge(p, x, AWAIT_PASSWORD, STR("Password:"), e);
}

/* --- credentials of nobody -------------------------------------------------------------------------- */

// What an unknown user would have: always the same, so that asking twice tells nothing, and different
// for each. Upstream says at once that SCRAM is not possible, which tells who exists.
static void fake(struct exchange *x, const char *what, unsigned char out[SHA256_BYTES])
{
    AUTO_BUF b = BUF_LIMIT(1 << 16);
    struct address address;

    ipc_put_str(&b, str_of(what));
    // As many spellings of a name have one account, so they have one fake.
    if (address_parse_spec(&x->a, x->login, &address))
        ipc_put_str(&b, directory_canonical(auth.loaded->directory, &x->a, address.localpart,
                                            address.domain));
    else
        ipc_put_str(&b, arena_lower(&x->a, x->login));
    hmac_sha256(str_at(fake_secret, sizeof fake_secret), buf_str(&b), out);
}

static void fake_scram(struct exchange *x, enum hash_kind hash)
{
    unsigned char bytes[SHA256_BYTES];

    fake(x, hash == HASH_SHA1 ? "salt SHA-1" : "salt SHA-256", bytes);
    memcpy(x->secret.salt, bytes, sizeof x->secret.salt);
    x->secret.iterations = SCRAM_ITERATIONS;
    os_random(&x->secret.keys, sizeof x->secret.keys); // which no proof fits
}

// The client failed, and has been told so in the mechanism's own way or hears it now. An account
// that has a password, but not yet what is derived from it, is not the client's failure.
static bool refuse_proof(struct service_peer *p, struct exchange *x, enum ipc_outcome outcome,
                         const char *result, struct err *e)
{
    if (x->lacks_secret) {
        LOG(LOG_INFO, "auth", "no credentials for this mechanism yet: they come with a login that "
                              "sends the password", LOG_S("account", x->account));
        return end(p, x, outcome, "error", STR("bad user name or password"), e);
    }
    return refuse(p, x, outcome, x->account.n ? result : "baduser", e);
}

/* --- CRAM-MD5 (RFC 2195) --------------------------------------------------------------------------- */

static bool send_cram_challenge(struct service_peer *p, struct exchange *x, struct err *e)
{
    AUTO_BUF b = BUF_LIMIT(1024);
    struct timespec now;
    uint64_t random;

    clock_gettime(CLOCK_REALTIME, &now);
    os_random(&random, sizeof random);
    sasl_cram_challenge(&b, random, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec,
                        auth.start.settings.hostname);
    x->challenge = arena_dup(&x->a, buf_str(&b));
    return challenge(p, x, AWAIT_DIGEST, x->challenge, e);
}

static bool step_cram_md5(struct service_peer *p, struct exchange *x, struct str response,
                          struct err *e)
{
    unsigned char states[HMAC_MD5_STATES], want[MD5_BYTES];
    struct sasl_cram m;
    struct err why = {0};

    // The server speaks first: there is no initial response.
    if (x->awaited == AWAIT_FIRST || !sasl_cram_parse(response, &m, &why))
        return malformed(p, x, e);
    set_login(x, m.name);
    os_random(states, sizeof states);
    if (x->account.n && !credentials_cram_md5(auth.credentials, x->account, states, &why)) {
        if (why.kind != ERR_NOT_FOUND)
            return trouble(p, x, "reading credentials", &why, e);
        x->lacks_secret = true;
    }
    hmac_md5_finish(states, x->challenge, want);
    explicit_bzero(states, sizeof states);
    if (!str_eq_secret(str_at(want, sizeof want), str_at(m.digest, sizeof m.digest)) ||
        !x->account.n || x->lacks_secret)
        return refuse_proof(p, x, IPC_BAD, "badpassword", e);
    return admit(p, x, e);
}

/* --- SCRAM (RFC 5802) ------------------------------------------------------------------------------ */

static bool scram_first(struct service_peer *p, struct exchange *x, struct str response,
                        struct err *e)
{
    const struct sasl_mechanism_info *info = sasl_info(x->mechanism);
    struct scram_channel channel = {p->is_tls, p->binding_type, p->binding};
    unsigned char random[SCRAM_NONCE_BYTES];
    AUTO_BUF nonce = BUF_LIMIT(100);
    AUTO_BUF out = BUF_LIMIT(8192);
    struct err why = {0};

    if (!scram_begin(&x->a, x->mechanism, &channel, response, &x->scram, &why)) {
        LOG(LOG_INFO, "auth", "SCRAM refused", LOG_E(&why), LOG_S("remote", p->remote));
        return end(p, x, IPC_SCRAM_FIRST, "badprotocol", str_of(why.text), e);
    }
    set_login(x, x->scram.name);
    if (!is_own_identity(x, x->scram.authzid))
        return refuse(p, x, IPC_ROLE, "badcreds", e);
    fake_scram(x, info->hash);
    if (x->account.n &&
        !credentials_scram(auth.credentials, x->account, info->hash, &x->secret, &why)) {
        if (why.kind != ERR_NOT_FOUND)
            return trouble(p, x, "reading credentials", &why, e);
        x->lacks_secret = true;
    }
    os_random(random, sizeof random);
    base64_encode(&nonce, str_at(random, sizeof random));
    scram_challenge(&x->a, &x->scram, buf_str(&nonce),
                    str_at(x->secret.salt, sizeof x->secret.salt), x->secret.iterations, &out);
    return challenge(p, x, AWAIT_FINAL, buf_str(&out), e);
}

static bool scram_final(struct service_peer *p, struct exchange *x, struct str response,
                        struct err *e)
{
    AUTO_BUF out = BUF_LIMIT(8192);
    struct err why = {0};
    enum scram_verdict v = scram_finish(&x->a, &x->scram, &x->secret.keys, response, &out, &why);

    switch (v) {
    case SCRAM_MALFORMED:
        return end(p, x, IPC_SCRAM_FINAL, "badprotocol", str_of(why.text), e);
    case SCRAM_OK:
        if (x->account.n && !x->lacks_secret)
            return challenge(p, x, AWAIT_EMPTY, buf_str(&out), e);
        break; // a proof that fits random keys
    case SCRAM_BAD_BINDING:
        LOG(LOG_WARN, "auth", "the client is on another TLS channel than we are: is somebody in "
                              "between?", LOG_S("login", x->login), LOG_S("remote", p->remote));
        x->failure = IPC_BINDING;
        return challenge(p, x, AWAIT_ANYTHING, buf_str(&out), e);
    case SCRAM_BAD_NONCE:
    case SCRAM_BAD_PROOF:
        break;
    }
    x->failure = IPC_BAD;
    return challenge(p, x, AWAIT_ANYTHING, out.n ? buf_str(&out) : STR("e=invalid-proof"), e);
}

// The client has been told that it failed; whatever it says to that, this is the end.
static bool scram_failed(struct service_peer *p, struct exchange *x, struct err *e)
{
    return refuse_proof(p, x, x->failure,
                        x->failure == IPC_BINDING ? "badchanbind" : "badpassword", e);
}

static bool step_scram(struct service_peer *p, struct exchange *x, struct str response,
                       struct err *e)
{
    switch (x->awaited) {
    case AWAIT_FIRST:
        return scram_first(p, x, response, e);
    case AWAIT_FINAL:
        return scram_final(p, x, response, e);
    case AWAIT_EMPTY: // RFC 5802 5: the server has no more to say, nor has the client
        return response.n ? end(p, x, IPC_SCRAM_FINAL, "badprotocol", STR("not empty"), e)
                          : admit(p, x, e);
    case AWAIT_PASSWORD:
    case AWAIT_DIGEST:
    case AWAIT_ANYTHING:
        break;
    }
    return scram_failed(p, x, e);
}

/* --- keys of clients -------------------------------------------------------------------------------- */

// The key of this connection; false when it is nobody's. Its login is the exchange's.
static bool use_key(struct service_peer *p, struct exchange *x, struct client_key *k,
                    struct err *why)
{
    if (!p->client_key.n || !client_key_get(auth.credentials, &x->a, p->client_key, k, why))
        return false;
    set_login(x, k->login);
    return str_eq(x->account, k->account); // the address may have moved since
}

/* RFC 4422 A: TLS has told who it is; the message says as whom to act. */
static bool step_external(struct service_peer *p, struct exchange *x, struct str response,
                          struct err *e)
{
    struct client_key k;
    struct err why = {0};

    if (!sasl_external_parse(response, &why))
        return malformed(p, x, e);
    if (!use_key(p, x, &k, &why))
        return refuse(p, x, IPC_BAD, "badcreds", e);
    if (response.n) { // another address of the same account
        set_login(x, response);
        if (!str_eq(x->account, k.account))
            return refuse(p, x, IPC_ROLE, "badcreds", e);
    }
    return admit(p, x, e);
}

static bool is_limited(const struct service_peer *p)
{
    return !ratelimit_can(&per_minute, p->remote, 1) || !ratelimit_can(&per_day, p->remote, 1);
}

static bool reply_limited(struct service_peer *p, struct err *e)
{
    METRIC(authentication_ratelimited_total, metric_word(METRIC_authentication_ratelimited_total, 0, record_protocol(p->protocol)));
    return reply(p, IPC_LIMITED, STR("too many failed logins, try again later"), e);
}

bool login_by_key(struct service_peer *p, struct packet *m, struct err *e)
{
    struct client *client = p->data;
    struct exchange *x;
    struct client_key k = {0};
    struct ipc_auth_key unused;
    struct err why = {0};
    bool is_ok;

    if (!ipc_auth_key_get(m->body, &unused, e))
        return false;
    if (client->account.n || client->is_busy || client->exchange)
        return fail(e, ERR_DENIED, "a login is done or under way");
    if (is_limited(p))
        return reply_limited(p, e);
    x = exchange_new(p, STR("tlsclientauth"));
    if (!use_key(p, x, &k, &why) || (p->protocol == IPC_PROTOCOL_IMAP && k.no_imap_preauth)) {
        exchange_free(x);
        return reply(p, IPC_UNKNOWN, STR(""), e); // SASL will do
    }
    is_ok = admit(p, x, e);
    client->is_by_key = client->account.n;
    return is_ok;
}

bool login_key_check(struct service_peer *p, struct packet *packet, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct ipc_key_check m;
    struct client_key k;
    struct err why = {0};
    bool is_known;

    if (!ipc_key_check_get(packet->body, &m, e))
        return false;
    is_known = client_key_get(auth.credentials, &a, m.client_key, &k, &why);
    if (!is_known) {
        struct service_peer who = {.remote = m.remote, .local = m.local, .protocol = m.protocol,
                                   .client_key = m.client_key};
        struct login_attempt facts = record_facts(&a, &who, STR("tlsclientauth"));

        if (why.kind != ERR_NOT_FOUND)
            LOG(LOG_ERROR, "auth", "reading clients' keys", LOG_E(&why));
        record_attempt(&facts, STR(""), STR(""), why.kind == ERR_NOT_FOUND ? "badcreds" : "error");
    }
    return IPC_SEND(&p->ch, key_checked, NULL, 0, e, .request = m.request, .is_known = is_known);
}

/* --- messages of sessions ---------------------------------------------------------------------------- */

static bool go_on(struct service_peer *p, struct exchange *x, struct str response, struct err *e)
{
    switch (x->mechanism) {
    case SASL_EXTERNAL:
        return step_external(p, x, response, e);
    case SASL_SCRAM_SHA_256_PLUS:
    case SASL_SCRAM_SHA_256:
    case SASL_SCRAM_SHA_1_PLUS:
    case SASL_SCRAM_SHA_1:
        return step_scram(p, x, response, e);
    case SASL_CRAM_MD5:
        return step_cram_md5(p, x, response, e);
    case SASL_PLAIN:
        return step_plain(p, x, response, e);
    case SASL_LOGIN:
        return step_login(p, x, response, e);
    case SASL_MECHANISMS:
        break;
    }
    return malformed(p, x, e);
}

// What the server says first when the client has not begun.
static bool prompt(struct service_peer *p, struct exchange *x, struct err *e)
{
    if (x->mechanism == SASL_CRAM_MD5)
        return send_cram_challenge(p, x, e);
    return challenge(p, x, AWAIT_FIRST,
                     x->mechanism == SASL_LOGIN ? STR("Username:") : STR(""), e);
}

static struct exchange *take_exchange(struct client *client)
{
    struct exchange *x = client->exchange;

    client->exchange = NULL;
    return x;
}

// The client's last word on an exchange that it leaves. A failure stays one.
static bool abandon(struct service_peer *p, struct exchange *x, bool is_answered, struct err *e)
{
    if (x->awaited == AWAIT_ANYTHING)
        return scram_failed(is_answered ? p : NULL, x, e);
    return end(is_answered ? p : NULL, x, IPC_ABORTED, "aborted", STR(""), e);
}

static bool begin(struct service_peer *p, const struct ipc_auth_step *step, struct err *e)
{
    enum sasl_mechanism mechanism = sasl_mechanism_of(step->mechanism);
    struct client *client = p->data;
    struct exchange *x = take_exchange(client);

    if (x && !abandon(p, x, false, e))
        return false;
    if (client->account.n && !client->is_by_key)
        return fail(e, ERR_DENIED, "a login is done");
    if (mechanism == SASL_MECHANISMS)
        return reply(p, IPC_UNKNOWN, STR("mechanism not supported"), e);
    if (is_limited(p))
        return reply_limited(p, e);
    if (sasl_info(mechanism)->needs_tls && !p->is_tls)
        return reply(p, IPC_NEEDS_TLS, STR("the mechanism needs TLS"), e);
    x = exchange_new(p, sasl_info(mechanism)->log_name);
    x->mechanism = mechanism;
    return step->has_response ? go_on(p, x, step->response, e) : prompt(p, x, e);
}

bool login_step(struct service_peer *p, struct packet *m, struct err *e)
{
    struct client *client = p->data;
    struct ipc_auth_step step;
    struct exchange *x;

    if (!ipc_auth_step_get(m->body, &step, e))
        return false;
    if (client->is_busy)
        return fail(e, ERR_DENIED, "a login is under way");
    if (step.mechanism.n)
        return begin(p, &step, e);
    x = take_exchange(client);
    return x ? go_on(p, x, step.response, e) : fail(e, ERR_DENIED, "no exchange to go on with");
}

bool login_abort(struct service_peer *p, struct packet *m, struct err *e)
{
    struct exchange *x = take_exchange(p->data);
    struct ipc_auth_abort unused;

    if (!x)
        return fail(e, ERR_DENIED, "no exchange to give up");
    return ipc_auth_abort_get(m->body, &unused, e) ? abandon(p, x, true, e)
                                                   : (exchange_free(x), false);
}

void login_closed(struct service_peer *p)
{
    struct exchange *x = take_exchange(p->data);
    struct err e = {0};

    if (x && !abandon(p, x, false, &e))
        LOG(LOG_DEBUG, "auth", "session gone", LOG_E(&e));
}
