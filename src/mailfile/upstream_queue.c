/*
 * Upstream's queue, and its cache of other domains' MTA-STS policies.
 */
#include "base/ip.h"
#include "mailfile/upstream_priv.h"
#include "mailfile/upstream_server.h"
#include "message/header.h"

/* --- messages ------------------------------------------------------------------------------------- */

enum { MSG_ID, MSG_QUEUED, MSG_ACCOUNT, MSG_FROM, MSG_FROM_DOMAIN, MSG_FROM_DOMAIN_TEXT, MSG_FROM_ID, MSG_TO,
       MSG_TO_DOMAIN, MSG_ATTEMPTS, MSG_MAX_ATTEMPTS, MSG_NEXT, MSG_LAST, MSG_RESULTS, MSG_LAST_ERROR, MSG_8BIT,
       MSG_UTF8, MSG_DMARC, MSG_TLS, MSG_SIZE, MSG_MESSAGE_ID, MSG_PREFIX, MSG_TRANSPORT, MSG_REQUIRE_TLS,
       MSG_FUTURE, MSG_HOLD, MSG_SUCCESS, MSG_ACTIVITY, MSG_KEEP, MSG_COUNT };
static const char *const message_fields[MSG_COUNT] = {
    "ID", "Queued", "SenderAccount", "SenderLocalpart", "SenderDomain", "SenderDomainStr", "FromID",
    "RecipientLocalpart", "RecipientDomain", "Attempts", "MaxAttempts", "NextAttempt", "LastAttempt", "Results",
    "LastError", "Has8bit", "SMTPUTF8", "IsDMARCReport", "IsTLSReport", "Size", "MessageID", "MsgPrefix",
    "Transport", "RequireTLS", "FutureReleaseRequest", "Hold", "Success", "LastActivity", "KeepUntil"};

// An address literal, or a domain; text: the domain of a record that has no more than its name.
static void put_domain(struct buf *out, struct arena *a, const struct bstore_value *domain, struct str text)
{
    struct str name = bstore_in(domain, "Domain.ASCII")->text;
    struct ip ip;

    if (ip_of_bytes(bstore_in(domain, "IP")->text, &ip)) {
        ip = ip_unmapped(&ip);
        buf_put(out, ip.family == 6 ? STR("[IPv6:") : STR("["));
        ip_put(out, &ip);
        BUF_PUT(out, "]");
    } else {
        buf_put(out, name.n ? name : upstream_ascii(a, text));
    }
}

// Empty: the null reverse path, or an address that is none.
static struct str address_of(struct arena *a, struct str localpart, const struct bstore_value *domain, struct str text)
{
    AUTO_BUF out = BUF_LIMIT(4096);
    struct address parsed;
    size_t n;

    if (!localpart.n)
        return STR("");
    address_put_localpart(&out, localpart);
    BUF_PUT(&out, "@");
    n = out.n;
    put_domain(&out, a, domain, text);
    return out.n > n && !out.full && address_parse_spec(a, buf_str(&out), &parsed) ? arena_dup(a, buf_str(&out))
                                                                                    : STR("");
}

static uint32_t small(uint64_t number)
{
    return number < UINT16_MAX ? (uint32_t)number : UINT16_MAX;
}

static void read_results(struct arena *a, const struct bstore_value *v, struct upstream_queued *out)
{
    const struct bstore_value *list = &v[MSG_RESULTS];
    struct upstream_attempt *results = ARENA_ARRAY(a, list->n_items + 1, struct upstream_attempt);

    for (size_t i = 0; i < list->n_items; i++) {
        const struct bstore_value *r = &list->items[i];

        results[i] = (struct upstream_attempt){
            .started_unix = bstore_in(r, "Start")->unix_seconds,
            .duration_ms = (int64_t)bstore_in(r, "Duration")->number / 1000000,
            .is_success = bstore_in(r, "Success")->is_set, .code = small(bstore_in(r, "Code")->number),
            .enhanced = bstore_in(r, "Secode")->text, .text = bstore_in(r, "Error")->text};
    }
    out->n_results = list->n_items;
    // As it was before attempts were kept.
    if (!out->n_results && v[MSG_LAST_ERROR].text.n)
        results[out->n_results++] = (struct upstream_attempt){.started_unix = out->last_attempt_unix,
                                                              .text = v[MSG_LAST_ERROR].text};
    out->results = results;
}

