/*
 * Whom a message is said to: the hosts of its destination in their order, each with the rule for TLS that
 * applies, until one has answered for every recipient.
 */
#include <string.h>

#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "role/deliver/deliver.h"
#include "text/idna.h"

enum {
    SMTP_PORT = 25,
    MAX_PUT_OFF = 2, // hosts of a domain that put the message off; the others would most likely say the same
};

/* What an attempt knows of itself. */
struct attempt {
    struct deliver *d;
    struct message *m;
    struct failure last;  // of the host that was tried last
    bool has_last;
    bool is_last_of_each; // that host said something of each recipient, which that one has; last is one of these
    bool is_all_permanent; // every host so far is one that can never be used
    bool is_reached; // a server has heard of the message, or was too busy for it; or what is wrong is wrong here
    struct ip proxy; // by way of it
    struct str refused_by; // the host that has put the message off last; empty: none
    unsigned n_put_off;    // how many have
    int64_t end_ms;
    struct str reported; // domain that hears of TLS; empty: none
};

static void note_failure(struct attempt *t, const struct failure *f, bool is_host_useless)
{
    t->last = *f;
    t->has_last = true;
    t->is_last_of_each = false;
    t->is_all_permanent &= is_host_useless;
    t->is_reached |= f->is_ours || (f->code / 100 == 4 && !f->is_of_tls);
}

// A server's own words about a recipient say more than that another one could not be reached.
static void decide_rest(const struct attempt *t)
{
    const struct failure *f = &t->last;

    for (size_t i = 0; i < t->m->n; i++) {
        struct rcpt *r = &t->m->rcpts[i];

        if (r->outcome)
            continue;
        r->outcome = f->is_permanent ? IPC_FAILED_FOR_GOOD : IPC_FAILED_FOR_NOW;
        if (!r->f.code || (f->code && !t->is_last_of_each))
            r->f = *f;
    }
}

/*
 * RFC 5321 5.1: whom a server has put off is said to the next one. All of them or none: when some have the message or
 * never will, this is the server that takes mail (mox-smtp-delivery.md 3.3). Nor when it is not known what became of it.
 */
static bool is_put_off(const struct message *m)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct rcpt *r = &m->rcpts[i];

        if (r->outcome != IPC_FAILED_FOR_NOW || (r->f.code / 100 != 4 && r->f.code != 552))
            return false;
    }
    return m->n > 0;
}

static void take_back(struct attempt *t, struct str host)
{
    struct message *m = t->m;

    for (size_t i = 0; i < m->n; i++)
        m->rcpts[i].outcome = 0;
    t->refused_by = arena_dup(&m->a, host);
    t->n_put_off++;
    t->is_reached = true;
    note_failure(t, &m->rcpts[m->n - 1].f, false);
    t->is_last_of_each = true;
}

// Addresses of a host that were spoken to before, oldest first.
static size_t tried_before(const struct message *m, struct str host, struct ip *out, size_t max)
{
    struct cur c = cur_of(m->info.tried);
    struct str line, word, rest;
    size_t n = 0;

    while (cur_line(&c, &line)) {
        if (!str_cut(line, ' ', &word, &rest) || !str_eq_ci(word, host))
            continue;
        while (n < max && str_next(&rest, ' ', &word)) {
            n += ip_parse(word, &out[n]);
        }
    }
    return n;
}

// A report with the wish goes without it where the server does not know it (RFC 8689 5).
static bool needs_requiretls(const struct message *m)
{
    return m->info.require_tls == TLS_WISH_REQUIRED && m->info.reverse_path.n;
}

// Who was put off is not gone because the next server, which may know less, refuses: only when all refuse.
static void soften_refusals(const struct attempt *t)
{
    for (size_t i = 0; i < t->m->n && t->refused_by.n; i++)
        if (t->m->rcpts[i].outcome == IPC_FAILED_FOR_GOOD)
            t->m->rcpts[i].outcome = IPC_FAILED_FOR_NOW;
}

