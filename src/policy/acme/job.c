/*
 * From nothing to a certificate (RFC 8555 7.1, 7.4, 7.5): one request after the other.
 */
#include <string.h>

#include "policy/acme/acme.h"
#include "text/encode.h"

enum {
    MAX_NONCE_RETRIES = 5, // of one request
    MAX_ACCOUNT_RETRIES = 5,
    MAX_ORDERS = 4,  // one for each kind of challenge, and one for what had become invalid
    MAX_POLLS = 60,  // of an authorization or an order: a quarter of an hour
    POLL_MS = 500,   // the first; each takes so much longer than the one before
    MAX_POLL_MS = 60 * 1000,
};

enum step {
    STEP_DIRECTORY,
    STEP_NONCE,
    STEP_ACCOUNT,
    STEP_ORDER,
    STEP_AUTHORIZATION, // look at it; again, while it is pending
    STEP_CHALLENGE,     // its answer is being made available
    STEP_RESPOND,       // say that it is
    STEP_CSR,
    STEP_FINALIZE,
    STEP_POLL,          // the order
    STEP_DOWNLOAD,
    STEP_DONE,
    STEP_FAILED,
};

/* --- the authority -------------------------------------------------------------------------------------------- */

void acme_authority_init(struct acme_authority *y, struct str directory_url, struct str contact, bool has_binding)
{
    *y = (struct acme_authority){.arena = ARENA_LIMIT(1 << 20), .directory_arena = ARENA_LIMIT(1 << 20),
                                 .has_binding = has_binding};
    y->directory_url = arena_dup(&y->arena, directory_url);
    y->contact = arena_dup(&y->arena, contact);
}

void acme_authority_fini(struct acme_authority *y)
{
    arena_fini(&y->arena);
    arena_fini(&y->directory_arena);
}

void acme_authority_set_account(struct acme_authority *y, struct str url)
{
    url = str_sub(url, 0, sizeof y->account_url);
    memcpy(y->account_url, url.n ? url.p : "", url.n);
    y->account = str_at(y->account_url, url.n);
}

static void keep_nonce(struct acme_authority *y, struct str nonce)
{
    y->nonce_bytes = 0;
    for (size_t i = 0; i < nonce.n; i++) // RFC 8555 6.5.1
        if (!ascii_is_alnum(nonce.p[i]) && nonce.p[i] != '-' && nonce.p[i] != '_')
            return;
    if (nonce.n > sizeof y->nonce)
        return;
    memcpy(y->nonce, nonce.p ? nonce.p : "", nonce.n);
    y->nonce_bytes = nonce.n;
}

/* --- a job ----------------------------------------------------------------------------------------------------- */

void acme_job_init(struct acme_job *j, struct acme_authority *y, struct str host, unsigned kinds,
                   struct str replaces)
{
    *j = (struct acme_job){.authority = y, .arena = ARENA_LIMIT(1 << 20), .request_arena = ARENA_LIMIT(1 << 20),
                           .order_arena = ARENA_LIMIT(1 << 20), .authorization_arena = ARENA_LIMIT(4 << 20),
                           .kinds = kinds, .step = STEP_ORDER};
    j->host = arena_dup(&j->arena, host);
    j->replaces = arena_dup(&j->arena, replaces);
}

void acme_job_fini(struct acme_job *j)
{
    arena_fini(&j->arena);
    arena_fini(&j->request_arena);
    arena_fini(&j->order_arena);
    arena_fini(&j->authorization_arena);
}

static void go(struct acme_job *j, enum step step)
{
    j->step = step;
    j->polls = 0;
    j->has_waited = false;
}

void acme_job_fail(struct acme_job *j, const struct err *why)
{
    if (j->step == STEP_FAILED)
        return;
    j->why = *why;
    j->step = STEP_FAILED;
}

// What is to be asked now: the step's own, or first what it depends on.
static enum step next_step(const struct acme_job *j)
{
    const struct acme_authority *y = j->authority;

    if (j->step == STEP_DONE || j->step == STEP_FAILED || j->step == STEP_CHALLENGE || j->step == STEP_CSR)
        return (enum step)j->step;
    if (!y->has_directory)
        return STEP_DIRECTORY;
    if (!y->nonce_bytes)
        return STEP_NONCE;
    return y->account.n ? (enum step)j->step : STEP_ACCOUNT;
}

static struct str registration(struct acme_job *j)
{
    AUTO_BUF out = BUF_LIMIT(8192);

    // The terms are accepted: whoever names an authority in the configuration has agreed to them.
    BUF_PUT(&out, "{\"termsOfServiceAgreed\":true,\"contact\":[");
    json_put_string(&out, arena_printf(&j->request_arena, "mailto:%.*s", STR_FMT(j->authority->contact)));
    BUF_PUT(&out, "]");
    return arena_dup(&j->request_arena, buf_str(&out));
}

