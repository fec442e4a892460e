/*
 * One request, for the queue or whoever else it is for.
 */
#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/process.h"
#include "policy/mtasts.h"
#include "role/fetch/fetch.h"
#include "role/fetch/https.h"

enum {
    FETCH_MS = 60000,   // for all of it (RFC 8461 3.3)
    MAX_POST = 10 << 20,
    ASK_MS = 10000,     // until the queue says what is wanted
    DIAL_EACH_MS = 10000,
    MAX_ADDRESSES = 6,  // that are tried
    HTTPS_PORT = 443,
};

bool fetch_give_resolver(void *ctx, struct channel *out, struct err *e)
{
    struct fetch *f = ctx;

    if (f->resolve_fd < 0)
        return fail(e, ERR_TEMPORARY, "resolve is gone");
    *out = (struct channel){f->resolve_fd, ROLE_FETCH, ROLE_RESOLVE};
    f->resolve_fd = -1;
    return true;
}

static int time_left(const struct fetch *f)
{
    int64_t left = f->deadline_ms - os_monotonic_ms();

    return left > 0 ? (int)left : 0;
}

// Who asked may have given its place to another: then this one is not to take a place of the monitor's for longer.
static bool is_given_up(void *ctx)
{
    const struct fetch *f = ctx;

    return channel_has_ended(&f->asker);
}

/* --- a connection ---------------------------------------------------------------------------------- */

/* A connected socket; -1 when this address does not answer. */
static int dial(struct fetch *f, struct str address, unsigned port, struct err *e)
{
    uint32_t timeout = (uint32_t)(time_left(f) < DIAL_EACH_MS ? time_left(f) : DIAL_EACH_MS);
    struct ipc_dialed m;

    if (!IPC_SEND(&f->dial, dial, NULL, 0, e, .address = address, .port = port,
                  .timeout_ms = timeout) ||
        !channel_expect(&f->dial, IPC_dialed, f->packet, (int)timeout + 5000, e) ||
        !ipc_dialed_get(f->packet->body, &m, e))
        return -1;
    if (m.outcome == IPC_DIAL_OK && f->packet->n_fds)
        return packet_take_fd(f->packet, 0);
    (void)fail(e, ERR_TEMPORARY, "%.*s", STR_FMT(m.why));
    return -1;
}

static size_t add_addresses(const struct dns_answer *answer, struct str *out, size_t n)
{
    for (size_t i = 0; i < answer->n && i < MAX_ADDRESSES / 2; i++)
        out[n++] = answer->records[i].data;
    return n;
}

/* ERR_NOT_FOUND when there is no such host. */
static int connect_to(struct fetch *f, struct str host, unsigned port, struct err *e)
{
    struct dns dns = resolver_dns(&f->resolver);
    struct str addresses[MAX_ADDRESSES];
    struct dns_answer four, six;
    size_t n;
    int fd = -1;

    dns_prefetch(&dns, host, DNS_AAAA);
    dns_lookup(&dns, &f->arena, host, DNS_A, &four);
    dns_lookup(&dns, &f->arena, host, DNS_AAAA, &six);
    n = add_addresses(&six, addresses, add_addresses(&four, addresses, 0));
    if (!n) {
        bool is_none = dns_is_none(&four) && dns_is_none(&six);

        (void)fail(e, is_none ? ERR_NOT_FOUND : ERR_TEMPORARY, "no address of %.*s: %.*s",
                   STR_FMT(host), STR_FMT(is_none ? STR("there is none") : four.why.n ? four.why : six.why));
        return -1;
    }
    for (size_t i = 0; i < n && fd < 0 && time_left(f) && !is_given_up(f); i++)
        fd = dial(f, addresses[i], port, e);
    return fd;
}

/* --- MTA-STS ----------------------------------------------------------------------------------------- */

struct sts_result {
    enum ipc_sts_outcome outcome;
    struct mtasts_policy policy;
    struct str id; // of the record, if it was looked up
};

// RFC 8461 3.3: text/plain, whatever its parameters, so that a page which a user of the site may put
// there is no policy.
static bool is_plain_text(struct str type)
{
    struct str media, parameters;

    if (!str_cut(type, ';', &media, &parameters))
        media = type;
    return str_eq_ci(str_trim(media), STR("text/plain"));
}

static enum ipc_sts_outcome take_answer(struct fetch *f, const struct https_answer *answer,
                                        struct mtasts_policy *policy, struct err *e)
{
    switch (answer->status) {
    case HTTPS_UNTRUSTED:
        return IPC_STS_UNTRUSTED;
    case HTTPS_FAILED:
        return IPC_STS_NOT_FETCHED;
    case HTTPS_TOO_LARGE:
        return IPC_STS_INVALID;
    case HTTPS_ANSWER:
        break;
    }
    if (answer->code != 200) {
        (void)fail(e, ERR_TEMPORARY, "HTTP status %ld", answer->code);
        return answer->code == 404 ? IPC_STS_NONE : IPC_STS_NOT_FETCHED;
    }
    if (!is_plain_text(answer->content_type)) {
        (void)fail(e, ERR_SYNTAX, "its type is not text/plain");
        return IPC_STS_INVALID;
    }
    return mtasts_policy_parse(&f->arena, answer->body, policy, e) ? IPC_STS_POLICY : IPC_STS_INVALID;
}