static void count_tls(const struct tls_input *in, const struct tls_rule *rule)
{
    switch (in->dane.status) {
    case DANE_NONE:
        break;
    case DANE_UNUSABLE:
        METRIC(queue_destination_dane_starttlsunverified_total);
        METRIC(queue_destination_dane_required_total);
        break;
    case DANE_USABLE:
        METRIC(queue_destination_dane_required_total);
        break;
    case DANE_FAILED:
        METRIC(queue_destination_dane_gathertlsa_errors_total);
        break;
    }
    if (in->wish == TLS_WISH_REQUIRED && rule->is_unusable && rule->code >= 500)
        METRIC(queue_requiretls_unsupported_total, METRIC_REQUIRETLS_NO_POLICY);
    if (in->wish != TLS_WISH_OPTIONAL)
        return;
    if (in->sts && in->sts->mode == MTASTS_ENFORCE)
        METRIC(queue_tlsrequiredno_ignored_total, rule->sts_failure ? METRIC_IGNORED_STS_MX : METRIC_IGNORED_STS_POLICY);
    if (rule->tlsa_failure)
        METRIC(queue_tlsrequiredno_ignored_total, METRIC_IGNORED_BAD_TLSA);
}

// In the form of the message's own list, where it is looked for again.
static void note_tried(struct message *m, struct str host, const struct ip *ip)
{
    buf_put(&m->tried, host);
    BUF_PUT(&m->tried, " ");
    ip_put(&m->tried, ip);
    BUF_PUT(&m->tried, "\n");
}

/*
 * One host. True: every recipient has its outcome. False: the next one may take the message; why this
 * one did not is noted.
 */
static bool try_addresses(struct attempt *t, struct target *target, const struct mx_addresses *found)
{
    struct deliver *d = t->d;
    struct failure f = {0};

    for (size_t i = 0; i < found->n && os_monotonic_ms() < t->end_ms; i++) {
        enum opened opened;

        target->ip = found->ips[i];
        target->is_plain = t->d->way.tls == IPC_WAY_PLAIN && d->way.way == IPC_WAY_RELAY;
        opened = conn_open(d, target, &t->m->a, &f);
        if (t->reported.n)
            results_tell(d, t->m, t->reported, target);
        if (opened == OPEN_PLAIN) {
            METRIC(queue_plaintext_fallback_total);
            if (target->wish == TLS_WISH_OPTIONAL)
                METRIC(queue_tlsrequiredno_ignored_total, METRIC_IGNORED_BAD_TLS);
            LOG(LOG_INFO, "deliver", "TLS failed, going on without", LOG_S("host", target->host),
                LOG_S("why", f.text));
            target->is_plain = true;
            opened = conn_open(d, target, &t->m->a, &f);
        }
        if (opened == OPEN_NEXT_ADDRESS) {
            note_failure(t, &f, false);
            continue;
        }
        if (opened != OPENED) {
            note_tried(t->m, target->host, &target->ip);
            note_failure(t, &f, f.is_permanent);
            return false;
        }
        t->is_reached = true;
        if (message_say(d, t->m, &f) == SAID) {
            note_tried(t->m, target->host, &target->ip);
            soften_refusals(t);
            if (!is_put_off(t->m))
                return true;
            take_back(t, target->host);
            return false;
        }
        note_tried(t->m, target->host, &target->ip);
        conn_quit(d);
        note_failure(t, &f, false);
        return false;
    }
    return false;
}

