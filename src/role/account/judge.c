#include "role/account/judge.h"

#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "crypto/crypto.h"
#include "ipc/metrics.h"
#include "message/header.h"
#include "os/clock.h"
#include "role/account/account.h"
#include "role/account/report.h"

enum { BLOCK = 64 * 1024, MAX_READERS = 4 };

// What the engine numbers is what the store keeps.
_Static_assert((int)DECIDE_FROM_PROVED == (int)SIGN_FROM_PROVED &&
                  (int)DECIDE_FROM == (int)SIGN_FROM &&
                  (int)DECIDE_FROM_ORG == (int)SIGN_FROM_ORG && (int)DECIDE_DKIM == (int)SIGN_DKIM &&
                  (int)DECIDE_HELLO == (int)SIGN_HELLO && (int)DECIDE_IP3 == (int)SIGN_IP3,
              "signs have one number each");
_Static_assert((int)DECIDE_MAX_SIGNS == (int)STORE_MAX_SIGNS &&
                  (int)DECIDE_MAX_HISTORY == (int)STORE_MAX_HISTORY &&
                  (int)DECIDE_NETWORKS == (int)STORE_NETWORKS, "and one limit");

// Opening one costs more than all its questions.
static struct store_reader *idle_readers[MAX_READERS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct store_reader *take_reader(struct err *e)
{
    struct store_reader *r = NULL;

    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < MAX_READERS && !r; i++) {
        r = idle_readers[i];
        idle_readers[i] = NULL;
    }
    pthread_mutex_unlock(&lock);
    return r ? r : store_reader_open(e);
}

static void give_reader(struct store_reader *r)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < MAX_READERS && r; i++)
        if (!idle_readers[i]) {
            idle_readers[i] = r;
            r = NULL;
        }
    pthread_mutex_unlock(&lock);
    store_reader_close(r);
}

/* What the questions are answered with. */
struct source {
    struct store_reader *reader;
    const struct store_new *m;
    bool is_opaque; // its bytes are not looked at
    struct str mailbox;
    uint64_t mailbox_id; // of it; 0: not there
    bool is_smtputf8;
    const struct ipc_findings *findings;
    struct str mail_from;
    bool is_report;
    struct buf report_errors; // fields that say why it is none
};

static bool ask_history(void *ctx, struct arena *a, struct str mailbox, enum decide_sign sign,
                        struct str value, int64_t since_unix, size_t max, struct decide_judged *out,
                        size_t *n, struct err *e)
{
    struct source *s = ctx;
    struct store_judged found[STORE_MAX_HISTORY];

    *n = 0;
    if (!str_eq(s->mailbox, mailbox)) {
        struct store_mailbox there;
        struct err missing = {0};

        s->mailbox_id = 0;
        if (store_mailbox_find(s->reader, a, mailbox, &there, &missing)) {
            s->mailbox_id = there.id;
        } else if (missing.kind != ERR_NOT_FOUND) {
            *e = missing;
            return false;
        }
        s->mailbox = mailbox;
    }
    if (!s->mailbox_id)
        return true;
    if (!store_history(s->reader, a, s->mailbox_id, (enum store_sign_kind)sign, value, since_unix,
                       max, found, n, e))
        return false;
    for (size_t i = 0; i < *n; i++)
        out[i] = (struct decide_judged){found[i].is_junk, found[i].who};
    return true;
}

static bool ask_written(void *ctx, struct str localpart, struct str domain, bool with_subdomains,
                        int64_t since_unix, bool *out, struct err *e)
{
    struct source *s = ctx;

    return store_has_written(s->reader, localpart, domain, with_subdomains, since_unix, out, e);
}

static bool ask_traffic(void *ctx, struct str network, int64_t now_unix, struct decide_traffic *out,
                        struct err *e)
{
    struct source *s = ctx;
    struct store_arrivals minute, day;

    if (!store_arrivals(s->reader, network, now_unix, &minute, &day, e))
        return false;
    *out = (struct decide_traffic){minute.messages, minute.bytes, day.messages, day.bytes};
    return true;
}

static bool ask_key(void *ctx, struct arena *a, struct str address, struct str *out, struct err *e)
{
    char key[STORE_SUBJECTPASS_KEY];

    (void)ctx;
    if (!store_subjectpass_key(account.store, address, key, e))
        return false;
    *out = arena_dup(a, str_at(key, sizeof key));
    return true;
}

/* --- the bytes ---------------------------------------------------------------------------------- */