static struct str new_order(struct acme_job *j)
{
    AUTO_BUF out = BUF_LIMIT(8192);

    BUF_PUT(&out, "{\"identifiers\":[{\"type\":\"dns\",\"value\":");
    json_put_string(&out, j->host);
    BUF_PUT(&out, "}]");
    if (j->replaces.n && j->authority->directory.renewal_info.n) { // RFC 9773 5
        BUF_PUT(&out, ",\"replaces\":");
        json_put_string(&out, j->replaces);
    }
    BUF_PUT(&out, "}");
    return arena_dup(&j->request_arena, buf_str(&out));
}

static struct str finalization(struct acme_job *j)
{
    AUTO_BUF out = BUF_LIMIT(32768);

    BUF_PUT(&out, "{\"csr\":\"");
    base64url_encode(&out, j->csr);
    BUF_PUT(&out, "\"}");
    return arena_dup(&j->request_arena, buf_str(&out));
}

static void set_request(struct acme_job *j, enum step step, struct acme_request *out)
{
    const struct acme_directory *d = &j->authority->directory;

    arena_reset(&j->request_arena);
    *out = (struct acme_request){.method = ACME_POST};
    switch (step) {
    case STEP_DIRECTORY:
        *out = (struct acme_request){.method = ACME_GET, .url = j->authority->directory_url};
        break;
    case STEP_NONCE:
        *out = (struct acme_request){.method = ACME_HEAD, .url = d->new_nonce};
        break;
    case STEP_ACCOUNT:
        out->url = d->new_account;
        out->payload = registration(j);
        out->is_registration = true;
        out->wants_binding = j->authority->has_binding;
        break;
    case STEP_ORDER:
        out->url = d->new_order;
        out->payload = new_order(j);
        break;
    case STEP_AUTHORIZATION:
        out->url = j->order.authorizations[j->at];
        break;
    case STEP_RESPOND:
        out->url = j->authorization.challenges[j->kind].url;
        out->payload = STR("{}");
        break;
    case STEP_FINALIZE:
        out->url = j->order.finalize;
        out->payload = finalization(j);
        break;
    case STEP_POLL:
        out->url = j->order_url;
        break;
    case STEP_DOWNLOAD:
        out->url = j->order.certificate;
        break;
    case STEP_CHALLENGE:
    case STEP_CSR:
    case STEP_DONE:
    case STEP_FAILED:
        break;
    }
}

enum acme_need acme_job_next(struct acme_job *j, struct acme_request *request)
{
    enum step step = next_step(j);

    if (step == STEP_DONE)
        return ACME_NEED_NOTHING;
    if (step == STEP_FAILED)
        return ACME_NEED_GIVE_UP;
    if (step == STEP_CHALLENGE)
        return ACME_NEED_CHALLENGE;
    if (step == STEP_CSR)
        return ACME_NEED_CSR;
    if (j->polls && !j->has_waited) {
        j->has_waited = true;
        return ACME_NEED_WAIT;
    }
    set_request(j, step, request);
    return ACME_NEED_REQUEST;
}

void acme_job_challenge_set(struct acme_job *j)
{
    if (j->step == STEP_CHALLENGE)
        go(j, STEP_RESPOND);
}

void acme_job_csr(struct acme_job *j, struct str der)
{
    if (j->step != STEP_CSR)
        return;
    j->csr = arena_dup(&j->arena, der);
    go(j, STEP_FINALIZE);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static const char *name_of(enum step step)
{
    static const char *const names[] = {
        [STEP_DIRECTORY] = "reading its directory", [STEP_NONCE] = "getting a nonce",
        [STEP_ACCOUNT] = "registering an account", [STEP_ORDER] = "ordering a certificate",
        [STEP_AUTHORIZATION] = "reading an authorization", [STEP_CHALLENGE] = "preparing a challenge",
        [STEP_RESPOND] = "answering a challenge", [STEP_CSR] = "making a request",
        [STEP_FINALIZE] = "sending the certificate request", [STEP_POLL] = "reading the order",
        [STEP_DOWNLOAD] = "downloading the certificate", [STEP_DONE] = "", [STEP_FAILED] = "",
    };

    return names[step];
}

static void give_up(struct acme_job *j, enum err_kind kind, const char *doing, struct str why)
{
    struct err e = {0};

    (void)fail(&e, kind, "%s: %.*s", doing, STR_FMT(str_sub(why, 0, 150)));
    acme_job_fail(j, &e);
}

static void give_up_problem(struct acme_job *j, enum step step, unsigned code, const struct acme_problem *p)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 10);
    struct str text = p->type.n ? arena_printf(&a, "%.*s: %.*s", STR_FMT(p->type), STR_FMT(p->detail))
                                : arena_printf(&a, "HTTP status %u", code);

    if (str_eq(p->type, STR("userActionRequired")) && j->authority->directory.terms.n)
        text = arena_printf(&a, "its terms have changed, see %.*s", STR_FMT(j->authority->directory.terms));
    if (str_eq(p->type, STR("externalAccountRequired")))
        text = STR("it wants ExternalAccountBinding in mox.conf: an account of yours at this authority");
    give_up(j, ERR_DENIED, name_of(step), text);
}

