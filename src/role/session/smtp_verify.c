/*
 * What a session of port 25 finds out about who sent a message (mox-smtp-delivery.md 1.12): reverse
 * name, SPF, DKIM, DMARC, and lists of addresses. For the fields before the message, and for the
 * decisions of the accounts.
 */
#include <unistd.h>

#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "policy/dnsbl.h"
#include "policy/psl.h"
#include "role/session/smtp_verify.h"

// VERIFY_MS: for all questions together, so that a stranger's slow DNS servers cannot hold us for long.
enum { PIECE = 64 * 1024, VERIFY_MS = 60 * 1000 };

static struct dns dns_for_a_while(struct smtp_session *c)
{
    struct dns dns = session_dns(c->s);

    c->s->resolver.deadline_ms = os_monotonic_ms() + VERIFY_MS;
    return dns;
}

static struct spf_query spf_query(struct smtp_session *c)
{
    return (struct spf_query){.ip = c->sender->ip,
                              .helo = buf_str(&c->hello),
                              .local_part = c->mail.from.localpart,
                              .domain = c->mail.from.domain,
                              .receiver = c->s->port->hostname,
                              .now_unix = (uint64_t)os_now_unix()};
}

static bool next_zone(struct str *zones, struct str *zone)
{
    if (!str_cut(*zones, ' ', zone, zones)) {
        *zone = *zones;
        *zones = (struct str){0};
    }
    return zone->n > 0;
}

void smtp_verify_begin(struct smtp_session *c)
{
    struct dns dns;
    struct spf_query q;
    struct str zones = c->s->port->dnsbls, zone;
    struct ip ip;

    c->sender = NULL;
    // localserve's mail comes from the own machine; so does everything it could ask about.
    if (c->is_submission || c->s->start->settings.is_localserve ||
        !ip_parse(c->s->conn.remote, &ip))
        return;
    c->sender = ARENA_NEW(&c->a, struct smtp_sender);
    c->sender->ip = ip_unmapped(&ip);
    dns = session_dns(c->s);
    q = spf_query(c);
    spf_prefetch(&dns, &q, SPF_MAILFROM);
    iprev_prefetch(&dns, &c->sender->ip);
    while (next_zone(&zones, &zone))
        dnsbl_prefetch(&dns, zone, &c->sender->ip);
}

bool smtp_verify_hello(struct smtp_session *c, struct str name)
{
    static const enum dns_type types[] = {DNS_A, DNS_AAAA};
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);

    if (c->is_submission || c->s->start->settings.is_localserve || str_starts(name, STR("[")))
        return true;
    for (size_t i = 0; i < COUNT(types); i++) {
        struct dns dns = dns_for_a_while(c);
        struct dns_answer answer;

        dns_lookup(&dns, &a, name, types[i], &answer);
        if (!dns_is_none(&answer))
            return true; // also when nobody knows
    }
    return false;
}

void smtp_verify_spf(struct smtp_session *c)
{
    int64_t began = os_monotonic_ms();
    struct dns dns;
    struct spf_query q;

    if (!c->sender || c->sender->has_spf)
        return;
    dns = dns_for_a_while(c);
    q = spf_query(c);
    spf_check(&dns, &c->a, &q, SPF_MAILFROM, &c->sender->spf);
    c->sender->has_spf = true;
    METRIC_TIME(spf_verify_duration_seconds, os_monotonic_ms() - began, c->sender->spf.status);
}

/* --- DKIM and ARC ------------------------------------------------------------------------------- */

bool smtp_feed_body(const struct smtp_message *m, struct dkim_bodies *bodies, struct arena *a)
{
    char *piece = arena_alloc(a, PIECE);

    for (uint64_t at = m->body_start; at < m->size;) {
        ssize_t got = pread(m->fd, piece, PIECE, (off_t)at);

        if (got <= 0)
            return false;
        dkim_bodies_feed(bodies, str_at(piece, (size_t)got));
        at += (uint64_t)got;
    }
    return true;
}

static void verify_signatures(struct smtp_session *c, const struct smtp_message *m)
{
    struct dkim_policy policy = {.now_unix = os_now_unix(), .is_public_suffix = psl_is_suffix};
    struct dns dns = session_dns(c->s);
    int64_t began = os_monotonic_ms();
    struct dkim_bodies *bodies;
    struct dkim_header *header;
    struct err e = {0};

    header = dkim_header_parse(&c->a, m->header, &e);
    if (!header) {
        LOG(LOG_DEBUG, "smtpserver", "signatures are not looked at", LOG_E(&e));
        return;
    }
    bodies = dkim_bodies_new();
    dkim_verify_begin(&c->a, header, &policy, &dns, bodies, &c->sender->dkim);
    arc_verify_begin(&c->a, header, &policy, &dns, bodies, &c->sender->arc);
    if (dkim_bodies_are_wanted(bodies) && !smtp_feed_body(m, bodies, &c->a))
        LOG(LOG_ERROR, "smtpserver", "reading a message back for its signatures");
    dkim_bodies_end(bodies);
    dkim_verify_end(&c->sender->dkim);
    arc_verify_end(&c->sender->arc);
    dkim_bodies_free(bodies);
    for (size_t i = 0; i < c->sender->dkim.n; i++) {
        const struct dkim_result *r = &c->sender->dkim.results[i];

        if (r->has_signature)
            METRIC_TIME(dkim_verify_duration_seconds, os_monotonic_ms() - began, r->signature.algorithm, r->status);
    }
}