typedef void block_fn(void *ctx, struct str bytes);

static bool each_block(const struct store_new *m, struct arena *a, uint64_t most, block_fn *fn,
                       void *ctx, struct err *e)
{
    char *block = arena_alloc(a, BLOCK);

    for (uint64_t at = 0; at < m->size && at < most;) {
        ssize_t n = pread(m->fd, block, m->size - at < BLOCK ? (size_t)(m->size - at) : BLOCK,
                          (off_t)(m->offset + at));

        if (n <= 0)
            return n < 0 ? fail_errno(e, "read message")
                         : fail(e, ERR_TEMPORARY, "message is shorter than announced");
        fn(ctx, str_at(block, (size_t)n));
        at += (size_t)n;
    }
    return true;
}

static void put_block(void *ctx, struct str bytes)
{
    buf_put(ctx, bytes);
}

static void hash_block(void *ctx, struct str bytes)
{
    sha256_put(ctx, bytes);
}

static void parse_block(void *ctx, struct str bytes)
{
    mime_parser_feed(ctx, bytes);
}

// As much of the header as is looked at.
static bool read_header(struct arena *a, const struct store_new *m, struct str *out, struct err *e)
{
    AUTO_BUF bytes = BUF_LIMIT(DECIDE_MAX_HEADER + BLOCK);
    struct cur c;
    struct str line;

    if (!each_block(m, a, DECIDE_MAX_HEADER, put_block, &bytes, e))
        return false;
    c = cur_of(buf_str(&bytes));
    while (cur_line(&c, &line) && line.n)
        ;
    *out = arena_dup(a, str_sub(buf_str(&bytes), 0, (size_t)(c.p - bytes.p)));
    return true;
}

// What others wrote may be in it.
static void put_field(struct buf *out, struct str name, struct str value)
{
    AUTO_BUF text = BUF_LIMIT(4096);
    size_t before = out->n;
    struct err e = {0};

    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];

        buf_put_char(&text, c < 32 || c >= 127 ? '?' : (char)c);
    }
    if (!header_put(out, name, buf_str(&text), &e))
        out->n = before;
}

static void put_words(struct buf *out, const char *kind, const struct junk_decider *words, size_t n,
                      bool is_smtputf8)
{
    buf_printf(out, "%s", kind);
    for (size_t i = 0; i < n && out->n < 300; i++)
        if (is_smtputf8 || str_is_ascii(words[i].text))
            buf_printf(out, " %.*s %.3f", STR_FMT(words[i].text), words[i].probability);
        else
            buf_printf(out, " (not ASCII) %.3f", words[i].probability);
}

// For the filter, which asks by places in the message: it may begin somewhere in its file.
static bool read_bytes(void *ctx, uint64_t offset, size_t n, struct buf *out, struct err *e)
{
    const struct store_new *m = ctx;
    uint64_t left = offset < m->size ? m->size - offset : 0;
    int fd = m->fd;

    return junk_read_fd(&fd, m->offset + offset, n < left ? n : (size_t)left, out, e);
}

static bool ask_junk(void *ctx, struct arena *a, struct decide_junk *out, struct err *e)
{
    struct source *s = ctx;
    struct mime_parser *parser;
    struct junk_result result;
    struct junk_message message = {.read = read_bytes, .ctx = (void *)s->m};
    AUTO_BUF words = BUF_LIMIT(4096);
    struct err none = {0};
    bool is_broken, is_read, is_open;

    *out = (struct decide_junk){0};
    if (s->is_opaque)
        return true;
    parser = mime_parser_new(a);
    is_read = each_block(s->m, a, UINT64_MAX, parse_block, parser, e);
    message.root = mime_parser_end(parser, &is_broken);
    if (!is_read)
        return false;
    if (!store_junk_classify(account.store, s->reader, a, &message, &is_open, &result, &none)) {
        *e = none;
        if (none.kind == ERR_NOT_FOUND) // nothing was learnt yet
            *e = (struct err){0};
        out->words = STR("nothing learnt");
        out->is_closed = !is_open;
        return none.kind == ERR_NOT_FOUND;
    }
    METRIC(junk_classify_total, !result.is_significant     ? METRIC_JUNK_UNKNOWN
                                : result.probability > 0.5 ? METRIC_JUNK_SPAM
                                                           : METRIC_JUNK_HAM);
    put_words(&words, "junk words:", result.spam, result.n_spam_deciders, s->is_smtputf8);
    put_words(&words, "; others:", result.ham, result.n_ham_deciders, s->is_smtputf8);
    *out = (struct decide_junk){.probability = result.probability,
                                .is_significant = result.is_significant,
                                .words = arena_dup(a, buf_str(&words))};
    return true;
}