static void count(struct fetch *f, const struct https_request *request, const struct https_answer *answer, int64_t began_ms)
{
    static const char *const names[] = {[HTTPS_GET] = "get", [HTTPS_HEAD] = "head", [HTTPS_POST] = "post"};

    METRIC_TIME(httpclient_request_duration_seconds, os_monotonic_ms() - began_ms, f->asker.peer,
                metric_word(METRIC_httpclient_request_duration_seconds, 1, str_of(names[request->method])),
                metric_code((unsigned)answer->code), answer->status != HTTPS_ANSWER);
}

static void fetch_policy(struct fetch *f, struct str domain, struct sts_result *out, struct err *e)
{
    struct str host = arena_printf(&f->arena, MTASTS_HOST_PREFIX "%.*s", STR_FMT(domain));
    struct https_request request = {.host = arena_cstring(&f->arena, host), .path = MTASTS_PATH,
                                    .max_body = MTASTS_MAX_POLICY,
                                    .is_given_up = is_given_up, .ctx = f};
    struct https_answer answer;
    int64_t began_ms;

    request.fd = connect_to(f, host, HTTPS_PORT, e);
    if (request.fd < 0) {
        out->outcome = e->kind == ERR_NOT_FOUND ? IPC_STS_NONE : IPC_STS_NOT_FETCHED;
        return;
    }
    *e = (struct err){0}; // of addresses that did not answer
    request.timeout_ms = time_left(f) + 1; // 0 would be for ever
    began_ms = os_monotonic_ms();
    https_ask(&f->arena, &request, &answer, e);
    count(f, &request, &answer, began_ms);
    out->outcome = take_answer(f, &answer, &out->policy, e);
}

/*
 * The record of a policy that is kept. True when its policy is to be fetched: it has another id. A record
 * that cannot be used is as good as none (RFC 8461 3.1).
 */
static bool check_record(struct fetch *f, const struct ipc_sts_fetch *asked, struct sts_result *out,
                         struct err *e)
{
    struct dns dns = resolver_dns(&f->resolver);
    struct mtasts_record record;
    struct str text;
    bool is_secure;

    if (!mtasts_find(&dns, &f->arena, asked->domain, &record, &text, &is_secure, e)) {
        out->outcome = e->kind == ERR_TEMPORARY ? IPC_STS_NOT_FETCHED : IPC_STS_GONE;
        return false;
    }
    out->id = record.id;
    out->outcome = IPC_STS_UNCHANGED;
    return !str_eq(record.id, asked->known_id);
}

static void answer_sts(struct fetch *f, const struct ipc_sts_fetch *asked)
{
    AUTO_BUF mx = BUF_LIMIT(IPC_MAX_STS_MX);
    struct sts_result r = {.outcome = IPC_STS_NOT_FETCHED};
    struct err e = {0}, failed = {0};
    struct str domain = asked->domain;
    int64_t began_ms = os_monotonic_ms();
    bool has_lookup = true; // deliver has looked

    if (!asked->is_refresh || (has_lookup = check_record(f, asked, &r, &e)))
        fetch_policy(f, domain, &r, &e);
    METRIC_TIME(mtasts_get_duration_seconds, os_monotonic_ms() - began_ms,
                r.outcome == IPC_STS_POLICY || r.outcome == IPC_STS_UNCHANGED ? METRIC_STS_OK
                : has_lookup                                                  ? METRIC_STS_FETCH_ERROR
                                                                              : METRIC_STS_LOOKUP_ERROR);
    mtasts_mx_put(&mx, &r.policy);
    LOG(LOG_DEBUG, "mtasts", "policy fetched", LOG_S("domain", domain),
        LOG_N("outcome", r.outcome), LOG_S("mode", str_of(mtasts_mode_name(r.policy.mode))),
        LOG_E(&e));
    if (!IPC_SEND(&f->asker, sts_fetched, NULL, 0, &failed, .outcome = (uint8_t)r.outcome,
                  .id = r.id,
                  .mode = (uint8_t)r.policy.mode, .max_age = r.policy.max_age,
                  .mx = r.outcome == IPC_STS_POLICY ? buf_str(&mx) : STR(""),
                  .why = str_of(e.text)))
        LOG(LOG_INFO, "mtasts", "the queue does not take the answer", LOG_E(&failed));
}

/* --- any request --------------------------------------------------------------------------------------- */