static bool try_host(struct attempt *t, const struct mx_result *mx, struct str domain,
                     const struct mx_host *host)
{
    struct ip tried[MX_MAX_ADDRESSES];
    struct deliver *d = t->d;
    struct mx_addresses found;
    struct tls_rule rule;
    struct tls_input in = {.wish = (enum tls_wish)t->m->info.require_tls,
                           .host = host->name,
                           .sts = t->d->sts == STS_OF_DOMAIN ? &t->d->policy : NULL,
                           .is_next_hop_secure = mx->is_secure,
                           .is_bounce = !t->m->info.reverse_path.n,
                           .is_dmarc_report = t->m->info.is_dmarc_report};
    struct target target = {.host = host->name, .port = SMTP_PORT, .rule = &rule,
                            .wish = t->m->info.require_tls};
    struct failure f;

    d->resolver.deadline_ms = os_monotonic_ms() + deliver_timeout(d, CONNECT_MS);
    mx_addresses(&d->dns, &t->m->a, host->name, d->way.families, tried,
                 tried_before(t->m, host->name, tried, COUNT(tried)), &found);
    if (!found.n) {
        if (found.is_bogus && d->way.way == IPC_WAY_DIRECT)
            results_tell_forged(d, t->m, domain);
        failed(&f, &t->m->a, !found.is_temporary, found.is_bogus       ? "4.7.0"
                                               : found.is_temporary ? "4.4.3"
                                                                    : "5.4.4", "%.*s",
               STR_FMT(found.why));
        f.mta = host->name;
        note_failure(t, &f, !found.is_temporary);
        return false;
    }
    dane_find(&d->dns, &t->m->a,
              &(struct dane_server){.next_hop = domain, .expanded_next_hop = mx->expanded,
                                    .is_next_hop_secure = mx->is_secure, .host = host->name,
                                    .expanded_host = found.expanded,
                                    .is_address_secure = found.is_secure, .port = SMTP_PORT},
              &in.dane);
    tls_rule_make(&t->m->a, &in, &rule);
    count_tls(&in, &rule);
    target.dane = &in.dane;
    t->reported = d->way.way == IPC_WAY_DIRECT ? domain : STR("");
    if (rule.is_unusable) {
        bool is_permanent = rule.code >= 500;

        results_begin(d);
        if (t->reported.n)
            results_tell(d, t->m, domain, &target);
        failed(&f, &t->m->a, is_permanent, rule.enhanced, "%.*s", STR_FMT(rule.refusal));
        f.code = rule.code;
        f.is_of_tls = true;
        f.mta = host->name;
        note_failure(t, &f, is_permanent);
        return false;
    }
    target.is_dual = found.is_dual;
    target.has_proxy = d->way.way == IPC_WAY_SOCKS;
    target.proxy = t->proxy;
    return try_addresses(t, &target, &found);
}

// RFC 5321 4.1.3: "[192.0.2.1]" or "[IPv6:2001:db8::1]".
static bool take_literal(struct str domain, struct ip *out)
{
    struct str text;

    if (!str_starts(domain, STR("[")) || !str_ends(domain, STR("]")))
        return false;
    text = str_sub(domain, 1, domain.n - 2);
    if (str_starts_ci(text, STR("IPv6:")))
        text = str_from(text, 5);
    return ip_parse(text, out);
}

static bool try_literal(struct attempt *t, struct mx_addresses *found)
{
    struct tls_input in = {.wish = (enum tls_wish)t->m->info.require_tls, .host = t->d->way.domain,
                           .is_bounce = !t->m->info.reverse_path.n,
                           .is_dmarc_report = t->m->info.is_dmarc_report};
    struct tls_rule rule;
    struct target target = {.host = t->d->way.domain, .port = SMTP_PORT, .rule = &rule,
                            .wish = t->m->info.require_tls};
    struct failure f;

    found->n = 1;
    target.has_proxy = t->d->way.way == IPC_WAY_SOCKS;
    target.proxy = t->proxy;
    tls_rule_make(&t->m->a, &in, &rule);
    count_tls(&in, &rule);
    if (rule.is_unusable) {
        failed(&f, &t->m->a, rule.code >= 500, rule.enhanced, "%.*s", STR_FMT(rule.refusal));
        f.code = rule.code;
        note_failure(t, &f, rule.code >= 500);
        return false;
    }
    return try_addresses(t, &target, found);
}