// The bytes as they were received.
static bool read_whole(const struct store_new *m, struct arena *a, struct buf *out, struct err *e)
{
    return each_block(m, a, UINT64_MAX, put_block, out, e);
}

static bool take_report(void *ctx, bool is_tls, bool *is_valid, struct err *e)
{
    struct source *s = ctx;
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    const struct report_mail mail = {s->m, s->findings, s->mail_from};
    struct str why = STR("what is in it is not looked at");

    *is_valid = false;
    if (!s->is_opaque && !report_take(&a, &mail, is_tls, read_whole, &why, e))
        return false;
    *is_valid = s->is_report = !why.n;
    if (why.n)
        put_field(&s->report_errors,
                  is_tls ? STR("X-Mox-TLSReport-Error") : STR("X-Mox-DMARCReport-Error"), why);
    return true;
}

/* --- deciding ----------------------------------------------------------------------------------- */

static struct decide_findings findings_of(const struct ipc_findings *f)
{
    return (struct decide_findings){
        .is_tls = f->is_tls, .is_smtputf8 = f->is_smtputf8, .has_from = f->has_from,
        .from_localpart = f->from_localpart, .from_domain = f->from_domain,
        .from_org_domain = f->from_org_domain, .validation = (enum validation)f->validation,
        .mail_from_localpart = f->mail_from_localpart, .mail_from_domain = f->mail_from_domain,
        .spf_mail_from = (enum finding)f->spf_mail_from, .hello_domain = f->hello_domain,
        .spf_hello = (enum finding)f->spf_hello, .dkim_domains = f->dkim_domains,
        .dmarc = (enum finding)f->dmarc, .dmarc_wish = (enum dmarc_wish)f->dmarc_wish,
        .is_dmarc_sampled = f->is_dmarc_sampled, .iprev = (enum finding)f->iprev,
        .iprev_name = f->iprev_name, .dnsbl_zones = f->dnsbl_zones,
        .arc = (enum finding)f->arc, .arc_sets = f->arc_sets, .arc_domain = f->arc_domain,
    };
}

// Between -0.05 and 0.05.
static double jitter(void)
{
    uint32_t random;

    os_random(&random, sizeof random);
    return random / 4294967296.0 / 10 - 0.05;
}

// mox-smtp-delivery.md 1.12: the first of the fields before the message.
static struct str with_reason(struct arena *a, const struct decision *d, const struct source *s,
                              const struct ipc_offer *offer)
{
    AUTO_BUF text = BUF_LIMIT(4096), out = BUF_LIMIT(IPC_MAX_PREFIX + 16384);

    buf_put(&text, d->reason);
    buf_put(&text, d->details);
    put_field(&out, STR("X-Mox-Reason"), buf_str(&text));
    buf_put(&out, buf_str(&s->report_errors));
    buf_put(&out, offer->prefix);
    return arena_dup(a, buf_str(&out));
}

static void count_token(const struct decision *d)
{
    if (d->token)
        METRIC(subjectpass_verify_total,
               d->token == DECIDE_TOKEN_VALID ? METRIC_SUBJECTPASS_OK : METRIC_SUBJECTPASS_FAIL);
    if (str_eq(d->reason, STR("give-subjectpass")))
        METRIC(subjectpass_generate_total);
}

static bool digest_of(struct arena *a, const struct store_new *m, unsigned char out[SHA256_BYTES],
                      struct err *e)
{
    struct sha256 *h = sha256_new();
    bool is_ok = each_block(m, a, UINT64_MAX, hash_block, h, e);

    sha256_end(h, out);
    sha256_free(h);
    return is_ok;
}

/*
 * mox-smtp-delivery.md 5.3: reports about reports would go round in circles, and a domain that is forged
 * here and has nothing to do with us shall not be the reason for mail to it.
 */