/* --- DMARC --------------------------------------------------------------------------------------- */

/*
 * RFC 7489 6.6.1: of several authors each is asked about, and a policy that refuses one refuses the
 * message. Nobody is then its author for us.
 */
static void verify_other_authors(struct smtp_session *c, const struct smtp_message *m)
{
    struct smtp_sender *who = c->sender;
    struct str authors[DMARC_MAX_AUTHORS + 1];
    size_t n = dmarc_authors(&c->a, m->header, authors);
    struct dns dns = session_dns(c->s);

    who->has_too_many_authors = n > DMARC_MAX_AUTHORS;
    for (size_t i = 0; i < n && i < DMARC_MAX_AUTHORS; i++) {
        struct dmarc_input other = who->dmarc_input;
        struct dmarc_result found;

        if (str_eq(authors[i], other.from)) // the one who is the author, if there is one
            continue;
        other.from = authors[i];
        dmarc_evaluate(&dns, &c->a, &other, &found);
        if (!found.is_reject)
            continue;
        who->dmarc = found;
        who->dmarc_input = other;
        who->has_from = false;
        return;
    }
}

static void verify_dmarc(struct smtp_session *c, const struct smtp_message *m)
{
    struct smtp_sender *who = c->sender;
    struct dns dns = session_dns(c->s);
    struct dmarc_dkim *dkim = ARENA_ARRAY(&c->a, who->dkim.n + 1, struct dmarc_dkim);
    struct dmarc_input *in = &who->dmarc_input;
    struct address from;
    unsigned char random[2];
    int64_t began = os_monotonic_ms();
    struct err e = {0};
    bool is_strict;

    *in = (struct dmarc_input){.spf_domain = who->spf.domain,
                               .is_spf_helo = who->spf.identity == SPF_HELO,
                               .spf = who->spf.status, .dkim = dkim};
    who->has_from = dmarc_from(&c->a, m->header, &in->from, &e) &&
                    smtp_find_from(c, m, &from, &is_strict);
    if (who->has_from)
        who->from = (struct address){.localpart = from.localpart, .domain = in->from};
    else
        in->from = (struct str){0};
    for (size_t i = 0; i < who->dkim.n; i++) {
        const struct dkim_result *r = &who->dkim.results[i];

        if (r->has_signature)
            dkim[in->n_dkim++] = (struct dmarc_dkim){r->signature.domain, r->signature.selector,
                                                    r->status};
    }
    os_random(random, sizeof random);
    in->sample = (unsigned)(random[0] << 8 | random[1]) % 100;
    dmarc_evaluate(&dns, &c->a, in, &who->dmarc);
    verify_other_authors(c, m);
    METRIC_TIME(dmarc_verify_duration_seconds, os_monotonic_ms() - began, who->dmarc.status, who->dmarc.is_reject,
                !who->dmarc.is_sampled_out);
}

/* mox-smtp-delivery.md 1.12 (7). */
static enum validation validate(const struct smtp_sender *who)
{
    struct str domain = who->from.domain;
    bool is_strict = who->spf.status == AUTH_PASS && str_eq_ci(who->spf.domain, domain);
    bool is_relaxed = who->spf.status == AUTH_PASS &&
                      str_eq(psl_organizational(who->spf.domain), psl_organizational(domain));

    if (!who->has_from)
        return VALIDATION_NONE;
    for (size_t i = 0; i < who->dkim.n; i++) {
        const struct dkim_result *r = &who->dkim.results[i];

        if (r->status != AUTH_PASS)
            continue;
        is_strict = is_strict || str_eq_ci(r->signature.domain, domain);
        is_relaxed = is_relaxed || str_eq(psl_organizational(r->signature.domain),
                                          psl_organizational(domain));
    }
    if (is_strict)
        return VALIDATION_STRICT;
    if (who->dmarc.status == AUTH_PASS)
        return VALIDATION_DMARC;
    return is_relaxed ? VALIDATION_RELAXED : VALIDATION_NONE;
}