// What the MX records say when there is no host to try.
static void no_hosts(struct attempt *t, const struct mx_result *mx, struct str domain)
{
    struct arena *a = &t->m->a;
    struct failure f;

    switch (mx->status) {
    case MX_NULL: // RFC 7505 4.1
        failed(&f, a, true, "5.1.10", "the domain %.*s takes no mail", STR_FMT(domain));
        f.code = 556;
        break;
    case MX_NONE:
        failed(&f, a, true, "5.1.2", "%.*s", STR_FMT(mx->why));
        break;
    case MX_INVALID:
        failed(&f, a, true, "5.4.4", "the MX records of %.*s name no host", STR_FMT(domain));
        break;
    case MX_LOOP:
        failed(&f, a, true, "5.4.6", "mail for %.*s would come back to this server", STR_FMT(domain));
        break;
    case MX_TEMPORARY:
    case MX_OK:
        failed(&f, a, false, mx->is_bogus ? "4.7.0" : "4.4.3", "%.*s", STR_FMT(mx->why));
        break;
    }
    note_failure(t, &f, f.is_permanent);
}

static bool try_direct(struct attempt *t)
{
    struct mx_addresses found = {0};
    struct deliver *d = t->d;
    struct str domain;
    struct mx_result mx;
    struct failure f;
    struct err e = {0};
    uint64_t random;

    if (take_literal(d->way.domain, &found.ips[0]))
        return try_literal(t, &found);
    if (!domain_to_ascii(&t->m->a, d->way.domain, &domain, &e)) {
        failed(&f, &t->m->a, true, "5.1.2", "%s", e.text);
        note_failure(t, &f, true);
        return false;
    }
    // What is not known cannot be kept to: RFC 8461 names no way past a DNS that does not answer.
    if (d->sts == STS_NOT_KNOWN && t->m->info.require_tls != TLS_WISH_OPTIONAL) {
        failed(&f, &t->m->a, false, "4.4.3", "it is not known whether %.*s has an MTA-STS policy",
               STR_FMT(domain));
        note_failure(t, &f, false);
        return false;
    }
    os_random(&random, sizeof random);
    d->resolver.deadline_ms = os_monotonic_ms() + deliver_timeout(d, CONNECT_MS);
    mx_lookup(&d->dns, &t->m->a, domain, d->start->settings.hostname, random, &mx);
    if (mx.status != MX_OK) {
        if (mx.is_bogus && d->way.way == IPC_WAY_DIRECT)
            results_tell_forged(d, t->m, domain);
        no_hosts(t, &mx, domain);
        return false;
    }
    METRIC(queue_destinations_total);
    if (mx.is_secure)
        METRIC(queue_destinations_authentic_total);
    for (size_t i = 0; i < mx.n && t->n_put_off < MAX_PUT_OFF && os_monotonic_ms() < t->end_ms; i++)
        if (!str_eq_ci(mx.hosts[i].name, t->refused_by) && try_host(t, &mx, domain, &mx.hosts[i]))
            return true;
    return false;
}

// The addresses of a host that the configuration names.
static bool find_named(struct attempt *t, struct mx_addresses *found)
{
    struct deliver *d = t->d;
    struct failure f;

    d->resolver.deadline_ms = os_monotonic_ms() + deliver_timeout(d, CONNECT_MS);
    *found = (struct mx_addresses){.n = 1};
    if (!ip_parse(d->way.host, &found->ips[0]))
        mx_addresses(&d->dns, &t->m->a, d->way.host, MX_IPV4 | MX_IPV6, NULL, 0, found);
    if (found->n)
        return true;
    failed(&f, &t->m->a, false, "4.4.3", "%.*s", STR_FMT(found->why));
    note_failure(t, &f, false);
    return false;
}