static enum ipc_web_outcome outcome_of(enum https_status status)
{
    switch (status) {
    case HTTPS_ANSWER:
        return IPC_WEB_ANSWER;
    case HTTPS_UNTRUSTED:
        return IPC_WEB_UNTRUSTED;
    case HTTPS_TOO_LARGE:
        return IPC_WEB_TOO_LARGE;
    case HTTPS_FAILED:
        break;
    }
    return IPC_WEB_FAILED;
}

static enum ipc_web_outcome ask_web(struct fetch *f, const struct ipc_web_fetch *asked, const struct url *url,
                                    struct str body, struct https_answer *out, struct err *e)
{
    static const enum https_method methods[] = {
        [IPC_WEB_GET] = HTTPS_GET, [IPC_WEB_HEAD] = HTTPS_HEAD, [IPC_WEB_POST] = HTTPS_POST};
    struct https_request request = {.method = methods[asked->method], .port = url->port, .body = body,
                                    .host = arena_cstring(&f->arena, url->host), .fields = asked->fields,
                                    .path = arena_cstring(&f->arena, url->target), .max_body = asked->max_body,
                                    .is_given_up = is_given_up, .ctx = f};
    int64_t began_ms;

    request.fd = connect_to(f, url->host, url->port, e);
    if (request.fd < 0)
        return e->kind == ERR_NOT_FOUND ? IPC_WEB_NO_HOST : IPC_WEB_FAILED;
    *e = (struct err){0}; // of addresses that did not answer
    request.timeout_ms = time_left(f) + 1; // 0 would be for ever
    began_ms = os_monotonic_ms();
    https_ask(&f->arena, &request, out, e);
    count(f, &request, out, began_ms);
    return outcome_of(out->status);
}

static bool read_asked(struct fetch *f, struct packet *p, struct ipc_web_fetch *m, struct url *url, struct str *body,
                       struct err *e)
{
    AUTO_FD fd = p->n_fds ? packet_take_fd(p, 0) : -1;

    if (!ipc_web_fetch_get(p->body, m, e))
        return false;
    m->url = arena_dup(&f->arena, m->url);
    m->fields = arena_dup(&f->arena, m->fields);
    return (m->method || fail(e, ERR_SYNTAX, "no method")) && url_parse(m->url, url, e) &&
           (url->is_https || fail(e, ERR_DENIED, "only https is asked for")) &&
           https_check_fields(m->fields, e) &&
           (fd < 0 || os_read_fd(&f->arena, fd, MAX_POST, body, e));
}

static bool answer_web(struct fetch *f, struct packet *p)
{
    struct ipc_web_fetch m;
    struct https_answer answer = {0};
    struct err e = {0}, failed = {0};
    enum ipc_web_outcome outcome;
    struct str body = {0};
    struct url url;

    if (!read_asked(f, p, &m, &url, &body, &e)) {
        LOG(LOG_ERROR, "fetch", "what is to be fetched is not a request", LOG_E(&e));
        return false;
    }
    if (m.timeout_ms < FETCH_MS)
        f->deadline_ms = f->resolver.deadline_ms = os_monotonic_ms() + m.timeout_ms;
    os_title_set("mox: fetch %.*s", STR_FMT(url.host));
    outcome = ask_web(f, &m, &url, body, &answer, &e);
    LOG(LOG_DEBUG, "fetch", "web server asked", LOG_S("url", m.url), LOG_N("method", m.method),
        LOG_N("outcome", outcome), LOG_N("code", (uint64_t)answer.code), LOG_E(&e));
    if (!IPC_SEND(&f->asker, web_fetched, NULL, 0, &failed, .outcome = (uint8_t)outcome,
                  .code = (uint32_t)answer.code, .content_type = answer.content_type,
                  .location = answer.location, .replay_nonce = answer.replay_nonce,
                  .retry_after = answer.retry_after, .links = answer.links,
                  .body = outcome == IPC_WEB_ANSWER ? answer.body : STR(""), .why = str_of(e.text)))
        LOG(LOG_INFO, "fetch", "nobody takes the answer", LOG_E(&failed));
    return true;
}

static bool answer_policy(struct fetch *f, struct packet *p)
{
    struct ipc_sts_fetch sts;
    struct err e = {0};

    if (!ipc_sts_fetch_get(p->body, &sts, &e) || !dns_name_is_ok(sts.domain))
        return false;
    sts.domain = arena_dup(&f->arena, sts.domain);
    sts.known_id = arena_dup(&f->arena, sts.known_id);
    os_title_set("mox: fetch %.*s", STR_FMT(sts.domain));
    answer_sts(f, &sts);
    return true;
}

bool fetch_serve(struct fetch *f)
{
    struct packet *p = f->packet;
    struct err e = {0};

    f->deadline_ms = f->resolver.deadline_ms = os_monotonic_ms() + FETCH_MS;
    if (channel_receive(&f->asker, p, ASK_MS, &e) != CHANNEL_MESSAGE)
        return true;
    return p->type == IPC_web_fetch ? answer_web(f, p) : answer_policy(f, p);
}
