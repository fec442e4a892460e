/*
 * ACME (RFC 8555) as pure code: what an authority says, read from its JSON; what is said to it; the order in
 * which both happen for one certificate; and when a certificate is renewed (RFC 9773).
 *
 * Whoever runs it does what a job needs next (acme_job_next) and tells it what came of that. Signatures are
 * made elsewhere: a request says what is to be signed.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum {
    ACME_MAX_ANSWER = 65536,      // bytes of an answer that are looked at
    ACME_MAX_VALUES = 2000,       // of JSON in it
    ACME_MAX_URL = 2048,
    ACME_MAX_NONCE = 512,
    ACME_MAX_TOKEN = 256,
    ACME_MAX_AUTHORIZATIONS = 10, // of an order; ours are for one name
};

/* Kinds of challenges, in the order in which they are tried. As bits in sets. */
enum acme_kind { ACME_TLS_ALPN, ACME_HTTP, ACME_DNS, ACME_KINDS };
#define ACME_KIND_BIT(kind) (1u << (kind))
/* "tls-alpn-01" */
const char *acme_kind_name(enum acme_kind kind);

/* --- what an authority says: parse.c ---------------------------------------------------------------- */

struct acme_directory {
    struct str new_nonce, new_account, new_order;
    struct str renewal_info; // empty: it has none (RFC 9773 4.1)
    struct str terms;
    bool needs_binding;
};
MUST_USE bool acme_directory_parse(struct arena *a, struct str text, struct acme_directory *out, struct err *e);

enum acme_status { ACME_PENDING, ACME_READY, ACME_PROCESSING, ACME_VALID, ACME_INVALID };

/* A problem document (RFC 7807), without what comes before its type's name. */
struct acme_problem {
    struct str type;   // "badNonce"; empty: there is none
    struct str detail; // for people; of the first subproblem as well
};
/* Never fails: what is no problem document has an empty type. Text is printable. */
void acme_problem_parse(struct arena *a, struct str text, struct acme_problem *out);

struct acme_order {
    enum acme_status status;
    struct str authorizations[ACME_MAX_AUTHORIZATIONS];
    size_t n;
    struct str finalize, certificate;
    struct acme_problem problem;
};
MUST_USE bool acme_order_parse(struct arena *a, struct str text, struct acme_order *out, struct err *e);

struct acme_challenge {
    struct str url; // empty: not offered
    struct str token;
    struct acme_problem problem;
};
struct acme_authorization {
    enum acme_status status; // also ACME_INVALID: deactivated, expired and revoked ones
    struct str host;
    struct acme_challenge challenges[ACME_KINDS];
};
MUST_USE bool acme_authorization_parse(struct arena *a, struct str text, struct acme_authorization *out,
                                       struct err *e);

/* RFC 9773 4.2: when it wants the certificate to be renewed. */
struct acme_window {
    int64_t start, end; // UTC seconds, start < end
    struct str explanation_url;
};
MUST_USE bool acme_window_parse(struct arena *a, struct str text, struct acme_window *out, struct err *e);

/* Where we would send a request to: https, and nothing that is no URL. */
bool acme_is_url(struct str text);
/* Seconds to wait: of a Retry-After field, a number or a date (RFC 9110 10.2.3); 0 when it says nothing. */
int64_t acme_retry_after(struct str value, int64_t now);

/* --- what is said to it: write.c ------------------------------------------------------------------------ */

/* The protected header of a request (RFC 8555 6.2): kid, or jwk when kid is empty; nonce may be empty. */
void acme_protected(struct buf *out, struct str alg, struct str nonce, struct str url, struct str kid,
                    struct str jwk);
/* The bytes to sign: both parts encoded, with a dot between. */
void acme_signing_input(struct buf *out, struct str protected_header, struct str payload);
/* The whole, in the flattened form; input is what was signed. */
void acme_jws(struct buf *out, struct str input, struct str signature);

/* What is served for a token: it and the thumbprint of the account's key (RFC 8555 8.1). */
struct str acme_key_authorization(struct arena *a, struct str token, struct str jwk);
/* The TXT record of dns-01 (RFC 8555 8.4). */
struct str acme_dns_text(struct arena *a, struct str key_authorization);
/* How a certificate is called in questions about its renewal (RFC 9773 4.1). */
struct str acme_certificate_id(struct arena *a, struct str authority_key, struct str serial);

/* --- when: renew.c ---------------------------------------------------------------------------------------- */