/* mox-smtp-delivery.md 5.5: all of the message is signed by the From domain or one above it. */
static bool is_tlsrpt_signed(const struct smtp_sender *who)
{
    struct str from = who->from.domain;

    for (size_t i = 0; i < who->dkim.n && who->has_from; i++) {
        const struct dkim_result *r = &who->dkim.results[i];
        struct str d = r->signature.domain;

        if (r->status != AUTH_PASS || r->signature.has_length)
            continue;
        if (str_eq_ci(d, from))
            return true;
        if (d.n < from.n && from.p[from.n - d.n - 1] == '.' && str_ends_ci(from, d) &&
            str_eq(psl_organizational(d), psl_organizational(from)))
            return true;
    }
    return false;
}

/* --- lists of addresses -------------------------------------------------------------------------- */

static void ask_lists(struct smtp_session *c, struct buf *listed)
{
    struct dns dns = session_dns(c->s);
    struct str zones = c->s->port->dnsbls, zone, why;

    while (next_zone(&zones, &zone)) {
        struct dnsbl_result r;
        int64_t began;

        if (dnsbl_check_health(&dns, &c->a, zone, c->sender->ip.family, &why) == DNSBL_UNHEALTHY) {
            LOG(LOG_INFO, "smtpserver", "list is not healthy and is passed over", LOG_S("zone", zone),
                LOG_S("why", why));
            continue;
        }
        began = os_monotonic_ms();
        dnsbl_check(&dns, &c->a, zone, &c->sender->ip, &r);
        METRIC_TIME(dnsbl_lookup_duration_seconds, os_monotonic_ms() - began, metric_name(zone), r.status);
        if (r.status == DNSBL_ERROR)
            LOG(LOG_INFO, "smtpserver", "list gives no answer", LOG_S("zone", zone),
                LOG_S("why", r.why));
        if (r.status != DNSBL_LISTED)
            continue;
        if (listed->n)
            BUF_PUT(listed, " ");
        buf_put(listed, zone);
    }
}

/* --- for the accounts ---------------------------------------------------------------------------- */

static enum finding finding_of(enum auth_result result)
{
    static const enum finding findings[] = {
        [AUTH_NONE] = FINDING_NONE,           [AUTH_PASS] = FINDING_PASS,
        [AUTH_FAIL] = FINDING_FAIL,           [AUTH_SOFTFAIL] = FINDING_SOFTFAIL,
        [AUTH_NEUTRAL] = FINDING_NEUTRAL,     [AUTH_POLICY] = FINDING_FAIL,
        [AUTH_TEMPERROR] = FINDING_TEMPERROR, [AUTH_PERMERROR] = FINDING_PERMERROR,
    };

    return findings[result];
}

static enum dmarc_wish wish_of(const struct dmarc_result *dmarc)
{
    return dmarc->found.policy == DMARC_REJECT       ? DMARC_WISH_REJECT
           : dmarc->found.policy == DMARC_QUARANTINE ? DMARC_WISH_QUARANTINE
                                                     : DMARC_WISH_NONE;
}

static void put_dkim_domains(const struct smtp_sender *who, struct buf *out)
{
    for (size_t i = 0; i < who->dkim.n; i++) {
        const struct dkim_result *r = &who->dkim.results[i];

        if (r->status != AUTH_PASS || out->n + r->signature.domain.n + 1 > out->limit)
            continue;
        if (out->n)
            BUF_PUT(out, " ");
        buf_put(out, r->signature.domain);
    }
}

static void tell(struct smtp_session *c, const struct smtp_message *m)
{
    AUTO_BUF domains = BUF_LIMIT(IPC_MAX_FINDINGS);
    AUTO_BUF zones = BUF_LIMIT(IPC_MAX_FINDINGS);
    struct smtp_sender *who = c->sender;
    bool is_helo = who->spf.identity == SPF_HELO;
    struct str hello = buf_str(&c->hello);

    put_dkim_domains(who, &domains);
    ask_lists(c, &zones);
    who->findings = (struct ipc_findings){
        .is_tls = c->s->is_tls,
        .is_smtputf8 = m->needs_utf8,
        .has_from = who->has_from,
        .from_localpart = who->from.localpart,
        .from_domain = who->from.domain,
        .from_org_domain = who->has_from ? psl_organizational(who->from.domain) : STR(""),
        .validation = (uint8_t)validate(who),
        .mail_from_localpart = c->mail.from.localpart,
        .mail_from_domain = is_helo ? STR("") : who->spf.domain,
        .spf_mail_from = (uint8_t)(is_helo ? FINDING_NONE : finding_of(who->spf.status)),
        .hello_domain = str_starts(hello, STR("[")) ? STR("") : arena_lower(&c->a, hello),
        .spf_hello = (uint8_t)(is_helo ? finding_of(who->spf.status) : FINDING_NONE),
        .dkim_domains = arena_dup(&c->a, buf_str(&domains)),
        .dmarc = (uint8_t)finding_of(who->dmarc.status),
        .dmarc_wish = (uint8_t)wish_of(&who->dmarc),
        .is_dmarc_sampled = !who->dmarc.is_sampled_out && !who->dmarc.is_test,
        .iprev = (uint8_t)finding_of(who->iprev.status),
        .iprev_name = who->iprev.name,
        .dnsbl_zones = arena_dup(&c->a, buf_str(&zones)),
        .is_tlsrpt_signed = is_tlsrpt_signed(who),
        .arc = (uint8_t)finding_of(who->arc.status),
        .arc_sets = (uint8_t)who->arc.n,
        .arc_domain = who->arc.status == AUTH_PASS ? who->arc.sets[who->arc.n - 1].seal.domain : STR(""),
    };
}