// mox-smtp-delivery.md 3.6: no policies of others; TLS as the transport says.
static bool try_relay(struct attempt *t)
{
    struct deliver *d = t->d;
    bool is_verified = d->way.tls == IPC_WAY_STARTTLS || d->way.tls == IPC_WAY_IMMEDIATE;
    struct tls_rule rule = {.must_encrypt = d->way.tls != IPC_WAY_PLAIN,
                            .proof = is_verified ? TLS_PROOF_PKIX : TLS_PROOF_NONE,
                            .must_offer_requiretls = needs_requiretls(t->m)};
    struct target target = {.host = d->way.host, .port = d->way.port, .rule = &rule,
                            .is_immediate = d->way.tls == IPC_WAY_IMMEDIATE,
                            .wish = t->m->info.require_tls};
    struct mx_addresses found;
    struct failure f;

    if (rule.must_offer_requiretls && !is_verified) {
        failed(&f, &t->m->a, true, "5.7.30", "the transport does not verify the server's certificate, "
               "and the message wants that");
        f.code = 554;
        note_failure(t, &f, true);
        return false;
    }
    // RFC 8689 5: a report about it goes without REQUIRETLS, but not for all to read.
    if (target.wish == TLS_WISH_REQUIRED && !rule.must_encrypt) {
        failed(&f, &t->m->a, true, "5.7.10", "the transport has no TLS, and the message wants that");
        note_failure(t, &f, true);
        return false;
    }
    return find_named(t, &found) && try_addresses(t, &target, &found);
}

static bool try_socks(struct attempt *t)
{
    struct mx_addresses found;

    if (!find_named(t, &found))
        return false;
    t->proxy = found.ips[0];
    return try_direct(t);
}

// The connection of the message before, if it will do for this one as well.
static bool try_open(struct attempt *t)
{
    struct deliver *d = t->d;
    struct message *m = t->m;
    struct conn *c = &d->conn;
    struct failure f;

    if (!c->is_open)
        return false;
    if (c->is_spent || c->wish != m->info.require_tls || (needs_requiretls(m) && !c->has_requiretls) ||
        c->n_messages >= MAX_MESSAGES ||
        c->end_ms - os_monotonic_ms() < SESSION_MS / 2) {
        conn_quit(d);
        return false;
    }
    switch (message_say(d, m, &f)) {
    case SAID:
        note_tried(m, c->host, &c->ip);
        if (d->way.way == IPC_WAY_RELAY || !is_put_off(m))
            return true;
        take_back(t, c->host);
        return false;
    case SAID_STALE:
        conn_close(d);
        return false;
    case SAID_NEXT_HOST:
        t->is_reached = true;
        conn_quit(d);
        return false;
    }
    return false;
}

void deliver_send(struct deliver *d, struct message *m)
{
    struct attempt t = {.d = d, .m = m, .is_all_permanent = true,
                        .end_ms = os_monotonic_ms() + SESSION_MS};

    if (try_open(&t))
        return;
    // Whom it asks were there when it began; the next process has others.
    d->is_ending = channel_has_ended(&d->dial) || channel_has_ended(&d->resolver.ch);
    if (d->is_ending)
        failed(&t.last, &m->a, false, "4.3.0", "a part of the server has ended");
    else if (d->way.way == IPC_WAY_RELAY   ? try_relay(&t)
             : d->way.way == IPC_WAY_SOCKS ? try_socks(&t)
                                           : try_direct(&t))
        return;
    else if (!t.has_last)
        failed(&t.last, &m->a, false, "4.4.1", "no host could be tried in time");
    // For good only when that holds for every host (mox-smtp-delivery.md 3.5).
    t.last.is_permanent &= t.is_all_permanent;
    if (!t.last.is_permanent && str_starts(t.last.enhanced, STR("5.")))
        t.last.enhanced = arena_printf(&m->a, "4%.*s", STR_FMT(str_from(t.last.enhanced, 1)));
    m->is_unreached = !t.is_reached && !t.last.is_permanent && !d->is_ending && !channel_has_ended(&d->dial) &&
                      !channel_has_ended(&d->resolver.ch);
    decide_rest(&t);
}