static void read_message(struct arena *a, const struct bstore_value *v, struct upstream_queued *out)
{
    *out = (struct upstream_queued){
        .id = v[MSG_ID].number, .size = v[MSG_SIZE].number, .queued_unix = v[MSG_QUEUED].unix_seconds,
        .next_attempt_unix = v[MSG_NEXT].unix_seconds, .last_attempt_unix = v[MSG_LAST].unix_seconds,
        .account = v[MSG_ACCOUNT].text,
        .reverse_path = address_of(a, v[MSG_FROM].text, &v[MSG_FROM_DOMAIN], v[MSG_FROM_DOMAIN_TEXT].text),
        .recipient = address_of(a, v[MSG_TO].text, &v[MSG_TO_DOMAIN], STR("")),
        .transport = v[MSG_TRANSPORT].text, .message_id = v[MSG_MESSAGE_ID].text,
        .future_release = v[MSG_FUTURE].text, .prefix = v[MSG_PREFIX].text,
        .has_own_path = v[MSG_FROM_ID].is_set, .attempts = small(v[MSG_ATTEMPTS].number),
        .max_attempts = small(v[MSG_MAX_ATTEMPTS].number),
        .require_tls = v[MSG_REQUIRE_TLS].is_set ? (v[MSG_REQUIRE_TLS].number ? 1 : 2) : 0,
        .is_held = v[MSG_HOLD].is_set, .is_8bit = v[MSG_8BIT].is_set, .is_smtputf8 = v[MSG_UTF8].is_set,
        .is_report = v[MSG_DMARC].is_set || v[MSG_TLS].is_set, .is_success = v[MSG_SUCCESS].is_set,
        .last_activity_unix = v[MSG_ACTIVITY].unix_seconds, .keep_until_unix = v[MSG_KEEP].unix_seconds};
    read_results(a, v, out);
}

static bool on_queued(void *ctx, const struct bstore_record *record, struct err *e)
{
    struct upstream_queue_reader *r = ctx;
    struct upstream_queued m;

    read_message(record->a, record->values, &m);
    return r->queued(r->ctx, &m, e);
}

static bool on_retired(void *ctx, const struct bstore_record *record, struct err *e)
{
    struct upstream_queue_reader *r = ctx;
    struct upstream_queued m;

    read_message(record->a, record->values, &m);
    return r->retired(r->ctx, &m, e);
}

/* --- the rest of the queue -------------------------------------------------------------------------- */

static bool on_hold_rule(void *ctx, const struct bstore_record *record, struct err *e)
{
    const struct bstore_value *v = record->values;
    struct upstream_queue_reader *r = ctx;
    struct upstream_hold_rule rule = {v[0].text, upstream_ascii(record->a, v[1].text),
                                      upstream_ascii(record->a, v[2].text)};

    // A rule of a domain that is none would hold all.
    if ((v[1].text.n && !rule.sender_domain.n) || (v[2].text.n && !rule.recipient_domain.n))
        return true;
    return r->hold_rule(r->ctx, &rule, e);
}

static bool on_suppression(void *ctx, const struct bstore_record *record, struct err *e)
{
    const struct bstore_value *v = record->values;
    struct upstream_queue_reader *r = ctx;

    return r->suppression(r->ctx, &(struct upstream_suppression){
        .created_unix = v[0].unix_seconds, .account = v[1].text, .base_address = v[2].text,
        .address = v[3].text, .is_manual = v[4].is_set, .reason = v[5].text}, e);
}