// Once more, with what is needed for it; false when it is no use.
static bool may_repeat(struct acme_job *j, enum step step, const struct acme_problem *p)
{
    // RFC 8555 6.5: the answer has a fresh nonce.
    if (str_eq(p->type, STR("badNonce")))
        return j->nonce_retries++ < MAX_NONCE_RETRIES;
    // The authority has forgotten us, or the administrator has named another one.
    if (str_eq(p->type, STR("accountDoesNotExist")) && step != STEP_ACCOUNT) {
        j->authority->account = STR("");
        return j->account_retries++ < MAX_ACCOUNT_RETRIES;
    }
    // RFC 9773 5: an authority that does not know the certificate it would replace.
    if (step == STEP_ORDER && j->replaces.n && !str_eq(p->type, STR("rateLimited"))) {
        j->replaces = STR("");
        return true;
    }
    return false;
}

static bool refused(struct acme_job *j, enum step step, const struct acme_answer *a)
{
    AUTO_ARENA arena = ARENA_LIMIT(64 << 10);
    struct acme_problem problem;

    if (a->code >= 200 && a->code < 300) {
        j->nonce_retries = 0;
        return false;
    }
    acme_problem_parse(&arena, a->body, &problem);
    if (a->code >= 400 && may_repeat(j, step, &problem))
        return true;
    j->retry_after_s = acme_retry_after(a->retry_after, j->now);
    give_up_problem(j, step, a->code, &problem);
    return true;
}

static void poll_later(struct acme_job *j, struct str retry_after)
{
    int64_t asked = acme_retry_after(retry_after, j->now) * 1000;
    int64_t wait = POLL_MS * (1 + (int64_t)j->polls);

    if (++j->polls > MAX_POLLS) {
        give_up(j, ERR_TEMPORARY, name_of((enum step)j->step), STR("the authority does not come to an end"));
        return;
    }
    wait = asked > wait ? asked : wait;
    j->wait_ms = wait < MAX_POLL_MS ? wait : MAX_POLL_MS;
    j->has_waited = false;
}

// A kind that was refused is not tried again: the next order is for another.
static void order_again(struct acme_job *j, const struct acme_problem *p, enum step step)
{
    if (++j->orders < MAX_ORDERS && (j->kinds & ~j->tried)) {
        go(j, STEP_ORDER);
        return;
    }
    give_up_problem(j, step, 0, p);
}

static void poll_order(struct acme_job *j, struct str retry_after)
{
    poll_later(j, retry_after);
    if (j->step != STEP_FAILED)
        j->step = STEP_POLL;
}

static void on_order(struct acme_job *j, struct str retry_after)
{
    switch (j->order.status) {
    case ACME_PENDING:
        if (j->at < j->order.n) {
            go(j, STEP_AUTHORIZATION);
            return;
        }
        poll_order(j, retry_after); // the authorizations are there, the order is not ready yet
        return;
    case ACME_READY:
        if (!j->is_finalized) {
            go(j, j->csr.n ? STEP_FINALIZE : STEP_CSR);
            return;
        }
        poll_order(j, retry_after); // it has the CSR, and would be sent it for ever
        return;
    case ACME_PROCESSING:
        poll_order(j, retry_after);
        return;
    case ACME_VALID:
        if (j->order.certificate.n)
            go(j, STEP_DOWNLOAD);
        else
            give_up(j, ERR_SYNTAX, name_of(STEP_POLL), STR("a finished order without a certificate"));
        return;
    case ACME_INVALID:
        order_again(j, &j->order.problem, STEP_POLL);
        return;
    }
}

// The first kind that is offered, that we can answer, and that was not refused.
static bool choose(struct acme_job *j)
{
    for (unsigned kind = 0; kind < ACME_KINDS; kind++)
        if (j->authorization.challenges[kind].url.n && (j->kinds & ~j->tried & ACME_KIND_BIT(kind))) {
            j->kind = (enum acme_kind)kind;
            return true;
        }
    return false;
}