enum { ACME_RENEW_BEFORE_S = 30 * 86400, ACME_RETRY_MIN_S = 60, ACME_RETRY_MAX_S = 6 * 3600 };

/*
 * When a certificate is to be renewed (mox-web-http-api.md 6.2): when less is left of it than before_s (0:
 * ACME_RENEW_BEFORE_S) or a third of its life, whichever is less; a little later, by chance, so that not all
 * come at once. random: any number.
 */
int64_t acme_renew_at(int64_t not_before, int64_t not_after, int64_t before_s, uint64_t random);
/* The same by the authority's window: a moment of it by chance (RFC 9773 4.2); never after the certificate's end. */
int64_t acme_renew_in_window(const struct acme_window *w, int64_t not_after, uint64_t random);
/* How long until the next attempt, after so many that failed in a row: longer each time, and not like a clock. */
int64_t acme_retry_in(unsigned failures, int64_t retry_after_s, uint64_t random);
/* A certificate whose renewal should have succeeded long ago: the administrator must hear of it. */
bool acme_is_alarming(int64_t not_before, int64_t not_after, int64_t now);

/* --- one certificate: job.c --------------------------------------------------------------------------------- */

/* What is known of an authority while the process lives. */
struct acme_authority {
    struct arena arena, directory_arena; // for what it points to
    struct str directory_url, contact;
    bool has_binding;   // there is a key for an account that exists elsewhere (RFC 8555 7.3.4)
    bool has_directory;
    struct acme_directory directory;
    struct str account; // its URL; empty: not registered yet
    char account_url[ACME_MAX_URL];
    char nonce[ACME_MAX_NONCE];
    size_t nonce_bytes;
};
void acme_authority_init(struct acme_authority *y, struct str directory_url, struct str contact, bool has_binding);
void acme_authority_fini(struct acme_authority *y);
void acme_authority_set_account(struct acme_authority *y, struct str url);

enum acme_need {
    ACME_NEED_REQUEST,   // send it; the answer goes to acme_job_answer
    ACME_NEED_CHALLENGE, // make the answer to the challenge available; then acme_job_challenge_set
    ACME_NEED_CSR,       // then acme_job_csr
    ACME_NEED_WAIT,      // come back in wait_ms
    ACME_NEED_NOTHING,   // job->chain is there
    ACME_NEED_GIVE_UP,   // job->why says why
};
enum acme_method { ACME_GET, ACME_HEAD, ACME_POST };

struct acme_request {
    enum acme_method method; // POST: signed
    struct str url;
    struct str payload;  // empty: POST-as-GET (RFC 8555 6.3)
    bool is_registration; // with the public key instead of the account's URL; payload lacks its last brace
    bool wants_binding;   // and externalAccountBinding goes before that
};

/* An answer of the authority's server. */
struct acme_answer {
    struct str failure; // not empty: there was none, for this reason
    unsigned code;
    struct str location, replay_nonce, retry_after, body;
};

struct acme_job {
    struct acme_authority *authority;
    struct arena arena;
    struct arena request_arena, order_arena, authorization_arena; // for the last of each
    struct str host, replaces; // the certificate that it is to take the place of, as acme_certificate_id has it
    unsigned kinds;            // that can be answered: bits
    unsigned tried;            // of those, what the authority has refused
    int step;
    int64_t wait_ms;
    unsigned nonce_retries;    // of a request that was refused for its nonce
    unsigned account_retries;  // for authorities that do not know us any more
    unsigned orders, polls;
    bool has_waited;
    struct str order_url;
    struct acme_order order;
    bool is_finalized;         // the order has the CSR
    size_t at;                 // authorization
    struct acme_authorization authorization;
    enum acme_kind kind;       // of the challenge that was chosen
    struct str csr;
    struct str chain;
    int64_t now;               // as said last
    struct err why;
    int64_t retry_after_s;     // of a failure: what the authority asks for; 0: nothing
};

void acme_job_init(struct acme_job *j, struct acme_authority *y, struct str host, unsigned kinds,
                   struct str replaces);
void acme_job_fini(struct acme_job *j);
/* What it needs now; request is filled for ACME_NEED_REQUEST, and points into the job. */
enum acme_need acme_job_next(struct acme_job *j, struct acme_request *request);
void acme_job_answer(struct acme_job *j, const struct acme_answer *answer, int64_t now);
void acme_job_challenge_set(struct acme_job *j);
void acme_job_csr(struct acme_job *j, struct str der);
/* What was needed cannot be had. */
void acme_job_fail(struct acme_job *j, const struct err *why);
