/*
 * What the files of the acme role share.
 */
#pragma once

#include "policy/acme/acme.h"
#include "role/service.h"

/* An authority of the configuration. Lives as long as the process. */
struct provider {
    struct str name; // heap
    struct ipc_acme_provider info; // texts in the arena of the configuration
    struct acme_authority authority;
    struct ipc_acme_dns dns; // who takes updates of the DNS; server empty: nobody
    struct str jwk; // heap: the public key of its account; empty: not asked yet
    bool is_configured;
    struct provider *next;
};

/* A certificate that is there, or should be. */
struct wanted {
    struct str provider, host; // heap
    enum ipc_key_kind kind;
    bool is_configured; // the name is still one of ours
    bool is_asked_for;  // proactively, or by a client
    int64_t not_before, not_after; // of the certificate that there is; 0: none
    struct str id;       // heap: how the authority calls it (RFC 9773)
    int64_t renew_at;    // 0: not known yet
    int64_t ask_window_at; // when the authority is asked again when to renew
    unsigned failures;
    int64_t not_before_try; // no attempt before
    bool is_alarmed;     // that has been said lately
    struct wanted *next;
};

/* --- main.c ---------------------------------------------------------------------------------------------- */

struct channel *acme_monitor(void);
struct provider *acme_provider(struct str name);
/* Asks keys, and waits for the answer, which lives until the next is asked for. False: *e says why. */
MUST_USE bool acme_ask(enum ipc_type type, struct str body, struct str *bytes, struct err *e);
#define ACME_ASK(bytes, e, message, ...)                                                                               \
    ({                                                                                                                 \
        struct ipc_##message acme_m_ = {.request = acme_next_request(), __VA_ARGS__};                                  \
        struct buf acme_b_ = BUF_LIMIT(IPC_MAX_BYTES);                                                                 \
        bool acme_ok_;                                                                                                 \
        ipc_##message##_put(&acme_b_, &acme_m_);                                                                       \
        acme_ok_ = acme_ask(IPC_##message, buf_str(&acme_b_), (bytes), (e));                                           \
        buf_fini(&acme_b_);                                                                                            \
        acme_ok_;                                                                                                      \
    })
uint64_t acme_next_request(void);

/* --- wanted.c ---------------------------------------------------------------------------------------------- */

/* The entry of a name and kind, made if need be. */
struct wanted *wanted_of(struct str provider, struct str host, enum ipc_key_kind kind);
/* The configuration is read again: what is not named after this is no longer ours. */
void wanted_begin(void);
void wanted_name(struct str provider, struct str host, bool is_proactive);
/* There is this certificate now. */
void wanted_have(struct str provider, struct str host, enum ipc_key_kind kind, struct str chain);
/* A client asked for the name. */
void wanted_by_client(struct str host);
bool wanted_is_ours(struct str host);
/* The one whose turn it is, or NULL. And the one whose window is to be asked for. */
struct wanted *wanted_next(int64_t now);
struct wanted *wanted_window(int64_t now);
void wanted_failed(struct wanted *w, int64_t retry_after_s, const struct err *why);
void wanted_look(int64_t now);
struct wanted *wanted_first(void);

/* --- work.c: what is being done -------------------------------------------------------------------------- */

void work_tick(int64_t now);
/* The administrator's program has ended. */
bool work_hooked(struct packet *m, struct err *e);
/* An update that it had begun is done, or why not. */
void work_updated(uint64_t number, const struct err *why);
/* What a challenge for this name is answered with: the text lives as long as the work. */
enum ipc_challenge_status work_challenge(enum ipc_challenge kind, struct str host, struct str token, struct str *text);

/* --- update.c: records by updates of the DNS ----------------------------------------------------------------- */

/*
 * Sets or removes the record of a challenge at the provider's server; work_updated hears of it later, with the number that
 * is returned: when it is set and can be seen, when it is removed, or when it failed. 0 on failure, and it hears nothing.
 */
MUST_USE uint64_t update_begin(const struct provider *p, struct str host, struct str text, bool is_set, struct err *e);
MUST_USE bool update_dialed(struct packet *m, struct err *e);
MUST_USE bool update_resolved(struct packet *m, struct err *e);
void update_tick(void);

/* --- state.c ------------------------------------------------------------------------------------------------- */

MUST_USE bool state_load(struct err *e);
/* After every change; what cannot be written is said in the log. */
void state_save(void);