static bool on_hook(void *ctx, const struct bstore_record *record, struct err *e)
{
    struct upstream_queue_reader *r = ctx;

    (void)record, (void)e;
    r->n_hooks++;
    return true;
}

bool upstream_queue_read(struct str file, struct upstream_queue_reader *r, struct err *e)
{
    const struct upstream_table tables[] = {
        // First: a message may have been released that a rule would hold.
        {"HoldRule", false, on_hold_rule,
         UPSTREAM_WANTED("Account", "SenderDomainStr", "RecipientDomainStr")},
        {"Suppression", false, on_suppression,
         UPSTREAM_WANTED("Created", "Account", "BaseAddress", "OriginalAddress", "Manual", "Reason")},
        {"MsgRetired", false, on_retired, message_fields, MSG_COUNT},
        {"Msg", true, on_queued, message_fields, MSG_COUNT},
        {"Hook", false, on_hook, UPSTREAM_WANTED("ID")},
    };

    r->n_hooks = 0;
    return upstream_tables_read(file, tables, COUNT(tables), r, e);
}

/* --- policies ------------------------------------------------------------------------------------- */

enum { POLICY_DOMAIN, POLICY_ID, POLICY_UPDATED, POLICY_USED, POLICY_END, POLICY_FAILED, POLICY_MODE, POLICY_MX,
       POLICY_AGE, POLICY_COUNT };
static const char *const policy_fields[POLICY_COUNT] = {"Domain", "RecordID", "LastUpdate", "LastUse", "ValidEnd",
                                                        "Backoff", "Mode", "MX", "MaxAgeSeconds"};

struct policies {
    upstream_policy_fn *fn;
    void *ctx;
};

static bool read_mx(struct arena *a, const struct bstore_value *list, struct mtasts_policy *out, struct err *e)
{
    AUTO_BUF text = BUF_LIMIT(MTASTS_MAX_POLICY);

    for (size_t i = 0; i < list->n_items; i++) {
        if (i)
            BUF_PUT(&text, " ");
        if (bstore_in(&list->items[i], "Wildcard")->is_set)
            BUF_PUT(&text, "*.");
        buf_put(&text, bstore_in(&list->items[i], "Domain.ASCII")->text);
    }
    return !text.full && mtasts_mx_parse(a, arena_dup(a, buf_str(&text)), out, e);
}

static bool on_policy(void *ctx, const struct bstore_record *record, struct err *e)
{
    const struct bstore_value *v = record->values;
    const struct policies *r = ctx;
    struct upstream_policy p = {.domain = upstream_ascii(record->a, v[POLICY_DOMAIN].text),
                                .id = v[POLICY_ID].text, .updated_unix = v[POLICY_UPDATED].unix_seconds,
                                .used_unix = v[POLICY_USED].unix_seconds,
                                .valid_until_unix = v[POLICY_END].unix_seconds};
    struct err no_policy = {0};

    p.policy.max_age = v[POLICY_AGE].number < MTASTS_MAX_AGE ? (uint32_t)v[POLICY_AGE].number : MTASTS_MAX_AGE;
    // What cannot be one is fetched anew when it is wanted.
    if (v[POLICY_FAILED].is_set || !p.domain.n || p.id.n > MTASTS_MAX_ID ||
        !mtasts_mode_parse(v[POLICY_MODE].text, &p.policy.mode) ||
        !read_mx(record->a, &v[POLICY_MX], &p.policy, &no_policy))
        return true;
    return r->fn(r->ctx, &p, e);
}

bool upstream_policies_read(struct str file, upstream_policy_fn *fn, void *ctx, struct err *e)
{
    const struct upstream_table table = {"PolicyRecord", true, on_policy, policy_fields, POLICY_COUNT};

    return upstream_tables_read(file, &table, 1, &(struct policies){fn, ctx}, e);
}