static bool is_report_optional(struct source *s, struct arena *a,
                               const struct decide_destination *destination, struct str org,
                               const struct decision *d)
{
    static const enum decide_sign signs[] = {DECIDE_FROM_ORG_PROVED, DECIDE_FROM_ORG};
    struct decide_judged judged[STORE_MAX_HISTORY];
    struct err e = {0};
    bool has_written;
    size_t n;

    if (destination && (destination->is_dmarc_report || destination->is_tls_report))
        return true;
    if (!str_eq(d->reason, STR("dmarc-policy")))
        return false;
    if (!ask_written(s, STR(""), org, true, 0, &has_written, &e) || has_written)
        return false;
    for (size_t i = 0; i < COUNT(signs); i++) {
        if (!ask_history(s, a, d->destined, signs[i], org, 0, STORE_MAX_HISTORY, judged, &n, &e))
            return true;
        for (size_t k = 0; k < n; k++)
            if (!judged[k].is_junk)
                return false;
    }
    return true;
}

static void refuse_broken(struct decision *d, const struct err *e)
{
    LOG(LOG_ERROR, "store", "a message cannot be decided about", LOG_E(e),
        LOG_S("account", account.name));
    *d = (struct decision){.code = 451, .enhanced = "4.3.0", .reason = STR("reputation-error"),
                           .text = STR("temporary failure, try again later")};
}

// By its header alone: most messages need no second look.
static bool is_report(struct str header)
{
    struct header_field field;

    return header_find(header, STR("Content-Type"), &field) &&
           str_starts_ci(str_trim(field.value), STR("multipart/report"));
}

void judge(struct arena *a, const struct rules *rules, const struct ipc_findings *findings,
           const struct ipc_offer *offer, struct str address, struct str mailbox,
           const struct store_new *m, struct judged *out)
{
    struct source source = {.m = m, .is_smtputf8 = findings->is_smtputf8, .findings = findings,
                            .mail_from = offer->reverse_path, .report_errors = BUF_LIMIT(8192)};
    const struct decide_source asked = {&source, ask_history, ask_written, ask_traffic, ask_key,
                                        ask_junk, take_report};
    struct decide_message message = {.found = findings_of(findings),
                                     .reverse_path = offer->reverse_path, .rcpt = offer->rcpt,
                                     .address = address, .mailbox = mailbox,
                                     .remote_ip = m->remote_ip, .size = m->size,
                                     .now_unix = m->received_unix, .jitter = jitter()};
    struct suspect *suspect = store_look_begin(account.store, m, &source.is_opaque);
    struct err e = {0};
    bool is_reading;

    *out = (struct judged){0};
    source.reader = take_reader(&e);
    // All questions in one transaction: otherwise each, and each word of the message, takes locks of the
    // file and gives them back.
    is_reading = source.reader && store_read_begin(source.reader, &e);
    if (is_reading && (source.is_opaque || read_header(a, m, &message.header, &e))) {
        decide(a, rules_decide(rules), rules_destination(rules, address), &message, &asked,
               &out->decision);
        out->is_report_optional =
            is_report_optional(&source, a, rules_destination(rules, address),
                               findings->from_org_domain, &out->decision);
        if (out->decision.is_reject && !digest_of(a, m, out->digest, &e))
            refuse_broken(&out->decision, &e);
        count_token(&out->decision);
    } else {
        refuse_broken(&out->decision, &e);
    }
    if (is_reading)
        store_read_end(source.reader);
    if (source.reader)
        give_reader(source.reader);
    if (out->decision.is_accepted && !offer->reverse_path.n && !source.is_opaque && is_report(message.header))
        report_read_returned(a, m, read_whole, &out->returned);
    store_look_end(account.store, suspect);
    out->is_report = source.is_report;
    out->prefix = with_reason(a, &out->decision, &source, offer);
    buf_fini(&source.report_errors);
    LOG(LOG_INFO, "store", out->decision.is_accepted ? "accepted" : "refused",
        LOG_S("account", account.name), LOG_S("reason", out->decision.reason),
        LOG_S("mailbox", out->decision.mailbox), LOG_N("code", out->decision.code));
}

void judge_origin(struct judged *j, bool as_reject, struct store_origin *out)
{
    const struct decision *d = &j->decision;

    for (size_t i = 0; i < d->n_signs; i++)
        j->signs[i] = (struct store_sign){(enum store_sign_kind)d->signs[i].sign, d->signs[i].value,
                                          d->signs[i].who};
    *out = (struct store_origin){.signs = j->signs, .n_signs = d->n_signs, .is_reject = as_reject,
                                 .facts = d->why};
    for (size_t i = 0; i < STORE_NETWORKS; i++)
        out->networks[i] = d->networks[i];
    if (as_reject || d->is_accepted)
        out->destined = d->destined;
    if (as_reject)
        out->digest = str_at(j->digest, sizeof j->digest);
}