/* --- for the message ----------------------------------------------------------------------------- */

static void add_signatures(struct authres *ar, struct arena *a, const struct smtp_sender *who)
{
    if (!who->dkim.n)
        authres_add(ar, a, "dkim", AUTH_NONE);
    for (size_t i = 0; i < who->dkim.n; i++) {
        const struct dkim_result *r = &who->dkim.results[i];
        struct authres_dkim d = {.result = r->status, .reason = r->why,
                                 .key_bits = r->key_bits, .is_secure = r->is_secure};

        if (r->has_signature) {
            d.domain = r->signature.domain;
            d.selector = r->signature.selector;
            d.algorithm = str_of(dkim_algorithm_name(r->signature.algorithm));
            d.identity = r->signature.identity;
            d.signature = r->signature.b;
        }
        authres_add_dkim(ar, a, &d);
    }
}

static bool put_fields(struct smtp_session *c, struct buf *out, struct err *e)
{
    struct smtp_sender *who = c->sender;
    struct authres ar = {.host = c->s->port->hostname};
    struct spf_query q = spf_query(c);
    struct authres_method *dmarc;

    authres_add_iprev(&ar, &c->a, who->iprev.status, &who->ip, who->iprev.is_secure, who->iprev.why);
    add_signatures(&ar, &c->a, who);
    authres_add_spf(&ar, &c->a, who->spf.status, who->spf.identity == SPF_HELO,
                    who->spf.identity == SPF_HELO ? who->spf.domain : c->reverse_path,
                    who->spf.is_secure, who->spf.why);
    dmarc = authres_add(&ar, &c->a, "dmarc", who->dmarc.status);
    dmarc->reason = who->dmarc.found.why;
    authres_add_property(dmarc, &c->a, "header", "from", who->dmarc_input.from);
    if (who->arc.n)
        authres_add_arc(&ar, &c->a, who->arc.status, &who->ip, who->arc.why);
    if (!authres_put(out, &ar, e))
        return false;
    spf_put_received(out, &q, &who->spf);
    return true;
}

// The record of the From domain is on its way while the rest is asked.
static void prefetch_policy(struct smtp_session *c, const struct smtp_message *m,
                            const struct dns *dns)
{
    struct err e = {0};
    struct str from;

    if (dmarc_from(&c->a, m->header, &from, &e))
        dns_prefetch(dns, arena_printf(&c->a, "_dmarc.%.*s", STR_FMT(from)), DNS_TXT);
}

bool smtp_verify(struct smtp_session *c, const struct smtp_message *m, struct err *e)
{
    AUTO_BUF fields = BUF_LIMIT(IPC_MAX_PREFIX / 2);
    struct smtp_sender *who = c->sender;
    int64_t began = os_monotonic_ms();
    struct dns dns;

    if (!who)
        return true;
    dns = dns_for_a_while(c);
    prefetch_policy(c, m, &dns);
    iprev_check(&dns, &c->a, &who->ip, &who->iprev);
    METRIC_TIME(iprev_lookup_total, os_monotonic_ms() - began, who->iprev.status);
    smtp_verify_spf(c);
    verify_signatures(c, m);
    verify_dmarc(c, m);
    tell(c, m);
    if (!put_fields(c, &fields, e))
        return false;
    who->fields = arena_dup(&c->a, buf_str(&fields));
    LOG(LOG_INFO, "smtpserver", "sender checked",
        LOG_S("iprev", str_of(auth_result_name(who->iprev.status))),
        LOG_S("spf", str_of(auth_result_name(who->spf.status))),
        LOG_S("dkim", who->findings.dkim_domains),
        LOG_S("dmarc", str_of(auth_result_name(who->dmarc.status))),
        LOG_S("arc", str_of(auth_result_name(who->arc.status))),
        LOG_S("listed", who->findings.dnsbl_zones));
    return true;
}