static void on_authorization(struct acme_job *j, struct str retry_after)
{
    const struct acme_problem *problem = &j->authorization.challenges[j->kind].problem;
    bool has_answered = j->polls || j->has_waited;

    switch (j->authorization.status) {
    case ACME_VALID:
        j->at++;
        go(j, j->at < j->order.n ? STEP_AUTHORIZATION : STEP_POLL);
        return;
    case ACME_PENDING:
        if (has_answered)
            poll_later(j, retry_after);
        else if (choose(j))
            go(j, STEP_CHALLENGE);
        else
            give_up(j, ERR_DENIED, name_of(STEP_AUTHORIZATION),
                    STR("it offers no challenge that this server can answer"));
        return;
    case ACME_INVALID:
    case ACME_READY:
    case ACME_PROCESSING:
        break;
    }
    if (has_answered)
        j->tried |= ACME_KIND_BIT(j->kind);
    if (problem->type.n)
        order_again(j, problem, STEP_RESPOND);
    else
        order_again(j, &(struct acme_problem){STR("unauthorized"), STR("the authorization is not valid")},
                    STEP_AUTHORIZATION);
}

static void on_account(struct acme_job *j, const struct acme_answer *a)
{
    if (acme_is_url(a->location))
        acme_authority_set_account(j->authority, a->location);
    else
        give_up(j, ERR_SYNTAX, name_of(STEP_ACCOUNT), STR("no URL of the account"));
}

// RFC 8555 9.1: PEM, of certificates alone.
static void on_chain(struct acme_job *j, struct str body)
{
    if (!str_starts(str_trim(body), STR("-----BEGIN CERTIFICATE-----")) ||
        str_find_str(body, STR("PRIVATE KEY")) >= 0) {
        give_up(j, ERR_SYNTAX, name_of(STEP_DOWNLOAD), STR("what came is no certificate"));
        return;
    }
    j->chain = arena_dup(&j->arena, body);
    go(j, STEP_DONE);
}

static bool take_order(struct acme_job *j, const struct acme_answer *a, enum step step, struct err *e)
{
    bool is_new = step == STEP_ORDER;

    arena_reset(&j->order_arena);
    if (!acme_order_parse(&j->order_arena, a->body, &j->order, e))
        return false;
    if (is_new && !acme_is_url(a->location))
        return fail(e, ERR_SYNTAX, "no URL of the order");
    if (is_new) {
        j->order_url = arena_dup(&j->arena, a->location);
        j->at = 0;
    }
    j->is_finalized = step == STEP_FINALIZE || (j->is_finalized && !is_new);
    on_order(j, a->retry_after);
    return true;
}

static void take(struct acme_job *j, enum step step, const struct acme_answer *a)
{
    struct err e = {0};
    bool is_ok = true;

    switch (step) {
    case STEP_DIRECTORY:
        arena_reset(&j->authority->directory_arena);
        is_ok = acme_directory_parse(&j->authority->directory_arena, a->body, &j->authority->directory, &e);
        j->authority->has_directory = is_ok;
        break;
    case STEP_NONCE:
        is_ok = j->authority->nonce_bytes || fail(&e, ERR_SYNTAX, "there is none");
        break;
    case STEP_ACCOUNT:
        on_account(j, a);
        break;
    case STEP_ORDER:
    case STEP_FINALIZE:
    case STEP_POLL:
        is_ok = take_order(j, a, step, &e);
        break;
    case STEP_AUTHORIZATION:
        arena_reset(&j->authorization_arena);
        is_ok = acme_authorization_parse(&j->authorization_arena, a->body, &j->authorization, &e);
        if (is_ok)
            on_authorization(j, a->retry_after);
        break;
    case STEP_RESPOND:
        go(j, STEP_AUTHORIZATION);
        poll_later(j, a->retry_after);
        break;
    case STEP_DOWNLOAD:
        on_chain(j, a->body);
        break;
    case STEP_CHALLENGE:
    case STEP_CSR:
    case STEP_DONE:
    case STEP_FAILED:
        break;
    }
    if (!is_ok)
        give_up(j, ERR_SYNTAX, name_of(step), str_of(e.text));
}

void acme_job_answer(struct acme_job *j, const struct acme_answer *a, int64_t now)
{
    enum step step = next_step(j);

    j->now = now;
    // A nonce is good for one request, and the answer to it brings the next (RFC 8555 6.5).
    if (step != STEP_DIRECTORY)
        keep_nonce(j->authority, a->replay_nonce);
    if (a->failure.n) {
        // A directory that led here may be an old one.
        j->authority->has_directory = false;
        give_up(j, ERR_TEMPORARY, name_of(step), a->failure);
    } else if (!refused(j, step, a)) {
        take(j, step, a);
    }
}
